"""RewardPool: funding, meter, rewards, contribution, lineage, commons, closing."""

from typing import Any

import pytest
from support.plays import drawn, together
from support.reference import BPS, DAY, accrued, daily, poured, reward
from support.task import UNIT, ZERO, Task, happened

FUNDED = 1_000 * UNIT
DRIP, SIGMA = 100, 500  # of the funds and of the stake, a day


def test_only_the_sponsor_funds(task: Any, nodes: list[Any], chain: Any) -> None:
    """What it pays in is its own; nothing is released before somebody earns."""
    fresh = Task()
    fresh.pay(fresh.sponsor, 2 * FUNDED)
    fresh.pay(nodes[0], UNIT)
    fresh.reverts("PoolNotSponsor", nodes[0], call=fresh.pool.fund, args=(UNIT,), sender=nodes[0])
    fresh.reverts("VaultZeroAmount", call=fresh.pool.fund, args=(0,), sender=fresh.sponsor)
    assert set(fresh.balances().values()) == {0}
    receipt = fresh.send(fresh.pool.fund, FUNDED, sender=fresh.sponsor)
    assert (receipt.events["Funded"]["amount"], receipt.events["TreasuryFunded"]["amount"]) == (FUNDED, FUNDED)
    assert fresh.balances() == {
        "unreleased": FUNDED,
        "allowance": 0,
        "commons": 0,
        "committed": 0,
    }  # nobody has a stake
    fresh.send(fresh.pool.close, sender=fresh.sponsor)
    fresh.pay(fresh.sponsor, UNIT)
    fresh.reverts("PoolClosed", call=fresh.pool.fund, args=(UNIT,), sender=fresh.sponsor)


def first_reward(task: Any, nodes: list[Any], gain: int = 9) -> Any:
    """A model of `nodes[0]` becomes best by the grains of this index; the receipt of its conclusion."""
    return task.score(task.open(nodes[0]), dict.fromkeys(nodes[1:], gain), settle=False)


def test_the_meter_starts_with_the_first_reward_at_one_days_drip(task: Any, nodes: list[Any], chain: Any) -> None:
    """However long the task stood before: of the stake that was eligible, not of the funds, where that is less."""
    chain.travel(chain.now + 30 * DAY)
    receipt = first_reward(task, nodes)
    day = daily(FUNDED, DRIP, 40, UNIT, SIGMA) // BPS
    assert day == 2 * UNIT < FUNDED // 100
    event, commons = receipt.events["Rewarded"], 3 * UNIT % 40
    assert event["fromAllowance"] == reward(day, 200, 10)
    assert event["fromCommons"] == reward(commons, 200, 10)
    b = task.balances()
    assert (b["allowance"], b["committed"]) == (
        day - event["fromAllowance"],
        event["fromAllowance"] + event["fromCommons"],
    )
    assert task.funds() == FUNDED - event["fromAllowance"]
    assert task.pool.owed(1) == b["committed"]
    task.solvent(nodes)


@pytest.mark.parametrize("elapsed", [1, DAY - 1, DAY, 6 * DAY, 7 * DAY - 1, 7 * DAY, 7 * DAY + 1, 400 * DAY])
def test_the_allowance_grows_by_the_drip_up_to_seven_days(
    task: Any, nodes: list[Any], chain: Any, elapsed: int
) -> None:
    first_reward(task, nodes)
    start, funds, left = chain.now, task.funds(), task.balances()["allowance"]
    chain.travel(start + elapsed)
    weight = min(task.vault.totalWeightAt(chain.now - task.params["warmUp"]), 40)
    day = daily(funds, DRIP, weight, UNIT, SIGMA)
    assert task.balances()["allowance"] == accrued(left, day, elapsed) <= 7 * day // BPS
    assert task.funds() == funds


def test_a_small_fund_drips_by_itself_not_by_the_stake(chain: Any) -> None:
    task = Task()
    nodes = [task.join(a) for a in chain.accounts[10:15]]
    task.fund(10 * UNIT)
    chain.travel(chain.now + 10)
    receipt = first_reward(task, nodes)
    assert receipt.events["Rewarded"]["fromAllowance"] == reward(10 * UNIT // 100, 200, 10)


def test_the_drip_counts_no_stake_of_the_moment(task: Any, nodes: list[Any], chain: Any) -> None:
    """A whale stakes after the first reward: until the next accrual has seen it for a warm-up it lifts nothing."""
    first_reward(task, nodes)
    start, left, funds = chain.now, task.balances()["allowance"], task.funds()
    whale = task.join(chain.accounts[60], stake=10_000 * UNIT)
    chain.travel(start + DAY)
    assert task.balances()["allowance"] == accrued(left, daily(funds, DRIP, 40, UNIT, SIGMA), DAY)
    task.fund(UNIT)  # the meter looks: from now on the whale counts
    left, funds, start = task.balances()["allowance"], task.funds(), chain.now
    chain.travel(start + DAY)
    assert task.balances()["allowance"] == accrued(left, daily(funds, DRIP, 10_050, UNIT, SIGMA), DAY)
    task.solvent([*nodes, whale])


def test_stake_that_left_is_not_counted_on(task: Any, nodes: list[Any], chain: Any) -> None:
    first_reward(task, nodes)
    for node in nodes[1:4]:
        task.send(task.vault.requestUnstake, task.account(node)["stake"], sender=node)
    chain.travel(chain.now + 10)
    left, funds = task.balances()["allowance"], task.funds()
    weight = task.vault.totalWeightAt(chain.now)
    assert weight == 17
    task.fund(UNIT)  # the meter looks
    start, left = chain.now, task.balances()["allowance"]
    chain.travel(start + DAY)
    assert task.balances()["allowance"] == accrued(left, daily(funds + UNIT, DRIP, weight, UNIT, SIGMA), DAY)


def test_a_reward_draws_on_allowance_and_commons_alike(task: Any, nodes: list[Any], chain: Any) -> None:
    junk = task.open(nodes[1])
    task.score(junk, {n: -8 for n in nodes if n != nodes[1]})
    commons = task.balances()["commons"]
    assert commons == 2 * UNIT + 3 * UNIT
    id = task.open(nodes[0])
    eligible = task.submission(id)["eligible"]
    event = task.score(id, dict.fromkeys(nodes[1:], 4), settle=False).events["Rewarded"]
    pot = commons + 3 * UNIT % task.submission(id)["revealedWeight"]
    assert event["fromCommons"] == reward(pot, 200, 4)
    assert event["fromAllowance"] == reward(daily(FUNDED, DRIP, eligible, UNIT, SIGMA) // BPS, 200, 4)
    assert task.balances()["commons"] == pot - event["fromCommons"]
    assert tuple(task.pool.division()) == (4, 0)
    task.solvent(nodes)


def test_below_the_least_step_nothing_is_paid(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    receipt = task.score(id, dict.fromkeys(nodes[1:], 1))
    assert "Rewarded" not in receipt.events
    assert task.pool.owed(id) == 0
    assert task.best() == (0, 0)


def test_without_funding_a_best_model_is_paid_of_the_commons_only(chain: Any) -> None:
    task = Task()
    nodes = [task.join(a) for a in chain.accounts[10:15]]
    chain.travel(chain.now + 10)
    event = first_reward(task, nodes).events["Rewarded"]
    assert (event["fromAllowance"], event["fromCommons"]) == (0, reward(3 * UNIT % 40, 200, 10))
    assert task.best()[0] == 1
    task.solvent(nodes)


def line_of_three(task: Any, nodes: list[Any]) -> list[int]:
    """Three models of three authors, each trained from the one before."""
    ids = [0]
    for author, gain in zip(nodes[:3], (4, 3, 5), strict=True):
        id = task.open(author, [(ids[-1], 10_000)])
        task.score(id, {n: gain for n in nodes if n != author})
        ids.append(id)
    return ids[1:]


def test_pour_pays_along_the_references_and_keeps_every_unit(task: Any, nodes: list[Any]) -> None:
    """Each added all its grains itself: nothing is shared with parents, and rho flows on along references."""
    first, second, third = line_of_three(task, nodes)
    owed = {i: task.pool.owed(i) for i in (first, second, third)}
    assert task.balances()["committed"] == sum(owed.values())
    credits = {n: task.account(n)["credit"] for n in nodes}

    def gained(node: Any) -> int:
        return int(task.account(node)["credit"] - credits[node])

    receipt = task.pour(third)
    line = owed[third] * 3_000 // 10_000
    assert (gained(nodes[2]), task.pool.pending(second)) == (owed[third] - line, line)
    assert receipt.events["Shared"]["toParents"] == 0
    task.pour(second)
    mine = poured(line, 9_000, 3)
    down = owed[second] * 3_000 // 10_000
    assert gained(nodes[1]) == owed[second] - down + mine
    assert task.pool.pending(first) == line - mine + down
    commons = task.balances()["commons"]
    task.pour(first)
    last = poured(line - mine + down, 9_000, 4)
    at_genesis = line - mine + down - last + owed[first] * 3_000 // 10_000
    assert task.balances()["commons"] == commons + at_genesis
    assert task.balances()["committed"] == 0
    task.solvent(nodes)
    before = task.ledgers(nodes)
    receipt = task.send(task.pool.pourMany, [(i, i) for i in (third, second, first)], sender=nodes[4])
    assert len(receipt.events["PourSkipped"]) == 3
    assert task.ledgers(nodes) == before


def test_many_pours_in_one_call_equal_single_pours(task: Any, nodes: list[Any]) -> None:
    ids = line_of_three(task, nodes)
    snapshot = task.chain.snapshot()
    for id in reversed(ids):
        task.pour(id)
    single = [task.account(n)["credit"] for n in nodes]
    task.chain.revert(snapshot)
    task.send(task.pool.pourMany, [(id, id) for id in reversed(ids)], sender=nodes[0])
    assert [task.account(n)["credit"] for n in nodes] == single


def test_a_pour_that_pays_nobody_still_gives_genesis_part_back(task: Any, nodes: list[Any], chain: Any) -> None:
    """A model without a grain of its own passes all that flows to it on to genesis: nothing of it stays committed."""
    a, b, *_ = nodes
    pressed = task.open(a)
    task.score(pressed, dict(zip([n for n in nodes if n != a], (3, 3, 0, 0), strict=True)))
    assert (task.submission(pressed)["measured"], task.submission(pressed)["gain"]) == (3, 0)
    copy = task.open(b, [(pressed, 10_000)])
    task.score(copy, {n: 3 for n in nodes if n != b})
    assert task.best()[0] == copy
    user = chain.accounts[66]
    task.pour_all()
    last = task.open(a, [(copy, 10_000)])
    task.score(last, {n: 3 for n in nodes if n != a})
    task.pour(last)
    held, commons, earned = task.pool.pending(copy), task.balances()["commons"], task.account(b)["credit"]
    assert held == task.balances()["committed"] > 0
    receipt = task.pour(copy, sender=user)
    assert (receipt.events["Poured"]["toAuthor"], receipt.events["Poured"]["passed"]) == (0, held)
    assert (task.balances()["committed"], task.balances()["commons"]) == (0, commons + held)
    assert task.account(b)["credit"] == earned
    task.solvent(nodes)


def test_a_line_of_models_that_declare_genesis_alone(task: Any, nodes: list[Any], chain: Any) -> None:
    """They carried nothing, so what they have above the best that they took the place of is their authors' own."""
    ids = []
    for author, gain in zip(nodes[:3], (4, 3, 5), strict=True):
        ids.append(task.open(author, [(0, 10_000)]))
        task.score(ids[-1], {n: gain for n in nodes if n != author})
    task.pour_all()
    user = chain.accounts[66]
    task.pay(user, UNIT)
    task.send(task.pool.payRoyalty, ids[2], UNIT, sender=user)
    task.pour(ids[2])
    line = UNIT * 3_000 // 10_000
    assert task.pool.pending(ids[1]) == line
    before = task.account(nodes[1])["credit"]
    task.pour(ids[1])
    assert task.account(nodes[1])["credit"] - before == poured(line, 9_000, 3)
    task.solvent(nodes)


def test_a_worse_child_of_a_better_parent_takes_nothing(task: Any, nodes: list[Any], chain: Any) -> None:
    """It carried all it has, whatever its users pay; what it carried is at most what it has."""
    a, b, x, y, z = nodes
    better, worse = together(
        task,
        (a, [(0, 10_000)], dict.fromkeys((x, y, z), 8)),
        (b, [(1, 10_000)], dict.fromkeys((x, y, z), 3)),
    )
    assert [task.submission(i)["measured"] for i in (better, worse)] == [8, 3]
    task.pour_all()
    user = chain.accounts[66]
    task.pay(user, UNIT)
    task.send(task.pool.payRoyalty, worse, UNIT, sender=user)
    paid = drawn(task, nodes)
    assert paid == {**dict.fromkeys(nodes, 0), a: UNIT - UNIT * 3_000 // 10_000}
    task.solvent(nodes)


def test_shares_of_parents_wait_for_their_own_pour(task: Any, nodes: list[Any]) -> None:
    """Two models of +2 and +3 that were not best are averaged into +7: the grains up to 2 are shared by both, that up
    to 3 is the second one's, and four are the averager's."""
    a, b, c, *_ = nodes
    ids = []
    for author, good in ((a, 2), (b, 3)):
        id = task.open(author)
        task.score(id, dict(zip([n for n in nodes if n != author], (0, 0, good, good), strict=True)))
        ids.append(id)
    child = task.open(c, [(ids[0], 9_999), (ids[1], 1)])
    task.score(child, {n: 7 for n in nodes if n != c})
    owed = task.pool.owed(child)
    own = owed * 4 // 7
    receipt = task.pour(child)
    assert receipt.events["Shared"]["toAuthor"] == own - own * 3_000 // 10_000
    first = (owed - own) * 12 // 36  # twelfths of a grain: 12 and 24
    given = [(e["from"], e["to"], e["above"], e["held"]) for e in receipt.events["ShareGiven"]]
    assert given == [(child, ids[0], first, 0), (child, ids[1], owed - own - first, 0)]
    assert tuple(task.pool.shareOf(ids[1], child)) == (owed - own - first, 0)
    before = task.account(b)["credit"]
    receipt = task.pour(ids[1], child)
    part = owed - own - first
    assert task.account(b)["credit"] - before == part - part * 3_000 // 10_000
    assert tuple(task.pool.shareOf(ids[1], child)) == (0, 0)
    task.pour(ids[0], child)
    assert task.balances()["committed"] == 0
    task.solvent(nodes)


def test_parents_that_are_void_carry_nothing(task: Any, nodes: list[Any]) -> None:
    a, b, *voters = nodes
    dead = task.open(a)
    child = task.open(b, [(dead, 10_000)])
    for n in (*voters, a):
        task.commit(n, child, 6)
    task.to_reveal(child)
    for n in (*voters, a):
        task.reveal(n, child)
    task.to_end(child)
    task.send(task.book.finalizeMany, 2, sender=a)
    receipt = task.pour(child)
    assert not happened(receipt, "ShareGiven")
    assert task.balances()["committed"] == 0
    task.solvent(nodes)


def ended(task: Any, chain: Any) -> int:
    """Close, and travel to the first second after grace."""
    task.send(task.pool.close, sender=task.sponsor)
    until = max(task.registry.closedAt(), task.registry.lastFinalizedAt()) + task.params["grace"]
    chain.travel(until)
    return int(until)


def test_reclaiming_after_close_the_last_id_and_grace(task: Any, nodes: list[Any], chain: Any) -> None:
    reclaim, sponsor = task.pool.reclaim, task.sponsor
    task.reverts("PoolNotSponsor", nodes[0], call=reclaim, args=(nodes[0],), sender=nodes[0])
    task.reverts("PoolNotClosed", call=reclaim, args=(sponsor,), sender=sponsor)
    id = task.open(nodes[0])
    task.send(task.pool.close, sender=sponsor)
    task.reverts("PoolUnfinished", id, id + 1, call=reclaim, args=(sponsor,), sender=sponsor, at=chain.now + 10**6)
    task.reverts("PoolUnfinished", id, id + 1, call=task.pool.divideCommons, args=(id,), sender=sponsor)
    task.score(id, dict.fromkeys(nodes[1:], 4), silent=nodes[4:])
    until = task.registry.lastFinalizedAt() + task.params["grace"]
    for call, args in ((reclaim, (sponsor,)), (task.pool.divideCommons, (id,))):
        for at in (until - 2, until - 1):
            task.reverts("PoolGraceRunning", until, at, call=call, args=args, sender=sponsor, at=at)
        for at in (until, until + 1):
            chain.simulate(call, *args, sender=sponsor, at=at)
    task.reverts("VaultBadRecipient", ZERO, call=reclaim, args=(ZERO,), sender=sponsor, at=until)
    funds, commons = task.funds(), task.balances()["commons"]
    assert commons > 0
    task.send(reclaim, chain.accounts[71], sender=sponsor, at=until)
    assert task.token.balanceOf(chain.accounts[71]) == funds
    assert (task.funds(), task.balances()["commons"]) == (0, commons)
    owed = task.pool.owed(id)
    earned = task.account(nodes[0])["credit"]
    task.pour(id)  # what was earned before is still paid
    assert task.account(nodes[0])["credit"] == earned + owed - owed * 3_000 // 10_000
    task.reverts("PoolNothingToReclaim", call=reclaim, args=(sponsor,), sender=sponsor)
    task.solvent(nodes)


def test_an_empty_task_is_reclaimed_grace_after_its_close(task: Any, chain: Any) -> None:
    task.send(task.pool.close, sender=task.sponsor)
    until = task.registry.closedAt() + task.params["grace"]
    call, args = task.pool.reclaim, (task.sponsor,)
    task.reverts("PoolGraceRunning", until, until - 1, call=call, args=args, sender=task.sponsor, at=until - 1)
    task.send(call, *args, sender=task.sponsor, at=until)
    assert task.token.balanceOf(task.sponsor) == FUNDED


def test_the_commons_are_divided_by_gains_and_never_the_sponsors(task: Any, nodes: list[Any], chain: Any) -> None:
    """In any order, as often as one likes, and what comes in later as well."""
    ids = line_of_three(task, nodes)  # gains 4, 3 and 5
    task.pour_all()
    waiting = task.open(nodes[3])
    task.score(waiting, {n: -8 for n in nodes if n != nodes[3]}, silent=nodes[:1], settle=False)
    ended(task, chain)
    grains, divided = task.pool.division()
    assert (grains, divided) == (12, 0)
    commons = task.balances()["commons"]
    divide = task.pool.divideCommons
    assert "CommonsDivided" not in task.send(divide, waiting, sender=nodes[0]).events
    assert "CommonsDivided" not in task.send(divide, 0, sender=nodes[0]).events
    task.reverts("RegistryUnknownId", 99, call=divide, args=(99,), sender=nodes[0])
    parts = {ids[2]: commons * 5 // 12, ids[0]: commons * 4 // 12, ids[1]: commons * 3 // 12}
    for id, part in parts.items():
        assert task.send(divide, id, sender=nodes[0]).events["CommonsDivided"]["amount"] == part
        assert "CommonsDivided" not in task.send(divide, id, sender=nodes[0]).events
        assert task.pool.owed(id) == part
    assert task.balances()["commons"] == commons - sum(parts.values()) < 3
    task.settle(waiting, nodes[:3] + nodes[4:])  # a forfeit and the rest of the fee come in late
    late, paid = task.balances()["commons"], sum(parts.values())
    event = task.send(divide, ids[0], sender=nodes[0]).events["CommonsDivided"]
    assert event["amount"] == (late + paid) * 4 // 12 - parts[ids[0]]
    task.pour_all()
    assert task.balances()["committed"] == 0
    task.solvent(nodes)
    funds = task.funds()
    task.send(task.pool.reclaim, task.sponsor, sender=task.sponsor)
    assert task.token.balanceOf(task.sponsor) == funds


def test_commons_that_nobody_earned_stay_where_they_are(task: Any, nodes: list[Any], chain: Any) -> None:
    """Nothing ever became best: whoever got them would gain by voids."""
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], -8))
    commons = task.balances()["commons"]
    ended(task, chain)
    for wrong in (0, id):
        assert "CommonsDivided" not in task.send(task.pool.divideCommons, wrong, sender=nodes[0]).events
    task.send(task.pool.reclaim, task.sponsor, sender=task.sponsor)
    assert (task.token.balanceOf(task.sponsor), task.balances()["commons"]) == (FUNDED, commons)
    assert commons == 5 * UNIT
