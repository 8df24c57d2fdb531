"""Object stores and web servers as stores: S3, Google Cloud Storage, HTTP, by the library obstore.

Packages lie under their CIDs, as plain objects: any store of bytes will do, since what comes back is checked against
the CID. Keys come from where the provider's own tools find them (environment, instance role), never from an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from pdfed_sdk.artifacts.cid import CHUNK, Cid, cid_of, root_of
from pdfed_sdk.artifacts.store import MAX_BYTES, bounded, fetch_verified, too_large
from pdfed_sdk.errors import ContentMissing, DigestMismatch, EnvironmentProblem, StoreError, UsageError


class ObjectStore:
    """The store at ``s3://bucket/prefix``, ``gs://bucket/prefix`` or ``http(s)://host/prefix`` (which is read alone,
    unless the server takes PUT). ``timeout`` bounds each request, in seconds."""

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        try:
            from obstore.store import from_url
        except ImportError as error:
            raise EnvironmentProblem(
                f"the store {url} needs the package obstore", hint="pip install 'pdfed-sdk[objects]'"
            ) from error
        if timeout <= 0:
            raise UsageError(f"timeout of the store is {timeout}, it must be above 0 seconds")
        self.url = url.rstrip("/")
        options: dict[str, Any] = {
            "client_options": {"timeout": f"{timeout:g}s", "allow_http": True},  # the bytes are checked
            "retry_config": {"max_retries": 3, "retry_timeout": timedelta(seconds=timeout)},
        }
        try:
            self._store: Any = from_url(self.url, **options)
        except Exception as error:  # obstore raises several kinds
            raise UsageError(f"{url} is no object store: {_told(error)}", hint="as in s3://bucket/models") from error

    def put(self, source: bytes | Path) -> Cid:
        import obstore

        cid = cid_of(source)
        if not self.has(cid):
            with self._errors("put", cid):
                obstore.put(self._store, str(cid), source)
        return cid

    def get(self, cid: Cid, max_bytes: int = MAX_BYTES) -> bytes:
        with self._errors("get", cid):
            parts = list(bounded(cid, self._leaves(cid, max_bytes), max_bytes))
        self._check(cid, root_of(parts))
        return b"".join(parts)

    def fetch(self, cid: Cid, into: Path, max_bytes: int = MAX_BYTES) -> Path:
        with self._errors("get", cid):
            pieces = bounded(cid, self._leaves(cid, max_bytes), max_bytes)
            return fetch_verified(cid, pieces, into, lambda found: self._check(cid, found))

    def has(self, cid: Cid) -> bool:
        import obstore

        try:
            with self._errors("head", cid):
                obstore.head(self._store, str(cid))
        except ContentMissing:
            return False
        return True

    def pin(self, cid: Cid) -> None:
        """An object store keeps what it has: only checks that it has it."""
        if not self.has(cid):
            raise ContentMissing(f"{cid} is not in {self.url}", hint="put it first")

    def unpin(self, cid: Cid) -> None:
        """Nothing: removing objects is for the owner of the bucket."""

    def _leaves(self, cid: Cid, most: int) -> Iterator[bytes]:
        import obstore

        answer = obstore.get(self._store, str(cid))
        if answer.meta["size"] > most:
            raise too_large(cid, answer.meta["size"], most)
        return in_leaves(bytes(part) for part in answer.stream(min_chunk_size=CHUNK))

    def _check(self, cid: Cid, found: Cid) -> None:
        if found != cid:
            raise DigestMismatch(
                f"{self.url} answered {cid} with bytes that hash to {found}",
                hint="do not use them; fetch the package from another store",
            )

    @contextmanager
    def _errors(self, act: str, cid: Cid) -> Iterator[None]:
        from obstore import exceptions

        try:
            yield
        except FileNotFoundError as error:
            raise ContentMissing(f"{cid} is not in {self.url}", hint="it may still be published") from error
        except exceptions.BaseError as error:
            raise StoreError(
                f"{self.url} failed at {act} of {cid}: {_told(error)}",
                hint="check the address, the network and the keys",
            ) from error


def in_leaves(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of any size as leaves of 256 KiB, the last one shorter; one empty leaf for nothing."""
    waiting, given = bytearray(), 0
    for part in parts:
        waiting += part
        while len(waiting) >= CHUNK:
            yield bytes(waiting[:CHUNK])
            given += 1
            del waiting[:CHUNK]
    if waiting or not given:
        yield bytes(waiting)


def _told(error: Exception) -> str:
    """The first line of the library's message, without its dump of the source."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
