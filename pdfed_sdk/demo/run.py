"""The demo from the first process to the last check: prepare the task, watch it run, settle, sum up, audit."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.chain import event_types
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.deploy import Manifest, write_genesis
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.demo import processes
from pdfed_sdk.demo.nodes import ARTWORK, SCORING, STAKE, DemoNode, demo_nodes
from pdfed_sdk.demo.page import shown, write_report
from pdfed_sdk.demo.progress import Progress
from pdfed_sdk.demo.stores import DemoStores, prepare_stores
from pdfed_sdk.demo.summary import check_promises, print_summary, sum_up
from pdfed_sdk.errors import ChainError, DemoFailed, EnvironmentProblem, UsageError
from pdfed_sdk.ml.data import partition, split_nodes
from pdfed_sdk.ml.device import set_threads
from pdfed_sdk.ml.scoring.scorer import pinned
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.node.genesis import make_genesis
from pdfed_sdk.node.task_card import TaskCard
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.types import Address, Status

MARK = ".pdfed-demo"
LOG_WIDTH = 80
"""Columns of the tables where there is no terminal."""
RESTART = 20
"""Seconds a killed node needs at most until it opens a vote, with two seconds before it is started again."""
POOL = 1_000_000
"""Whole tokens the sponsor puts into the pool."""


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """How large the federation is; the choice is explained in docs/decisions. ``quick`` is for tests."""

    pictures: int = 4_500
    overtrain: int = 3_500
    genesis: int = 2_000
    submissions: int = 8
    most: int = 5
    close_from: float = 150.0
    close_by: float = 218.0
    windows: dict[str, int] = field(default_factory=lambda: {"commit_window": 38, "reveal_gap": 1, "reveal_window": 14})
    promises: bool = True

    @staticmethod
    def quick() -> DemoPlan:
        return DemoPlan(
            pictures=1_500,
            overtrain=1_500,
            genesis=500,
            submissions=3,
            most=2,
            close_from=0,
            close_by=75.0,
            promises=False,
        )


@dataclass
class DemoRun:
    """Everything the scenes share."""

    folder: Path
    root: Path
    plan: DemoPlan
    seed: int
    console: Console
    started: float
    rpc: str = ""
    sponsor: LocalSigner | None = None
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    nodes: list[DemoNode] = field(default_factory=list)
    addresses: dict[str, Address] = field(default_factory=dict)
    processes: dict[str, processes.Process] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    stores: DemoStores | None = None

    def home(self, node: DemoNode) -> Path:
        return self.folder / "nodes" / node.name


def checkout() -> Path:
    """The checkout that holds the brownie scripts."""
    for place in (Path.cwd(), *Path(__file__).resolve().parents):
        if (place / "scripts" / "deploy.py").exists() and (place / "brownie-config.yaml").exists():
            return place
    raise EnvironmentProblem(
        "the brownie scripts are not here: the demo runs from a checkout", hint="clone the repository, then: make demo"
    )


def run_demo(folder: Path, *, seconds: int, quick: bool, seed: int, quiet: bool = False) -> dict[str, Any]:
    """Play the demo in ``folder`` and return the summary. Raises DemoFailed when something promised did not happen."""
    root, folder = checkout(), folder.resolve()
    processes.require_tools(root, folder)
    clear(folder)
    set_threads(1)
    script = DemoPlan.quick() if quick else DemoPlan()
    console = Console(stderr=True, highlight=False, quiet=quiet, width=None if sys.stderr.isatty() else LOG_WIDTH)
    run = DemoRun(folder, root, script, seed, console, time.monotonic())
    with closing():
        client, view = prepare_task(run)
        assert run.stores is not None
        reader = PdfedClient.connect(run.rpc, task=client.task.registry)
        with shown(folder, reader, run.addresses, run.stores.sponsor, lambda text: say(run, text)) as watcher:
            supervise(run, client, view, seconds)
        summary = sum_up(folder, client, run.nodes, run.addresses, run.notes, run.started, run.stores)
        write_report(watcher, folder, run.stores.everything)
        run.stores.close()
    print_summary(console, summary, folder)
    check_promises(summary, full=script.promises)
    return summary


def clear(folder: Path) -> None:
    """An older demo there is replaced; anything else is left alone."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise UsageError(
                f"{folder} is not empty and not a former demo",
                hint="choose an empty folder with --out; nothing changed",
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text("made by pdfed demo; replaced by the next run\n", encoding="utf-8")


@contextlib.contextmanager
def closing() -> Iterator[None]:
    """Whatever happens, no process is left behind."""
    try:
        yield
    finally:
        processes.end_all()


# --- scene 1: the chain and its nodes ------------------------------------------------------------------------------


def prepare_task(run: DemoRun) -> tuple[PdfedClient, TaskView]:
    """Chain, contracts, genesis, splits, keys, task; the nodes are started as soon as the task exists."""
    run.nodes = demo_nodes(run.plan.pictures, run.plan.overtrain, most=run.plan.most)
    run.processes["anvil"], run.rpc = processes.start_anvil(run.root, run.folder / "logs" / "anvil.log")
    private_file(run.folder / "sponsor" / "password", run.password)
    run.sponsor = LocalSigner.create_keystore(run.folder / "sponsor" / "keystore.json", run.password)
    give_ether(run, run.sponsor.address)
    script = {"PDFED_PASSWORD": run.password}
    deploying = Background(lambda: brownie(run, "deploy", ["--test-token"], script))
    prepare_nodes(run)
    homes = {node.name: run.home(node) for node in run.nodes}
    run.stores = prepare_stores(run.folder, homes, lambda text: say(run, text))
    genesis = prepare_genesis(run)
    deploying.join()
    say(run, "contracts deployed with scripts/deploy.py")
    windows = [item for name, value in run.plan.windows.items() for item in ("--set", f"{name}={value}")]
    card = ["--card", str(run.folder / "card.json")]
    brownie(run, "create_task", ["--genesis", str(genesis), "--fund", str(POOL), "--mint", *windows, *card], script)
    manifest = Manifest.load(processes.CHAIN_ID, run.folder / "deployments")
    if manifest is None or not manifest.tasks:
        log = run.folder / "logs" / "create_task.log"
        raise DemoFailed("scripts/create_task.py recorded no task", hint=f"read {log}")
    task = manifest.tasks[-1].registry
    say(run, f"task {task} created and funded with scripts/create_task.py")
    client = PdfedClient.connect(run.rpc, task=task, signer=run.sponsor, state=run.folder / "sponsor" / "state")
    for node in run.nodes:
        client.mint(run.addresses[node.name], STAKE * 10**18)
        config = node.config(run.rpc, task, run.stores.uris[node.name])
        (run.home(node) / "pdfed.toml").write_text(config, encoding="utf-8")
    view = TaskView(client)
    return client, view


def say(run: DemoRun, text: str) -> None:
    run.console.print(f"[dim]{time.monotonic() - run.started:5.0f}s[/] {text}", soft_wrap=True)


def private_file(path: Path, text: str) -> Path:
    """A file only its owner reads."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    return path


def give_ether(run: DemoRun, address: Address) -> None:
    """Gas money on the private chain."""
    from web3 import Web3
    from web3.types import RPCEndpoint

    Web3(Web3.HTTPProvider(run.rpc)).provider.make_request(
        RPCEndpoint("anvil_setBalance"), [address, hex(100 * 10**18)]
    )


def brownie(run: DemoRun, name: str, arguments: list[str], secret: dict[str, str]) -> None:
    """Run one of the brownie scripts against the demo's chain."""
    common = ["--rpc", run.rpc, "--from", str(run.folder / "sponsor" / "keystore.json")]
    place = ["--deployments", str(run.folder / "deployments"), "--yes"]
    command = [sys.executable, str(run.root / "scripts" / f"{name}.py"), *common, *place, *arguments]
    log = run.folder / "logs" / f"{name}.log"
    processes.run_script(f"scripts/{name}.py", command, log, {**os.environ, **secret}, run.root)


def prepare_nodes(run: DemoRun) -> None:
    """Each node gets a home: an encrypted key, a password file only it reads, and its private split."""
    _, private = partition(load_pictures("mnist", size=16))
    holders = [i for i, node in enumerate(run.nodes) if node.holds_artwork]
    splits = split_nodes(private, len(run.nodes), seed=run.seed, shared=ARTWORK, holders=holders)
    for node, split in zip(run.nodes, splits, strict=True):
        home = run.home(node)
        private_file(home / "password", run.password)
        signer = LocalSigner.create_keystore(home / "keystore.json", run.password)
        run.addresses[node.name] = signer.address
        split.save(home / "data")
        give_ether(run, signer.address)
        log = run.folder / "logs" / f"{node.name}.log"
        command = [sys.executable, "-m", "pdfed_sdk.cli", "node", "run", "--home", str(home)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
        run.processes[node.name] = processes.Process(node.name, command, log, environment)


def prepare_genesis(run: DemoRun) -> Path:
    """Train the genesis model on public pictures, sign it, store it; write the task card with the frozen settings."""
    assert run.sponsor is not None
    assert run.stores is not None
    identity = SigningIdentity.load_or_create(run.folder / "sponsor" / "identity.json", run.password)
    genesis = make_genesis(
        run.folder / "genesis",
        data="mnist",
        size=16,
        pictures=run.plan.genesis,
        identity=identity,
        wallet=run.sponsor.address,
        seed=run.seed,
    )
    made = genesis.package
    title = "handwritten digits, 16 x 16, in one command"
    card = TaskCard(pinned(SCORING), title, classes=genesis.classes)
    run.stores.sponsor.put(made.path)
    run.stores.sponsor.put(card.write(run.folder / "card.json"))
    path = run.folder / "genesis" / "genesis.json"
    write_genesis(path, made.digests)
    say(run, f"genesis trained on {run.plan.genesis} public pictures, {made.size:,} bytes, {made.cid}")
    return path


class Background:
    """A call in a thread, its error raised where it is joined."""

    def __init__(self, call: Any) -> None:
        self._error: BaseException | None = None

        def body() -> None:
            try:
                call()
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=body, daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error


# --- scene 2: the play -----------------------------------------------------------------------------------------------


def supervise(run: DemoRun, client: PdfedClient, view: TaskView, seconds: int) -> None:
    """Start the nodes, tell what happens, kill one and start it again, close the task, wait until all have left."""
    names = {address: name for name, address in run.addresses.items()}
    node_logs = {node.name: run.processes[node.name].log for node in run.nodes}
    watch = Progress(run.console, view, names, node_logs, run.started)
    supervisor = Supervisor(run, client, view, watch)
    for node in run.nodes:
        if not node.joins_after:
            supervisor.start(node)
    try:
        while not supervisor.over:
            if time.monotonic() - run.started > seconds + 60:
                raise DemoFailed(
                    f"the federation did not end within {seconds} s (+60 s)",
                    hint=f"read the logs in {run.folder / 'logs'}; a slower machine needs more --seconds",
                )
            supervisor.watch_processes()
            try:
                supervisor.direct(watch.look(client.now()))
            except ChainError:
                supervisor.watch_processes()
                raise
            time.sleep(0.5)
    finally:
        watch.close()


class Supervisor:
    """Late joiner, the killed node, the closing of the task."""

    def __init__(self, run: DemoRun, client: PdfedClient, view: TaskView, watch: Progress) -> None:
        self.run, self.client, self.view, self.watch = run, client, view, watch
        self.curtain = time.monotonic()
        self.late = [p for p in run.nodes if p.joins_after]
        self.victim = run.nodes[0]
        self.restart_at: float | None = None
        self.over = False

    def start(self, node: DemoNode) -> None:
        self.run.processes[node.name].start()
        self.watch.say(f"[bold]{node.name}[/] ({node.role}) starts: {node.tells}")

    def watch_processes(self) -> None:
        """A process that ended before its time is an error that says why."""
        for name, process in self.run.processes.items():
            code = process.exit_code()
            if code is None or (code == 0 and self.view.closed) or (name == self.victim.name and self.restart_at):
                continue
            raise DemoFailed(
                f"{name} ended too early with code {code}:\n{process.tail(8)}",
                hint=f"the whole output is in {process.log}",
            )

    def direct(self, events: list[event_types.Event]) -> None:
        now = time.monotonic()
        for node in [p for p in self.late if now - self.curtain >= p.joins_after]:
            self.late.remove(node)
            self.start(node)
        self._kill_and_restart(events, now)
        if not self.view.closed and self._enough(now):
            self.client.close()
        if self.view.closed and self.view.all_settled:
            nodes = [p for n, p in self.run.processes.items() if n != "anvil"]
            self.over = not any(process.running for process in nodes)

    def _kill_and_restart(self, events: list[event_types.Event], now: float) -> None:
        """SIGKILL one trainer between sealing and opening a vote; it must come back and open it."""
        name = self.victim.name
        if self.restart_at is not None and now >= self.restart_at:
            self.restart_at = None
            self.watch.say(f"[bold]{name}[/] is started again")
            self.run.processes[name].start()
        if "killed" in self.run.notes or self.view.closed:
            return
        address = self.run.addresses[name]
        for event in events:
            if isinstance(event, event_types.Committed) and event.voter == address:
                entry = self.view.entries[event.id]
                if entry.windows.reveal_end - self.client.now() >= RESTART:
                    self.run.notes["killed"] = {"node": name, "sealed_vote_on": event.id}
                    self.run.processes[name].kill()
                    self.restart_at = now + 2.0
                    self.watch.say(f"[bold red]{name} is killed (SIGKILL)[/] with a sealed vote on #{event.id}")
                    return

    def _enough(self, now: float) -> bool:
        """Whether the federation has shown what it should, or its time is up."""
        submitted = [e for e in self.view.entries.values() if e.record is not None and e.status is not Status.VOID]
        authors = {e.author for e in submitted}
        averaged = any(e.record and len(e.record.parents) > 1 for e in submitted)
        copyist = self.run.addresses["copyist"] in authors
        script = self.run.plan
        shown = len(submitted) >= script.submissions and len(authors) >= 3 and averaged and copyist
        elapsed = now - self.run.started
        return (shown and elapsed > script.close_from) or elapsed > script.close_by
