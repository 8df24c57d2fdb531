"""What a reservation freezes: votes on it are counted and paid by the threshold and the rate of then, not of today."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from support.reference import ONE, next_q, next_tau, payment, quantile, rate, upper_median
from support.task import UNIT, Task


@dataclass
class Overtaken:
    """An open id that was reserved before its predecessor's result moved the task's threshold and rate."""

    task: Any
    voters: list[Any]
    id: int
    tau: int
    q: int


@pytest.fixture
def overtaken(task: Any, nodes: list[Any], chain: Any) -> Overtaken:
    """The first id is final, with a median above the threshold, while the second still takes votes."""
    author, *voters = nodes
    first = task.open(author)
    for voter in voters:
        task.commit(voter, first, 4)
    w = task.windows(first)
    second = task.reserve(author, at=w["commitEnd"] - 300)
    task.submit(author, second)
    frozen = task.submission(second)
    task.to_reveal(first)
    for voter in voters:
        task.reveal(voter, first)
    task.to_end(first)
    task.finalize(first)
    task.settle(first, voters)
    assert chain.now < task.windows(second)["commitEnd"] - 100
    assert task.trend() == (1, next_q(ONE // 2, 4, 40, 40))
    return Overtaken(task, voters, second, frozen["tau"], frozen["q"])


def test_a_rate_comes_from_the_reservations_q(overtaken: Overtaken) -> None:
    task, voter = overtaken.task, overtaken.voters[0]
    task.commit(voter, overtaken.id, 1)
    yes, seen = task.book.history(voter)
    assert (yes, seen) == (1, 1)
    assert overtaken.q == ONE // 2
    assert task.book.voteOf(overtaken.id, voter)["rate"] == rate(1, 1, overtaken.q)


def test_a_history_is_kept_against_the_reservations_tau(overtaken: Overtaken) -> None:
    """A vote of 1 is above the threshold of then, 0, and not above that of today, 1."""
    task, voter = overtaken.task, overtaken.voters[0]
    task.commit(voter, overtaken.id, 1)
    task.to_reveal(overtaken.id)
    task.reveal(voter, overtaken.id)
    assert tuple(task.book.tally(overtaken.id)) == (10, 10, 1)
    task.to_end(overtaken.id)
    task.finalize(overtaken.id)
    task.settle(overtaken.id, [voter])
    assert tuple(task.book.history(voter)) == (2, 2)


def test_votes_are_paid_by_the_reservations_tau_and_q(overtaken: Overtaken) -> None:
    """And the task's own tau and q move on from where they are today."""
    task, voters, id = overtaken.task, overtaken.voters, overtaken.id
    before = {v: task.account(v) for v in voters}
    votes = dict(zip(voters, (1, 1, 1, 0), strict=True))
    task.score(id, votes)
    slice_ = 3 * UNIT // 40 * 10
    for voter, improvement in votes.items():
        x = improvement > overtaken.tau
        own = rate(1, 1, overtaken.q)
        paid, charged = payment(x, 2 * (30 - 10 * x) > 30, own, overtaken.q, slice_, UNIT // 5)
        after = task.account(voter)
        assert after["credit"] - before[voter]["credit"] == paid
        assert before[voter]["stake"] - after["stake"] == charged
    assert task.submission(id)["yesWeight"] == 30
    assert task.trend() == (1, next_q(next_q(ONE // 2, 4, 40, 40), 1, 30, 40))


def test_tau_follows_the_median_and_not_the_outcome(chain: Any) -> None:
    task = Task()
    author, *voters = [task.join(a) for a in chain.accounts[10:16]]
    chain.travel(chain.now + 10)
    id = task.open(author)
    votes = (-5, -5, 4, 4, 4)
    task.score(id, dict(zip(voters, votes, strict=True)))
    outcome, median = quantile(votes, [10] * 5, 3_333), upper_median(votes, [10] * 5)
    assert (task.submission(id)["outcome"], task.submission(id)["median"]) == (outcome, median) == (-5, 4)
    assert task.trend()[0] == next_tau(0, median) == 1


def test_what_the_author_staked_then_is_left_out_of_the_eligible_weight(task: Any, nodes: list[Any]) -> None:
    """Not what it has now: stake that came a moment before the reservation was not counted in the total either."""
    author = nodes[0]
    task.pay(author, 20 * UNIT)
    task.send(task.vault.deposit, 20 * UNIT, sender=author)
    assert task.vault.weightNow(author) == 30
    assert task.submission(task.reserve(author))["eligible"] == 40


def test_stake_that_left_since_was_eligible_then(task: Any, nodes: list[Any]) -> None:
    author, other = nodes[:2]
    task.send(task.vault.requestUnstake, 5 * UNIT, sender=author)
    task.send(task.vault.requestUnstake, 4 * UNIT, sender=other)
    assert task.submission(task.reserve(author))["eligible"] == 40
