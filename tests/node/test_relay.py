"""What a relay takes and keeps: openings of sealed votes, sealed to its own key, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import requests

from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.handover import MOST_BYTES, public_key, relay_key, seal_for, unseal_as
from pdfed_sdk.errors import ConfigError, JournalError, UsageError
from pdfed_sdk.node.entrusting import Entrusting
from pdfed_sdk.node.relay import Relay, listening
from pdfed_sdk.types import ScoreVote
from tests.support.federation import Federation

RELAY, NODE = 7, 2


@pytest.fixture
def client(federation: Federation) -> PdfedClient:
    return federation.client(RELAY)


@pytest.fixture
def relay(federation: Federation, client: PdfedClient, tmp_path: Path) -> Relay:
    return Relay(client, federation.signers[RELAY], tmp_path / "openings")


@pytest.fixture
def vote(federation: Federation) -> ScoreVote:
    """A vote that node 2 has sealed on submission 1."""
    number = federation.open_submission(federation.client(1), 7)
    node = federation.client(NODE)
    node.commit_score(number, 5, b"\7" * 32)
    opening = node.opening(number)
    assert opening is not None
    return opening


def sealed(federation: Federation, client: PdfedClient, vote: ScoreVote) -> bytes:
    key = relay_key(federation.signers[RELAY]).public_key()
    return seal_for(key, vote, client.chain_id, client.task.book)


def test_a_vote_that_its_node_leaves_sealed_is_opened_after_a_third_of_the_window(
    federation: Federation, client: PdfedClient, relay: Relay, vote: ScoreVote
):
    number = vote.submission_id
    relay.keep(sealed(federation, client, vote))
    assert [one.vote for one in relay.kept()] == [vote]
    windows = client.windows(number)
    federation.to(windows.reveal_start)
    assert relay.look() == [], "the node comes first"
    federation.to(windows.reveal_start + (windows.reveal_end - windows.reveal_start) // 3 + 1)
    assert relay.look() == [vote]
    assert client.vote(number, vote.voter).improvement == 5
    assert relay.kept() == relay.look() == []


def test_a_vote_that_its_node_opened_is_forgotten(
    federation: Federation, client: PdfedClient, relay: Relay, vote: ScoreVote
):
    relay.keep(sealed(federation, client, vote))
    federation.to_reveal(vote.submission_id)
    federation.client(NODE).reveal_due()
    assert relay.look() == relay.kept() == []


def test_what_opens_no_sealed_vote_is_refused(
    federation: Federation, client: PdfedClient, relay: Relay, vote: ScoreVote, tmp_path: Path
):
    for wrong in (replace(vote, improvement=6), replace(vote, voter=federation.signers[3].address)):
        with pytest.raises(JournalError, match="opens no sealed vote"):
            relay.keep(sealed(federation, client, wrong))
    good = sealed(federation, client, vote)
    for position in (0, 8, 40, len(good) - 1):
        damaged = bytearray(good)
        damaged[position] ^= 1
        with pytest.raises(JournalError):
            relay.keep(bytes(damaged))
    with pytest.raises(JournalError, match="sealed to another key"):
        unseal_as(relay_key(federation.signers[NODE]), good, client.chain_id, client.task.book)
    with pytest.raises(JournalError, match="for the votes of"):
        unseal_as(relay_key(federation.signers[RELAY]), good, client.chain_id + 1, client.task.book)
    assert not list(tmp_path.glob("openings/*"))


def test_the_door_takes_small_openings_only_and_a_node_without_its_relay_goes_on(
    federation: Federation, client: PdfedClient, relay: Relay, vote: ScoreVote
):
    from pdfed_sdk.node.task_view import TaskView

    view = TaskView(client)
    view.refresh()
    key = relay_key(federation.signers[RELAY]).public_key().public_bytes_raw().hex()
    with listening(relay, "127.0.0.1", 0) as url:
        assert requests.post(url + "/openings", data=b"x" * (MOST_BYTES + 1), timeout=5).status_code == 400
        assert requests.post(url + "/other", data=b"x", timeout=5).status_code == 400
        assert requests.post(url + "/openings", data=b"x", timeout=5).status_code == 422
        assert requests.get(url + "/openings", timeout=5).status_code == 501
        Entrusting(federation.client(NODE), url, key).look([view.entries[vote.submission_id]])
    assert [one.vote for one in relay.kept()] == [vote]
    Entrusting(federation.client(NODE), url, key).look([view.entries[vote.submission_id]])  # nobody listens


def test_a_wrong_address_or_key_is_refused_when_the_node_starts(client: PdfedClient):
    with pytest.raises(ConfigError, match=r'\[relay\] url is "somewhere"'):
        Entrusting(client, "somewhere", "00" * 32)
    with pytest.raises(UsageError, match="the relay's key is 'abc'"):
        public_key("abc")
