"""Compile contracts with one thing changed, to see that the machines find it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from support.wire import ROOT

SETTINGS = {
    "evmVersion": "cancun",
    "optimizer": {"enabled": True, "runs": 10_000},
    "remappings": ["@openzeppelin=node_modules/@openzeppelin"],
}


@dataclass(frozen=True)
class Bug:
    """One place of one source changed; `contract` is the one whose code changes with it."""

    contract: str
    source: str
    old: str
    new: str


def compile_bugs(bugs: Sequence[Bug]) -> list[dict[str, str]]:
    """Creation code by contract name for each bug: what `Target(code=...)` takes."""
    return [{bug.contract: _compile(bug)} for bug in bugs]


def _compile(bug: Bug) -> str:
    main = f"contracts/{bug.contract}.sol"
    sources = {path: {"content": (ROOT / path).read_text()} for path in (main, f"contracts/{bug.source}")}
    changed = sources[f"contracts/{bug.source}"]
    found = changed["content"].count(bug.old)
    assert found == 1, f"{bug.source} has {bug.old!r} {found} times: name one place"
    changed["content"] = changed["content"].replace(bug.old, bug.new)
    wanted = {main: {bug.contract: ["evm.bytecode.object"]}}
    task = {"language": "Solidity", "sources": sources, "settings": {**SETTINGS, "outputSelection": wanted}}
    command = ["node", str(ROOT / "scripts/toolchain/solc.js"), "--standard-json"]
    answer = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True, check=True, cwd=ROOT)
    output = json.loads(answer.stdout)
    errors = [e["formattedMessage"] for e in output.get("errors", []) if e["severity"] == "error"]
    assert not errors, errors
    return str(output["contracts"][main][bug.contract]["evm"]["bytecode"]["object"])
