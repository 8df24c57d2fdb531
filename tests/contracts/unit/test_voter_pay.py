"""Voters' pay: the contracts against the reference formula in floating point, and the figures of its simulation."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.reference import WAD, next_q, next_tau, payment, quantile
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


def simulate(kinds: list[str], weights: list[int], junk: float = 0.0, submissions: int = 3_000) -> dict[str, float]:
    """The simulation of the reference page, in the whole-number arithmetic that the contracts use."""
    rng = random.Random(11)
    n, total = len(kinds), sum(weights)
    tau, q, pot = 0, WAD // 2, 10**18
    yes, seen, earned, counted = [0] * n, [0] * n, [0] * n, 0
    for _ in range(submissions):
        is_junk = rng.random() < junk
        truth = -40.0 if is_junk else rng.gauss(0, 2)
        votes = [max(-8, min(23, round(truth + rng.gauss(0, 1.2)))) for _ in kinds]
        coin = rng.random() < 0.5
        for i, kind in enumerate(kinds):
            if kind == "coin":
                votes[i] = tau + 1 if coin else max(tau - 1, -7)
            elif kind == "always yes":
                votes[i] = 23
            elif kind == "junk only":
                votes[i] = -8 if is_junk else tau + 1
            elif kind == "mask" and votes[i] <= tau:
                votes[i] = -8
        rates = [((yes[i] * WAD + 4 * q) << 24) // ((seen[i] + 4) * WAD) for i in range(n)]
        above = sum(w for w, v in zip(weights, votes, strict=True) if v > tau)
        median = quantile(votes, weights, 5_000)
        for i, vote in enumerate(votes):
            yes[i] += tau < vote
            seen[i] += vote > -8
        if median == -8:
            continue
        counted += 1
        for i, vote in enumerate(votes):
            x = vote > tau
            others = 2 * (above - weights[i] * x) > total - weights[i]
            slice_ = pot // total * weights[i]
            paid, charged = payment(x, others, rates[i], q, slice_, weights[i] * pot)
            earned[i] += paid - charged
        q, tau = next_q(q, median, above, total), next_tau(tau, median)
    result = {}
    for kind in dict.fromkeys(kinds):
        own = [i for i in range(n) if kinds[i] == kind]
        share = sum(earned[i] for i in own) / sum(weights[i] for i in own)
        result[kind] = 2 * share * total / pot / max(counted, 1)
    return result


def test_honest_work_pays_and_lazy_votes_do_not() -> None:
    honest = ["honest"] * 12
    assert 0.29 <= simulate(["honest"] * 15, [1] * 15)["honest"] <= 0.34
    lazy = simulate([*honest, "always yes", "mask", "mask"], [1] * 15)
    assert lazy["honest"] >= 0.27
    assert abs(lazy["always yes"]) <= 0.02
    for junk in (0.55, 0.8):
        result = simulate([*honest, *["junk only"] * 3], [1] * 15, junk, submissions=4_000)
        assert result["honest"] >= 0.25
        assert result["junk only"] <= 0.01


def test_a_ring_that_flips_one_coin_earns_less_and_nothing_as_one_account() -> None:
    ring = simulate(["honest"] * 10 + ["coin"] * 5, [1] * 15)
    one = simulate(["honest"] * 10 + ["coin"], [1] * 10 + [5])
    assert ring["coin"] <= 0.13 < ring["honest"]
    assert abs(one["coin"]) <= 0.02


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
