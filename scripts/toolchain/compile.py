"""Compile the contracts with brownie, one process at a time, after artefacts of sources that are gone were dropped.

Brownie stops with FileNotFoundError over an artefact whose source was renamed or removed.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys

from environment import ROOT, private_environment


def main() -> int:
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with (build / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for artefact in (build / "contracts").glob("*.json"):
            try:
                gone = not (ROOT / json.loads(artefact.read_text())["sourcePath"]).exists()
            except (ValueError, KeyError):
                gone = True  # cut off while it was written
            if gone:
                artefact.unlink()
        return subprocess.run(["brownie", "compile"], cwd=ROOT, env=private_environment(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
