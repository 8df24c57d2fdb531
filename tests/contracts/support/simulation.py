"""Voters' pay and the kappa-quantile on the real contracts: forge plays the scripts of `voting.py`.

PYTHONPATH=tests/contracts python -m support.simulation 3000     # rewrites docs/audit/voter-pay.md
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import forge
from .voting import POPULATIONS, Play, memorising, play

FOLDER = forge.ROOT / "build" / "simulation"
PAGE = forge.ROOT / "docs" / "audit" / "voter-pay.md"
KAPPA, HALF = 3_333, 5_000
VOTERS, VICTIMS, TRUTH = 15, 5, 3.75


@dataclass(frozen=True)
class Played:
    """What the contracts made of a script."""

    pay: npt.NDArray[np.float64]  # (submissions, voters), in parts of the pot
    outcomes: npt.NDArray[np.int64]  # (submissions,)
    gains: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Report:
    plays: list[tuple[Play, Played]]
    rewarded: dict[int, float]  # share of memorising models that became best, by kappaBps
    seconds: float

    @property
    def error(self) -> float:
        """Largest difference of one vote's pay to the formula, in parts of the pot."""
        return max(float(np.abs(p.pay - c.pay).max()) for p, c in self.plays)

    @property
    def bound(self) -> float:
        """A little more, so that two digits of it are never below the error."""
        return 1.05 * self.error


def run(submissions: int) -> Report:
    plays = [play(population, submissions) for population in POPULATIONS]
    harmful = memorising(VOTERS, VICTIMS, TRUTH, submissions)
    scripts = [(KAPPA, p.population.weights, p.votes) for p in plays]
    scripts += [(kappa, (1,) * VOTERS, harmful) for kappa in (HALF, KAPPA)]
    FOLDER.mkdir(parents=True, exist_ok=True)
    for number, (kappa, weights, votes) in enumerate(scripts):
        head = kappa.to_bytes(2, "big") + bytes([len(weights), *weights])
        (FOLDER / f"{number}.votes").write_bytes(head + (votes + 128).astype(np.uint8).tobytes())
        (FOLDER / f"{number}.paid").unlink(missing_ok=True)
    _, seconds = forge.run_tests("--match-path", "test/simulation/*", timeout=3_600, PDFED_SCRIPTS=str(len(scripts)))
    played = [_read(number, len(weights)) for number, (_, weights, _) in enumerate(scripts)]
    by_half, by_kappa = (float((p.gains > 0).mean()) for p in played[len(plays) :])
    return Report(list(zip(plays, played, strict=False)), {HALF: by_half, KAPPA: by_kappa}, seconds)


def _read(number: int, n: int) -> Played:
    rows = np.frombuffer((FOLDER / f"{number}.paid").read_bytes(), np.uint8).reshape(-1, 16 * n + 2)
    halves = np.ascontiguousarray(rows[:, :-2]).view(">i8").reshape(len(rows), n, 2)
    low = np.ascontiguousarray(halves[..., 1]).view(">u8").astype(float)
    pay = halves[..., 0].astype(float) * 2.0**64 + low
    return Played(pay / 1e18, rows[:, -2].astype(np.int64) - 128, rows[:, -1].astype(np.int64))


def table(report: Report) -> str:
    lines = ["| population | voter | formula | contracts |", "|---|---|---|---|"]
    for script, played in report.plays:
        paid = script.figures(played.pay)
        for kind, value in script.figures().items():
            lines.append(f"| {script.population.name} | {kind} | {value:+.3f} | {paid[kind]:+.3f} |")
    return "\n".join(lines)


def page(report: Report) -> str:
    submissions = len(report.plays[0][0].votes)
    votes = sum(p.votes.size for p, _ in report.plays) + 2 * VOTERS * submissions
    return f"""# Voters' pay and the outcome in simulation, on the real contracts

`make simulate` plays {submissions:,} submissions of each population below on fresh clones made by the factory
({votes:,} votes committed, revealed and settled, {report.seconds:.0f} s) and rewrites this page. Populations, noise and
the formula of protocol rule 11 in floating point are in `tests/contracts/support/voting.py`; the contracts' side is
`tests/contracts/forge/test/simulation/Replay.t.sol`. A test of every CI run does the same with fewer submissions.

Mean pay a unit of weight, where 2 is the most a perfect, always informative voter could get. A coin is one coin flipped
for all its accounts. No vote was paid more than {report.bound:.1e} of the pot differently from the formula (a voter's
own rate is kept in 24 bits).

{table(report)}

Read: honest work is paid at any share of junk; constant voters and those who only look whether a model is usable at all
get nothing; a ring that flips one coin earns less the smaller it is, and nothing as one account. A mask votes honestly
when it sees an improvement and hides behind -8 otherwise: it does the work, and is paid for it.

## A model that memorised some voters' pictures (rule 6)
{VOTERS} voters of equal weight; the model is {TRUTH} buckets better for all but {VICTIMS}, whose pictures it emits and
who vote -8. Share of such models that became best and were rewarded:

| outcome read at | rewarded |
|---|---|
| the median (kappa = 1/2) | {report.rewarded[HALF]:.1%} |
| kappa = 1/3 | {report.rewarded[KAPPA]:.1%} |
"""


if __name__ == "__main__":
    result = run(int(sys.argv[1]))
    PAGE.write_text(page(result))
    print(table(result), result.rewarded, f"{result.seconds:.0f} s, largest difference {result.error:.1e}", sep="\n")
