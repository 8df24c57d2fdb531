"""Votes survive: kill -9 between any two steps, a wiped state folder, damaged files, signers that cannot derive."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdfed_sdk.chain import transactions, voting
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.commitments import vote_digest
from pdfed_sdk.chain.event_types import Committed, Revealed
from pdfed_sdk.chain.journal import SEAL_BYTES, Entry, VoteJournal, VoteKey, VoteState, seal, unseal
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.errors import JournalError, ProtocolRevert, UsageError
from pdfed_sdk.types import Address, ScoreVote, SealedVote, SubmissionId
from tests.support.federation import FAST, Federation

BOOK = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
VOTE = ScoreVote(BOOK, SubmissionId(4), b"\x01" * 32, -3, b"\x02" * 32, b"\x03" * 32)


def die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_process_that_dies(work: Callable[[], Any]) -> None:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child was to be killed"
    assert os.WTERMSIG(status) == signal.SIGKILL


KILLS = {
    "before the journal is written": (voting.VoteJournal, "write", die),
    "before the commit is sent": (transactions.Sender, "_post", die),
    "after the commit is sent": (transactions.Sender, "_confirm", die),
    "after the commit is mined": (transactions.Sender, "_mined", die),
}


@pytest.mark.parametrize("wiped", [False, True], ids=["state kept", "state wiped"])
@pytest.mark.parametrize("moment", KILLS)
def test_killed_while_committing_the_vote_can_be_revealed(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, moment: str, wiped: bool
) -> None:
    submission_id = federation.open_submission(federation.client(1), 20)
    state = federation.folder / "node2"
    owner, name, kill = KILLS[moment]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, kill)
        in_a_process_that_dies(lambda: federation.client(2).commit_score(submission_id, 3, b"\x07" * 32))
    if wiped:
        shutil.rmtree(state, ignore_errors=True)

    voter = federation.client(2)
    was_sent = voter.vote(submission_id).exists
    assert was_sent == moment.startswith("after")
    voter.commit_score(submission_id, 5, b"\x08" * 32)  # scored again, differently
    federation.to_reveal(submission_id)
    (opened,) = voter.reveal_due()
    kept = was_sent or (moment == "before the commit is sent" and not wiped)
    assert opened.one(Revealed).improvement == (3 if kept else 5)


@pytest.mark.parametrize("wiped", [False, True], ids=["state kept", "state wiped"])
@pytest.mark.parametrize("step", ["_post", "_confirm"], ids=["before", "after"])
def test_killed_while_revealing_the_vote_is_revealed(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, step: str, wiped: bool
) -> None:
    submission_id = federation.open_submission(federation.client(1), 21)
    federation.client(2).commit_score(submission_id, -2, b"\x07" * 32)
    federation.to_reveal(submission_id)
    with monkeypatch.context() as patch:
        patch.setattr(transactions.Sender, step, die)
        in_a_process_that_dies(lambda: federation.client(2).reveal_due())
    if wiped:
        shutil.rmtree(federation.folder / "node2")
    voter = federation.client(2)
    assert len(voter.reveal_due()) == (1 if step == "_post" else 0)
    assert voter.reveal(submission_id).one(Revealed).improvement == -2


def test_a_commit_still_waiting_when_state_is_lost_wins(federation: Federation) -> None:
    submission_id = federation.open_submission(federation.client(1), 22)
    federation.anvil.ask("evm_setAutomine", False)
    try:
        impatient = federation.client(2, timeout=0.3)
        with pytest.raises(Exception, match="not mined within"):
            impatient.commit_score(submission_id, 3, b"\x07" * 32)
        shutil.rmtree(federation.folder / "node2")
        voter = federation.client(2, timeout=5)
        with pytest.raises(ProtocolRevert, match="has sealed a vote"):
            voter.commit_score(submission_id, 5, b"\x08" * 32)
        federation.anvil.mine()
    finally:
        federation.anvil.ask("evm_setAutomine", True)
    assert voter.vote_state(submission_id) is VoteState.READY
    federation.to_reveal(submission_id)
    assert voter.reveal_due()[0].one(Revealed).improvement == 3


def test_a_vote_sealed_elsewhere_is_a_mismatch_and_a_new_score_opens_it(federation: Federation) -> None:
    """A commit sent without our seal (another tool): only the same content scored again can open it."""
    submission_id = federation.open_submission(federation.client(1), 23)
    voter = federation.client(2)
    secrets, weights = voter.secrets(submission_id), voter.submission(submission_id).weights_digest
    vote = ScoreVote(voter.address, SubmissionId(submission_id), weights, 6, b"\x09" * 32, secrets.salt)
    digest = vote_digest(vote, voter.chain_id, voter.task.book)
    sealed = SealedVote(vote.submission_id, voter.submission(submission_id).record_hash, digest)
    voter.act(voter.calls.commit(voter.address, sealed)).one(Committed)
    assert voter.vote_state(submission_id) is VoteState.MISMATCH
    federation.to_reveal(submission_id)
    assert voter.reveal_due() == []
    with pytest.raises(JournalError, match="cannot be opened"):
        voter.reveal(submission_id)
    with pytest.raises(JournalError, match="cannot be opened"):
        voter.commit_score(submission_id, 6, b"\x0a" * 32)
    assert voter.opening(submission_id, b"\x09" * 32) == vote
    assert voter.reveal(submission_id).one(Revealed).improvement == 6


def test_revealing_what_was_never_sealed_is_a_usage_error(federation: Federation) -> None:
    submission_id = federation.open_submission(federation.client(1), 24)
    with pytest.raises(UsageError, match="no vote on submission"):
        federation.client(2).reveal(submission_id)


def test_a_damaged_journal_file_is_recovered_from_the_chain(federation: Federation) -> None:
    submission_id = federation.open_submission(federation.client(1), 25)
    voter = federation.client(2)
    voter.commit_score(submission_id, 1, b"\x07" * 32)
    (path,) = (federation.folder / "node2").rglob("*.vote")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    federation.to_reveal(submission_id)
    assert federation.client(2).reveal_due()[0].one(Revealed).improvement == 1


class HardwareLike(LocalSigner):
    """A key whose signatures cannot be relied on to repeat."""

    deterministic = False

    def sign_typed(self, message: dict[str, Any]) -> bytes:
        raise AssertionError("secrets must not be derived from this signer")


def test_a_signer_that_cannot_derive_keeps_its_secrets(federation: Federation) -> None:
    submission_id = federation.open_submission(federation.client(1), 26)
    plain = federation.signers[2]
    signer = HardwareLike(plain._account, plain.lock_path)

    def client() -> PdfedClient:
        return PdfedClient.connect(
            federation.anvil.url,
            task=federation.entry.registry,
            signer=signer,
            state=federation.folder / "hardware",
            options=FAST,
        )

    seed = client().seed(submission_id)
    assert client().seed(submission_id) == seed != federation.client(2).seed(submission_id)
    client().commit_score(submission_id, 2, b"\x07" * 32)
    for path in (federation.folder / "hardware").rglob("*"):
        assert path.is_dir() or path.stat().st_mode & 0o077 == 0
    federation.to_reveal(submission_id)
    assert client().reveal_due()[0].one(Revealed).improvement == 2


RECORD = b"\x0b" * 32


def key(number: int, content: bytes = RECORD) -> VoteKey:
    return VoteKey(1, BOOK, BOOK, number, content)


# --- the journal alone -----------------------------------------------------------------------------------------------


def test_entries_are_encrypted_bound_to_their_name_and_owner_only(tmp_path: Path) -> None:
    journal = VoteJournal(tmp_path, b"secret" * 8)
    journal.write(Entry(1, BOOK, RECORD, VOTE))
    assert journal.read(key(4)) == Entry(1, BOOK, RECORD, VOTE)
    assert journal.read(key(5)) is None
    (path,) = tmp_path.iterdir()
    assert VOTE.salt not in path.read_bytes()
    assert VOTE.salt.hex().encode() not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    path.rename(tmp_path / path.name.replace("-4-", "-5-"))
    with pytest.raises(JournalError, match="does not open"):
        journal.read(key(5))
    with pytest.raises(JournalError, match="does not open"):
        VoteJournal(tmp_path, b"other " * 8).read(key(5))


@pytest.mark.parametrize("content", [b"", b"PDFedJ2\n", b"x" * 100, b"PDFedJ2\n" + b"x" * 100, b"x" * (1 << 17)])
def test_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    journal = VoteJournal(tmp_path, b"secret" * 8)
    journal.write(Entry(1, BOOK, RECORD, VOTE))
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    with pytest.raises(JournalError):
        journal.read(key(4))


def test_an_interrupted_write_leaves_the_old_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = VoteJournal(tmp_path, b"secret" * 8)
    journal.write(Entry(1, BOOK, RECORD, VOTE))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JournalError, match="No space"):
        journal.write(Entry(1, BOOK, RECORD, replace(VOTE, improvement=5)))
    assert journal.read(key(4)) == Entry(1, BOOK, RECORD, VOTE)
    assert len(list(tmp_path.iterdir())) == 1


def test_seals_have_one_size_and_open_for_their_commitment_only() -> None:
    key, digest = b"\x04" * 32, b"\x05" * 32
    sealed = seal(VOTE, key, digest)
    assert len(sealed) == len(seal(replace(VOTE, improvement=23), key, digest)) == SEAL_BYTES
    assert unseal(sealed, key, digest) == (-3, b"\x02" * 32)
    assert unseal(sealed, key, b"\x06" * 32) is None
    assert unseal(sealed, b"\x06" * 32, digest) is None
    assert unseal(sealed[:-1], key, digest) is None
    assert sealed != seal(VOTE, key, digest)
