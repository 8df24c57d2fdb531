"""A lineage a thousand generations deep: each model comes from the one before, and a royalty runs down to genesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from support.task import FINAL

from .base import Side, Stats
from .rules import Time
from .target import Target


class DeepLine(Time):
    """Driven by hand, not by Hypothesis. Almost all of a pour is passed on, so that it is still there at genesis."""

    reads_all: ClassVar[bool] = False
    settings: ClassVar = [{"scoringFee": 1, "submissionBond": 1, "decayBps": 9_999, "dripBps": 200}]

    def prepare(self) -> Side:
        side = self.sides[0]
        for p in self.people[:5]:
            self.join(side, p, 100)
        self.fund(side, 10**24)
        self.tick(10)
        return side

    def generation(self, side: Side) -> int:
        """A model of gain 2 on the best one, by one of two authors in turn. Two blocks: reserve, submit and commit in
        the second in which the one before is finalised; reveal."""
        number, voters = len(side.g.models), self.people[2:5]
        id = self.reserve(side, self.people[number % 2])
        assert id == number
        assert self.submit(side, id, ((side.g.best, 10_000),))
        for p in voters:
            self.commit(side, p, id, 2)
        self.jump(side.g.window(id)[2])
        for p in voters:
            self.reveal(side, p.address, id)
        self.jump(side.g.window(id)[3])
        assert self.finalize(side, id)
        assert self.settle(side, id, [p.address for p in voters])
        side.again.clear()
        assert (side.g.models[id].status, side.g.best) == (FINAL, id)
        return id

    def pour_down(self, side: Side, ids: list[int]) -> tuple[int, int]:
        """Pour all of them, youngest first, 100 hops a block: the gas of the dearest, and what reached genesis."""
        self.check_invariants(None)
        before, dearest = side.flows["commons"], 0
        for start in range(len(ids), 0, -100):
            self.tick()
            for id in reversed(ids[max(0, start - 100) : start]):
                self.pour(side, [(id, id)])
            side.again.clear()
            self.collected()
            dearest = max(dearest, *(gas for name, _, gas in side.spent if name == "pool.pour"))
            self.check_invariants(None)
        return dearest, side.flows["commons"] - before


@dataclass(frozen=True)
class Depth:
    generations: int
    mined: int
    dearest_pour: int
    reached_genesis: int  # of a royalty of 10^24


def run_lineage(generations: int, target: Target | None = None) -> Depth:
    """Grow the line, pour every reward down, then a royalty from the last model to genesis, hop by hop, and leave."""
    subject = type("DeepLine", (DeepLine,), {"target": target or Target(), "stats": Stats()})
    line = subject()
    try:
        side = line.prepare()
        ids = []
        for number in range(generations):
            ids.append(line.generation(side))
            if number % 50 == 0:
                line.check_invariants(None)
        own, _ = line.pour_down(side, ids)
        line.act(side, "pool", "payRoyalty", ids[-1], 10**24, by=line.world.user)
        side.g.royalty(ids[-1], 10**24)
        passed, reached = line.pour_down(side, ids)
        assert side.g.committed == 0
        line.invariant_exit()
        return Depth(generations, line.stats.mined, max(own, passed), reached)
    finally:
        line.world.chain.close()
