"""The local store: what goes in comes out, or a clear error; kills, full disks and many processes included."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pdfed_sdk.artifacts import store as store_module
from pdfed_sdk.artifacts.cid import CHUNK, Cid, cid_of
from pdfed_sdk.artifacts.store import LocalStore, Store
from pdfed_sdk.errors import ContentMissing, DigestMismatch, StoreError

DATA = bytes(range(256)) * 1024 * 3 + b"end"  # four leaves


def files_in(store: LocalStore) -> list[Path]:
    return sorted(p for p in store.root.rglob("*") if p.is_file())


def child(code: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("data", [b"", b"x", DATA[:CHUNK], DATA], ids=["empty", "byte", "leaf", "leaves"])
def test_round_trip(tmp_path: Path, data: bytes) -> None:
    store: Store = LocalStore(tmp_path / "store")
    (tmp_path / "in").write_bytes(data)
    cid = store.put(data)
    assert cid == cid_of(data) == store.put(tmp_path / "in")
    assert store.get(cid) == data
    assert store.fetch(cid, tmp_path / "deep" / "out").read_bytes() == data
    assert store.has(cid)
    store.pin(cid)
    assert LocalStore(tmp_path / "store").pins() == [cid]
    assert len(files_in(LocalStore(tmp_path / "store"))) == 2  # the object and its pin


def test_missing_content_is_named(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    cid = cid_of(b"elsewhere")
    assert not store.has(cid)
    for ask in (lambda: store.get(cid), lambda: store.fetch(cid, tmp_path / "out"), lambda: store.pin(cid)):
        with pytest.raises(ContentMissing, match=str(cid)):
            ask()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("at", [0, CHUNK - 1, CHUNK, len(DATA) - 1])
def test_a_flipped_byte_is_found_and_putting_again_repairs(tmp_path: Path, at: int) -> None:
    store = LocalStore(tmp_path / "store")
    cid = store.put(DATA)
    broken = bytearray(DATA)
    broken[at] ^= 1
    store.path(cid).write_bytes(broken)
    (tmp_path / "out").write_bytes(b"before")
    with pytest.raises(DigestMismatch, match=str(cid)) as caught:
        store.get(cid)
    assert str(store.path(cid)) in caught.value.hint
    with pytest.raises(DigestMismatch):
        store.fetch(cid, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "store"]
    store.put(DATA)
    assert store.get(cid) == DATA


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: b"", lambda d: d[CHUNK:]])
def test_cut_and_lengthened_content_is_found(tmp_path: Path, change) -> None:
    store = LocalStore(tmp_path)
    cid = store.put(DATA)
    store.path(cid).write_bytes(change(DATA))
    with pytest.raises(DigestMismatch):
        store.get(cid)


def test_size_limit_is_exact(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    cid = store.put(DATA)
    assert store.get(cid, max_bytes=len(DATA)) == DATA
    with pytest.raises(StoreError, match=f"limit is {len(DATA) - 1}"):
        store.get(cid, max_bytes=len(DATA) - 1)
    with pytest.raises(StoreError):
        store.fetch(cid, tmp_path / "out", max_bytes=10)
    assert not (tmp_path / "out").exists()


def test_a_name_that_would_leave_the_store_cannot_be_made(tmp_path: Path) -> None:
    path = LocalStore(tmp_path).path(Cid(0x55, b"\xff" * 32))
    assert path.resolve().is_relative_to(tmp_path.resolve())


def test_no_space_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    """A real limit of the operating system on the size of files."""
    code = """
        import resource, signal, sys
        from pdfed_sdk.artifacts import LocalStore
        from pdfed_sdk.errors import StoreError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = LocalStore(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            store.put(b"x" * 300_000)
        except StoreError as error:
            print(error)
    """
    out, err = child(code, tmp_path).communicate(timeout=30)
    assert "no space left" in out, err
    assert "free disk space" in out
    assert files_in(LocalStore(tmp_path)) == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "no space"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "no permission"),
        (errno.EIO, "Input/output"),
    ],
)
def test_errors_of_the_system_become_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    store = LocalStore(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(store_module.os, "fsync", fail)
    with pytest.raises(StoreError, match=words) as caught:
        store.put(b"data")
    assert caught.value.hint
    assert files_in(store) == []


def test_a_root_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="opening the store"):
        LocalStore(tmp_path / "file" / "store")


def test_a_kill_between_write_and_rename_leaves_nothing_visible(tmp_path: Path) -> None:
    code = """
        import os, pathlib, signal, sys
        from pdfed_sdk.artifacts import LocalStore
        pathlib.Path.replace = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
        LocalStore(sys.argv[1]).put(b"never seen")
    """
    process = child(code, tmp_path)
    assert process.wait(timeout=30) == -signal.SIGKILL
    process.communicate()
    store = LocalStore(tmp_path)
    cid = cid_of(b"never seen")
    assert not store.has(cid)
    (left,) = files_in(store)
    assert left.parent.name == "tmp"
    old = time.time() - 2 * store_module.STALE_AFTER
    os.utime(left, (old, old))
    assert files_in(LocalStore(tmp_path)) == []
    assert store.put(b"never seen") == cid
    assert store.get(cid) == b"never seen"


def test_many_processes_put_and_read_at_once(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from pdfed_sdk.artifacts import LocalStore, cid_of
        root, me = Path(sys.argv[1]), int(sys.argv[2])
        for turn in range(15):
            store = LocalStore(root)
            common = b"common %d " % turn * 40_000
            own = b"own %d %d" % (me, turn)
            assert store.get(store.put(common)) == common
            assert store.get(store.put(own)) == own
            store.pin(cid_of(common))
            if turn:
                earlier = b"common %d " % (turn - 1) * 40_000
                assert store.fetch(cid_of(earlier), root / "out" / "shared").read_bytes()[:6] == b"common"
    """
    workers = [child(code, tmp_path, i) for i in range(5)]
    for worker in workers:
        _, err = worker.communicate(timeout=60)
        assert worker.returncode == 0, err
    store = LocalStore(tmp_path)
    objects = [p for p in files_in(store) if p.parent.parent.name == "objects"]
    assert len(objects) == 15 + 5 * 15
    assert all(store.get(Cid.parse(p.name)) is not None for p in objects)
    assert not list((tmp_path / "tmp").iterdir())
    assert len(store.pins()) == 15
