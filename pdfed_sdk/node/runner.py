"""The node loop: read the chain, score what is open, commit, reveal, finalise, settle; between that, train and submit.

One thread. Training calls ``between_steps``, which goes through ``tick``: a node that trains never misses a window.
Everything decided is on disk before it is sent, so a killed node goes on where it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from pdfed_sdk.artifacts.store import Store
from pdfed_sdk.chain.actions import MOST_AT_ONCE
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.money import token_of
from pdfed_sdk.errors import UsageError
from pdfed_sdk.node.author import Author
from pdfed_sdk.node.dedup import DedupList
from pdfed_sdk.node.doing import Doing
from pdfed_sdk.node.entrusting import Entrusting
from pdfed_sdk.node.guard import Guard
from pdfed_sdk.node.keeping import Keeper
from pdfed_sdk.node.model_cache import ModelCache
from pdfed_sdk.node.parts import Evaluator, Trainer
from pdfed_sdk.node.records import Attempt, Records
from pdfed_sdk.node.strategy import LocalStrategy
from pdfed_sdk.node.task_view import Entry, TaskView
from pdfed_sdk.node.voter import Voter
from pdfed_sdk.types import Address, Role, role_words

log = logging.getLogger("pdfed.node")


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """``stake``: what a node joins with, and ``max_fee`` the highest scoring fee it reserves for (0: four times the
    base fee), in token units. ``poll``: seconds between looks at the chain. ``until_closed``: end by itself once the
    task is closed and settled. ``linger``: longest wait for a reveal window after a stop, in seconds.
    ``rehearse``: measure at the start how long one scoring takes here."""

    role: Role
    stake: int = 0
    max_fee: int = 0
    poll: float = 0.7
    gate: bool = True
    until_closed: bool = False
    linger: float = 120.0
    rehearse: bool = False


@dataclass(frozen=True, slots=True)
class Joining:
    """What is still to be sent before a node takes part. ``deposit`` is in token units."""

    register: bool
    deposit: int


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
        view: TaskView,
        models: ModelCache,
        records: Records,
        evaluator: Evaluator,
        trainer: Trainer | None,
        package: Callable[[Attempt, ModelCache], None],
        strategy: LocalStrategy,
        settings: LoopSettings,
        dedup: DedupList | None = None,
        entrusting: Entrusting | None = None,
    ) -> None:
        self.client, self.view, self.settings = client, view, settings
        self.me = voter_of(client)
        self.home = records.root
        self.guard = Guard(Doing(self.home / "now.json"))
        self.stopping = False
        self._last_tick = 0.0
        self.now = 0
        self.keeper = Keeper(self.me, store, view, self.home / "pins.json")
        dedup = dedup or DedupList(records.root / "dedup.json")
        self.voter = Voter(self.me, client, view, models, records, evaluator, self.guard, dedup, entrusting)
        self.author = None
        if trainer is not None:
            self.author = Author(
                me=self.me,
                client=client,
                store=store,
                view=view,
                models=models,
                records=records,
                evaluator=evaluator,
                trainer=trainer,
                package=package,
                strategy=strategy,
                dedup=dedup,
                guard=self.guard,
                between_steps=self.between_steps,
                heartbeat=self.voter.heartbeat,
                interrupted=self._interrupted,
                gate=settings.gate,
                max_fee=settings.max_fee,
            )

    # --- life ---

    def run(self) -> list[Entry]:
        """Join, then live until stopped (``stop``) or, with ``until_closed``, until the task is closed and settled.

        Returns the submissions on which a vote is still sealed: empty after a clean end.
        """
        self.join()
        log.info("node %s takes part", self.me)
        while not self.stopping and not self._finished():
            if not self.guard.patiently(self.tick):
                time.sleep(2 * self.settings.poll)
            elif not self._work():
                time.sleep(self.settings.poll)
        return self.leave()

    def stop(self) -> None:
        """Ask the loop to end: training stops at the next step, due reveals are still made."""
        self.stopping = True

    def to_join(self) -> Joining:
        """What joining would send now. UsageError if this node neither is registered nor has a stake to join with, or
        does not hold that stake."""
        account, stake = self.client.account(), self.settings.stake
        if not account.roles and stake <= 0:
            raise UsageError(
                f"node {self.me} is not registered, and [node] stake is 0",
                hint="set [node] stake in pdfed.toml, or: pdfed node register --stake AMOUNT",
            )
        held = account.stake + account.locked + account.unbonding
        deposit = 0 if held else stake
        balance = self.client.token_balance() if deposit else 0
        if balance < deposit:
            raise UsageError(
                f"node {self.me} holds {token_of(self.client).show(balance)}, [node] stake is "
                f"{token_of(self.client).show(deposit)}",
                hint=f"send the task's token ({self.view.params.token}) to this address, or lower the stake",
            )
        return Joining(not account.roles, deposit)

    def join(self) -> None:
        """Register and deposit the stake, unless that is done. Killed in between, it is finished the next time."""
        joining = self.to_join()
        if joining.register:
            self.client.register(self.settings.role)
            log.info("registered as %s", role_words(self.settings.role))
        if joining.deposit:
            self.client.deposit(joining.deposit)
            log.info("deposited %s", token_of(self.client).show(joining.deposit))
        self.view.refresh()
        on_chain = self.view.roles.get(self.me, Role(0))
        if on_chain != self.settings.role:
            self.guard.warn_once(
                f"this node is registered as {role_words(on_chain)}, which is for good; [node] role is ignored"
            )
        if self.settings.rehearse and not self.stopping:
            self.guard.run("rehearsal", self._rehearse)
        if not self.client.weight():
            self.guard.warn_once("this node's votes have no weight yet: it needs a minimum stake, a warm-up old")

    def _rehearse(self) -> None:
        """One scoring, of the genesis against itself: whether votes can be ready in their window is known at once."""
        seconds, window = self.voter.rehearse(), self.view.params.commit_window
        log.info("one scoring takes %.1f s here, the commit window is %d s", seconds, window)
        if 2 * seconds > window:
            self.guard.warn_once(
                f"the commit window of {window} s is too short for this machine: one scoring takes {seconds:.0f} s, so "
                "most votes will not be ready in time; a GPU ([node] device) or a machine of its own helps"
            )

    @property
    def silent(self) -> float:
        """Seconds since the last look at the chain ended."""
        return time.monotonic() - self._last_tick if self._last_tick else 0.0

    def holds(self, lock: object) -> None:
        """Keep what must live as long as the node does."""
        self._held = lock

    def leave(self) -> list[Entry]:
        """Reveal what is sealed if its window comes within ``linger`` seconds; name what is still sealed then."""
        until = time.monotonic() + self.settings.linger
        while True:
            reached = self.guard.patiently(lambda: self.tick(scoring=False))
            sealed, left = self.voter.sealed(self.now), until - time.monotonic()
            if not sealed or left <= 0 or (reached and sealed[0].windows.reveal_start > self.now + left):
                break
            time.sleep(self.settings.poll)
        for entry in sealed:
            start, end = entry.windows.reveal_start, entry.windows.reveal_end
            log.warning("the vote on %d is still sealed: run this node again between %d and %d", entry.id, start, end)
        if self.view.all_settled:
            self.guard.patiently(lambda: self.guard.run("claim", self._claim))
        self.guard.doing.stopped()
        return sealed

    def _claim(self) -> None:
        self.client.pour()
        if self.client.account().credit:
            log.info("claimed in %s", self.client.claim().tx_hash)

    def _finished(self) -> bool:
        return self.settings.until_closed and self.view.closed and self.view.all_settled

    def _interrupted(self) -> bool:
        return self.stopping or self.view.closed

    # --- one look at the chain ---

    def tick(self, *, scoring: bool = True) -> None:
        """Read what is new, then do everything that is due, most urgent first. A failed part never stops the rest;
        RpcUnavailable is raised."""
        try:
            self.view.refresh()
            now = self.now = self.client.now()
            self.guard.run("reveal", lambda: self.voter.reveal(now))
            self.voter.entrust(self.voter.sealed(now))
            if scoring:
                self.guard.run("score", lambda: self.voter.score(now))
            self.guard.run("finalise", lambda: self._finalise(now))
            self.guard.run("settle", self._settle)
            self.guard.run("keep", self.keeper.look)
        finally:
            self._last_tick = time.monotonic()
            self.guard.doing.alive()

    def between_steps(self, done: int, wanted: int) -> bool:
        """Called by training after every step: scoring and reveals go first; False ends the training."""
        if time.monotonic() - self._last_tick >= self.settings.poll:
            self.guard.patiently(self.tick)
            log.debug("training: %d of %d pictures", done, wanted)
        return not self._interrupted()

    def _work(self) -> bool:
        """Train and submit, if this node does that. False: nothing to do now."""
        author = self.author
        if author is None or self.view.closed or Role.TRAINER not in self.view.roles.get(self.me, Role(0)):
            return False
        worked: list[bool] = []
        self.guard.patiently(lambda: self.guard.run("training", lambda: worked.append(author.work())))
        return any(worked)

    # --- housekeeping anyone may do, in turns ---

    def _my_turn(self, entry: Entry, now: int, since: int) -> bool:
        """Nodes take turns, so that not all pay for the same act; the next one steps in after a second."""
        nodes = sorted(self.view.roles)
        place = (nodes.index(self.me) - entry.id) % len(nodes) if self.me in nodes else 0
        return now >= since + place

    def _finalise(self, now: int) -> None:
        due = [e for e in self.view.entries.values() if not e.terminal and now >= e.windows.reveal_end]
        if due and self._my_turn(due[0], now, due[0].windows.reveal_end):
            receipt = self.client.finalize_due()
            if receipt:
                log.info("finalised, gas %d", receipt.gas_used)

    def _settle(self) -> None:
        now = self.client.now()
        for entry in list(self.view.entries.values()):  # refreshed below
            if entry.unsettled and self._my_turn(entry, now, entry.windows.reveal_end + 1):
                receipt = self.client.settle(entry.id, entry.unsettled[:MOST_AT_ONCE])
                if receipt:
                    log.info("settled %d, gas %d", entry.id, receipt.gas_used)
                self.client.pour()
                self.view.refresh()
