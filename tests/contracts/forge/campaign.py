"""Campaigns of the five handlers (test/invariant) outside of `make test`.

    python tests/contracts/forge/campaign.py --deep [--runs N]   long runs of all five; docs/audit/handlers.json
    python tests/contracts/forge/campaign.py --planted           docs/audit/handlers-planted.json

`--planted` plants the bugs of bugs.json one after the other in a copy of the sources and fails unless an ordinary
campaign notices each. Both write docs/audit/handlers.md again. Uses nothing but the standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from proofs.planting import COPY, FORGE, ROOT, plant

AUDIT = ROOT / "docs" / "audit"
BUGS: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "bugs.json").read_text())
DEEP, PLANTED = AUDIT / "handlers.json", AUDIT / "handlers-planted.json"
RECORD = ROOT / "build" / "invariants.txt"
FIELDS = (
    "acts", "legal", "finals", "voids", "bests", "commits", "reveals", "settles", "silent", "pours", "royalties",
    "claims", "withdrawals", "parents", "hops", "reclaims",
)  # fmt: skip


def campaign(project: Path, **environment: str) -> tuple[str, float]:
    """What forge prints of all handlers' campaigns, and their wall seconds without the build."""
    forge = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"))
    command = [
        str(forge), "test", "--root", str(project), "--use", str(ROOT / ".solc" / "solc-v0.8.37"),
        "--match-path", "test/invariant/*",
    ]  # fmt: skip
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    found = re.findall(r"finished in ([\d.]+)(m?s)", done.stdout)
    if not found:
        raise SystemExit(done.stdout[-3_000:] + done.stderr[-3_000:])
    return done.stdout, float(found[-1][0]) / (1_000 if found[-1][1] == "ms" else 1)


def verdicts(out: str) -> dict[str, str]:
    """The reason why each handler's campaign failed, empty where it passed. Forge tells a failure before the acts that
    led to it and the handler's name after them."""
    found, why = {}, ""
    for line in out.splitlines():
        if failed := re.match(r"\[FAIL:? ?(.*?)\]?$", line):
            why = failed[1] or "failed"
        if named := re.search(r"(\[PASS\])? (invariant_\w+)\(\) \(runs", line):
            found[named[2]], why = "" if named[1] else why, ""
    return found


def deep(runs: int | None) -> None:
    RECORD.unlink(missing_ok=True)
    chosen = {"FOUNDRY_INVARIANT_RUNS": str(runs)} if runs else {}
    out, seconds = campaign(ROOT / FORGE, FOUNDRY_PROFILE="deep", **chosen)
    handlers = verdicts(out)
    lines = [
        dict(zip(FIELDS, map(int, line.split()), strict=True)) for line in set(RECORD.read_text().split("\n")) if line
    ]
    total = {name: sum(line[name] for line in lines) for name in FIELDS}  # forge tells some runs twice
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    result = {
        "date": time.strftime("%Y-%m-%d"), "commit": commit.stdout.strip(), "runs": len(lines), "seconds": seconds,
        "acts_a_second": total["acts"] / seconds, "handlers": handlers, "acts": total,
    }  # fmt: skip
    write(DEEP, result)
    print(f"{len(lines)} runs, {total['acts']} acts in {seconds:.0f} s:", handlers, total)
    sys.exit(len(handlers) != 5 or any(handlers.values()))


def planted() -> None:
    results: dict[str, object] = {}
    for name, bug in BUGS.items():
        shutil.rmtree(COPY / "build" / "forge-failures", ignore_errors=True)  # or forge tries the last bug's acts first
        out, seconds = campaign(plant(bug), FOUNDRY_FUZZ_SEED="1", FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT="0")
        found = {handler: why for handler, why in verdicts(out).items() if why}
        results[name] = {**bug, "seconds": seconds, "found_by": found}
        print(f"{'found' if found else 'MISSED':8} {seconds:6.1f} s  {name}: {found}", flush=True)
    write(PLANTED, results)
    sys.exit(not all(r["found_by"] for r in results.values()))  # type: ignore[index]


def write(path: Path, result: object) -> None:
    path.write_text(json.dumps(result, indent=1) + "\n")
    d, bugs = (json.loads(p.read_text()) if p.exists() else {} for p in (DEEP, PLANTED))
    if not d:
        return
    acts = ", ".join(f"{n:,} {name}" for name, n in d["acts"].items() if name not in ("acts", "legal"))
    rows = "\n".join(f"| {name} | {names(b['found_by'])} | {b['seconds']:.0f} |" for name, b in bugs.items())
    page = (Path(__file__).parent / "page.md").read_text().format(
        **{k: d[k] for k in ("date", "commit", "runs")}, acts=d["acts"]["acts"], legal=d["acts"]["legal"],
        kinds=acts, seconds=d["seconds"], rate=d["acts_a_second"], handlers=len(d["handlers"]), rows=rows,
        violations=sum(map(bool, d["handlers"].values())), bugs=len(bugs),
        found=sum(bool(b["found_by"]) for b in bugs.values()), named=len(BUGS),
    )  # fmt: skip
    (AUDIT / "handlers.md").write_text(page)


def names(found_by: dict[str, str]) -> str:
    return ", ".join(handler.removeprefix("invariant_") for handler in found_by) or "nothing"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--deep", action="store_true")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--planted", action="store_true")
    options = parser.parse_args()
    if options.planted:
        planted()
    if options.deep:
        deep(options.runs)


if __name__ == "__main__":
    main()
