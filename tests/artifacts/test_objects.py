"""Object stores: the real client against a server of our own that speaks the few requests of S3 and HTTP it needs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pdfed_sdk.artifacts.cid import cid_of
from pdfed_sdk.artifacts.objects import ObjectStore, in_leaves
from pdfed_sdk.artifacts.open_store import open_store
from pdfed_sdk.errors import ContentMissing, DigestMismatch, StoreError
from tests.support.cids import content

pytest.importorskip("obstore")


class Bucket(BaseHTTPRequestHandler):
    kept: dict[str, bytes]

    def do_PUT(self) -> None:
        self.kept[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, b"")

    def do_GET(self) -> None:
        found = self.kept.get(self.path)
        self.answer(200, found) if found is not None else self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    do_HEAD = do_GET

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, bytes]]]:
    kept: dict[str, bytes] = {}
    handler = type("Handler", (Bucket,), {"kept": kept})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", kept
    running.shutdown()


@pytest.fixture(params=["http", "s3"])
def store(request: pytest.FixtureRequest, server: tuple[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch):
    url, _ = server
    if request.param == "http":
        return open_store(f"{url}/models")
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return open_store("s3://bucket/models")


@pytest.mark.parametrize("size", [0, 1, 700_000])
def test_bytes_come_back_under_their_cid(store: ObjectStore, tmp_path: Path, size: int):
    data = content(size)
    (tmp_path / "in").write_bytes(data)
    assert not store.has(cid_of(data))
    cid = store.put(tmp_path / "in")
    assert cid == cid_of(data) == store.put(data)
    assert store.get(cid) == data
    assert store.fetch(cid, tmp_path / "out").read_bytes() == data
    store.pin(cid)


def test_wrong_missing_and_oversized_bytes_are_told_apart(
    store: ObjectStore, server: tuple[str, dict[str, bytes]], tmp_path: Path
):
    cid = store.put(content(300_000))
    with pytest.raises(StoreError, match="the limit is 1000"):
        store.get(cid, max_bytes=1000)
    place = next(iter(server[1]))
    server[1][place] = content(300_000)[:-1] + b"x"
    with pytest.raises(DigestMismatch, match="bytes that hash to"):
        store.fetch(cid, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    del server[1][place]
    for act in (store.get, store.pin):
        with pytest.raises(ContentMissing, match=str(cid)):
            act(cid)


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(StoreError, match=r"http://127.0.0.1:9/m failed at get"):
        ObjectStore("http://127.0.0.1:9/m", timeout=1).get(cid_of(b"x"))


def test_leaves_are_cut_whatever_the_pieces():
    data = content(600_000)
    for step in (1_000, 262_144, 300_000):
        pieces = [data[at : at + step] for at in range(0, len(data), step)]
        assert [len(leaf) for leaf in in_leaves(pieces)] == [262_144, 262_144, 75_712]
    assert list(in_leaves([])) == [b""]
