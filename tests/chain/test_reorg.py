"""A real reorganisation under the feet of voters and authors: nobody loses a bond, nothing is published too early."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pdfed_sdk.chain.actions import record_hash
from pdfed_sdk.chain.event_types import Committed, Reserved, Revealed
from pdfed_sdk.chain.parameters import confirmations_of, task_params
from pdfed_sdk.errors import ChainError, ProtocolRevert
from tests.support.federation import Federation, record, word


def reserve_and_submit(federation: Federation, *order: tuple[int, int]) -> None:
    """(node, number of its model) in the order in which the ids are given; all reservations come first."""
    reserved = []
    for node, number in order:
        client, made = federation.client(node), record(number)
        reserved.append((client, made, client.reserve(made.digests.package_digest, word(number, 9)).one(Reserved).id))
    for (client, made, submission_id), (_, number) in zip(reserved, order, strict=True):
        client.submit(submission_id, made, word(number, 9))


def test_two_reservations_swap_and_no_bond_is_lost(federation: Federation) -> None:
    """The finding: a signed commit landed on the other model, could be neither opened nor replaced, and its bond was
    lost. Now it is refused, and the voter seals a vote on what stands there."""
    anvil = federation.anvil
    fork = anvil.ask("evm_snapshot")
    reserve_and_submit(federation, (1, 81), (2, 82))
    voter, relayer = federation.client(3), federation.client(5)
    first = voter.count() - 2
    signed = voter.sign_commit(first, 6, b"\x06" * 32)
    seed_before = voter.seed(first)
    assert signed.vote.record_hash == record_hash(record(81))

    anvil.ask("evm_revert", fork)  # the other branch: the same two, the other way round
    reserve_and_submit(federation, (2, 82), (1, 81))
    assert voter.submission(first).record_hash == record_hash(record(82))
    stake = voter.account()
    with pytest.raises(ProtocolRevert, match="nothing is lost") as caught:
        relayer.relay_commit(signed)
    assert caught.value.name == "BookRecordMismatch"
    assert voter.account() == stake, "no bond was locked"

    with pytest.raises(ProtocolRevert) as caught:  # what was scored before is not what stands there
        voter.commit_score(first, 6, b"\x06" * 32, record_hash=record_hash(record(81)))
    assert caught.value.name == "BookRecordMismatch"
    assert voter.seed(first) != seed_before, "another model has another salt"
    assert voter.commit_score(first, 2, b"\x07" * 32).one(Committed).voter == voter.address
    voter.commit_score(first + 1, 6, b"\x06" * 32)
    federation.to_reveal(first + 1)
    opened = [event.improvement for receipt in voter.reveal_due() for event in receipt.all(Revealed)]
    assert sorted(opened) == [2, 6]
    federation.to_end(first + 1)
    voter.finalize_due()
    voter.settle(first)
    voter.settle(first + 1)
    assert voter.account().locked == 0
    assert voter.account().stake == stake.stake


def test_a_deep_reorganisation_by_anvil_itself_is_refused_too(federation: Federation) -> None:
    """``anvil_reorg`` drops the blocks of both reservations; they come back the other way round."""
    anvil = federation.anvil
    head = int(anvil.ask("eth_blockNumber"), 16)
    reserve_and_submit(federation, (1, 83), (2, 84))
    voter = federation.client(3)
    first = voter.count() - 2
    signed = voter.sign_commit(first, 6, b"\x06" * 32)
    depth = int(anvil.ask("eth_blockNumber"), 16) - head
    anvil.ask("anvil_reorg", depth, [])
    assert voter.count() == first, "both reservations are gone"
    reserve_and_submit(federation, (2, 84), (1, 83))
    with pytest.raises(ProtocolRevert) as caught:
        federation.client(5).relay_commit(signed)
    assert caught.value.name == "BookRecordMismatch"


def test_a_client_waits_for_its_confirmations(federation: Federation, tmp_path: Path) -> None:
    """With three confirmations nothing follows from a block until two stand upon it."""
    submission_id = federation.open_submission(federation.client(1), 85)
    voter = federation.client(2, confirmations=3)
    passed: list[int] = []

    def mine() -> None:
        for _ in range(6):
            time.sleep(0.3)
            passed.append(1)
            federation.anvil.mine()

    for act in (
        lambda: voter.commit_score(submission_id, 3, b"\x07" * 32),
        reveal_of(federation, voter, submission_id),
    ):
        passed.clear()
        miner = threading.Thread(target=mine)
        miner.start()
        act()
        assert len(passed) >= 2, "it returned before its blocks were deep enough"
        miner.join()


def reveal_of(federation: Federation, voter: object, submission_id: int):  # type: ignore[no-untyped-def]
    def act() -> None:
        federation.to_reveal(submission_id)
        voter.reveal(submission_id)  # type: ignore[attr-defined]

    return act


def test_a_batch_of_reveals_leaves_out_what_is_not_deep_enough(federation: Federation) -> None:
    submission_id = federation.open_submission(federation.client(1), 86)
    patient, node = federation.client(2, confirmations=50), federation.client(2)
    node.commit_score(submission_id, 3, b"\x07" * 32)
    federation.to_reveal(submission_id)
    assert patient.reveal_due() == []
    federation.anvil.mine(50)
    assert [len(receipt.all(Revealed)) for receipt in node.reveal_due()] == [1]


def test_a_chain_that_stands_still_is_told(federation: Federation) -> None:
    submission_id = federation.open_submission(federation.client(1), 87)
    voter = federation.client(2, confirmations=5, timeout=0.3)
    with pytest.raises(ChainError, match=r"has \d of 5 confirmations, and none was added in 0 s"):
        voter.commit_score(submission_id, 3, b"\x07" * 32)
    assert not voter.vote(submission_id).exists


def test_confirmations_follow_from_the_profile(federation: Federation) -> None:
    place = federation.entry.token
    assert confirmations_of(task_params(place, place, profile="development")) == 1
    assert confirmations_of(task_params(place, place, profile="public")) == 12
    at = federation.reader().flows.at
    assert at.chain.options.confirmations == 1
    assert replace(at.chain.options, confirmations=4).confirmations == 4
