"""`make slither`: does slither find anything high or medium in the contracts that is not answered?

Builds the contracts with forge, runs slither over the build (mocks and OpenZeppelin left out), and holds each high or
medium finding against `triage.toml`: a finding without an entry fails, and so does an entry without its findings.
Writes docs/audit/slither.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "quality" / "slither"
FORGE_ROOT = ROOT / "tests" / "contracts" / "forge"
REPORT = ROOT / "docs" / "audit" / "slither.md"
ANSWERED = ("High", "Medium")
Finding = tuple[str, str, str]  # impact, detector, where


def analyse() -> tuple[str, list[dict[str, Any]]]:
    """Slither's version and everything it finds."""
    WORK.mkdir(parents=True, exist_ok=True)
    forge = next((ROOT / "node_modules/@foundry-rs").glob("forge-*/bin/forge"))
    environment = os.environ | {
        "FOUNDRY_OUT": str(WORK / "out"),
        "FOUNDRY_CACHE_PATH": str(WORK / "cache"),
        "PATH": f"{forge.parent}{os.pathsep}{os.environ['PATH']}",  # slither asks forge for its configuration
    }
    build = [str(forge), "build", "--root", str(FORGE_ROOT), "--use", str(ROOT / ".solc/solc-v0.8.37")]
    build += ["--build-info", "--force", "--skip", "test", "--quiet"]
    subprocess.run(build, cwd=ROOT, env=environment, check=True)
    result = WORK / "slither.json"
    result.unlink(missing_ok=True)
    tool = str(ROOT / ".tools/slither/bin/slither")
    command = [tool, str(FORGE_ROOT), "--foundry-ignore-compile"]
    command += ["--foundry-out-directory", os.path.relpath(WORK / "out", FORGE_ROOT)]
    command += ["--filter-paths", "node_modules|mocks|test/", "--exclude-informational", "--exclude-optimization"]
    command += ["--json", str(result)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if not result.exists():
        raise RuntimeError(f"slither wrote no result:\n{done.stderr[-3000:]}")
    answer = json.loads(result.read_text())
    if not answer["success"]:
        raise RuntimeError(f"slither failed: {answer['error']}")
    version = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return version, answer["results"].get("detectors", [])


def where(finding: dict[str, Any]) -> str:
    """`Contract.function` of the first place a finding names."""
    names: list[str] = []
    element = finding["elements"][0]
    while element and element["type"] != "file":
        names.insert(0, element["name"].split("(")[0])
        element = (element.get("type_specific_fields") or {}).get("parent")
    return ".".join(names)


def report(version: str, found: Counter[Finding], entries: list[dict[str, Any]]) -> str:
    impacts = Counter(dict.fromkeys(("High", "Medium", "Low"), 0))
    for (impact, _, _), count in found.items():
        impacts[impact] += count
    lines = [
        "# slither",
        "",
        f"Written by `make slither` on {datetime.now(UTC).date().isoformat()}: slither {version} over `contracts/`",
        "(mocks and OpenZeppelin left out; informational and optimisation detectors off).",
        f"**{impacts['High']} high, {impacts['Medium']} medium, {impacts['Low']} low.** Each high or medium one, and",
        "why it stands (`scripts/quality/triage.toml`; the command fails over one without an answer, and over an",
        "answer without a finding):",
        "",
        "| detector | where | answer |",
        "|---|---|---|",
    ]
    for entry in entries:
        counts = {
            place: sum(n for (i, d, w), n in found.items() if i in ANSWERED and (d, w) == (entry["detector"], place))
            for place in entry["where"]
        }
        places = ", ".join(f"`{place}`" + (f" ({n})" if n > 1 else "") for place, n in counts.items())
        lines.append(f"| {entry['detector']} ({sum(counts.values())}) | {places} | {entry['reason']} |")
    low: Counter[str] = Counter()
    for (impact, detector, _), count in found.items():
        low[detector] += count if impact == "Low" else 0
    lines += ["", "Low findings by detector: " + ", ".join(f"`{d}` {n}" for d, n in sorted(low.items()) if n) + ".", ""]
    lines += [
        "`timestamp`: windows are in seconds and have a gap; seconds of drift move nothing. `calls-loop`: batches",
        "over siblings of the same task, and views. `reentrancy-*`: calls to the task's own contracts, or to the token",
        "behind the vault's lock; see the table of hostile tokens in `threat-model.md`.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    version, findings = analyse()
    found: Counter[Finding] = Counter((f["impact"], f["check"], where(f)) for f in findings)
    entries = tomllib.loads((Path(__file__).parent / "triage.toml").read_text())["finding"]
    answered = {(entry["detector"], place) for entry in entries for place in entry["where"]}
    needed = {(detector, place) for impact, detector, place in found if impact in ANSWERED}
    for detector, place in sorted(needed - answered):
        print(f"no answer to {detector} in {place}: mend it, or say in scripts/quality/triage.toml why it stands")
    for detector, place in sorted(answered - needed):
        print(f"triage.toml answers {detector} in {place}, which slither does not find any more: remove it")
    REPORT.write_text(report(version, found, entries))
    print(
        f"slither {version}:", ", ".join(f"{n} {i.lower()}" for i, n in Counter(f["impact"] for f in findings).items())
    )
    return 1 if needed != answered else 0


if __name__ == "__main__":
    sys.exit(main())
