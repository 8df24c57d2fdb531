"""Attacks of the protocol page on capacity, order and parameters, performed."""

from typing import Any

import pytest
from support.reference import fee
from support.task import ANY_FEE, FINAL, TRAINER, UNIT, VOID, Task, digest


def test_squatting_and_spam_cost_a_bond_each_and_never_block_the_queue(task: Any, nodes: list[Any], chain: Any) -> None:
    squatter = task.join(chain.accounts[60], stake=50 * UNIT)
    honest = nodes[0]
    spam = [task.reserve(squatter, f"spam {i}") for i in range(10)]
    args = (b"\1" * 32, ANY_FEE)
    task.reverts("VaultInsufficientStake", call=task.registry.reserve, args=args, sender=squatter)
    id = task.open(honest)
    for n in nodes[1:]:
        task.commit(n, id, 4)
    task.to_reveal(id)
    for n in nodes[1:]:
        task.reveal(n, id)
    task.to_end(id)
    task.send(task.book.finalizeMany, 20, sender=honest)
    assert {task.submission(i)["status"] for i in spam} == {VOID}
    assert task.submission(id)["status"] == FINAL
    assert task.account(squatter)["stake"] == 0
    assert task.account(squatter)["credit"] == 30 * UNIT
    task.solvent([*nodes, squatter])


def test_late_publication_does_not_leave_voting_to_the_authors_sybils(task: Any, nodes: list[Any]) -> None:
    """The author keeps the bytes back until the last second; its two sybils vote at once, the others need an hour
    of the commit window to fetch and score. The window runs from the reservation, and a quarter of it is all the author
    can take away: the honest still vote, and hold the model where it belongs."""
    author, *sybils = nodes[:3]
    honest = nodes[3:]
    id = task.reserve(author)
    w = task.windows(id)
    window = task.params["commitWindow"]
    args = (id, task.record(id), digest("salt", id))
    end = (id, w["submitEnd"], w["submitEnd"])
    task.reverts(
        "RegistrySubmitWindowOver", *end, call=task.registry.submit, args=args, sender=author, at=w["submitEnd"]
    )
    task.submit(author, id, at=w["submitEnd"] - 1)
    assert task.windows(id)["commitEnd"] - w["submitEnd"] >= window * 3 // 4
    for sybil in sybils:
        task.commit(sybil, id, 23)
    for late, voter in enumerate(reversed(honest), 1):
        task.commit(voter, id, 0, at=w["commitEnd"] - 3 + late)
    task.to_reveal(id)
    for voter in (*sybils, *honest):
        task.reveal(voter, id)
    task.to_end(id)
    task.finalize(id)
    assert (task.submission(id)["status"], task.submission(id)["outcome"]) == (FINAL, 0)
    task.send(task.book.finalizeMany, 1, sender=author)
    assert task.pool.owed(id) == 0


def test_parameters_cannot_change_mid_window(task: Any, nodes: list[Any]) -> None:
    """Everybody with a special role tries what it has while an id is open: its windows and result stay as announced."""
    id = task.open(nodes[0])
    frozen = tuple(task.registry.params()), tuple(task.windows(id)), task.submission(id)["eligible"]
    code = [task.chain.rpc("eth_getCode", str(c), "latest") for c in (task.vault, task.registry, task.book, task.pool)]
    task.reverts("InvalidInitialization", call=task.registry.initialize, sender=task.sponsor)
    task.reverts("RegistryNotGuardian", task.sponsor, call=task.registry.pause, args=(1,), sender=task.sponsor)
    task.fund(UNIT)
    task.send(task.pool.close, sender=task.sponsor)
    task.score(id, dict.fromkeys(nodes[1:], 4))
    assert (tuple(task.registry.params()), tuple(task.windows(id)), task.submission(id)["eligible"]) == frozen
    now = [task.chain.rpc("eth_getCode", str(c), "latest") for c in (task.vault, task.registry, task.book, task.pool)]
    assert now == code
    assert len(code[2]) // 2 - 1 == 45 + 32 * 14  # parameters are in the code
    assert task.submission(id)["gain"] == 4


def test_junk_stops_honest_voting_only_at_the_exponential_price(chain: Any) -> None:
    """capacity: a flooder keeps as many junk ids open as it can pay for. Each lot of `slots` doubles the fee, so that
    the 3 * slots ids which an honest voter's stake backs cost it 7 slots base fees and as many bonds; until then every
    honest voter has a free bond for the honest id, and all the surcharges are gone."""
    task = Task(slots=3, voteBondBps=1_000, scoringFee=UNIT // 10, submissionBond=UNIT // 100)
    author, *voters = [task.join(a) for a in chain.accounts[10:14]]
    flooder = task.join(chain.accounts[20], stake=1_000 * UNIT, roles=TRAINER)
    chain.travel(chain.now + 10)
    start, base = task.wealth(flooder), UNIT // 10
    at = chain.now + 1
    junk = []
    for number in range(8):
        id = task.reserve(flooder, f"junk {number}", at=at + 2 * number)
        task.submit(flooder, id, name=f"junk {number}")
        junk.append(id)
        for voter in voters:
            task.commit(voter, id, -8)
    honest = task.open(author)
    for voter in voters:
        task.commit(voter, honest, 4)  # the ninth vote of 0.1 of the stake each
    price = sum(fee(base, n, 3) for n in range(8))
    assert price == (3 * 1 + 3 * 2 + 2 * 4) * base
    task.to_reveal(honest)
    for id in (*junk, honest):
        for voter in voters:
            task.reveal(voter, id)
    task.to_end(honest)
    task.send(task.book.finalizeMany, 9, sender=author)
    assert task.submission(honest)["status"] == FINAL
    assert start - task.wealth(flooder) == price + 8 * UNIT // 100
    for id in junk:
        task.settle(id, voters)
    assert all(task.wealth(v) >= 10 * UNIT for v in voters)
    task.solvent([author, *voters, flooder])


def test_front_running_a_reservation_to_raise_its_fee_costs_more_than_it_takes(
    chain: Any,
) -> None:
    """The victim names the most it pays: it is refused, not overcharged, and the attacker has paid for the slot."""
    task = Task(slots=1, voteBondBps=1_000, scoringFee=UNIT, submissionBond=UNIT)
    attacker, victim, *_ = [task.join(a, stake=20 * UNIT) for a in chain.accounts[10:14]]
    quoted = task.registry.feeNow()[0]
    before = task.wealth(victim)
    at = chain.now + 10
    calls = [
        (task.registry.reserve, (task.reservation(attacker, "front"), ANY_FEE), attacker),
        (task.registry.reserve, (task.reservation(victim, "mine"), quoted), victim),
    ]
    assert chain.block(calls, at=at) == [True, False]
    args = (task.reservation(victim, "mine"), quoted)
    task.reverts("RegistryFeeTooHigh", 2 * UNIT, UNIT, call=task.registry.reserve, args=args, sender=victim)
    assert task.wealth(victim) == before
    task.to_end(1)
    task.finalize(1)
    assert task.wealth(attacker) == 20 * UNIT - UNIT  # never submitted: the bond is gone
    task.reserve(victim, "mine", most=quoted)


def test_surcharges_never_return(chain: Any) -> None:
    """Void or Final: whoever floods a task has paid into the commons."""
    task = Task(slots=1, voteBondBps=1_000, scoringFee=UNIT, submissionBond=UNIT)
    author = task.join(chain.accounts[10], stake=40 * UNIT)
    ids = [task.open(author) for _ in range(4)]
    task.to_end(ids[-1])
    task.send(task.book.finalizeMany, 4, sender=author)
    assert {task.submission(i)["status"] for i in ids} == {VOID}
    assert task.wealth(author) == 40 * UNIT - (1 + 3 + 7) * UNIT
    assert task.balances()["commons"] == 11 * UNIT
    task.solvent([author])


@pytest.mark.parametrize("open_", [0, 15, 16, 47])
def test_one_unit_of_stake_backs_a_vote_on_each_of_three_times_slots_ids(task: Any, open_: int) -> None:
    """The bound that the factory checks, for a voter of one unit and of ten: 48 bonds of 2 % fit."""
    p = task.params
    for weight in (1, 10):
        bond = -(-weight * p["minStake"] * p["voteBondBps"] // 10_000)
        assert (open_ + 1) * bond <= weight * p["minStake"]


def test_a_vote_is_not_frozen_by_ten_junk_ids(task: Any, nodes: list[Any], chain: Any) -> None:
    """Ten junk ids and an honest one: in the first version bonds of 10 % ran out and the honest one went Void."""
    junker = task.join(chain.accounts[60], stake=100 * UNIT, roles=TRAINER)
    chain.travel(chain.now + 10)
    junk = [task.open(junker) for _ in range(10)]
    for id in junk:
        for voter in nodes[1:]:
            task.commit(voter, id, -8)
    honest = task.open(nodes[0])
    for voter in nodes[1:]:
        task.commit(voter, honest, 4)
    task.to_reveal(honest)
    for voter in nodes[1:]:
        task.reveal(voter, honest)
    task.to_end(honest)
    task.send(task.book.finalizeMany, 11, sender=nodes[0])
    assert task.submission(honest)["status"] == FINAL
