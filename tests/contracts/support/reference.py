"""The rules in plain Python, in whole numbers: what the contracts must compute. Nothing here comes from the SDK."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

WAD = 10**18
ONE = 2**24  # rates of voters' pay
BPS = 10_000
DAY = 86_400
LOWEST, MISSING, HIGHEST = -8, -7, 23
GRAINS = (
    -96, -48, -24, -12, -6, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8,
    10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128,
)  # fmt: skip
MOST_DAYS = 7
MOST_DOUBLINGS = 32


# --- votes


def grains(index: int) -> int:
    """Grains of the bucket with this index."""
    return GRAINS[index - LOWEST]


def width(index: int) -> int:
    """Grains down to the next lower bucket; none below the lowest."""
    return grains(index) - grains(index - 1) if index > LOWEST else 0


def index_of(wanted: int) -> int:
    """The bucket of exactly these grains."""
    return GRAINS.index(wanted) + LOWEST


def quantile(votes: Sequence[int], weights: Sequence[int], share_bps: int) -> int:
    """Lower weighted quantile: smallest v with W(votes <= v) * BPS >= share_bps * W."""
    return _smallest(votes, weights, lambda below, total: below * BPS >= share_bps * total)


def upper_median(votes: Sequence[int], weights: Sequence[int]) -> int:
    """Smallest v with 2 * W(votes <= v) > W."""
    return _smallest(votes, weights, lambda below, total: 2 * below > total)


def _smallest(votes: Sequence[int], weights: Sequence[int], enough: Callable[[int, int], bool]) -> int:
    for value in sorted(set(votes)):
        below = sum(w for v, w in zip(votes, weights, strict=True) if v <= value)
        if enough(below, sum(weights)):
            return value
    raise ValueError("no votes")


def quorum(revealed: int, eligible: int, activity: int, floor: int) -> bool:
    """revealed >= max(floor, eligible / 6, min(eligible / 3, Q / 2)), Q = activity / 2^16."""
    if revealed < floor or 6 * revealed < eligible:
        return False
    return 3 * revealed >= eligible or 2 * revealed * 2**16 >= activity


def next_activity(activity: int, revealed: int) -> int:
    return activity - activity // 32 + revealed * 2**16 // 32


def rate(yes: int, seen: int, q: int) -> int:
    """A voter's own rate, pulled to q by four votes."""
    return (yes * ONE + 4 * q) // (seen + 4)


def payment(x: bool, others: bool, own_rate: int, q: int, slice_: int, bond: int) -> tuple[int, int]:
    """(paid, charged) of a vote."""
    surprise = (ONE - own_rate if x else own_rate) * (ONE - q if others else q)
    stakes = min(slice_, bond) * surprise
    return (stakes // ONE**2, 0) if x == others else (0, -(-stakes // ONE**2))


def next_tau(tau: int, median: int) -> int:
    if median <= MISSING:
        return tau
    return max(-2, min(HIGHEST, tau + (median > tau) - (median < tau)))


def next_q(q: int, median: int, yes: int, weight: int) -> int:
    if median <= MISSING:
        return q
    return q + (ONE - q) // 50 if 2 * yes > weight else q - q // 50


def fee(base: int, open_: int, slots: int) -> int:
    return int(base * 2 ** min(open_ // slots, MOST_DOUBLINGS))


# --- money


def power_up(base: int, n: int) -> int:
    """base^n in 1e18 fixed point, rounded up at each step of the binary powering."""
    result = WAD
    while n:
        if n & 1:
            result = -(-result * base // WAD)
        base = -(-base * base // WAD)
        n >>= 1
    return result


def reward(pot: int, step_rate_bps: int, gain: int) -> int:
    """What a gain draws of the allowance, and of the commons."""
    left = power_up((BPS - step_rate_bps) * (WAD // BPS), gain)
    return pot * (WAD - left) // WAD


def poured(pending: int, decay_bps: int, own: int) -> int:
    """The author's part of what flows along references, for so many grains of its own."""
    return pending * (WAD - power_up(decay_bps * (WAD // BPS), own)) // WAD


def daily(funds: int, drip_bps: int, weight: int, min_stake: int, stake_drip_bps: int) -> int:
    """BPS times what is released a day: a share of the funds, and of the stake behind the task."""
    return min(funds * drip_bps, weight * min_stake * stake_drip_bps)


def accrued(allowance: int, daily_: int, elapsed: int) -> int:
    """The allowance after so many seconds: at most seven days' drip, and never less than it was."""
    grown = allowance + daily_ * min(elapsed, MOST_DAYS * DAY) // (BPS * DAY)
    return max(allowance, min(MOST_DAYS * daily_ // BPS, grown))


# --- contribution: who added which grain


def carried(measured: int, parents: Sequence[int]) -> int:
    """The greatest M among the parents, at most the model's own; zero, that of genesis, stands for none."""
    return min(measured, max([0, *parents]))


def own_grains(gain: int, measured: int, parents: Sequence[int], base: int) -> int:
    """Grains of a gain that are neither carried over nor were held down."""
    return max(0, min(gain, measured - max(base, carried(measured, parents))))


def held_down(amount: int, gain: int, measured: int, base: int, parents: Sequence[int], start: int) -> int:
    """The part of a reward for grains by which M did not rise, if a parent stands above the reference."""
    if not gain or max(parents, default=0) <= start:
        return 0
    backed = min(gain, max(0, measured - base))
    return amount * (gain - backed) // gain


def split(amount: int, measured: int, parents: Sequence[int], base: int) -> tuple[int, int]:
    """(the author's own part, top of the grains that the rest stands for) of an amount for a model above `base`."""
    if measured <= base:
        return amount, base
    floor = max(base, carried(measured, parents))
    return amount * (measured - floor) // (measured - base), floor


def among(amount: int, parents: Mapping[int, int], base: int, top: int) -> dict[int, int]:
    """Grain by grain between `base` and `top`: each is shared by the parents whose M reaches it.

    Paid in declared order, each its part of what is left, rounded down; the last one takes the remainder.
    """
    weights = dict.fromkeys(parents, 0)
    for grain in range(base + 1, top + 1):
        reach = [p for p, measured in parents.items() if measured >= grain]
        for p in reach:
            weights[p] += 12 // len(reach)
    left, total, parts = amount, sum(weights.values()), {}
    for p, weight in weights.items():
        if weight and amount:
            parts[p] = left * weight // total
            left, total = left - parts[p], total - weight
    return parts
