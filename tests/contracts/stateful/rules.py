"""Rules of stake, models, money and time. Each may be illegal; the law says how it is refused then."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule
from support.reference import DAY
from support.task import FINAL, OPEN, RESERVED, VOID

from .acts import ALL, Acts
from .sealing import own, record, salt_of
from .world import content

task = st.integers(0, 2)
who = st.integers(0, 7)
some = st.integers(0, 2)
# amounts in hundredths of a minimum stake, so that they suit any token
hundredths = st.one_of(st.integers(0, 400), st.sampled_from([0, 1, 99, 100, 101]))
edge = st.sampled_from([-1, 0, 1])
TRESPASS: list[tuple[str, str, tuple[Any, ...], str]] = [
    ("vault", "openSubmission", ("0x" + "11" * 20, 1, 1, 1, 1, 1), "VaultUnauthorized"),
    ("vault", "lockVote", ("0x" + "11" * 20, "0x" + "11" * 20, 1, 1), "VaultUnauthorized"),
    ("vault", "unlock", ("0x" + "11" * 20, 0, (0, 0, 0, 0, False, False)), "VaultUnauthorized"),
    ("vault", "fund", ("0x" + "11" * 20, 1), "VaultUnauthorized"),
    ("vault", "refund", ("0x" + "11" * 20, 1), "VaultUnauthorized"),
    ("vault", "credit", ("0x" + "11" * 20, 1), "VaultUnauthorized"),
    ("registry", "close", (), "RegistryUnauthorized"),
    ("registry", "initialize", (), "InvalidInitialization"),
    ("registry", "conclude", (1, 3, (0, 0, 0, 0), (0, 0, 0)), "RegistryUnauthorized"),
    ("book", "commitFrom", ("0x" + "11" * 20, "0x" + "11" * 20, (1, b"\1" * 32, b"\1" * 32)), "BookUnauthorized"),
    ("pool", "reward", (1, 3, 3), "PoolUnauthorized"),
]


class Time(Acts):
    @rule(seconds=st.one_of(st.integers(1, 5), st.integers(10, 70)))
    def wait(self, seconds: int) -> None:
        self.tick(seconds)

    @rule(t=task, which=some, edge_=st.integers(0, 3), offset=edge)
    def to_boundary(self, t: int, which: int, edge_: int, offset: int) -> None:
        """Right before, on, or right after the end of a window."""
        side = self.side(t)
        id = self.pick(side, which, RESERVED, OPEN)
        if id is not None:
            self.jump(side.g.window(id)[edge_], offset - 1)  # the next act ticks

    @rule(t=task, which=st.integers(0, 3), n=who, offset=edge)
    def to_other_boundary(self, t: int, which: int, n: int, offset: int) -> None:
        """End of an unbonding, of the grace time, of a pause, of the time between pauses; the guardian tries again."""
        side = self.side(t)
        node, g = side.law.node(self.who(n).address), side.g
        moments = [
            node.unbonding_at,
            g.last_final + side.p["grace"] if g.closed_at else 0,
            g.paused_until,
            g.may_pause_at,
        ]
        if moments[which] > self.now:
            self.jump(moments[which], offset - 1)

    @rule(days=st.integers(1, 9))
    def sleep(self, days: int) -> None:
        """Long enough for the pool's meter to run into its cap."""
        self.tick(days * DAY + 1)


class Stake(Acts):
    @rule(t=task, n=who, roles=st.sampled_from([0, 1, 2, 3, 3, 4, 255]))
    def register(self, t: int, n: int, roles: int) -> None:
        side, p = self.side(t), self.who(n)
        self.tick()
        key = self.world.key.address if n % 2 else "0x" + "00" * 20
        if self.act(side, "vault", "register", roles, key, b"\5" * 32, by=p, error=side.law.register(p.address, roles)):
            side.g.register(p.address, roles, key if n % 2 else None)

    @rule(t=task, n=who, roles=st.integers(0, 4), amount=hundredths)
    def register_and_deposit(self, t: int, n: int, roles: int, amount: int) -> None:
        side, p = self.side(t), self.who(n)
        units = amount * side.p["minStake"] // 100
        self.tick()
        error = side.law.register(p.address, roles) or side.law.deposit(p.address, units, registered=True)
        args = (roles, self.world.key.address, b"\5" * 32, units)
        if self.act(side, "vault", "registerAndDeposit", *args, by=p, error=error):
            side.g.register(p.address, roles, self.world.key.address)
            side.g.deposit(p.address, units, self.now)

    @rule(t=task, n=who, amount=hundredths)
    def deposit(self, t: int, n: int, amount: int) -> None:
        side, p = self.side(t), self.who(n)
        units = amount * side.p["minStake"] // 100
        self.tick()
        if self.act(side, "vault", "deposit", units, by=p, error=side.law.deposit(p.address, units)):
            side.g.deposit(p.address, units, self.now)

    @rule(t=task, n=who, amount=st.one_of(hundredths, st.just(10**6)))
    def request_unstake(self, t: int, n: int, amount: int) -> None:
        """10^6: all that is free; one unit more is refused."""
        side, p = self.side(t), self.who(n)
        free = side.law.node(p.address).free
        self.tick()
        units = free if amount == 10**6 else amount * side.p["minStake"] // 100
        for wanted in (free + 1, units):
            if self.act(side, "vault", "requestUnstake", wanted, by=p, error=side.law.unstake(p.address, wanted)):
                side.g.unstake(p.address, wanted, self.now)

    @rule(t=task, n=who, to=st.integers(0, 9))
    def take_out(self, t: int, n: int, to: int) -> None:
        """Withdraw and claim, to oneself, to somebody else, to nowhere."""
        side, p = self.side(t), self.who(n)
        address = [p.address, p.address, p.address, self.world.key.address, *side.scene.nowhere][to % 6]
        self.tick()
        self.withdraw(side, p, address)
        self.claim(side, p, address)

    @rule(t=task, n=who, on=st.booleans())
    def set_key(self, t: int, n: int, on: bool) -> None:
        side, p = self.side(t), self.who(n)
        key = self.world.key.address if on else "0x" + "00" * 20
        self.tick()
        error = side.law.registered(p.address)
        if self.act(side, "vault", "setVotingKey", key, by=p, error=error):
            side.g.nodes[p.address].key = key if on else None
        self.act(side, "vault", "setMetadata", b"\6" * 32, by=p, error=error)

    @rule(t=task, n=who)
    def trespass(self, t: int, n: int) -> None:
        """The entries of the sibling contracts, called by a node, refuse everybody else."""
        side = self.side(t)
        self.tick()
        for part, name, args, error in TRESPASS:
            self.act(side, part, name, *args, by=self.who(n), error=error)


class Models(Acts):
    @rule(t=task, n=who, a=who, offset=edge)
    def warm_up(self, t: int, n: int, a: int, offset: int) -> None:
        """A reservation when the last change of a stake is one second too young, just old enough, and older."""
        side, p, author = self.side(t), self.who(n), self.who(a)
        weights = side.law.node(p.address).weights
        if weights:
            self.jump(weights[-1][0] + side.p["warmUp"], offset)
            self.reserve(side, author)

    @rule(t=task, n=who, submit=st.booleans(), zero=st.integers(0, 9))
    def reserve_(self, t: int, n: int, submit: bool, zero: int) -> None:
        side, p = self.side(t), self.who(n)
        self.tick()
        if not zero:
            self.act(side, "registry", "reserve", bytes(32), 1, by=p, error="RegistryZeroReservation")
        id = self.reserve(side, p)
        if id is not None and submit:
            self.tick()
            self.submit(side, id, ((side.g.best, 10_000),))

    @rule(t=task, which=some, picks=st.lists(st.integers(0, 9), max_size=5), cut=st.integers(0, 9_999), late=edge)
    def submit_(self, t: int, which: int, picks: list[int], cut: int, late: int) -> None:
        """Any list of up to five parents, at any time; a wrong opening, author and digest first."""
        side = self.side(t)
        id = self.pick(side, which, RESERVED)
        if id is None:
            return
        m = side.g.models[id]
        if late:
            self.jump(side.g.window(id)[0], late)
        else:
            self.tick()
        weights = [cut // len(picks)] * (len(picks) - 1) if picks else []
        parents = tuple(zip(picks, [*weights, 10_000 - sum(weights)], strict=True)) if picks else ()
        parents = tuple((i % (len(side.g.models) + 1), w) for i, w in parents)
        author, other = self.world.by_address[m.author], self.world.stranger
        good, salt = record(m.name, parents), salt_of(m.name)
        zeroed = ((*content(m.name)[:3], bytes(32)), good[1])
        self.act(side, "registry", "submit", id, good, salt, by=other,
                 error=side.law.submit(other.address, id, parents, self.now))  # fmt: skip
        self.act(side, "registry", "submit", id, good, bytes(32), by=author,
                 error=side.law.submit(m.author, id, parents, self.now, opens=False))  # fmt: skip
        self.act(side, "registry", "submit", id, zeroed, salt, by=author,
                 error=side.law.submit(m.author, id, parents, self.now, opens=own(m), digests=False))  # fmt: skip
        self.submit(side, id, parents)

    @rule(t=task, which=some, id=st.integers(0, 30))
    def submit_again(self, t: int, which: int, id: int) -> None:
        """An id that is not Reserved takes no record, an unknown one neither."""
        side = self.side(t)
        known = self.pick(side, which, OPEN, FINAL, VOID)
        self.tick()
        for i in (0, len(side.g.models) + id, *([known] if known else [])):
            author = self.people[0]
            args = (i, record(i, ((0, 10_000),)), salt_of(i))
            error = side.law.submit(author.address, i, ((0, 10_000),), self.now)
            self.act(side, "registry", "submit", *args, by=author, error=error)

    @rule(t=task, n=who)
    def priority(self, t: int, n: int) -> None:
        """A reservation seen in the mempool and repeated by somebody else is a reservation of nothing it can open."""
        side, thief = self.side(t), self.who(n)
        id = self.pick(side, 0, RESERVED)
        self.tick()
        if id is None or side.law.reserve(thief.address, self.now):
            return
        m, copy = side.g.models[id], len(side.g.models)
        if m.author == thief.address or not own(m):
            return
        self.act(side, "registry", "reserve", m.reservation, 2**255, by=thief)
        side.g.reserve(thief.address, self.now, m.name, m.reservation)
        args = (copy, record(m.name, ((0, 10_000),)), salt_of(m.name))
        self.act(side, "registry", "submit", *args, by=thief, error="RegistryReservationMismatch")

    @rule(t=task, duration=st.integers(0, 16 * DAY), guardian=st.integers(0, 3))
    def pause(self, t: int, duration: int, guardian: int) -> None:
        side = self.side(t)
        by = self.world.guardian if guardian else self.who(duration)
        self.tick()
        length = duration if guardian > 1 else duration % 100
        error = side.law.pause(by.address, length, self.now)
        if self.act(side, "registry", "pause", length, by=by, error=error):
            side.g.pause(length, self.now)


class Pots(Acts):
    @rule(t=task, picks=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=4))
    def pour_(self, t: int, picks: list[tuple[int, int]]) -> None:
        """Hops that hold something, hops that hold nothing, and hops of unknown ids."""
        side = self.side(t)
        self.tick()
        known, waiting = len(side.g.models), side.g.waiting()
        hops = []
        for a, b in picks:
            if waiting and a % 3:
                hops.append(waiting[(a + b) % len(waiting)])
            else:
                hops.append((a if a == 40 else a % known, b if b == 40 else b % known))
        self.pour(side, hops)

    @rule(t=task)
    def pour_everything(self, t: int) -> None:
        side = self.side(t)
        self.tick()
        self.pour_all(side)

    @rule(t=task, which=some)
    def divide_commons(self, t: int, which: int) -> None:
        side = self.side(t)
        self.tick()
        for id in (0, len(side.g.models), self.pick(side, which, *ALL) or 0):
            self.divide(side, id)

    @rule(t=task, which=some, amount=st.one_of(hundredths, st.integers(0, 10**6)))
    def pay_royalty(self, t: int, which: int, amount: int) -> None:
        side, payer = self.side(t), self.world.user
        units = amount * max(1, side.p["minStake"] // 100) + amount % 7
        self.tick()
        known = self.pick(side, which, *ALL) or 0
        for id in (0, len(side.g.models), known):
            error = side.law.royalty(payer.address, id, units)
            if self.act(side, "pool", "payRoyalty", id, units, by=payer, error=error):
                side.g.royalty(id, units)

    @rule(t=task, amount=st.integers(0, 10**6), by=st.integers(0, 3))
    def fund_(self, t: int, amount: int, by: int) -> None:
        side = self.side(t)
        self.tick()
        if not by:
            self.act(side, "pool", "fund", 1, by=self.people[0], error="PoolNotSponsor")
        self.fund(side, amount * max(1, side.p["minStake"] // 1000))

    @rule(t=task, amount=st.integers(1, 10**9))
    def give(self, t: int, amount: int) -> None:
        """A plain transfer to the vault belongs to nobody and moves no ledger."""
        side, user = self.side(t), self.world.user
        self.tick()
        error = side.law._token(user.address)
        if self.act(side, "token", "transfer", side.scene.address["vault"], amount, by=user, error=error):
            side.g.donated += amount

    @rule(t=task, really=st.integers(0, 19))
    def close(self, t: int, really: int) -> None:
        side, sponsor = self.side(t), self.world.sponsor
        self.tick()
        self.act(side, "pool", "close", by=self.people[0], error="PoolNotSponsor")
        error = side.law.close(sponsor.address)
        if (really == 19 or error) and self.act(side, "pool", "close", by=sponsor, error=error):
            side.g.closed_at = self.now

    @rule(t=task, to=st.integers(0, 2))
    def reclaim(self, t: int, to: int) -> None:
        side, sponsor = self.side(t), self.world.sponsor
        self.tick()
        address = [sponsor.address, *side.scene.nowhere][to]
        self.act(side, "pool", "reclaim", address, by=self.people[0], error="PoolNotSponsor")
        error = side.law.reclaim(sponsor.address, address, self.now, side.scene.nowhere)
        if self.act(side, "pool", "reclaim", address, by=sponsor, error=error):
            side.g.reclaim()
