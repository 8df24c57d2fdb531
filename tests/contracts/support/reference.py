"""The rules in plain Python, in whole numbers: what the contracts must compute."""

from __future__ import annotations

from collections.abc import Sequence

WAD = 10**18
BPS = 10_000
DAY = 86_400


def quantile(votes: Sequence[int], weights: Sequence[int], share_bps: int) -> int:
    """Lower weighted quantile: smallest v with W(votes <= v) * BPS >= share_bps * W."""
    total = sum(weights)
    for value in sorted(set(votes)):
        if sum(w for v, w in zip(votes, weights, strict=True) if v <= value) * BPS >= share_bps * total:
            return value
    raise ValueError("no votes")


def power_up(base: int, n: int) -> int:
    """base^n in 1e18 fixed point, rounded up at each step of the binary powering."""
    result = WAD
    while n:
        if n & 1:
            result = -(-result * base // WAD)
        base = -(-base * base // WAD)
        n >>= 1
    return result


def reward(allowance: int, step_rate_bps: int, gain: int) -> int:
    left = power_up((BPS - step_rate_bps) * (WAD // BPS), gain)
    return allowance * (WAD - left) // WAD


def poured(pending: int, decay_bps: int, gain: int) -> int:
    """The author's part of a pour."""
    return pending * (WAD - power_up(decay_bps * (WAD // BPS), gain)) // WAD


def accrued(allowance: int, free: int, drip_bps: int, elapsed: int) -> int:
    daily = free * drip_bps
    grown = min(7 * daily // BPS, allowance + daily * min(elapsed, 7 * DAY) // (BPS * DAY))
    return max(allowance, grown)


def payment(x: bool, others: bool, rate: int, q: int, slice_: int, bond: int) -> tuple[int, int]:
    """(paid, charged) of a vote; rate has 2^24 = 1, q has 1e18 = 1."""
    surprise = (2**24 - rate if x else rate) * (WAD - q if others else q)
    stakes = min(slice_, bond) * surprise
    return (stakes // (2**24 * WAD), 0) if x == others else (0, -(-stakes // (2**24 * WAD)))


def next_tau(tau: int, median: int) -> int:
    if median == -8:
        return tau
    return max(-2, min(23, tau + (median > tau) - (median < tau)))


def next_q(q: int, median: int, yes: int, weight: int) -> int:
    if median == -8:
        return q
    return q + (WAD - q) // 50 if 2 * yes > weight else q - q // 50
