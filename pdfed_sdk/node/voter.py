"""A node as a voter: score what is open on its own pictures, seal the vote, open it in its window."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pdfed_sdk.buckets import HIDDEN_PARENT, LOWEST, MISSING
from pdfed_sdk.chain.actions import Receipt, record_hash
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.commitments import EvidenceTree
from pdfed_sdk.errors import (
    ContentMissing,
    DigestMismatch,
    MlError,
    PackageInvalid,
    PdfedError,
    ProvenanceInvalid,
    StoreError,
)
from pdfed_sdk.node.dedup import DedupList
from pdfed_sdk.node.entrusting import Entrusting
from pdfed_sdk.node.guard import Guard
from pdfed_sdk.node.model_cache import CachedModel, ModelCache
from pdfed_sdk.node.parts import Evaluation, Evaluator
from pdfed_sdk.node.records import Records
from pdfed_sdk.node.task_view import Entry, TaskView
from pdfed_sdk.types import GENESIS, Address, Status, SubmissionId

log = logging.getLogger("pdfed.node")

MOST_COMPARED = 8
"""Suspects, and as many others, that a candidate is compared with: the newest."""
UNUSABLE = (DigestMismatch, PackageInvalid, ProvenanceInvalid, MlError)
"""What a package can be guilty of: the vote is LOWEST (protocol, rule 3), if a second look at it ends so too."""
LOST = (ContentMissing, DigestMismatch, PackageInvalid, ProvenanceInvalid)
"""Why a reference cannot be measured against: nothing that the candidate is guilty of."""
LEAST_FREE = 64 << 20
"""Bytes that must be free before a failure is taken for the candidate's: a full disk fails in many ways."""
LONGEST_PAUSE = 60.0
"""Seconds between two tries at a submission that this node cannot score, at most."""


@dataclass(frozen=True, slots=True)
class SealedVote:
    """A vote on chain (after a dry run: not sent), what was measured, and the root that commits to it."""

    evaluation: Evaluation
    evidence_root: bytes
    receipt: Receipt


class _Stopwatch:
    """Seconds since it was made, by the clock and of this process's work."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def wall(self) -> float:
        return time.monotonic() - self._wall

    def cpu(self) -> float:
        return time.process_time() - self._cpu


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
        entrusting: Entrusting | None = None,
    ) -> None:
        self._me, self._client, self._view, self._models = me, client, view, models
        self._records, self._evaluator, self._guard, self._dedup = records, evaluator, guard, dedup
        self._entrusting = entrusting
        self._beat_at = 0.0
        self._again: dict[int, tuple[int, float]] = {}
        """Failures so far, and the moment before which a submission is not tried again."""
        self.takes = 0.0
        """Seconds that the longest evaluation took so far."""

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
            and time.monotonic() >= self._again.get(e.id, (0, 0.0))[1]
        ]
        for entry in sorted(waiting, key=lambda e: e.windows.commit_end):
            now = self._client.now()
            left = entry.windows.commit_end - 1 - now
            if 0 < left < self.takes and self._records.evaluation(entry.id) is None:
                self._guard.warn_once(
                    f"submission {entry.id} is not scored: that takes at least {self.takes:.0f} s here, and its commit "
                    "window ends before"
                )
            elif left > 0:
                self._guard.run("reveal", partial(self.reveal, now))
                self._guard.run(f"vote on {entry.id}", partial(self._vote, entry))

    def rehearse(self) -> float:
        """Seconds that one scoring takes here now: the genesis against itself, from a seed that no vote has."""
        folder = self._models.get(GENESIS).folder
        clock = _Stopwatch()
        with self._guard.doing.during("rehearsing"):
            self._evaluator.compare(folder, folder, bytes(32), self.heartbeat)
        self._took(clock)
        return clock.wall()

    def _took(self, clock: _Stopwatch) -> None:
        """Remember the least that a scoring takes here: a machine that was busy then may be free now."""
        least = min(clock.wall(), clock.cpu())
        self.takes = min(self.takes, least) if self.takes else least

    def _vote(self, entry: Entry) -> None:
        failures = self._again.get(entry.id, (0, 0.0))[0]
        pause = min(LONGEST_PAUSE, 2.0 ** (failures - 1)) if failures else 0.0
        self._again[entry.id] = failures + 1, time.monotonic() + pause  # unless it works
        sealed = self.vote(entry)
        del self._again[entry.id]
        if sealed is not None:
            log.info("sealed a vote on %d, gas %d", entry.id, sealed.receipt.gas_used)
            self.entrust([entry])

    def entrust(self, sealed: Sequence[Entry]) -> None:
        """Hand the openings of these votes to the relay, if this node has one."""
        if self._entrusting is not None:
            self._guard.run("relay", partial(self._entrusting.look, sealed))

    def vote(self, entry: Entry) -> SealedVote | None:
        """Measure, unless that is noted already, and seal. None: not now, its bytes may still come."""
        assert entry.record is not None, "an open submission has a record"
        content = record_hash(entry.record)
        evaluation = self._records.evaluation(entry.id, content)
        if evaluation is None:
            seed = self._client.seed(entry.id, content)
            evaluation = self._evaluate(entry, seed)
            if evaluation is None:
                return None
            self._records.keep_evaluation(entry.id, evaluation, seed, content)
            self._dedup.keep(f"#{entry.id}", evaluation.copied)
        secrets = self._client.secrets(entry.id, content)
        evidence = EvidenceTree.build(evaluation.report, evaluation.pairs, key=secrets.evidence_key)
        receipt = self._client.commit_score(entry.id, evaluation.improvement, evidence, record_hash=content)
        return SealedVote(evaluation, evidence.root, receipt)

    def _evaluate(self, entry: Entry, seed: bytes) -> Evaluation | None:
        """Compare with the reference. None: not now, the bytes may still come. An error: no vote, the fault is not the
        candidate's (its reference is lost, the store is down, the disk is full)."""
        late = self._client.now() >= entry.reserved_at + 3 * self._view.params.commit_window // 4
        try:
            return self._measured(entry, seed)
        except ContentMissing as error:
            if not late:
                self._guard.warn_once(
                    f"submission {entry.id} is not in the store yet; it may come until ¾ of the commit window"
                )
                return None
            return self._unusable(entry, error, MISSING)
        except UNUSABLE as error:
            return self._unusable(entry, error)

    def _measured(self, entry: Entry, seed: bytes) -> Evaluation:
        """Compare with the reference. Before the candidate is blamed it is fetched and checked afresh and measured once
        more: what failed may have been this node's copy of it, or its disk."""
        try:
            reference = self._models.get(entry.reference)
        except LOST as error:
            raise StoreError(f"the reference {entry.reference} cannot be had: {error.message}") from error
        try:
            return self._compared(entry, reference, seed)
        except ContentMissing:
            raise
        except UNUSABLE as error:
            free = shutil.disk_usage(self._records.root).free
            if free < LEAST_FREE:
                raise StoreError(f"{free >> 20} MB are free: no judgement of {entry.id}", hint="free space") from error
            log.info("submission %d is looked at again: %s", entry.id, error.message)
            self._models.forget(entry.id)
            return self._compared(entry, reference, seed)
        except StoreError:
            self._models.forget(entry.reference)  # this node's copy may be damaged
            raise

    def _compared(self, entry: Entry, reference: CachedModel, seed: bytes) -> Evaluation:
        candidate = self._models.get(entry.id)
        log.info("scoring submission %d against %d", entry.id, entry.reference)
        clock = _Stopwatch()
        with self._guard.doing.during("scoring", entry.id):
            evaluation = self._evaluator.compare(reference.folder, candidate.folder, seed, self.heartbeat)
        taken = clock.wall()
        self._took(clock)
        log.info("scored %d against %d in %.1f s: %+d", entry.id, entry.reference, taken, evaluation.improvement)
        return self._with_parents_checked(entry, candidate, reference, evaluation, seed)

    def _with_parents_checked(
        self, entry: Entry, candidate: CachedModel, reference: CachedModel, evaluation: Evaluation, seed: bytes
    ) -> Evaluation:
        """The evaluation, but no higher than HIDDEN_PARENT if the candidate hides what it was made from. Not the lowest
        vote: a false alarm must burn no bond (rule 10)."""
        if evaluation.improvement <= HIDDEN_PARENT:
            return evaluation
        suspects, others = (self._worth_comparing(ids) for ids in self._view.relatives(entry))
        folders = self._at_hand(suspects[:MOST_COMPARED])
        usual = self._at_hand(others[:MOST_COMPARED])
        if not folders:
            return evaluation
        found = self._evaluator.hidden_parents(
            candidate.folder, reference.folder, folders, list(usual.values()), seed, self.heartbeat
        )
        if not found:
            return evaluation
        names = ", ".join(f"#{number}" for number in found)
        log.warning("submission %d hides that it was made from %s: the vote is %d", entry.id, names, HIDDEN_PARENT)
        report = json.dumps({**json.loads(evaluation.report), "hidden_parents": found}, sort_keys=True).encode()
        return replace(evaluation, improvement=HIDDEN_PARENT, report=report)

    def _worth_comparing(self, ids: Sequence[SubmissionId]) -> list[SubmissionId]:
        """All but what this node measured as worthless: nobody gains by hiding such a parent, and models far from
        everything say nothing of what distance is usual."""
        return [number for number in ids if self._records.own_improvement(number) != LOWEST]

    def _at_hand(self, ids: Sequence[SubmissionId]) -> dict[int, Path]:
        """Folders of those models that can be fetched and are what the chain says."""
        found: dict[int, Path] = {}
        for number in ids:
            with suppress(StoreError, PackageInvalid, ProvenanceInvalid):
                found[int(number)] = self._models.get(number).folder
        return found

    def _unusable(self, entry: Entry, error: PdfedError, vote: int = LOWEST) -> Evaluation:
        """MISSING for bytes that never came, so that an outage burns no author's bond; LOWEST for what is unusable."""
        log.warning("submission %d is unusable, the vote is %d: %s", entry.id, vote, error.message)
        report = f'{{"unusable": "{type(error).__name__}"}}'.encode()
        return Evaluation(vote, {}, {"unusable": type(error).__name__}, report, ())
