"""The voting rules in whole numbers: what the contracts compute, computed again. Pure functions.

Source: protocol rules 6 (outcome), 11 (voters' pay), 12 (fee) and 13 (quorum); rewards and shares are in
contribution.py. Rates have 2^24 = 1, the running weight Q 2^16 = 1; improvements are indices of buckets, amounts token
units. Payouts round down, charges up, as on chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pdfed_sdk.buckets import HIGHEST, LOWEST, MISSING, width_of
from pdfed_sdk.types import BPS

RATE: Final = 1 << 24
FIRST_Q: Final = RATE // 2
MEMORY: Final = 50
"""Ids the task's majority rate remembers."""
PRIOR: Final = 4
"""Virtual votes at the task's rate that every voter's own rate starts from."""
FULL_HISTORY: Final = 2**16 - 1
"""Votes a voter's history can count before it is halved."""
LEAST_TAU: Final = -2
ACTIVITY: Final = 16
"""Fractional bits of the running revealed weight."""
ACTIVITY_MEMORY: Final = 5
"""It moves by 1/2^5 at each id."""
MOST_SHIFT: Final = 32


# --- the fee and the quorum ------------------------------------------------------------------------------------------


def fee_of(base: int, open_ids: int, slots: int) -> int:
    """The scoring fee of a reservation: it doubles for every ``slots`` ids whose reveal window has not ended."""
    return base << min(open_ids // slots, MOST_SHIFT)


def quorum(revealed: int, eligible: int, activity: int, floor: int) -> bool:
    """R ≥ max(floor, E/6, min(E/3, Q/2)), exactly. ``activity`` is Q; 0 stands for the eligible weight."""
    learnt = activity or eligible << ACTIVITY
    enough = 3 * revealed >= eligible or 2 * revealed << ACTIVITY >= learnt
    return revealed >= floor and 6 * revealed >= eligible and enough


def activity_after(activity: int, revealed: int, eligible: int) -> int:
    """Q after an id that was submitted: Q − Q/32 + R/32, the first quotient rounded down."""
    learnt = activity or eligible << ACTIVITY
    return learnt - (learnt >> ACTIVITY_MEMORY) + (revealed << (ACTIVITY - ACTIVITY_MEMORY))


# --- the outcome -----------------------------------------------------------------------------------------------------


def quantile(votes: Sequence[tuple[int, int]], share_bps: int) -> int:
    """Lower weighted quantile of (improvement, weight): the smallest v with W(≤ v) ≥ share · W."""
    total, below = sum(weight for _, weight in votes), 0
    for improvement, weight in sorted(votes):
        below += weight
        if below * BPS >= share_bps * total:
            return improvement
    return LOWEST


def upper_median(votes: Sequence[tuple[int, int]]) -> int:
    """Upper weighted median: the smallest v with 2 · W(≤ v) > W, so that half of the weight cannot press it."""
    total, below = sum(weight for _, weight in votes), 0
    for improvement, weight in sorted(votes):
        below += weight
        if 2 * below > total:
            return improvement
    return LOWEST


def gain_of(level: int, best_level: int, outcome: int, min_step: int, *, reference_is_best: bool) -> int:
    """Grains of L above the old best's; 0 below the least step. Against an old reference the width of the outcome's
    bucket is taken off, so that copies of an open winner do not earn what rounding gave them."""
    delta = level - best_level - (0 if reference_is_best else width_of(outcome))
    return delta if delta >= min_step else 0


# --- voters' pay -----------------------------------------------------------------------------------------------------


def vote_bond(weight: int, min_stake: int, vote_bond_bps: int) -> int:
    """What a vote of ``weight`` locks, rounded up."""
    return -(-weight * min_stake * vote_bond_bps // BPS)


def measured(improvement: int) -> bool:
    """Whether an improvement is a measurement, not a finding that there was nothing to measure."""
    return improvement > MISSING


def add_to_history(yes: int, seen: int, above: bool) -> tuple[int, int]:
    """A voter's history with one more revealed vote; a full one is halved first."""
    if seen == FULL_HISTORY:
        yes, seen = yes // 2, seen // 2
    return yes + above, seen + 1


def own_rate(yes: int, seen: int, q: int) -> int:
    """f = (S + 4 q) / (M + 4): a voter's shrunk rate of votes above τ, frozen at commit."""
    return (yes * RATE + PRIOR * q) // (seen + PRIOR)


def majority_of_others(total: int, above: int, weight: int, bit: bool) -> bool:
    """Weighted majority bit of the voters other than one of ``weight`` that voted ``bit``; a tie counts 0."""
    return 2 * (above - weight if bit else above) > total - weight


def payment(bit: bool, others: bool, rate: int, q: int, slice_: int, bond: int) -> tuple[int, int]:
    """(paid, charged) of a revealed vote: min(slice, bond) · (x − f)(G − q), paid if x = G, else charged."""
    surprise = (RATE - rate if bit else rate) * (RATE - q if others else q)
    stakes, one = min(slice_, bond) * surprise, RATE * RATE
    return (stakes // one, 0) if bit == others else (0, -(-stakes // one))


def moved(tau: int, q: int, median: int, above: int, total: int) -> tuple[int, int]:
    """Threshold and majority rate after a Final id; one whose median is no measurement moves neither."""
    if not measured(median):
        return tau, q
    step = (median > tau) - (median < tau)
    q += (RATE - q) // MEMORY if 2 * above > total else -(q // MEMORY)
    return max(LEAST_TAU, min(HIGHEST, tau + step)), q
