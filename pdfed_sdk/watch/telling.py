"""Events as lines of the ledger: the audit's explanations, and one sentence for events that it need not explain."""

from __future__ import annotations

from collections.abc import Iterator

from pdfed_sdk.audit.explain import tell
from pdfed_sdk.audit.flows import CREDITS, LOSSES, entries
from pdfed_sdk.audit.reducer import Reducer
from pdfed_sdk.audit.state import TaskState
from pdfed_sdk.chain import event_types as types
from pdfed_sdk.types import Address, role_words
from pdfed_sdk.watch.chronicle import Earning, Line

ACTORS = ("node", "voter", "author", "sponsor", "payer")
"""Fields of events that name who acted, or who is paid."""


def lines_of(reducer: Reducer, event: types.Event) -> Iterator[Line]:
    """What an event says, with the state as it stood before it: call it before ``reducer.apply``."""
    for told in tell(reducer, event):
        yield _line(event, told.subject, told.amount, told.told, told.sum)
    other = _others(event)
    if other is not None:
        yield _line(event, *other)


def earnings_of(event: types.Event, state: TaskState) -> Iterator[Earning]:
    """What an event adds to the results of nodes."""
    for whose, why, amount in entries(event, state):
        if whose is not None and amount and why in (*CREDITS, *LOSSES):
            net = amount if why in CREDITS else -amount
            yield event.where.block, event.where.timestamp, str(whose), net


def actor(event: types.Event) -> Address | None:
    """Who an event is about."""
    return next((getattr(event, name) for name in ACTORS if hasattr(event, name)), None)


def _line(event: types.Event, subject: str, amount: int | None, told: str, sum_: str = "") -> Line:
    number = getattr(event, "to" if isinstance(event, types.ShareGiven) else "id", None)
    where = event.where
    return Line(
        *(where.block, where.timestamp, type(event).__name__, number, actor(event), subject, amount, told),
        *(where.tx_hash, sum_),
    )


def _others(event: types.Event) -> tuple[str, int | None, str] | None:
    match event:
        case types.NodeRegistered():
            return f"node {event.node}", None, f"registers as {role_words(event.roles)}"
        case types.Deposited():
            return f"stake of {event.node}", event.amount, "put in"
        case types.UnstakeRequested():
            return f"stake of {event.node}", event.amount, "asked back: it waits for the unbonding time"
        case types.Withdrawn():
            return f"stake of {event.node}", -event.amount, "taken out"
        case types.Claimed():
            return f"credit of {event.node}", -event.amount, "paid out to its wallet"
        case types.Funded():
            return "sponsor", event.amount, "put into the pool"
        case types.Reclaimed():
            return "sponsor", -event.amount, "taken back after the end of the task"
        case types.Submitted():
            parents = ", ".join(f"#{p.id} ({p.weight_bps / 100:g} %)" for p in event.record.parents)
            return f"#{event.id}", None, f"submitted; made from {parents}"
        case types.Committed():
            return f"vote of {event.voter}", None, f"sealed, weight {event.weight}"
        case types.BestChanged():
            return f"#{event.id}", None, f"is the best model now, in the place of #{event.previous}"
        case types.Closed():
            return "task", None, "closed: nothing more can be reserved"
        case types.Paused():
            return "task", None, "the guardian pauses reservations"
        case _:
            return None
