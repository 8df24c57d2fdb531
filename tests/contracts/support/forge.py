"""Runs forge on tests/contracts/forge with the compiler of the repository."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROJECT = "tests/contracts/forge"


def executable() -> str:
    """The program inside the npm package: its own starter would add a Node process to every call."""
    return str(next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge")))


def run_tests(*args: str, timeout: int = 300, **environment: str) -> tuple[str, float]:
    """Output and seconds of a `forge test` that must pass."""
    command = [executable(), "test", "--root", PROJECT, "--use", str(ROOT / ".solc/solc-v0.8.37"), *args]
    started = time.monotonic()
    env = {**os.environ, **environment}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-3_000:]
    return done.stdout, time.monotonic() - started
