"""A whole task in Python: what every account, model and pot must be after any sequence of legal actions.

Whole numbers, no chain. The state machines drive the contracts and this model side by side; `law.py` says what may be
done, `reference.py` holds the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import reference as rules
from .reference import BPS, DAY, ONE
from .task import FINAL, LOWEST, MISSING, OPEN, RESERVED, VALIDATOR, VOID

Hop = tuple[int, int]  # (id, source): what id holds of what source earned


@dataclass
class Node:
    free: int = 0
    locked: int = 0
    unbonding: int = 0
    unbonding_at: int = 0
    credit: int = 0
    roles: int = 0
    key: Any = None  # may vote for it
    yes: int = 0
    seen: int = 0
    weights: list[tuple[int, int]] = field(default_factory=list)  # (time, weight), rising

    @property
    def wealth(self) -> int:
        return self.free + self.locked + self.unbonding + self.credit


@dataclass
class Vote:
    weight: int
    rate: int
    bond: int
    improvement: int
    revealed: bool = False
    settled: bool = False


@dataclass
class Model:
    author: Any
    reserved_at: int
    reference: int
    tau: int
    q: int
    eligible: int
    name: Any = None  # what its digests are made of
    reservation: bytes = b""
    status: int = RESERVED
    parents: tuple[tuple[int, int], ...] = ()
    votes: dict[Any, Vote] = field(default_factory=dict)
    surcharge: int = 0
    outcome: int = 0  # index
    median: int = 0  # index
    level: int = 0  # grains
    measured: int = 0  # grains
    gain: int = 0  # grains
    previous: int = 0
    weight: int = 0
    above: int = 0
    owed: int = 0
    pending: int = 0
    divided: int = 0  # of the commons, so far
    paid: int = 0  # to its voters
    charged: dict[Any, int] = field(default_factory=dict)
    rewarded: tuple[int, int] = (0, 0)  # from the allowance, from the commons
    drawn_on: tuple[int, int] = (0, 0)  # allowance and commons before that


class Ghost:
    def __init__(self, params: dict[str, Any], created: int) -> None:
        self.p = params
        self.nodes: dict[Any, Node] = {}
        self.models: list[Model] = [Model(None, created, 0, 0, 0, 0, status=FINAL)]
        self.next, self.best, self.best_level = 1, 0, 0
        self.tau, self.q, self.activity = params["startTau"], ONE // 2, 0
        self.escrow = self.funds = self.allowance = self.commons = self.committed = 0
        self.metered_weight = self.accrued_at = 0
        self.shares: dict[Hop, list[int]] = {}  # [above, held]
        self.grains = self.divided = 0
        self.closed_at = 0
        self.paused_until = self.may_pause_at = 0
        self.donated = 0  # sent to the vault by a plain transfer: nobody's
        self.last_final = created

    @property
    def treasury(self) -> int:
        return self.funds + self.commons + self.committed

    # --- clocks and weights ---

    def window(self, id: int) -> tuple[int, int, int, int]:
        start, p = self.models[id].reserved_at, self.p
        commit_end = start + p["commitWindow"]
        reveal = commit_end + p["revealGap"]
        return start + p["submitWindow"], commit_end, reveal, reveal + p["revealWindow"]

    def weight(self, who: Any, at: int | None = None) -> int:
        """Whole minimum stakes of a validator, now or then."""
        node = self.nodes[who]
        if at is None:
            return (node.free + node.locked) // int(self.p["minStake"]) if node.roles & VALIDATOR else 0
        return next((w for t, w in reversed(node.weights) if t <= at), 0)

    def total(self, at: int | None = None) -> int:
        return sum(self.weight(n, at) for n in self.nodes)

    def _reweigh(self, who: Any, now: int) -> None:
        weights = self.nodes[who].weights
        if not weights or weights[-1][1] != self.weight(who):
            weights.append((now, self.weight(who)))

    def bond(self, weight: int) -> int:
        return -(-weight * self.p["minStake"] * self.p["voteBondBps"] // BPS)

    # --- stake ---

    def register(self, who: Any, roles: int, key: Any) -> None:
        self.nodes[who] = Node(roles=roles, key=key)

    def deposit(self, who: Any, amount: int, now: int) -> None:
        self.nodes[who].free += amount
        self._reweigh(who, now)

    def unstake(self, who: Any, amount: int, now: int) -> None:
        node = self.nodes[who]
        node.free -= amount
        node.unbonding, node.unbonding_at = amount, now + self.p["unbonding"]
        self._reweigh(who, now)

    def withdraw(self, who: Any) -> int:
        amount, self.nodes[who].unbonding = self.nodes[who].unbonding, 0
        return amount

    def claim(self, who: Any) -> int:
        amount, self.nodes[who].credit = self.nodes[who].credit, 0
        return amount

    # --- models ---

    def open_ids(self, now: int) -> int:
        """Ids whose reveal window has not ended."""
        return sum(self.window(id)[3] > now for id in range(self.next, len(self.models)))

    def fee(self, now: int) -> int:
        return rules.fee(self.p["scoringFee"], self.open_ids(now), self.p["slots"])

    def reserve(self, who: Any, now: int, name: Any = None, reservation: bytes = b"") -> int:
        then, p, fee = now - self.p["warmUp"], self.p, self.fee(now)
        eligible = self.total(then) - self.weight(who, then)
        model = Model(who, now, self.best, self.tau, self.q, eligible, name, reservation)
        model.surcharge = fee - p["scoringFee"]
        self.models.append(model)
        node = self.nodes[who]
        node.free -= p["submissionBond"] + fee
        node.locked += p["submissionBond"]
        self.escrow += p["scoringFee"]
        self.commons += model.surcharge
        self._reweigh(who, now)
        return len(self.models) - 1

    def submit(self, id: int, parents: tuple[tuple[int, int], ...]) -> None:
        self.models[id].status, self.models[id].parents = OPEN, parents

    def may_weigh(self, who: Any, id: int) -> int:
        then = self.models[id].reserved_at - self.p["warmUp"]
        return min(self.weight(who, then), self.weight(who))

    def commit(self, who: Any, id: int, improvement: int) -> Vote:
        model, node = self.models[id], self.nodes[who]
        weight = self.may_weigh(who, id)
        vote = Vote(weight, rules.rate(node.yes, node.seen, model.q), self.bond(weight), improvement)
        node.free -= vote.bond
        node.locked += vote.bond
        model.votes[who] = vote
        return vote

    def reveal(self, who: Any, id: int) -> None:
        self.models[id].votes[who].revealed = True

    def _count(self, who: Any, vote: Vote, tau: int) -> None:
        """A settled vote enters its voter's history."""
        node = self.nodes[who]
        if vote.revealed and vote.improvement > MISSING:
            if node.seen == 2**16 - 1:
                node.yes, node.seen = node.yes // 2, node.seen // 2
            node.yes += vote.improvement > tau
            node.seen += 1

    def finalize(self, now: int) -> int:
        id, p = self.next, self.p
        model = self.models[id]
        shown = [v for v in model.votes.values() if v.revealed]
        model.weight = sum(v.weight for v in shown)
        model.above = sum(v.weight for v in shown if v.improvement > model.tau)
        was_open, known = model.status == OPEN, self.activity or model.eligible << 16
        enough = rules.quorum(model.weight, model.eligible, known, p["quorumFloor"])
        valid = was_open and len(shown) >= p["minVoters"] and enough
        model.status = FINAL if valid else VOID
        if was_open:
            self.activity = rules.next_activity(known, model.weight)
        if valid:
            votes, weights = [v.improvement for v in shown], [v.weight for v in shown]
            model.outcome = rules.quantile(votes, weights, p["kappaBps"])
            model.median = rules.upper_median(votes, weights)
            self._stand(id, model)
            self.q = rules.next_q(self.q, model.median, model.above, model.weight)
            self.tau = rules.next_tau(self.tau, model.median)
        self._end(model, was_open, now)
        if model.gain:
            self._reward(model, now)
        self.next += 1
        self.last_final = now
        return id

    def _stand(self, id: int, model: Model) -> None:
        start = self.models[model.reference]
        model.level = start.level + rules.grains(model.outcome)
        model.measured = start.measured + rules.grains(model.median)
        model.previous = model.reference
        gain = model.level - self.best_level
        if model.reference != self.best:
            gain -= rules.width(model.outcome)
        if gain >= self.p["minStep"]:
            model.gain, model.previous = gain, self.best
            self.best, self.best_level = id, model.level

    def _end(self, model: Model, was_open: bool, now: int) -> None:
        """What becomes of the author's bond and base fee."""
        author, p = self.nodes[model.author], self.p
        author.locked -= p["submissionBond"]
        lost = model.median == LOWEST if model.status == FINAL else not was_open
        if lost:
            self.commons += p["submissionBond"]
        else:
            author.free += p["submissionBond"]
        if model.status == FINAL:
            dust = p["scoringFee"] % model.weight
            self.escrow -= dust
            self.commons += dust
        else:
            self.escrow -= p["scoringFee"]
            author.credit += p["scoringFee"]
        self._reweigh(model.author, now)

    def settle(self, who: Any, id: int, now: int) -> None:
        model, vote, node = self.models[id], self.models[id].votes[who], self.nodes[who]
        vote.settled = True
        self._count(who, vote, model.tau)
        node.locked -= vote.bond
        slice_ = paid = charged = 0
        if not vote.revealed:
            charged = vote.bond
        elif model.status == FINAL:
            slice_ = self.p["scoringFee"] // model.weight * vote.weight
            if model.median > MISSING:
                x = vote.improvement > model.tau
                above = model.above - (vote.weight if x else 0)
                others = 2 * above > model.weight - vote.weight
                paid, charged = rules.payment(x, others, vote.rate, model.q, slice_, vote.bond)
        model.paid += paid
        model.charged[who] = charged
        node.free += vote.bond - charged
        node.credit += paid
        self.escrow -= slice_
        self.commons += slice_ - paid + charged
        self._reweigh(who, now)

    # --- meter and rewards ---

    def metered(self, now: int, weight: int) -> int:
        """The allowance at `now`, if `weight` stood behind the task a warm-up ago."""
        counted = min(self.metered_weight, weight) if self.accrued_at else weight
        p = self.p
        daily = rules.daily(self.funds, p["dripBps"], counted, p["minStake"], p["stakeDripBps"])
        if not self.accrued_at:
            return daily // BPS
        return rules.accrued(self.allowance, daily, now - self.accrued_at)

    def meter(self, now: int) -> int:
        """The allowance that anybody reads at `now`."""
        return self.metered(now, self.total(now - self.p["warmUp"]))

    def _accrue(self, now: int, weight: int) -> None:
        self.allowance = self.metered(now, weight)
        self.metered_weight, self.accrued_at = weight, now

    def fund(self, amount: int, now: int) -> None:
        if self.accrued_at:
            self._accrue(now, self.total(now - self.p["warmUp"]))
        self.funds += amount

    def _reward(self, model: Model, now: int) -> None:
        self._accrue(now, model.eligible)
        model.drawn_on = self.allowance, self.commons
        rate = self.p["stepRateBps"]
        model.rewarded = a, c = tuple(rules.reward(pot, rate, model.gain) for pot in model.drawn_on)  # type: ignore[misc]
        self.funds -= a
        self.allowance -= a
        self.commons -= c
        self.committed += a + c
        self.grains += model.gain
        model.owed += a + c

    def royalty(self, id: int, amount: int) -> None:
        self.models[id].owed += amount
        self.committed += amount

    def divisible(self, id: int) -> int:
        """What `divideCommons` makes owed to `id` now."""
        gain = self.models[id].gain
        return (self.commons + self.divided) * gain // self.grains - self.models[id].divided if gain else 0

    def divide(self, id: int) -> int:
        amount = self.divisible(id)
        self.commons -= amount
        self.committed += amount
        self.divided += amount
        self.models[id].divided += amount
        self.models[id].owed += amount
        return amount

    # --- lineage ---

    def heirs(self, id: int) -> dict[int, int]:
        """M of the declared parents that are Final, in declared order."""
        return {p: self.models[p].measured for p, _ in self.models[id].parents if self.models[p].status == FINAL}

    def bases(self, source: int) -> tuple[int, int]:
        """M of the best that `source` took the place of, and of its reference."""
        model = self.models[source]
        return self.models[model.previous].measured, self.models[model.reference].measured

    def held(self, hop: Hop) -> int:
        """Money that waits to be poured for this hop."""
        id, source = hop
        if not (0 <= id < len(self.models) and 0 <= source < len(self.models)):
            return 0
        if id == source:
            return self.models[id].owed + self.models[id].pending
        return sum(self.shares.get(hop, (0, 0)))

    def waiting(self) -> list[Hop]:
        """Every hop with something to pour."""
        own = [(id, id) for id in range(len(self.models)) if self.held((id, id))]
        return own + [hop for hop in self.shares if self.held(hop)]

    def youngest(self) -> Hop | None:
        """The hop of the youngest id: shares only go to older ones, so one pass in this order empties all."""
        return max(self.waiting(), default=None)

    def pour(self, hop: Hop) -> None:
        id, source = hop
        model, heirs = self.models[id], self.heirs(id)
        base, start = self.bases(source)
        own = 0
        if id == source:
            amount, model.owed = model.owed, 0
            held = rules.held_down(amount, model.gain, model.measured, base, list(heirs.values()), start)
            own = self._split(hop, amount - held, 0, base) if amount else 0
            self._share(hop, 1, rules.among(held, heirs, start, max([0, *heirs.values()])))
        else:
            above, held = self.shares.pop(hop)
            own = self._split(hop, above, 0, base) + self._split(hop, held, 1, start)
        on = own * self.p["lineageBps"] // BPS
        author = own - on
        self._give(model.reference, on)
        if id == source:
            pending, model.pending = model.pending, 0
            grains = rules.own_grains(model.gain, model.measured, list(heirs.values()), base)
            mine = rules.poured(pending, self.p["decayBps"], grains)
            author += mine
            self._give(model.reference, pending - mine)
        self.committed -= author
        if author:
            self.nodes[model.author].credit += author

    def _split(self, hop: Hop, amount: int, kind: int, base: int) -> int:
        """The author's own part; the rest waits at the parents."""
        heirs = self.heirs(hop[0])
        own, floor = rules.split(amount, self.models[hop[0]].measured, list(heirs.values()), base)
        self._share(hop, kind, rules.among(amount - own, heirs, base, floor))
        return own

    def _share(self, hop: Hop, kind: int, parts: dict[int, int]) -> None:
        for parent, part in parts.items():
            self.shares.setdefault((parent, hop[1]), [0, 0])[kind] += part

    def _give(self, id: int, amount: int) -> None:
        if id == 0:
            self.committed -= amount
            self.commons += amount
        else:
            self.models[id].pending += amount

    # --- the end ---

    def pause(self, duration: int, now: int) -> None:
        self.paused_until, self.may_pause_at = now + duration, now + 60 * DAY

    def reclaim(self) -> int:
        amount, self.funds, self.allowance = self.funds, 0, 0
        return amount
