"""A node as a voter: score what is open on its own pictures, seal the vote, open it in its window."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import partial

from pdfed_sdk.chain.actions import Receipt
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.commitments import EvidenceTree
from pdfed_sdk.errors import ContentMissing, DigestMismatch, MlError, PackageInvalid, PdfedError, ProvenanceInvalid
from pdfed_sdk.node.dedup import DedupList
from pdfed_sdk.node.guard import Guard
from pdfed_sdk.node.model_cache import ModelCache
from pdfed_sdk.node.parts import Evaluation, Evaluator
from pdfed_sdk.node.records import Records
from pdfed_sdk.node.task_view import Entry, TaskView
from pdfed_sdk.types import LOWEST, Address, Status

log = logging.getLogger("pdfed.node")

UNUSABLE = (DigestMismatch, PackageInvalid, ProvenanceInvalid, MlError)
"""What a package can be guilty of: the vote is LOWEST (protocol, rule 3)."""


@dataclass(frozen=True, slots=True)
class SealedVote:
    """A vote on chain (after a dry run: not sent), what was measured, and the root that commits to it."""

    evaluation: Evaluation
    evidence_root: bytes
    receipt: Receipt


class Voter:
    """The votes of one node, from the first look at a submission to the opened vote."""

    def __init__(
        self,
        me: Address,
        client: PdfedClient,
        view: TaskView,
        models: ModelCache,
        records: Records,
        evaluator: Evaluator,
        guard: Guard,
        dedup: DedupList,
    ) -> None:
        self._me, self._client, self._view, self._models = me, client, view, models
        self._records, self._evaluator, self._guard, self._dedup = records, evaluator, guard, dedup
        self._beat_at = 0.0

    def sealed(self, now: int) -> list[Entry]:
        """Submissions on which this node's vote is sealed and can still be opened, first deadline first."""
        waiting = [
            e
            for e in self._view.entries.values()
            if self._me in e.commits and self._me not in e.votes and now < e.windows.reveal_end
        ]
        return sorted(waiting, key=lambda e: e.windows.reveal_end)

    def reveal(self, now: int) -> None:
        """Open every sealed vote whose window is there."""
        if any(e.windows.reveal_start <= now for e in self.sealed(now)):
            for receipt in self._client.reveal_due():
                log.info("revealed in block %d, gas %d", receipt.block, receipt.gas_used)

    def heartbeat(self) -> None:
        """Open what is due in the middle of a long evaluation; looks at the chain at most once in a second."""
        if time.monotonic() - self._beat_at >= 1.0:
            self._guard.patiently(self._look_and_reveal)
            self._beat_at = time.monotonic()

    def _look_and_reveal(self) -> None:
        self._view.refresh()
        self._guard.run("reveal", partial(self.reveal, self._client.now()))

    def score(self, now: int) -> None:
        """Vote on all that is open, first deadline first. Scoring takes seconds: reveals come in between."""
        waiting = [
            e
            for e in self._view.entries.values()
            if e.status is Status.OPEN
            and e.author != self._me
            and self._me not in e.commits
            and now < e.windows.commit_end - 1
        ]
        for entry in sorted(waiting, key=lambda e: e.windows.commit_end):
            now = self._client.now()
            if now < entry.windows.commit_end - 1:
                self._guard.run("reveal", partial(self.reveal, now))
                self._guard.run(f"vote on {entry.id}", partial(self._vote, entry))

    def _vote(self, entry: Entry) -> None:
        sealed = self.vote(entry)
        if sealed is not None:
            log.info("sealed a vote on %d, gas %d", entry.id, sealed.receipt.gas_used)

    def vote(self, entry: Entry) -> SealedVote | None:
        """Measure, unless that is noted already, and seal. None: not now, its bytes may still come."""
        evaluation = self._records.evaluation(entry.id)
        if evaluation is None:
            seed = self._client.seed(entry.id)
            evaluation = self._evaluate(entry, seed)
            if evaluation is None:
                return None
            self._records.keep_evaluation(entry.id, evaluation, seed)
            self._dedup.keep(f"#{entry.id}", evaluation.copied)
        secrets = self._client.secrets(entry.id)
        evidence = EvidenceTree.build(evaluation.report, evaluation.pairs, key=secrets.evidence_key)
        receipt = self._client.commit_score(entry.id, evaluation.improvement, evidence)
        return SealedVote(evaluation, evidence.root, receipt)

    def _evaluate(self, entry: Entry, seed: bytes) -> Evaluation | None:
        """Compare with the reference. None: not now, the bytes may still come. An error: no vote, the fault is not the
        candidate's (its reference is lost, the store is down, the disk is full)."""
        reference = self._models.get(entry.reference)
        late = self._client.now() >= entry.reserved_at + 3 * self._view.params.commit_window // 4
        try:
            candidate = self._models.get(entry.id)
            started = time.monotonic()
            evaluation = self._evaluator.compare(reference.folder, candidate.folder, seed, self.heartbeat)
        except ContentMissing as error:
            if not late:
                self._guard.warn_once(
                    f"submission {entry.id} is not in the store yet; it may come until ¾ of the commit window"
                )
                return None
            return self._unusable(entry, error)
        except UNUSABLE as error:
            return self._unusable(entry, error)
        log.info("scored %d against %d in %.1f s", entry.id, entry.reference, time.monotonic() - started)
        return evaluation

    def _unusable(self, entry: Entry, error: PdfedError) -> Evaluation:
        log.warning("submission %d is unusable, the vote is %d: %s", entry.id, LOWEST, error.message)
        report = f'{{"unusable": "{type(error).__name__}"}}'.encode()
        return Evaluation(LOWEST, {}, {"unusable": type(error).__name__}, report, ())
