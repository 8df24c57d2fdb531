"""Run the state machines of tests/contracts/stateful on changed contracts; print the first one that notices.

    python scripts/quality/machines.py CODES SEED      CODES: a JSON file, creation code by contract name

A process of its own: a machine keeps its chain, its events and its random choices to itself.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from compiler import ROOT


def first_to_notice(codes: dict[str, str], seed: int) -> str | None:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "contracts")]
    from stateful.machines import MACHINES
    from stateful.runner import PROFILES, run_machine
    from stateful.target import Target

    plan = replace(PROFILES["ci"], shrink=False)
    found = (m for m in MACHINES if run_machine(m, Target(code=codes), plan, seed).violation is not None)
    return next((m.__name__ for m in found), None)


if __name__ == "__main__":
    print(json.dumps(first_to_notice(json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2]))))
