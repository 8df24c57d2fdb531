"""Content identifiers: CIDv1 over the UnixFS DAG that ``ipfs add --cid-version=1 --raw-leaves`` builds.

A file is cut into leaves of 256 KiB (codec raw); leaves are gathered, 174 at a time, into dag-pb nodes, level by level,
until one root is left. A file of one leaf is that leaf. The chain holds the sha2-256 digest of the root and its codec,
so that anyone can find the package on IPFS and any single changed byte changes its name.

Sources: CID and UnixFS specifications (specs.ipfs.tech); the balanced layout of Kubo. Directories are not made here.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from pdfed_sdk.errors import UsageError

RAW, DAG_PB = 0x55, 0x70
"""Multicodec numbers: a leaf of raw bytes, and a node of the DAG."""
CHUNK = 256 * 1024
LINKS = 174

_SHA2_256 = b"\x12\x20"
_CODECS = {RAW: "raw", DAG_PB: "dag-pb"}


@dataclass(frozen=True, slots=True, order=True)
class Cid:
    """A CIDv1 with a sha2-256 multihash: ``codec`` (RAW or DAG_PB) and the ``digest`` of the root block (32 bytes)."""

    codec: int
    digest: bytes

    def __post_init__(self) -> None:
        if self.codec not in _CODECS:
            raise UsageError(
                f"CID codec {self.codec:#x} is not one of {', '.join(f'{c:#x} ({n})' for c, n in _CODECS.items())}",
                hint="take codec and digest from the same ModelRecord",
            )
        if len(self.digest) != 32:
            raise UsageError(f"CID digest has {len(self.digest)} bytes, a sha2-256 digest has 32")

    def __bytes__(self) -> bytes:
        return bytes([1, self.codec]) + _SHA2_256 + self.digest

    def __str__(self) -> str:
        return "b" + base64.b32encode(bytes(self)).decode().rstrip("=").lower()

    @classmethod
    def parse(cls, text: str) -> Cid:
        """Read the base32 form ``bafk…`` or ``bafy…``. Raises UsageError for anything else, CIDv0 included."""
        try:
            if not text.startswith("b") or text != text.lower():
                raise ValueError("not lower-case base32")
            raw = base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8))
            if len(raw) != 36 or raw[0] != 1 or raw[2:4] != _SHA2_256:
                raise ValueError("not version 1 with a sha2-256 digest")
            cid = cls(raw[1], raw[4:])
            if str(cid) != text:
                raise ValueError("not the canonical form")
        except ValueError as error:
            raise UsageError(
                f"{text!r} is not a CID of this store ({error})",
                hint="expected base32 CIDv1, as in bafkrei… or bafybei…",
            ) from None
        return cid


class _Link(NamedTuple):
    cid: Cid
    tree_bytes: int  # size of the block and of all blocks below it
    file_bytes: int  # size of the part of the file below it


def cid_of(source: bytes | Path) -> Cid:
    """CID of a file's content, read once, in constant memory."""
    return root_of(chunks(source))


def root_of(leaves: Iterable[bytes]) -> Cid:
    """CID of content given as leaves of 256 KiB (at least one, the last one may be shorter)."""
    return deque(dag(leaves), maxlen=1)[0][0]


def blocks(source: bytes | Path) -> Iterator[tuple[Cid, bytes]]:
    """Every block of the DAG with its CID: leaves in order, each node after its children, the root last."""
    return dag(chunks(source))


def chunks(source: bytes | Path) -> Iterator[bytes]:
    """The leaves' contents: pieces of 256 KiB, the last one shorter; one empty piece for an empty source."""
    if isinstance(source, bytes):
        for start in range(0, max(len(source), 1), CHUNK):
            yield source[start : start + CHUNK]
        return
    with source.open("rb") as file:
        piece = file.read(CHUNK)
        yield piece
        while piece := file.read(CHUNK):
            yield piece


def dag(leaves: Iterable[bytes], *, version: int = 1) -> Iterator[tuple[Cid, bytes]]:
    """Blocks of the balanced DAG over ``leaves``, kept to 174 pending links a level.

    ``version=0`` is the layout of the older default of Kubo (leaves wrapped in dag-pb, links by bare multihash); only
    the tests use it, to compare the tree with a Kubo library that cannot be told otherwise.
    """
    levels: list[list[_Link]] = [[]]
    for leaf in leaves:
        block = _node([], leaf, version) if version == 0 else leaf
        cid = Cid(DAG_PB if version == 0 else RAW, sha256(block).digest())
        yield cid, block
        levels[0].append(_Link(cid, len(block), len(leaf)))
        yield from _close_full(levels, version)
    for depth in range(len(levels)):
        above = any(levels[depth + 1 :])
        if levels[depth] and (above or len(levels[depth]) > 1):
            yield _close(levels, depth, version)


def _close_full(levels: list[list[_Link]], version: int) -> Iterator[tuple[Cid, bytes]]:
    depth = 0
    while depth < len(levels) and len(levels[depth]) == LINKS:
        yield _close(levels, depth, version)
        depth += 1


def _close(levels: list[list[_Link]], depth: int, version: int) -> tuple[Cid, bytes]:
    """Gather the links waiting at ``depth`` into one node, which then waits one level above."""
    links, levels[depth] = levels[depth], []
    block = _node(links, b"", version)
    cid = Cid(DAG_PB, sha256(block).digest())
    if depth + 1 == len(levels):
        levels.append([])
    tree_bytes = len(block) + sum(link.tree_bytes for link in links)
    levels[depth + 1].append(_Link(cid, tree_bytes, sum(link.file_bytes for link in links)))
    return cid, block


def _node(links: list[_Link], data: bytes, version: int) -> bytes:
    """A dag-pb node: PBLink{Hash, Name "", Tsize} each, then the UnixFS message {File, Data, filesize, blocksizes}."""
    body = b"".join(_field(2, _link(link, version)) for link in links)
    unixfs = b"\x08\x02" + (_field(2, data) if data else b"")
    unixfs += b"\x18" + _varint(len(data) + sum(link.file_bytes for link in links))
    unixfs += b"".join(b"\x20" + _varint(link.file_bytes) for link in links)
    return body + _field(1, unixfs)


def _link(link: _Link, version: int) -> bytes:
    name = bytes(link.cid) if version else _SHA2_256 + link.cid.digest
    return _field(1, name) + _field(2, b"") + b"\x18" + _varint(link.tree_bytes)


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
