"""What one node voted, earned and lost, and why: told from the events alone, in the words of `explain`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pdfed_sdk.audit.explain import tell
from pdfed_sdk.audit.reducer import Reducer
from pdfed_sdk.audit.state import TaskState
from pdfed_sdk.buckets import grains_of
from pdfed_sdk.chain import event_types as types
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.reads import address
from pdfed_sdk.types import Address


@dataclass(frozen=True, slots=True)
class Earned:
    """One thing that submission ``id`` brought (``amount`` above 0, token units) or took, why, and in which block."""

    id: int
    amount: int
    told: str
    block: int


@dataclass(frozen=True, slots=True)
class Cast:
    """A vote: ``improvement`` as the index of its bucket, and in ``grains``; None while it is sealed, or for good."""

    id: int
    improvement: int | None
    grains: int | None
    settled: bool


@dataclass(frozen=True)
class Results:
    """All of a node's votes and sums, oldest first. What a node still holds as bonds is neither earned nor lost."""

    votes: list[Cast]
    entries: list[Earned]

    @property
    def earned(self) -> int:
        return sum(entry.amount for entry in self.entries if entry.amount > 0)

    @property
    def lost(self) -> int:
        return -sum(entry.amount for entry in self.entries if entry.amount < 0)


def results(client: PdfedClient, node: str, *, from_block: int | None = None) -> Results:
    """Replay the task for one node. Raises ChainError, and UsageError for what is no address."""
    me = address(node, "node")
    reducer, entries = Reducer(client.params(), client.genesis()), list[Earned]()
    for event in client.events.replay(from_block=from_block):
        entries += _of(me, reducer, event)
        reducer.apply(event)
    return Results(_votes(me, reducer.state), entries)


def _votes(me: Address, state: TaskState) -> list[Cast]:
    found = []
    for number, model in state.models.items():
        if me in model.votes:
            vote = model.votes[me]
            grains = None if vote.improvement is None else grains_of(vote.improvement)
            found.append(Cast(number, vote.improvement, grains, vote.settled))
    return found


def _of(me: Address, reducer: Reducer, event: types.Event) -> Iterator[Earned]:
    """What an event gives to ``me``, or takes. With the state as it stood before it."""
    match event:
        case types.SubmissionBonded(author=author) if author == me:
            paid, sign = slice(1, 3), -1  # fee and surcharge; the bond comes back
        case types.Settled(node=node) if node == me:
            paid, sign = slice(0, 1), 1
        case types.Shared(author=author) | types.Poured(author=author) if author == me:
            paid, sign = slice(0, 1), 1
        case _:
            return
    for line in list(tell(reducer, event))[paid]:
        if line.amount or isinstance(event, types.Settled):
            told = f"{line.subject.partition(' of ')[0]}: {line.told}"
            yield Earned(event.id, sign * (line.amount or 0), told, line.block)
