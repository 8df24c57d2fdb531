"""What a fee that doubles with open ids costs whom, what a flood of junk costs, and what sleeping stake can stall.

Amounts in tokens of the default parameters; the life of an id runs from reserve to the end of its reveal window.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

HOURS = 6 + 0.25 + 24
FEE, BOND, SLOTS, MOST_SHIFT = 10, 20, 16, 32


@dataclass(frozen=True)
class Terms:
    """Terms of the first version (``slots`` None, no bond lost) and of the second."""

    name: str
    vote_bond: float
    slots: int | None
    bond_lost: bool

    def fee(self, open_ids: int) -> int:
        return FEE if self.slots is None else FEE << min(MOST_SHIFT, open_ids // self.slots)

    @property
    def capacity(self) -> int:
        """Open votes that a voter's stake carries at once."""
        return int(1 / self.vote_bond + 1e-9)


BEFORE = Terms("first version", 0.10, None, False)
AFTER = Terms("second version", 0.02, SLOTS, True)
BUSY = Terms("second version, for 96 ids a day", 0.005, 64, True)


@dataclass(frozen=True)
class Honest:
    """What honest traffic meets: mean and greatest number of open ids, mean fee over the base fee, votes it locks."""

    a_day: int
    mean_open: float
    most_open: int
    mean_fee: float
    votable: float


def honest(a_day: int, terms: Terms = AFTER, days: int = 400, seed: int = 3) -> Honest:
    """Arrivals at random (Poisson), all of which pay whatever the fee is."""
    rng, now, ends = random.Random(seed), 0.0, []
    opens: list[int] = []
    fees: list[int] = []
    while now < days * 24:
        now += rng.expovariate(a_day / 24)
        while ends and ends[0] <= now:
            heapq.heappop(ends)
        opens.append(len(ends))
        fees.append(terms.fee(len(ends)))
        heapq.heappush(ends, now + HOURS)
    votable = sum(number < terms.capacity for number in opens) / len(opens)
    return Honest(a_day, sum(opens) / len(opens), max(opens), sum(fees) / len(fees) / FEE, votable)


@dataclass(frozen=True)
class Flood:
    """Junk that keeps ``ids`` open: what starting it costs, what keeping it up costs a day, the fee others then pay."""

    ids: int
    start: int
    a_day: float
    fee: int


def flood(ids: int, terms: Terms) -> Flood:
    """Each junk id costs its fee (returned by nobody) and, in the second version, its bond."""
    lost = BOND if terms.bond_lost else 0
    start = sum(terms.fee(number) + lost for number in range(ids))
    renewed = (terms.fee(max(0, ids - 1)) + lost) * ids * 24 / HOURS
    return Flood(ids, start, renewed, terms.fee(ids))


@dataclass(frozen=True)
class Sleep:
    """Stake that sleeps: ids Void before the quorum has learnt, and the votes a whale must cast to void the rest."""

    asleep: float
    voided: int | None
    least_votes: float | None


def sleeping(asleep: float, most: int = 400) -> Sleep:
    """Quorum: revealed ≥ max(1/6, min(1/3, Q/2)) of the eligible weight; Q starts at all of it and moves by 1/32."""
    awake, learnt = 1 - asleep, 1.0
    for number in range(most):
        if awake >= max(1 / 6, min(1 / 3, learnt / 2)):
            least = (1 - asleep) / asleep if awake < 1 / 3 else None
            return Sleep(asleep, number, least)
        learnt += (awake - learnt) / 32
    return Sleep(asleep, None, 0.0)
