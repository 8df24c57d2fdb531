"""Sealed voting, as flows: derive, journal, commit, recover, reveal. The order of steps is what makes it safe.

A vote is journalled before its commit is sent and never changed afterwards, so a crash anywhere leaves an opening for
whatever is on chain; if the state folder is lost as well, the opening comes back from the commit's own calldata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pdfed_sdk.buckets import HIGHEST, LOWEST
from pdfed_sdk.chain.actions import Actions, Receipt, sealed_call
from pdfed_sdk.chain.calls import Call, Vote
from pdfed_sdk.chain.codec import blob
from pdfed_sdk.chain.commitments import (
    EvidenceTree,
    VoteSecrets,
    check_vote,
    commit_typed_data,
    salt_request,
    sampling_seed,
    vote_digest,
)
from pdfed_sdk.chain.event_types import Committed, Revealed
from pdfed_sdk.chain.journal import (
    SEAL_BYTES,
    Entry,
    VoteJournal,
    VoteKey,
    VoteState,
    journal_request,
    opens,
    seal,
    stored_secret,
    unseal,
    vote_state,
)
from pdfed_sdk.chain.reads import address, word
from pdfed_sdk.chain.rpc import Flow
from pdfed_sdk.errors import JournalError, UsageError
from pdfed_sdk.types import Address, ScoreVote, SealedVote, SubmissionId


@dataclass(frozen=True, slots=True)
class DueVote:
    """A sealed vote that waits for its reveal window, or stands in it."""

    id: int
    reveal_start: int
    reveal_end: int
    state: VoteState


@dataclass(frozen=True, slots=True)
class SignedCommit:
    """A sealed vote anyone may send for its voter, until ``deadline``. It tells nothing of what the vote says.

    ``seal`` is for the voter alone: with it the vote can be recovered from the chain.
    """

    voter: Address
    vote: SealedVote
    deadline: int
    signature: bytes
    seal: bytes


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A vote on its way to the chain, and what stands there for it."""

    vote: ScoreVote
    record_hash: bytes
    digest: bytes
    seal: bytes
    on_chain: Vote

    @property
    def on_its_way(self) -> SealedVote:
        return SealedVote(self.vote.submission_id, self.record_hash, self.digest)


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

    def secrets(self, submission_id: int, record_hash: bytes | None = None) -> Flow[VoteSecrets]:
        """Salt, evidence key and seal key of this node's vote on what stands at an id; the same each time.

        ``record_hash`` names the content if it was looked at before: another may stand there after a reorganisation.
        """
        key = yield from self._key(submission_id, record_hash)
        signer = self._sender().signer
        if not signer.deterministic:
            return VoteSecrets.derive(self.journal.material(key))
        chain_id, book, voter, number, content = key
        return VoteSecrets.derive(signer.sign_typed(salt_request(voter, number, content, chain_id, book)))

    def seed(self, submission_id: int, record_hash: bytes | None = None) -> Flow[bytes]:
        """The seed this node samples submission and reference with (rule 4); 32 bytes."""
        secrets = yield from self.secrets(submission_id, record_hash)
        return sampling_seed(submission_id, self._node(None), secrets.salt)

    # --- commit ---

    def commit_score(
        self,
        submission_id: int,
        improvement: int,
        evidence: EvidenceTree | bytes,
        *,
        record_hash: bytes | None = None,
    ) -> Flow[Receipt]:
        """Seal a vote on an id: index of the improvement's bucket, and an evidence tree (or its root).

        The vote is journalled before it is sent. If one is journalled already, that one is sent, whatever the
        arguments say; if it is on chain, its receipt is returned. Waits until the submission is as deep as the client's
        confirmations say. ``record_hash``: of what was scored (default: what stands there now); ProtocolRevert
        BookRecordMismatch if another model has taken its place.
        """
        sealed = yield from self._prepare(submission_id, improvement, evidence, record_hash)
        if sealed.on_chain.exists:
            return (yield from self._committed(submission_id, sealed))
        yield from self.confirmed((yield from self._submit_event(submission_id)).where.block)
        return (yield from self.act(self._commit_call(sealed)))

    def commit_scores(self, scores: Mapping[int, tuple[int, EvidenceTree | bytes]]) -> Flow[list[Receipt]]:
        """Seal votes on several ids at once: id → (improvement, evidence). Votes on chain already are left out.

        Up to 50 travel in one transaction. One that is refused (its window is over, say) does not stop the others: see
        the ``Committed`` events of the receipts. An error is raised only if none could be sealed.
        """
        fresh: list[_Sealed] = []
        for submission_id, (improvement, evidence) in scores.items():
            sealed = yield from self._prepare(submission_id, improvement, evidence)
            if not sealed.on_chain.exists:
                yield from self.confirmed((yield from self._submit_event(submission_id)).where.block)
                fresh.append(sealed)
        return (yield from self._together(fresh, self._commit_call, self._commit_many_call))

    def sign_commit(
        self, submission_id: int, improvement: int, evidence: EvidenceTree | bytes, *, deadline: int | None = None
    ) -> Flow[SignedCommit]:
        """Seal a vote for someone else to send: this node then needs no native coin.

        Journalled like any vote. ``deadline`` is the last second it may be sent (default: end of the commit window).
        """
        end = (yield from self.windows(submission_id)).commit_end
        if deadline is not None and deadline > end:
            raise UsageError(f"the deadline {deadline} is after commits on {submission_id} end, at {end}")
        sealed = yield from self._prepare(submission_id, improvement, evidence)
        until, voter = end if deadline is None else deadline, self._node(None)
        message = commit_typed_data(voter, sealed.on_its_way, until, self.at.chain_id, self.at.task.book)
        signature = self._sender().signer.sign_typed(message)
        return SignedCommit(voter, sealed.on_its_way, until, signature, sealed.seal)

    def relay_commit(self, signed: SignedCommit) -> Flow[Receipt]:
        """Send another node's signed commit; returned, not repeated, if it is on chain."""
        number = signed.vote.submission_id
        on_chain = yield from self.vote(number, signed.voter)
        if opens(on_chain, signed.vote.commitment):
            return (yield from self._past((yield from self._commit_event(number, signed.voter))))
        call = self.at.calls.commit_by_sig(
            address(signed.voter, "voter"), signed.vote, signed.deadline, signed.signature
        )
        return (yield from self.act(sealed_call(call, signed.seal)))

    def _prepare(
        self, submission_id: int, improvement: int, evidence: EvidenceTree | bytes, record_hash: bytes | None = None
    ) -> Flow[_Sealed]:
        """The vote to send: the journalled one, else a fresh one, in the journal when this returns."""
        key = yield from self._key(submission_id, record_hash)
        secrets = yield from self.secrets(submission_id, key.record_hash)
        kept = self.journal.read(key)
        if kept is None:
            root = evidence.root if isinstance(evidence, EvidenceTree) else evidence
            state = yield from self.submission(submission_id)
            fresh = ScoreVote(
                key.voter, SubmissionId(int(submission_id)), state.weights_digest, improvement, root, secrets.salt
            )
            check_vote(fresh)
        vote = fresh if kept is None else kept.vote
        digest = vote_digest(vote, key.chain_id, key.book)
        on_chain = yield from self.vote(submission_id)
        if kept is None and not on_chain.exists and not self.at.chain.options.dry_run:
            self.journal.write(Entry(key.chain_id, key.book, key.record_hash, vote))
        return _Sealed(vote, key.record_hash, digest, seal(vote, secrets.seal_key, digest), on_chain)

    def _commit_call(self, sealed: _Sealed) -> Call[None]:
        return sealed_call(self.at.calls.commit(sealed.vote.voter, sealed.on_its_way), sealed.seal)

    def _commit_many_call(self, sealed: Sequence[_Sealed]) -> Call[None]:
        call = self.at.calls.commit_many(sealed[0].vote.voter, [one.on_its_way for one in sealed])
        return sealed_call(call, b"".join(one.seal for one in sealed))

    def _committed(self, submission_id: int, sealed: _Sealed) -> Flow[Receipt]:
        if not opens(sealed.on_chain, sealed.digest):
            opening = yield from self.opening(submission_id)
            if opening is None:
                raise _lost(submission_id)
        return (yield from self._past((yield from self._commit_event(submission_id, self._node(None)))))

    # --- recover ---

    def opening(self, submission_id: int, evidence_root: bytes | None = None) -> Flow[ScoreVote | None]:
        """The opening of this node's sealed vote: from the journal, else from the commit's calldata, else by trying all
        improvements with a root that was computed again. None if the chain's commitment cannot be opened.
        """
        key = yield from self._key(submission_id)
        on_chain = yield from self.vote(submission_id)
        if not on_chain.exists:
            return None
        kept = self._journalled(key)
        if kept is not None and opens(on_chain, vote_digest(kept, key.chain_id, key.book)):
            return kept
        secrets = yield from self.secrets(submission_id)
        guesses = yield from self._unsealed(submission_id, secrets)
        if evidence_root is not None:
            guesses += [(improvement, evidence_root) for improvement in range(LOWEST, HIGHEST + 1)]
        state = yield from self.submission(submission_id)
        for improvement, root in guesses:
            vote = ScoreVote(
                key.voter, SubmissionId(int(submission_id)), state.weights_digest, improvement, root, secrets.salt
            )
            if opens(on_chain, vote_digest(vote, key.chain_id, key.book)):
                self.journal.write(Entry(key.chain_id, key.book, key.record_hash, vote))
                return vote
        return None

    def _journalled(self, key: VoteKey) -> ScoreVote | None:
        try:
            kept = self.journal.read(key)
        except JournalError:
            return None
        return None if kept is None else kept.vote

    def _unsealed(self, submission_id: int, secrets: VoteSecrets) -> Flow[list[tuple[int, bytes]]]:
        event = yield from self._commit_event(submission_id, self._node(None))
        sent = yield from self.at.chain.ask("eth_getTransactionByHash", event.where.tx_hash)
        data = blob((sent or {}).get("input"), "commit transaction")
        for start in range(len(data) - SEAL_BYTES, -1, -SEAL_BYTES):  # a batch carries the seals of all its votes
            found = unseal(data[start : start + SEAL_BYTES], secrets.seal_key, event.commitment)
            if found is not None:
                return [found]
        return []

    def _commit_event(self, submission_id: int, voter: Address) -> Flow[Committed]:
        found = yield from self.at.log.select(Committed, self.at.start, word(int(submission_id)), word(voter))
        for event in found:
            if isinstance(event, Committed):
                return event
        raise JournalError(f"the endpoint does not show the commit of vote {submission_id}", hint="try another")

    # --- reveal ---

    def reveal(self, submission_id: int) -> Flow[Receipt]:
        """Open this node's vote; returned, not repeated, if it is open. JournalError if the opening is lost.

        Waits until the commit is as deep as the client's confirmations say: an opening shown before its commit is safe
        could be copied into the block that takes its place.
        """
        on_chain = yield from self.vote(submission_id)
        if on_chain.revealed or not on_chain.exists:  # settling forgets the vote, the event stays
            wanted = (word(int(submission_id)), word(self._node(None)))
            for event in (yield from self.at.log.select(Revealed, self.at.start, *wanted)):
                return (yield from self._past(event))
        if not on_chain.exists:
            raise UsageError(f"no vote on submission {submission_id} is sealed", hint="commit one in its window")
        vote = yield from self.opening(submission_id)
        if vote is None:
            raise _lost(submission_id)
        yield from self.confirmed((yield from self._commit_event(submission_id, vote.voter)).where.block)
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
        """Reveal all that can be revealed now, up to 50 votes a transaction.

        A commit that is not deep enough yet waits for the next call. One that is refused does not stop the others; an
        error is raised only if none could be revealed.
        """
        now = yield from self.now()
        openings: list[ScoreVote] = []
        for vote in (yield from self.due()):
            if vote.reveal_start <= now < vote.reveal_end and vote.state is VoteState.READY:
                opening = yield from self.opening(vote.id)
                if opening is not None and (yield from self._is_deep(vote.id)):
                    openings.append(opening)
        return (yield from self._together(openings, self.at.calls.reveal, self.at.calls.reveal_many))

    def vote_state(self, submission_id: int) -> Flow[VoteState]:
        """none, ready, revealed or mismatch."""
        on_chain = yield from self.vote(submission_id)
        if not on_chain.exists or on_chain.revealed:
            return vote_state(on_chain, None)
        vote = yield from self.opening(submission_id)
        digest = None if vote is None else vote_digest(vote, self.at.chain_id, self.at.task.book)
        return vote_state(on_chain, digest)

    def _is_deep(self, submission_id: int) -> Flow[bool]:
        event = yield from self._commit_event(submission_id, self._node(None))
        return (yield from self.depth(event.where.block)) >= self.at.chain.options.confirmations

    def _key(self, submission_id: int, record_hash: bytes | None = None) -> Flow[VoteKey]:
        if record_hash is None:
            record_hash = (yield from self.submission(submission_id)).record_hash
        return VoteKey(self.at.chain_id, self.at.task.book, self._node(None), int(submission_id), record_hash)


def _lost(submission_id: int) -> JournalError:
    return JournalError(
        f"the vote sealed on submission {submission_id} cannot be opened: it was sealed with another key or state",
        hint="use the key that committed it, or score again and call opening(id, evidence_root)",
    )
