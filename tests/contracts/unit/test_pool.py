"""RewardPool: funding, drip, rewards, lineage, closing."""

from typing import Any

import pytest
from support.reference import DAY, accrued, poured, reward
from support.task import UNIT, ZERO, Task

FUNDED = 1_000 * UNIT


def test_only_the_sponsor_funds_and_the_first_funding_releases_a_day(task: Any, nodes: list[Any], chain: Any) -> None:
    fresh = Task()
    fresh.pay(fresh.sponsor, 2 * FUNDED)
    fresh.pay(nodes[0], UNIT)
    fresh.reverts("PoolNotSponsor", nodes[0], call=fresh.pool.fund, args=(UNIT,), sender=nodes[0])
    fresh.reverts("VaultZeroAmount", call=fresh.pool.fund, args=(0,), sender=fresh.sponsor)
    assert fresh.balances() == (0, 0)
    fresh.send(fresh.pool.fund, FUNDED, sender=fresh.sponsor)
    start = chain.now
    assert fresh.balances() == (FUNDED * 99 // 100, FUNDED // 100)
    fresh.send(fresh.pool.fund, FUNDED, sender=fresh.sponsor, at=start + DAY)
    assert fresh.balances()[1] == accrued(FUNDED // 100, FUNDED, 100, DAY)
    fresh.send(fresh.pool.close, sender=fresh.sponsor)
    fresh.pay(fresh.sponsor, UNIT)
    fresh.reverts("PoolClosed", call=fresh.pool.fund, args=(UNIT,), sender=fresh.sponsor)


@pytest.mark.parametrize("elapsed", [0, 1, DAY - 1, DAY, 5 * DAY, 6 * DAY, 6 * DAY + 1, 7 * DAY, 400 * DAY])
def test_the_allowance_grows_by_the_drip_up_to_seven_days(task: Any, chain: Any, elapsed: int) -> None:
    funded = int(chain.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    pool, allowance = task.balances()
    chain.travel(funded + elapsed + 1)
    got = task.balances()
    assert sum(got) == FUNDED
    assert got[1] <= FUNDED * 7 // 100
    assert abs(got[1] - min(FUNDED * 7 // 100, allowance + FUNDED * (elapsed + 1) // (100 * DAY))) <= 1
    assert pool + allowance == FUNDED


def test_a_reward_follows_the_power_law(task: Any, nodes: list[Any]) -> None:
    author, *voters = nodes
    id = task.open(author)
    task.score(id, dict.fromkeys(voters, 9), settle=False)
    owed = task.pool.owed(id)
    dust = 3 * UNIT % 40
    left = task.balances()[1]
    assert reward(owed + left, 200, 9) == owed
    assert sum(task.balances()) + owed == FUNDED + dust
    assert task.pool.balances()[2] == owed
    task.send(task.pool.pour, id, sender=voters[0])
    author_part = owed - owed * 3_000 // 10_000
    assert task.account(author)["credit"] == author_part
    assert task.pool.balances()[2] == 0  # the lineage is genesis: back to the pool
    assert sum(task.balances()) == FUNDED + dust - author_part
    task.solvent(nodes)


def test_below_the_least_step_nothing_is_paid(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    receipt = task.score(id, dict.fromkeys(nodes[1:], 1))
    assert "Rewarded" not in receipt.events
    assert task.pool.owed(id) == 0
    assert task.best() == (0, 0)


def test_without_funding_a_best_model_is_paid_nothing(chain: Any) -> None:
    task = Task()
    nodes = [task.join(a) for a in chain.accounts[10:15]]
    chain.travel(chain.now + 10)
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], 5), settle=False)
    assert task.best() == (id, 5)
    assert task.pool.owed(id) == 0
    task.fund()
    assert task.balances()[1] == (FUNDED + 3 * UNIT % 40) // 100


def chain_of_three(task: Any, nodes: list[Any]) -> list[int]:
    """Three models, each trained from the one before."""
    ids = [0]
    for author, gain in zip(nodes[:3], (4, 3, 5), strict=True):
        id = task.open(author, [(ids[-1], 10_000)])
        task.score(id, {n: gain for n in nodes if n != author})
        ids.append(id)
    return ids[1:]


def test_pour_pays_along_the_lineage_and_keeps_every_unit(task: Any, nodes: list[Any]) -> None:
    first, second, third = chain_of_three(task, nodes)
    owed = {i: task.pool.owed(i) for i in (first, second, third)}
    total = task.pool.balances()[2]
    assert total == sum(owed.values())
    credits = {n: task.account(n)["credit"] for n in nodes}
    task.send(task.pool.pour, third, sender=nodes[4])
    line = owed[third] * 3_000 // 10_000
    assert task.account(nodes[2])["credit"] - credits[nodes[2]] == owed[third] - line
    assert task.pool.pending(second) == line  # parent and reference are the same model
    task.send(task.pool.pour, second, sender=nodes[4])
    mine = poured(line, 9_000, 3)
    assert task.account(nodes[1])["credit"] - credits[nodes[1]] == owed[second] - owed[second] * 3_000 // 10_000 + mine
    passed = line - mine
    down = owed[second] * 3_000 // 10_000
    assert task.pool.pending(first) == passed + down
    pool = sum(task.balances())
    task.send(task.pool.pour, first, sender=nodes[4])
    mine = poured(passed + down, 9_000, 4)
    assert sum(task.balances()) == pool + passed + down - mine + owed[first] * 3_000 // 10_000
    assert task.pool.balances()[2] == 0
    task.solvent(nodes)
    before = task.ledgers(nodes)
    task.send(task.pool.pourMany, [third, second, first], sender=nodes[4])
    assert task.ledgers(nodes) == before


def test_many_pours_in_one_call_equal_single_pours(task: Any, nodes: list[Any]) -> None:
    ids = chain_of_three(task, nodes)
    snapshot = task.chain.snapshot()
    for id in reversed(ids):
        task.send(task.pool.pour, id, sender=nodes[0])
    single = [task.account(n)["credit"] for n in nodes]
    task.chain.revert(snapshot)
    task.send(task.pool.pourMany, list(reversed(ids)), sender=nodes[0])
    assert [task.account(n)["credit"] for n in nodes] == single
    empty = task.send(task.pool.pourMany, [77, 0, ids[0]], sender=nodes[0])  # nothing there: nothing happens
    assert [e["id"] for e in empty.events["PourSkipped"]] == [77, 0, ids[0]]


def test_declared_parents_share_by_weight_and_a_void_one_leaves_its_part_to_the_reference(
    task: Any, nodes: list[Any]
) -> None:
    a, b, c, d, e = nodes
    first = task.open(a)
    task.score(first, dict.fromkeys((b, c, d, e), 4))
    side = task.open(b)
    dead = task.open(c)
    child = task.open(d, [(side, 6_000), (dead, 2_500), (0, 1_500)])
    for id in (side, child):
        for n in (a, b, c, d, e):
            if n != (b if id == side else d):
                task.commit(n, id, 3)
    task.to_reveal(child)
    for (id, name), _ in list(task.ballots.items()):
        if id in (side, child):
            task.reveal(next(n for n in nodes if str(n) == name), id)
    task.to_end(child)
    for id in (side, dead, child):
        task.finalize(id)
    assert task.submission(dead)["status"] == 4
    # both measured against `first`: `side` became best, `child` did not and earns nothing itself
    assert task.pool.owed(side) > 0
    assert task.pool.owed(child) == 0
    last = task.open(e, [(child, 5_000), (side, 3_000), (first, 2_000)])
    task.score(last, dict.fromkeys((a, b, c, d), 5))
    owed = task.pool.owed(last)
    line = owed * 3_000 // 10_000
    receipt = task.send(task.pool.pour, last, sender=a)
    half = line // 2
    shares = [(x["to"], x["amount"]) for x in receipt.events["LineageShared"]]
    declared = [half * w // 10_000 for w in (5_000, 3_000, 2_000)]
    assert shares == [*zip((child, side, first), declared, strict=True), (side, line - sum(declared))]
    pending = task.pool.pending(child)
    task.send(task.pool.pour, child, sender=a)
    assert task.pool.pending(child) == 0
    assert task.pool.pending(first) == declared[2] + pending  # no gain of its own: all passes to the reference
    task.solvent(nodes)


def test_a_pour_that_pays_nobody_still_gives_genesis_part_back(task: Any, nodes: list[Any]) -> None:
    """A model without gain passes all it holds to its reference, genesis: nothing of it stays committed."""
    a, b, *_ = nodes
    idle = task.open(a)
    task.score(idle, {n: 0 for n in nodes if n != a})
    child = task.open(b, [(idle, 10_000)])
    task.score(child, {n: 4 for n in nodes if n != b})
    task.send(task.pool.pour, child, sender=b)
    held = task.pool.pending(idle)
    free, committed, earned = sum(task.balances()), task.pool.balances()[2], task.account(a)["credit"]
    assert held == committed > 0
    receipt = task.send(task.pool.pour, idle, sender=b)
    assert (receipt.events["Poured"]["toAuthor"], receipt.events["Poured"]["passed"]) == (0, held)
    assert (task.pool.balances()[2], task.pool.pending(idle)) == (0, 0)
    assert sum(task.balances()) == free + held
    assert task.account(a)["credit"] == earned
    task.solvent(nodes)


def test_parents_that_are_not_final_leave_their_part_to_the_reference(task: Any, nodes: list[Any]) -> None:
    a, b, *voters = nodes
    dead = task.open(a)
    child = task.open(b, [(dead, 10_000)])
    for n in (*voters, a):
        task.commit(n, child, 6)
    task.to_reveal(child)
    for n in (*voters, a):
        task.reveal(n, child)
    task.to_end(child)
    task.finalize(dead)
    task.finalize(child)
    receipt = task.send(task.pool.pour, child, sender=a)
    assert [x["to"] for x in receipt.events["LineageShared"]] == [0]
    assert task.pool.balances()[2] == 0
    task.solvent(nodes)


def test_reclaiming_after_close_the_last_id_and_grace(task: Any, nodes: list[Any], chain: Any) -> None:
    reclaim, sponsor = task.pool.reclaim, task.sponsor
    task.reverts("PoolNotSponsor", nodes[0], call=reclaim, args=(nodes[0],), sender=nodes[0])
    task.reverts("PoolNotClosed", call=reclaim, args=(sponsor,), sender=sponsor)
    id = task.open(nodes[0])
    task.send(task.pool.close, sender=sponsor)
    task.reverts("PoolUnfinished", id, id + 1, call=reclaim, args=(sponsor,), sender=sponsor, at=chain.now + 10**6)
    task.score(id, dict.fromkeys(nodes[1:], 4), settle=False)
    until = task.registry.lastFinalizedAt() + task.params["grace"]
    task.reverts("PoolGraceRunning", until, until - 1, call=reclaim, args=(sponsor,), sender=sponsor, at=until - 1)
    task.reverts("VaultBadRecipient", ZERO, call=reclaim, args=(ZERO,), sender=sponsor, at=until)
    owed = task.pool.owed(id)
    task.send(reclaim, chain.accounts[71], sender=sponsor, at=until)
    assert task.token.balanceOf(chain.accounts[71]) == FUNDED + 3 * UNIT % 40 - owed
    assert task.balances() == (0, 0)
    task.send(task.pool.pour, id, sender=nodes[0])  # what was earned before is still paid
    assert task.account(nodes[0])["credit"] == owed - owed * 3_000 // 10_000
    task.send(reclaim, sponsor, sender=sponsor)  # what came back later, too
    task.solvent(nodes)


def test_an_empty_task_is_reclaimed_grace_after_its_close(task: Any, chain: Any) -> None:
    task.send(task.pool.close, sender=task.sponsor)
    until = task.registry.closedAt() + task.params["grace"]
    call, args = task.pool.reclaim, (task.sponsor,)
    task.reverts("PoolGraceRunning", until, until - 1, call=call, args=args, sender=task.sponsor, at=until - 1)
    task.send(call, *args, sender=task.sponsor, at=until)
    assert task.token.balanceOf(task.sponsor) == FUNDED
