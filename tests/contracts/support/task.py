"""A task on the private chain and what its actors do, one verb an action."""

from __future__ import annotations

from functools import cache
from typing import Any

from eth_abi import encode
from eth_utils import keccak

from .chain import Chain, connect

UNIT = 10**18
LOWEST, MISSING, HIGHEST = -8, -7, 23
RESERVED, OPEN, FINAL, VOID = 1, 2, 3, 4
TRAINER, VALIDATOR = 1, 2
ZERO = "0x" + "00" * 20
ANY_FEE = 2**256 - 1

DEFAULTS: dict[str, Any] = {
    "guardian": ZERO,
    "eligibility": ZERO,
    "minStake": UNIT,
    "submissionBond": 2 * UNIT,
    "scoringFee": 3 * UNIT,
    "voteBondBps": 200,
    "slots": 16,
    "submitWindow": 250,
    "commitWindow": 1_000,
    "revealGap": 10,
    "revealWindow": 500,
    "warmUp": 5,
    "unbonding": 2_000,
    "grace": 1_000,
    "kappaBps": 3_333,
    "quorumFloor": 3,
    "minVoters": 3,
    "minStep": 2,
    "startTau": 0,
    "stepRateBps": 200,
    "lineageBps": 3_000,
    "decayBps": 9_000,
    "dripBps": 100,
    "stakeDripBps": 500,
    "objective": b"qn-normalised".ljust(32, b"\0"),
    "cardDigest": b"\x0c" * 32,
}
PARAMETERS = [
    "token", "sponsor", "guardian", "eligibility", "minStake", "submissionBond", "scoringFee", "voteBondBps",
    "slots", "submitWindow", "commitWindow", "revealGap", "revealWindow", "warmUp", "unbonding", "grace", "kappaBps",
    "quorumFloor", "minVoters", "minStep", "startTau", "stepRateBps", "lineageBps", "decayBps",
    "dripBps", "stakeDripBps", "objective", "cardDigest",
]  # fmt: skip
GENESIS = (b"\x01" * 32, 0x70, b"\x02" * 32, b"\x03" * 32)


def digest(*parts: Any) -> bytes:
    return bytes(keccak(text="/".join(map(str, parts))))


class Deployment:
    """Implementations, factory and lens: once a chain."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        p, self.deployer = chain.project, chain.accounts[0]
        by = {"from": self.deployer}
        self.parts = [c.deploy(by, silent=True) for c in (p.StakeVault, p.ModelRegistry, p.ScoreBook, p.RewardPool)]
        self.factory = p.TaskFactory.deploy(tuple(str(part) for part in self.parts), by, silent=True)
        self.lens = p.TaskLens.deploy(by, silent=True)
        self.tasks = 0

    def token(self, decimals: int = 18) -> Any:
        return self.chain.project.TestToken.deploy("Test", "TST", decimals, {"from": self.deployer}, silent=True)


@cache
def deployment() -> Deployment:
    return Deployment(connect())


class Task:
    """One task with its token. Money and clocks are in the units of `DEFAULTS`."""

    def __init__(self, *, token: Any = None, **overrides: Any) -> None:
        self.deployment = d = deployment()
        self.chain = d.chain
        self.sponsor = self.chain.accounts[1]
        self.token = token or d.token()
        self.params = {**DEFAULTS, "token": str(self.token), "sponsor": str(self.sponsor), **overrides}
        d.tasks += 1
        self.creation = self.send(
            d.factory.createTask, self.params_tuple(), GENESIS, d.tasks.to_bytes(32, "big"), sender=self.sponsor
        )
        addresses = self.creation.events["TaskCreated"]["task"]
        p = self.chain.project
        self.vault, self.registry = p.StakeVault.at(addresses[0]), p.ModelRegistry.at(addresses[1])
        self.book, self.pool = p.ScoreBook.at(addresses[2]), p.RewardPool.at(addresses[3])
        self.ballots: dict[tuple[int, str], tuple[Any, ...]] = {}

    def params_tuple(self) -> tuple[Any, ...]:
        return tuple(self.params[name] for name in PARAMETERS)

    # --- plumbing ---

    def send(self, call: Any, *args: Any, sender: Any, at: int | None = None) -> Any:
        """A real transaction; reverts surface as `Reverted` with the decoded error."""
        if at is not None:
            self.chain.at(at)
        return self.chain.send(call, *args, sender=sender)

    def reverts(
        self, error: str, *values: Any, call: Any, args: tuple[Any, ...] = (), sender: Any, at: int | None = None
    ) -> None:
        self.chain.reverts(error, *values, call=call, args=args, sender=sender, at=at)

    # --- money ---

    def pay(self, who: Any, amount: int) -> None:
        """Mint tokens to `who` and let the vault take them."""
        self.send(self.token.mint, who, amount, sender=who)
        self.send(self.token.approve, self.vault, 2**256 - 1, sender=who)

    def join(self, who: Any, stake: int = 10 * UNIT, roles: int = TRAINER | VALIDATOR, key: Any = ZERO) -> Any:
        self.pay(who, stake)
        self.send(self.vault.register, roles, key, digest("node", who), sender=who)
        self.send(self.vault.deposit, stake, sender=who)
        return who

    def fund(self, amount: int = 1_000 * UNIT) -> None:
        self.pay(self.sponsor, amount)
        self.send(self.pool.fund, amount, sender=self.sponsor)

    # --- models ---

    def record(self, name: Any, parents: Any = ((0, 10_000),)) -> tuple[Any, ...]:
        digests = (digest("package", name), 0x70, digest("weights", name), digest("manifest", name))
        return (digests, [tuple(p) for p in parents])

    def reservation(self, author: Any, name: Any) -> bytes:
        return bytes(
            keccak(
                encode(["address", "bytes32", "bytes32"], [str(author), digest("package", name), digest("salt", name)])
            )
        )

    def reserve(self, author: Any, name: Any = None, at: int | None = None, most: int = ANY_FEE) -> int:
        number = self.registry.count()
        name = number if name is None else name
        self.send(self.registry.reserve, self.reservation(author, name), most, sender=author, at=at)
        return int(number)

    def submit(
        self, author: Any, id: int, parents: Any = ((0, 10_000),), name: Any = None, at: int | None = None
    ) -> Any:
        name = id if name is None else name
        return self.send(
            self.registry.submit, id, self.record(name, parents), digest("salt", name), sender=author, at=at
        )

    def open(self, author: Any, parents: Any = ((0, 10_000),)) -> int:
        id = self.reserve(author)
        self.submit(author, id, parents)
        return id

    # --- votes ---

    def vote(self, voter: Any, id: int, improvement: int, salt: Any = "s") -> tuple[Any, ...]:
        """The ScoreVote of `voter`."""
        weights = self.submission(id)["weightsDigest"]
        return (str(voter), id, weights, improvement, digest("evidence", voter, id), digest(salt, voter, id))

    def sealed(self, id: int, commitment: Any) -> tuple[Any, ...]:
        """The SealedVote that names the record of `id`."""
        return id, self.submission(id)["recordHash"], commitment

    def seal(self, vote: tuple[Any, ...]) -> tuple[Any, ...]:
        """The SealedVote of a ScoreVote."""
        return self.sealed(vote[1], self.book.hashVote(vote))

    @staticmethod
    def opening(vote: tuple[Any, ...]) -> tuple[Any, ...]:
        """What opens a ScoreVote: all of it but the digest of the weights."""
        return (*vote[:2], *vote[3:])

    def commit(self, voter: Any, id: int, improvement: int, sender: Any = None, at: int | None = None) -> Any:
        vote = self.vote(voter, id, improvement)
        self.ballots[id, str(voter)] = vote
        return self.send(self.book.commit, voter, self.seal(vote), sender=sender or voter, at=at)

    def opened(self, voter: Any, id: int) -> tuple[Any, ...]:
        """The opening of what `voter` committed."""
        return self.opening(self.ballots[id, str(voter)])

    def reveal(self, voter: Any, id: int, sender: Any = None, at: int | None = None) -> Any:
        return self.send(self.book.reveal, self.opened(voter, id), sender=sender or voter, at=at)

    def windows(self, id: int) -> Any:
        return self.registry.windows(id)

    def to_reveal(self, id: int) -> None:
        self.chain.travel(max(self.windows(id)["revealStart"], self.chain.now + 1))

    def to_end(self, id: int) -> None:
        self.chain.travel(max(self.windows(id)["revealEnd"], self.chain.now + 1))

    def finalize(self, id: int, sender: Any = None) -> Any:
        return self.send(self.book.finalize, id, sender=sender or self.sponsor)

    def settle(self, id: int, voters: Any, sender: Any = None) -> Any:
        return self.send(self.book.settle, id, [str(v) for v in voters], sender=sender or self.sponsor)

    def score(self, id: int, votes: dict[Any, int], silent: Any = (), settle: bool = True) -> Any:
        """All of voting on an open id: commits, reveals but for the silent ones, finalise, settle."""
        for voter, improvement in votes.items():
            self.commit(voter, id, improvement)
        self.to_reveal(id)
        for voter in votes:
            if voter not in silent:
                self.reveal(voter, id)
        self.to_end(id)
        receipt = self.finalize(id)
        if settle:
            self.settle(id, votes)
        return receipt

    # --- money of models ---

    def pour(self, id: int, source: int | None = None, sender: Any = None) -> Any:
        """One hop: what `id` holds of what `source` (default: itself) earned."""
        return self.send(self.pool.pour, id, id if source is None else source, sender=sender or self.sponsor)

    def pour_all(self) -> None:
        """Every hop there is, the newest first: afterwards nothing is owed, held or pending."""
        ids = range(int(self.registry.count()) - 1, 0, -1)
        hops = [(id, source) for source in ids for id in range(source, 0, -1)]
        self.send(self.pool.pourMany, hops, sender=self.sponsor)
        self.send(self.pool.pourMany, [(id, id) for id in ids], sender=self.sponsor)

    # --- reads ---

    def submission(self, id: int) -> dict[str, Any]:
        """All that the registry keeps of an id, in one flat table."""
        whole = self.registry.submission(id)
        flat = {name: whole[name] for name in ("recordHash", "weightsDigest")}
        for part in ("terms", "result", "standing"):
            flat.update(zip(whole[part].keys(), whole[part], strict=True))
        return flat

    def best(self) -> tuple[int, int]:
        id, level = self.registry.best()
        return int(id), int(level)

    def balances(self) -> dict[str, int]:
        """The treasury by owner: unreleased, allowance, commons, committed."""
        b = self.pool.balances()
        return {name: int(value) for name, value in zip(b.keys(), b, strict=True)}

    def funds(self) -> int:
        """What is the sponsor's."""
        b = self.balances()
        return b["unreleased"] + b["allowance"]

    def trend(self) -> tuple[int, int]:
        """tau and q of the next reservation."""
        tau, q, _ = self.registry.trend()
        return int(tau), int(q)

    def account(self, who: Any) -> Any:
        return self.vault.account(who)

    def escrow(self) -> int:
        return int(self.vault.totals()[1])

    def treasury(self) -> int:
        return int(self.vault.totals()[2])

    def wealth(self, who: Any) -> int:
        """All that a node has in the task."""
        a = self.account(who)
        return int(a["stake"] + a["locked"] + a["unbonding"] + a["credit"])

    def ledgers(self, nodes: Any) -> int:
        """Everything the vault owes: the right side of the solvency equation."""
        return sum(self.wealth(node) for node in nodes) + self.escrow() + self.treasury()

    def solvent(self, nodes: Any) -> None:
        assert self.token.balanceOf(self.vault) == self.vault.totals()[0] == self.ledgers(nodes)
        assert self.treasury() == sum(self.balances().values())


def settlements(receipt: Any) -> dict[Any, tuple[int, int, int, int]]:
    """What each node got in a transaction: released, forfeited, paid, to the commons."""
    names = ("released", "forfeited", "paid", "toCommons")
    return {e["node"]: tuple(int(e[n]) for n in names) for e in happened(receipt, "Settled")}  # type: ignore[misc]


def happened(receipt: Any, event: str) -> list[Any]:
    """The events of this name; none where there is none."""
    return list(receipt.events[event]) if event in receipt.events else []
