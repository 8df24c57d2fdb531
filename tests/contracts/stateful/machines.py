"""The machines, each a choice of rules, tasks and people. All invariants hold in all of them."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from support.task import HIGHEST, OPEN, UNIT

from .acts import Acts
from .base import Plumbing
from .rules import Models, Pots, Stake, Time, some, task, who
from .sealing import named, signature, signed_digest, unsealed
from .twins import CheckpointMachine, SybilMachine
from .voting import Batches, Ends, Signed, Votes


class Start(Acts):
    """Seven people, one of them a smart account; a sponsor with money in the pool."""

    @initialize(stakes=st.lists(st.integers(1, 12), min_size=6, max_size=7), money=st.integers(1, 10**6))
    def start(self, stakes: list[int], money: int) -> None:
        roles = (3, 3, 3, 3, 1, 2, 3)
        for side in self.sides:
            for p, units, role in zip(self.people, stakes, roles, strict=False):
                self.join(side, p, units, role)
            self.fund(side, max(1, money * side.p["minStake"] // 1000))
        self.tick(5)


class GeneralMachine(Start, Time, Stake, Models, Votes, Ends, Pots, Batches, Signed):
    """Every act in one task."""

    settings = [{"submissionBond": UNIT // 3, "scoringFee": UNIT // 7 + 5}]  # noqa: RUF012


class SmallChangeMachine(Start, Time, Stake, Models, Votes, Ends, Pots):
    """Two decimals, a minimum stake of a few units and amounts that divide badly: rounding where it hurts most."""

    settings = [  # noqa: RUF012
        {"decimals": 2, "minStake": 31, "submissionBond": 7, "scoringFee": 19, "voteBondBps": 3_000, "quorumFloor": 5,
         "slots": 1, "lineageBps": 4_999, "decayBps": 7, "kappaBps": 5_000, "dripBps": 200, "stepRateBps": 1_999,
         "startTau": 2},
    ]  # fmt: skip


class VotingMachine(Start, Votes, Ends, Batches, Signed):
    """Votes only: batches with bad entries, keys, signatures, smart accounts, deadlines."""

    settings = [{"decimals": 6, "kappaBps": 1_000, "quorumFloor": 1, "minStake": 10**6, "submissionBond": 1, "scoringFee": 977}]  # noqa: RUF012,E501  # fmt: skip

    @rule(n=who)
    def open(self, n: int) -> None:
        side, p = self.side(0), self.who(n)
        self.tick()
        id = self.reserve(side, p)
        if id is not None:
            self.submit(side, id, ((side.g.best, 10_000),))


class SeveralTasksMachine(Start, Time, Stake, Models, Votes, Ends, Pots):
    """Three tasks with three tokens at once, the same people in all, and what is made for one replayed at another."""

    settings = [  # noqa: RUF012
        {"submissionBond": UNIT, "scoringFee": UNIT // 5},
        {"decimals": 6, "minStake": 10**6, "submissionBond": 10**5, "scoringFee": 12_345, "kappaBps": 2_500},
        {"decimals": "blacklist", "minStake": 10**6, "submissionBond": 5 * 10**5, "scoringFee": 1, "lineageBps": 0},
    ]

    @rule(n=who, listed=st.booleans())
    def blacklist(self, n: int, listed: bool) -> None:
        """The token of the third task refuses an account: it hurts nobody else, and it is paid elsewhere."""
        side, p = self.sides[2], self.who(n)
        self.tick()
        self.act(side, "token", "list", p.address, listed, by=self.world.guardian)
        (side.law.listed.add if listed else side.law.listed.discard)(p.address)

    @rule(t=task, which=some, n=who)
    def replay_opening(self, t: int, which: int, n: int) -> None:
        """An opening of one task reveals nothing at another, even where the same digest was committed."""
        side, other = self.side(t), self.side(t + 1)
        keys = list(side.openings)
        if not keys:
            return
        id, voter = keys[(which + n) % len(keys)]
        self.tick()
        p = self.world.by_address[voter]
        if other.law.known(id) and other.law.commit(voter, voter, id, self.now) is None:
            self.act(other, "book", "commit", voter, named(other, id, side.commitments[id, voter]), by=p)
            self.keep(other, side.openings[id, voter], side.commitments[id, voter])
        if other.law.known(id):
            self.jump(other.g.window(id)[2])
        vote = side.openings[id, voter]
        opens = other.law.known(id) and self.opens(other, vote)
        error = other.law.reveal(voter, id, self.now, vote[3], opens=opens)
        if self.act(other, "book", "reveal", unsealed(vote), by=self.world.stranger, error=error):
            other.g.reveal(voter, id)

    @rule(t=task, which=some, n=who, improvement=st.integers(0, HIGHEST))
    def replay_signature(self, t: int, which: int, n: int, improvement: int) -> None:
        """A commit signed for one task is no signature at another."""
        side, other, p = self.side(t), self.side(t + 1), self.who(n)
        id = self.pick(other, which, OPEN)
        self.tick()
        if id is None or not side.law.known(id):
            return
        deadline = other.g.window(id)[1]
        _, commitment = self.seal(other, p, id, improvement)
        made = signature(p, signed_digest(side, p.address, id, commitment, deadline))
        error = other.law.commit_by_sig(p.address, id, deadline, self.now, False)
        args = (p.address, named(other, id, commitment), deadline, made)
        self.act(other, "book", "commitBySig", *args, by=p, error=error)

    @rule(n=who)
    def all_tasks_in_one_block(self, n: int) -> None:
        self.tick()
        for side in self.sides:
            id = self.reserve(side, self.who(n))
            if id is not None:
                self.submit(side, id, ((side.g.best, 10_000),))


MACHINES: tuple[type[Plumbing], ...] = (
    GeneralMachine, SmallChangeMachine, VotingMachine, SeveralTasksMachine, CheckpointMachine, SybilMachine,
)  # fmt: skip


def invariants() -> list[str]:
    """Names of protocol.md, as the machines check them."""
    return sorted(n.removeprefix("invariant_") for n in dir(GeneralMachine) if n.startswith("invariant_"))
