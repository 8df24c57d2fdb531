"""Attacks of the protocol page on stake, fees, commons and the sponsor's funds, performed."""

from typing import Any

import pytest
from support.plays import drawn, play, together, top_up, wealth
from support.reference import BPS, DAY, daily, index_of, next_activity, reward
from support.task import FINAL, TRAINER, UNIT, VALIDATOR, VOID, ZERO, Task, happened

GOOD = index_of(24)
BOND = UNIT // 5  # of a vote of ten units


# --- voids


@pytest.mark.parametrize("sponsor_is_idle", [False, True])
def test_idle_stake_that_voids_ids_gains_nothing(chain: Any, sponsor_is_idle: bool) -> None:
    """nobody_gains_by_void: above two thirds of the stake sleep. Fees and bonds return to the authors, and neither the
    sleeper nor the sponsor has a unit more, then or at the end."""
    task = Task()
    author, *voters = [task.join(a) for a in chain.accounts[10:14]]
    sleeper = task.sponsor if sponsor_is_idle else chain.accounts[20]
    task.join(sleeper, stake=100 * UNIT)
    task.fund()
    everybody = [author, *voters, sleeper]
    top_up(task, author, 10 * UNIT)
    before, funds = wealth(task, everybody), task.funds()
    for _ in range(2):
        id = play(task, author, dict.fromkeys(voters, GOOD))
        assert task.submission(id)["status"] == VOID
    assert wealth(task, everybody) == before
    assert (task.funds(), task.balances()["commons"], task.escrow()) == (funds, 0, 0)
    task.send(task.pool.close, sender=task.sponsor)
    chain.travel(chain.now + task.params["grace"])
    task.send(task.pool.reclaim, task.sponsor, sender=task.sponsor)
    assert task.token.balanceOf(task.sponsor) == funds
    task.solvent(everybody)


def test_sleeping_stake_stalls_a_task_for_so_many_ids_and_no_more(chain: Any) -> None:
    """The quorum learns from who votes: with 15 of 48 awake, an id is Final again after 25."""
    task = Task(quorumFloor=3)
    voters = [task.join(a, stake=5 * UNIT) for a in chain.accounts[10:13]]
    sleeper = task.join(chain.accounts[20], stake=33 * UNIT)
    author = task.join(chain.accounts[21], stake=500 * UNIT, roles=TRAINER)
    chain.travel(chain.now + 10)
    activity, ids = 48 << 16, 0
    while activity > 2 * 15 << 16:
        activity, ids = next_activity(activity, 15), ids + 1
    found = []
    for _ in range(ids + 1):
        found.append(task.submission(play(task, author, dict.fromkeys(voters, 0)))["status"])
    assert found == [VOID] * ids + [FINAL]
    assert 20 < ids < 32
    task.solvent([author, *voters, sleeper])


def test_withheld_reveals_kill_a_quorum_only_at_the_price_of_their_bonds(task: Any, nodes: list[Any]) -> None:
    """And what they lose is nobody's gain: it is commons, which neither the sponsor nor the author of the id gets."""
    funds, author = task.funds(), task.wealth(nodes[0])
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], 4), silent=nodes[2:])
    assert task.submission(id)["status"] == VOID
    assert [task.wealth(n) for n in nodes[1:]] == [10 * UNIT] + [10 * UNIT - BOND] * 3
    assert (task.wealth(nodes[0]), task.funds(), task.balances()["commons"]) == (author, funds, 3 * BOND)
    task.solvent(nodes)


def test_junk_costs_its_author_bond_and_fee_and_nobody_gains(task: Any, nodes: list[Any]) -> None:
    """A median of LOWEST: the bond is lost to the commons, voters are neither paid nor charged."""
    funds = task.funds()
    play(task, nodes[0], dict.fromkeys(nodes[1:], -8))
    assert [task.wealth(n) for n in nodes] == [5 * UNIT] + [10 * UNIT] * 4
    assert (task.funds(), task.balances()["commons"]) == (funds, 5 * UNIT)


def test_missing_bytes_burn_no_bond(task: Any, nodes: list[Any]) -> None:
    """An outage of the store: the author is innocent, and pays the fee for the votes."""
    play(task, nodes[0], dict.fromkeys(nodes[1:], -7))
    assert [task.wealth(n) for n in nodes] == [7 * UNIT] + [10 * UNIT] * 4


# --- the sponsor and the commons


def test_a_sponsor_that_closes_on_its_own_best_takes_only_its_share_of_the_commons(
    task: Any, nodes: list[Any], chain: Any
) -> None:
    """The last best is the sponsor's: the commons are divided by the gains of all that ever became best."""
    ann, *voters = nodes
    top_up(task, ann, 20 * UNIT)
    mine = task.join(task.sponsor, stake=50 * UNIT)
    chain.travel(chain.now + 10)
    first = play(task, ann, dict.fromkeys(voters, GOOD))
    play(task, ann, dict.fromkeys(voters, -8))  # junk fills the commons
    best = play(task, mine, dict.fromkeys(voters, 3), [(first, 10_000)])
    assert task.best()[0] == best
    task.pour_all()
    task.send(task.pool.close, sender=task.sponsor)
    chain.travel(chain.now + task.params["grace"])
    commons, funds = task.balances()["commons"], task.funds()
    assert commons > 3 * UNIT
    for id in (best, first):
        task.send(task.pool.divideCommons, id, sender=task.sponsor)
    assert (task.pool.owed(best), task.pool.owed(first)) == (commons * 3 // 27, commons * 24 // 27)
    before = task.token.balanceOf(task.sponsor)
    task.send(task.pool.reclaim, task.sponsor, sender=task.sponsor)
    assert task.token.balanceOf(task.sponsor) - before == funds
    task.solvent([*nodes, mine])


def test_a_sponsor_that_closes_early_leaves_open_ids_their_pay(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    task.send(task.pool.close, sender=task.sponsor)
    task.reverts("PoolUnfinished", call=task.pool.reclaim, args=(task.sponsor,), sender=task.sponsor)
    task.score(id, dict.fromkeys(nodes[1:], 5))
    assert task.pool.owed(id) > 0
    task.reverts("PoolGraceRunning", call=task.pool.reclaim, args=(task.sponsor,), sender=task.sponsor)


def test_a_sponsor_that_races_settling_and_pouring_takes_none_of_what_is_owed(
    task: Any, nodes: list[Any], chain: Any
) -> None:
    """Reclaim is sent in the block in which grace ends, before anybody settled or poured; what comes in after it is
    commons, and a second reclaim finds nothing."""
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], 5), silent=nodes[4:], settle=False)
    owed, escrow, funds = task.pool.owed(id), task.escrow(), task.funds()
    assert owed > 0
    assert escrow > 0
    task.send(task.pool.close, sender=task.sponsor)
    chain.travel(chain.now + task.params["grace"])
    task.send(task.pool.reclaim, task.sponsor, sender=task.sponsor)
    assert task.token.balanceOf(task.sponsor) == funds
    assert (task.escrow(), task.balances()["committed"]) == (escrow, owed)
    task.settle(id, nodes[1:])
    task.pour(id)
    assert task.balances()["commons"] > BOND  # the silent voter's bond, unearned fees, the lineage's part at genesis
    for node in nodes[:4]:
        task.send(task.vault.claim, node, sender=node)
    task.reverts("PoolNothingToReclaim", call=task.pool.reclaim, args=(task.sponsor,), sender=task.sponsor)
    task.reverts("PoolNotSponsor", nodes[0], call=task.pool.reclaim, args=(nodes[0],), sender=nodes[0])
    task.solvent(nodes)


# --- what can be captured stands in proportion to what is staked


def test_a_majority_captures_in_proportion_to_its_stake(chain: Any) -> None:
    """70 % of a weight of 1,600 votes its own worthless models up for a week, with 100,000 in the funds: it takes at
    most 5 % a day of all stake, not of the funds (which let 895 go in a day in the first version)."""
    task = Task()
    ring = [task.join(a, stake=140 * UNIT) for a in chain.accounts[10:18]]
    honest = [task.join(a, stake=120 * UNIT) for a in chain.accounts[18:22]]
    task.fund(100_000 * UNIT)
    chain.travel(chain.now + 10)
    before = sum(wealth(task, ring).values())
    for day in range(7):
        author = ring[day]
        best = task.best()[0]
        play(task, author, {n: 23 if n in ring else 0 for n in (*ring, *honest) if n != author}, [(best, 10_000)])
        chain.travel(chain.now + DAY)
    drawn(task, ring)
    assert task.best()[1] == 7 * 128
    taken = sum(wealth(task, ring).values()) - before
    assert 0 < taken <= 7 * 80 * UNIT
    assert task.funds() >= 100_000 * UNIT - 7 * 80 * UNIT


def test_flash_stake_does_not_lift_the_cap_of_the_drip(task: Any, nodes: list[Any], chain: Any) -> None:
    """A whale stakes in the block of the reward, and unstakes after: what counts is what was eligible when the id was
    reserved, and what the meter saw the last time."""
    ann, *voters = nodes
    first = task.open(ann)
    whale = chain.accounts[60]
    task.pay(whale, 10**6 * UNIT)
    task.send(task.vault.register, VALIDATOR, ZERO, bytes(32), sender=whale)
    task.send(task.vault.deposit, 10**6 * UNIT, sender=whale)
    event = task.score(first, dict.fromkeys(voters, GOOD)).events["Rewarded"]
    assert event["fromAllowance"] == reward(daily(1_000 * UNIT, 100, 40, UNIT, 500) // BPS, 200, 24)
    funds, left = task.funds(), task.balances()["allowance"]
    task.send(task.vault.requestUnstake, 10**6 * UNIT, sender=whale)
    chain.travel(chain.now + DAY)
    grown, day = task.balances()["allowance"] - left, daily(funds, 100, 40, UNIT, 500) // BPS
    assert day <= grown <= day * (DAY + 60) // DAY  # a day, and the seconds that this test took
    task.solvent([*nodes, whale])


def test_the_funds_pay_no_more_than_seven_days_at_once(task: Any, nodes: list[Any], chain: Any) -> None:
    ann, *voters = nodes
    play(task, ann, dict.fromkeys(voters, 3))
    chain.travel(chain.now + 400 * DAY)
    top_up(task, ann, 20 * UNIT)
    id = play(task, ann, dict.fromkeys(voters, 23), [(1, 10_000)])
    assert task.pool.owed(id) <= 7 * (5 * UNIT * 50 // 100) + 10 * UNIT


# --- tokens and the last to leave


def test_tokens_sent_without_a_call_brick_nothing(task: Any, nodes: list[Any]) -> None:
    """A gift of more than the vault may hold: deposits, funding and royalties go on, and nobody owns the gift."""
    task.send(task.token.mint, task.vault, 2**90, sender=nodes[0])
    task.pay(nodes[1], UNIT)
    task.send(task.vault.deposit, UNIT, sender=nodes[1])
    task.fund(UNIT)
    id = play(task, nodes[0], dict.fromkeys(nodes[1:], 4))
    task.pay(nodes[2], UNIT)
    task.send(task.pool.payRoyalty, id, UNIT, sender=nodes[2])
    drawn(task, nodes)
    assert task.token.balanceOf(task.vault) == task.ledgers(nodes) + 2**90


def test_nobody_fills_the_weight_of_a_task(task: Any, chain: Any) -> None:
    """With a token of any supply: a unit of weight is at least a hundredth of a token, and more than 1/2^32 of all."""
    factory, token = task.deployment.factory, task.deployment.token()
    whole = 2**32 * UNIT
    task.send(token.mint, chain.accounts[60], whole, sender=task.sponsor)
    values = {**task.params, "token": str(token), "minStake": UNIT}
    from support.task import PARAMETERS

    wrong = tuple(values[name] for name in PARAMETERS)
    error = ("FactoryParameterOutOfBounds", "minStake", UNIT, UNIT + 1, 2**80 - 1)
    task.reverts(*error, call=factory.check, args=(wrong,), sender=task.sponsor)
    least = Task(token=token, minStake=UNIT + 1)
    rich = chain.accounts[60]
    task.send(token.approve, least.vault, whole, sender=rich)
    task.send(least.vault.register, 3, ZERO, bytes(32), sender=rich)
    least.reverts("VaultTooMuch", call=least.vault.deposit, args=(whole,), sender=rich)
    most = 2**88 - 1
    least.send(least.vault.deposit, most, sender=rich)
    assert least.vault.weightNow(rich) < 2**32 - 1


def test_the_last_to_leave_finds_its_money(task: Any, nodes: list[Any], chain: Any) -> None:
    """Odd amounts, every path, then everybody leaves: what stays is the dust of the division of the commons."""
    odd = [task.join(a, stake=10 * UNIT + 7919 * i + 1) for i, a in enumerate(chain.accounts[60:64])]
    everybody = [*nodes, *odd]
    chain.travel(chain.now + 10)
    ids = [play(task, odd[0], dict.fromkeys([n for n in everybody if n != odd[0]], 3))]
    id = task.open(odd[2], [(ids[0], 10_000)])
    task.score(id, dict.fromkeys([n for n in everybody if n != odd[2]], 7), silent=odd[1:2])
    ids.append(id)
    play(task, odd[3], dict.fromkeys(nodes, -8))
    task.send(task.pool.close, sender=task.sponsor)
    chain.travel(chain.now + task.params["unbonding"])
    rounds = 0
    while task.balances()["commons"] > 2 or task.balances()["committed"]:
        for id in ids:
            task.send(task.pool.divideCommons, id, sender=nodes[0])
        task.pour_all()
        rounds += 1
    assert 0 < rounds < 200
    for node in everybody:
        if task.account(node)["stake"]:
            task.send(task.vault.requestUnstake, task.account(node)["stake"], sender=node)
    chain.travel(chain.now + task.params["unbonding"])
    for node in everybody:
        if task.account(node)["unbonding"]:
            task.send(task.vault.withdraw, node, sender=node)
        if task.account(node)["credit"]:
            task.send(task.vault.claim, node, sender=node)
    task.send(task.pool.reclaim, task.sponsor, sender=task.sponsor)
    assert task.token.balanceOf(task.vault) == task.balances()["commons"] <= 2
    assert task.escrow() == 0


def test_unstaking_does_not_save_a_silent_voter_from_its_forfeit(task: Any, nodes: list[Any], chain: Any) -> None:
    id = task.open(nodes[0])
    voter = nodes[1]
    task.commit(voter, id, 4)
    call, free = task.vault.requestUnstake, 10 * UNIT - BOND
    task.reverts("VaultInsufficientStake", voter, free, 10 * UNIT, call=call, args=(10 * UNIT,), sender=voter)
    task.send(call, free, sender=voter)
    task.to_end(id)
    task.finalize(id)
    chain.travel(chain.now + task.params["unbonding"])
    task.send(task.vault.withdraw, voter, sender=voter)
    task.settle(id, [voter])
    account = task.account(voter)
    assert (account["stake"], account["locked"]) == (0, 0)
    task.solvent(nodes)


def test_nobody_resets_the_clock_of_another_by_depositing_for_it(task: Any) -> None:
    names = {entry["name"]: entry["inputs"] for entry in task.vault.abi if entry.get("name") == "deposit"}
    assert [i["type"] for i in names["deposit"]] == ["uint256"]  # only for the caller


def test_the_registration_of_trainers_only_does_not_grant_votes_without_stake(task: Any, chain: Any) -> None:
    empty = chain.accounts[65]
    task.send(task.vault.register, TRAINER, ZERO, bytes(32), sender=empty)
    args = (b"\1" * 32, 3 * UNIT)
    task.reverts("VaultInsufficientStake", empty, 0, 5 * UNIT, call=task.registry.reserve, args=args, sender=empty)


def test_settle_pour_finalise_by_strangers_and_at_bad_moments_change_nothing_they_should_not(
    task: Any, nodes: list[Any], chain: Any
) -> None:
    from support.task import OPEN

    stranger = chain.accounts[70]
    id = task.open(nodes[0])
    task.pour(id, sender=stranger)
    task.send(task.book.finalizeMany, 9, sender=stranger)
    assert task.submission(id)["status"] == OPEN
    task.reverts("BookNotTerminal", id, call=task.book.settle, args=(id, [str(nodes[1])]), sender=stranger)
    task.reverts("PoolNotClosed", call=task.pool.divideCommons, args=(id,), sender=stranger)
    task.score(id, dict.fromkeys(nodes[1:], 4), settle=False)
    task.settle(id, nodes[1:], sender=stranger)
    task.pour(id, sender=stranger)
    assert task.account(stranger)["credit"] == 0
    assert all(task.account(n)["credit"] > 0 for n in nodes)
    task.solvent([*nodes, stranger])


def test_a_lost_best_ends_the_task_and_a_new_genesis_continues_it(task: Any, nodes: list[Any]) -> None:
    """Whoever lacks the bytes votes -7, which burns no bond; the sponsor closes, everybody is paid, and a new task
    starts elsewhere."""
    best = play(task, nodes[0], dict.fromkeys(nodes[1:], 4))
    child = play(task, nodes[1], {n: -7 for n in nodes if n != nodes[1]}, [(best, 10_000)])
    assert (task.submission(child)["outcome"], task.pool.owed(child)) == (-7, 0)
    assert task.account(nodes[1])["locked"] == 0
    assert task.best() == (best, 4)
    task.send(task.pool.close, sender=task.sponsor)
    task.pour(best)
    task.send(task.vault.claim, nodes[0], sender=nodes[0])
    assert Task().best() == (0, 0)


def test_reclaimed_funds_leave_the_commons_to_the_models(task: Any, nodes: list[Any], chain: Any) -> None:
    """Fee farming by voids and junk: at the end the sponsor has exactly what it paid in, less what models earned."""
    ann, *voters = nodes
    earned = 0
    one, two = together(
        task, (ann, [(0, 10_000)], dict.fromkeys(voters, 4)), (voters[0], [(0, 10_000)], dict.fromkeys(voters[1:], -8))
    )
    assert task.submission(two)["median"] == -8
    for e in happened(task.pour(one), "Shared"):
        earned += e["toAuthor"] + e["toReference"]
    commons = task.balances()["commons"]
    task.send(task.pool.close, sender=task.sponsor)
    chain.travel(chain.now + task.params["grace"])
    receipt = task.send(task.pool.reclaim, task.sponsor, sender=task.sponsor)
    assert 1_000 * UNIT - earned <= receipt.events["Reclaimed"]["amount"] <= 1_000 * UNIT
    assert task.balances()["commons"] == commons > 2 * UNIT
    assert task.send(task.pool.divideCommons, one, sender=ann).events["CommonsDivided"]["amount"] == commons
