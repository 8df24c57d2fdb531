"""ModelRegistry: reservations, submissions, parents, windows, levels, closing."""

from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak
from support.reference import ONE, grains, width
from support.task import ANY_FEE, FINAL, OPEN, RESERVED, TRAINER, UNIT, VALIDATOR, VOID, Task, digest, happened


def test_a_reservation_takes_bond_and_fee_and_freezes_the_rest(task: Any, nodes: list[Any], chain: Any) -> None:
    author = nodes[0]
    at = chain.now + 3
    receipt = task.send(task.registry.reserve, task.reservation(author, "a"), 3 * UNIT, sender=author, at=at)
    event = receipt.events["Reserved"]
    assert (event["id"], event["author"], event["referenceId"], event["reservedAt"]) == (1, author, 0, at)
    s = task.submission(1)
    assert (s["status"], s["author"], s["tau"], s["q"], s["eligible"]) == (RESERVED, author, 0, ONE // 2, 40)
    account = task.account(author)
    assert (account["stake"], account["locked"]) == (5 * UNIT, 2 * UNIT)
    assert (task.escrow(), task.balances()["commons"]) == (3 * UNIT, 0)
    w = task.windows(1)
    assert tuple(w) == (at + 250, at + 1_000, at + 1_010, at + 1_510)
    task.solvent(nodes)


def test_who_may_reserve(task: Any, nodes: list[Any], chain: Any) -> None:
    reserve = task.registry.reserve
    task.reverts("RegistryZeroReservation", call=reserve, args=(bytes(32), ANY_FEE), sender=nodes[0])
    outsider = chain.accounts[50]
    args = (b"\1" * 32, ANY_FEE)
    task.reverts("VaultNotTrainer", outsider, call=reserve, args=args, sender=outsider)
    validator = task.join(chain.accounts[51], roles=VALIDATOR)
    task.reverts("VaultNotTrainer", validator, call=reserve, args=args, sender=validator)
    poor = task.join(chain.accounts[52], stake=5 * UNIT - 1, roles=TRAINER)
    task.reverts("VaultInsufficientStake", poor, 5 * UNIT - 1, 5 * UNIT, call=reserve, args=args, sender=poor)


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
    task.send(task.registry.reserve, hash_, ANY_FEE, sender=nodes[0])
    task.reverts("RegistryZeroDigest", call=task.registry.submit, args=(1, record, salt), sender=nodes[0])


def test_parents_are_one_to_four_earlier_ids_that_were_submitted(task: Any, nodes: list[Any], chain: Any) -> None:
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


def test_a_void_parent_must_have_been_submitted(task: Any, nodes: list[Any]) -> None:
    """Who builds on a model that was voted Void may say so; of an id that never was a model there is nothing to say."""
    void, empty = task.open(nodes[0]), task.reserve(nodes[2])
    task.to_end(empty)
    task.send(task.book.finalizeMany, 2, sender=nodes[0])
    assert {task.submission(i)["status"] for i in (void, empty)} == {VOID}
    child = task.reserve(nodes[1], "c")
    args = (child, task.record("c", [(empty, 10_000)]), digest("salt", "c"))
    task.reverts("RegistryBadParent", child, empty, VOID, call=task.registry.submit, args=args, sender=nodes[1])
    task.submit(nodes[1], child, [(void, 10_000)], name="c")
    assert [tuple(a) for a in task.registry.lineage(child, child)["parents"]] == []


def test_levels_add_up_in_grains_along_references(task: Any, nodes: list[Any]) -> None:
    """L by the quantile, M by the median; a vote is the index of a bucket, 12 of which is 16 grains."""
    a, b, *_ = nodes
    level = measured = 0
    for outcome, median in ((3, 12), (12, 12), (-3, 2), (2, 9)):
        author = (a, b)[level % 2]
        id = task.open(author)
        reference = task.submission(id)["referenceId"]
        start = task.submission(reference)
        task.score(id, dict(zip([n for n in nodes if n != author], (outcome, outcome, median, median), strict=True)))
        s = task.submission(id)
        assert (s["outcome"], s["median"]) == (outcome, median)
        assert s["level"] == start["level"] + grains(outcome)
        assert s["measured"] == start["measured"] + grains(median)
        level, measured = level + 1, measured + 1
        better = s["level"] - start["level"] >= 2
        assert (s["gain"], s["previousId"]) == (grains(outcome) if better else 0, reference)
        assert task.best() == ((id, s["level"]) if better else (reference, start["level"]))


@pytest.mark.parametrize(("late", "gain"), [(12, 0), (13, 2), (14, 6), (15, 10), (9, 0), (6, 0)])
def test_a_gain_over_another_reference_is_less_by_the_width_of_its_bucket(
    task: Any, nodes: list[Any], late: int, gain: int
) -> None:
    """Both are measured against genesis; the first became best with 14 grains before the second is final."""
    a, b, *voters = nodes
    first, second = task.open(a), task.open(b)
    for voter in voters:
        task.commit(voter, first, 11)
        task.commit(voter, second, late)
    task.to_reveal(second)
    for voter in voters:
        task.reveal(voter, first)
        task.reveal(voter, second)
    task.to_end(second)
    receipt = task.send(task.book.finalizeMany, 2, sender=a)
    delta = grains(late) - 14 - width(late)
    s = task.submission(second)
    assert (s["referenceId"], s["level"]) == (0, grains(late))
    assert s["gain"] == gain == (delta if delta >= 2 else 0)
    assert s["previousId"] == (first if gain else 0)
    assert task.best() == ((second, grains(late)) if gain else (first, 14))
    assert [e["previous"] for e in happened(receipt, "BestChanged")] == [0, first][: 1 + (gain > 0)]


@pytest.mark.parametrize(("improvement", "better"), [(4, False), (5, True), (6, True)])
def test_the_least_step_is_enough_and_less_is_not(chain: Any, improvement: int, better: bool) -> None:
    task = Task(minStep=5)
    nodes = [task.join(a) for a in chain.accounts[10:15]]
    chain.travel(chain.now + 10)
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], improvement))
    assert task.submission(id)["gain"] == (improvement if better else 0)


def test_the_fee_doubles_with_every_slots_open_ids(chain: Any) -> None:
    """One base fee is for the voters, the surcharge goes to the commons and never returns; ids whose reveal window is
    over count no more, finalised or not."""
    task = Task(slots=2, voteBondBps=1_000, scoringFee=UNIT)
    author, *rest = [task.join(a, stake=200 * UNIT) for a in chain.accounts[10:15]]
    chain.travel(chain.now + 10)
    fees = []
    for number in range(8):
        fee, open_ = task.registry.feeNow()
        assert open_ == number
        fees.append(fee // UNIT)
        args = (task.reservation(author, number), fee - 1)
        task.reverts("RegistryFeeTooHigh", fee, fee - 1, call=task.registry.reserve, args=args, sender=author)
        event = task.send(task.registry.reserve, args[0], fee, sender=author).events["SubmissionBonded"]
        assert (event["fee"], event["surcharge"]) == (UNIT, fee - UNIT)
        chain.travel(chain.now + 20)
    assert fees == [1, 1, 2, 2, 4, 4, 8, 8]
    surcharges = sum(fees) * UNIT - 8 * UNIT
    assert (task.escrow(), task.balances()["commons"]) == (8 * UNIT, surcharges)
    ends = [task.windows(id)["revealEnd"] for id in range(1, 9)]
    for number, end in enumerate(ends):
        for at, over in ((end - 1, number), (end, number + 1), (end + 1, number + 1)):
            raw = chain.simulate(task.registry.feeNow, sender=author, at=at)
            fee, open_ = (int.from_bytes(raw[k : k + 32], "big") for k in (0, 32))
            assert (open_, fee) == (8 - over, UNIT << (8 - over) // 2)
    chain.travel(ends[4])
    task.send(task.book.finalizeMany, 2, sender=author)
    assert task.registry.feeNow()[1] == 3
    task.to_end(8)
    task.send(task.book.finalizeMany, 9, sender=author)
    bonds = 8 * task.params["submissionBond"]
    assert task.balances()["commons"] == surcharges + bonds  # none was submitted: bonds are lost, base fees return
    assert task.account(author)["credit"] == 8 * UNIT
    task.solvent([author, *rest])


def test_the_fee_stops_doubling_after_32_times(chain: Any) -> None:
    task = Task(slots=1, scoringFee=1, submissionBond=1)
    author = task.join(chain.accounts[10], stake=2**37)
    task.pay(author, 100 * UNIT)
    task.send(task.vault.deposit, 100 * UNIT, sender=author)
    at = chain.now + 10
    for number in range(35):
        assert task.registry.feeNow()[0] == 2 ** min(number, 32)
        task.reserve(author, number, at=at + number)


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
    task.reverts("RegistryClosed", call=task.registry.reserve, args=(b"\1" * 32, 1), sender=nodes[2])
    task.reverts("RegistryClosed", call=task.pool.close, sender=task.sponsor)
    task.submit(nodes[1], reserved)
    task.score(open_id, dict.fromkeys(nodes[1:], 3))
    assert task.submission(open_id)["status"] == FINAL


def test_views_refuse_unknown_ids(task: Any) -> None:
    for view in ("submission", "parents", "windows", "ballot", "revealTerms", "resultOf"):
        task.reverts("RegistryUnknownId", 7, call=getattr(task.registry, view), args=(7,), sender=task.sponsor)
    for args in ((7, 0), (0, 7)):
        task.reverts("RegistryUnknownId", 7, call=task.registry.lineage, args=args, sender=task.sponsor)


def test_the_lens_shows_what_the_contracts_say(task: Any, nodes: list[Any]) -> None:
    lens, voters = task.deployment.lens, nodes[1:]
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(voters, 4))
    task.reserve(nodes[1])
    view = lens.task(task.registry)
    assert (view["count"], view["bestId"], view["bestLevel"], view["nextToFinalize"]) == (3, 1, 4, 2)
    assert tuple(view["params"]) == tuple(task.registry.params())
    assert (view["scoringFee"], view["open"]) == tuple(task.registry.feeNow()) == (3 * UNIT, 1)
    assert tuple(view["trend"]) == tuple(task.registry.trend())
    assert tuple(view["balances"]) == tuple(task.pool.balances())
    assert tuple(view["task"]) == (task.vault, task.registry, task.book, task.pool)
    pages = [
        len(lens.submissions(task.registry, start, size))
        for start, size in ((0, 2), (0, 100), (2, 1_000), (3, 5), (9, 1))
    ]
    assert pages == [2, 3, 1, 0, 0]
    shown = lens.submissions(task.registry, 1, 1)[0]
    assert tuple(shown["submission"]) == tuple(task.registry.submission(1))
    assert tuple(shown["tally"]) == (40, 40, 4)
    assert shown["owed"] == task.pool.owed(1) > 0
    votes = lens.votes(task.registry, id, [str(v) for v in voters])
    assert [tuple(v) for v in votes] == [tuple(task.book.voteOf(id, v)) for v in voters]


def test_a_task_with_the_least_fee_works(chain: Any) -> None:
    task = Task(scoringFee=1)
    nodes = [task.join(a) for a in chain.accounts[10:15]]
    task.fund()
    chain.travel(chain.now + 10)
    task.score(task.open(nodes[0]), dict.fromkeys(nodes[1:], 3))
    assert task.best() == (1, 3)
    task.solvent(nodes)
