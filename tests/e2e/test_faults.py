"""Faults, with real processes: SIGKILL, SIGINT, a chain that hangs, a chain that dies, a port that is taken.

Nodes here score with a stand-in (node_process.py); chain, store, journal and signals are real. Windows are far longer
than a busy machine needs; the chain's time is moved on where a test would wait for one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from pdfed_sdk.chain.deploy import deploy_factory
from pdfed_sdk.chain.handover import relay_key
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.demo import processes
from pdfed_sdk.errors import DemoFailed, EnvironmentProblem
from pdfed_sdk.node.task_view import TaskView
from tests.support.anvil import ROOT, Anvil, start_anvil
from tests.support.cli_runner import PASSWORD, keystore_of
from tests.support.federation import FAST, KEYS
from tests.support.node_world import World, build_world, copy_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A task on an anvil of its own, since one test stops it: 240 s to commit, 1 s gap, 120 s to reveal."""
    folder = tmp_path_factory.mktemp("faults")
    anvil = start_anvil()
    signers = [LocalSigner.from_key(key, lock_folder=folder / "locks") for key in KEYS]
    for signer in signers:
        anvil.endow(signer.address)
    manifest = deploy_factory(anvil.url, signers[0], folder=folder, options=FAST)
    windows = {"submit_window": 60, "commit_window": 240, "reveal_gap": 1, "reveal_window": 120, "unbonding": 400}
    yield build_world(anvil, manifest, signers, folder, **windows)
    anvil.process.kill()
    anvil.process.wait(10)


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    return copy_of(made, tmp_path)


@pytest.fixture
def launch(world: World) -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    """Start node ``index`` as a process; its log is ``log(index)``."""
    running: list[subprocess.Popen[str]] = []
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(index: int, *relay: str) -> subprocess.Popen[str]:
        home = world.folder / f"node{index}"
        home.mkdir(exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "tests.support.node_process",
            world.anvil.url,
            world.entry.registry,
            str(index),
        ]
        with (home / "log").open("a") as log:
            command += [str(home), str(world.folder / "store"), *(["--relay", *relay] if relay else [])]
            running.append(subprocess.Popen(command, stderr=log, stdout=log, text=True, env=environment, cwd=ROOT))
        return running[-1]

    yield start
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(10)


def log(world: World, index: int) -> str:
    path = world.folder / f"node{index}" / "log"
    return path.read_text() if path.exists() else ""


def wait_for(what: str, true: Callable[[], object], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- nodes -----------------------------------------------------------------------------------------------------------


def test_killed_with_a_sealed_vote_the_node_opens_it_when_started_again(world: World, launch):
    node = launch(2)
    wait_for("the node is ready", lambda: "takes part" in log(world, 2))
    submission = world.submit(1)
    voter = world.signers[2].address
    wait_for("the vote is sealed", lambda: world.client(0).vote(submission, voter).exists)
    node.send_signal(signal.SIGKILL)
    node.wait(10)
    world.to_reveal(submission)
    launch(2)
    wait_for("the vote is opened", lambda: world.client(0).vote(submission, voter).revealed)
    assert world.client(0).vote(submission, voter).improvement == 4


def test_a_relay_opens_the_vote_of_a_node_that_was_killed(world: World, launch):
    """The relay is the command as a user runs it, with a wallet that is no node."""
    place, wallet = world.folder / "relay", world.signers[7]
    place.mkdir()
    keystore = keystore_of(world, 7, place)
    command = [sys.executable, "-m", "pdfed_sdk.cli", "relay", "run", "--keystore", str(keystore), "--home", str(place)]
    command += ["--rpc", world.anvil.url, "--task", world.entry.registry, "--port", "0", "--poll", "0.2", "--json"]
    with (place / "log").open("w") as told:
        relay = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=told, text=True, env=os.environ | {"PDFED_PASSWORD": PASSWORD}
        )
    try:
        assert relay.stdout
        said = json.loads("".join(relay.stdout.readline() for _ in range(4)))
        assert said["address"] == wallet.address
        key = relay_key(wallet).public_key().public_bytes_raw().hex()
        node = launch(2, said["url"], key)
        wait_for("the node is ready", lambda: "takes part" in log(world, 2))
        submission, voter, reader = world.submit(1), world.signers[2].address, world.client(0)
        wait_for("the relay has the opening", lambda: "the relay keeps the opening" in log(world, 2))
        node.send_signal(signal.SIGKILL)
        node.wait(10)
        assert reader.vote(submission, voter).exists
        (kept,) = (place / "openings").glob("*.opening")
        assert b"improvement" not in kept.read_bytes(), "encrypted at rest"
        windows = reader.windows(submission)
        world.to(windows.reveal_start)
        wait_for("the relay looks", lambda: reader.now() >= windows.reveal_start + 2)
        assert not reader.vote(submission, voter).revealed, "the window's first third is the node's"
        world.to(windows.reveal_start + (windows.reveal_end - windows.reveal_start) // 3)
        wait_for("the relay opens the vote", lambda: reader.vote(submission, voter).revealed)
        assert reader.vote(submission, voter).improvement == 4
        wait_for("the relay forgets it", lambda: not kept.exists())
    finally:
        relay.terminate()
        relay.wait(10)
    assert "can read every vote" in (place / "log").read_text()


def test_a_chain_that_hangs_is_told_once_and_waited_for(world: World, launch):
    node = launch(3)
    wait_for("the node is ready", lambda: "takes part" in log(world, 3))
    world.anvil.process.send_signal(signal.SIGSTOP)
    try:
        wait_for("the silence is told", lambda: "trying until it works" in log(world, 3))
        time.sleep(1.5)
    finally:
        world.anvil.process.send_signal(signal.SIGCONT)
    wait_for("the end of it is told", lambda: "the chain answers again" in log(world, 3))
    assert log(world, 3).count("trying until it works") == 1
    submission = world.submit(1)
    wait_for("it votes", lambda: world.client(0).vote(submission, world.signers[3].address).exists)
    assert node.poll() is None


def test_interrupted_a_node_opens_its_vote_before_it_leaves(world: World, launch):
    node = launch(4)
    wait_for("the node is ready", lambda: "takes part" in log(world, 4))
    submission = world.submit(1)
    voter = world.signers[4].address
    wait_for("the vote is sealed", lambda: world.client(0).vote(submission, voter).exists)
    world.to(world.client(0).windows(submission).reveal_start - 3)
    node.send_signal(signal.SIGINT)
    assert node.wait(30) == 0
    assert "due reveals are still made" in log(world, 4)
    assert world.client(0).vote(submission, voter).revealed


def test_interrupted_twice_it_leaves_at_once(world: World, launch):
    node = launch(5)
    wait_for("the node is ready", lambda: "takes part" in log(world, 5))
    submission = world.submit(1)
    wait_for("the vote is sealed", lambda: world.client(0).vote(submission, world.signers[5].address).exists)
    world.to(world.client(0).windows(submission).reveal_start - 28)  # near enough to be waited for
    node.send_signal(signal.SIGTERM)
    wait_for("it is told", lambda: "once more to leave" in log(world, 5))
    node.send_signal(signal.SIGINT)
    assert node.wait(10) != 0


# --- the demo's stage ------------------------------------------------------------------------------------------------


def test_the_end_of_the_chain_ends_the_demo_with_its_name(tmp_path: Path):
    """The nodes are sleepers here: what is tested is the supervisor."""
    from pdfed_sdk.demo import run as demo

    anvil, url = processes.start_anvil(ROOT, tmp_path / "anvil.log")
    try:
        folder = tmp_path / "task"
        folder.mkdir()
        signers = [LocalSigner.from_key(key, lock_folder=folder / "locks") for key in KEYS]
        chain = Anvil(url, anvil._child)  # type: ignore[arg-type]
        for signer in signers:
            chain.endow(signer.address)
        world = build_world(chain, deploy_factory(url, signers[0], folder=folder, options=FAST), signers, folder, 1)
        run = demo.DemoRun(tmp_path, ROOT, demo.DemoPlan(), 0, Console(quiet=True), time.monotonic(), rpc=url)
        run.processes["anvil"] = anvil
        sleeper = processes.Process("sleeper", ["sleep", "100"], tmp_path / "sleeper.log")
        run.processes["sleeper"] = sleeper
        run.nodes = [demo.demo_nodes(1, 1)[0]]
        run.addresses = {run.nodes[0].name: world.signers[1].address, "copyist": world.signers[2].address}
        run.processes[run.nodes[0].name] = sleeper
        threading.Timer(1.0, lambda: os.kill(anvil.pid, signal.SIGKILL)).start()
        client = world.client(0)
        with pytest.raises(DemoFailed, match="anvil ended too early"):
            demo.supervise(run, client, TaskView(client), 60)
        pid = sleeper.pid
    finally:
        processes.end_all(grace=1.0)
    assert not alive(pid)
    assert processes.Process.started == set()


def test_a_taken_port_is_named(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentProblem, match=f"port {port}: another program listens there") as caught:
            processes.start_anvil(ROOT, tmp_path / "anvil.log", port=port)
    assert caught.value.exit_code == 52
    assert processes.Process.started == set()


def test_a_snatched_port_is_not_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Free when it was looked at, taken when anvil came: another one is tried."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        real = processes.free_port
        ports = iter([port, real()])
        monkeypatch.setattr(processes, "free_port", lambda: next(ports))
        seen: list[int] = []

        def blind_at_first(asked: int) -> bool:
            seen.append(asked)
            if len(seen) == 1:
                return False
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", asked)) == 0

        monkeypatch.setattr(processes, "_listens", blind_at_first)
        anvil, url = processes.start_anvil(ROOT, tmp_path / "anvil.log")
        processes.end_all()
    assert not url.endswith(f":{port}")
    assert not anvil.running


def test_no_anvil_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processes, "tool", lambda _name, _root: None)
    with pytest.raises(EnvironmentProblem, match="anvil not found") as caught:
        processes.start_anvil(ROOT, tmp_path / "anvil.log")
    assert caught.value.exit_code == 52


def test_a_failing_script_shows_its_last_lines(tmp_path: Path):
    command = [sys.executable, "-c", "print('so far so good'); raise SystemExit('no compiler')"]
    with pytest.raises(EnvironmentProblem, match=r"scripts/deploy.py failed \(1\):\nso far so good\nno compiler"):
        processes.run_script("scripts/deploy.py", command, tmp_path / "log", dict(os.environ), tmp_path)


def test_a_script_without_end_is_ended(tmp_path: Path):
    with pytest.raises(EnvironmentProblem, match="no end after 0 s"):
        processes.run_script("slow", ["sleep", "60"], tmp_path / "log", dict(os.environ), tmp_path, limit=0.3)
    assert processes.Process.started == set()


def test_children_die_with_a_killed_demo(tmp_path: Path):
    """SIGKILL of the demo itself: the kernel takes its children along."""
    script = (
        "import sys, time; from pathlib import Path; from pdfed_sdk.demo import processes\n"
        "child = processes.Process('x', ['sleep', '100'], Path(sys.argv[1])); child.start()\n"
        "print(child.pid, flush=True); time.sleep(100)"
    )
    demo = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "log")], stdout=subprocess.PIPE, cwd=ROOT)
    assert demo.stdout
    child = int(demo.stdout.readline())
    assert alive(child)
    demo.kill()
    demo.wait(10)
    wait_for("the child is gone", lambda: not alive(child), 5)


def children_of(pid: int) -> list[int]:
    """Processes a process has started and not yet waited for."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((place / "stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(place.name))
    return found


def test_an_interrupted_demo_leaves_130_and_no_process(tmp_path: Path):
    """Ctrl-C while the contracts are being deployed: brownie and anvil end with the demo."""
    folder = tmp_path / "demo"
    with (tmp_path / "err").open("w") as err:
        demo = subprocess.Popen(
            [sys.executable, "-m", "tests.support.small_demo", str(folder)], stderr=err, stdout=err, cwd=ROOT
        )
        try:
            wait_for("anvil and brownie run", lambda: len(children_of(demo.pid)) >= 2, 180)
            children = children_of(demo.pid)
            demo.send_signal(signal.SIGINT)
            assert demo.wait(60) == 130
        finally:
            demo.kill()
    wait_for("all processes are gone", lambda: not any(map(alive, children)), 20)
