#!/usr/bin/env python3
"""Compile the contracts and export ABI and bytecode into the package, so that a wheel can deploy and talk without solc.

    python scripts/export_abi.py            write pdfed_sdk/chain/abi/*.json
    python scripts/export_abi.py --check    exit 1 if the files differ from what the contracts compile to

Needs Node and `npm ci`; the compiler and its settings are those of brownie-config.yaml.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "pdfed_sdk" / "chain" / "abi"
WRAPPER = ROOT / "scripts" / "toolchain" / "solc.js"
SOURCES = {
    "StakeVault": "contracts/StakeVault.sol",
    "ModelRegistry": "contracts/ModelRegistry.sol",
    "ScoreBook": "contracts/ScoreBook.sol",
    "RewardPool": "contracts/RewardPool.sol",
    "TaskFactory": "contracts/TaskFactory.sol",
    "TaskLens": "contracts/TaskLens.sol",
    "TestToken": "contracts/mocks/TestToken.sol",
}
OUTPUTS = [
    "abi",
    "evm.bytecode.object",
    "evm.deployedBytecode.object",
    "evm.deployedBytecode.immutableReferences",
]


def compile_contracts() -> dict[str, Any]:
    """Standard-JSON output of the pinned compiler; SystemExit with its messages if the contracts do not compile."""
    config = yaml.safe_load((ROOT / "brownie-config.yaml").read_text())["compiler"]
    question = {
        "language": "Solidity",
        "sources": {path: {"content": (ROOT / path).read_text()} for path in SOURCES.values()},
        "settings": {
            "evmVersion": config["evm_version"],
            "optimizer": config["solc"]["optimizer"],
            "remappings": config["solc"]["remappings"],
            "outputSelection": {"*": {"*": OUTPUTS}},
        },
    }
    run = subprocess.run(
        ["node", str(WRAPPER), "--standard-json"],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if run.returncode:
        sys.exit(f"the compiler failed:\n{run.stderr}")
    answer: dict[str, Any] = json.loads(run.stdout)
    errors = [item["formattedMessage"] for item in answer.get("errors", []) if item["severity"] == "error"]
    if errors:
        sys.exit("the contracts do not compile:\n" + "\n".join(errors))
    return answer


def artifacts() -> dict[Path, str]:
    """File → text for every exported contract."""
    output = compile_contracts()["contracts"]
    return {TARGET / f"{name}.json": _artifact(name, output[path][name]) for name, path in SOURCES.items()}


def _artifact(name: str, compiled: dict[str, Any]) -> str:
    deployed = compiled["evm"]["deployedBytecode"]
    spans = sorted((s["start"], s["length"]) for spans in deployed["immutableReferences"].values() for s in spans)
    entries = ",\n  ".join(json.dumps(entry, separators=(",", ":")) for entry in compiled["abi"])
    fields = {
        "name": json.dumps(name),
        "abi": f"[\n  {entries}\n ]",
        "immutables": json.dumps(spans),
        "bytecode": json.dumps(compiled["evm"]["bytecode"]["object"]),
        "runtime": json.dumps(deployed["object"]),
    }
    return "{\n" + ",\n".join(f' "{key}": {text}' for key, text in fields.items()) + "\n}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    check = parser.parse_args().check
    wanted = artifacts()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    extra = [path for path in TARGET.glob("*.json") if path not in wanted]
    for path in [*stale, *extra]:
        print(f"{'differs' if check else 'written'}: {path.relative_to(ROOT)}")
    if check:
        if stale or extra:
            print("run scripts/export_abi.py and commit the result", file=sys.stderr)
        return 1 if stale or extra else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for path in stale:
        path.write_text(wanted[path])
    for path in extra:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
