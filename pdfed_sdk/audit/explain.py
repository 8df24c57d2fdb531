"""Why each fee, bond, vote, reward and share of one submission is what it is: told from the events alone.

The reducer replays the task; each event that concerns the submission is told with the numbers it follows from, as they
stood just before it. Nothing is asked of the contracts but their events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pdfed_sdk.audit import contribution as rule
from pdfed_sdk.audit.arithmetic import sums
from pdfed_sdk.audit.reducer import Reducer, open_ids
from pdfed_sdk.audit.rules import RATE, majority_of_others, measured
from pdfed_sdk.audit.state import ModelState, TaskState
from pdfed_sdk.buckets import LOWEST, grains_of, width_of
from pdfed_sdk.chain import event_types as types
from pdfed_sdk.chain.calls import TaskParams
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.errors import AuditFailed, UsageError
from pdfed_sdk.types import BPS, GENESIS, Status


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that happened: to whom, how much (token units; None where no money moved), why, and in which block.
    ``sum`` is the amount as arithmetic (arithmetic.py)."""

    subject: str
    amount: int | None
    told: str
    block: int
    sum: str = ""


def explain(client: PdfedClient, submission: int, *, from_block: int = 0) -> list[Told]:
    """Everything that money and votes did for a submission, in order. UsageError if there is no such id; AuditFailed if
    the events contradict the rules, since what is not right cannot be explained."""
    reducer = Reducer(client.params(), client.genesis())
    told: list[Told] = []
    for event in client.events.replay(from_block=from_block):
        if submission in {getattr(event, name, None) for name in ("id", "source", "from_", "to")}:
            told += tell(reducer, event)
        reducer.apply(event)
    if submission == GENESIS or submission not in reducer.state.models:
        last = len(reducer.state.models) - 1
        known = f"ids are 1 … {last}" if last > 0 else "the task has no submission yet"
        raise UsageError(f"there is no submission {submission}", hint=known)
    if reducer.state.faults:
        raise AuditFailed(f"the events break the rules: {reducer.state.faults[0]}", hint="run: pdfed audit")
    return told


def tell(reducer: Reducer, event: types.Event) -> Iterator[Told]:
    """What one event says of money and votes, with the state as it stood before it: call it before ``reducer.apply``.
    Events that are neither yield nothing."""
    if not isinstance(event, _TOLD):
        return
    known = iter(sums(reducer, event))
    for subject, amount, text in _text(event, reducer.state, reducer.params, getattr(event, "id", GENESIS)):
        yield Told(subject, amount, text, event.where.block, "" if amount is None else next(known, ""))


_TOLD = (
    *(types.Reserved, types.SubmissionBonded, types.VoteBonded, types.Revealed, types.Finalized, types.Settled),
    *(types.Rewarded, types.CommonsDivided, types.RoyaltyPaid, types.Shared, types.ShareGiven, types.Poured),
)
Line = tuple[str, int | None, str]


def _text(event: types.Event, state: TaskState, params: TaskParams, number: int) -> Iterator[Line]:
    match event:
        case types.SubmissionBonded():
            yield f"bond of {event.author}", event.bond, "locked until the id is terminal"
            yield f"scoring fee of {event.author}", event.fee, "for the voters; back if the id becomes Void"
            yield f"surcharge of {event.author}", event.surcharge, "to the commons, never back"
        case types.Reserved():
            count = open_ids(state, params, event.reserved_at)
            doubled = count // params.slots
            yield (
                f"fee of #{number}",
                None,
                f"{count} ids were open, {params.slots} a doubling: the fee is 2^{doubled} times",
            )
        case types.VoteBonded():
            yield f"vote bond of {event.voter}", event.bond, f"{params.vote_bond_bps / 100:g} % of its weight's stake"
        case types.Revealed():
            vote = state.models[number].votes[event.voter]
            yield f"vote of {event.voter}", None, f"{_grains(event.improvement)}, weight {vote.weight}"
        case types.Finalized():
            yield from _finalized(event, state, params, number)
        case types.Settled():
            yield _settled(event, state.models[number], params)
        case types.Rewarded():
            model = state.models[number]
            share = 1 - (1 - params.step_rate_bps / BPS) ** model.gain
            why = f"1 − (1 − {params.step_rate_bps / BPS:g})^{model.gain} = {100 * share:.2f} % of the"
            yield f"reward of #{number}", event.from_allowance, f"{why} allowance"
            yield f"reward of #{number}", event.from_commons, f"{why} commons"
        case types.CommonsDivided():
            gains = sum(model.gain for model in state.models.values())
            told = f"{state.models[number].gain} of all {gains} grains that became best: its part of the commons"
            yield f"end of the task for #{number}", event.amount, told
        case types.RoyaltyPaid():
            yield f"royalty of #{number}", event.amount, f"paid by {event.payer}; divided like a reward"
        case types.Shared():
            yield from _shared(event, state, params)
        case types.ShareGiven():
            yield from _given(event, state)
        case types.Poured():
            yield from _poured(event, state, params)


def _finalized(event: types.Finalized, state: TaskState, params: TaskParams, number: int) -> Iterator[Line]:
    model, result, standing = state.models[number], event.result, event.standing
    name = f"#{number}"
    opened = sum(vote.improvement is not None for vote in model.votes.values())
    if event.status is not Status.FINAL:
        why = (
            "it was never submitted"
            if model.record is None
            else (
                f"{opened} votes of weight {result.revealed_weight}; {params.min_voters} votes and a quorum of the "
                f"eligible {model.eligible} are needed"
            )
        )
        yield name, None, f"Void: {why}"
        return
    kappa = params.kappa_bps / 100
    yield name, None, f"outcome {_grains(result.outcome)}: the {kappa:g} % quantile of {opened} votes by weight"
    yield name, None, f"median {_grains(result.median)}: decides who contributed"
    reference = state.models[model.reference_id]
    yield (
        name,
        None,
        (
            f"level {standing.level} = {reference.level} of its reference #{model.reference_id} "
            f"{grains_of(result.outcome):+d}; measured level {standing.measured} = {reference.measured} "
            f"{grains_of(result.median):+d}"
        ),
    )
    best = state.models[state.best]
    off = 0 if model.reference_id == state.best else width_of(result.outcome)
    reduced = f", less the bucket's width {off} as its reference was not the best any more" if off else ""
    above = standing.level - best.level - off
    verdict = (
        f"it becomes best by {standing.gain} grains"
        if standing.gain
        else f"below the least step of {params.min_step}: no gain"
    )
    yield name, None, f"{standing.level} − {best.level} of the best #{state.best}{reduced} = {above}: {verdict}"


def _settled(event: types.Settled, model: ModelState, params: TaskParams) -> Line:
    if event.node == model.author:
        if event.forfeited:
            why = "it was never submitted" if model.record is None else "the median of the votes is the lowest bucket"
            return f"bond of {event.node}", -event.forfeited, f"lost to the commons: {why}"
        back = "; the fee is back, as the id is Void" if event.paid else ""
        return f"bond of {event.node}", event.paid, f"released{back}"
    vote, who = model.votes[event.node], f"vote of {event.node}"
    if vote.improvement is None:
        return who, -event.forfeited, "never opened: the whole bond goes to the commons"
    if model.status is not Status.FINAL:
        return who, 0, "the id is Void: the bond is released, nobody is paid"
    if not measured(model.median):
        return who, 0, "the median is no measurement: nobody is paid or charged"
    bit = vote.improvement > model.tau
    others = majority_of_others(model.revealed_weight, model.yes_weight, vote.weight, bit)
    own, usual = 100 * vote.rate / RATE, 100 * model.q / RATE
    says = f"above τ = {model.tau}" if bit else f"not above τ = {model.tau}"
    agreed = "so did" if bit == others else "unlike"
    told = (
        f"it said {says} ({own:.0f} % of its votes do), {agreed} the majority of the others "
        f"({usual:.0f} % of the time): "
        + ("paid from its slice of the fee" if bit == others else "charged to its bond, for the commons")
    )
    return who, event.paid - event.forfeited, told


def _shared(event: types.Shared, state: TaskState, params: TaskParams) -> Iterator[Line]:
    line, (base, start) = state.lineage(event.id), state.bases(event.source)
    floor = max(base, line.carried)
    own = max(0, line.measured - floor)
    told = f"{own} of the {max(0, line.measured - base)} grains above {base} are its own"
    if line.carried > base:
        told += f", {line.carried} it carried over from its parents"
    model, source = state.models[event.id], state.models[event.source]
    if event.id == event.source and model.gain:
        kept = rule.backed(source.gain, source.measured, base)
        if kept < source.gain and rule.lifted(line.parents, start, {p: state.models[p].measured for p in line.parents}):
            told += f"; {source.gain - kept} of its {source.gain} grains a veto had held down, they are its parents'"
    who = f"author {event.author} of #{event.id}"
    yield (
        who,
        event.to_author,
        f"of what #{event.source} earned: {told}, less {params.lineage_bps / 100:g} % for the lineage",
    )
    where = "the commons" if model.reference_id == GENESIS else f"#{model.reference_id}"
    yield f"lineage of #{event.id}", event.to_reference, f"flows on along references, to {where}"


def _given(event: types.ShareGiven, state: TaskState) -> Iterator[Line]:
    (base, start), reach = state.bases(event.source), state.models[event.to].measured
    for amount, above, why in ((event.above, base, ""), (event.held, start, " that a veto had held down")):
        if amount:
            told = f"of what #{event.source} earned, by #{event.from_}: its {reach} reaches grains above {above}{why}"
            yield f"parent #{event.to}", amount, told


def _poured(event: types.Poured, state: TaskState, params: TaskParams) -> Iterator[Line]:
    line, model, (base, _) = state.lineage(event.id), state.models[event.id], state.bases(event.id)
    own = rule.own_grains(model.gain, line.measured, line.carried, base)
    share = 100 * (1 - (params.decay_bps / BPS) ** own)
    told = f"{own} own grains stop {share:.1f} % of what came in along references"
    yield f"author {event.author} of #{event.id}", event.to_author, told
    where = "the commons" if event.reference_id == GENESIS else f"#{event.reference_id}"
    yield f"lineage of #{event.id}", event.passed, f"the rest flows on to {where}"


def _grains(index: int) -> str:
    named = {LOWEST: " (or unusable)", LOWEST + 1: " (bytes missing)"}.get(index, "")
    return f"{grains_of(index):+d} grains{named}"
