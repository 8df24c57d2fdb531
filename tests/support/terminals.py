"""Somebody who types the lines of a page into terminals.

Lines that begin with ``pdfed`` run in processes that are forked from one which has imported everything already: the
same code in a process of its own, without six seconds of imports for each line. All other lines run in bash.
"""

from __future__ import annotations

import multiprocessing
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

PRELOADED = [
    *("scipy", "sklearn", "pdfed_sdk.cli", "pdfed_sdk.node.founding", "pdfed_sdk.node.joining"),
    *("pdfed_sdk.node.assemble", "pdfed_sdk.node.picture_parts", "pdfed_sdk.ml.diffusion.ddpm"),
    *("pdfed_sdk.ml.diffusion.training", __name__),
]
FORKING = multiprocessing.get_context("forkserver")


def run_pdfed(words: list[str], folder: str, env: dict[str, str], log: str) -> None:
    """Runs in the forked process: ``pdfed WORDS`` in a folder, with an environment, printing to a file."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.argv = ["pdfed", *words]
    import torch

    from pdfed_sdk.cli import main

    torch.set_num_threads(1)
    try:
        main()
    finally:
        print(f"[{time.process_time():.1f} s of CPU]", flush=True)


@dataclass
class Terminals:
    """``folder`` is where the lines are typed; ``endless`` the commands that are left running, with the words that show
    that they work; ``added`` what is added to a line, ``before`` what is done before one is typed: each by
    how the line begins. ``replaced`` stands for what a reader fills in."""

    folder: Path
    env: dict[str, str]
    endless: dict[str, str]
    added: dict[str, str] = field(default_factory=dict)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    running: dict[str, ForkServerProcess | subprocess.Popen[bytes]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    """What each line has printed."""

    def __post_init__(self) -> None:
        FORKING.set_forkserver_preload(PRELOADED)

    def type(self, line: str) -> None:
        """Run a line; AssertionError with what it printed if it fails."""
        for start, act in self.before.items():
            if line.startswith(start):
                act()
        typed = line + "".join(more for start, more in self.added.items() if line.startswith(start))
        for word, value in self.replaced.items():
            typed = typed.replace(word, value)
        log = self.folder / f"terminal{len(self.said)}.log"
        log.touch()
        process = self._start(typed, log)
        words = next((words for start, words in self.endless.items() if line.startswith(start)), None)
        if words is None or "--dry-run" in line:
            code = self._wait(process)
            self.said[line] = log.read_text()
            assert code == 0, f"{typed}\nleaves with {code}: {self.said[line]}"
            return
        self.running[line], self.said[line] = process, ""
        until = time.monotonic() + 180
        while words not in log.read_text():
            assert self._code(process) is None, f"{typed}\nended: {log.read_text()}"
            assert time.monotonic() < until, f"{typed}\nsays: {log.read_text()}"
            time.sleep(0.1)

    def _start(self, line: str, log: Path) -> ForkServerProcess | subprocess.Popen[bytes]:
        if line.startswith("pdfed "):
            arguments = (shlex.split(line)[1:], str(self.folder), self.env, str(log))
            process = FORKING.Process(target=run_pdfed, args=arguments, daemon=True)
            process.start()
            return process
        with log.open("wb") as file:
            if any(line.startswith(start) for start in self.endless):
                command = ["bash", "-c", f"exec {line}"]
                return subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=file, stderr=file)
            kept = self.folder / "variables"
            command = ["bash", "-c", f"set -ea; {line}\nenv -0 > {kept}"]
            subprocess.run(command, cwd=self.folder, env=self.env, stdout=file, stderr=file, check=False)
        if kept.exists():
            self.env = dict(item.split("=", 1) for item in kept.read_text().split("\0") if "=" in item)
        return subprocess.Popen(["test", "-f", str(kept)])

    @staticmethod
    def _code(process: ForkServerProcess | subprocess.Popen[bytes]) -> int | None:
        return process.poll() if isinstance(process, subprocess.Popen) else process.exitcode

    @staticmethod
    def _wait(process: ForkServerProcess | subprocess.Popen[bytes]) -> int | None:
        if isinstance(process, subprocess.Popen):
            return process.wait(300)
        process.join(300)
        return process.exitcode

    def check(self) -> None:
        """AssertionError if something ended that should run on."""
        for line, process in self.running.items():
            assert self._code(process) is None, line

    def end(self) -> None:
        """Ctrl-C for all, as a reader would, the last that was started first; and no patience after that."""
        until = time.monotonic() + 10
        for process in reversed(self.running.values()):
            process.terminate()
            while self._code(process) is None and time.monotonic() < until:
                time.sleep(0.05)
            process.kill()
            self._wait(process)
