"""What a node knows of a task, from events alone: submissions, windows, votes, who is registered. No decisions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pdfed_sdk.chain import event_types
from pdfed_sdk.chain.calls import TaskParams, Windows
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.replay import Cursor, Rewound
from pdfed_sdk.errors import ChainError
from pdfed_sdk.types import GENESIS, Address, ModelDigests, ModelRecord, Role, Status, SubmissionId


@dataclass(slots=True)
class Entry:
    """One submission as the event log tells it."""

    id: SubmissionId
    author: Address
    reference: SubmissionId
    reserved_at: int
    windows: Windows
    status: Status = Status.RESERVED
    record: ModelRecord | None = None
    level: int = 0
    """Level, measured level and gain in grains; ``outcome`` is the index of a bucket."""
    measured: int = 0
    outcome: int | None = None
    gain: int = 0
    commits: dict[Address, int] = field(default_factory=dict)
    """Frozen weight by voter."""
    votes: dict[Address, int] = field(default_factory=dict)
    settled: set[Address] = field(default_factory=set)

    @property
    def terminal(self) -> bool:
        return self.status in (Status.FINAL, Status.VOID)

    @property
    def unsettled(self) -> list[Address]:
        return [voter for voter in self.commits if voter not in self.settled] if self.terminal else []


class TaskView:
    """The read model of a node loop. ``refresh`` reads what is new; a reorg rebuilds it from the start."""

    def __init__(self, client: PdfedClient) -> None:
        self._client = client
        self.params: TaskParams = client.params()
        self.genesis: ModelDigests = client.genesis()
        self._clear()

    def _clear(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.roles: dict[Address, Role] = {}
        self.best: SubmissionId = GENESIS
        self.best_level = 0
        self.closed = False
        self._cursor = Cursor(self._client.flows.at.start)

    def refresh(self) -> list[event_types.Event]:
        """Read new events; returns them in order. ChainError for a log that contradicts itself, which is read anew the
        next time."""
        events: list[event_types.Event] = []
        while True:
            before = self._cursor.next_block
            news = self._client.events.poll(self._cursor)
            if any(isinstance(item, Rewound) for item in news):
                self._clear()
                events.clear()
                continue
            fresh = [item for item in news if not isinstance(item, Rewound)]
            try:
                self.apply(fresh)
            except KeyError as error:
                self._clear()
                raise ChainError(
                    f"the endpoint's log names {error} before that was reserved: it left out or changed an event",
                    hint="use another endpoint",
                ) from error
            events += fresh
            if self._cursor.next_block == before:
                return events

    def apply(self, events: Iterable[event_types.Event]) -> None:
        for event in events:
            match event:
                case event_types.NodeRegistered():
                    self.roles[event.node] = Role(event.roles)
                case event_types.Reserved():
                    self._reserved(event)
                case event_types.Submitted():
                    entry = self.entries[event.id]
                    entry.status, entry.record = Status.OPEN, event.record
                case event_types.Committed():
                    self.entries[event.id].commits[event.voter] = event.weight
                case event_types.Revealed():
                    self.entries[event.id].votes[event.voter] = event.improvement
                case event_types.Finalized():
                    entry = self.entries[event.id]
                    entry.status = Status(event.status)
                    if entry.status is Status.FINAL:
                        entry.outcome = event.result.outcome
                        entry.level, entry.gain = event.standing.level, event.standing.gain
                        entry.measured = event.standing.measured
                case event_types.BestChanged():
                    self.best, self.best_level = SubmissionId(event.id), event.level
                case event_types.Settled() if event.node in self.entries[event.id].commits:
                    self.entries[event.id].settled.add(event.node)
                case event_types.Closed():
                    self.closed = True
                case _:
                    pass

    def _reserved(self, event: event_types.Reserved) -> None:
        p, at = self.params, event.reserved_at
        commit_end = at + p.commit_window
        reveal_start = commit_end + p.reveal_gap
        self.entries[event.id] = Entry(
            id=SubmissionId(event.id),
            author=event.author,
            reference=SubmissionId(event.reference_id),
            reserved_at=at,
            windows=Windows(
                submit_end=at + p.submit_window,
                commit_end=commit_end,
                reveal_start=reveal_start,
                reveal_end=reveal_start + p.reveal_window,
            ),
        )

    def relatives(self, entry: Entry) -> tuple[list[SubmissionId], list[SubmissionId]]:
        """Earlier submissions from which an id may have been made without saying so, and others that went from the same
        reference, to compare with; both newest first (rule 10, hidden parents).

        Suspects are Open, Void, or measure above the id's reference. Its author's own are left out, and its declared
        parents, unless they are Void: a Void one carries nothing, so it is declared in vain.
        """
        declared = {parent.id for parent in entry.record.parents} if entry.record else set()
        least = self.entries[entry.reference].measured if entry.reference else 0
        suspects, others = [], []
        for other in sorted(self.entries.values(), key=lambda e: -e.id):
            if other.record is None or other.author == entry.author or other.id >= entry.id:
                continue
            if other.id in declared and other.status is not Status.VOID:
                continue
            if other.status in (Status.OPEN, Status.VOID) or other.measured > least:
                suspects.append(other.id)
            elif other.reference == entry.reference:
                others.append(other.id)
        return suspects, others

    def level_of(self, submission: SubmissionId) -> int:
        return 0 if submission == GENESIS else self.entries[submission].level

    def digests_of(self, submission: SubmissionId) -> ModelDigests | None:
        if submission == GENESIS:
            return self.genesis
        record = self.entries[submission].record
        return record.digests if record else None

    @property
    def all_terminal(self) -> bool:
        return all(entry.terminal for entry in self.entries.values())

    @property
    def all_settled(self) -> bool:
        return self.all_terminal and not any(entry.unsettled for entry in self.entries.values())
