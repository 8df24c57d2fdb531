"""Local strategies ready to use: name one in ``[strategy] class``; its fields are the options beside it.

Each changes one answer of ``TrainFromBest``; averaging over the k best models is its option ``average``. What they are
worth is measured by ``python -m benchmarks.federation``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pdfed_sdk.buckets import WORST
from pdfed_sdk.errors import UsageError
from pdfed_sdk.node.strategy import Candidate, TrainFromBest
from pdfed_sdk.types import BPS, Parent

UNKNOWN = float("-inf")


def within(name: str, value: float, least: float, most: float) -> None:
    """UsageError for an option out of its limits."""
    if not least <= value <= most:
        raise UsageError(f"strategy.{name} is {value}, not within {least} … {most}", hint="see docs/node.md")


@dataclass(frozen=True, slots=True)
class OwnScores(TrainFromBest):
    """Trust nobody: rank by the node's own measurements alone."""

    def merit(self, candidate: Candidate, heard: Sequence[int]) -> float:
        own = candidate.own_improvement
        return UNKNOWN if own is None or own == WORST else float(candidate.reference_level + own)


@dataclass(frozen=True, slots=True)
class Blend(TrainFromBest):
    """The node's own measurement with weight ``own``, the mean of the votes it listens to with the rest; whichever is
    missing leaves the other alone."""

    own: float = 0.5

    def __post_init__(self) -> None:
        TrainFromBest.__post_init__(self)
        within("own", self.own, 0, 1)

    def merit(self, candidate: Candidate, heard: Sequence[int]) -> float:
        mine = candidate.own_improvement
        if mine == WORST or (mine is None and not heard):
            return UNKNOWN
        others = sum(heard) / len(heard) if heard else float(mine or 0)
        part = self.own if mine is not None and heard else float(mine is not None)
        return candidate.reference_level + part * (mine or 0) + (1 - part) * others


@dataclass(frozen=True, slots=True)
class StakeWeighted(TrainFromBest):
    """The votes it listens to, weighted by the stake that stood behind them: their weighted mean."""

    def merit(self, candidate: Candidate, heard: Sequence[int]) -> float:
        weights = {voter: candidate.weights.get(voter, 0) for voter in candidate.votes}
        total = sum(weights.values())
        if candidate.own_improvement == WORST or not total:
            return TrainFromBest.merit(self, candidate, heard)
        mean = sum(weights[voter] * vote for voter, vote in candidate.votes.items()) / total
        return candidate.reference_level + mean


@dataclass(frozen=True, slots=True)
class PessimisticThird(TrainFromBest):
    """Rank by the lower ``quantile`` of all opinions, the node's own among them: a model that copies the pictures of a
    few nodes is seen as those few see it, and not as the mean does. Models of one's own chain are passed over when
    ``own_run`` of them stand in a row: a fast node would else train on from itself again and again."""

    quantile: float = 1 / 3
    own_run: int = 1

    def __post_init__(self) -> None:
        TrainFromBest.__post_init__(self)
        within("quantile", self.quantile, 0, 1)
        within("own_run", self.own_run, 1, 1_000_000)

    def merit(self, candidate: Candidate, heard: Sequence[int]) -> float:
        own = candidate.own_improvement
        opinions = sorted([*heard, *([] if own is None else [own])])
        if own == WORST or not opinions or candidate.own_run > self.own_run:
            return UNKNOWN
        return float(candidate.reference_level + opinions[math.ceil(self.quantile * len(opinions)) - 1])


@dataclass(frozen=True, slots=True)
class NotMyOwnTwice(TrainFromBest):
    """Never train on a model of one's own whose first parent is one's own too."""

    def merit(self, candidate: Candidate, heard: Sequence[int]) -> float:
        return UNKNOWN if candidate.own_run > 1 else TrainFromBest.merit(self, candidate, heard)


@dataclass(frozen=True, slots=True)
class TakeTurns(TrainFromBest):
    """Wait while the best model known is one's own: the next step is another node's, on other pictures."""

    def parents(self, ranked: Sequence[tuple[Candidate, float]]) -> list[Parent]:
        return [] if ranked[0][0].own_run else TrainFromBest.parents(self, ranked)


@dataclass(frozen=True, slots=True)
class Explore(TrainFromBest):
    """With probability ``epsilon`` train on a model drawn from all that are known instead of the best. The draw depends
    on what is known alone, so a node that starts again chooses the same."""

    epsilon: float = 0.1

    def __post_init__(self) -> None:
        TrainFromBest.__post_init__(self)
        within("epsilon", self.epsilon, 0, 1)

    def parents(self, ranked: Sequence[tuple[Candidate, float]]) -> list[Parent]:
        best = TrainFromBest.parents(self, ranked)
        rng = np.random.default_rng([candidate.id for candidate, _ in ranked])
        if not best or rng.random() >= self.epsilon:
            return best
        return [Parent(ranked[int(rng.integers(len(ranked)))][0].id, BPS)]
