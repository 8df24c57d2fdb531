"""The node loop: read the chain, score what is open, commit, reveal, finalise, settle; between that, train and submit.

One thread. Training calls ``between_steps``, which goes through ``tick``: a node that trains never misses a window.
Everything decided is on disk before it is sent, so a killed node goes on where it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from pdfed_sdk.artifacts.store import Store
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.commitments import EvidenceTree
from pdfed_sdk.errors import (
    ChainError,
    ContentMissing,
    DigestMismatch,
    MlError,
    PackageInvalid,
    PdfedError,
    ProvenanceInvalid,
    PublicationRefused,
    UsageError,
)
from pdfed_sdk.node.board import Board, Entry
from pdfed_sdk.node.notebook import Attempt, Notebook
from pdfed_sdk.node.ports import Evaluation, Evaluator, Trainer
from pdfed_sdk.node.publishing import submit_model
from pdfed_sdk.node.shelf import Shelf
from pdfed_sdk.node.strategy import Candidate, LocalStrategy, choose_parents
from pdfed_sdk.types import GENESIS, LOWEST, Address, Role, Status

log = logging.getLogger("pdfed.node")

UNUSABLE = (DigestMismatch, PackageInvalid, ProvenanceInvalid, MlError)
"""What a package can be guilty of: the vote is LOWEST (protocol, rule 3)."""


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """``stake``: what a node joins with, in token units. ``poll``: seconds between looks at the chain.
    ``pace``: share of the time training may use (1 = all of it)."""

    role: Role
    stake: int = 0
    poll: float = 0.7
    pace: float = 1.0
    gate: bool = True
    until_closed: bool = False
    linger: float = 120.0


def voter_of(client: PdfedClient) -> Address:
    """The node a client acts for. Raises UsageError for a client that only reads."""
    if client.voter is None:
        raise UsageError("this client has no signer: it can only read", hint="connect with signer=…, or a keystore")
    return client.voter


class Node:
    """One node of a task."""

    def __init__(
        self,
        client: PdfedClient,
        store: Store,
        board: Board,
        shelf: Shelf,
        notebook: Notebook,
        evaluator: Evaluator,
        trainer: Trainer | None,
        package: Callable[[Attempt, Shelf], None],
        strategy: LocalStrategy,
        settings: LoopSettings,
    ) -> None:
        self.client, self.store, self.board, self.shelf = client, store, board, shelf
        self.notebook, self.evaluator, self.trainer, self.package = notebook, evaluator, trainer, package
        self.strategy, self.settings = strategy, settings
        self.me = voter_of(client)
        self.stopping = False
        self._last_tick = 0.0
        self._told: set[str] = set()

    # --- life ---

    def run(self) -> None:
        """Join, then live until stopped (``stop``) or, with ``until_closed``, until the task is closed and settled."""
        self.join()
        while not self.stopping and not self._finished():
            try:
                self.tick()
                if not self._train_and_submit():
                    time.sleep(self.settings.poll)
            except ChainError as error:
                self._tell(f"chain: {error.message}; trying again")
                time.sleep(2 * self.settings.poll)
        self.leave()

    def stop(self) -> None:
        """Ask the loop to end: training stops at the next step, due reveals are still made."""
        self.stopping = True

    def join(self) -> None:
        """Register and deposit what ``settings.stake`` asks for, unless done before."""
        account = self.client.account()
        if not account.roles:
            self.client.register(self.settings.role)
            log.info("registered as %s", self.settings.role)
        held = account.stake + account.locked
        if held < self.settings.stake and not account.roles:
            self.client.deposit(self.settings.stake - held)
            log.info("deposited %d", self.settings.stake - held)
        self.board.refresh()

    def leave(self) -> None:
        """Reveal what is sealed, as far as the windows allow within ``linger`` seconds; say what is still due."""
        until = time.monotonic() + self.settings.linger
        due = self.client.due()
        while due and time.monotonic() < until:
            self.tick(scoring=False)
            due = [d for d in self.client.due() if self.client.now() < d.reveal_end]
            time.sleep(self.settings.poll)
        for vote in due:
            log.warning("vote on %d is still sealed: run this node again before %d", vote.id, vote.reveal_end)
        if self.board.all_settled:
            self.client.pour()
        if self.board.all_settled and self.client.account().credit:
            receipt = self.client.claim()
            log.info("claimed in %s", receipt.tx_hash)

    def _finished(self) -> bool:
        return self.settings.until_closed and self.board.closed and self.board.all_settled

    # --- one look at the chain ---

    def tick(self, *, scoring: bool = True) -> None:
        """Read what is new, then do everything that is due, most urgent first. A failed part never stops the rest."""
        self.board.refresh()
        now = self.client.now()
        self._guarded("reveal", lambda: self._reveal(now))
        if scoring:
            self._guarded("score", lambda: self._score(now))
        self._guarded("finalise", lambda: self._finalise(now))
        self._guarded("settle", lambda: self._settle())
        self._last_tick = time.monotonic()

    def _guarded(self, what: str, act: Callable[[], None]) -> None:
        try:
            act()
        except ChainError:
            raise
        except PdfedError as error:
            self._tell(f"{what}: {error}")

    def _tell(self, text: str) -> None:
        """Log a problem once, not at every look."""
        if text not in self._told:
            self._told.add(text)
            log.warning("%s", text)

    # --- voting ---

    def _reveal(self, now: int) -> None:
        me = self.me
        due = [
            e
            for e in self.board.entries.values()
            if me in e.commits and me not in e.votes and e.windows.reveal_start <= now < e.windows.reveal_end
        ]
        if due:
            for receipt in self.client.reveal_due():
                log.info("revealed in block %d, gas %d", receipt.block, receipt.gas_used)

    def _score(self, now: int) -> None:
        me = self.me
        waiting = [
            e
            for e in self.board.entries.values()
            if e.status is Status.OPEN and e.author != me and me not in e.commits and now < e.windows.commit_end - 1
        ]
        for entry in sorted(waiting, key=lambda e: e.windows.commit_end):
            if self.client.now() < entry.windows.commit_end - 1:
                self._guarded(f"vote on {entry.id}", partial(self._vote, entry))

    def _vote(self, entry: Entry) -> None:
        evaluation = self.notebook.evaluation(entry.id)
        if evaluation is None:
            seed = self.client.seed(entry.id)
            evaluation = self._evaluate(entry, seed)
            if evaluation is None:
                return
            self.notebook.keep_evaluation(entry.id, evaluation, seed)
        secrets = self.client.secrets(entry.id)
        evidence = EvidenceTree.build(evaluation.report, evaluation.pairs, key=secrets.evidence_key)
        receipt = self.client.commit_score(entry.id, evaluation.improvement, evidence)
        log.info("sealed a vote on %d, gas %d", entry.id, receipt.gas_used)

    def _evaluate(self, entry: Entry, seed: bytes) -> Evaluation | None:
        """Compare with the reference. None: not now (the bytes may still come, or the reference is lost)."""
        reference = self.shelf.get(entry.reference)
        late = self.client.now() >= entry.reserved_at + 3 * self.board.params.commit_window // 4
        try:
            candidate = self.shelf.get(entry.id)
            started = time.monotonic()
            evaluation = self.evaluator.compare(reference.folder, candidate.folder, seed)
        except ContentMissing as error:
            if not late:
                return None
            return self._unusable(entry, error)
        except UNUSABLE as error:
            return self._unusable(entry, error)
        log.info("scored %d against %d in %.1f s", entry.id, entry.reference, time.monotonic() - started)
        return evaluation

    def _unusable(self, entry: Entry, error: PdfedError) -> Evaluation:
        log.warning("submission %d is unusable: %s", entry.id, error.message)
        report = f'{{"unusable": "{type(error).__name__}"}}'.encode()
        return Evaluation(LOWEST, {}, {"unusable": type(error).__name__}, report, ())

    # --- housekeeping anyone may do, in turns ---

    def _my_turn(self, entry: Entry, now: int, since: int) -> bool:
        """Nodes take turns, so that not all pay for the same act; the next one steps in after a second."""
        nodes = sorted(self.board.roles)
        place = (nodes.index(self.me) - entry.id) % len(nodes) if self.me in nodes else 0
        return now >= since + place

    def _finalise(self, now: int) -> None:
        due = [e for e in self.board.entries.values() if not e.terminal and now >= e.windows.reveal_end]
        if due and self._my_turn(due[0], now, due[0].windows.reveal_end):
            receipt = self.client.finalize_due()
            if receipt:
                log.info("finalised, gas %d", receipt.gas_used)

    def _settle(self) -> None:
        now = self.client.now()
        for entry in self.board.entries.values():
            if entry.unsettled and self._my_turn(entry, now, entry.windows.reveal_end + 1):
                receipt = self.client.settle(entry.id, entry.unsettled)
                if receipt:
                    log.info("settled %d, gas %d", entry.id, receipt.gas_used)
                self.client.pour()
                self.board.refresh()

    # --- training ---

    def _train_and_submit(self) -> bool:
        """One attempt from where it stands to its submission. False: nothing to do now."""
        if self.trainer is None or self.board.closed or Role.TRAINER not in self.board.roles.get(self.me, Role(0)):
            return False
        attempt = self.notebook.current() or self._new_attempt()
        if attempt is None:
            return False
        try:
            if attempt.stage == "training":
                attempt = self._train(attempt)
            if attempt.stage == "trained" and not self._interrupted():
                attempt = self._pass_gate(attempt)
            if attempt.stage == "packaged" and not self._interrupted():
                self._submit(attempt)
        except ChainError:
            raise
        except PdfedError as error:
            log.warning("attempt %d abandoned: %s", attempt.number, error)
            self.notebook.keep_attempt(replace(attempt, stage="abandoned"))
            time.sleep(self.settings.poll)
        return True

    def _interrupted(self) -> bool:
        return self.stopping or self.board.closed

    def _new_attempt(self) -> Attempt | None:
        number = len(self.notebook.attempts()) + 1
        pictures = self.strategy.pictures(number)
        if pictures <= 0:
            return None
        parents = choose_parents(self.strategy, self._candidates(), self._genesis(), self.board.roles)
        if not parents:
            return None
        seed = int.from_bytes(bytes.fromhex(self.me[2:])[:6], "big") ^ number
        log.info("attempt %d: %d pictures on %s", number, pictures, " + ".join(f"#{p.id}" for p in parents))
        return self.notebook.open_attempt(parents, pictures, seed)

    def _genesis(self) -> Candidate:
        return Candidate(GENESIS, self.board.params.sponsor, Status.FINAL, 0, 0, None, {}, False)

    def _candidates(self) -> list[Candidate]:
        me = self.me
        return [
            Candidate(
                id=e.id,
                author=e.author,
                status=e.status,
                reference_level=self.board.level_of(e.reference),
                level=e.level if e.status is Status.FINAL else None,
                own_improvement=self.notebook.own_improvement(e.id),
                votes=e.votes,
                mine=e.author == me,
            )
            for e in self.board.entries.values()
            if e.status in (Status.OPEN, Status.FINAL)
        ]

    def _train(self, attempt: Attempt) -> Attempt:
        assert self.trainer is not None
        parents = [(self.shelf.get(p.id).folder, p.weight_bps) for p in attempt.parents]
        facts = self.trainer.train(
            parents,
            attempt.model,
            pictures=attempt.pictures,
            seed=attempt.seed,
            resume=attempt.snapshot,
            on_step=self.between_steps,
        )
        if self._interrupted():
            return attempt
        return self.notebook.keep_attempt(replace(attempt, stage="trained", facts=dict(facts)))

    def between_steps(self, done: int, wanted: int) -> bool:
        """Called by training after every step: scoring and reveals go first; False ends the training."""
        if time.monotonic() - self._last_tick >= self.settings.poll:
            try:
                self.tick()
            except ChainError as error:
                self._tell(f"chain: {error.message}; training goes on")
                self._last_tick = time.monotonic()
            log.debug("training: %d of %d pictures", done, wanted)
        return not self._interrupted()

    def _pass_gate(self, attempt: Attempt) -> Attempt:
        best = self.shelf.get(self.board.best)
        evaluation = self.evaluator.compare(best.folder, attempt.model, attempt.seed.to_bytes(32, "big"))
        log.info("attempt %d: own measurement %+d against #%d", attempt.number, evaluation.improvement, self.board.best)
        try:
            self.evaluator.gate(evaluation)
        except PublicationRefused as refusal:
            log.warning("publication gate: %s", refusal)
            if self.settings.gate:
                return self.notebook.keep_attempt(replace(attempt, stage="refused", improvement=evaluation.improvement))
            log.warning("the gate is switched off: publishing all the same")
        if self.settings.gate and not self.strategy.publishes(evaluation.improvement):
            return self.notebook.keep_attempt(replace(attempt, stage="abandoned", improvement=evaluation.improvement))
        attempt = replace(attempt, improvement=evaluation.improvement)
        self.notebook.keep_gate(attempt, evaluation)
        self.package(attempt, self.shelf)
        return self.notebook.keep_attempt(replace(attempt, stage="packaged"))

    def _submit(self, attempt: Attempt) -> None:
        receipt = submit_model(self.client, self.store, attempt.package, attempt.parents)
        log.info("submitted #%d, gas %d", receipt.id, receipt.gas_used)
        self.notebook.adopt_gate(attempt, receipt.id)
        self.notebook.keep_attempt(replace(attempt, stage="published"))
