"""Voters' pay (protocol rule 11) in floating point, and populations of voters to try it on.

`play` draws what a population votes and what the formula pays for it. The draws come in the order of the simulation
that the protocol page quotes, from the same generator and seed, so its figures can be compared to the last digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LOWEST, MISSING, HIGHEST = -8, -7, 23
MEMORY, PRIOR = 50, 4
SPREAD, NOISE = 2.0, 1.2  # of true improvements over models, of a voter's reading; in buckets

Array = npt.NDArray[np.float64]


class Formula:
    """tau, q and the histories of `n` voters. Pay is in parts of the pot, negative for a charge."""

    def __init__(self, n: int) -> None:
        self.tau, self.q = 0, 0.5
        self.above, self.seen = np.zeros(n), np.zeros(n)

    def score(self, votes: npt.NDArray[np.int64], weights: Array, bonds: Array) -> tuple[int, Array]:
        """Median of `votes` (n,) and pay (n,)."""
        bit = (votes > self.tau).astype(float)
        own = (self.above + PRIOR * self.q) / (self.seen + PRIOR)
        whole, yes = weights.sum(), float(weights @ bit)
        order = np.argsort(votes, kind="stable")
        median = int(votes[order[np.argmax(2 * np.cumsum(weights[order]) > whole)]])
        usable = votes > MISSING
        self.above += bit * usable
        self.seen += usable
        if median <= MISSING:
            return median, np.zeros(len(votes))
        others = (2 * (yes - weights * bit) > whole - weights).astype(float)
        stake = np.minimum(weights / whole, bonds) / 2
        pay = stake * 2 * (bit - own) * (others - self.q)
        self.q += (float(2 * yes > whole) - self.q) / MEMORY
        self.tau = max(-2, min(HIGHEST, self.tau + int(np.sign(median - self.tau))))
        return median, pay


@dataclass(frozen=True)
class Population:
    name: str
    kinds: tuple[str, ...]
    weights: tuple[int, ...]
    junk: float = 0.0  # share of submissions that are unusable

    @staticmethod
    def of(name: str, junk: float = 0.0, **groups: int | tuple[int, int]) -> Population:
        """`kind=count`, or `kind=(count, weight of each)`; underscores in a kind are spaces."""
        kinds, weights = [], []
        for kind, size in groups.items():
            count, weight = size if isinstance(size, tuple) else (size, 1)
            kinds += [kind.replace("_", " ")] * count
            weights += [weight] * count
        return Population(name, tuple(kinds), tuple(weights), junk)


@dataclass(frozen=True)
class Play:
    population: Population
    votes: npt.NDArray[np.int64]  # (submissions, voters)
    medians: npt.NDArray[np.int64]  # (submissions,)
    pay: Array  # (submissions, voters) of the formula, in parts of the pot

    def figures(self, pay: Array | None = None) -> dict[str, float]:
        """Mean pay a unit of weight by kind; 2 is the most a perfect, always informative voter could get."""
        kinds, weights = np.array(self.population.kinds), np.array(self.population.weights, float)
        total = (self.pay if pay is None else pay).sum(axis=0)
        scale = 2 * weights.sum() / max(1, int((self.medians != LOWEST).sum()))
        return {
            k: float(total[kinds == k].sum() / weights[kinds == k].sum() * scale)
            for k in dict.fromkeys(self.population.kinds)
        }


def play(population: Population, submissions: int, seed: int = 11) -> Play:
    rng = np.random.default_rng(seed)
    n, weights = len(population.kinds), np.array(population.weights, float)
    formula = Formula(n)
    votes, medians, pay = (
        np.zeros((submissions, n), np.int64),
        np.zeros(submissions, np.int64),
        np.zeros((submissions, n)),
    )
    for row in range(submissions):
        unusable = rng.random() < population.junk
        truth = -40.0 if unusable else rng.normal(0, SPREAD)
        read = np.clip(np.round(truth + rng.normal(0, NOISE, n)), LOWEST, HIGHEST).astype(np.int64)
        heads = bool(rng.integers(2))
        for i, kind in enumerate(population.kinds):
            read[i] = _cast(kind, int(read[i]), formula.tau, heads, unusable)
        read[read == MISSING] = MISSING + 1  # no measurement rounds to it
        votes[row] = read
        medians[row], pay[row] = formula.score(read, weights, weights)
    return Play(population, votes, medians, pay)


def _cast(kind: str, honest: int, tau: int, heads: bool, unusable: bool) -> int:
    """What a voter of `kind` votes that would honestly vote `honest`."""
    if kind == "coin":  # all coins of a population are one
        return tau + 1 if heads else max(tau - 1, LOWEST + 1)
    if kind == "always yes":
        return HIGHEST
    if kind == "junk only":  # looks only whether the model is usable at all
        return LOWEST if unusable else tau + 1
    if kind == "mask":  # hides its low votes among the unusable
        return LOWEST if honest <= tau else honest
    return honest


def memorising(voters: int, victims: int, truth: float, submissions: int, seed: int = 11) -> npt.NDArray[np.int64]:
    """Votes (submissions, voters) on models that are `truth` buckets better and emit the pictures of the first
    `victims`: those vote LOWEST, the others what they measure."""
    rng = np.random.default_rng(seed)
    votes = np.clip(np.round(rng.normal(truth, NOISE, (submissions, voters))), LOWEST, HIGHEST).astype(np.int64)
    votes[votes == MISSING] = MISSING + 1
    votes[:, :victims] = LOWEST
    return votes


POPULATIONS: Sequence[Population] = (
    Population.of("15 honest", honest=15),
    Population.of("always yes and masks", honest=12, always_yes=1, mask=2),
    Population.of("junk only, 55 % junk", junk=0.55, honest=12, junk_only=3),
    Population.of("junk only, 80 % junk", junk=0.8, honest=12, junk_only=3),
    Population.of("a coin of 3 accounts", honest=12, coin=3),
    Population.of("a coin of 5 accounts", honest=10, coin=5),
    Population.of("a coin of 6 accounts", honest=9, coin=6),
    Population.of("a coin of weight 3", honest=12, coin=(1, 3)),
    Population.of("a coin of weight 5", honest=10, coin=(1, 5)),
    Population.of("a coin of weight 6", honest=9, coin=(1, 6)),
)
