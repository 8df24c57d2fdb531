"""`make test-deep`: all machines until more than 200,000 transactions are mined, and a lineage 1,000 deep; a report."""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

from support.wire import ROOT

from .lineage import run_lineage
from .machines import MACHINES, invariants
from .runner import Result, run_machines

REPORT = ROOT / "docs" / "audit" / "deep-run.json"


def commit() -> str:
    """The commit under test, marked where contracts or tests differ from it."""
    head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    changed = ["git", "status", "--porcelain", "--", "contracts", "interfaces", "tests/contracts"]
    dirty = subprocess.run(changed, cwd=ROOT, capture_output=True, text=True)
    return (head.stdout.strip() or "unknown") + ("+changes" if dirty.stdout.strip() else "")


def summary(result: Result) -> dict[str, Any]:
    stats = result.stats
    return {
        "machine": result.machine,
        "description": result.description,
        "examples": stats.examples,
        "mined": stats.mined,
        "refused": stats.refused,
        "probes": stats.probes,
        "seconds": round(stats.seconds),
        "violations": int(result.violation is not None),
        "acts": dict(sorted(stats.acts.items())),
        "errors": dict(sorted(stats.errors.items())),
        "checks": dict(sorted(stats.checks.items())),
    }


PAGE = """# The last deep run of the property tests

`make test-deep SEED={seed}` on {date}, commit {commit}. Numbers by act, by error and by invariant stand in
`deep-run.json`; what the machines do in `docs/property-tests.md`.

| machine | examples | mined transactions | refused calls | probes | seconds | violations |
|---|---|---|---|---|---|---|
{rows}

Mined are transactions that stand in a block. Refused calls are illegal acts, each refused with exactly the error that
the law names; probes are calls with which an invariant asked something. Neither is mined.

A lineage of {generations:,} generations: {mined:,} transactions in {seconds:,} s, the dearest pour {dearest_pour:,}
gas, all of it shared out and the vault empty at the end.
"""
COLUMNS = ("examples", "mined", "refused", "probes", "seconds", "violations")


def page(report: dict[str, Any]) -> str:
    machines = [*report["machines"], {**report["totals"], "machine": "all"}]
    rows = "\n".join(f"| {m['machine']} | {' | '.join(f'{m[c]:,}' for c in COLUMNS)} |" for m in machines)
    return PAGE.format(rows=rows, **{k: report[k] for k in ("seed", "date", "commit")}, **report["lineage"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--transactions", type=int, default=200_000)
    parser.add_argument("--generations", type=int, default=1_000)
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    tested = commit()  # now: a long run may see later changes
    results = []
    for machine in MACHINES:
        each = args.transactions // len(MACHINES) + 1
        (result,) = run_machines(machines=[machine], profile="deep", seed=args.seed, transactions=each)
        results.append(result)
        stats = result.stats
        print(f"{result.machine}: {stats.mined} mined, {stats.refused} refused, {stats.seconds:.0f} s", flush=True)
        if result.violation:
            print(result.violation, flush=True)
    start = time.monotonic()
    depth = run_lineage(args.generations)
    machines = [summary(r) for r in results]
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": tested,
        "seed": args.seed,
        "invariants": invariants(),
        "totals": {key: sum(m[key] for m in machines) for key in COLUMNS},
        "lineage": {**vars(depth), "seconds": round(time.monotonic() - start)},
        "machines": machines,
    }
    REPORT.write_text(json.dumps(report, indent=1) + "\n")
    REPORT.with_suffix(".md").write_text(page(report))
    print(page(report))
    return int(report["totals"]["violations"] > 0 or report["totals"]["mined"] < args.transactions)


if __name__ == "__main__":
    sys.exit(main())
