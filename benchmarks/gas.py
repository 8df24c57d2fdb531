"""Gas of every act, against the protocol's ceilings and the nearest published system.

`python -m benchmarks.gas` prints a table, `--json` the main cases, `--update` writes tests/contracts/gas/snapshot.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "contracts"))

# BlockFLow (Mugunthan, Rahman, Kagal: BlockFLow: An Accountable and Privacy-Preserving Solution for Federated
# Learning, 2020, arXiv:2007.03856): about this much gas per scored model and agent.
BLOCKFLOW_PER_SCORE = 477_000
CASES = {
    "register": "register and stake",
    "submit_4_parents": "reserve and submit, 4 parents",
    "commit": "commit",
    "commit_batch10": "commit, batch of 10",
    "reveal": "reveal",
    "reveal_batch10": "reveal, batch of 10",
    "commit_by_sig": "commit by signature",
    "finalize_64": "finalize, 64 voters",
    "finalize_300": "finalize, 300 voters",
    "settle": "settle, batch of 10",
    "pour": "pour, one hop",
    "pour_batch": "pour, batch of 10",
    "claim": "claim",
    "create_task": "create a task",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--update", action="store_true", help="write the snapshot")
    options = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):  # brownie talks
        from gas.cases import CEILINGS, measure

        measured = measure()
    if options.update:
        text = json.dumps(measured, indent=2) + "\n"
        (ROOT / "tests" / "contracts" / "gas" / "snapshot.json").write_text(text)
    alone = measured["commit"] + measured["reveal"] + measured["settle, one voter alone"]
    batch = sum(measured[f"{act}, batch of 10"] for act in ("commit", "reveal", "settle"))
    peer = {"BlockFLow, per scored model and agent": BLOCKFLOW_PER_SCORE, "one vote": alone, "one vote, batched": batch}
    if options.json:
        print(json.dumps({"cases": {key: measured[name] for key, name in CASES.items()}, "peer": peer}))
        return 0
    for name, gas in measured.items():
        ceiling = CEILINGS.get(name)
        print(f"{name:50} {gas:>10,}" + (f"   ceiling {ceiling:>9,}" if ceiling else ""))
    print()
    for name, gas in peer.items():
        print(f"{name:50} {gas:>10,}   {BLOCKFLOW_PER_SCORE / gas:.1f}x")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
