"""Weights near 2^32, the most that all nodes of a task may weigh: every sum, quantile, slice and bond at its widest."""

from __future__ import annotations

from typing import Any

import pytest
from support.reference import ONE, payment, quantile, upper_median
from support.task import FINAL, LOWEST, Task, deployment, settlements

MOST = 2**32 - 1
STAKE = 10**12  # one unit of weight
# each sum of parts, and each word of the histogram that holds them, needs all of its 32 bits
CROWDS = {
    "halves": (2**31 - 1, 2**31 - 3, 1, 1),
    "just above 24 bits": (2**24, 2**24 + 1, 2**24 + 2, 2**24 + 3),
    "a giant": (MOST - 2**25 - 10, 2**25, 5, 4),
    "quarters": (2**30 - 1, 2**30 - 1, 2**30 - 2, 2**30 - 2),
}
wide = pytest.mark.parametrize("weights", CROWDS.values(), ids=CROWDS)


def crowd(chain: Any, weights: tuple[int, ...]) -> tuple[Any, Any, list[Any]]:
    """A task whose voters weigh this; its author weighs one."""
    task = Task(
        token=deployment().token(6),
        minStake=STAKE,
        submissionBond=STAKE // 2,
        scoringFee=STAKE // 10 + 7,
        voteBondBps=77,
    )
    author = task.join(chain.accounts[9], stake=STAKE + task.params["submissionBond"] + task.params["scoringFee"])
    voters = [task.join(a, stake=w * STAKE) for a, w in zip(chain.accounts[10:14], weights, strict=True)]
    chain.travel(chain.now + 10)
    return task, author, voters


@wide
@pytest.mark.parametrize("votes", [(3, 3, -2, 9), (-8, 1, 23, 0), (0, 23, 0, 22), (2, 2, 2, 2)])
def test_the_result_of_an_id_is_the_references(chain: Any, weights: tuple[int, ...], votes: tuple[int, ...]) -> None:
    task, author, voters = crowd(chain, weights)
    id = task.open(author)
    task.score(id, dict(zip(voters, votes, strict=True)), settle=False)
    s = task.submission(id)
    assert (s["status"], s["eligible"], s["revealedWeight"]) == (FINAL, sum(weights), sum(weights))
    assert s["outcome"] == quantile(votes, weights, task.params["kappaBps"])
    assert s["median"] == upper_median(votes, weights)
    assert s["yesWeight"] == sum(w for w, v in zip(weights, votes, strict=True) if v > 0)
    expected = [sum(w for w, v in zip(weights, votes, strict=True) if v == b + LOWEST) for b in range(32)]
    assert [int(w) for w in task.book.histogram(id)] == expected
    assert tuple(task.book.tally(id)) == (sum(weights), s["yesWeight"], 4)


@wide
def test_pay_and_bonds_are_the_references(chain: Any, weights: tuple[int, ...]) -> None:
    task, author, voters = crowd(chain, weights)
    votes = dict(zip(voters, (3, 0, 5, -1), strict=True))
    id = task.open(author)
    task.score(id, votes, settle=False)
    yes, total = weights[0] + weights[2], sum(weights)
    for (voter, improvement), weight in zip(votes.items(), weights, strict=True):
        x, bond = improvement > 0, -(-weight * STAKE * 77 // 10_000)
        slice_ = task.params["scoringFee"] // total * weight
        others = 2 * (yes - weight * x) > total - weight
        paid, charged = payment(x, others, ONE // 2, ONE // 2, slice_, bond)
        assert settlements(task.settle(id, [voter])) == {voter: (bond - charged, charged, paid, slice_ - paid)}
    task.solvent([author, *voters])


@wide
def test_the_weight_of_all_nodes_is_the_sum_of_each(chain: Any, weights: tuple[int, ...]) -> None:
    """While stake comes, is forfeited and goes: whoever leaves is weighed no more, and what was stays as it was."""
    task, author, voters = crowd(chain, weights)
    vault, everybody = task.vault, [author, *voters]
    full = chain.now

    def total() -> int:
        now = chain.now
        assert vault.totalWeightAt(now) == sum(vault.weightAt(n, now) for n in everybody)
        assert [vault.weightAt(n, now) for n in everybody] == [vault.weightNow(n) for n in everybody]
        return int(vault.totalWeightAt(now))

    assert total() == sum(weights) + 1 <= MOST
    id = task.open(author)
    for voter in voters:
        task.commit(voter, id, 1)
    task.to_end(id)
    task.finalize(id)
    task.settle(id, voters)
    bonds = [-(-w * STAKE * 77 // 10_000) for w in weights]
    assert total() == 1 + sum((w * STAKE - b) // STAKE for w, b in zip(weights, bonds, strict=True))
    task.send(vault.requestUnstake, task.account(voters[0])["stake"], sender=voters[0])
    assert total() == 1 + sum((w * STAKE - b) // STAKE for w, b in list(zip(weights, bonds, strict=True))[1:])
    assert vault.totalWeightAt(full) == sum(weights) + 1


def test_the_most_that_fits_weighs_and_one_unit_more_is_refused(chain: Any) -> None:
    task, _, voters = crowd(chain, (2**31, 2**31 - 5, 1, 1))
    whale = voters[0]
    task.pay(whale, 2 * STAKE)
    task.send(task.vault.deposit, STAKE, sender=whale)
    assert task.vault.totalWeightAt(chain.now) == MOST
    task.reverts("VaultTooMuchWeight", MOST + 1, MOST, call=task.vault.deposit, args=(STAKE,), sender=whale)
