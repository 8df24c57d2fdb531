"""Sums of money that moved, by reason: for each address, and for the task as a whole. Token units.

Only additions over what the events state; whether they state it rightly is the reducer's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pdfed_sdk.audit.state import TaskState
from pdfed_sdk.chain import event_types as types
from pdfed_sdk.types import GENESIS, Address

CREDITS = ("votes", "rewards", "lineage", "returned")
"""Why a node is credited: pay for votes, own rewards, shares of descendants, scoring fees of ids that became void."""
LOSSES = ("charged", "forfeited", "fees")
"""What a node loses: charges to its votes' bonds, bonds of submissions, scoring fees with their surcharges."""
Entry = tuple[Address | None, str, int]
"""Whose (None: the task's), why, how much."""


@dataclass(slots=True)
class Flows:
    """Everything that was credited, lost, claimed, funded or rewarded so far."""

    nodes: dict[Address, dict[str, int]] = field(default_factory=dict)
    task: dict[str, int] = field(default_factory=dict)

    def add(self, event: types.Event, state: TaskState) -> None:
        """Add one event; ``state`` is that of the task, before or after it."""
        for whose, why, amount in entries(event, state):
            sums = self.task if whose is None else self.nodes.setdefault(whose, {})
            sums[why] = sums.get(why, 0) + amount

    def of(self, node: Address) -> dict[str, int]:
        return self.nodes.get(node, {})


def entries(event: types.Event, state: TaskState) -> list[Entry]:
    """What one event adds to which sums."""
    match event:
        case types.SubmissionBonded():
            return [(event.author, "fees", event.fee + event.surcharge), (None, "surcharges", event.surcharge)]
        case types.Settled():
            own = event.node == state.models[event.id].author
            return [
                (event.node, "returned" if own else "votes", event.paid),
                (event.node, "forfeited" if own else "charged", event.forfeited),
                (None, "forfeits and charges", event.forfeited),
                (None, "rest of fees", event.to_commons),
            ]
        case types.Shared():
            return [(event.author, "rewards" if event.id == event.source else "lineage", event.to_author)]
        case types.Poured():
            ended = event.passed if event.reference_id == GENESIS else 0
            return [(event.author, "lineage", event.to_author), (None, "lineage to the commons", ended)]
        case types.Claimed():
            return [(event.node, "claimed", event.amount)]
        case types.Funded():
            return [(None, "funded", event.amount)]
        case types.Reclaimed():
            return [(None, "reclaimed", event.amount)]
        case types.RoyaltyPaid():
            return [(None, "royalties", event.amount)]
        case types.Rewarded():
            return [(None, "from the allowance", event.from_allowance), (None, "from the commons", event.from_commons)]
        case types.CommonsDivided():
            return [(None, "commons divided", event.amount)]
        case _:
            return []
