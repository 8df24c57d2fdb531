"""The money and voting rules in whole numbers: what the contracts compute, computed again. Pure functions.

Source: protocol rules 6 (outcome), 8 (level), 10 (lineage) and 11 (voters' pay). Rates of the task have 10^18 = 1, a
voter's own rate 2^24 = 1; amounts are token units. Payouts round down, charges up, as on chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pdfed_sdk.types import BPS, HIGHEST, LOWEST

WAD: Final = 10**18
RATE: Final = 1 << 24
MEMORY: Final = 50
"""Ids the task's majority rate remembers."""
PRIOR: Final = 4
"""Virtual votes at the task's rate that every voter's own rate starts from."""
FULL_HISTORY: Final = 2**16 - 1
"""Votes a voter's history can count before it is halved."""
LEAST_TAU: Final = -2


def quantile(votes: Sequence[tuple[int, int]], share_bps: int) -> int:
    """Lower weighted quantile of (improvement, weight): the smallest v with W(≤ v) ≥ share · W."""
    total, below = sum(weight for _, weight in votes), 0
    for improvement, weight in sorted(votes):
        below += weight
        if below * BPS >= share_bps * total:
            return improvement
    return LOWEST


def vote_bond(weight: int, min_stake: int, vote_bond_bps: int) -> int:
    """What a vote of ``weight`` locks, rounded up."""
    return -(-weight * min_stake * vote_bond_bps // BPS)


def add_to_history(yes: int, seen: int, above: bool) -> tuple[int, int]:
    """A voter's history with one more revealed vote; a full one is halved first."""
    if seen == FULL_HISTORY:
        yes, seen = yes // 2, seen // 2
    return yes + above, seen + 1


def own_rate(yes: int, seen: int, q: int) -> int:
    """f = (S + 4 q) / (M + 4): a voter's shrunk rate of votes above τ, frozen at commit."""
    return ((yes * WAD + PRIOR * q) * RATE) // ((seen + PRIOR) * WAD)


def majority_of_others(total: int, above: int, weight: int, bit: bool) -> bool:
    """Weighted majority bit of the voters other than one of ``weight`` that voted ``bit``; a tie counts 0."""
    return 2 * (above - weight if bit else above) > total - weight


def payment(bit: bool, others: bool, rate: int, q: int, slice_: int, bond: int) -> tuple[int, int]:
    """(paid, charged) of a revealed vote: min(slice, bond) · (x − f)(G − q), paid if x = G, else charged."""
    surprise = (RATE - rate if bit else rate) * (WAD - q if others else q)
    stakes, one = min(slice_, bond) * surprise, RATE * WAD
    return (stakes // one, 0) if bit == others else (0, -(-stakes // one))


def moved(tau: int, q: int, median: int, above: int, total: int) -> tuple[int, int]:
    """Threshold and majority rate after a Final id; one whose median is −8 moves neither."""
    if median == LOWEST:
        return tau, q
    step = (median > tau) - (median < tau)
    q += (WAD - q) // MEMORY if 2 * above > total else -(q // MEMORY)
    return max(LEAST_TAU, min(HIGHEST, tau + step)), q


def power_up(base: int, exponent: int) -> int:
    """base^exponent with 10^18 = 1, rounded up at each squaring and product."""
    result = WAD
    while exponent:
        if exponent & 1:
            result = -(-result * base // WAD)
        base = -(-base * base // WAD)
        exponent >>= 1
    return result


def poured(pending: int, decay_bps: int, gain: int) -> int:
    """The author's part of a pour: pending · (1 − λ^gain)."""
    return pending * (WAD - power_up(decay_bps * (WAD // BPS), gain)) // WAD


def shares(
    earned: int, lineage_bps: int, parents: Sequence[tuple[int, int]], reference: int
) -> tuple[int, list[tuple[int, int]]]:
    """What an author keeps of what a model earned, and (id, amount) for each sharing parent and, last, the reference.

    ``parents`` are (id, weight in basis points) of those that are Final; parts of zero are left out.
    """
    rest = earned * lineage_bps // BPS
    kept, half = earned - rest, rest // 2
    parts = [(number, half * bps // BPS) for number, bps in parents if half * bps // BPS]
    return kept, [*parts, (reference, rest - sum(part for _, part in parts))]
