"""A node as an author: choose parents, train, measure and pass the gate, package, submit. One attempt at a time.

Each stage is on disk before the next begins, so a killed node goes on where it was.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pdfed_sdk.artifacts.store import Store
from pdfed_sdk.buckets import MISSING, grains_of
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.money import token_of
from pdfed_sdk.errors import (
    ChainError,
    ContentMissing,
    DigestMismatch,
    MlError,
    PackageInvalid,
    PdfedError,
    ProtocolRevert,
    ProvenanceInvalid,
    PublicationRefused,
    StoreError,
)
from pdfed_sdk.node.dedup import DedupList
from pdfed_sdk.node.guard import Guard
from pdfed_sdk.node.model_cache import CachedModel, ModelCache
from pdfed_sdk.node.parts import Evaluator, Heartbeat, StepHook, Trainer, Weighing, out_of_memory
from pdfed_sdk.node.publishing import submit_model
from pdfed_sdk.node.records import Attempt, Records
from pdfed_sdk.node.strategy import Candidate, LocalStrategy, choose_parents
from pdfed_sdk.node.task_view import Entry, TaskView
from pdfed_sdk.node.withdrawal import IN_FORCE
from pdfed_sdk.types import BPS, GENESIS, Address, Parent, Status

log = logging.getLogger("pdfed.node")

LOST = (ContentMissing, DigestMismatch, PackageInvalid, ProvenanceInvalid)
"""Why a model cannot be trained on: its bytes are not there, or are not what the chain names."""


EQUAL_FAILURES = 3
"""Attempts that fail for one reason before the trainer stops."""
FIRST_REST, LONGEST_REST = 2.0, 600.0
"""Seconds between an abandoned attempt and the next one."""
LEAST_FREE = 64 << 20
"""Bytes that must be free on the node's disk before it trains: snapshots, a model and its package."""


@dataclass
class Author:
    """The models of one node. ``interrupted``: whether the node stops or the task is closed. ``gate`` off publishes
    whatever was trained (for experiments: see the copyist of the demo)."""

    me: Address
    client: PdfedClient
    store: Store
    view: TaskView
    models: ModelCache
    records: Records
    evaluator: Evaluator
    trainer: Trainer
    package: Callable[[Attempt, ModelCache], None]
    strategy: LocalStrategy
    dedup: DedupList
    guard: Guard
    between_steps: StepHook
    heartbeat: Heartbeat
    interrupted: Callable[[], bool]
    gate: bool = True
    max_fee: int = 0
    """Highest scoring fee to reserve for, in token units; 0: four times the base fee."""
    lost: set[int] = field(default_factory=set)
    """Models that could not be fetched when they were wanted as parents."""
    failures: list[str] = field(default_factory=list)
    """Why the last attempts were abandoned, since one went well."""
    troubles: int = 0
    """Times in a row that chain, disk or memory stood in the way; the attempt itself goes on."""
    in_vain: tuple[int, int] = (-1, 0)
    """A best model, and how often after the first an attempt was not worth its fee beside it."""
    rest_until: float = 0.0
    """Moment before which no attempt is begun."""

    def work(self) -> bool:
        """Bring the current attempt as far as possible. False: nothing to do now. RpcUnavailable passes through."""
        if self.stopped or time.monotonic() < self.rest_until or not self._has_room():
            return False
        attempt = self.records.current() or self._new_attempt()
        if attempt is None:
            return False
        try:
            doing = self.guard.doing
            if attempt.stage == "training":
                with doing.during("training", attempt.number):
                    attempt = self._train(attempt)
            if attempt.stage in ("trained", "packaged") and self._outdated(attempt):
                log.warning("attempt %d abandoned: pictures it was trained on are withdrawn", attempt.number)
                self.records.keep_attempt(replace(attempt, stage="abandoned"))
                return False
            if attempt.stage == "trained" and self.between_steps(attempt.pictures, attempt.pictures):  # votes go first
                with doing.during("measuring", attempt.number):
                    attempt = self._pass_gate(attempt)
            if attempt.stage == "packaged" and not self.interrupted():
                with doing.during("publishing", attempt.number):
                    return self._submit(attempt)
        except (ChainError, OSError, MemoryError):
            pause = min(LONGEST_REST, 2.0 ** (self.troubles - 1)) if self.troubles else 0.0
            self.troubles, self.rest_until = self.troubles + 1, time.monotonic() + pause
            raise
        except PdfedError as error:
            log.warning("attempt %d abandoned: %s", attempt.number, error)
            self.records.keep_attempt(replace(attempt, stage="abandoned"))
            self._failed(error.message)
        else:
            self.troubles = 0
        return attempt.stage == "training" and not self.failures

    @property
    def stopped(self) -> bool:
        """Whether the last attempts failed for one and the same reason: a fourth would too."""
        return len(self.failures) >= EQUAL_FAILURES and len(set(self.failures[-EQUAL_FAILURES:])) == 1

    def _failed(self, reason: str) -> None:
        """Rest before the next attempt, twice as long after each failure; stop after three equal ones."""
        self.failures.append(reason)
        pause = min(LONGEST_REST, FIRST_REST * 2.0 ** (len(self.failures) - 1))
        self.rest_until = time.monotonic() + pause
        if self.stopped:
            log.error("no more attempts: %d in a row failed alike (%s); votes go on", EQUAL_FAILURES, reason)
            log.error("  next: correct it, then start this node again")
        else:
            log.info("the next attempt begins in %.0f s", pause)

    def _rest_on(self, best: int) -> None:
        """Rest twice as long after each attempt that is not worth its fee beside the same best model."""
        self.in_vain = (best, self.in_vain[1] + 1 if self.in_vain[0] == best else 0)
        self.rest_until = time.monotonic() + min(LONGEST_REST, FIRST_REST * 2.0 ** self.in_vain[1])

    # --- choose ---

    def _new_attempt(self) -> Attempt | None:
        number = self.records.next_number()
        pictures = self.strategy.pictures(number)
        if pictures <= 0:
            return None
        refused, own = self._refused(), dict[str, Any]()
        if refused is not None:
            pictures = max(1, pictures // 2)
        if refused is not None and refused.clean and not self._outdated(refused):
            parents = list(refused.parents)
            own = {"start": refused.clean, "before": refused.before + refused.pictures // 2}
        else:
            parents = self._fetched_parents()
        if not parents or not self._affordable():
            return None
        if own:
            log.info("attempt %d goes on from the last state that passed the gate, %s", number, own["start"])
        else:
            parents = self._weighed(parents, pictures)
        seed = int.from_bytes(bytes.fromhex(self.me[2:])[:6], "big") ^ number
        excluded = self.dedup.excluded()
        told = " + ".join(f"#{p.id}" for p in parents)
        log.info("attempt %d: %d pictures on %s, %d left out", number, pictures, told, len(excluded))
        self.records.tidy()
        return self.records.open_attempt(parents, pictures, seed, excluded, **own)

    def _refused(self) -> Attempt | None:
        """The last attempt, if the gate refused it: the next one goes on from its last clean state, without the
        pictures that were copied, at half the budget; from a published model if no state of its own was clean."""
        attempts = self.records.attempts()
        return attempts[-1] if attempts and attempts[-1].stage == "refused" else None

    def _fetched_parents(self) -> list[Parent]:
        """The strategy's choice among models that are at hand; one that cannot be fetched is never chosen again."""
        while True:
            parents = choose_parents(self.strategy, self._candidates(), self._genesis(), self.view.roles)
            for parent in parents:
                try:
                    self.models.get(parent.id)
                except LOST as error:
                    self.guard.warn_once(f"cannot train on #{parent.id}: {error.message}")
                    if parent.id == GENESIS:
                        return []
                    self.lost.add(parent.id)
                    break
            else:
                return parents

    def _weighed(self, parents: list[Parent], pictures: int) -> list[Parent]:
        """Several parents with the shares that suit this node's own pictures, where its trainer can tell."""
        if len(parents) < 2 or not isinstance(self.trainer, Weighing):
            return parents
        folders = [(self.models.get(parent.id).folder, parent.weight_bps) for parent in parents]
        shares = self.trainer.weigh(folders, pictures=pictures, heartbeat=self.heartbeat)
        return [Parent(parent.id, share) for parent, share in zip(parents, shares, strict=True) if share]

    def _has_room(self) -> bool:
        free = shutil.disk_usage(self.records.root).free
        if free < LEAST_FREE:
            self.guard.warn_once(
                f"not training: {free >> 20} MB are free at {self.records.root}, {LEAST_FREE >> 20} MB are needed; "
                "free some space, it goes on by itself"
            )
        return free >= LEAST_FREE

    def _affordable(self) -> bool:
        """Whether the free stake covers a reservation: training for nothing would be a pity."""
        free, params, now = self.client.account().stake, self.view.params, self.client.fee()
        needed = params.submission_bond + now.fee
        if free < needed:
            self.guard.warn_once(
                f"not training: a submission takes {self._show(needed)} of free stake, this node has "
                f"{self._show(free)} now"
            )
        elif now.fee > self._most_fee:
            self.guard.warn_once(
                f"not training: {now.open} ids are open and the scoring fee is {self._show(now.fee)}, above "
                f"{self._show(self._most_fee)} ([node] max_fee); it goes on when the fee has fallen"
            )
        return needed <= free and now.fee <= self._most_fee

    def _show(self, units: int) -> str:
        return token_of(self.client).show(units)

    @property
    def _most_fee(self) -> int:
        return self.max_fee or 4 * self.view.params.scoring_fee

    def _genesis(self) -> Candidate:
        return Candidate(GENESIS, self.view.params.sponsor, Status.FINAL, 0, 0, None, {})

    def _candidates(self) -> list[Candidate]:
        return [
            Candidate(
                id=e.id,
                author=e.author,
                status=e.status,
                reference_level=self.view.level_of(e.reference),
                level=e.level if e.status is Status.FINAL else None,
                own_improvement=_in_grains(self.records.own_improvement(e.id)),
                votes={voter: grains_of(vote) for voter, vote in e.votes.items() if vote != MISSING},
                weights=e.commits,
                own_run=self._own_run(e),
            )
            for e in self.view.entries.values()
            if e.status in (Status.OPEN, Status.FINAL) and e.id not in self.lost
        ]

    def _own_run(self, entry: Entry) -> int:
        run = 0
        while entry.author == self.me and entry.record is not None:
            run += 1
            first = max(entry.record.parents, key=lambda parent: parent.weight_bps).id
            if first == GENESIS:
                break
            entry = self.view.entries[first]
        return run

    # --- make ---

    def _train(self, attempt: Attempt) -> Attempt:
        parents = [(self.models.get(p.id).folder, p.weight_bps) for p in attempt.parents]
        if attempt.start:
            parents = [(self.records.root / attempt.start, BPS)]
        stirred: list[Exception] = []

        def between_steps(done: int, wanted: int) -> bool:
            try:
                return self.between_steps(done, wanted)
            except Exception as error:
                stirred.append(error)
                raise

        try:
            facts = self.trainer.train(
                parents,
                attempt.model,
                pictures=attempt.pictures,
                seed=attempt.seed,
                resume=attempt.snapshot,
                on_step=between_steps,
                excluded=sorted({*attempt.excluded, *self.dedup.withdrawn}),  # withdrawn since, perhaps
                halfway=attempt.halfway if self.gate else None,
            )
        except (PdfedError, OSError, MemoryError):
            raise
        except Exception as error:  # a trainer may be anybody's; its faults end attempts, never the votes
            if any(error is one for one in stirred):  # not the trainer's: what the node does between its steps
                raise
            if out_of_memory(error):
                raise MemoryError(str(error)[:200]) from error
            log.debug("the trainer failed", exc_info=True)
            told = (str(error).splitlines() or [""])[0][:200]
            raise MlError(f"the trainer failed: {type(error).__name__}: {told}", hint="-v shows where") from error
        if facts is None:
            return attempt
        if attempt.before:
            facts = {**facts, "pictures_before": attempt.before}
        if self.dedup.list_digest:
            facts = {**facts, IN_FORCE: self.dedup.list_digest}
        return self.records.keep_attempt(replace(attempt, stage="trained", facts=dict(facts)))

    def _outdated(self, attempt: Attempt) -> bool:
        """Whether the list of withdrawn pictures has changed since an attempt was trained."""
        return bool((attempt.facts or {}).get(IN_FORCE, "") != self.dedup.list_digest)

    def _pass_gate(self, attempt: Attempt) -> Attempt:
        yardstick, name = self._yardstick(attempt)
        seed = attempt.seed.to_bytes(32, "big")
        evaluation = self.evaluator.compare(yardstick.folder, attempt.model, seed, self.heartbeat)
        attempt = replace(attempt, improvement=evaluation.improvement)
        self.dedup.keep(f"attempt {attempt.number}", evaluation.copied)
        log.info("attempt %d: own measurement %+d against #%d", attempt.number, evaluation.improvement, name)
        try:
            self.evaluator.gate(evaluation)
        except PublicationRefused as refusal:
            log.warning("publication gate: %s", refusal)
            if self.gate:
                clean = self._clean_state(attempt, yardstick, seed)
                return self.records.keep_attempt(replace(attempt, stage="refused", clean=clean))
            log.warning("the gate is switched off: publishing all the same")
        if not self.strategy.publishes(evaluation.improvement, self.view.params.min_step):
            log.info("attempt %d: not worth its fee, not published", attempt.number)
            self._rest_on(self.view.best)
            return self.records.keep_attempt(replace(attempt, stage="abandoned"))
        if attempt.halfway.is_dir():
            shutil.rmtree(attempt.halfway)
        self.records.keep_gate(attempt, evaluation)
        self.package(attempt, self.models)
        return self.records.keep_attempt(replace(attempt, stage="packaged"))

    def _clean_state(self, attempt: Attempt, yardstick: CachedModel, seed: bytes) -> str:
        """The folder of the attempt's state at half its pictures, if that passes the gate; what it copied goes to the
        dedup list either way."""
        if not attempt.halfway.is_dir():
            return ""
        evaluation = self.evaluator.compare(yardstick.folder, attempt.halfway, seed, self.heartbeat)
        self.dedup.keep(f"attempt {attempt.number}, halfway", evaluation.copied)
        try:
            self.evaluator.gate(evaluation)
        except PublicationRefused as refusal:
            log.warning("the state at half the pictures is refused too: %s", refusal.message)
            shutil.rmtree(attempt.halfway)
            return ""
        return attempt.halfway.relative_to(self.records.root).as_posix()

    def _yardstick(self, attempt: Attempt) -> tuple[CachedModel, int]:
        """The best model to measure against; the first parent if the best cannot be fetched."""
        try:
            return self.models.get(self.view.best), self.view.best
        except LOST as error:
            self.guard.warn_once(f"cannot measure against #{self.view.best}: {error.message}")
            return self.models.get(attempt.parents[0].id), attempt.parents[0].id

    # --- publish ---

    def _submit(self, attempt: Attempt) -> bool:
        try:
            receipt = submit_model(self.client, self.store, attempt.package, attempt.parents, max_fee=self._most_fee)
        except StoreError as error:
            if isinstance(error, LOST):
                raise
            self.guard.warn_once(f"attempt {attempt.number} waits for the store: {error}")
            return False
        except ProtocolRevert as error:
            if self._affordable() or error.name not in ("VaultInsufficientStake", "RegistryFeeTooHigh"):
                raise
            return False
        log.info("submitted #%d, gas %d", receipt.id, receipt.gas_used)
        self.records.adopt_gate(attempt, receipt.id)
        self.records.keep_attempt(replace(attempt, stage="published"))
        self.failures.clear()
        return True


def _in_grains(index: int | None) -> int | None:
    return None if index is None or index == MISSING else grains_of(index)
