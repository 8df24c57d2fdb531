"""The loaded compiler of `compiler.js`, from Python."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = ("StakeVault", "ModelRegistry", "ScoreBook", "RewardPool", "TaskFactory", "TaskLens")


class Compiler:
    """One node process with solc-js in it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", str(ROOT / "scripts/quality/compiler.js")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Compiler:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def __call__(
        self,
        sources: list[str],
        output: dict[str, Any],
        *,
        optimizer: bool = True,
        replace: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Compile `sources` (paths from the top of the repository); errors are in the answer, under `errors`."""
        request = {"sources": sources, "replace": replace or {}, "optimizer": optimizer, "output": output}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the compiler process ended; run `make setup` and try again")
        answer: dict[str, Any] = json.loads(line)
        return answer


def source_of(contract: str) -> str:
    return f"contracts/{contract}.sol"


def digest_of(*places: str) -> str:
    """A digest of all sources below these folders, or of these files."""
    digest = hashlib.sha256()
    for place in places:
        path = ROOT / place
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in (".sol", ".py"):
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def creation_codes(answer: dict[str, Any]) -> dict[str, str]:
    """Contract name to creation code, of what has any."""
    return {
        name: data["evm"]["bytecode"]["object"]
        for file in answer["contracts"].values()
        for name, data in file.items()
        if data.get("evm", {}).get("bytecode", {}).get("object")
    }
