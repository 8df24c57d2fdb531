"""Blocks of a Kubo repository on disk: written by our own builder, read back by our own walk, each checked by its hash.

Kubo keeps a block in ``blocks/<two letters>/<key>.data``, the key being the base32 of its multihash and the letters the
last but two and last but one of it (flatfs ``next-to-last/2``). Its library makes CIDs of version 0 only, so what is
published is cut here; what it fetched is read here, so that nothing in it is believed.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pdfed_sdk.artifacts.cid import DAG_PB, RAW, Cid
from pdfed_sdk.errors import DigestMismatch, StoreError

MAX_BLOCK = 2 << 20
"""Bytes of a block that other nodes still take."""
MAX_DEPTH = 8
"""Levels of a tree; five reach a petabyte at 174 links a node."""


@dataclass(frozen=True, slots=True)
class Held:
    """How much of a file is here: bytes of its leaves, links that lead to nothing yet."""

    size: int
    missing: int


class Blocks:
    """The block folder of one repository. Safe beside a running Kubo: files appear whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, cid: Cid) -> Path:
        key = base64.b32encode(b"\x12\x20" + cid.digest).decode().rstrip("=")
        return self.folder / key[-3:-1] / f"{key}.data"

    def write(self, made: Iterable[tuple[Cid, bytes]]) -> Cid:
        """Keep every block durably, the root last; returns the root. Raises OSError."""
        touched, root = set[Path](), None
        for root, block in made:
            place = self.path(root)
            if not (place.is_file() and place.stat().st_size == len(block)):
                place.parent.mkdir(parents=True, exist_ok=True)
                fresh = place.with_name(f".{place.name}.{os.getpid()}")
                with fresh.open("wb") as file:
                    file.write(block)
                    file.flush()
                    os.fsync(file.fileno())
                fresh.replace(place)
                touched.add(place.parent)
        for folder in touched:
            handle = os.open(folder, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        assert root is not None, "a file has at least one block"
        return root

    def leaves(self, cid: Cid) -> Iterator[bytes]:
        """The file's content in order. Raises FileNotFoundError at the first block that is not here, DigestMismatch at
        one that is damaged (and removes it, so that it is fetched again)."""
        for node, block in self._walk(cid):
            if node.codec == RAW or not links(block):
                yield block if node.codec == RAW else b""

    def held(self, cid: Cid, most: int) -> Held:
        """What of the file is here; stops counting above ``most`` bytes or links. Damaged nodes count as missing."""
        size = missing = 0
        waiting = [cid]
        while waiting and size <= most and missing <= most:
            here = waiting.pop()
            try:
                if here.codec == RAW:
                    size += self.path(here).stat().st_size
                else:
                    waiting += links(self._read(here))
            except (FileNotFoundError, DigestMismatch):
                missing += 1
        return Held(size, missing)

    def members(self, cid: Cid) -> Iterator[Path]:
        """The files of all blocks of a file that are here."""
        waiting = [cid]
        while waiting:
            here = waiting.pop()
            if self.path(here).is_file():
                yield self.path(here)
                if here.codec == DAG_PB:
                    waiting += links(self._read(here))

    def all(self) -> Iterator[Path]:
        """Every block's file."""
        return self.folder.glob("*/*.data")

    def _walk(self, cid: Cid, depth: int = 0) -> Iterator[tuple[Cid, bytes]]:
        if depth > MAX_DEPTH:
            raise StoreError(f"{cid} lies deeper than {MAX_DEPTH} levels", hint="its publisher did not make it here")
        block = self._read(cid)
        yield cid, block
        if cid.codec == DAG_PB:
            for link in links(block):
                yield from self._walk(link, depth + 1)

    def _read(self, cid: Cid) -> bytes:
        place = self.path(cid)
        with place.open("rb") as file:
            block = file.read(MAX_BLOCK + 1)
        if sha256(block).digest() != cid.digest:
            place.unlink(missing_ok=True)
            raise DigestMismatch(f"block {cid} in {self.folder} was damaged; it is removed", hint="fetch it again")
        return block


def links(block: bytes) -> list[Cid]:
    """The children of a dag-pb node, in order. Raises StoreError for what is no such node, or links to other hashes."""
    found, at = list[Cid](), 0
    try:
        while at < len(block):
            number, value, at = _field(block, at)
            if number == 2 and isinstance(value, bytes):
                _, name, _ = _field(value, 0)
                assert isinstance(name, bytes)
                if len(name) != 36 or name[0] != 1 or name[2:4] != b"\x12\x20":
                    raise ValueError("a link that is no CIDv1 with sha2-256")
                found.append(Cid(name[1], name[4:]))
    except (ValueError, IndexError, AssertionError) as error:
        raise StoreError(f"a block of the file is no node of a UnixFS tree: {error}") from None
    return found


def _field(data: bytes, at: int) -> tuple[int, bytes | int, int]:
    """One protobuf field: its number, its value, and where the next begins."""
    key, at = _varint(data, at)
    value, at = _varint(data, at)
    if key & 7 == 0:
        return key >> 3, value, at
    if key & 7 != 2 or at + value > len(data):
        raise ValueError("a field of unknown type or length")
    return key >> 3, data[at : at + value], at + value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
