"""Voters' pay on the chain: against the formula in floating point, and at its edges.

The figures of its simulation are checked in tests/contracts/forge/test_simulation.py.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.reference import WAD, quantile
from support.task import UNIT, Task


def formula(x: bool, rate: float, others: bool, q: float, pot: float, share: float, bond: float) -> float:
    """beta * c of rule 11, as written there."""
    return min(pot * share / 2, bond / 2) * 2 * (x - rate) * (others - q)


class Book:
    """Rule 11 in floating point: tau, q and every voter's own history."""

    def __init__(self) -> None:
        self.tau, self.q = 0, 0.5
        self.yes: dict[Any, int] = {}
        self.seen: dict[Any, int] = {}

    def score(
        self, votes: dict[Any, int], weights: dict[Any, int], pot: float, bonds: dict[Any, float]
    ) -> dict[Any, float]:
        rates = {n: (self.yes.get(n, 0) + 4 * self.q) / (self.seen.get(n, 0) + 4) for n in votes}
        x = {n: v > self.tau for n, v in votes.items()}
        total, above = sum(weights.values()), sum(weights[n] for n in votes if x[n])
        median = quantile(list(votes.values()), [weights[n] for n in votes], 5_000)
        for n, vote in votes.items():
            if vote > -8:
                self.yes[n] = self.yes.get(n, 0) + x[n]
                self.seen[n] = self.seen.get(n, 0) + 1
        if median == -8:
            return dict.fromkeys(votes, 0.0)
        pay = {}
        for n in votes:
            others = 2 * (above - weights[n] * x[n]) > total - weights[n]
            pay[n] = formula(x[n], rates[n], others, self.q, pot, weights[n] / total, bonds[n])
        self.q += ((2 * above > total) - self.q) / 50
        self.tau = max(-2, min(23, self.tau + (median > self.tau) - (median < self.tau)))
        return pay


@pytest.mark.parametrize("bond_bps", [10_000, 100])
def test_contracts_agree_with_the_formula_up_to_rounding(chain: Any, bond_bps: int) -> None:
    """Honest, constant, masking and random voters of unequal weight; small bonds cap what is at stake."""
    rng = random.Random(7)
    task = Task(voteBondBps=bond_bps, scoringFee=UNIT // 2, submissionBond=UNIT // 10, warmUp=1)
    stakes = [9, 11, 5, 14, 7, 30]
    nodes = [task.join(a, stake=s * 10 * UNIT) for a, s in zip(chain.accounts[10:16], stakes, strict=True)]
    task.fund()
    author, voters = nodes[-1], nodes[:-1]
    book = Book()
    for _ in range(8):
        chain.travel(chain.now + 10)
        truth = rng.gauss(0, 3)
        votes = {n: max(-8, min(23, round(truth + rng.gauss(0, 1.2)))) for n in voters}
        votes[voters[0]] = 23
        votes[voters[1]] = -8 if votes[voters[1]] <= book.tau else votes[voters[1]]
        votes[voters[2]] = rng.choice([-7, 9])
        id = task.open(author)
        before = {n: task.account(n) for n in voters}
        task.score(id, votes)
        weights = {n: int(task.book.voteOf(id, n)["weight"]) for n in voters}
        bonds = {n: weights[n] * UNIT * bond_bps / 10_000 for n in voters}
        for n, expected in book.score(votes, weights, task.params["scoringFee"], bonds).items():
            after = task.account(n)
            paid = after["credit"] - before[n]["credit"]
            charged = before[n]["stake"] + before[n]["locked"] - after["stake"] - after["locked"]
            assert abs(paid - charged - expected) <= 1e-6 * UNIT
        assert task.book.tauAndRate()[0] == book.tau
        assert abs(task.book.tauAndRate()[1] - book.q * WAD) < 1e3
    task.solvent(nodes)


def test_fresh_accounts_earn_no_more_than_their_owner_would(chain: Any) -> None:
    """An empty history is the task's own rate: a new account starts where a constant voter stands."""
    task = Task(scoringFee=UNIT // 2, submissionBond=UNIT // 10)
    nodes = [task.join(a) for a in chain.accounts[10:15]]
    chain.travel(chain.now + 10)
    id = task.open(nodes[0])
    for n in nodes[1:]:
        task.commit(n, id, 3)
        assert task.book.voteOf(id, n)["rate"] * WAD >> 24 == task.submission(id)["q"]


@pytest.mark.parametrize("parts", [(40,), (20, 20), (1, 39), (13, 13, 14)])
def test_splitting_a_stake_changes_neither_the_outcome_nor_what_is_at_stake(chain: Any, parts: tuple[int, ...]) -> None:
    task = Task(scoringFee=UNIT // 2 + 7, submissionBond=UNIT // 10, voteBondBps=10_000)
    fixed = [task.join(a, stake=(20 + i) * UNIT) for i, a in enumerate(chain.accounts[10:15])]
    split = [task.join(a, stake=p * UNIT) for a, p in zip(chain.accounts[20:25], parts, strict=False)]
    chain.travel(chain.now + 10)
    id = task.open(fixed[0])
    task.score(id, {**dict.fromkeys(fixed[1:], 2), **dict.fromkeys(split, 6)}, settle=False)
    receipt = task.settle(id, split)
    s = task.submission(id)
    slices = sum(e["paid"] + e["feeToPool"] for e in receipt.events["VoteSettled"])
    assert (s["outcome"], s["median"], s["revealedWeight"]) == (2, 2, 130)
    assert slices == (UNIT // 2 + 7) // 130 * 40


def test_an_unusable_model_pays_and_charges_nobody(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    task.score(id, dict(zip(nodes[1:], (-8, -8, -8, 5), strict=True)))
    assert task.submission(id)["median"] == -8
    assert [tuple(task.account(n))[:4] for n in nodes[1:]] == [(10 * UNIT, 0, 0, 0)] * 4
    assert tuple(task.book.tauAndRate()) == (0, WAD // 2)
    task.solvent(nodes)


def test_a_lone_dissenter_is_charged_at_most_its_bond(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    task.score(id, dict(zip(nodes[1:], (5, 5, 5, -3), strict=True)), settle=False)
    receipt = task.settle(id, nodes[4:])
    event = receipt.events["VoteSettled"]
    slice_ = 3 * UNIT // 40 * 10
    assert (event["paid"], event["bondForfeited"], event["feeToPool"]) == (0, slice_ // 4, slice_)
    assert event["bondReleased"] + event["bondForfeited"] == UNIT
