"""Voters' pay on the chain: against the formula in floating point, and at its edges.

The figures of its simulation are checked in tests/contracts/forge/test_simulation.py.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.reference import ONE, upper_median
from support.task import UNIT, Task, settlements


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
        median = upper_median(list(votes.values()), [weights[n] for n in votes])
        for n, vote in votes.items():
            if vote > -7:
                self.yes[n] = self.yes.get(n, 0) + x[n]
                self.seen[n] = self.seen.get(n, 0) + 1
        if median <= -7:
            return dict.fromkeys(votes, 0.0)
        pay = {}
        for n in votes:
            others = 2 * (above - weights[n] * x[n]) > total - weights[n]
            pay[n] = formula(x[n], rates[n], others, self.q, pot, weights[n] / total, bonds[n])
        self.q += ((2 * above > total) - self.q) / 50
        self.tau = max(-2, min(23, self.tau + (median > self.tau) - (median < self.tau)))
        return pay


@pytest.mark.parametrize("bond_bps", [3_333, 100])
def test_contracts_agree_with_the_formula_up_to_rounding(chain: Any, bond_bps: int) -> None:
    """Honest, constant, masking and random voters of unequal weight; small bonds cap what is at stake."""
    rng = random.Random(7)
    task = Task(voteBondBps=bond_bps, slots=1, scoringFee=UNIT // 2, submissionBond=UNIT // 10, warmUp=1)
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
        votes[voters[2]] = rng.choice([-6, 9])
        id = task.open(author)
        before = {n: task.account(n) for n in voters}
        task.score(id, votes, settle=False)
        weights = {n: int(task.book.voteOf(id, n)["weight"]) for n in voters}
        task.settle(id, voters)
        bonds = {n: weights[n] * UNIT * bond_bps / 10_000 for n in voters}
        for n, expected in book.score(votes, weights, task.params["scoringFee"], bonds).items():
            after = task.account(n)
            paid = after["credit"] - before[n]["credit"]
            charged = before[n]["stake"] + before[n]["locked"] - after["stake"] - after["locked"]
            assert abs(paid - charged - expected) <= 1e-6 * UNIT
        assert task.trend()[0] == book.tau
        assert abs(task.trend()[1] - book.q * ONE) < 50  # a unit at most at each of the steps
    task.solvent(nodes)


def test_fresh_accounts_earn_no_more_than_their_owner_would(chain: Any) -> None:
    """An empty history is the task's own rate: a new account starts where a constant voter stands."""
    task = Task(scoringFee=UNIT // 2, submissionBond=UNIT // 10)
    nodes = [task.join(a) for a in chain.accounts[10:15]]
    chain.travel(chain.now + 10)
    id = task.open(nodes[0])
    for n in nodes[1:]:
        task.commit(n, id, 3)
        assert task.book.voteOf(id, n)["rate"] == task.submission(id)["q"]


@pytest.mark.parametrize("parts", [(40,), (20, 20), (1, 39), (13, 13, 14)])
def test_splitting_a_stake_changes_neither_the_outcome_nor_what_is_at_stake(chain: Any, parts: tuple[int, ...]) -> None:
    task = Task(scoringFee=UNIT // 2 + 7, submissionBond=UNIT // 10, voteBondBps=3_333, slots=1)
    fixed = [task.join(a, stake=(20 + i) * UNIT) for i, a in enumerate(chain.accounts[10:15])]
    split = [task.join(a, stake=p * UNIT) for a, p in zip(chain.accounts[20:25], parts, strict=False)]
    chain.travel(chain.now + 10)
    id = task.open(fixed[0])
    task.score(id, {**dict.fromkeys(fixed[1:], 2), **dict.fromkeys(split, 6)}, settle=False)
    receipt = task.settle(id, split)
    s = task.submission(id)
    slices = sum(paid + rest for _, _, paid, rest in settlements(receipt).values())
    assert (s["outcome"], s["median"], s["revealedWeight"]) == (2, 2, 130)
    assert slices == (UNIT // 2 + 7) // 130 * 40


def test_an_unusable_model_pays_and_charges_nobody(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    task.score(id, dict(zip(nodes[1:], (-8, -8, -8, 5), strict=True)))
    assert task.submission(id)["median"] == -8
    assert [tuple(task.account(n))[:4] for n in nodes[1:]] == [(10 * UNIT, 0, 0, 0)] * 4
    assert task.trend() == (0, ONE // 2)
    task.solvent(nodes)


def test_a_lone_dissenter_is_charged_at_most_its_bond(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    task.score(id, dict(zip(nodes[1:], (5, 5, 5, -3), strict=True)), settle=False)
    slice_, bond = 3 * UNIT // 40 * 10, UNIT // 5
    assert settlements(task.settle(id, nodes[4:])) == {nodes[4]: (bond - bond // 4, bond // 4, 0, slice_)}


def test_missing_bytes_are_no_measurement(task: Any, nodes: list[Any]) -> None:
    """A vote of -7 enters no history; a median of -7 pays and charges nobody and moves neither tau nor q."""
    id = task.open(nodes[0])
    task.score(id, dict(zip(nodes[1:], (-7, -7, -7, 5), strict=True)))
    assert [tuple(task.book.history(n)) for n in nodes[1:]] == [(0, 0)] * 3 + [(1, 1)]
    assert [task.wealth(n) for n in nodes[1:]] == [10 * UNIT] * 4
    assert task.trend() == (0, ONE // 2)
    assert task.wealth(nodes[0]) == 7 * UNIT  # its bond is back, the fee paid
    task.solvent(nodes)
