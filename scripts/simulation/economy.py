"""A task's money in whole numbers, without a chain: levels, rewards, shares, the stream along references, the commons.

The rules themselves are `pdfed_sdk.audit.contribution`, which the audit holds against the contracts to the unit. Here
they are put together for attacks: who submits what, which outcome a veto presses, who earns how much.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from pdfed_sdk.audit import contribution as rule
from pdfed_sdk.buckets import GRAINS, LOWEST, grains_of, nearest, width_of

UNIT = 10**18
MIN_STEP, STEP_RATE, LINEAGE, DECAY = 3, 50, 3_000, 9_740


@dataclass(frozen=True)
class Model:
    """A Final model: L, M, what it carried, and what was frozen when it became best."""

    author: str
    parents: tuple[int, ...] = ()
    reference: int = 0
    level: int = 0
    measured: int = 0
    carried: int = 0
    gain: int = 0
    base: int = 0

    @property
    def own(self) -> int:
        """Grains of its gain that are its author's own work."""
        return rule.own_grains(self.gain, self.measured, self.carried, self.base)


@dataclass
class Economy:
    """One task. ``without`` names a rule that is left out, to see what it is worth: ``contribution`` (the last step
    takes the reward), ``own grains`` (the stream along references pays every paid grain) or ``reduction`` (a gain stays
    whole though the reference is not the best any more)."""

    allowance: int = 1_000 * UNIT
    commons: int = 0
    without: str = ""
    models: list[Model] = field(default_factory=lambda: [Model("genesis")])
    best: int = 0
    earned: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def submit(
        self, author: str, parents: Sequence[int], outcome: int, median: int, reference: int | None = None
    ) -> int:
        """Finalise a model; ``reference`` is the best when it was reserved (default: the best now)."""
        at = self.best if reference is None else reference
        start = self.models[at]
        final = tuple(parents)
        measured = start.measured + median
        model = Model(
            author,
            final,
            at,
            start.level + outcome,
            measured,
            rule.carried(measured, [self.models[p].measured for p in final]),
            base=self.models[self.best].measured,
        )
        gain = model.level - self.models[self.best].level
        if at != self.best and self.without != "reduction":
            gain -= width(outcome)
        if gain >= MIN_STEP:
            model = Model(**{**vars(model), "gain": min(gain, rule.MOST_GAIN)})
        self.models.append(model)
        number = len(self.models) - 1
        if model.gain:
            self.best = number
            self._reward(number, model)
        return number

    def end(self) -> None:
        """Divide the commons over all models that became best, by paid grains."""
        paid = [n for n, model in enumerate(self.models) if model.gain]
        total, commons = sum(self.models[n].gain for n in paid), self.commons
        self.commons = 0
        for number in paid:
            self._share(number, rule.commons_part(commons, self.models[number].gain, total))

    def _reward(self, number: int, model: Model) -> None:
        drawn = [rule.reward(pot, STEP_RATE, model.gain) for pot in (self.allowance, self.commons)]
        self.allowance, self.commons = self.allowance - drawn[0], self.commons - drawn[1]
        self._share(number, sum(drawn))

    def _share(self, number: int, amount: int) -> None:
        model = self.models[number]
        known = {n: rule.Measured(m.measured, m.carried, m.parents) for n, m in enumerate(self.models)}
        start = self.models[model.reference].measured
        shares = rule.settle_all(amount, number, model.gain, model.base, start, known)
        for author, part in ({number: amount} if self.without == "contribution" else shares).items():
            kept, passed = rule.kept(part, LINEAGE)
            self.earned[self.models[author].author] += kept
            self._stream(self.models[author].reference, passed)

    def _stream(self, number: int, amount: int) -> None:
        """Along references: each takes 1 − λ^grains and passes the rest on; what reaches genesis is the commons'."""
        while number and amount:
            model = self.models[number]
            part = rule.stream(amount, DECAY, model.gain if self.without == "own grains" else model.own)
            self.earned[model.author] += part
            amount, number = amount - part, model.reference
        self.commons += amount

    def share_of(self, *authors: str) -> float:
        """Part of all that was earned."""
        total = sum(self.earned.values())
        return sum(self.earned[author] for author in authors) / total if total else 0.0


def width(outcome: int) -> int:
    """Grains between the bucket of an outcome and the next lower one; 0 for grains that are no bucket's."""
    return width_of(GRAINS.index(outcome) + LOWEST) if outcome in GRAINS else 0


def bucket(grains: float) -> int:
    """Grains of the nearest bucket, as a vote has them."""
    return grains_of(nearest(grains))


def quantile(votes: Sequence[int], kappa: float) -> int:
    """Lower κ-quantile of equal voters."""
    return sorted(votes)[math.ceil(kappa * len(votes)) - 1]


def upper_median(votes: Sequence[int]) -> int:
    """Upper median of equal voters: the smallest v with 2 W(≤ v) > W."""
    return sorted(votes)[len(votes) // 2]
