"""`make coverage-contracts`: are both outcomes of every branch of the contracts taken by the unit tests?

Instruments the sources (`branches.py`), runs `tests/contracts/unit` on a chain that records (`recorder.py`), and fails
if a test fails, a function is never called, or an outcome is never seen that `unreachable.toml` gives no reason for. A
reason for what is seen, or is no branch any more, fails too. Arguments go to pytest; then nothing is written to
docs/audit/.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from branches import Instrumented, Point
from compiler import ROOT, Compiler

WORK = ROOT / "build" / "quality" / "coverage"
REPORT = ROOT / "docs" / "audit" / "coverage"
Outcome = tuple[Point, int]


def measure(codes: dict[str, str], options: list[str]) -> tuple[int, dict[str, set[int]]]:
    """Run the tests; pytest's exit code, and what each test touched."""
    WORK.mkdir(parents=True, exist_ok=True)
    bytecode, hits = WORK / "bytecode.json", WORK / "hits.jsonl"
    bytecode.write_text(json.dumps(codes))
    hits.unlink(missing_ok=True)
    here = Path(__file__).parent
    environment = os.environ | {
        "PDFED_ANVIL": str(here / "recorder.py"),
        "PDFED_BYTECODE": str(bytecode),
        "PDFED_HITS": str(hits),
        "PYTHONPATH": str(here),
    }
    command = [sys.executable, "-m", "pytest", "-p", "tracing", "-q", "tests/contracts/unit", *options]
    failed = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    touched: dict[str, set[int]] = defaultdict(set)
    for line in hits.read_text().splitlines() if hits.exists() else []:
        hit = json.loads(line)
        touched[hit["test"]].update(hit["touched"])
    return failed, touched


def outcomes(points: list[Point]) -> set[Outcome]:
    return {(p, value) for p in points for value in ((1,) if p.kind == "function" else (0, 1))}


def excused(points: list[Point]) -> tuple[dict[Outcome, str], list[str]]:
    """Outcomes nobody can reach, with the reason; and entries that name no branch."""
    listed = tomllib.loads((Path(__file__).parent / "unreachable.toml").read_text())["unreachable"]
    reasons: dict[Outcome, str] = {}
    stale = []
    for entry in listed:
        found = [
            (p, value)
            for p, value in outcomes(points)
            if (p.function, p.text, p.kind, p.outcome(value))
            == (entry["function"], entry["text"], entry["kind"], entry["outcome"])
        ]
        reasons.update(dict.fromkeys(found, entry["reason"]))
        stale += [] if found else [f"{entry['function']}: {entry['text']}"]
    return reasons, stale


def show(outcome: Outcome) -> str:
    point, value = outcome
    what = "never called" if point.kind == "function" else f"never {point.outcome(value)}"
    return f"{point.file}:{point.line} {point.function} [{point.kind}] {what}: {point.text}"


def table(points: list[Point], seen: set[Outcome], reasons: Iterable[Outcome]) -> list[str]:
    rows = ["| file | functions | outcomes of branches | unreachable | reached | share |", "|---|---|---|---|---|---|"]
    excuses = set(reasons)
    for file in [*sorted({p.file for p in points}), ""]:
        own = outcomes([p for p in points if not file or p.file == file])
        branches = {o for o in own if o[0].kind != "function"}
        called = {o for o in own - branches if o in seen}
        needed, got = branches - excuses, (branches - excuses) & seen
        share = 100 * len(got) / len(needed) if needed else 100.0
        calls = f"{len(called)} of {len(own - branches)}"
        numbers = f"{calls} | {len(branches)} | {len(branches & excuses)} | {len(got)} | {share:.1f} %"
        rows.append(f"| {file.removeprefix('contracts/') or '**all**'} | {numbers} |")
    return rows


def write(rows: list[str], reasons: dict[Outcome, str], missed: list[Outcome], tests: int) -> None:
    day = datetime.now(UTC).date().isoformat()
    text = [
        "# Branch coverage of the contracts",
        "",
        "Written by `make coverage-contracts`, which fails below 100 %. Every `if`, `? :`, loop, `try`, `require` and",
        "`assert`, and each side of every `&&` and `||`, counts with both outcomes; a function, with whether it is",
        "called.",
        f"Measured on {day} over the {tests} tests of `tests/contracts/unit` that run contract code; mocks and",
        "interfaces are left out.",
        "",
        *rows,
        "",
        "## Unreachable",
        "",
        *(f"- `{p.function}`, `{p.text}` {p.outcome(value)}: {why}" for (p, value), why in reasons.items()),
        "",
    ]
    text += ["## Missed", "", *(f"- {show(o)}" for o in missed), ""] if missed else []
    REPORT.with_suffix(".md").write_text("\n".join(text))
    data = {
        "date": day,
        "tests": tests,
        "missed": [show(o) for o in missed],
        "unreachable": [show(o) for o in reasons],
        "files": [row.strip("| ").split(" | ") for row in rows[2:]],
    }
    REPORT.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")


def main(options: list[str]) -> int:
    with Compiler() as compiler:
        instrumented = Instrumented(compiler)
    failed, touched = measure(instrumented.codes, options)
    points = instrumented.points
    seen = {(points[n // 2], n % 2) for numbers in touched.values() for n in numbers}
    (WORK / "touched.json").write_text(json.dumps({t: sorted(n) for t, n in touched.items()}))
    (WORK / "points.json").write_text(json.dumps([vars(p) for p in points]))
    reasons, stale = excused(points)
    wrong = [show(o) for o in reasons if o in seen]
    missed = sorted(outcomes(points) - seen - set(reasons), key=lambda o: (o[0].number, o[1]))
    rows = table(points, seen, reasons)
    print("\n".join(rows))
    for title, lines in (
        ("unreachable, each with its reason in unreachable.toml", [f"{show(o)} — {why}" for o, why in reasons.items()]),
        ("said to be unreachable, but reached", wrong),
        ("said to be unreachable, but no such branch", stale),
        ("MISSED", [show(o) for o in missed]),
    ):
        if lines:
            print(f"\n{title}:", *lines, sep="\n  ")
    if not options:
        write(rows, reasons, missed, len(touched) - 1)
    if failed:
        print(f"\nthe tests failed (pytest: {failed})")
    return 1 if failed or wrong or stale or missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
