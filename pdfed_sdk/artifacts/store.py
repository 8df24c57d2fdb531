"""Where packages lie: content-addressed stores. What comes out of a store hashes to the CID it was asked for.

``LocalStore`` is a folder that many processes on one machine may share; ``ipfs``, ``kubo`` and ``objects`` hold others.
Nothing here knows what a package is.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from pdfed_sdk.artifacts.cid import Cid, chunks, root_of
from pdfed_sdk.errors import ContentMissing, DigestMismatch, StoreError

MAX_BYTES = 2 << 30
"""Default bound on what is read from a store, in bytes."""
STALE_AFTER = 3600.0
"""Seconds after which an unfinished write is taken for the remains of a killed process."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class Store(Protocol):
    """Publishes bytes under their CID and gives them back verified."""

    def put(self, source: bytes | Path) -> Cid:
        """Keep the content durably and return its CID. Putting the same content again changes nothing."""

    def get(self, cid: Cid, max_bytes: int = MAX_BYTES) -> bytes:
        """The content, verified. Raises ContentMissing, DigestMismatch, StoreError (longer than ``max_bytes``)."""

    def fetch(self, cid: Cid, into: Path, max_bytes: int = MAX_BYTES) -> Path:
        """Write the verified content to the file ``into``, all or nothing, and return it. Raises as ``get``."""

    def has(self, cid: Cid) -> bool:
        """Whether the store itself holds the content now (not whether it could find it elsewhere)."""

    def pin(self, cid: Cid) -> None:
        """Mark content that must be kept. Raises ContentMissing."""

    def unpin(self, cid: Cid) -> None:
        """Content that was pinned need not be kept any more. Nothing happens to what was not."""


class LocalStore:
    """A folder of files named by CID: ``objects/<last two letters>/<cid>``, ``pins/<cid>``, ``tmp/``.

    Writes go to ``tmp``, are synced, then renamed: a reader never sees half a file and a kill leaves at most a
    temporary file, which a later start clears away. Every read hashes what it returns.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser().absolute()
        with storage_errors("opening the store", self.root):
            for folder in ("objects", "pins", "tmp"):
                (self.root / folder).mkdir(parents=True, exist_ok=True)
            _clear_stale(self.root / "tmp")

    def path(self, cid: Cid) -> Path:
        """Where the content lies if it is here. Reading the file directly skips verification: use get or fetch."""
        name = str(cid)
        return self.root / "objects" / name[-2:] / name

    def put(self, source: bytes | Path) -> Cid:
        with storage_errors("writing to the store", self.root), temporary_file(self.root / "tmp") as partial:
            cid = write_verified(partial, chunks(source))
            target = self.path(cid)
            if not self._intact(cid):
                target.parent.mkdir(exist_ok=True)
                partial.replace(target)
                sync_folder(target.parent)
        return cid

    def get(self, cid: Cid, max_bytes: int = MAX_BYTES) -> bytes:
        with self._opened(cid, max_bytes) as pieces:
            parts = list(pieces)
        self._check(cid, root_of(parts))
        return b"".join(parts)

    def fetch(self, cid: Cid, into: Path, max_bytes: int = MAX_BYTES) -> Path:
        with self._opened(cid, max_bytes) as pieces:
            return fetch_verified(cid, pieces, into, lambda found: self._check(cid, found))

    def has(self, cid: Cid) -> bool:
        return self.path(cid).is_file()

    def pin(self, cid: Cid) -> None:
        if not self.has(cid):
            raise self._missing(cid)
        with storage_errors("pinning in the store", self.root):
            (self.root / "pins" / str(cid)).touch()

    def unpin(self, cid: Cid) -> None:
        with storage_errors("unpinning in the store", self.root):
            (self.root / "pins" / str(cid)).unlink(missing_ok=True)

    def pins(self) -> list[Cid]:
        """What has been pinned here, in order of CID."""
        return sorted(Cid.parse(path.name) for path in (self.root / "pins").iterdir())

    def used(self) -> int:
        """Bytes of all objects."""
        return sum(path.stat().st_size for path in (self.root / "objects").glob("*/*"))

    @contextmanager
    def _opened(self, cid: Cid, max_bytes: int) -> Iterator[Iterator[bytes]]:
        path = self.path(cid)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise self._missing(cid) from None
        if size > max_bytes:
            raise too_large(cid, size, max_bytes)
        with storage_errors("reading from the store", path):
            yield bounded(cid, chunks(path), max_bytes)

    def _intact(self, cid: Cid) -> bool:
        path = self.path(cid)
        return path.is_file() and root_of(chunks(path)) == cid

    def _check(self, cid: Cid, found: Cid) -> None:
        if found != cid:
            raise DigestMismatch(
                f"{cid} in {self.root} is corrupted: its bytes hash to {found}",
                hint=f"delete {self.path(cid)} and fetch the package again, or put the original again: that repairs it",
            )

    def _missing(self, cid: Cid) -> ContentMissing:
        return ContentMissing(
            f"{cid} is not in the store {self.root}",
            hint="check that all nodes name the same store, or fetch the package from a node that has it",
        )


# --- shared by the stores --------------------------------------------------------------------------------------------

Pieces = Iterable[bytes]


def write_verified(path: Path, pieces: Pieces) -> Cid:
    """Write leaves to a file, synced to the disk, and return the CID of what was written."""
    with path.open("wb") as file:
        cid = root_of(_tee(pieces, file.write))
        file.flush()
        os.fsync(file.fileno())
    return cid


def fetch_verified(cid: Cid, pieces: Pieces, into: Path, check: Callable[[Cid], None]) -> Path:
    """Write leaves beside ``into``, check their CID, then rename: ``into`` is complete and right, or untouched."""
    with storage_errors("writing", into):
        into.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(into.parent) as partial:
            check(write_verified(partial, pieces))
            partial.replace(into)
            sync_folder(into.parent)
    return into


def bounded(cid: Cid, pieces: Pieces, max_bytes: int) -> Iterator[bytes]:
    """Pass pieces on until they add up to more than ``max_bytes``."""
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > max_bytes:
            raise too_large(cid, total, max_bytes)
        yield piece


def too_large(cid: Cid, size: int, max_bytes: int) -> StoreError:
    return StoreError(
        f"{cid} has at least {size} bytes, the limit is {max_bytes}",
        hint="raise max_bytes only if this task's models are that large",
    )


@contextmanager
def temporary_file(folder: Path) -> Iterator[Path]:
    """Path of a new empty file in ``folder``; removed on the way out unless it was renamed."""
    handle, name = tempfile.mkstemp(prefix=".part-", dir=folder)
    os.close(handle)
    path = Path(name)
    try:
        path.chmod(0o644)
        yield path
    finally:
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename durable. File systems that cannot sync a folder are left alone."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _tee(pieces: Pieces, write: Callable[[bytes], object]) -> Iterator[bytes]:
    for piece in pieces:
        write(piece)
        yield piece


def _clear_stale(folder: Path) -> None:
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > STALE_AFTER:
                path.unlink()


@contextmanager
def storage_errors(action: str, path: Path) -> Iterator[None]:
    """Turn errors of the operating system into ones that say what to do."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        if error.errno in _NO_SPACE:
            raise StoreError(
                f"no space left while {action}: {where}", hint="free disk space, then run again"
            ) from error
        if error.errno in _NOT_WRITABLE:
            raise StoreError(
                f"no permission while {action}: {where}", hint="choose a folder this user may read and write"
            ) from error
        raise StoreError(
            f"{error.strerror or error} while {action}: {where}", hint="check the path and the disk"
        ) from error
