"""What acts cost: named cases measured on the private chain, with ceilings from the protocol page.

The measured task is an ordinary one: the scoring fee is small against a minimum stake, nodes hold a little more than
whole minimum stakes, claims go to an account that holds the token. Batches are per item.
"""

from __future__ import annotations

from typing import Any

from support.chain import connect
from support.task import ANY_FEE, UNIT, VALIDATOR, ZERO, Task, digest

CEILINGS = {
    "register and stake": 140_000,
    "register and stake in one transaction, with a voting key": 140_000,
    "register and stake in one transaction, first node of a task, with a voting key": 140_000,
    "reserve and submit, 1 parent": 270_000,
    "reserve and submit, 4 parents": 270_000,
    "reserve and submit, 4 parents, first of a node": 270_000,
    "commit": 90_000,
    "commit, batch of 10": 60_000,
    "commit by signature": 105_000,
    "commit by signature of the voting key, the weight changed twice since the reservation": 105_000,
    "reveal": 85_000,
    "reveal, first of a node, in an empty word of buckets": 85_000,
    "finalize, every bucket in use, with a reward": 160_000,
    "finalize, never submitted, the bond costs a weight unit": 160_000,
    "finalize, never submitted, the bond costs the first weight unit, first credit": 160_000,
    "settle, batch of 10 silent voters that lose a weight unit": 75_000,
    "commit, first of a node": 90_000,
    "reveal, batch of 10": 60_000,
    "finalize, 1 voter (void)": 160_000,
    "finalize, 8 voters": 160_000,
    "finalize, 64 voters": 160_000,
    "finalize, 300 voters": 160_000,
    "settle, batch of 10": 75_000,
    "settle, batch of 10, paid before": 75_000,
    "pour, one hop": 90_000,
    "pour, a share of what another earned": 90_000,
    "pour, a reward shared with 1 parent, first credit": 90_000,
    "pour, batch of 10": 55_000,
    "claim": 55_000,
}


def vote_alone(gas: dict[str, int]) -> int:
    """One vote of a node that voted and was paid before, each act in a transaction of its own."""
    return gas["commit"] + gas["reveal"] + gas["settle, one voter alone"]


def vote_in_batches(gas: dict[str, int]) -> int:
    """The same, of each of ten votes."""
    return sum(gas[f"{act}, batch of 10"] for act in ("commit", "reveal")) + gas["settle, batch of 10, paid before"]


CONTRACTS = ("StakeVault", "ModelRegistry", "ScoreBook", "RewardPool", "TaskFactory", "TaskLens")
SECRET = "0x" + "33" * 32
STAKE = 1_050 * UNIT


def measured_task() -> Task:
    windows = {"commitWindow": 100_000, "submitWindow": 10_000, "revealWindow": 100_000, "unbonding": 300_000}
    money = {"minStake": 100 * UNIT, "submissionBond": 20 * UNIT, "scoringFee": 5 * UNIT}
    return Task(**windows, **money)


class Bench:
    def __init__(self) -> None:
        self.t = measured_task()
        self.chain = self.t.chain
        self.gas: dict[str, int] = {"create a task": self.t.creation.gas_used}
        self.crowd = ["0x" + digest("voter", i)[-20:].hex() for i in range(300)]

    def block(self, calls: list[Any]) -> None:
        for start in range(0, len(calls), 100):
            assert all(self.chain.block(calls[start : start + 100], at=self.chain.now + 1))

    def people(self) -> None:
        t, chain = self.t, self.chain
        self.authors = chain.accounts[10:16]
        for author in self.authors[1:]:
            t.join(author, stake=STAKE)
        node = self.authors[0]
        t.pay(node, STAKE)
        first = t.send(t.vault.register, 3, ZERO, digest("card"), sender=node)
        chain.at(chain.now + 5)  # a second of its own: within one second the total's checkpoint is overwritten, cheaper
        self.gas["register and stake"] = first.gas_used + t.send(t.vault.deposit, STAKE, sender=node).gas_used
        funder = chain.accounts[1]
        t.send(t.token.mint, funder, 2_000 * STAKE, sender=funder)
        calls: list[Any] = []
        for i, address in enumerate(self.crowd):
            stake = STAKE if i < 292 else 200 * STAKE  # the last eight alone are a quorum
            chain.rpc("anvil_impersonateAccount", address)
            calls += [
                (t.token.transfer, (address, stake), funder),
                (t.token.approve, (t.vault, stake), address),
                (t.vault.register, (VALIDATOR, ZERO, bytes(32)), address),
                (t.vault.deposit, (stake,), address),
            ]
        self.block(calls)
        t.fund(1_000_000 * UNIT)
        chain.travel(chain.now + 10)

    def round(self, author: Any, voters: list[Any], parents: Any, improvement: int = 4) -> tuple[int, dict[str, int]]:
        """One submission with all its votes; the cost of each kind of act, of the last voter where there are many."""
        t, cost = self.t, {}
        id = t.registry.count()
        reserve = t.send(t.registry.reserve, t.reservation(author, id), ANY_FEE, sender=author)
        cost["submit"] = reserve.gas_used + t.submit(author, id, parents).gas_used
        votes = {v: (str(v), id, digest("weights", id), improvement, digest("e", v), digest("s", v)) for v in voters}
        record = t.submission(id)["recordHash"]
        self.block([(t.book.commit, (v, (id, record, t.book.hashVote(votes[v]))), v) for v in voters])
        cost["commit"] = self.last_cost()
        t.to_reveal(id)
        self.block([(t.book.reveal, (t.opening(votes[v]),), v) for v in voters])
        cost["reveal"] = self.last_cost()
        t.to_end(id)
        cost["finalize"] = t.finalize(id).gas_used
        batch = voters[:10]
        cost["settle"] = t.settle(id, batch).gas_used // len(batch)
        return id, cost

    def last_cost(self) -> int:
        block = self.chain.rpc("eth_getBlockByNumber", "latest", False)
        return int(self.chain.rpc("eth_getTransactionReceipt", block["transactions"][-1])["gasUsed"], 16)

    def models(self) -> None:
        g = self.gas
        self.chain.rpc("anvil_setBalance", str(self.authors[0]), hex(10**22))
        sizes = {"1 voter (void)": 1, "8 voters": 8, "64 voters": 64, "300 voters": 300}
        ids: list[int] = []
        third, fourth = self.authors[3:5]  # each submission that is held against a ceiling below is a later one
        for author, (name, size) in zip((third, third, fourth, fourth), sizes.items(), strict=True):
            parents = [(ids[-1], 10_000)] if len(ids) > 1 else [(0, 10_000)]
            id, cost = self.round(author, self.crowd[-size:], parents)
            ids.append(id)
            g[f"finalize, {name}"] = cost["finalize"]
            if size == 8:
                g["reserve and submit, 1 parent"], g["commit"] = cost["submit"], cost["commit"]
            if size == 64:
                g["reveal"] = cost["reveal"]  # these voters revealed before, their bucket is in use
            if size == 300:
                g["settle, batch of 10"] = cost["settle"]
        four = [(i, 2_500) for i in (*ids[1:], 0)]
        _, cost = self.round(third, self.crowd[-8:], four)
        g["reserve and submit, 4 parents"] = cost["submit"]
        self.settle_again()

    def settle_again(self) -> None:
        """Of voters that were paid before: ten in one call, and one alone."""
        t, g = self.t, self.gas
        self.round(self.authors[0], self.crowd[-20:], [(0, 10_000)])
        id, cost = self.round(self.authors[0], self.crowd[-20:], [(0, 10_000)])
        g["settle, batch of 10, paid before"] = cost["settle"]
        alone = t.settle(id, self.crowd[-2:-1])  # not in that batch, but in those of the rounds of 8
        assert "Settled" in alone.events
        g["settle, one voter alone"] = int(alone.gas_used)

    def batches(self) -> None:
        t, g = self.t, self.gas
        ids = [t.open(self.authors[i % 5]) for i in range(10)]
        voter = self.authors[5]
        for warm in self.crowd[:2]:
            self.block([(t.book.commit, (warm, t.seal(t.vote(warm, i, 3))), warm) for i in ids])
        votes = [t.vote(voter, id, 3) for id in ids]
        sealed = [t.seal(v) for v in votes]
        committed = t.send(t.book.commitMany, voter, sealed, sender=voter)
        g["commit, batch of 10"] = committed.gas_used // 10
        t.to_reveal(ids[-1])
        for warm in self.crowd[:2]:
            self.block([(t.book.reveal, (t.opening(t.vote(warm, i, 3)),), warm) for i in ids])
        revealed = t.send(t.book.revealMany, [t.opening(v) for v in votes], sender=voter)
        g["reveal, batch of 10"] = revealed.gas_used // 10
        sent = len(committed.calldata) + len(revealed.calldata)
        settled = 32  # one address more in the list of a settlement that other voters share
        g["bytes of calldata of a vote, batch of 10"] = -(-sent // 10) + settled
        t.to_end(ids[-1])
        t.send(t.book.finalizeMany, 20, sender=voter)

    def signature(self) -> None:
        """By a node's own key; then by its voting key, when the node's weight has changed since the reservation."""
        from brownie import accounts

        signer = accounts.add(SECRET)
        self.chain.rpc("anvil_setBalance", str(signer), hex(10**20))
        self.t.join(signer, stake=STAKE)
        node = self.t.join(self.chain.accounts[20], stake=STAKE)
        self.t.send(self.t.vault.setVotingKey, signer, sender=node)
        self.chain.travel(self.chain.now + 10)
        id = self.t.open(self.authors[0])
        self.gas["commit by signature"] = self.signed(signer, id)
        for _ in range(2):
            self.t.pay(node, 100 * UNIT)
            self.t.send(self.t.vault.deposit, 100 * UNIT, sender=node)
        name = "commit by signature of the voting key, the weight changed twice since the reservation"
        self.gas[name] = self.signed(node, id)
        self.t.to_end(id)
        self.t.finalize(id)

    def signed(self, voter: Any, id: int) -> int:
        from eth_account import Account

        deadline = self.chain.now + 1_000
        vote = self.t.sealed(id, b"\7" * 32)
        digest_ = self.t.book.hashCommit(voter, vote, deadline)
        signature = bytes(Account._sign_hash(bytes(digest_), SECRET).signature)
        args = (voter, vote, deadline, signature)
        return int(self.t.send(self.t.book.commitBySig, *args, sender=self.authors[1]).gas_used)

    def lineage(self) -> None:
        """Twelve generations; rewards are shared out first, then a royalty runs down the whole line."""
        t, g = self.t, self.gas
        line: list[int] = []
        for number in range(12):
            parents = [(line[-1], 10_000)] if line else [(0, 10_000)]
            id, _ = self.round(self.authors[number % 3], self.crowd[-4:], parents, improvement=6)
            line.append(id)
        down = list(reversed(line))
        for _ in range(2):
            t.send(t.pool.pourMany, [(i, i) for i in down], sender=self.authors[0])
        user = self.chain.accounts[60]
        t.pay(user, 2 * UNIT)
        for name in ("pour, one hop", "pour, batch of 10"):
            t.send(t.pool.payRoyalty, down[0], UNIT, sender=user)
            t.send(t.pool.pour, down[0], down[0], sender=user)
            if name == "pour, one hop":
                g[name] = t.send(t.pool.pour, down[1], down[1], sender=user).gas_used
                t.send(t.pool.pourMany, [(i, i) for i in down[2:]], sender=user)
            else:
                g[name] = t.send(t.pool.pourMany, [(i, i) for i in down[1:11]], sender=user).gas_used // 10
        author = self.authors[0]
        t.send(t.token.mint, author, 1, sender=author)
        g["claim"] = t.send(t.vault.claim, author, sender=author).gas_used


class WorstCases:
    """The dearest state each act can meet: fresh slots, a weight unit crossed, every bucket in use."""

    def __init__(self, gas: dict[str, int]) -> None:
        self.t, self.gas = measured_task(), gas
        self.chain = self.t.chain

    def arrive(self) -> None:
        t, chain, gas = self.t, self.chain, self.gas
        first, second = chain.accounts[10:12]
        for node in (first, second):
            t.pay(node, 10_000 * UNIT)
        snapshot = chain.snapshot()
        card = (3, second, digest("card"))
        sent = t.send(t.vault.registerAndDeposit, *card, 1_000 * UNIT, sender=first)
        gas["register and stake in one transaction, first node of a task, with a voting key"] = sent.gas_used
        chain.revert(snapshot)
        sent = [t.send(t.vault.register, *card, sender=first)]
        chain.at(chain.now + 5)
        sent.append(t.send(t.vault.deposit, 1_000 * UNIT, sender=first))
        gas["register and stake, first node of a task, with a voting key"] = sum(r.gas_used for r in sent)
        snapshot = chain.snapshot()
        sent = t.send(
            t.vault.registerAndDeposit, 3, first, digest("card"), 1_000 * UNIT, sender=second, at=chain.now + 5
        )
        gas["register and stake in one transaction, with a voting key"] = sent.gas_used
        chain.revert(snapshot)
        sent = [t.send(t.vault.register, 3, first, digest("card"), sender=second)]
        chain.at(chain.now + 5)
        sent.append(t.send(t.vault.deposit, 1_000 * UNIT, sender=second))
        gas["register and stake, with a voting key"] = sum(r.gas_used for r in sent)
        self.voters = [t.join(a, stake=(200 if i < 40 else 1_000) * UNIT) for i, a in enumerate(chain.accounts[12:60])]
        t.fund(1_000_000 * UNIT)
        chain.travel(chain.now + 10)

    def vote(self, author: Any, votes: dict[Any, int], parents: Any = ((0, 10_000),), silent: Any = ()) -> int:
        t = self.t
        id = t.open(author, parents)
        for voter, improvement in votes.items():
            t.commit(voter, id, improvement)
        t.to_reveal(id)
        for voter in votes:
            if voter not in silent:
                t.reveal(voter, id)
        t.to_end(id)
        return int(id)

    def go(self) -> None:
        t, chain, gas = self.t, self.chain, self.gas
        first, second = chain.accounts[10:12]
        heavy = self.voters[40:]
        spread = {v: (i % 32) - 8 for i, v in enumerate(self.voters[:40])} | {heavy[0]: 23, heavy[1]: 23}
        id = self.vote(first, spread | dict.fromkeys(heavy, 20), silent=())
        gas["finalize, every bucket in use, with a reward"] = t.finalize(id).gas_used
        id = self.vote(first, dict.fromkeys(self.voters[:14], 3) | dict.fromkeys(heavy, 4), silent=self.voters[:11])
        t.finalize(id)
        gas["settle, batch of 10 silent voters that lose a weight unit"] = t.settle(id, self.voters[:10]).gas_used // 10
        alone = t.settle(id, self.voters[10:11])
        gas["settle, one silent voter alone that loses its first weight unit"] = alone.gas_used
        gas["settle, one voter alone, first credit"] = t.settle(id, self.voters[13:14]).gas_used
        # parents of different authors
        ids = [id]
        for n in range(3):
            ids.append(self.vote(self.voters[20 + n], dict.fromkeys(heavy, 4), [(ids[-1], 10_000)]))
            t.finalize(ids[-1])
        gas["reserve and submit, 4 parents, the fee costs a weight unit"] = self.submission(second, ids)
        id = t.registry.count() - 1
        chain.travel(chain.now + 10)
        self.commit_all(id, heavy)
        t.finalize(id)
        gas["pour, a reward shared with 4 parents, first credit of the author"] = t.send(
            t.pool.pour, id, id, sender=first
        ).gas_used
        name = "pour, one hop and a reward shared with 1 parent, first credit of an author"
        gas[f"{name} whose only submission cost it a weight unit"] = t.pour(ids[-1], sender=first).gas_used
        roomy = self.voters[23:25]
        for node in roomy:
            t.pay(node, 30 * UNIT)
            t.send(t.vault.deposit, 30 * UNIT, sender=node)
        for author, improvement in zip((self.voters[25], *roomy), (0, 6, 8), strict=True):
            ids.append(self.vote(author, dict.fromkeys(heavy, improvement), [(ids[-1], 10_000)]))
            t.finalize(ids[-1])
        gas["pour, a reward shared with 1 parent without gain, first credit"] = t.send(
            t.pool.pour, ids[-2], ids[-2], sender=first
        ).gas_used
        gas["pour, a reward shared with 1 parent, first credit"] = t.pour(ids[-1], sender=first).gas_used
        self.shares(heavy)
        newcomer = t.join(chain.accounts[62], stake=220 * UNIT)
        chain.travel(chain.now + 10)
        for name in ("the bond costs the first weight unit, first credit", "the bond costs a weight unit"):
            reserve = t.reserve(newcomer)
            t.to_end(reserve)
            gas[f"finalize, never submitted, {name}"] = t.finalize(reserve).gas_used
            t.pay(newcomer, 25 * UNIT)
            t.send(t.vault.deposit, 25 * UNIT, sender=newcomer)
        fresh = self.t.join(chain.accounts[61], stake=1_050 * UNIT)
        chain.travel(chain.now + 10)
        id = t.open(first)
        gas["commit, first of a node"] = t.commit(fresh, id, -7).gas_used
        t.to_reveal(id)
        gas["reveal, first of a node, in an empty word of buckets"] = t.reveal(fresh, id).gas_used
        gas["reserve and submit, 4 parents, first of a node"] = self.submission(fresh, ids[-4:])

    def shares(self, heavy: Any) -> None:
        """A model that three of eight press to nothing, and one that declares it and shows the rest."""
        t, author = self.t, self.voters[25]
        pressed = self.vote(author, dict.fromkeys(heavy[:3], -8) | dict.fromkeys(heavy[3:], 12))
        t.finalize(pressed)
        shown = self.vote(self.voters[26], dict.fromkeys(heavy, 12), [(pressed, 10_000)])
        t.finalize(shown)
        t.pour(shown)
        receipt = t.pour(pressed, shown)
        assert receipt.events["Shared"]["toAuthor"] > 0
        self.gas["pour, a share of what another earned"] = receipt.gas_used

    def submission(self, author: Any, parents: list[int]) -> int:
        t, id = self.t, self.t.registry.count()
        reserve = t.send(t.registry.reserve, t.reservation(author, id), ANY_FEE, sender=author)
        return int(reserve.gas_used + t.submit(author, id, [(i, 2_500) for i in parents]).gas_used)

    def commit_all(self, id: int, voters: Any) -> None:
        t = self.t
        for v in voters:
            t.commit(v, id, 6)
        t.to_reveal(id)
        for v in voters:
            t.reveal(v, id)
        t.to_end(id)


def reserve_in_traffic() -> dict[str, int]:
    """A reservation looks up the total's weight of a warm-up ago: beside one by a node alone, one after changes of
    weight in each of the last seconds. A change of one node changes the total, so anybody can add some."""
    t = Task(minStake=100 * UNIT, scoringFee=UNIT, warmUp=86_400, unbonding=200_000)
    author, other = (t.join(who, stake=1_050 * UNIT) for who in t.chain.accounts[10:12])
    gas = {}
    for wanted in (0, 0, 30, 300):  # the first reservation of a node's life costs more and is not kept
        t.chain.travel(t.chain.now + 86_400)
        t.pay(other, wanted * 100 * UNIT)
        for _ in range(wanted):
            t.send(t.vault.deposit, 100 * UNIT, sender=other, at=t.chain.now + 1)
        name = "reserve, quiet" if not wanted else f"reserve, the total changed {wanted} times within the warm-up"
        t.chain.at(t.chain.now + 1)
        gas[name] = t.send(
            t.registry.reserve, t.reservation(author, t.registry.count()), ANY_FEE, sender=author
        ).gas_used
    return gas


def measure() -> dict[str, int]:
    """All cases, by human name. Every block is a second after the last, as what a history costs depends on how many
    changes of weight fell into a second of their own."""
    connect().rpc("anvil_setBlockTimestampInterval", 1)
    try:
        return _measure()
    finally:
        connect().rpc("anvil_removeBlockTimestampInterval")


def _measure() -> dict[str, int]:
    bench = Bench()
    worst = WorstCases(bench.gas)
    for part in (bench.people, bench.models, bench.batches, bench.signature, bench.lineage, worst.arrive, worst.go):
        part()
    bench.gas |= reserve_in_traffic()
    for name in CONTRACTS:
        code = getattr(bench.chain.project, name)._build["deployedBytecode"]
        bench.gas[f"bytes of {name}"] = len(code) // 2
    return dict(sorted(bench.gas.items()))
