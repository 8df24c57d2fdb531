"""Sealed voting, as flows: derive, journal, commit, recover, reveal. The order of steps is what makes it safe.

A vote is journalled before its commit is sent and never changed afterwards, so a crash anywhere leaves an opening for
whatever is on chain; if the state folder is lost as well, the opening comes back from the commit's own calldata.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pdfed_sdk.chain.actions import Actions, Receipt, sealed_call
from pdfed_sdk.chain.codec import blob
from pdfed_sdk.chain.commitments import (
    EvidenceTree,
    VoteSecrets,
    check_vote,
    salt_request,
    sampling_seed,
    vote_digest,
)
from pdfed_sdk.chain.journal import (
    SEAL_BYTES,
    Entry,
    VoteJournal,
    VoteState,
    journal_request,
    opens,
    seal,
    stored_secret,
    unseal,
    vote_state,
)
from pdfed_sdk.chain.logs import Committed, Revealed
from pdfed_sdk.chain.protocol import Vote
from pdfed_sdk.chain.reads import word
from pdfed_sdk.chain.rpc import Flow
from pdfed_sdk.errors import JournalError, PdfedError, UsageError
from pdfed_sdk.types import HIGHEST, LOWEST, Address, ScoreVote, SubmissionId


@dataclass(frozen=True, slots=True)
class DueVote:
    """A sealed vote that waits for its reveal window, or stands in it."""

    id: int
    reveal_start: int
    reveal_end: int
    state: VoteState


@dataclass(frozen=True, slots=True)
class Voting(Actions):
    """A node's votes. ``state`` is the folder of its journal."""

    state: Path = Path()
    kept_journal: list[VoteJournal] = field(default_factory=list)

    @property
    def journal(self) -> VoteJournal:
        """The node's journal; opened at first use."""
        if not self.kept_journal:
            signer = self._sender().signer
            if signer.deterministic:
                secret = signer.sign_typed(journal_request(signer.address))
            else:
                secret = stored_secret(self.state / f"{signer.address.lower()}.key")
            self.kept_journal.append(VoteJournal(self.state / "votes", secret))
        return self.kept_journal[0]

    def secrets(self, submission_id: int) -> Flow[VoteSecrets]:
        """Salt, evidence key and seal key of this node's vote on an id; the same each time."""
        yield from ()
        signer, key = self._sender().signer, self._key(submission_id)
        if not signer.deterministic:
            return VoteSecrets.derive(self.journal.material(*key))
        chain_id, book, voter, number = key
        return VoteSecrets.derive(signer.sign_typed(salt_request(voter, number, chain_id, book)))

    def seed(self, submission_id: int) -> Flow[bytes]:
        """The seed this node samples submission and reference with (rule 4); 32 bytes."""
        secrets = yield from self.secrets(submission_id)
        return sampling_seed(submission_id, self._node(None), secrets.salt)

    # --- commit ---

    def commit_score(self, submission_id: int, improvement: int, evidence: EvidenceTree | bytes) -> Flow[Receipt]:
        """Seal a vote on an id: improvement in buckets and an evidence tree (or its root).

        The vote is journalled before it is sent. If one is journalled already, that one is sent, whatever the
        arguments say; if it is on chain, its receipt is returned.
        """
        key = self._key(submission_id)
        secrets = yield from self.secrets(submission_id)
        kept = self.journal.read(*key)
        if kept is None:
            root = evidence.root if isinstance(evidence, EvidenceTree) else evidence
            state = yield from self.submission(submission_id)
            fresh = ScoreVote(
                key[2], SubmissionId(int(submission_id)), state.weights_digest, improvement, root, secrets.salt
            )
            check_vote(fresh)
        vote = fresh if kept is None else kept.vote
        digest = vote_digest(vote, key[0], key[1])
        on_chain = yield from self.vote(submission_id)
        if on_chain.exists:
            return (yield from self._committed(submission_id, on_chain, digest))
        if kept is None and not self.at.chain.options.dry_run:
            self.journal.write(Entry(key[0], key[1], vote))
        call = self.at.calls.commit(key[2], int(submission_id), digest)
        return (yield from self.act(sealed_call(call, seal(vote, secrets.seal_key, digest))))

    def _committed(self, submission_id: int, on_chain: Vote, digest: bytes) -> Flow[Receipt]:
        if not opens(on_chain, digest):
            opening = yield from self.opening(submission_id)
            if opening is None:
                raise _lost(submission_id)
        return (yield from self._past((yield from self._commit_event(submission_id))))

    # --- recover ---

    def opening(self, submission_id: int, evidence_root: bytes | None = None) -> Flow[ScoreVote | None]:
        """The opening of this node's sealed vote: from the journal, else from the commit's calldata, else by trying all
        improvements with a root that was computed again. None if the chain's commitment cannot be opened.
        """
        key = self._key(submission_id)
        on_chain = yield from self.vote(submission_id)
        if not on_chain.exists:
            return None
        kept = self._journalled(submission_id)
        if kept is not None and opens(on_chain, vote_digest(kept, key[0], key[1])):
            return kept
        secrets = yield from self.secrets(submission_id)
        guesses = yield from self._unsealed(submission_id, secrets)
        if evidence_root is not None:
            guesses += [(improvement, evidence_root) for improvement in range(LOWEST, HIGHEST + 1)]
        state = yield from self.submission(submission_id)
        for improvement, root in guesses:
            vote = ScoreVote(
                key[2], SubmissionId(int(submission_id)), state.weights_digest, improvement, root, secrets.salt
            )
            if opens(on_chain, vote_digest(vote, key[0], key[1])):
                self.journal.write(Entry(key[0], key[1], vote))
                return vote
        return None

    def _journalled(self, submission_id: int) -> ScoreVote | None:
        try:
            kept = self.journal.read(*self._key(submission_id))
        except JournalError:
            return None
        return None if kept is None else kept.vote

    def _unsealed(self, submission_id: int, secrets: VoteSecrets) -> Flow[list[tuple[int, bytes]]]:
        event = yield from self._commit_event(submission_id)
        sent = yield from self.at.chain.ask("eth_getTransactionByHash", event.where.tx_hash)
        data = blob((sent or {}).get("input"), "commit transaction")
        found = unseal(data[-SEAL_BYTES:], secrets.seal_key, event.commitment)
        return [] if found is None else [found]

    def _commit_event(self, submission_id: int) -> Flow[Committed]:
        found = yield from self.at.log.select(
            Committed, self.at.start, word(int(submission_id)), word(self._node(None))
        )
        for event in found:
            if isinstance(event, Committed):
                return event
        raise JournalError(f"the endpoint does not show the commit of vote {submission_id}", hint="try another")

    # --- reveal ---

    def reveal(self, submission_id: int) -> Flow[Receipt]:
        """Open this node's vote; returned, not repeated, if it is open. JournalError if the opening is lost."""
        on_chain = yield from self.vote(submission_id)
        if on_chain.revealed:
            wanted = (word(int(submission_id)), word(self._node(None)))
            found = yield from self.at.log.select(Revealed, self.at.start, *wanted)
            return (yield from self._past(found[0]))
        if not on_chain.exists:
            raise UsageError(f"no vote on submission {submission_id} is sealed", hint="commit one in its window")
        vote = yield from self.opening(submission_id)
        if vote is None:
            raise _lost(submission_id)
        return (yield from self.act(self.at.calls.reveal(vote)))

    def due(self) -> Flow[list[DueVote]]:
        """This node's sealed votes that are not revealed and whose window is not over."""
        node = self._node(None)
        ids = range((yield from self.next_to_finalize()), (yield from self.count()))
        votes = yield from self.at.chain.read_many([self.at.calls.vote_of(i, node) for i in ids])
        waiting = [i for i, vote in zip(ids, votes, strict=True) if vote.exists and not vote.revealed]
        windows = yield from self.at.chain.read_many([self.at.calls.windows(i) for i in waiting])
        now = yield from self.now()
        found: list[DueVote] = []
        for i, window in zip(waiting, windows, strict=True):
            if now < window.reveal_end:
                state = yield from self.vote_state(i)
                found.append(DueVote(i, window.reveal_start, window.reveal_end, state))
        return found

    def reveal_due(self) -> Flow[list[Receipt]]:
        """Reveal all that can be revealed now. An error is raised only if nothing could be."""
        now = yield from self.now()
        receipts: list[Receipt] = []
        errors: list[PdfedError] = []
        for vote in (yield from self.due()):
            if not vote.reveal_start <= now < vote.reveal_end or vote.state is VoteState.MISMATCH:
                continue
            try:
                receipts.append((yield from self.reveal(vote.id)))
            except PdfedError as error:
                errors.append(error)
        if errors and not receipts:
            raise errors[0]
        return receipts

    def vote_state(self, submission_id: int) -> Flow[VoteState]:
        """none, ready, revealed or mismatch."""
        on_chain = yield from self.vote(submission_id)
        if not on_chain.exists or on_chain.revealed:
            return vote_state(on_chain, None)
        vote = yield from self.opening(submission_id)
        chain_id, book, _, _ = self._key(submission_id)
        return vote_state(on_chain, None if vote is None else vote_digest(vote, chain_id, book))

    def _key(self, submission_id: int) -> tuple[int, Address, Address, int]:
        return self.at.chain_id, self.at.task.book, self._node(None), int(submission_id)


def _lost(submission_id: int) -> JournalError:
    return JournalError(
        f"the vote sealed on submission {submission_id} cannot be opened: it was sealed with another key or state",
        hint="use the key that committed it, or score again and call opening(id, evidence_root)",
    )
