"""An IPFS node as a store: the few calls of Kubo's HTTP RPC that publishing and fetching need.

Every call has a time limit (no wait is longer; a whole call at most twice that), every answer a size limit, and what
the node says is not believed: the CID of what was sent and of what came back is computed here. Tested against a
contract server of our own (``tests/artifacts/test_store_kubo.py``), not a running Kubo; CIDs are checked against one.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from pdfed_sdk.artifacts.cid import CHUNK, Cid, chunks, cid_of, root_of
from pdfed_sdk.artifacts.store import MAX_BYTES, bounded, fetch_verified
from pdfed_sdk.errors import ContentMissing, DigestMismatch, StoreError, UsageError

_MAX_ANSWER = 64 * 1024
_BOUNDARY = "pdfed-9f1c6f1a5f5c4b0f"
_LAYOUT = {"cid-version": "1", "raw-leaves": "true", "chunker": f"size-{CHUNK}", "hash": "sha2-256", "pin": "true"}


class KuboStore:
    """Store behind the RPC of a Kubo node, e.g. ``http://127.0.0.1:5001``. ``timeout`` bounds each call, in seconds."""

    def __init__(self, url: str, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{url!r} is not the address of a Kubo RPC", hint="as in http://127.0.0.1:5001")
        if timeout <= 0:
            raise UsageError(f"timeout of the Kubo RPC is {timeout}, it must be above 0 seconds")
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._parts = parts

    def put(self, source: bytes | Path) -> Cid:
        cid = cid_of(source)
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        answer = self._json("add", _LAYOUT, _multipart(source, size))
        if answer.get("Hash") != str(cid):
            raise DigestMismatch(
                f"{self.url} stored the content as {answer.get('Hash')!r}, its CID is {cid}",
                hint="set Import.CidVersion, UnixFSRawLeaves and UnixFSChunker of that node back to their defaults",
            )
        return cid

    def get(self, cid: Cid, max_bytes: int = MAX_BYTES) -> bytes:
        with self._opened(cid) as pieces:
            parts = list(bounded(cid, pieces, max_bytes))
        self._check(cid, root_of(parts))
        return b"".join(parts)

    def fetch(self, cid: Cid, into: Path, max_bytes: int = MAX_BYTES) -> Path:
        with self._opened(cid) as pieces:
            return fetch_verified(cid, bounded(cid, pieces, max_bytes), into, lambda found: self._check(cid, found))

    def has(self, cid: Cid) -> bool:
        """Whether the node holds the root block, without asking the network for it."""
        try:
            return self._json("block/stat", {"arg": str(cid), "offline": "true"}).get("Key") == str(cid)
        except ContentMissing:
            return False

    def pin(self, cid: Cid) -> None:
        answer = self._json("pin/add", {"arg": str(cid), "recursive": "true", "timeout": self._limit()})
        if str(cid) not in answer.get("Pins", []):
            raise StoreError(f"{self.url} did not pin {cid}: it answered {answer}", hint="look at the node's log")

    def unpin(self, cid: Cid) -> None:
        with contextlib.suppress(StoreError):  # Kubo calls it an error where nothing was pinned
            self._json("pin/rm", {"arg": str(cid), "recursive": "true"})

    def _check(self, cid: Cid, found: Cid) -> None:
        if found != cid:
            raise DigestMismatch(
                f"{self.url} answered {cid} with bytes that hash to {found}",
                hint="do not use them; fetch the package through another node",
            )

    def _limit(self) -> str:
        return f"{self.timeout:g}s"

    def _json(self, call: str, query: dict[str, str], body: _Body | None = None) -> dict[str, Any]:
        with self._call(call, query, body) as pieces:
            text = b"".join(itertools.islice(pieces, 1))
        try:
            answer = json.loads(text.splitlines()[-1]) if text.strip() else {}
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise StoreError(f"{self.url} answered {call} with {text[:80]!r}, not JSON", hint="is this a Kubo RPC?")
        return answer

    def _opened(self, cid: Cid) -> AbstractContextManager[Iterator[bytes]]:
        return self._call("cat", {"arg": str(cid), "timeout": self._limit()})

    @contextmanager
    def _call(self, call: str, query: dict[str, str], body: _Body | None = None) -> Iterator[Iterator[bytes]]:
        """Send one request; give the body of the answer in pieces of 256 KiB."""
        deadline = time.monotonic() + self.timeout
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._parts.hostname or "", self._parts.port, timeout=self.timeout)
        path = f"{self._parts.path.rstrip('/')}/api/v0/{call}?{urlencode(query)}"
        try:
            with self._network_errors(call):
                connection.request(
                    "POST", path, body=body.pieces if body else None, headers=body.headers if body else {}
                )
                response = connection.getresponse()
                if response.status != 200:
                    raise self._refused(call, query, response)
            yield self._pieces(call, response, deadline)
        finally:
            connection.close()

    def _pieces(self, call: str, response: http.client.HTTPResponse, deadline: float) -> Iterator[bytes]:
        """The body in leaves of exactly 256 KiB, the last one shorter; one empty leaf if it is empty."""
        waiting, given = bytearray(), 0
        with self._network_errors(call):
            while part := response.read1(CHUNK):
                if time.monotonic() > deadline:
                    raise TimeoutError
                waiting += part
                while len(waiting) >= CHUNK:
                    yield bytes(waiting[:CHUNK])
                    given += 1
                    del waiting[:CHUNK]
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
        if waiting or not given:
            yield bytes(waiting)

    @contextmanager
    def _network_errors(self, call: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise StoreError(
                f"{self.url} did not finish {call} within {self.timeout:g} s",
                hint="raise the time limit or try another node",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise StoreError(
                f"{self.url} cannot be reached for {call}: {error or type(error).__name__}",
                hint="start the IPFS node, or set the store's address",
            ) from error

    def _refused(self, call: str, query: dict[str, str], response: http.client.HTTPResponse) -> StoreError:
        text = response.read(_MAX_ANSWER).decode(errors="replace")
        try:
            text = str(json.loads(text)["Message"])
        except (ValueError, KeyError, TypeError):
            text = text.strip()[:200]
        subject = query.get("arg", "content")
        if any(sign in text for sign in ("not found", "could not find", "deadline exceeded", "no link named")):
            return ContentMissing(
                f"{self.url} could not find {subject} within {self.timeout:g} s: {text}",
                hint="wait until a node that holds it is connected, or raise the time limit",
            )
        return StoreError(f"{self.url} refused {call} of {subject} with status {response.status}: {text}")


class _Body:
    def __init__(self, pieces: Iterator[bytes], length: int) -> None:
        self.pieces = pieces
        self.headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}", "Content-Length": str(length)}


def _multipart(source: bytes | Path, size: int) -> _Body:
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="package"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    tail = f"\r\n--{_BOUNDARY}--\r\n".encode()

    def pieces() -> Iterator[bytes]:
        yield head
        yield from chunks(source)
        yield tail

    return _Body(pieces(), len(head) + size + len(tail))
