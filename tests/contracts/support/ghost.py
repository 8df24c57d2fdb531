"""A whole task in Python: what every account, model and pot must be after any sequence of legal actions.

Whole numbers, no chain. The state machines drive the contracts and this model side by side; `law.py` says what may be
done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .reference import BPS, DAY, WAD, accrued, next_q, next_tau, payment, poured, quantile, reward
from .task import FINAL, LOWEST, OPEN, RESERVED, VOID


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
    outcome: int = 0
    median: int = 0
    level: int = 0
    gain: int = 0
    weight: int = 0
    above: int = 0
    owed: int = 0
    pending: int = 0
    paid: int = 0  # to its voters
    charged: dict[Any, int] = field(default_factory=dict)
    rewarded: tuple[int, int] = (0, 0)  # reward, allowance before it


class Ghost:
    def __init__(self, params: dict[str, Any], created: int) -> None:
        self.p = params
        self.nodes: dict[Any, Node] = {}
        self.models: list[Model] = [Model(None, created, 0, 0, 0, 0, status=FINAL)]
        self.next, self.best, self.best_level = 1, 0, 0
        self.tau, self.q = params["startTau"], WAD // 2
        self.pool = self.escrow = self.allowance = self.committed = 0
        self.accrued_at = 0
        self.closed_at = 0
        self.paused_until = self.may_pause_at = 0
        self.donated = 0  # sent to the vault by a plain transfer: nobody's
        self.last_final = created

    # --- clocks and weights ---

    def window(self, id: int) -> tuple[int, int, int, int]:
        start, p = self.models[id].reserved_at, self.p
        commit_end = start + p["commitWindow"]
        reveal = commit_end + p["revealGap"]
        return start + p["submitWindow"], commit_end, reveal, reveal + p["revealWindow"]

    def weight(self, who: Any, at: int | None = None) -> int:
        node = self.nodes[who]
        if at is None:
            return (node.free + node.locked) // int(self.p["minStake"])
        return next((w for t, w in reversed(node.weights) if t <= at), 0)

    def total(self, at: int) -> int:
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

    def reserve(self, who: Any, now: int, name: Any = None, reservation: bytes = b"") -> int:
        then = now - self.p["warmUp"]
        eligible = self.total(then) - self.weight(who, then)
        self.models.append(Model(who, now, self.best, self.tau, self.q, eligible, name, reservation))
        node = self.nodes[who]
        node.free -= self.p["submissionBond"] + self.p["scoringFee"]
        node.locked += self.p["submissionBond"]
        self.escrow += self.p["scoringFee"]
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
        rate = ((node.yes * WAD + 4 * model.q) << 24) // ((node.seen + 4) * WAD)
        vote = Vote(weight, rate, self.bond(weight), improvement)
        node.free -= vote.bond
        node.locked += vote.bond
        model.votes[who] = vote
        return vote

    def reveal(self, who: Any, id: int) -> None:
        vote = self.models[id].votes[who]
        vote.revealed = True
        if vote.improvement > LOWEST:
            node = self.nodes[who]
            if node.seen == 2**16 - 1:
                node.yes, node.seen = node.yes // 2, node.seen // 2
            node.yes += vote.improvement > self.models[id].tau
            node.seen += 1

    def finalize(self, now: int) -> int:
        id = self.next
        model = self.models[id]
        shown = [v for v in model.votes.values() if v.revealed]
        model.weight = sum(v.weight for v in shown)
        model.above = sum(v.weight for v in shown if v.improvement > model.tau)
        p = self.p
        valid = (
            model.status == OPEN and len(shown) >= p["minVoters"] and model.weight >= p["quorumFloor"]
            and model.weight * BPS >= p["quorumBps"] * model.eligible
        )  # fmt: skip
        author = self.nodes[model.author]
        author.locked -= p["submissionBond"]
        if model.status == OPEN:
            author.free += p["submissionBond"]
        else:
            self.pool += p["submissionBond"]
        to_pool = p["scoringFee"] if not valid else p["scoringFee"] % model.weight
        if model.weight == 0:
            author.credit += p["scoringFee"]
            self.escrow -= p["scoringFee"]
        else:
            self.pool += to_pool
            self.escrow -= to_pool
        self._reweigh(model.author, now)
        model.status = FINAL if valid else VOID
        if valid:
            votes, weights = [v.improvement for v in shown], [v.weight for v in shown]
            model.outcome, model.median = quantile(votes, weights, p["kappaBps"]), quantile(votes, weights, BPS // 2)
            model.level = self.models[model.reference].level + model.outcome
            if model.level - self.best_level >= p["minStep"]:
                model.gain = model.level - self.best_level
                self.best, self.best_level = id, model.level
            self.q = next_q(self.q, model.median, model.above, model.weight)
            self.tau = next_tau(self.tau, model.median)
            if model.gain:
                self._reward(model, now)
        self.next += 1
        self.last_final = now
        return id

    def settle(self, who: Any, id: int, now: int) -> None:
        model, vote, node = self.models[id], self.models[id].votes[who], self.nodes[who]
        vote.settled = True
        node.locked -= vote.bond
        slice_ = paid = charged = 0
        if not vote.revealed:
            charged = vote.bond
        elif model.status == FINAL:
            slice_ = self.p["scoringFee"] // model.weight * vote.weight
            if model.median != LOWEST:
                x = vote.improvement > model.tau
                above = model.above - (vote.weight if x else 0)
                others = 2 * above > model.weight - vote.weight
                paid, charged = payment(x, others, vote.rate, model.q, slice_, vote.bond)
        model.paid += paid
        model.charged[who] = charged
        node.free += vote.bond - charged
        node.credit += paid
        self.escrow -= slice_
        self.pool += slice_ - paid + charged
        self._reweigh(who, now)

    # --- pool ---

    def meter(self, now: int) -> int:
        """The allowance at `now`."""
        if not self.accrued_at:
            return self.allowance
        free = self.pool - self.committed
        return accrued(self.allowance, free, self.p["dripBps"], now - self.accrued_at)

    def fund(self, amount: int, now: int) -> None:
        free = self.pool - self.committed
        self.allowance = self.meter(now) if self.accrued_at else (free + amount) * self.p["dripBps"] // BPS
        self.accrued_at = now
        self.pool += amount

    def _reward(self, model: Model, now: int) -> None:
        self.allowance = self.meter(now)
        if self.accrued_at:
            self.accrued_at = now
        amount = reward(self.allowance, self.p["stepRateBps"], model.gain)
        model.rewarded = (amount, self.allowance)
        self.allowance -= amount
        self.committed += amount
        model.owed += amount

    def royalty(self, id: int, amount: int) -> None:
        self.models[id].owed += amount
        self.committed += amount
        self.pool += amount

    def pour(self, id: int) -> None:
        model = self.models[id]
        owed, pending, model.owed, model.pending = model.owed, model.pending, 0, 0
        line = owed * self.p["lineageBps"] // BPS
        to_author = owed - line
        rest = line
        for parent, bps in model.parents:
            if self.models[parent].status == FINAL:
                part = line // 2 * bps // BPS
                rest -= part
                self._give(parent, part)
        self._give(model.reference, rest)
        mine = poured(pending, self.p["decayBps"], model.gain)
        self._give(model.reference, pending - mine)
        to_author += mine
        self.committed -= to_author
        self.pool -= to_author
        if to_author:
            self.nodes[model.author].credit += to_author

    def _give(self, id: int, amount: int) -> None:
        if id == 0:
            self.committed -= amount
        else:
            self.models[id].pending += amount

    def pause(self, duration: int, now: int) -> None:
        self.paused_until, self.may_pause_at = now + duration, now + 60 * DAY

    def reclaim(self) -> int:
        amount = self.pool - self.committed
        self.pool -= amount
        self.allowance = 0
        return amount
