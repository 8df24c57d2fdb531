"""The audit's reducer, followed live: replay once, then step by step; checkpoints on disk; reorganisations undone.

State and lines move together: lines above the newest checkpoint are dropped at the start and read again, so that a
watcher that was killed never shows a line twice or misses one.
"""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version

import msgspec

from pdfed_sdk.audit.flows import Flows
from pdfed_sdk.audit.reducer import Reducer
from pdfed_sdk.audit.state import TaskState
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.event_types import Event
from pdfed_sdk.chain.replay import Cursor, Rewound
from pdfed_sdk.errors import AuditFailed
from pdfed_sdk.watch.chronicle import Chronicle
from pdfed_sdk.watch.telling import earnings_of, lines_of
from pdfed_sdk.watch.text import clean

FORMAT = 2
"""Of the file: one of another format is started anew."""
CHECKPOINT_EVERY = 60.0
"""Seconds between two checkpoints while events come in."""


@dataclass(slots=True)
class Kept:
    """What a checkpoint holds."""

    state: TaskState
    flows: Flows


@dataclass(frozen=True, slots=True)
class Change:
    """What a step brought: the head now, ids of submissions it touched, whether a reorganisation took events back."""

    head: int
    submissions: tuple[int, ...]
    rewound: bool = False


def identity_of(client: PdfedClient) -> str:
    """What a chronicle belongs to: chain, task, the version whose rules wrote it, and the format."""
    return f"{client.chain_id} {client.task.registry} {version('pdfed-sdk')} {FORMAT}"


@dataclass(slots=True)
class Follower:
    """One task followed. Hold ``lock`` while reading ``reducer``, ``flows`` or ``chronicle`` beside another thread."""

    client: PdfedClient
    chronicle: Chronicle
    lock: threading.RLock = field(default_factory=threading.RLock)
    reducer: Reducer = field(init=False)
    flows: Flows = field(init=False)
    cursor: Cursor = field(init=False)
    now: int = 0
    """The chain's time at the last step that brought a block, in seconds."""
    broken: str = ""
    """What events could not be applied to the state, if that ever happened: nothing is read any more then."""
    _saved_at: float = 0.0
    _saved_block: int = -1

    def __post_init__(self) -> None:
        self._restore(None)

    @property
    def head(self) -> int:
        """The last block that was read; -1 before the first."""
        return self.cursor.next_block - 1

    def catch_up(self) -> None:
        """Read everything up to the head as it is now, and keep a checkpoint of it."""
        while True:
            before = self.cursor.next_block
            change = self.step()
            if change is None or (self.cursor.next_block == before and not change.rewound):
                break
        self.save()

    def step(self) -> Change | None:
        """The next chunk of events; None when there is no new block. Raises ChainError, and AuditFailed, then and ever
        after, once events came that no state can follow: the last checkpoint stays, and nothing after it is read.
        """
        if self.broken:
            raise AuditFailed(self.broken, hint="ask another endpoint, and run: pdfed audit")
        before = self.cursor.next_block
        with self.lock:
            news = self.client.events.poll(self.cursor)
            back = next((item for item in news if isinstance(item, Rewound)), None)
            if back is not None:
                self._restore(back.block)
                return Change(self.head, (), rewound=True)
            if self.cursor.next_block == before:
                return None
            touched = self._applied([item for item in news if not isinstance(item, Rewound)])
            self.now = self.client.now()
            if touched and time.monotonic() - self._saved_at >= CHECKPOINT_EVERY:
                self.save()
            return Change(self.head, touched)

    def _applied(self, events: list[Event]) -> tuple[int, ...]:
        try:
            return self._apply(events)
        except (
            AuditFailed,
            LookupError,
            ArithmeticError,
            TypeError,
            ValueError,
            AttributeError,
            AssertionError,
        ) as error:
            blocks = f"{events[0].where.block} to {events[-1].where.block}"
            told = error.message if isinstance(error, AuditFailed) else f"{type(error).__name__}: {error}"
            self.broken = f"events of blocks {blocks} contradict everything before them ({clean(told)})"
            self._restore(None)
            raise AuditFailed(self.broken, hint="ask another endpoint, and run: pdfed audit") from error

    def _apply(self, events: Iterable[Event]) -> tuple[int, ...]:
        touched: set[int] = set()
        lines, earned = [], []
        for event in events:
            lines += list(lines_of(self.reducer, event))
            self.reducer.apply(event)
            self.flows.add(event, self.reducer.state)
            earned += list(earnings_of(event, self.reducer.state))
            touched |= {number for name in ("id", "source", "to") if isinstance(number := getattr(event, name, 0), int)}
        self.chronicle.add(lines, earned)
        return tuple(sorted(touched - {0}))

    def save(self) -> None:
        """Keep a checkpoint at the last block that was read."""
        with self.lock:
            if self.head != self._saved_block and not self.broken:
                kept = Kept(self.reducer.state, self.flows)
                place = json.dumps({"next_block": self.cursor.next_block, "passed": self.cursor.passed})
                self.chronicle.keep(self.head, place, msgspec.json.encode(kept))
                self._saved_block = self.head
            self._saved_at = time.monotonic()

    def _restore(self, block: int | None) -> None:
        """Go back to the newest checkpoint at or below a block, or to the beginning of the task."""
        found = self.chronicle.rewind(block)
        params, genesis = self.client.params(), self.client.genesis()
        if found is None:
            self.reducer, self.flows = Reducer(params, genesis), Flows()
            self.cursor = Cursor(self.client.flows.at.start)
        else:
            place = json.loads(found[0])
            gc.disable()  # a large state is a large number of small objects, none of them garbage
            try:
                kept = msgspec.json.decode(found[1], type=Kept)
            finally:
                gc.enable()
            self.reducer, self.flows = Reducer(params, genesis, kept.state), kept.flows
            self.cursor = Cursor(
                int(place["next_block"]), [(int(number), str(name)) for number, name in place["passed"]]
            )
        self._saved_block = self.head
        self.now = self.client.now()
