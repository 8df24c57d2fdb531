"""Gas of every act, against the protocol's ceilings and the nearest published systems.

`python -m benchmarks.gas` prints a table, `--json` the main cases, `--update` writes tests/contracts/gas/snapshot.json.
A vote's price on a rollup is its gas at --rollup-gwei and its calldata, uncompressed, in blobs at --blob-gwei a byte,
with ether at --ether-usd. The three are assumptions, to be replaced by the prices of the day.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "contracts"))

# The nearest systems: gas, what it pays for, where the figure is from.
PEERS = {
    "BlockFLow, per scored model and agent": (
        477_000,
        "about, as published",
        "BF",
    ),
    "BlockLearning, one score of one model, 1 trainer": (109_013, "a score in the clear: no stake, seal or pay", "BL"),
    "BlockLearning, one score, 8 trainers in a batch": (36_600, "a score in the clear: no stake, seal or pay", "BL"),
    "BlockLearning, one model update": (217_064, "a CID as a string and three numbers: no stake or lineage", "BL"),
}
SOURCES = {
    "BF": "Mugunthan, Rahman, Kagal: BlockFLow: An Accountable and Privacy-Preserving Solution for Federated Learning, "
    "2020, arXiv:2007.03856",
    "BL": "contracts/Base.sol and Scoring.sol of github.com/hacdias/blocklearning at 12ea0f28, measured on anvil with "
    "our compiler settings (Cancun, optimizer, 10,000 runs), each score and update the first of its slot",
}
CALLDATA = "bytes of calldata of a vote, batch of 10"
BLOCKFLOW = "BlockFLow, per scored model and agent"
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
    parser.add_argument("--rollup-gwei", type=float, default=0.01)
    parser.add_argument("--blob-gwei", type=float, default=1.0)
    parser.add_argument("--ether-usd", type=float, default=3_000.0)
    options = parser.parse_args()
    with contextlib.redirect_stdout(sys.stderr):  # brownie talks
        from gas.cases import CEILINGS, measure, vote_alone, vote_in_batches

        measured = measure()
    if options.update:
        text = json.dumps(measured, indent=2) + "\n"
        (ROOT / "tests" / "contracts" / "gas" / "snapshot.json").write_text(text)
    alone, batch = vote_alone(measured), vote_in_batches(measured)
    ours = {"one vote: commit, reveal, settle": alone, "one vote, in batches": batch}
    if options.json:
        print(
            json.dumps(
                {
                    "cases": {key: measured[name] for key, name in CASES.items()}
                    | {"vote_single": alone, "vote_batch10": batch},
                    "vote_calldata_bytes": measured[CALLDATA],
                    "peer": {n: p[0] for n, p in PEERS.items()},
                }
            )
        )
        return 0
    for name, gas in measured.items():
        ceiling = CEILINGS.get(name)
        print(f"{name:50} {gas:>10,}" + (f"   ceiling {ceiling:>9,}" if ceiling else ""))
    print()
    for name, gas in ours.items():
        print(f"{name:50} {gas:>10,}   {PEERS[BLOCKFLOW][0] / gas:.1f} times less than BlockFLow")
    size = measured[CALLDATA]
    ether = (batch * options.rollup_gwei + size * options.blob_gwei) / 1e9
    print(
        f"{'one vote on a rollup, in batches':50} {size:>10,}   bytes of calldata; "
        f"{100 * ether * options.ether_usd:.2f} cents at {options.rollup_gwei:g} gwei a gas, "
        f"{options.blob_gwei:g} gwei a byte of blob, {options.ether_usd:,.0f} dollars an ether"
    )
    for name, (gas, what, source) in PEERS.items():
        print(f"{name:50} {gas:>10,}   {what} [{source}]")
    for short, source in SOURCES.items():
        print(f"[{short}] {source}")
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stdout = sys.stderr  # brownie says something more at exit
    raise SystemExit(code)
