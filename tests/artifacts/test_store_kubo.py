"""The Kubo client against a contract server written here after Kubo's RPC documentation: NOT a running Kubo.

The server keeps content by CID, answers in Kubo's shapes, and can be told to lie, stall, cut off or refuse.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pdfed_sdk.artifacts.cid import CHUNK, cid_of
from pdfed_sdk.artifacts.kubo import KuboStore
from pdfed_sdk.artifacts.store import Store
from pdfed_sdk.errors import ContentMissing, DigestMismatch, StoreError, UsageError

DATA = b"package " * 100_000  # four leaves


class Kubo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    held: dict[str, bytes]
    pinned: set[str]
    queries: list[tuple[str, dict[str, str]]]
    mode = ""

    def log_message(self, *_: Any) -> None: ...

    def do_POST(self) -> None:
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        call = address.path.removeprefix("/api/v0/")
        self.queries.append((call, query))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.mode == "stall":
            time.sleep(2)
        {"add": self.add, "cat": self.cat, "pin/add": self.pin, "block/stat": self.stat}[call](query, body)

    def add(self, query: dict[str, str], body: bytes) -> None:
        head, content = body.split(b"\r\n\r\n", 1)
        boundary = self.headers["Content-Type"].split("boundary=")[1].encode()
        assert head.startswith(b"--" + boundary)
        content = content.removesuffix(b"\r\n--" + boundary + b"--\r\n")
        cid = "QmOtherLayout" if self.mode == "layout" else str(cid_of(content))
        self.held[cid] = content
        # With progress Kubo sends several objects, one a line; the last one is the file.
        self.answer(b'{"Name":"package","Bytes":1}\n' + json.dumps({"Name": cid, "Hash": cid, "Size": "1"}).encode())

    def cat(self, query: dict[str, str], _: bytes) -> None:
        content = self.held.get(query["arg"])
        if content is None:
            self.error(f"block was not found locally (offline): ipld: could not find {query['arg']}")
            return
        if self.mode == "lie":
            content = content[:-1] + b"!"
        if self.mode == "short":
            content = content[:-1]
        if self.mode == "endless":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                self.close_connection = True
            return
        if self.mode == "cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: CHUNK + 5])
            self.close_connection = True
            return
        if self.mode == "drip":
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            try:
                for _i in range(40):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                pass
            return
        self.answer(content)

    def pin(self, query: dict[str, str], _: bytes) -> None:
        if query["arg"] not in self.held:
            self.error("context deadline exceeded")
            return
        self.pinned.add(query["arg"])
        self.answer(json.dumps({"Pins": [query["arg"]]}).encode())

    def stat(self, query: dict[str, str], _: bytes) -> None:
        if self.mode == "denied":
            self.error("403 - Forbidden", status=403)
        elif query["arg"] not in self.held:
            self.error("ipld: could not find " + query["arg"])
        else:
            self.answer(json.dumps({"Key": query["arg"], "Size": 1}).encode())

    def answer(self, content: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a client may stop reading at its limit
            self.wfile.write(content)

    def error(self, message: str, status: int = 500) -> None:
        self.answer(json.dumps({"Message": message, "Code": 0, "Type": "error"}).encode(), status)


@pytest.fixture
def kubo() -> Iterator[type[Kubo]]:
    handler = type("Handler", (Kubo,), {"held": {}, "pinned": set(), "queries": [], "mode": ""})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    handler.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield handler
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("data", [b"", b"x", DATA[:CHUNK], DATA])
def test_round_trip(kubo: Any, tmp_path: Path, data: bytes) -> None:
    store: Store = KuboStore(kubo.url + "/")
    (tmp_path / "in").write_bytes(data)
    cid = store.put(tmp_path / "in")
    assert cid == cid_of(data) == store.put(data)
    assert kubo.held == {str(cid): data}
    assert store.has(cid)
    assert store.get(cid) == data
    assert store.fetch(cid, tmp_path / "out").read_bytes() == data
    store.pin(cid)
    assert kubo.pinned == {str(cid)}
    assert kubo.queries[0] == (
        "add",
        {"cid-version": "1", "raw-leaves": "true", "chunker": "size-262144", "hash": "sha2-256", "pin": "true"},
    )


def test_missing_content(kubo: Any, tmp_path: Path) -> None:
    store, cid = KuboStore(kubo.url), cid_of(b"elsewhere")
    assert not store.has(cid)
    for ask in (lambda: store.get(cid), lambda: store.fetch(cid, tmp_path / "out"), lambda: store.pin(cid)):
        with pytest.raises(ContentMissing, match=str(cid)):
            ask()
    assert not (tmp_path / "out").exists()


def test_asking_what_is_held_does_not_search_the_network(kubo: Any) -> None:
    KuboStore(kubo.url).has(cid_of(b"elsewhere"))
    assert kubo.queries == [("block/stat", {"arg": str(cid_of(b"elsewhere")), "offline": "true"})]


@pytest.mark.parametrize(
    ("mode", "words"),
    [("lie", "bytes that hash to"), ("short", "bytes that hash to"), ("cut", "IncompleteRead"), ("endless", "limit")],
)
def test_wrong_content_is_never_returned(kubo: Any, tmp_path: Path, mode: str, words: str) -> None:
    store = KuboStore(kubo.url, timeout=2)
    cid = store.put(DATA)
    kubo.mode = mode
    with pytest.raises(StoreError, match=words):
        store.get(cid, max_bytes=2 * len(DATA))
    with pytest.raises(StoreError, match=words):
        store.fetch(cid, tmp_path / "out", max_bytes=2 * len(DATA))
    assert list(tmp_path.iterdir()) == []


def test_size_limit(kubo: Any) -> None:
    store = KuboStore(kubo.url)
    cid = store.put(DATA)
    assert store.get(cid, max_bytes=len(DATA)) == DATA
    with pytest.raises(StoreError, match="limit"):
        store.get(cid, max_bytes=len(DATA) - 1)


@pytest.mark.parametrize("mode", ["stall", "drip"])
def test_a_slow_node_is_given_up(kubo: Any, mode: str) -> None:
    cid = KuboStore(kubo.url).put(DATA)
    kubo.mode = mode
    start = time.monotonic()
    with pytest.raises(StoreError, match=r"did not finish cat within 0\.3 s"):
        KuboStore(kubo.url, timeout=0.3).get(cid)
    assert time.monotonic() - start < 1.5


def test_a_node_of_another_layout_is_refused(kubo: Any) -> None:
    kubo.mode = "layout"
    with pytest.raises(DigestMismatch, match="QmOtherLayout"):
        KuboStore(kubo.url).put(DATA)


def test_a_refusal_is_told(kubo: Any) -> None:
    kubo.mode = "denied"
    with pytest.raises(StoreError, match="403") as caught:
        KuboStore(kubo.url).has(cid_of(b""))
    assert not isinstance(caught.value, ContentMissing)


def test_nobody_listens() -> None:
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        KuboStore("http://127.0.0.1:9").put(b"data")
    assert "start the IPFS node" in caught.value.hint


@pytest.mark.parametrize("url", ["", "127.0.0.1:5001", "ftp://x", "http://"])
def test_addresses_that_cannot_be(url: str) -> None:
    with pytest.raises(UsageError):
        KuboStore(url)
