"""Machines that drive two equal tasks differently and compare: checkpoints with one step, sybils with one account."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from support.reference import GRAINS, index_of
from support.task import FINAL, UNIT

from pdfed_sdk.chain import event_types

from .base import Side
from .books import events, low
from .rules import Pots, Time
from .voting import Votes, improvements

PART = 10**16  # powers of a share are rounded by less than one part in this many
SYBILS = 24


class CheckpointMachine(Time, Pots, Votes):
    """invariant split_proof on chain. Task 1 makes in several models the progress that task 0 makes in one."""

    settings = [{"scoringFee": 1, "decayBps": 8_765, "stepRateBps": 313, "lineageBps": 4_321, "stakeDripBps": 500}] * 2

    @initialize(money=st.integers(10**3, 10**9))
    def start(self, money: int) -> None:
        for side in self.sides:
            for p in self.people:
                self.join(side, p, 60)
            self.fund(side, money * 10**15 + 7)
        self.tick(10)

    def _vote(self, side: Side, id: int, improvement: int) -> None:
        for p in self.people[1:5]:
            self.commit(side, p, id, improvement)

    def _close(self, ids: list[tuple[Side, int]]) -> None:
        """Reveal, and finalise all of them in one second."""
        self.jump(max(side.g.window(id)[2] for side, id in ids))
        for side, id in ids:
            for voter in list(side.g.models[id].votes):
                self.reveal(side, voter, id)
        self.jump(max(side.g.window(id)[3] for side, id in ids))
        for side, id in ids:
            while side.g.next <= id:
                assert self.finalize(side, side.g.next)

    def _new(self, side: Side) -> int | None:
        """A model of ann on the best one, or None if ann cannot afford it any more."""
        id = self.reserve(side, self.people[0])
        if id is not None and not self.submit(side, id, ((side.g.best, 10_000),)):
            return None
        return id

    @rule(parts=st.lists(st.integers(2, 6), min_size=2, max_size=4).filter(lambda parts: sum(parts) in GRAINS))
    def same_progress(self, parts: list[int]) -> None:
        """One model of the whole gain, and models of its parts one after the other: each task leaves the same part of
        the allowance that it found."""
        one, many = self.sides
        self._clear()
        steps = [(one, self._step(one, sum(parts))), *((many, self._step(many, part)) for part in parts)]
        self.collected()
        left = [Fraction(1), Fraction(1)]
        error = Fraction(0)
        for side, id in steps:
            if id is None or side.g.models[id].status != FINAL:
                return
            model = side.g.models[id]
            paid = [e.from_allowance for e in events(side, event_types.Rewarded) if e.id == id]
            assert paid == [model.rewarded[0]]
            if not model.drawn_on[0]:
                return
            left[side.scene.number] *= 1 - Fraction(paid[0], model.drawn_on[0])
            error += Fraction(2, model.drawn_on[0]) + Fraction(1, PART)
        assert one.g.models[steps[0][1] or 0].gain == sum(parts)
        assert abs(left[0] - left[1]) <= error
        self.stats.checks["split_proof"] += 1

    @rule(a=st.integers(2, 8), b=st.sampled_from([2, 4, 6, 8]), amount=st.integers(1, 10**21))
    def same_line(self, a: int, b: int, amount: int) -> None:
        """A royalty runs down a line with one gain a + b, or with a gain a and then a gain b: authors get the same, and
        so does what lies below."""
        one, many = self.sides
        if a + b not in GRAINS:
            return
        lines: list[list[int]] = []
        for side, parts in ((one, (a + b,)), (many, (a, b))):
            line = [self._step(side, part) for part in (*parts, 0)]
            if None in line:
                return
            lines.append([i for i in line if i is not None])
            models = [side.g.models[i] for i in lines[-1]]
            if [m.gain for m in models] != [*parts, 0] or models[-1].status != FINAL:
                return
        self._clear()
        earned = []
        for side, line in zip(self.sides, lines, strict=True):
            self.act(side, "pool", "payRoyalty", line[-1], amount, by=self.world.user)
            side.g.royalty(line[-1], amount)
            self.collected()
            start = len(side.events)
            self.pour(side, [(id, id) for id in reversed(line)])
            self.collected()
            poured = [e for e in side.events[start:] if isinstance(e, event_types.Poured)]
            below = side.g.models[line[0]].reference
            earned.append((sum(e.to_author for e in poured), sum(e.passed for e in poured if e.reference_id == below)))
        for x, y in zip(*earned, strict=True):
            assert abs(x - y) <= 3 + amount // PART
        self.stats.checks["split_proof"] += 1

    def _step(self, side: Side, gain: int) -> int | None:
        self.tick()
        id = self._new(side)
        if id is not None:
            self._vote(side, id, index_of(gain))
            self._close([(side, id)])
        return id

    def _clear(self) -> None:
        """Share out all that is owed or pending."""
        self.tick()
        for side in self.sides:
            self.pour_all(side)

    @rule(ids=st.permutations(range(1, 7)))
    def pour_in_any_order(self, ids: list[int]) -> None:
        self.tick()
        for side in self.sides:
            self.pour(side, [(i, i) for i in ids if i < len(side.g.models)] or [(0, 0)])


class SybilMachine(Time):
    """invariant sybil_split on chain. In task 1 the stake of bea is split over many accounts that all vote as she
    does in task 0."""

    settings = [{"quorumFloor": 3, "scoringFee": UNIT // 3 + 11, "kappaBps": 2_718}] * 2
    extra_people = SYBILS

    @initialize(
        stakes=st.lists(st.integers(1, 9), min_size=4, max_size=4),
        parts=st.lists(st.integers(1, 5), min_size=2, max_size=SYBILS),
    )
    def start(self, stakes: list[int], parts: list[int]) -> None:
        ann, bea, *others = self.people[:6]
        one, many = self.sides
        self.parts, self.sybils = parts, self.people[7 : 7 + len(parts)]
        self.units = {}
        shared = {ann: 40, **dict(zip(others, stakes, strict=True))}
        for side, own in ((one, {bea: sum(parts)}), (many, dict(zip(self.sybils, parts, strict=True)))):
            for p, units in {**shared, **own}.items():
                self.units[side.scene.number, p.address] = units
                self.join(side, p, units)
            self.fund(side, 10**21)
        self.tick(10)

    def _top_up(self, side: Side) -> None:
        """Charges cost an account a whole minimum stake of weight: many accounts more than one. Bring both back."""
        for p in self.people:
            units = self.units.get((side.scene.number, p.address), 0)
            node = side.law.node(p.address)
            short = units * UNIT + UNIT // 2 - node.free - node.locked
            if units and short > 0:
                self.act(side, "vault", "deposit", short, by=p)
                side.g.deposit(p.address, short, self.now)

    @rule(vote=improvements, votes=st.lists(improvements, min_size=4, max_size=4), silent=st.integers(0, 3))
    def same_round(self, vote: int, votes: list[int], silent: int) -> None:
        ann, bea, *others = self.people[:6]
        self.tick()
        for side in self.sides:
            self._top_up(side)
        self.tick(10)
        ids = [self.reserve(side, ann) for side in self.sides]
        if None in ids:
            return
        for side, id in zip(self.sides, ids, strict=True):
            assert id is not None
            assert self.submit(side, id, ((side.g.best, 10_000),))
            for p, improvement in zip(others, votes, strict=True):
                self.commit(side, p, id, improvement)
            for p in [bea] if side is self.sides[0] else self.sybils:
                self.commit(side, p, id, vote)
        self._end(ids, quiet=silent == 3)
        self._same(ids, [bea.address], [p.address for p in self.sybils])

    def _end(self, ids: list[Any], quiet: bool) -> None:
        """Reveal, all but bea and her sybils if they keep quiet; finalise and settle."""
        hers = {self.people[1].address, *(p.address for p in self.sybils)}
        self.jump(self.sides[0].g.window(ids[0])[2])
        for side, id in zip(self.sides, ids, strict=True):
            for voter in list(side.g.models[id].votes):
                if not (quiet and voter in hers):
                    self.reveal(side, voter, id)
        self.jump(self.sides[0].g.window(ids[0])[3])
        for side, id in zip(self.sides, ids, strict=True):
            assert self.finalize(side, id)
            assert self.settle(side, id, list(side.g.models[id].votes))
        self.collected()

    def _same(self, ids: list[Any], her: list[str], sybils: list[str]) -> None:
        """The result, and what is at stake: the sum of min(slice, bond) up to a unit for each account."""
        results, stakes = [], []
        for side, id, names in zip(self.sides, ids, (her, sybils), strict=True):
            (e,) = (e for e in events(side, event_types.Finalized) if e.id == id)
            results.append((e.status, e.result, e.standing))
            bonds = [e.bond for e in events(side, event_types.VoteBonded) if e.id == id and low(e.voter) in names]
            settled = [e for e in events(side, event_types.Settled) if e.id == id and low(e.node) in names]
            slices = [e.paid + e.to_commons for e in settled]
            forfeits = sum(e.forfeited for e in settled) if not any(slices) else 0
            beta = sum(min(s, b) for s, b in zip(slices, bonds, strict=True)) if slices else 0
            stakes.append((sum(bonds), sum(slices), beta, forfeits))
        assert results[0] == results[1]
        (bond, slice_, beta, forfeit), (bonds, slices, betas, forfeits) = stakes
        k = len(sybils)
        assert slices == slice_
        assert 0 <= bonds - bond <= k
        assert 0 <= forfeits - forfeit <= k
        assert abs(betas - beta) <= k
        self.stats.checks["sybil_split"] += 1
