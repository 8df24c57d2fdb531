"""The stateful machine: random acts of nodes, sponsor and strangers on the contracts, mirrored by the ghost model.

Every rule first decides from the ghost whether the act is legal. An illegal act must revert with exactly the expected
error; a legal one must change exactly what the ghost says. `teardown` lets everybody leave and counts the rest.

A fork can run it against its own contracts: subclass `TaskMachine`, override `make_task`, and pass the class to
`hypothesis.stateful.run_state_machine_as_test`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.ghost import Ghost, Node
from support.task import FINAL, OPEN, RESERVED, UNIT, VOID, Task

WINDOWS = {
    "submitWindow": 10, "commitWindow": 40, "revealGap": 2, "revealWindow": 25, "warmUp": 3,
    "unbonding": 70, "grace": 30,
}  # fmt: skip
who = st.integers(0, 6)
some = st.integers(0, 2)
improvements = st.one_of(st.sampled_from([-8, 23, 0, 1, 2]), st.integers(-8, 23))


class TaskMachine(RuleBasedStateMachine):
    _task: ClassVar[Any] = None

    @classmethod
    def make_task(cls) -> Task:
        """The task under test, made once and restored for every example."""
        return Task(minStake=UNIT, submissionBond=UNIT // 3, scoringFee=UNIT // 7 + 5, quorumFloor=3, **WINDOWS)

    def __init__(self) -> None:
        super().__init__()
        cls = type(self)
        if cls._task is None:
            cls._task = cls.make_task()
        self.t: Task = cls._task
        self.chain = self.t.chain
        self.snapshot = self.chain.snapshot()
        self.people = self.chain.accounts[10:17]
        self.now = self.chain.now
        self.g = Ghost(self.t.params, self.t.registry.lastFinalizedAt())
        self.statuses: dict[int, int] = {0: FINAL}
        self.t.ballots.clear()

    # --- plumbing ---

    def tick(self, seconds: int = 1) -> int:
        self.now += seconds
        return self.now

    def act(self, call: Any, *args: Any, by: Any, error: str | None) -> bool:
        """Do it at `self.now` if it is legal, else check how it is refused."""
        if error is None:
            self.t.send(call, *args, sender=by, at=self.now)
            return True
        self.t.reverts(error, call=call, args=args, sender=by, at=self.now)
        return False

    def pick(self, number: int, *statuses: int) -> int | None:
        ids = [i for i, m in enumerate(self.g.models) if m.status in statuses and i]
        return ids[-1 - number % len(ids)] if ids else None

    # --- rules: stake ---

    @initialize(stakes=st.lists(st.integers(1, 12), min_size=5, max_size=5), money=st.integers(1, 10**6))
    def start(self, stakes: list[int], money: int) -> None:
        for person, units in zip(self.people, stakes, strict=False):
            amount = units * UNIT + units
            self.t.pay(person, amount)
            self.t.send(self.t.vault.register, 3, self.people[6], bytes(32), sender=person)
            self.now = self.chain.now + 1
            self.t.send(self.t.vault.deposit, amount, sender=person, at=self.now)
            self.g.join(person, amount, self.now)
        self.t.pay(self.t.sponsor, money * 10**15 + 1)
        self.now = self.chain.now + 1
        self.t.send(self.t.pool.fund, money * 10**15 + 1, sender=self.t.sponsor, at=self.now)
        self.g.fund(money * 10**15 + 1, self.now)
        self.tick(5)

    @rule(seconds=st.one_of(st.integers(1, 5), st.integers(10, 70)))
    def wait(self, seconds: int) -> None:
        self.tick(seconds)

    @rule(who=who, amount=st.integers(0, 3 * UNIT))
    def deposit(self, who: int, amount: int) -> None:
        person = self.people[who]
        registered = person in self.g.nodes
        if registered and amount:
            self.t.send(self.t.token.mint, person, amount, sender=person, at=self.now)
        self.tick()
        error = "VaultNotRegistered" if not registered else "VaultZeroAmount" if not amount else None
        if self.act(self.t.vault.deposit, amount, by=person, error=error):
            self.g.join(person, amount, self.now)

    @rule(who=who, amount=st.integers(0, 4 * UNIT))
    def request_unstake(self, who: int, amount: int) -> None:
        person, node = self.people[who], self.g.nodes.get(self.people[who])
        self.tick()
        error = (
            "VaultNotRegistered" if node is None else "VaultZeroAmount" if not amount
            else "VaultUnbondingPending" if node.unbonding else "VaultInsufficientStake" if amount > node.free else None
        )  # fmt: skip
        if self.act(self.t.vault.requestUnstake, amount, by=person, error=error):
            self.g.unstake(person, amount, self.now)

    @rule(who=who)
    def withdraw(self, who: int) -> None:
        person = self.people[who]
        node = self.g.nodes.get(person, Node())
        self.tick()
        early = self.now < node.unbonding_at
        error = "VaultNothingToWithdraw" if not node.unbonding else "VaultStillUnbonding" if early else None
        if self.act(self.t.vault.withdraw, person, by=person, error=error):
            self.g.withdraw(person)

    @rule(who=who)
    def claim(self, who: int) -> None:
        person = self.people[who]
        self.tick()
        error = None if self.g.nodes.get(person, Node()).credit else "VaultNothingToClaim"
        if self.act(self.t.vault.claim, person, by=person, error=error):
            self.g.claim(person)

    # --- rules: models ---

    @rule(who=who, submit=st.booleans())
    def reserve(self, who: int, submit: bool) -> None:
        person, node = self.people[who], self.g.nodes.get(self.people[who])
        self.tick()
        needed = self.t.params["submissionBond"] + self.t.params["scoringFee"]
        error = (
            "RegistryClosed" if self.g.closed_at else "VaultNotTrainer" if node is None
            else "VaultInsufficientStake" if node.free < needed else None
        )  # fmt: skip
        number = len(self.g.models)
        if self.act(self.t.registry.reserve, self.t.reservation(person, number), by=person, error=error):
            assert self.g.reserve(person, self.now) == number
            if submit:
                self.submit_it(number, ((self.g.best, 10_000),))

    @rule(which=some, first=st.integers(0, 4), second=st.integers(0, 4), bps=st.integers(1, 9_999), late=st.booleans())
    def submit(self, which: int, first: int, second: int, bps: int, late: bool) -> None:
        id = self.pick(which, RESERVED)
        if id is None:
            return
        ids = [i for i in (first, second) if i < len(self.g.models)]
        parents = ((ids[0], bps), (ids[1], 10_000 - bps)) if len(ids) == 2 else ((0, 10_000),)
        if late:
            self.now = max(self.now, self.g.window(id)[0] - 2)
        self.submit_it(id, parents)

    def submit_it(self, id: int, parents: tuple[tuple[int, int], ...]) -> None:
        model = self.g.models[id]
        self.tick()
        error = "RegistrySubmitWindowOver" if self.now >= self.g.window(id)[0] else None
        for i, (parent, _) in enumerate(parents):
            if error is None and (parent >= id or self.g.models[parent].status not in (OPEN, FINAL)):
                error = "RegistryBadParent"
            elif error is None and parent in [p for p, _ in parents[:i]]:
                error = "RegistryDuplicateParent"
        args = (id, self.t.record(id, parents), self.salt(id))
        if self.act(self.t.registry.submit, *args, by=model.author, error=error):
            self.g.submit(id, parents)

    def salt(self, id: int) -> bytes:
        from support.task import digest

        return digest("salt", id)

    # --- rules: votes ---

    @rule(who=who, which=some, improvement=improvements, by_key=st.booleans())
    def commit(self, who: int, which: int, improvement: int, by_key: bool) -> None:
        id = self.pick(which, OPEN, RESERVED)
        if id is not None:
            self.tick()
            self.commit_it(self.people[who], id, improvement, by_key)

    def commit_it(self, person: Any, id: int, improvement: int, by_key: bool = False) -> None:
        model, node = self.g.models[id], self.g.nodes.get(person)
        sender = self.people[6] if by_key else person
        weight = self.g.may_weigh(person, id) if node else 0
        error = None
        if person in model.votes:
            error = "BookAlreadyCommitted"
        elif model.status != OPEN:
            error = "BookNotOpen"
        elif model.author == person:
            error = "BookAuthorCannotVote"
        elif self.now >= self.g.window(id)[1]:
            error = "BookCommitOver"
        elif node is None and sender != person:
            error = "VaultNotVoter"
        elif node is not None and node.free < self.g.bond(weight):
            error = "VaultInsufficientStake"
        elif weight == 0:
            error = "BookNoWeight"
        vote = self.t.vote(person, id, improvement)
        commitment = self.t.book.hashVote(vote)
        if self.act(self.t.book.commit, person, id, commitment, by=sender, error=error):
            self.t.ballots[id, str(person)] = vote
            self.g.commit(person, id, improvement)

    @rule(which=some, votes=st.lists(improvements, min_size=3, max_size=5))
    def everybody_commits(self, which: int, votes: list[int]) -> None:
        id = self.pick(which, OPEN)
        if id is not None:
            self.tick()
            for person, improvement in zip(self.people, votes, strict=False):
                self.tick()
                self.commit_it(person, id, improvement)

    @rule(who=who, which=some, jump=st.booleans())
    def reveal(self, who: int, which: int, jump: bool) -> None:
        id = self.pick(which, OPEN)
        if id is not None:
            self.tick()
            if jump:
                self.now = max(self.now, self.g.window(id)[2])
            self.reveal_it(self.people[who], id)

    def reveal_it(self, person: Any, id: int) -> None:
        vote = self.g.models[id].votes.get(person)
        _, _, start, end = self.g.window(id)
        error = (
            "BookNoCommitment" if vote is None else "BookAlreadyRevealed" if vote.revealed
            else None if start <= self.now < end else "BookNotRevealTime"
        )  # fmt: skip
        opening = self.t.ballots.get((id, str(person))) or self.t.vote(person, id, 1)
        if self.act(self.t.book.reveal, opening, by=self.people[5], error=error):
            self.g.reveal(person, id)

    @rule(which=some)
    def everybody_reveals(self, which: int) -> None:
        id = self.pick(which, OPEN)
        if id is not None:
            self.now = max(self.now + 1, self.g.window(id)[2])
            for person in self.g.models[id].votes:
                self.reveal_it(person, id)
                self.tick()

    @rule(offset=st.integers(0, 3), jump=st.booleans())
    def finalize(self, offset: int, jump: bool) -> None:
        id = self.g.next + (offset == 3)
        self.tick()
        if id > self.g.next:
            self.act(self.t.book.finalize, id, by=self.people[5], error="BookNotNext")
        elif id == len(self.g.models):
            self.act(self.t.book.finalize, id, by=self.people[5], error="BookUnknownId")
        else:
            end = self.g.window(id)[3]
            if jump:
                self.now = max(self.now, end - 1 + offset)
            if self.act(self.t.book.finalize, id, by=self.people[5], error="BookTooEarly" if self.now < end else None):
                self.g.finalize(self.now)

    @rule(which=some, all_of_them=st.booleans(), who=who)
    def settle(self, which: int, all_of_them: bool, who: int) -> None:
        id = self.pick(which, OPEN, FINAL, VOID)
        if id is None:
            return
        self.tick()
        model = self.g.models[id]
        voters = self.people if all_of_them else [self.people[who]]
        error = None if model.status in (FINAL, VOID) else "BookNotTerminal"
        if self.act(self.t.book.settle, id, [str(v) for v in voters], by=self.people[5], error=error):
            for voter in voters:
                if voter in model.votes and not model.votes[voter].settled:
                    self.g.settle(voter, id, self.now)

    # --- rules: money ---

    @rule(which=some)
    def pour(self, which: int) -> None:
        id = self.pick(which, RESERVED, OPEN, FINAL, VOID)
        if id is not None:
            self.tick()
            self.act(self.t.pool.pour, id, by=self.people[5], error=None)
            self.g.pour(id)

    @rule(which=some, amount=st.integers(0, 10**20))
    def pay_royalty(self, which: int, amount: int) -> None:
        payer, id = self.people[5], self.pick(which, OPEN, FINAL)
        if id is None:
            return
        self.t.send(self.t.token.mint, payer, amount, sender=payer, at=self.now)
        self.t.send(self.t.token.approve, self.t.vault, 10**30, sender=payer)
        self.now = self.chain.now
        self.tick()
        final = self.g.models[id].status == FINAL
        error = "PoolNotPayable" if not final else None if amount else "VaultZeroAmount"
        if self.act(self.t.pool.payRoyalty, id, amount, by=payer, error=error):
            self.g.royalty(id, amount)

    @rule(which=some)
    def repeat(self, which: int) -> None:
        """invariant_idempotent: settling and pouring again changes nothing; the ghost does not move."""
        id = self.pick(which, FINAL, VOID)
        if id is None:
            return
        model = self.g.models[id]
        done = [str(v) for v, vote in model.votes.items() if vote.settled]
        self.tick()
        self.act(self.t.book.settle, id, done, by=self.people[6], error=None)
        if not model.owed and not model.pending:
            self.tick()
            self.act(self.t.pool.pourMany, [id, id], by=self.people[6], error=None)

    @rule(amount=st.integers(1, 10**21))
    def fund(self, amount: int) -> None:
        self.t.send(self.t.token.mint, self.t.sponsor, amount, sender=self.t.sponsor, at=self.now)
        self.tick()
        error = "PoolClosed" if self.g.closed_at else None
        if self.act(self.t.pool.fund, amount, by=self.t.sponsor, error=error):
            self.g.fund(amount, self.now)

    @rule(really=st.integers(0, 9))
    def close(self, really: int) -> None:
        self.tick()
        if really:
            self.act(self.t.pool.close, by=self.people[0], error="PoolNotSponsor")
        elif self.act(self.t.pool.close, by=self.t.sponsor, error="RegistryClosed" if self.g.closed_at else None):
            self.g.closed_at = self.now

    @rule()
    def reclaim(self) -> None:
        self.tick()
        until = max(self.g.closed_at, self.g.last_final) + self.t.params["grace"]
        error = (
            "PoolNotClosed" if not self.g.closed_at else "PoolUnfinished" if self.g.next < len(self.g.models)
            else "PoolGraceRunning" if self.now < until else None
        )  # fmt: skip
        if self.act(self.t.pool.reclaim, self.t.sponsor, by=self.t.sponsor, error=error):
            self.g.reclaim()

    # --- invariants ---

    @invariant()
    def invariant_solvency(self) -> None:
        own = sum(n.free + n.locked + n.unbonding + n.credit for n in self.g.nodes.values())
        assert self.t.token.balanceOf(self.t.vault) == own + self.g.escrow + self.g.pool
        assert tuple(self.t.vault.totals()) == (self.g.escrow, self.g.pool)

    @invariant()
    def invariant_no_theft(self) -> None:
        """Every account is exactly what its own acts and the rules make it."""
        for person, node in self.g.nodes.items():
            a = self.t.vault.account(person)
            got = (a["stake"], a["locked"], a["unbonding"], a["credit"])
            assert got == (node.free, node.locked, node.unbonding, node.credit)

    @invariant()
    def invariant_locked_is_exposure(self) -> None:
        exposed = dict.fromkeys(self.g.nodes, 0)
        for model in self.g.models[self.g.next :]:
            exposed[model.author] += self.t.params["submissionBond"]
        for model in self.g.models:
            for voter, vote in model.votes.items():
                exposed[voter] += 0 if vote.settled else vote.bond
        assert exposed == {n: node.locked for n, node in self.g.nodes.items()}

    @invariant()
    def invariant_one_way_status(self) -> None:
        for id, model in enumerate(self.g.models):
            before = self.statuses.get(id, RESERVED)
            if model.status != before or id not in self.statuses:
                assert self.t.registry.submission(id)["status"] == model.status >= before
                self.statuses[id] = model.status

    @invariant()
    def invariant_outcome(self) -> None:
        """The result of the last finalised id, and the state that the next reservation freezes."""
        if self.g.next > 1:
            m, s = self.g.models[self.g.next - 1], self.t.registry.submission(self.g.next - 1)
            got = (s["status"], s["outcome"], s["median"], s["level"], s["gain"], s["revealedWeight"], s["yesWeight"])
            assert got == (m.status, m.outcome, m.median, m.level, m.gain, m.weight, m.above)
        assert self.t.best() == (self.g.best, self.g.best_level)
        assert tuple(self.t.book.tauAndRate()) == (self.g.tau, self.g.q)

    @invariant()
    def invariant_bounded_loss(self) -> None:
        """One vote loses at most its bond, voters of an id get at most its pot, a reward is at most the allowance."""
        for model in self.g.models[1:]:
            assert model.paid <= self.t.params["scoringFee"]
            assert all(charge <= model.votes[v].bond for v, charge in model.charged.items())
            assert model.rewarded[0] <= model.rewarded[1]

    @invariant()
    def invariant_queue_moves(self) -> None:
        """The next id finalises at its reveal end, whatever has happened."""
        if self.g.next < len(self.g.models):
            due = max(self.now, self.g.window(self.g.next)[3])
            self.chain.simulate(self.t.book.finalize, self.g.next, sender=self.people[6], at=due)

    @invariant()
    def invariant_frozen(self) -> None:
        if len(self.g.models) > 1:
            id = len(self.g.models) - 1
            m, s = self.g.models[id], self.t.registry.submission(id)
            got = (s["referenceId"], s["tau"], s["q"], s["eligible"], s["reservedAt"])
            assert got == (m.reference, m.tau, m.q, m.eligible, m.reserved_at)

    @invariant()
    def invariant_lineage(self) -> None:
        """What is owed and pending adds up to what the pool set aside, to the unit."""
        assert self.g.committed == sum(m.owed + m.pending for m in self.g.models)
        for id in range(max(1, len(self.g.models) - 3), len(self.g.models)):
            m = self.g.models[id]
            assert (self.t.pool.owed(id), self.t.pool.pending(id)) == (m.owed, m.pending)
        pool, allowance, pending = self.t.pool.balances()
        assert (pool + allowance, pending) == (self.g.pool - self.g.committed, self.g.committed)
        assert allowance == self.g.meter(self.chain.now)

    # --- exit ---

    def teardown(self) -> None:
        try:
            if self.g.nodes:
                self.invariant_exit()
        finally:
            self.chain.revert(self.snapshot)

    def invariant_exit(self) -> None:
        """From any state: every id past its reveal end finalises, everybody settles, and all leave with their money."""
        ids = range(self.g.next, len(self.g.models))
        for id in ids:
            self.now = max(self.now + 1, self.g.window(id)[3])
            self.act(self.t.book.finalize, id, by=self.people[6], error=None)
            self.g.finalize(self.now)
        for id, model in enumerate(self.g.models):
            waiting = [v for v, vote in model.votes.items() if not vote.settled]
            if waiting:
                self.tick()
                self.act(self.t.book.settle, id, [str(v) for v in waiting], by=self.people[6], error=None)
                for voter in waiting:
                    self.g.settle(voter, id, self.now)
        for id in range(len(self.g.models) - 1, 0, -1):
            if self.g.models[id].owed or self.g.models[id].pending:
                self.tick()
                self.act(self.t.pool.pour, id, by=self.people[6], error=None)
                self.g.pour(id)
        for person, node in self.g.nodes.items():
            assert node.locked == 0
            while node.free or node.unbonding:
                if node.unbonding:
                    self.now = max(self.now + 1, node.unbonding_at)
                    self.act(self.t.vault.withdraw, person, by=person, error=None)
                    self.g.withdraw(person)
                else:
                    self.tick()
                    self.act(self.t.vault.requestUnstake, node.free, by=person, error=None)
                    self.g.unstake(person, node.free, self.now)
            if node.credit:
                self.tick()
                self.act(self.t.vault.claim, person, by=person, error=None)
                self.g.claim(person)
        if not self.g.closed_at:
            self.tick()
            self.act(self.t.pool.close, by=self.t.sponsor, error=None)
            self.g.closed_at = self.now
        self.tick(self.t.params["grace"])
        self.act(self.t.pool.reclaim, self.t.sponsor, by=self.t.sponsor, error=None)
        self.g.reclaim()
        dust = self.g.escrow + self.g.pool
        assert dust == 0
        assert self.t.token.balanceOf(self.t.vault) == 0
