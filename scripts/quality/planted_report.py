"""What came of the planted bugs: the table of bug by layer, the shares, and the verdict."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from compiler import ROOT
from corpus import CLASSES

REPORT = ROOT / "docs" / "audit" / "planted"
LEAST = 0.97
SEEDS = 3


@dataclass(frozen=True)
class Noticed:
    """One bug and what noticed it. Of a layer with random inputs: what noticed it with each seed that was tried."""

    key: str
    name: str
    kind: str
    says: str
    unit: str
    machines: list[str]
    invariants: list[str]
    seconds: float
    tests: str  # digest of the tests it was tried against

    @staticmethod
    def surely(seeds: list[str]) -> bool:
        """Whether a layer noticed with each of the seeds."""
        return len(seeds) == SEEDS and all(seeds)

    @property
    def by(self) -> str:
        """The first layer that notices without luck."""
        if self.unit:
            return "unit"
        if self.surely(self.machines):
            return "machine"
        return "invariants" if self.surely(self.invariants) else "none"

    def line_of_log(self) -> str:
        told = [self.unit, *(x or "missed" for x in (*self.machines, *self.invariants))]
        return f"{self.seconds:6.1f} s  {self.by:10} [{self.kind}] {self.name}: {', '.join(filter(None, told))}"


def conclude(found: list[Noticed], corpus: int, code: str) -> int:
    """Write the page; 0 if the goal is met by what was tried."""
    if not found:
        print("the time was up before the first bug was tried; run it again to go on")
        return 2
    ends = Counter(n.by for n in found)
    share = ends["unit"] / len(found)
    verdict = (
        f"The unit layer notices {ends['unit']} of {len(found)} ({share:.1%}; goal {LEAST:.0%}), the machines as CI "
        f"runs them {ends['machine']} more, forge's invariants {ends['invariants']} more; {ends['none']} go unnoticed."
    )
    _write(found, corpus, code, verdict)
    print(verdict)
    for n in found:
        if n.by != "unit":
            print(f"not noticed by the unit layer: [{n.kind}] {n.name}: {n.says}")
    return 0 if share >= LEAST and not ends["none"] else 1


def _write(found: list[Noticed], corpus: int, code: str, verdict: str) -> None:
    day = datetime.now(UTC).date().isoformat()
    part = "" if len(found) == corpus else f" A part of the corpus, chosen by a seed: {len(found)} of {corpus} bugs."
    lines = [
        "# Planted bugs, and which layer of tests notices them",
        "",
        f"Written by `make planted` on {day}, for contracts with the digest `{code}` (sha-256 of the sources in",
        f"`contracts/` and `interfaces/`, first 16 digits).{part}",
        "",
        verdict,
        "",
        "Each bug is one semantic change of one source (`tests/contracts/planted`). The layers are tried in order, and",
        "the first that notices ends it: a dash is a layer that was not tried. A layer with random inputs has noticed",
        "only if it did with each of three seeds.",
        "",
        "| class | bugs | unit | machine `ci` | forge invariants | none |",
        "|---|---|---|---|---|---|",
    ]
    for kind in (*CLASSES, ""):
        own = Counter(n.by for n in found if not kind or n.kind == kind)
        counts = " | ".join(str(own[layer]) for layer in ("unit", "machine", "invariants", "none"))
        lines.append(f"| {kind or '**all**'} | {sum(own.values())} | {counts} |")
    lines += ["", "| class | bug | unit | machine `ci` | forge invariants |", "|---|---|---|---|---|"]
    for n in found:
        unit = f"`{n.unit}`" if n.unit else "missed"
        lines.append(f"| {n.kind} | {n.says} | {unit} | {_cell(n.machines)} | {_cell(n.invariants)} |")
    REPORT.with_suffix(".md").write_text("\n".join(lines) + "\n")
    data = {"date": day, "contracts": code, "corpus": corpus, "bugs": [asdict(n) for n in found]}
    REPORT.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")


def _cell(seeds: list[str]) -> str:
    if not seeds:
        return "–"
    names = ", ".join(f"`{name}`" for name in dict.fromkeys(filter(None, seeds)))
    return f"{names} ({SEEDS} of {SEEDS} seeds)" if Noticed.surely(seeds) else "missed"
