"""The environment variables under which this checkout's tools run: its own anvil, solc, and brownie data folder.

Brownie keeps networks and accounts in ``~/.brownie`` and reads ``~/brownie-config.yaml``; a private HOME makes every
run independent of what the user has there. The Makefile sets the same variables.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "build" / "home"
SOLC = ROOT / ".solc"
PROGRAMS = (ROOT / "node_modules" / ".bin", ROOT / ".venv" / "bin")


def private_environment(home: Path = HOME) -> dict[str, str]:
    """A copy of ``os.environ`` with PATH, HOME and the compiler folder of this checkout."""
    home.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([*map(str, PROGRAMS), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "HOME": str(home), "SOLCX_BINARY_PATH": str(SOLC)}


def use_private_environment(home: Path = HOME) -> None:
    """The same for this process. Call it before ``brownie`` is imported: brownie reads HOME once, at import."""
    os.environ.update(private_environment(home))
