"""The fenced blocks of the documents, and a stage on which they run as a reader would run them: in order, in a folder
and against an anvil of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdfed_sdk.config import load_config
from tests.support.anvil import ROOT, Anvil

PASSWORD = "correct horse battery staple"
LANGUAGES = {"sh", "python", "toml", "json", "text"}
"""What a block may be; ``text`` is output or a drawing, and is not run."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PRELUDE = r"""
until_said() {  # WORDS COMMAND...: a command without an end runs until it has said WORDS, then gets SIGTERM
  local words=$1; shift
  : > said  # before the command begins, lest the words of the last one be read
  "$@" > said 2>&1 &
  local pid=$!
  local end=$((SECONDS + 600))
  until grep -q "$words" said || ! kill -0 $pid || ((SECONDS > end)); do sleep 0.2; done
  cat said >> all-said
  grep -q "$words" said || { kill -KILL $pid; cat said; return 1; }
  kill -TERM $pid
  wait $pid || [ $? = 143 ]  # a server ends by the signal itself
}
"""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[str]:
        """Lines of a shell block, continuations joined, comments and empty lines left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [found for line in lines if (found := re.sub(r"(^|\s)#.*$", "", line).strip())]


def blocks_of(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2]) for match in FENCE.finditer(text)]


@dataclass
class Stage:
    """Runs blocks one after another: shell blocks share their exported variables, Python blocks their names.

    ``replaced`` stands for what a reader fills in. ``endless`` are commands that a reader ends with Ctrl-C, with the
    words that show that they work. ``shorter`` adds options to what would take long. ``afterwards`` is what a person
    does once a command was run, e.g. send money. ``elsewhere`` are lines that this stage does not run, and who does.
    """

    folder: Path
    anvil: Anvil
    endless: dict[str, str] = field(default_factory=dict)
    shorter: dict[str, str] = field(default_factory=dict)
    afterwards: dict[str, Callable[[Stage], None]] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "documents"})
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """A checkout in ``folder`` after its set-up: links, but for what is written to."""
        shutil.copytree(ROOT / "scripts", self.folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        for compiled in ("contracts", "interfaces"):
            shutil.copytree(ROOT / "build" / compiled, self.folder / "build" / compiled)
        (self.folder / "build" / "home").mkdir()
        for name in (
            ".solc",
            "benchmarks",
            "brownie-config.yaml",
            "contracts",
            "docs",
            "interfaces",
            "node_modules",
        ):
            (self.folder / name).symlink_to(ROOT / name)
        (self.folder / "home").mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PDFED_")}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ours = {"HOME": str(self.folder / "home"), "PATH": path, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
        self.env = kept | ours | {"PDFED_RPC": self.anvil.url, "PDFED_PASSWORD": PASSWORD}
        self.replaced = {"http://127.0.0.1:8545": self.anvil.url} | self.replaced

    def run(self, block: Block) -> str:
        """Run a block; returns what it printed. AssertionError names the place and what went wrong."""
        return str(getattr(self, f"_{block.language}")(block) or "")

    def _filled(self, text: str) -> str:
        for word, value in self.replaced.items():
            text = text.replace(word, value)
        return text

    def _sh(self, block: Block) -> str:
        script = [PRELUDE]
        for command in block.commands():
            if command not in self.elsewhere:
                words = [said for start, said in self.endless.items() if command.startswith(start)]
                command += "".join(
                    f" {options}" for start, options in self.shorter.items() if command.startswith(start)
                )
                endless = bool(words) and "--dry-run" not in command
                script.append(f'until_said "{words[0]}" {command}' if endless else command)
        variables = self.folder / "variables"
        script.append(f"env -0 > {variables}")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._filled("\n".join(script))],
            cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block.place} leaves with {done.returncode}\n{done.stdout}{done.stderr}"
        self.env = dict(item.split("=", 1) for item in variables.read_text().split("\0") if "=" in item)
        for start, act in self.afterwards.items():
            if any(command.startswith(start) for command in block.commands()):
                act(self)
        return done.stdout

    def _python(self, block: Block) -> None:
        before, outside = Path.cwd(), dict(os.environ)
        os.chdir(self.folder)
        os.environ.update(self.env)
        try:
            exec(
                compile("\n" * block.line + block.text, str(ROOT / block.page), "exec"), self.names
            )  # the page's words
        finally:
            os.chdir(before)
            os.environ.clear()
            os.environ.update(outside)

    def _toml(self, block: Block) -> None:
        """A part of a node's pdfed.toml."""
        tomllib.loads(block.text)
        path = self.folder / "block.toml"
        path.write_text(block.text, encoding="utf-8")
        load_config(path)

    def _json(self, block: Block) -> None:
        json.loads(block.text)

    def _text(self, block: Block) -> None:
        """Nothing to run; that it holds no command is tested for all pages."""
