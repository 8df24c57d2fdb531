"""One task watched: follower, gallery and the node at home, put together for whoever shows them. Thread-safe."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pdfed_sdk.artifacts.store import Store
from pdfed_sdk.chain.reads import address as checksummed
from pdfed_sdk.checks import Check
from pdfed_sdk.errors import AuditFailed, PdfedError, UsageError
from pdfed_sdk.node.auditing import audit_task
from pdfed_sdk.types import GENESIS, Address
from pdfed_sdk.watch import home, views
from pdfed_sdk.watch.evidence import pairs_of
from pdfed_sdk.watch.follower import Follower
from pdfed_sdk.watch.pictures import Gallery, Named, named
from pdfed_sdk.watch.text import clean

PICTURED = 64
"""Newest models whose packages are looked at, and as many ancestors as the graph shows."""
PAIRED = 16
"""Evaluations whose pairs of pictures are kept."""
Json = dict[str, Any]


@dataclass(slots=True)
class Watcher:
    """What the page and the report are made of. Without a store there are no packages, without a home no private
    view."""

    follower: Follower
    about: views.About
    store: Store | None = None
    gallery: Gallery | None = None
    home: home.Home | None = None
    _pictures: set[int] = field(default_factory=set)
    _facts: dict[int, Json] = field(default_factory=dict)
    _tally: views.Tally = field(default_factory=views.Tally)
    _federation: tuple[tuple[int, int], Json] | None = None
    _audited: tuple[int, Json] | None = None
    _auditing: threading.Lock = field(default_factory=threading.Lock)
    _pairs: dict[int, Json] = field(default_factory=dict)
    _drawing: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def seen(self) -> Iterator[views.Seen]:
        """The state as it is; nothing moves in the block. AuditFailed where what faulty events made of it cannot be
        shown."""
        follower = self.follower
        with follower.lock:
            try:
                yield views.Seen(
                    self.about,
                    follower.reducer.state,
                    follower.flows,
                    follower.head,
                    follower.now,
                    frozenset(self._pictures),
                    self._tally,
                )
            except (views.Missing, PdfedError):
                raise
            except (LookupError, ValueError, TypeError, ArithmeticError, AttributeError, AssertionError) as error:
                faults = follower.reducer.state.faults
                if not faults:
                    raise
                raise AuditFailed(
                    f"the events contradict each other: {clean(faults[0])}", hint="pdfed audit"
                ) from error

    def federation(self) -> Json:
        with self.seen() as seen:
            key = (seen.block, len(seen.pictures))
            if self._federation is None or self._federation[0] != key:
                self._federation = key, views.federation(seen)
            return self._federation[1]

    def submission(self, number: int) -> Json:
        """KeyError if there is none."""
        with self.seen() as seen:
            if number not in seen.state.models:  # before it is asked for in SQLite, whose integers are short
                raise views.Missing(number)
            view = views.submission(seen, number, self.follower.chronicle.of_submission(number))
        return view | {"package": self._facts.get(number)}

    def money(self) -> Json:
        with self.seen() as seen:
            return views.money(seen, self.follower.chronicle.newest())

    def node(self, address: str) -> Json:
        """KeyError if no event names it."""
        try:
            named_ = checksummed(address)
        except UsageError as error:
            raise KeyError(address) from error
        with self.seen() as seen:
            return self._node(seen, named_)

    def _node(self, seen: views.Seen, address: Address) -> Json:
        kept = self.follower.chronicle
        return views.node(seen, address, kept.of_address(address), kept.earnings_of(address))

    def mine(self) -> Json:
        """The private view of the node at home. KeyError without a home."""
        if self.home is None:
            raise KeyError("home")
        with self.seen() as seen:
            known = self.home.address in seen.state.nodes
            view = (
                self._node(seen, self.home.address)
                if known
                else {"head": views.head(seen), **views.node_row(seen, self.home.address)}
            )
        return view | {"registered": known, **self.home.read()}

    def pairs(self, number: int) -> Json:
        """Samples of a submission beside the pictures of the node at home that they copy; drawn once and kept.

        KeyError without a home, or if its evaluation found no pair; UsageError if model or pictures are gone.
        """
        if self.home is None:
            raise KeyError("home")
        with self._drawing:
            if number not in self._pairs:
                digest = self.about.params.card_digest
                self._pairs[number] = pairs_of(self.home.folder, number, self.store, digest)
                while len(self._pairs) > PAIRED:
                    del self._pairs[next(iter(self._pairs))]
            with self.seen() as seen:
                return {"head": views.head(seen), "node": self.home.address, **self._pairs[number]}

    def audit(self) -> Json:
        """Every check of the audit, run anew for each block; one at a time."""
        with self._auditing:
            block = self.follower.head
            if self._audited is None or self._audited[0] != block:
                started = time.monotonic()
                report = audit_task(self.follower.client, self.store)
                found = {"ok": report.ok, "block": block, "checks": [_check(c) for c in report.checks]}
                self._audited = block, found | {"seconds": time.monotonic() - started}
            with self.seen() as seen:
                return {"head": views.head(seen), **self._audited[1], "packages": self.store is not None}

    # --- packages ---

    def use(self, store: Store) -> None:
        """Take packages from another store from now on; those that could not be shown are looked at again."""
        with self.follower.lock:
            self.store = store
            if self.gallery is not None:
                self.gallery = Gallery(store, self.gallery.folder)
            self._facts = {number: facts for number, facts in self._facts.items() if facts["ok"]}
            self._audited = None

    def unseen(self) -> list[int]:
        """Models whose packages were not looked at yet, the ones on the page first."""
        if self.gallery is None:
            return []
        with self.seen() as seen:
            state = seen.state
            newest = [number for number in sorted(state.models, reverse=True) if state.models[number].record]
            wanted = dict.fromkeys([state.best, GENESIS, *views.ancestors(state, state.best), *newest[:PICTURED]])
            return [number for number in wanted if number not in self._facts]

    def look_at(self, number: int) -> None:
        """Fetch, verify and sample one package, or take what is kept of it."""
        with self.seen() as seen:
            model = named(seen.state, seen.about.params.sponsor, number)
        if self.gallery is None or model is None:
            return
        facts = self.gallery.facts(model) or self.gallery.make(model)
        with self.follower.lock:
            self._facts[number] = facts
            if self.gallery.picture(model) is not None:
                self._pictures.add(number)

    def forget_packages(self) -> None:
        """After a reorganisation an id may be another model."""
        with self.follower.lock:
            self._facts.clear()
            self._pictures.clear()
            self._pairs.clear()

    def picture(self, number: int) -> bytes | None:
        """The samples of a model as PNG."""
        with self.seen() as seen:
            model: Named | None = None
            if number in seen.pictures and number in seen.state.models:
                model = named(seen.state, seen.about.params.sponsor, number)
        return None if self.gallery is None or model is None else self.gallery.picture(model)


def _check(check: Check) -> Json:
    return {"name": check.name, "ok": check.ok, "detail": check.detail}
