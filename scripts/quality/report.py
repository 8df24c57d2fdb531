"""What came of a mutation run: the table, the survivors and their reasons, and the verdict."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from compiler import ROOT

REPORT = ROOT / "docs" / "audit" / "mutation"
LEAST = 0.95
NOT_COUNTED = ("does not compile", "same code")
OPEN = "open"  # outlived the quick stages (the first two); the slow ones did not come to it
STAGES = ("forge unit", "forge maths", "unit tests", "forge invariants", OPEN, "survived")


@dataclass(frozen=True)
class Result:
    name: str
    file: str
    function: str
    operator: str
    line: int
    before: str
    after: str
    end: str  # the stage that killed it, "survived", or why it does not count
    killer: str
    seconds: float
    tests: str  # digest of the tests it was tried against

    @property
    def counts(self) -> bool:
        return self.end not in NOT_COUNTED

    def line_of_log(self) -> str:
        how = f"{self.end} {self.killer}".strip()
        return f"{self.seconds:6.1f} s  {self.file}:{self.line} [{self.operator}] {how}"


def reasons() -> dict[tuple[str, str, str], str]:
    listed = tomllib.loads((Path(__file__).parent / "survivors.toml").read_text())["survivor"]
    return {(s["function"], s["before"], s["after"]): s["reason"] for s in listed}


def conclude(results: list[Result], seed: int, *, write: bool) -> int:
    counted = [r for r in results if r.counts]
    survivors = [r for r in counted if r.end in ("survived", OPEN)]
    share = 1 - len(survivors) / len(counted)
    known = reasons()
    open_ = [r for r in survivors if (r.function, r.before, r.after) not in known]
    lines = _tables(results, counted)
    print("\n".join(lines))
    print(f"\nkilled {len(counted) - len(survivors)} of {len(counted)}: {share:.1%}, at least {LEAST:.0%} are needed")
    for r in open_:
        print(
            f"\nsurvivor without a reason: {r.file}:{r.line} {r.function} [{r.operator}]\n  - {r.before}\n  + {r.after}"
        )
    if write:
        _write(lines, results, counted, survivors, known, seed)
    return 1 if open_ or share < LEAST else 0


def _tables(results: list[Result], counted: list[Result]) -> list[str]:
    lines = []
    for title, key in (("file", "file"), ("operator", "operator")):
        lines += [f"| {title} | mutants | {' | '.join(STAGES)} | killed |", "|---|---|" + "---|" * (len(STAGES) + 1)]
        groups = sorted({getattr(r, key) for r in counted})
        for group in [*groups, ""]:
            own = [r for r in counted if not group or getattr(r, key) == group]
            ends = Counter(r.end for r in own)
            name = group.removeprefix("contracts/") or "**all**"
            share = 1 - (ends["survived"] + ends[OPEN]) / len(own)
            lines.append(f"| {name} | {len(own)} | {' | '.join(str(ends[s]) for s in STAGES)} | {share:.1%} |")
        lines.append("")
    left = Counter(r.end for r in results)
    seconds = sum(r.seconds for r in results)
    lines.append(
        f"Not counted: {left['does not compile']} that do not compile, {left['same code']} that compile to the same."
        f" {seconds / 60:.0f} minutes, {seconds / max(1, len(counted)):.1f} s a mutant."
    )
    return lines


def _write(
    lines: list[str],
    results: list[Result],
    counted: list[Result],
    survivors: list[Result],
    known: dict[tuple[str, str, str], str],
    seed: int,
) -> None:
    day = datetime.now(UTC).date().isoformat()
    text = [
        "# Mutation testing of the money and vote code",
        "",
        f"Written by `make mutation` on {day}: {len(counted)} mutants (seed {seed}), "
        f"{len(counted) - len(survivors)} killed ({1 - len(survivors) / len(counted):.1%}).",
        "A mutant is one small wrong change; it is killed when a test fails on it. The columns are the suites in the",
        "order they are tried, and what each is the first to kill; `open` outlived the forge suite and was not",
        "tried against the slow ones (it counts as a survivor).",
        "",
        *lines,
        "",
        "## Survivors",
        "",
    ]
    for r in survivors:
        why = known.get((r.function, r.before, r.after), "**not explained**")
        where = f"`{r.function}` ({r.file.removeprefix('contracts/')}:{r.line}), {r.operator}: {why}"
        text += [f"- {where}", "", "  ```diff", f"  - {r.before}", f"  + {r.after}", "  ```", ""]
    REPORT.with_suffix(".md").write_text("\n".join(text))
    data = {"date": day, "seed": seed, "mutants": [vars(r) for r in results]}
    REPORT.with_suffix(".json").write_text(json.dumps(data, indent=0) + "\n")
