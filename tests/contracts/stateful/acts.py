"""Acts that several rules share: each asks the law, acts, and moves the ghost model."""

from __future__ import annotations

from typing import Any

from support.task import FINAL, OPEN, RESERVED, VOID

from .asked import Asked
from .base import Side
from .books import Facts, Money
from .sealing import digest_of, named, opening, own, record, reservation, salt_of, unsealed
from .world import Person, stakes_of

ALL = (RESERVED, OPEN, FINAL, VOID)


class Acts(Money, Facts, Asked):
    """All invariants, the shared acts, and the exit."""

    def pick(self, side: Side, number: int, *statuses: int) -> int | None:
        """The `number`-th newest id with one of these statuses."""
        ids = [i for i, m in enumerate(side.g.models) if i and m.status in statuses]
        return ids[-1 - number % len(ids)] if ids else None

    def who(self, number: int) -> Person:
        return self.people[number % len(self.people)]

    def join(self, side: Side, p: Person, units: int, roles: int = 3) -> None:
        """Register and stake, in one block."""
        amount = stakes_of(side.p, units)
        key = self.world.key.address
        if self.act(side, "vault", "register", roles, key, bytes(32), by=p, error=side.law.register(p.address, roles)):
            side.g.register(p.address, roles, key)
        if self.act(side, "vault", "deposit", amount, by=p, error=side.law.deposit(p.address, amount)):
            side.g.deposit(p.address, amount, self.now)

    def fund(self, side: Side, amount: int) -> None:
        sponsor = self.world.sponsor
        if self.act(side, "pool", "fund", amount, by=sponsor, error=side.law.fund(sponsor.address, amount)):
            side.g.fund(amount, self.now)

    def reserve(self, side: Side, p: Person) -> int | None:
        """At exactly the fee of now; whoever would pay a unit less is refused."""
        id = len(side.g.models)
        sealed, fee = reservation(p.address, id), side.g.fee(self.now)
        self.act(
            side, "registry", "reserve", sealed, fee - 1, by=p, error=side.law.reserve(p.address, self.now, fee - 1)
        )
        error = side.law.reserve(p.address, self.now, fee)
        if self.act(side, "registry", "reserve", sealed, fee, by=p, error=error):
            side.g.reserve(p.address, self.now, id, sealed)
            return id
        return None

    def submit(self, side: Side, id: int, parents: Any) -> bool:
        m = side.g.models[id]
        error = side.law.submit(m.author, id, parents, self.now, opens=own(m))
        args = (id, record(m.name, parents), salt_of(m.name))
        if self.act(side, "registry", "submit", *args, by=self.world.by_address[m.author], error=error):
            side.g.submit(id, tuple(parents))
            return True
        return False

    def seal(self, side: Side, p: Person, id: int, improvement: int) -> tuple[tuple[Any, ...], bytes]:
        vote = opening(side, p.address, id, improvement)
        return vote, digest_of(side, vote)

    def keep(self, side: Side, vote: tuple[Any, ...], commitment: bytes) -> None:
        """The ghost takes a commit that is legal."""
        voter, id, _, improvement, *_ = vote  # a ScoreVote
        side.g.commit(voter, id, improvement)
        side.actors.add(voter)  # whoever sent it for the voter
        side.openings[id, voter], side.commitments[id, voter] = vote, commitment

    def commit(self, side: Side, p: Person, id: int, improvement: int, by: Person | None = None) -> bool:
        by = by or p
        vote, commitment = self.seal(side, p, id, improvement)
        error = side.law.commit(by.address, p.address, id, self.now)
        if self.act(side, "book", "commit", p.address, named(side, id, commitment), by=by, error=error):
            self.keep(side, vote, commitment)
            return True
        return False

    def reveal(self, side: Side, voter: str, id: int) -> bool:
        vote = side.openings.get((id, voter)) or opening(side, voter, id, 1)
        error = side.law.reveal(voter, id, self.now, vote[3], opens=self.opens(side, vote))
        if self.act(side, "book", "reveal", unsealed(vote), by=self.world.stranger, error=error):
            side.g.reveal(voter, id)
            return True
        return False

    def finalize(self, side: Side, id: int) -> bool:
        error = side.law.finalize(id, self.now)
        if self.act(side, "book", "finalize", id, by=self.world.stranger, error=error):
            side.g.finalize(self.now)
            return True
        return False

    def settle(self, side: Side, id: int, voters: list[str]) -> bool:
        error = side.law.settle(id)
        args, stranger = (id, voters), self.world.stranger
        votes = side.g.models[id].votes if side.law.known(id) else {}
        open_ = [v for v in dict.fromkeys(voters) if v in votes and not votes[v].settled]
        if not self.act(side, "book", "settle", *args, by=stranger, error=error, items=len(open_)):
            return False
        for voter in open_:
            side.g.settle(voter, id, self.now)
        side.again.append((None, self.world.user, "book", "settle", *args))
        return True

    def pour(self, side: Side, hops: list[tuple[int, int]]) -> None:
        """A hop with nothing to pour is skipped, and so is one of unknown ids."""
        if len(hops) == 1:
            self.act(side, "pool", "pour", *hops[0], by=self.world.stranger)
        else:
            self.act(side, "pool", "pourMany", hops, by=self.world.stranger, items=len(hops))
        for hop in hops:
            if not side.law.dry(hop):
                side.g.pour(hop)
        side.again.append((None, self.world.user, "pool", "pourMany", hops))

    def pour_all(self, side: Side, size: int = 20) -> None:
        """Every hop there is, the newest first, in batches."""
        hops: list[tuple[int, int]] = []
        while (hop := side.g.youngest()) is not None:
            hops.append(hop)
            side.g.pour(hop)
        for start in range(0, len(hops), size):
            if start % (8 * size) == 0:
                self.tick()  # a block holds so many and no more
            batch = hops[start : start + size]
            self.act(side, "pool", "pourMany", batch, by=self.world.stranger, items=len(batch))

    def claim(self, side: Side, p: Person, to: str) -> None:
        error = side.law.claim(p.address, to, side.scene.nowhere)
        if self.act(side, "vault", "claim", to, by=p, error=error):
            side.g.claim(p.address)
            side.again.append(("VaultNothingToClaim", p, "vault", "claim", to))

    def withdraw(self, side: Side, p: Person, to: str) -> None:
        error = side.law.withdraw(p.address, to, self.now, side.scene.nowhere)
        if self.act(side, "vault", "withdraw", to, by=p, error=error):
            side.g.withdraw(p.address)
            side.again.append(("VaultNothingToWithdraw", p, "vault", "withdraw", to))

    # --- exit ---

    def invariant_exit(self) -> None:
        """From any state: every id finalises once its reveal end is past, everybody settles, the commons are divided,
        all leave with their money, and the vault is empty but for plain gifts and dust."""
        for side in self.sides:
            self._finish(side)
            self._end_of(side)
            self._leave(side)
            self.check_exit(side)
        self.stats.checks["exit"] += len(self.sides)

    def _finish(self, side: Side) -> None:
        for id in range(side.g.next, len(side.g.models)):
            self.jump(side.g.window(id)[3])
            assert self.finalize(side, id)
        for id, model in enumerate(side.g.models):
            waiting = [v for v, vote in model.votes.items() if not vote.settled]
            if waiting:
                self.tick()
                assert self.settle(side, id, waiting)
        self.tick()
        self.pour_all(side)

    def _leave(self, side: Side) -> None:
        """All take out all they have; whom the token refuses is paid elsewhere."""
        for _ in range(2):  # an unbonding may be running
            for p in self.people:
                node, away = side.law.node(p.address), p.address in side.law.listed
                assert node.locked == 0
                if node.unbonding:
                    self.now = max(self.now, node.unbonding_at)
                    self.withdraw(side, p, self.world.key.address if away else p.address)
                if node.credit:
                    self.claim(side, p, self.world.key.address if away else p.address)
            self.tick()
            for p in self.people:
                node = side.law.node(p.address)
                if node.free:
                    self.act(side, "vault", "requestUnstake", node.free, by=p)
                    side.g.unstake(p.address, node.free, self.now)
            self.tick(side.p["unbonding"])
        for p in self.people:
            node = side.law.node(p.address)
            assert [node.free, node.locked, node.unbonding, node.credit] == [0, 0, 0, 0]

    def _end_of(self, side: Side) -> None:
        """Close, wait for grace, divide the commons and what comes back of them, and let the sponsor take its funds."""
        sponsor = self.world.sponsor
        if not side.g.closed_at:
            self.tick()
            self.act(side, "pool", "close", by=sponsor)
            side.g.closed_at = self.now
        self.jump(max(side.g.closed_at, side.g.last_final) + side.p["grace"])
        best = [id for id, m in enumerate(side.g.models) if m.gain]
        for _ in range(2):
            for number, id in enumerate(best):
                if number % 100 == 99:
                    self.tick()  # a block holds so many and no more
                self.divide(side, id)
            self.pour_all(side)
        error = side.law.reclaim(sponsor.address, sponsor.address, self.now, side.scene.nowhere)
        if self.act(side, "pool", "reclaim", sponsor.address, by=sponsor, error=error):
            side.g.reclaim()

    def divide(self, side: Side, id: int) -> None:
        error = side.law.divide(id, self.now)
        if self.act(side, "pool", "divideCommons", id, by=self.world.stranger, error=error):
            side.g.divide(id)

    def check_exit(self, side: Side) -> None:
        """Nothing is left but gifts and what came back to the commons; all invariants hold once more, on every id."""
        self.full = self.reads_all
        self.look()
        g = side.g
        assert g.escrow == g.funds == g.committed == 0
        assert side.reading is not None
        assert side.reading["held", side.scene.address["vault"]] == [g.donated + g.commons]
        assert side.reading["totals",] == [g.commons, 0, g.commons]
        for name in sorted(n for n in dir(self) if n.startswith("invariant_") and n != "invariant_exit"):
            getattr(self, name)()
        self.close_step()
