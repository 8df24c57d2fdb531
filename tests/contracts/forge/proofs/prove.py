"""Proves the properties of test/proofs with halmos and writes docs/audit/proofs.md and proofs.json.

    .tools/halmos/bin/python tests/contracts/forge/proofs/prove.py [--only NAME] [--check]

`--check` writes nothing and fails unless everything is proved. Uses nothing but the standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
PROJECT = ROOT / "tests" / "contracts" / "forge"
PAGE = ROOT / "docs" / "audit" / "proofs.md"
TOOLS = Path(sys.executable).parent
SECONDS_A_QUERY, SECONDS_A_PROPERTY = 20, 90
PANICS = "0x01,0x11,0x12"  # a failed assertion, an overflow, a division by zero
RESULTS = {"PASS": "proved", "FAIL": "counter-example", "TIMEOUT": "time-out"}

PROPERTIES: list[dict[str, str]] = json.loads((Path(__file__).parent / "properties.json").read_text())


def environment() -> dict[str, str]:
    forge = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge")).parent
    return {
        **os.environ,
        "PATH": f"{forge}:{TOOLS}:{os.environ['PATH']}",
        "FOUNDRY_PROFILE": "proofs",
        "FOUNDRY_SOLC": str(ROOT / ".solc" / "solc-v0.8.37"),
    }


def run(command: list[str]) -> str:
    """Output; past its time the command and the solvers it started are ended."""
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            return process.communicate(timeout=SECONDS_A_PROPERTY)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def prove(contract: str, function: str) -> tuple[str, float]:
    """Result of one property and the seconds it took, the build left out."""
    command = [
        "halmos", "--root", ".", "--forge-build-out", "../../../build/forge-proofs", "--contract", contract,
        "--function", function, "--loop", "40", "--panic-error-codes", PANICS, "--solver-threads", "1", "--no-status",
        "--solver-timeout-assertion", f"{SECONDS_A_QUERY}s",
        "--solver-command", f"{sys.executable} {Path(__file__).parent / 'solve.py'}",
    ]  # fmt: skip
    started = time.monotonic()
    try:
        text = run(command)
    except subprocess.TimeoutExpired:
        return "time-out", time.monotonic() - started
    text = re.sub(r"\x1b\[\d+m", "", text)
    found = re.findall(rf"\[(PASS|FAIL|TIMEOUT|ERROR)\] {function}\(.*?time: ([\d.]+)s", text)
    if len(found) != 1:
        raise SystemExit(f"{contract}.{function}: no result from halmos\n{text[-3_000:]}")
    return RESULTS.get(found[0][0], "error"), float(found[0][1])


def exhaust() -> tuple[str, float]:
    """The property that forge tries for every parameter there is."""
    command = ["forge", "test", "--root", str(PROJECT), "--match-test", "test_powers_of_all_shares_and_gains"]
    env = {**environment(), "FOUNDRY_PROFILE": "default"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    seconds = re.findall(r"finished in ([\d.]+)s", done.stdout)
    return ("proved" if "[PASS]" in done.stdout else "counter-example"), float(seconds[-1])


def page(rows: list[dict[str, object]]) -> str:
    table = "\n".join(
        f"| {r['statement']} | {r['width']} | {r['result']} | {r['seconds']:.0f} | {r['mutant']} |" for r in rows
    )
    proved = sum(r["result"] == "proved" for r in rows)
    return (Path(__file__).parent / "page.md").read_text().format(
        proved=proved, count=len(rows), seconds=sum(float(str(r["seconds"])) for r in rows), table=table,
        a_query=SECONDS_A_QUERY, a_property=SECONDS_A_PROPERTY,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    build = ["forge", "build", "--ast", "--root", str(PROJECT)]
    subprocess.run(build, env=environment(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rows: list[dict[str, object]] = []
    for p in PROPERTIES:
        if options.only not in p["function"]:
            continue
        result, seconds = exhaust() if p["contract"] == "forge" else prove(p["contract"], p["function"])
        rows.append({**p, "result": result, "seconds": seconds})
        print(f"{result:16} {seconds:6.1f} s  {p['function']}", flush=True)
    if options.check:
        sys.exit(any(r["result"] != "proved" for r in rows))
    if not options.only:
        PAGE.write_text(page(rows))
        PAGE.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
