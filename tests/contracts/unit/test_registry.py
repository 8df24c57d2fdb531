"""ModelRegistry: reservations, submissions, parents, windows, levels, closing."""

from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak
from support.task import FINAL, OPEN, RESERVED, TRAINER, UNIT, VALIDATOR, VOID, Task, digest


def test_a_reservation_takes_bond_and_fee_and_freezes_the_rest(task: Any, nodes: list[Any], chain: Any) -> None:
    author = nodes[0]
    at = chain.now + 3
    receipt = task.send(task.registry.reserve, task.reservation(author, "a"), sender=author, at=at)
    event = receipt.events["Reserved"]
    assert (event["id"], event["author"], event["referenceId"], event["reservedAt"]) == (1, author, 0, at)
    s = task.submission(1)
    assert (s["status"], s["author"], s["tau"], s["q"], s["eligible"]) == (RESERVED, author, 0, 5 * 10**17, 40)
    account = task.account(author)
    assert (account["stake"], account["locked"]) == (5 * UNIT, 2 * UNIT)
    assert task.vault.totals()[0] == 3 * UNIT
    w = task.windows(1)
    assert tuple(w) == (at + 250, at + 1_000, at + 1_010, at + 1_510)
    task.solvent(nodes)


def test_who_may_reserve(task: Any, nodes: list[Any], chain: Any) -> None:
    reserve = task.registry.reserve
    task.reverts("RegistryZeroReservation", call=reserve, args=(bytes(32),), sender=nodes[0])
    outsider = chain.accounts[50]
    task.reverts("VaultNotTrainer", outsider, call=reserve, args=(b"\1" * 32,), sender=outsider)
    validator = task.join(chain.accounts[51], roles=VALIDATOR)
    task.reverts("VaultNotTrainer", validator, call=reserve, args=(b"\1" * 32,), sender=validator)
    poor = task.join(chain.accounts[52], stake=5 * UNIT - 1, roles=TRAINER)
    task.reverts("VaultInsufficientStake", poor, 5 * UNIT - 1, 5 * UNIT, call=reserve, args=(b"\1" * 32,), sender=poor)


def test_submitting_opens_the_reservation(task: Any, nodes: list[Any]) -> None:
    author, other = nodes[:2]
    submit, salt = task.registry.submit, digest("salt", "m")
    record = task.record("m")
    task.reverts("RegistryUnknownId", 1, call=submit, args=(1, record, salt), sender=author)
    id = task.reserve(author, "m")
    task.reverts("RegistryNotAuthor", id, author, other, call=submit, args=(id, record, salt), sender=other)
    reserved = task.reservation(author, "m")
    wrong = task.record("other")
    opened = task.registry.reservationHash(author, wrong[0][0], salt)
    task.reverts(
        "RegistryReservationMismatch", id, reserved, bytes(opened), call=submit, args=(id, wrong, salt), sender=author
    )
    task.reverts("RegistryReservationMismatch", call=submit, args=(id, record, digest("no")), sender=author)
    receipt = task.submit(author, id, name="m")
    assert receipt.events["Submitted"]["id"] == id
    s = task.submission(id)
    assert (s["status"], bytes(s["weightsDigest"])) == (OPEN, digest("weights", "m"))
    types = "((bytes32,uint32,bytes32,bytes32),(uint32,uint16)[])"
    assert bytes(s["recordHash"]) == keccak(encode([types], [record]))
    task.reverts("RegistryWrongStatus", id, OPEN, call=submit, args=(id, record, salt), sender=author)


def test_submit_window_boundaries(task: Any, nodes: list[Any]) -> None:
    author = nodes[0]
    id = task.reserve(author, "m")
    end = task.windows(id)["submitEnd"]
    args = (id, task.record("m"), digest("salt", "m"))
    task.chain.simulate(task.registry.submit, *args, sender=author, at=end - 1)
    task.reverts("RegistrySubmitWindowOver", id, end, end, call=task.registry.submit, args=args, sender=author, at=end)
    task.reverts(
        "RegistrySubmitWindowOver", id, end, end + 1, call=task.registry.submit, args=args, sender=author, at=end + 1
    )
    task.submit(author, id, name="m", at=end - 1)


@pytest.mark.parametrize("missing", range(3))
def test_digests_are_never_zero(task: Any, nodes: list[Any], missing: int) -> None:
    (package, codec, weights, manifest), parents = task.record("m")
    parts = [package, weights, manifest]
    parts[missing] = bytes(32)
    record = ((parts[0], codec, parts[1], parts[2]), parents)
    salt = digest("salt")
    hash_ = task.registry.reservationHash(nodes[0], parts[0], salt)
    task.send(task.registry.reserve, hash_, sender=nodes[0])
    task.reverts("RegistryZeroDigest", call=task.registry.submit, args=(1, record, salt), sender=nodes[0])


def test_parents_are_one_to_four_earlier_open_or_final_ids(task: Any, nodes: list[Any], chain: Any) -> None:
    first, second, third, reserved = (
        task.open(nodes[0]),
        task.open(nodes[1]),
        task.open(nodes[2]),
        task.reserve(nodes[3]),
    )
    author = nodes[4]
    task.send(task.vault.requestUnstake, 1, sender=author)
    id = task.reserve(author, "child")
    salt = digest("salt", "child")

    def refused(error: str, *values: Any, parents: Any) -> None:
        record = task.record("child", parents)
        task.reverts(error, *values, call=task.registry.submit, args=(id, record, salt), sender=author)

    refused("RegistryBadParentCount", 0, parents=[])
    refused("RegistryBadParentCount", 5, parents=[(0, 2_000)] * 5)
    refused("RegistryBadParent", id, reserved, RESERVED, parents=[(reserved, 10_000)])
    refused("RegistryBadParent", id, id, 0, parents=[(id, 10_000)])
    refused("RegistryBadParent", id, 99, 0, parents=[(99, 10_000)])
    refused("RegistryDuplicateParent", first, parents=[(first, 5_000), (first, 5_000)])
    refused("RegistryDuplicateParent", first, parents=[(first, 5_000), (second, 1), (first, 4_999)])
    refused("RegistryBadParentWeights", 0, parents=[(first, 10_000), (second, 0)])
    refused("RegistryBadParentWeights", 9_999, parents=[(first, 9_999)])
    refused("RegistryBadParentWeights", 10_001, parents=[(first, 1), (second, 10_000)])
    parents = [(0, 1), (first, 2), (second, 3), (third, 9_994)]
    task.submit(author, id, parents, name="child")
    assert [tuple(p) for p in task.registry.parents(id)] == parents
    assert [tuple(p) for p in task.registry.parents(first)] == [(0, 10_000)]
    assert len(task.registry.parents(0)) == 0


def test_a_void_parent_is_refused(task: Any, nodes: list[Any]) -> None:
    void = task.reserve(nodes[0])
    task.to_end(void)
    task.finalize(void)
    assert task.submission(void)["status"] == VOID
    child = task.reserve(nodes[1], "c")
    args = (child, task.record("c", [(void, 10_000)]), digest("salt", "c"))
    task.reverts("RegistryBadParent", child, void, VOID, call=task.registry.submit, args=args, sender=nodes[1])


def test_reference_is_the_best_at_reserve_and_levels_add_up(task: Any, nodes: list[Any]) -> None:
    a, b, *voters = nodes
    first = task.open(a)
    late = task.open(b)  # reserved against genesis, before the first is final
    for id, improvement in ((first, 5), (late, 6)):
        for voter in voters:
            task.commit(voter, id, improvement)
    task.to_reveal(late)
    for id in (first, late):
        for voter in voters:
            task.reveal(voter, id)
    task.to_end(late)
    task.finalize(first)
    receipt = task.finalize(late)
    assert task.submission(late)["referenceId"] == 0
    assert task.submission(late)["level"] == 6
    assert task.submission(late)["gain"] == 0  # one bucket above the best: below minStep
    assert "BestChanged" not in receipt.events
    assert task.best() == (first, 5)
    third = task.open(voters[0])
    assert task.submission(third)["referenceId"] == first
    receipt = task.score(third, {n: -3 for n in nodes if n != voters[0]})
    assert (task.submission(third)["level"], task.submission(third)["gain"]) == (2, 0)
    fourth = task.open(voters[1])
    receipt = task.score(fourth, {n: 2 for n in nodes if n != voters[1]})
    assert (task.submission(fourth)["level"], task.submission(fourth)["gain"]) == (7, 2)
    assert task.best() == (fourth, 7)
    assert receipt.events["BestChanged"]["previous"] == first


def test_equal_digests_of_two_authors_do_not_block_each_other(task: Any, nodes: list[Any]) -> None:
    first, second = task.reserve(nodes[0], "same"), task.reserve(nodes[1], "same")
    task.submit(nodes[1], second, name="same")
    task.submit(nodes[0], first, name="same")
    assert {task.submission(i)["status"] for i in (first, second)} == {OPEN}


def test_closing_stops_reservations_and_nothing_else(task: Any, nodes: list[Any]) -> None:
    open_id = task.open(nodes[0])
    reserved = task.reserve(nodes[1])
    task.reverts("PoolNotSponsor", nodes[0], call=task.pool.close, sender=nodes[0])
    assert "Closed" in task.send(task.pool.close, sender=task.sponsor).events
    assert task.registry.closed()
    task.reverts("RegistryClosed", call=task.registry.reserve, args=(b"\1" * 32,), sender=nodes[2])
    task.reverts("RegistryClosed", call=task.pool.close, sender=task.sponsor)
    task.submit(nodes[1], reserved)
    task.score(open_id, dict.fromkeys(nodes[1:], 3))
    assert task.submission(open_id)["status"] == FINAL


def test_views_refuse_unknown_ids(task: Any) -> None:
    views = ("submission", "parents", "windows", "ballot", "revealTerms", "resultOf", "ancestryOf", "sharingParents")
    for view in views:
        task.reverts("RegistryUnknownId", 7, call=getattr(task.registry, view), args=(7,), sender=task.sponsor)


def test_the_lens_shows_what_the_contracts_say(task: Any, nodes: list[Any]) -> None:
    lens, voters = task.deployment.lens, nodes[1:]
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(voters, 4))
    task.reserve(nodes[1])
    view = lens.task(task.registry)
    assert (view["count"], view["bestId"], view["bestLevel"], view["nextToFinalize"]) == (3, 1, 4, 2)
    assert tuple(view["params"]) == tuple(task.registry.params())
    assert tuple(view["task"]) == (task.vault, task.registry, task.book, task.pool)
    pages = [
        len(lens.submissions(task.registry, start, size))
        for start, size in ((0, 2), (0, 100), (2, 1_000), (3, 5), (9, 1))
    ]
    assert pages == [2, 3, 1, 0, 0]
    shown = lens.submissions(task.registry, 1, 1)[0]
    assert tuple(shown["submission"]) == tuple(task.submission(1))
    assert tuple(shown["tally"]) == (40, 40, 4)
    assert shown["owed"] == task.pool.owed(1) > 0
    votes = lens.votes(task.registry, id, [str(v) for v in voters])
    assert [tuple(v) for v in votes] == [tuple(task.book.voteOf(id, v)) for v in voters]


def test_a_task_without_fee_works(chain: Any) -> None:
    task = Task(scoringFee=0)
    nodes = [task.join(a) for a in chain.accounts[10:15]]
    task.fund()
    chain.travel(chain.now + 10)
    task.score(task.open(nodes[0]), dict.fromkeys(nodes[1:], 3))
    assert task.best() == (1, 3)
    task.solvent(nodes)
