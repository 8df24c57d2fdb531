"""What spares transactions and coins: batches, signed commits, permits; and royalties, the guardian, voting keys."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from pdfed_sdk.audit import audit
from pdfed_sdk.chain.calls import Hop
from pdfed_sdk.chain.client import AsyncPdfedClient, PdfedClient
from pdfed_sdk.chain.commitments import commit_typed_data
from pdfed_sdk.chain.deploy import create_task
from pdfed_sdk.chain.erc20 import PermitDomain, TokenCalls
from pdfed_sdk.chain.event_types import (
    CommitSkipped,
    Committed,
    Deposited,
    Finalized,
    Paused,
    Poured,
    Revealed,
    RoyaltyPaid,
    Settled,
    Shared,
)
from pdfed_sdk.chain.parameters import task_params
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.errors import ProtocolRevert, UsageError
from pdfed_sdk.types import Role, SealedVote, SubmissionId
from tests.support.anvil import Anvil
from tests.support.federation import FAST, GENESIS, KEYS, UNIT, Federation


def three_open(federation: Federation) -> list[int]:
    return [federation.open_submission(federation.client(1), number) for number in (50, 51, 52)]


def scores(ids: list[int]) -> dict[int, tuple[int, bytes]]:
    return {number: (value, bytes([value]) * 32) for value, number in enumerate(ids, 3)}


def test_several_votes_are_sealed_and_opened_in_one_transaction_each(federation: Federation) -> None:
    ids, voter = three_open(federation), federation.client(2)
    (sealed,) = voter.commit_scores(scores(ids))
    assert [event.id for event in sealed.all(Committed)] == ids
    assert sealed.gas_used < 3 * 70_000
    assert voter.commit_scores(scores(ids)) == []
    assert voter.commit_score(ids[1], -8, b"\x09" * 32).tx_hash == sealed.tx_hash
    federation.to_reveal(ids[-1])
    (opened,) = voter.reveal_due()
    assert [(event.id, event.improvement) for event in opened.all(Revealed)] == list(zip(ids, (3, 4, 5), strict=True))
    assert voter.reveal_due() == []


def test_votes_of_a_batch_come_back_from_the_chain(federation: Federation) -> None:
    ids = three_open(federation)
    federation.client(2).commit_scores(scores(ids))
    forgetful = federation.client(2, state=federation.folder / "new")
    federation.to_reveal(ids[-1])
    (opened,) = forgetful.reveal_due()
    assert [event.improvement for event in opened.all(Revealed)] == [3, 4, 5]


def test_one_refused_vote_does_not_stop_the_others(federation: Federation) -> None:
    ids = three_open(federation)
    author = federation.client(2)
    own = federation.open_submission(author, 53)
    (sealed,) = author.commit_scores(scores([*ids[:2], own]))
    assert [event.id for event in sealed.all(Committed)] == ids[:2]
    with pytest.raises(ProtocolRevert, match="is the author of"):
        author.commit_scores(scores([own]))


def test_stake_that_suffices_for_some_only_seals_some(federation: Federation) -> None:
    ids, voter = three_open(federation), federation.client(2)
    voter.request_unstake(425 * UNIT)  # 75 left: too little for one unit of weight, so no vote at all
    with pytest.raises(ProtocolRevert, match="no voting weight"):
        voter.commit_scores(scores(ids))
    other = federation.client(3)
    other.request_unstake(389 * UNIT)  # 111 left: a vote of weight 1 locks 2, and weight stays 1
    (sealed,) = other.commit_scores(scores(ids))
    assert len(sealed.all(Committed)) == 3
    assert not sealed.all(CommitSkipped)
    assert other.account().locked == 6 * UNIT


def test_a_dry_run_of_a_batch_sends_and_keeps_nothing(federation: Federation) -> None:
    ids, voter = three_open(federation), federation.client(2, dry_run=True)
    (receipt,) = voter.commit_scores(scores(ids))
    assert (receipt.tx_hash, receipt.events) == ("", ())
    assert not list((federation.folder / "node2").rglob("*.vote"))


# --- signed commits --------------------------------------------------------------------------------------------------


def test_a_relayer_sends_the_commit_of_a_node_without_coins(federation: Federation) -> None:
    submission_id = federation.open_submission(federation.client(1), 54)
    voter, relayer = federation.client(2), federation.client(7)
    federation.anvil.ask("anvil_setBalance", voter.address, "0x0")
    signed = voter.sign_commit(submission_id, 4, b"\x06" * 32)
    assert not voter.vote(submission_id).exists
    sent = relayer.relay_commit(signed)
    assert sent.one(Committed).voter == voter.address
    assert relayer.relay_commit(signed).tx_hash == sent.tx_hash
    assert voter.commit_score(submission_id, 1, b"\x07" * 32).tx_hash == sent.tx_hash

    federation.anvil.endow(voter.address)
    forgetful = federation.client(2, state=federation.folder / "new")  # the seal travelled with the relayed commit
    federation.to_reveal(submission_id)
    assert forgetful.reveal_due()[0].one(Revealed).improvement == 4


def test_signed_commits_are_bound_to_voter_vote_and_time(federation: Federation) -> None:
    submission_id = federation.open_submission(federation.client(1), 55)
    voter, relayer = federation.client(2), federation.client(7)
    end = voter.windows(submission_id).commit_end
    with pytest.raises(UsageError, match="after commits on"):
        voter.sign_commit(submission_id, 4, b"\x06" * 32, deadline=end + 1)
    signed = voter.sign_commit(submission_id, 4, b"\x06" * 32, deadline=end - 10)
    for forged in (
        replace(signed, voter=federation.signers[3].address),
        replace(signed, vote=replace(signed.vote, commitment=b"\x01" * 32)),
        replace(signed, deadline=end - 5),
        replace(signed, signature=bytes(65)),
    ):
        with pytest.raises(ProtocolRevert) as caught:
            relayer.relay_commit(forged)
        assert caught.value.name == "BookBadSignature"
    federation.to(end - 9)
    with pytest.raises(ProtocolRevert) as caught:
        relayer.relay_commit(signed)
    assert caught.value.name == "BookSignatureExpired"


def test_the_typed_commit_is_what_the_contract_hashes(federation: Federation) -> None:
    from eth_account.messages import _hash_eip191_message, encode_typed_data

    client, voter = federation.reader(), federation.signers[2].address
    sealed = SealedVote(SubmissionId(7), b"\x04" * 32, b"\x05" * 32)
    (wanted,) = client.many([client.calls.hash_commit(voter, sealed, 1_900_000_000)])
    message = commit_typed_data(voter, sealed, 1_900_000_000, client.chain_id, client.task.book)
    assert bytes(_hash_eip191_message(encode_typed_data(full_message=message))) == wanted


def test_a_voting_key_seals_batches_and_signs_for_its_node(federation: Federation) -> None:
    ids = three_open(federation)
    node, hot = federation.client(2), federation.signers[7]
    node.set_voting_key(hot.address)
    assert node.account().voting_key == hot.address
    client = PdfedClient.connect(
        federation.anvil.url,
        task=federation.entry.registry,
        signer=hot,
        voter=node.address,
        state=federation.folder / "hot",
        options=FAST,
    )
    (sealed,) = client.commit_scores(scores(ids[:2]))
    assert {event.voter for event in sealed.all(Committed)} == {node.address}
    relayed = federation.client(3).relay_commit(client.sign_commit(ids[2], 5, b"\x05" * 32))
    assert relayed.one(Committed).voter == node.address
    federation.to_reveal(ids[-1])
    assert len(client.reveal_due()[0].all(Revealed)) == 3
    node.set_voting_key("0x" + "0" * 40)
    assert audit(federation.reader()).ok


def test_the_async_client_has_them_too(federation: Federation) -> None:
    ids = three_open(federation)

    async def journey() -> list[int]:
        client = await AsyncPdfedClient.connect(
            federation.anvil.url,
            task=federation.entry.registry,
            signer=federation.signers[3],
            state=federation.folder / "async",
            options=FAST,
        )
        try:
            await client.commit_scores(scores(ids[:2]))
            await client.relay_commit(await client.sign_commit(ids[2], 5, b"\x05" * 32))
            federation.to_reveal(ids[-1])
            (opened,) = await client.reveal_due()
            return [event.improvement for event in opened.all(Revealed)]
        finally:
            await client.close_connection()

    assert asyncio.run(journey()) == [3, 4, 5]


# --- money -----------------------------------------------------------------------------------------------------------


def test_a_deposit_needs_no_approval_where_the_token_takes_permits(federation: Federation) -> None:
    newcomer = federation.client(6)
    federation.client(0).mint(newcomer.address, 300 * UNIT)
    newcomer.register(Role.VALIDATOR)
    nonce = int(federation.anvil.ask("eth_getTransactionCount", newcomer.address, "latest"), 16)
    assert newcomer.deposit(200 * UNIT).one(Deposited).amount == 200 * UNIT
    assert int(federation.anvil.ask("eth_getTransactionCount", newcomer.address, "latest"), 16) == nonce + 1
    token = TokenCalls(newcomer.params().token)
    assert newcomer.many([token.allowance(newcomer.address, newcomer.task.vault)]) == [0]
    assert newcomer.deposit(100 * UNIT).one(Deposited).amount == 100 * UNIT  # the next permit has the next nonce


def test_a_token_with_an_unknown_domain_is_approved(federation: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PermitDomain, "of", classmethod(lambda *_: None))
    newcomer = federation.client(6)
    federation.client(0).mint(newcomer.address, 100 * UNIT)
    newcomer.register(Role.VALIDATOR)
    nonce = int(federation.anvil.ask("eth_getTransactionCount", newcomer.address, "latest"), 16)
    newcomer.deposit(100 * UNIT)
    assert int(federation.anvil.ask("eth_getTransactionCount", newcomer.address, "latest"), 16) == nonce + 2


def test_royalties_reach_author_and_lineage(federation: Federation) -> None:
    first = federation.open_submission(federation.client(1), 60)
    federation.vote(first, {2: 4, 3: 4, 4: 5})
    federation.client(3).finalize_due()
    second = federation.open_submission(federation.client(2), 61, (first, 10_000))
    federation.vote(second, {1: 4, 3: 4, 4: 5})
    federation.client(3).finalize_due()
    while federation.client(3).pour():
        pass

    user = federation.client(6)
    federation.client(0).mint(user.address, 50 * UNIT)
    before = user.token_balance()
    paid = user.pay_royalty(second, 50 * UNIT).one(RoyaltyPaid)
    assert (paid.id, paid.payer, paid.amount) == (second, user.address, 50 * UNIT)
    assert before - user.token_balance() == 50 * UNIT
    receipt = user.pour(Hop(second, second))
    assert receipt is not None
    shared = receipt.one(Shared)
    assert (shared.to_author, shared.to_reference) == (35 * UNIT, 15 * UNIT)
    assert shared.to_parents == 0, "it became best above its parent: its grains are its own"
    (stream,) = user.pour(Hop(first, first)).all(Poured)  # type: ignore[union-attr]
    assert stream.to_author + stream.passed == 15 * UNIT
    for number in (0, second + 1):
        with pytest.raises(ProtocolRevert):
            user.pay_royalty(number, UNIT)
    with pytest.raises(UsageError, match="above zero"):
        user.pay_royalty(second, 0)
    assert audit(federation.reader()).ok


def test_a_vote_against_the_others_is_charged_and_the_audit_computes_it_again(federation: Federation) -> None:
    submission_id = federation.open_submission(federation.client(1), 62)
    federation.vote(submission_id, {2: 4, 3: 4, 4: 5, 5: -3})
    closer = federation.client(3)
    assert closer.finalize_due().one(Finalized).result.median == 4  # type: ignore[union-attr]
    settled = closer.settle(submission_id)
    assert settled is not None
    by_voter = {event.node: event for event in settled.all(Settled)}
    outlier = by_voter.pop(federation.signers[5].address)
    assert outlier.paid == 0
    assert 0 < outlier.forfeited < outlier.forfeited + outlier.released
    assert all(event.paid > 0 and event.forfeited == 0 for event in by_voter.values())
    assert audit(federation.reader()).ok


# --- guardian --------------------------------------------------------------------------------------------------------


def guarded(anvil: Anvil, federation: Federation) -> Federation:
    """The same nodes in a second task, whose guardian is key 7."""
    sponsor = federation.signers[0]
    token = federation.manifest.token
    assert token is not None
    params = task_params(token, sponsor.address, guardian=federation.signers[7].address)
    entry = create_task(
        anvil.url, sponsor, params, GENESIS, federation.manifest, folder=federation.folder, options=FAST
    )
    return replace(federation, entry=entry)


def test_the_guardian_stops_reservations_and_nothing_else(anvil: Anvil, federation: Federation) -> None:
    task = guarded(anvil, federation)
    author, guardian = task.client(1), task.client(7)
    federation.client(0).mint(author.address, 500 * UNIT)
    author.register(Role.TRAINER)
    author.deposit(500 * UNIT)
    task.to(author.now() + 5)
    submission_id = task.open_submission(author, 70)
    with pytest.raises(ProtocolRevert, match="is not the task's guardian"):
        author.pause(60)
    with pytest.raises(ProtocolRevert, match="a pause of 1209601 s, at most 1209600 s"):
        guardian.pause(14 * 86_400 + 1)
    with pytest.raises(UsageError, match="above zero"):
        guardian.pause(0)
    paused = guardian.pause(3_600).one(Paused)
    assert author.paused_until() == paused.until == paused.where.timestamp + 3_600
    with pytest.raises(ProtocolRevert, match="reservations are paused until"):
        task.open_submission(author, 71)
    with pytest.raises(ProtocolRevert, match="may pause again at"):
        guardian.pause(3_600)
    task.to_end(submission_id)
    receipt = author.finalize_due()
    assert receipt is not None
    assert receipt.one(Finalized).id == SubmissionId(submission_id)
    report = audit(task.reader())
    assert report.ok, [check for check in report.checks if not check.ok]


def test_permits_know_the_usual_domains() -> None:
    from pdfed_sdk.chain.commitments import domain_separator

    token = LocalSigner.from_key(KEYS[0]).address
    for version in ("1", "2"):
        domain = PermitDomain.of("Coin", 1, token, domain_separator("Coin", version, 1, token))
        assert domain is not None
        assert domain.version == version
    assert PermitDomain.of("Coin", 1, token, domain_separator("Coin", "3", 1, token)) is None
