"""Processes of a demo: the local chain, the brownie scripts, the nodes. None outlives the demo."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, ClassVar

from pdfed_sdk.errors import EnvironmentProblem

MIN_PYTHON = (3, 11)
MIN_NODE = 20
MIN_FREE = 500 << 20
CHAIN_ID = 424_242
"""The demo's own chain id: never mistaken for a chain the user runs."""


@dataclass(frozen=True)
class Finding:
    """One thing this machine needs; ``hint`` is what to do when it is missing."""

    what: str
    found: str
    needed: str
    ok: bool
    hint: str


def tool(name: str, root: Path) -> str | None:
    """Path of an executable: the checkout's node_modules first, then PATH."""
    packed = sorted((root / "node_modules" / "@foundry-rs").glob(f"{name}-*/bin/{name}"))
    if packed:  # the program itself: the launcher in .bin would leave it behind when killed
        return str(packed[0])
    return shutil.which(name)


def _version(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        return (done.stdout or done.stderr).strip().splitlines()[0] if done.returncode == 0 else "does not run"
    except (OSError, subprocess.TimeoutExpired, IndexError):
        return "does not run"


def examine(root: Path, folder: Path | None = None) -> list[Finding]:
    """What the demo needs of this machine, found and needed."""
    python = sys.version.split()[0]
    node = tool("node", root)
    node_version = _version([node, "--version"]) if node else "not found"
    major = int(node_version.lstrip("v").split(".")[0]) if node_version.lstrip("v")[:1].isdigit() else 0
    anvil = tool("anvil", root)
    anvil_version = _version([anvil, "--version"]) if anvil else "not found"
    place = next(p for p in [folder or root, *(folder or root).absolute().parents] if p.exists())
    free = shutil.disk_usage(place).free
    return [
        Finding("Python", python, "3.11 or newer", sys.version_info >= MIN_PYTHON, "install Python 3.11"),
        Finding("Node", node_version, f"{MIN_NODE} or newer", major >= MIN_NODE, "install Node 20 or newer"),
        Finding("anvil", anvil_version, "any", anvil_version[:5] == "anvil", "run: make setup"),
        Finding(
            f"free space at {place}",
            f"{free >> 20} MB",
            f"{MIN_FREE >> 20} MB",
            free >= MIN_FREE,
            "free some space, or choose another folder with --out",
        ),
    ]


def require_tools(root: Path, folder: Path) -> None:
    """Raises EnvironmentProblem naming what was found, what is needed, and what to do."""
    missing = [f for f in examine(root, folder) if not f.ok]
    if missing:
        raise EnvironmentProblem(
            "; ".join(f"{f.what}: found {f.found}, needed {f.needed}" for f in missing),
            hint="; ".join(f.hint for f in missing),
        )


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:  # pragma: no cover - runs in the child
    """Linux: the kernel ends this child when the demo dies, even by SIGKILL."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """A child in its own process group, with its output in a log file."""

    started: ClassVar[set[Process]] = set()
    """All that may run: what ``end_all`` ends."""

    def __init__(
        self, name: str, command: list[str], log: Path, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.name, self.command, self.log, self.env, self.cwd = name, command, log, env, cwd
        self._child: subprocess.Popen[bytes] | None = None
        self._file: IO[bytes] | None = None

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.log.open("ab")
        self._child = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            env=self.env,
            cwd=self.cwd,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        Process.started.add(self)

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def exit_code(self) -> int | None:
        """None while it runs (or was never started)."""
        return None if self._child is None else self._child.poll()

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self._signal(signal.SIGKILL)
        if self._child is not None:
            self._child.wait()

    def end(self, grace: float = 5.0) -> None:
        """SIGTERM, then SIGKILL for the whole group; idempotent."""
        if self.running:
            self._signal(signal.SIGTERM)
            assert self._child is not None
            try:
                self._child.wait(grace)
            except subprocess.TimeoutExpired:
                self.kill()
        self._signal(signal.SIGKILL)
        Process.started.discard(self)
        if self._file is not None:
            self._file.close()
            self._file = None

    def ask_to_end(self) -> None:
        """SIGTERM, without waiting."""
        if self.running:
            self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, number)

    def tail(self, lines: int = 12) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def end_all(grace: float = 3.0) -> None:
    """End every child started here: all are asked at once and have ``grace`` seconds together."""
    children = list(Process.started)
    for child in children:
        child.ask_to_end()
    _wait(lambda: not any(child.running for child in children), grace)
    for child in children:
        child.end(grace=0.0)


def start_anvil(root: Path, log: Path, *, port: int | None = None, tries: int = 3) -> tuple[Process, str]:
    """A private anvil on a free loopback port; another port is tried when one is snatched away meanwhile."""
    anvil = tool("anvil", root)
    if anvil is None:
        raise EnvironmentProblem("anvil not found in node_modules/.bin or on PATH", hint="run: make setup")
    why = ""
    for _ in range(1 if port else tries):
        chosen = port or free_port()
        if _listens(chosen):
            why = "another program listens there"
            continue
        command = [anvil, "--host", "127.0.0.1", "--port", str(chosen), "--chain-id", str(CHAIN_ID)]
        process = Process("anvil", [*command, "--silent", "--accounts", "1", "--order", "fifo"], log)
        process.start()
        _wait(partial(_came_up, chosen, process), 15.0)
        if _listens(chosen) and not _wait(lambda process=process: not process.running, 0.3):  # type: ignore[misc]
            return process, f"http://127.0.0.1:{chosen}"
        why = process.tail(3) or "it ended at once"
        process.end()
    raise EnvironmentProblem(
        f"anvil did not come up on port {chosen}: {why}",
        hint="the port may be taken: free it, or leave the choice to the demo",
    )


def _came_up(port: int, process: Process) -> bool:
    return _listens(port) or not process.running


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if done():
            return True
        time.sleep(0.05)
    return False


def run_script(name: str, command: list[str], log: Path, env: dict[str, str], cwd: Path, limit: float = 120.0) -> None:
    """Run a script to its end; its output goes to the log. Raises EnvironmentProblem with the log's last lines."""
    script = Process(name, command, log, env, cwd)
    script.start()
    ended = _wait(lambda: not script.running, limit)
    code = script.exit_code() if ended else f"no end after {limit:.0f} s"
    script.end(grace=0.0)
    if code != 0:
        raise EnvironmentProblem(f"{name} failed ({code}):\n{script.tail(8)}", hint=f"the whole output is in {log}")
