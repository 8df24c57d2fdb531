"""The treasury from its events: the sponsor's funds, the commons, and what is on its way to authors.

Each split is computed again by contribution.py and held against what the events say, share by share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pdfed_sdk.audit import contribution as rule
from pdfed_sdk.audit.state import ShareState, TaskState
from pdfed_sdk.chain import event_types as types
from pdfed_sdk.chain.calls import TaskParams

TREASURY = (
    *(types.Funded, types.Reclaimed, types.RoyaltyPaid, types.TreasuryFunded, types.TreasuryPaid, types.Rewarded),
    *(types.CommonsDivided, types.Shared, types.ShareGiven, types.Poured),
)
"""Events that are dealt with here."""
Expect = Callable[[types.Event, str, object, object], None]


@dataclass(slots=True)
class Treasury:
    """Applies the events of a treasury to a task's state; ``expect`` takes what they say and what they should say."""

    params: TaskParams
    state: TaskState
    expect: Expect
    _promised: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    """ShareGiven that are still to follow a Shared: source, from, to, above, held."""

    @property
    def promised(self) -> tuple[tuple[int, int, int, int, int], ...]:
        """ShareGiven that are still to follow the last Shared: source, from, to, above, held."""
        return tuple(self._promised)

    def apply(self, event: types.Event) -> None:
        state = self.state
        match event:
            case types.Funded():
                state.funds += event.amount
            case types.Reclaimed():
                state.funds -= event.amount
            case types.RoyaltyPaid():
                state.models[event.id].owed += event.amount
            case types.TreasuryFunded():
                state.treasury += event.amount
                state.received += event.amount
            case types.TreasuryPaid():
                state.treasury -= event.amount
                state.paid_out += event.amount
            case types.Rewarded():
                self._rewarded(event)
            case types.CommonsDivided():
                self._divided(event)
            case types.Shared():
                self._shared(event)
            case types.ShareGiven():
                found = event.source, event.from_, event.to, event.above, event.held
                self.expect(event, "share", found, self._promised.pop(0) if self._promised else None)
                share = state.models[event.to].shares.setdefault(event.source, ShareState())
                share.above += event.above
                share.held += event.held
            case types.Poured():
                self._poured(event)

    def _rewarded(self, event: types.Rewarded) -> None:
        model = self.state.models[event.id]
        drawn = rule.reward(self.state.commons, self.params.step_rate_bps, model.gain)
        self.expect(event, f"reward of {event.id} from the commons", event.from_commons, drawn)
        self.state.funds -= event.from_allowance
        self.state.commons -= event.from_commons
        model.owed += event.from_allowance + event.from_commons

    def _divided(self, event: types.CommonsDivided) -> None:
        models, model = self.state.models, self.state.models[event.id]
        whole = self.state.commons + sum(one.divided for one in models.values())
        part = rule.commons_part(whole, model.gain, sum(one.gain for one in models.values()))
        self.expect(event, f"part of {event.id} of the commons", event.amount, part - model.divided)
        self.state.commons -= event.amount
        model.divided += event.amount
        model.owed += event.amount

    def _shared(self, event: types.Shared) -> None:
        state, model = self.state, self.state.models[event.id]
        own, parts = split_held(state, event.id, event.source)
        kept, passed = rule.kept(own, self.params.lineage_bps)
        found = (event.author, event.to_author, event.to_reference, event.to_parents)
        wanted = (model.author, kept, passed, sum(above + held for _, above, held in parts))
        self.expect(event, f"split of {event.id} for {event.source}", found, wanted)
        self._promised = [(event.source, event.id, parent, above, held) for parent, above, held in parts]
        if event.id == event.source:
            model.owed = 0
        else:
            model.shares.pop(event.source, None)
        state.flow_to(model.reference_id, event.to_reference)

    def _poured(self, event: types.Poured) -> None:
        state, model = self.state, self.state.models[event.id]
        line, (base, _) = state.lineage(event.id), state.bases(event.id)
        own = rule.own_grains(model.gain, line.measured, line.carried, base)
        mine = rule.stream(model.pending, self.params.decay_bps, own)
        found = (event.author, event.to_author, event.passed, event.reference_id)
        wanted = (model.author, mine, model.pending - mine, model.reference_id)
        self.expect(event, f"pour of {event.id}", found, wanted)
        model.pending -= event.to_author + event.passed
        state.flow_to(model.reference_id, event.passed)


def split_held(state: TaskState, number: int, source: int) -> tuple[int, list[tuple[int, int, int]]]:
    """What a model holds of what ``source`` earned, split: its author's part, and (parent, above, held) for each parent
    that gets some, in declared order."""
    model, line = state.models[number], state.lineage(number)
    base, start = state.bases(source)
    known = {parent: state.models[parent].measured for parent in line.parents}
    if number == source:
        first, held = rule.opened(model.owed, model.gain, line, base, start, known)
        return first.author, _joined(line.parents, dict(first.below), dict(held))
    share = model.shares.get(source, ShareState())
    above, below = rule.split(share.above, line, base, known), rule.split(share.held, line, start, known)
    return above.author + below.author, _joined(line.parents, dict(above.below), dict(below.below))


def _joined(parents: tuple[int, ...], above: dict[int, int], held: dict[int, int]) -> list[tuple[int, int, int]]:
    parts = [(parent, above.get(parent, 0), held.get(parent, 0)) for parent in parents]
    return [part for part in parts if part[1] or part[2]]
