"""Who contributed how much of a reward, in whole numbers: what the contracts compute, computed again. Pure functions.

Source: protocol rules 8 (measured level M, carried), 9 (reward) and 10 (lineage). M, carried and gains are grains
(1/32 octave), amounts token units, rates 10^18 = 1. A split conserves its amount to the unit: the author's part is
rounded down, parents are paid in the order in which they are declared, and the last one takes what rounding left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pdfed_sdk.types import BPS, GENESIS

WAD: Final = 10**18
MOST_GAIN: Final = 128
"""Grains of one step that are paid at most."""
_TWELFTHS: Final = 12
"""A grain divides evenly among one to four parents in twelfths."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What splitting needs to know of a Final model: M, the greatest M it carried, and its Final parents in order."""

    measured: int
    carried: int
    parents: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """One amount divided at one model: to its author, and (parent, amount) for what lies below its own grains."""

    author: int
    below: tuple[tuple[int, int], ...]


def power_up(base: int, exponent: int) -> int:
    """base^exponent with 10^18 = 1, rounded up at each squaring and product."""
    result = WAD
    while exponent:
        if exponent & 1:
            result = -(-result * base // WAD)
        base = -(-base * base // WAD)
        exponent >>= 1
    return result


def carried(measured: int, parents: Sequence[int]) -> int:
    """The greatest M among the declared Final parents, at most one's own; 0, the genesis, without any."""
    return min(measured, max(parents, default=0))


def reward(available: int, step_rate_bps: int, gain: int) -> int:
    """available · (1 − (1 − r)^gain), rounded down: what a gain draws of the allowance or of the commons."""
    left = power_up((BPS - step_rate_bps) * (WAD // BPS), min(gain, MOST_GAIN))
    return available * (WAD - left) // WAD


def backed(gain: int, measured: int, base: int) -> int:
    """Grains of a gain by which M rose above the old best's (``base``); the others a veto had held down."""
    return min(gain, max(0, measured - base))


def own_grains(gain: int, measured: int, carried_: int, base: int) -> int:
    """Grains of a gain that are its author's own work; by these, not by the paid ones, a pour pays a model."""
    return max(0, min(gain, measured - max(base, carried_)))


def held_down(amount: int, gain: int, backed_grains: int) -> int:
    """The part of a reward that belongs to grains held down before, rounded down; nothing of a model without gain."""
    return amount * (gain - backed_grains) // gain if gain else 0


def split(amount: int, model: Measured, base: int, measured: Mapping[int, int]) -> Split:
    """Divide an amount for a model among the grains between ``base`` and its M.

    Grains above what it carried are its author's; each one below is shared equally among the parents whose M reaches
    it. ``measured`` maps the ids of parents to their M.
    """
    if model.measured <= base:
        return Split(amount, ())
    floor = max(base, model.carried)
    author = amount * (model.measured - floor) // (model.measured - base)
    return Split(author, among(amount - author, model.parents, base, floor, measured))


def among(
    amount: int, parents: Sequence[int], base: int, top: int, measured: Mapping[int, int]
) -> tuple[tuple[int, int], ...]:
    """Share an amount grain by grain between ``base`` and ``top``, each equally among the parents that reach it."""
    heights = [max(0, min(measured[parent], top) - base) for parent in parents]
    weights = [weight(heights, index) for index in range(len(parents))]
    left, total = amount, sum(weights)
    parts: list[tuple[int, int]] = []
    for parent, own in zip(parents, weights, strict=True):
        part = left * own // total if total else 0
        left, total = left - part, total - own
        if part:
            parts.append((parent, part))
    return tuple(parts)


def weight(heights: Sequence[int], index: int) -> int:
    """Twelfths of a grain that fall to parent ``index``: below each height, a grain is divided by who reaches it."""
    own, low, found = heights[index], 0, 0
    for height in sorted(set(heights)):
        if height > own:
            break
        reached = sum(other >= height for other in heights)
        found += (height - low) * (_TWELFTHS // reached)
        low = height
    return found


def lifted(parents: Sequence[int], start: int, measured: Mapping[int, int]) -> tuple[int, ...]:
    """The declared Final parents with M above that of the reference: those that a veto may have held down."""
    return tuple(parent for parent in parents if measured[parent] > start)


def opened(
    amount: int, gain: int, model: Measured, base: int, start: int, measured: Mapping[int, int]
) -> tuple[Split, tuple[tuple[int, int], ...]]:
    """The first division of what a best model earned: (its split above ``base``, shares of the part held down).

    ``base`` is M of the best before it, ``start`` M of its reference. A royalty is divided like the reward; that of a
    model which never became best above M of its reference, with a gain of 0.
    """
    above = lifted(model.parents, start, measured)
    held = held_down(amount, gain, backed(gain, model.measured, base)) if above else 0
    top = max((measured[parent] for parent in above), default=start)
    return split(amount - held, model, base, measured), among(held, above, start, top, measured)


def kept(author_part: int, lineage_bps: int) -> tuple[int, int]:
    """(for the author, for the lineage along references): ρ of every author's part, rounded down, flows on."""
    passed = author_part * lineage_bps // BPS
    return author_part - passed, passed


def stream(pending: int, decay_bps: int, own: int) -> int:
    """The author's part of what flows along references: pending · (1 − λ^own), rounded down."""
    return pending * (WAD - power_up(decay_bps * (WAD // BPS), own)) // WAD


def commons_part(commons: int, gain: int, total_gain: int) -> int:
    """A best model's part of the commons at the end of a task: by its paid grains, rounded down."""
    return commons * gain // total_gain if total_gain else 0


def settle_all(
    amount: int,
    number: int,
    gain: int,
    base: int,
    start: int,
    models: Mapping[int, Measured],
) -> dict[int, int]:
    """Follow every share of a reward to its end: what each model's author gets of it, ρ not yet taken. Sums to it."""
    measured = {key: model.measured for key, model in models.items()}
    first, held = opened(amount, gain, models[number], base, start, measured)
    earned = {number: first.author}
    waiting = [(parent, part, base) for parent, part in first.below] + [(parent, part, start) for parent, part in held]
    while waiting:
        at, part, above = waiting.pop()
        if at == GENESIS:
            raise ValueError("no share reaches the genesis: its M is 0 and no base lies below")
        parts = split(part, models[at], above, measured)
        earned[at] = earned.get(at, 0) + parts.author
        waiting += [(parent, amount_, above) for parent, amount_ in parts.below]
    return earned
