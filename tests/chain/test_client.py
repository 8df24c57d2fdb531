"""The clients against real contracts on a real anvil: the whole journey, twice-safe verbs, both bodies."""

from __future__ import annotations

import asyncio

import pytest

from pdfed_sdk.chain.client import AsyncPdfedClient, PdfedClient
from pdfed_sdk.chain.event_types import (
    BestChanged,
    Claimed,
    Committed,
    Deposited,
    Finalized,
    Reserved,
    Revealed,
    Rewarded,
    Settled,
    Shared,
    Submitted,
)
from pdfed_sdk.chain.journal import VoteState
from pdfed_sdk.errors import UsageError
from pdfed_sdk.types import Role, Status
from tests.support.federation import FAST, UNIT, Federation, record, word


def test_the_whole_journey_pays_author_and_voters(federation: Federation) -> None:
    author = federation.client(1)
    submission_id = federation.open_submission(author, 7)
    federation.vote(submission_id, {2: 4, 3: 4, 4: 5})

    closer = federation.client(2)
    receipt = closer.finalize_due()
    assert receipt is not None
    final = receipt.one(Finalized)
    assert (final.status, final.result.outcome, final.result.median) == (Status.FINAL, 4, 4)
    assert (final.standing.level, final.standing.measured, final.standing.gain) == (4, 4, 4)
    assert receipt.one(BestChanged).id == submission_id
    assert receipt.one(Rewarded).from_allowance > 0
    assert receipt.gas_used > 0
    assert receipt.timestamp > 0

    assert closer.best().id == submission_id
    settled = closer.settle(submission_id)
    assert settled is not None
    assert {event.node for event in settled.all(Settled)} == {federation.signers[i].address for i in (2, 3, 4)}
    assert closer.settle(submission_id) is None
    assert closer.account().locked == 0

    poured = closer.pour()
    assert poured is not None
    assert poured.one(Shared).author == author.address
    assert closer.pour() is None
    before = author.token_balance()
    claimed = author.claim().one(Claimed)
    assert author.token_balance() - before == claimed.amount > 0
    view = closer.submissions()[submission_id]
    assert (view.pending, view.owed) == (0, 0)
    assert [parent.id for parent in view.parents] == [0]


def test_register_and_deposit_approve_by_themselves(federation: Federation) -> None:
    newcomer = federation.client(6)
    before = newcomer.token_balance()
    federation.client(0).mint(newcomer.address, 300 * UNIT)
    newcomer.register(Role.VALIDATOR, metadata_digest=b"\x05" * 32)
    assert newcomer.deposit(250 * UNIT).one(Deposited).amount == 250 * UNIT
    assert newcomer.account().stake == 250 * UNIT
    assert newcomer.weight() == 2
    newcomer.request_unstake(50 * UNIT)
    federation.to(newcomer.account().unbonding_at)
    newcomer.withdraw()
    assert newcomer.token_balance() - before == 100 * UNIT


def test_registering_with_a_stake_takes_one_transaction(federation: Federation) -> None:
    newcomer = federation.client(6)
    federation.client(0).mint(newcomer.address, 300 * UNIT)
    key = federation.client(7).address
    receipt = newcomer.register_and_deposit(Role.VALIDATOR, 250 * UNIT, voting_key=key)
    assert receipt.one(Deposited).amount == 250 * UNIT
    account = newcomer.account()
    assert (account.roles, account.stake, account.voting_key) == (Role.VALIDATOR, 250 * UNIT, key)


def test_reserve_and_submit_are_done_once(federation: Federation) -> None:
    author = federation.client(1)
    made, salt = record(8), word(8, 9)
    first = author.reserve(made.digests.package_digest, salt)
    again = author.reserve(made.digests.package_digest, salt)
    assert again.tx_hash == first.tx_hash
    submission_id = first.one(Reserved).id
    sent = author.submit(submission_id, made, salt)
    assert author.submit(submission_id, made, salt).tx_hash == sent.tx_hash
    assert sent.one(Submitted).record == made
    assert author.record(submission_id) == made
    assert author.submission(submission_id).status is Status.OPEN


def test_commit_and_reveal_are_done_once_and_show_their_state(federation: Federation) -> None:
    submission_id = federation.open_submission(federation.client(1), 9)
    voter = federation.client(2)
    assert voter.vote_state(submission_id) is VoteState.NONE
    first = voter.commit_score(submission_id, 3, b"\x07" * 32)
    assert first.one(Committed).voter == voter.address
    assert voter.commit_score(submission_id, -8, b"\x08" * 32).tx_hash == first.tx_hash
    assert voter.vote_state(submission_id) is VoteState.READY
    assert voter.reveal_due() == []
    federation.to_reveal(submission_id)
    (opened,) = voter.reveal_due()
    assert opened.one(Revealed).improvement == 3
    assert voter.vote_state(submission_id) is VoteState.REVEALED
    assert voter.reveal(submission_id).tx_hash == opened.tx_hash
    assert voter.reveal_due() == []
    assert voter.histogram(submission_id)[3 + 8] == 5
    assert voter.tally(submission_id).reveals == 1
    assert set(voter.votes(submission_id)) == {voter.address}


def test_a_voting_key_votes_for_its_node(federation: Federation) -> None:
    submission_id = federation.open_submission(federation.client(1), 10)
    node, hot = federation.client(2), federation.signers[7]
    node.set_voting_key(hot.address)
    client = PdfedClient.connect(
        federation.anvil.url,
        task=federation.entry.registry,
        signer=hot,
        voter=node.address,
        state=federation.folder / "hot",
        options=FAST,
    )
    assert client.commit_score(submission_id, 2, b"\x09" * 32).one(Committed).voter == node.address
    federation.to_reveal(submission_id)
    assert client.reveal_due()[0].one(Revealed).voter == node.address


def test_dry_run_sends_nothing(federation: Federation) -> None:
    submission_id = federation.open_submission(federation.client(1), 11)
    voter = federation.client(2, dry_run=True)
    head = voter.head()
    receipt = voter.commit_score(submission_id, 3, b"\x07" * 32)
    assert receipt.tx_hash == ""
    assert receipt.gas_used > 50_000
    assert voter.head() == head
    assert not voter.vote(submission_id).exists
    assert not list((federation.folder / "node2").rglob("*.vote"))


def test_sponsor_closes_and_takes_back_the_rest(federation: Federation) -> None:
    sponsor = federation.client(0)
    sponsor.close()
    assert sponsor.closed()
    federation.to(sponsor.now() + sponsor.params().grace + 1)
    before = sponsor.token_balance()
    sponsor.reclaim()
    assert sponsor.token_balance() - before == 10_000 * UNIT


def test_async_client_has_the_same_verbs(federation: Federation) -> None:
    submission_id = federation.open_submission(federation.client(1), 12)

    async def journey() -> int:
        client = await AsyncPdfedClient.connect(
            federation.anvil.url,
            task=federation.entry.registry,
            signer=federation.signers[3],
            state=federation.folder / "async",
            options=FAST,
        )
        try:
            seeds = await asyncio.gather(client.seed(submission_id), client.seed(submission_id))
            assert seeds[0] == seeds[1]
            receipt = await client.commit_score(submission_id, 1, b"\x0a" * 32)
            assert receipt.one(Committed).voter == client.address
            federation.to_reveal(submission_id)
            (opened,) = await client.reveal_due()
            events = [event async for event in client.events.replay()]
            assert opened.one(Revealed) in events
            return (await client.best()).id
        finally:
            await client.close_connection()

    assert asyncio.run(journey()) == 0


@pytest.mark.parametrize("improvement", [-9, 24, 1.5, True])
def test_an_impossible_improvement_is_refused_before_the_chain_sees_it(
    federation: Federation, improvement: int
) -> None:
    submission_id = federation.open_submission(federation.client(1), 13)
    with pytest.raises(UsageError, match=r"-8 to 23|-8"):
        federation.client(2).commit_score(submission_id, improvement, b"\x07" * 32)


def test_finalising_takes_exactly_what_is_due(federation: Federation) -> None:
    """Gas is estimated for the ids that are due now; one more must not slip in and run it out of gas."""
    author, closer = federation.client(1), federation.client(3)
    first = federation.open_submission(author, 14)
    federation.to(author.windows(first).commit_end)
    second = federation.open_submission(federation.client(2), 15)
    assert closer.finalize_due() is None
    federation.to_end(first)
    receipt = closer.finalize_due()
    assert receipt is not None
    assert [event.id for event in receipt.all(Finalized)] == [first]
    federation.to_end(second)
    receipt = closer.finalize_due(limit=1)
    assert receipt is not None
    assert receipt.one(Finalized).status is Status.VOID
    assert closer.finalize_due() is None
