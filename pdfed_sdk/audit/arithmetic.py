"""Amounts as arithmetic: how each follows from what the events before it say, written so that anybody can recompute it.

Numbers in square brackets are amounts in token units; ⌊ ⌋ rounds down, ⌈ ⌉ up, everything else is exact. Only what is
drawn from the allowance has none: it follows from the time of its block and from stake, which no event states.
"""

from __future__ import annotations

from collections.abc import Mapping

from pdfed_sdk.audit import contribution as rule
from pdfed_sdk.audit.reducer import Reducer
from pdfed_sdk.audit.rules import RATE, majority_of_others, measured, vote_bond
from pdfed_sdk.audit.state import ModelState, ShareState, TaskState
from pdfed_sdk.chain import event_types as types
from pdfed_sdk.chain.calls import TaskParams
from pdfed_sdk.types import BPS, Status


def sums(reducer: Reducer, event: types.Event) -> list[str]:
    """One expression for each amount that `explain.tell` tells of an event, in its order; empty where there is none.
    With the state as it stood before the event."""
    state, params = reducer.state, reducer.params
    match event:
        case types.SubmissionBonded():
            doubled = ((event.fee + event.surcharge) // event.fee).bit_length() - 1 if event.fee else 0
            return [f"[{event.bond}]", f"[{event.fee}]", f"[{event.fee}] × (2^{doubled} − 1)"]
        case types.VoteBonded():
            return [_vote_bond(event, params)]
        case types.Settled():
            return [_settled(event, state.models[event.id], params)]
        case types.Rewarded():
            left = _left((BPS - params.step_rate_bps), min(state.models[event.id].gain, rule.MOST_GAIN))
            return ["", f"⌊[{state.commons}] × (1 − {left})⌋"]
        case types.CommonsDivided():
            models, model = state.models.values(), state.models[event.id]
            whole, gains = state.commons + sum(one.divided for one in models), sum(one.gain for one in models)
            return [f"⌊[{whole}] × {model.gain} / {gains}⌋" + (f" − [{model.divided}]" if model.divided else "")]
        case types.RoyaltyPaid():
            return [f"[{event.amount}]"]
        case types.Shared():
            own = _own(state, event.id, event.source)
            passed = f"⌊({own}) × {params.lineage_bps} / {BPS}⌋"
            return [f"{own} − {passed}", passed]
        case types.ShareGiven():
            return _given(event, reducer)
        case types.Poured():
            return _poured(event, state, params)
        case _:
            return []


def _left(share_bps: int, exponent: int) -> str:
    """(share)^exponent as the contracts round it: up, to 18 decimals."""
    power = rule.power_up(share_bps * (rule.WAD // BPS), exponent)
    whole, rest = divmod(power, rule.WAD)
    return f"{whole}.{rest:018d}".rstrip("0").rstrip(".")


def _vote_bond(event: types.VoteBonded, params: TaskParams) -> str:
    unit = params.min_stake * params.vote_bond_bps
    weight = event.bond * BPS // unit if unit else 0
    if vote_bond(weight, params.min_stake, params.vote_bond_bps) != event.bond:
        return f"[{event.bond}]"
    return f"⌈{weight} × [{params.min_stake}] × {params.vote_bond_bps} / {BPS}⌉"


def _settled(event: types.Settled, model: ModelState, params: TaskParams) -> str:
    if event.node == model.author:
        return f"−[{event.forfeited}]" if event.forfeited else f"[{event.paid}]" if event.paid else "0"
    vote = model.votes[event.node]
    if vote.improvement is None:
        return f"−[{event.forfeited}]"
    if model.status is not Status.FINAL or not measured(model.median):
        return "0"
    bit = vote.improvement > model.tau
    others = majority_of_others(model.revealed_weight, model.yes_weight, vote.weight, bit)
    surprise = f"{RATE - vote.rate if bit else vote.rate} / {RATE} × {RATE - model.q if others else model.q} / {RATE}"
    slice_ = f"⌊[{params.scoring_fee}] / {model.revealed_weight}⌋ × {vote.weight}"
    stakes = f"min({slice_}, [{vote.bond}]) × {surprise}"
    return f"⌊{stakes}⌋" if bit == others else f"−⌈{stakes}⌉"


def _own(state: TaskState, number: int, source: int) -> str:
    """The author's part of what a model holds of what ``source`` earned, before the lineage's."""
    model, line = state.models[number], state.lineage(number)
    base, start = state.bases(source)
    if number != source:
        share = model.shares.get(source, ShareState())
        parts = [
            _part(f"[{amount}]", line, above) for amount, above in ((share.above, base), (share.held, start)) if amount
        ]
        return " + ".join(parts) or "0"
    amount, known = f"[{model.owed}]", {parent: state.models[parent].measured for parent in line.parents}
    backed = rule.backed(model.gain, line.measured, base)
    if model.gain > backed and rule.lifted(line.parents, start, known):
        amount = f"({amount} − ⌊{amount} × {model.gain - backed} / {model.gain}⌋)"
    return _part(amount, line, base)


def _part(amount: str, line: rule.Measured, base: int) -> str:
    """An amount's part for the grains above what was carried (contribution.split)."""
    if line.measured <= base:
        return amount
    return f"⌊{amount} × {line.measured - max(base, line.carried)} / {line.measured - base}⌋"


def _given(event: types.ShareGiven, reducer: Reducer) -> list[str]:
    """Each parent's part of what is left when its turn comes, by twelfths of a grain (contribution.among)."""
    state, waiting = reducer.state, reducer.treasury.promised
    line, (base, start) = state.lineage(event.from_), state.bases(event.source)
    known = {parent: state.models[parent].measured for parent in line.parents}
    held_parents, top = line.parents, max(start, line.carried)
    if event.from_ == event.source:
        held_parents = rule.lifted(line.parents, start, known)
        top = max((known[parent] for parent in held_parents), default=start)
    found = []
    if event.above:
        left = sum(promise[3] for promise in waiting)
        found.append(_turn(left, event.to, line.parents, known, base, max(base, line.carried)))
    if event.held:
        left = sum(promise[4] for promise in waiting)
        found.append(_turn(left, event.to, held_parents, known, start, top))
    return found


def _turn(left: int, parent: int, parents: tuple[int, ...], known: Mapping[int, int], base: int, top: int) -> str:
    heights = [max(0, min(known[one], top) - base) for one in parents]
    weights = [rule.weight(heights, index) for index in range(len(parents))]
    at = parents.index(parent)
    return f"⌊[{left}] × {weights[at]} / {sum(weights[at:])}⌋"


def _poured(event: types.Poured, state: TaskState, params: TaskParams) -> list[str]:
    line, model, (base, _) = state.lineage(event.id), state.models[event.id], state.bases(event.id)
    own = rule.own_grains(model.gain, line.measured, line.carried, base)
    mine = f"⌊[{model.pending}] × (1 − {_left(params.decay_bps, own)})⌋"
    return [mine, f"[{model.pending}] − {mine}"]
