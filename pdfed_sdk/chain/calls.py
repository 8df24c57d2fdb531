"""What the contracts hold and what can be asked of them, without I/O: states as frozen dataclasses, calls as ``Call``.

With codec.py, event_types.py (events) and reverts.py (custom errors) this is the only place that knows ABI shapes.
A ``Call`` says where to, which bytes, and how to read the answer; rpc.py carries it, for both clients alike.
Units: amounts in units of the task's token, times in seconds since the epoch, rates with 2^24 = 1, levels and gains in
grains, improvements as indices of buckets (buckets.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pdfed_sdk.chain.codec import artifact, decode, encode, fill, selector
from pdfed_sdk.types import (
    Address,
    ModelDigests,
    ModelRecord,
    Opening,
    Parent,
    Role,
    ScoreVote,
    SealedVote,
    Status,
    Task,
)

T = TypeVar("T", covariant=True)
ZERO_ADDRESS = Address("0x" + "0" * 40)


# --- states ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskParams:
    """Parameters of a task, frozen for ever at creation; meanings and bounds stand in deploy.py and PdfedTypes.sol."""

    token: Address
    sponsor: Address
    guardian: Address
    eligibility: Address
    min_stake: int
    submission_bond: int
    scoring_fee: int
    vote_bond_bps: int
    slots: int
    submit_window: int
    commit_window: int
    reveal_gap: int
    reveal_window: int
    warm_up: int
    unbonding: int
    grace: int
    kappa_bps: int
    quorum_floor: int
    min_voters: int
    min_step: int
    start_tau: int
    step_rate_bps: int
    lineage_bps: int
    decay_bps: int
    drip_bps: int
    stake_drip_bps: int
    objective: bytes
    card_digest: bytes


@dataclass(frozen=True, slots=True)
class Terms:
    """What a reservation freezes, and how far it has come."""

    author: Address
    reserved_at: int
    status: Status
    reference_id: int
    tau: int
    q: int
    eligible: int


@dataclass(frozen=True, slots=True)
class Result:
    """What the votes said; zero until terminal, and of a Void id only the weights are set."""

    outcome: int
    median: int
    revealed_weight: int
    yes_weight: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of a Final model: level L and measured level M, its gain, and the best it took the place of (its
    reference if it did not become best)."""

    level: int
    measured: int
    gain: int
    previous_id: int


@dataclass(frozen=True, slots=True)
class Submission:
    """All that the registry keeps of an id but its parents. ``record_hash`` is the reservation until it is opened."""

    terms: Terms
    result: Result
    standing: Standing
    record_hash: bytes
    weights_digest: bytes

    @property
    def status(self) -> Status:
        return self.terms.status


@dataclass(frozen=True, slots=True)
class Trend:
    """What the task has learnt from all terminal ids: threshold and majority rate that the next reservation freezes,
    and the running revealed weight Q (2^16 = 1; 0 while unknown) of the next quorum."""

    tau: int
    q: int
    activity: int


@dataclass(frozen=True, slots=True)
class Windows:
    """submit [reserved, submit_end), commit [submitted, commit_end), reveal [reveal_start, reveal_end)."""

    submit_end: int
    commit_end: int
    reveal_start: int
    reveal_end: int


@dataclass(frozen=True, slots=True)
class Vote:
    """One voter's vote on one id, until it is settled: then nothing is kept. ``commitment`` is the digest's first 24
    bytes; ``improvement`` counts once revealed; ``rate`` is the voter's own of votes above tau, frozen at commit."""

    commitment: bytes
    weight: int
    rate: int
    improvement: int
    revealed: bool

    @property
    def exists(self) -> bool:
        return any(self.commitment)


@dataclass(frozen=True, slots=True)
class Tally:
    """Running tally of an id: weight revealed, weight above tau, number of reveals."""

    revealed_weight: int
    yes_weight: int
    reveals: int


@dataclass(frozen=True, slots=True)
class Account:
    """A node's account: ``stake`` is free, ``locked`` bonded; roles 0 means not registered."""

    stake: int
    locked: int
    unbonding: int
    credit: int
    unbonding_at: int
    since: int
    roles: int
    voting_key: Address


@dataclass(frozen=True, slots=True)
class Totals:
    """Ledgers of a task that belong to no node, and all ledgers together (``held``)."""

    held: int
    escrow: int
    treasury: int


@dataclass(frozen=True, slots=True)
class Balances:
    """The treasury by owner: the sponsor's funds (``unreleased`` and ``allowance``, drip up to now included), the
    commons, and what is owed to models or on its way along their lineage."""

    unreleased: int
    allowance: int
    commons: int
    committed: int


@dataclass(frozen=True, slots=True)
class Share:
    """What a model holds of what a descendant earned: to be split above the best that the descendant took the place of,
    and, as a veto had held it down, above the reference of the descendant."""

    above: int
    held: int


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a pour: what ``id`` holds of what ``source`` earned."""

    id: int
    source: int


@dataclass(frozen=True, slots=True)
class Fee:
    """What a reservation pays for scoring now, and how many ids are open."""

    fee: int
    open: int


@dataclass(frozen=True, slots=True)
class Division:
    """What dividing the commons rests on: gains of all models that became best, and what was divided so far."""

    grains: int
    divided: int


@dataclass(frozen=True, slots=True)
class Best:
    """The best model and its level in grains."""

    id: int
    level: int


@dataclass(frozen=True, slots=True)
class SubmissionView:
    """All that a page needs about one submission; ``owed`` waits to be shared out, ``pending`` to be poured."""

    id: int
    submission: Submission
    windows: Windows
    parents: tuple[Parent, ...]
    tally: Tally
    pending: int
    owed: int


def opening(vote: ScoreVote) -> Opening:
    """What ``reveal`` takes: the registry knows the digest of the weights."""
    return Opening(vote.voter, vote.submission_id, vote.improvement, vote.evidence_root, vote.salt)


# --- calls -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A contract call without its transport. ``to`` is empty for a deployment, where ``data`` is creation code."""

    to: Address
    data: bytes
    decode: Callable[[bytes], T]
    name: str


def contract_call(
    contract: str, to: Address, function: str, args: Sequence[Any], read: Callable[[list[Any]], T]
) -> Call[T]:
    """Encode a call by the exported ABI; ``read`` turns the decoded outputs into the result."""
    entry, name = artifact(contract).entry("function", function), f"{contract}.{function}"
    data = selector(entry) + encode(entry["inputs"], args, name)
    return Call(to, data, lambda answer: read(decode(entry["outputs"], answer, name)), name)


def only(values: list[Any]) -> Any:
    """The one output of a call."""
    return values[0]


def nothing(_: list[Any]) -> None:
    """A call without outputs."""


def _struct(cls: type[T]) -> Callable[[list[Any]], T]:
    return lambda values: fill(cls, values[0])


def _fields(cls: type[T]) -> Callable[[list[Any]], T]:
    return lambda values: cls(*values)


@dataclass(frozen=True, slots=True)
class TaskCalls:
    """Every call to the four contracts of one task."""

    task: Task

    def _vault(self, function: str, read: Callable[[list[Any]], T], *args: Any) -> Call[T]:
        return contract_call("StakeVault", self.task.vault, function, args, read)

    def _registry(self, function: str, read: Callable[[list[Any]], T], *args: Any) -> Call[T]:
        return contract_call("ModelRegistry", self.task.registry, function, args, read)

    def _book(self, function: str, read: Callable[[list[Any]], T], *args: Any) -> Call[T]:
        return contract_call("ScoreBook", self.task.book, function, args, read)

    def _pool(self, function: str, read: Callable[[list[Any]], T], *args: Any) -> Call[T]:
        return contract_call("RewardPool", self.task.pool, function, args, read)

    # vault

    def register(self, roles: Role, voting_key: Address, metadata_digest: bytes) -> Call[None]:
        return self._vault("register", nothing, int(roles), voting_key, metadata_digest)

    def register_and_deposit(self, roles: Role, voting_key: Address, metadata_digest: bytes, amount: int) -> Call[None]:
        return self._vault("registerAndDeposit", nothing, int(roles), voting_key, metadata_digest, amount)

    def set_voting_key(self, voting_key: Address) -> Call[None]:
        return self._vault("setVotingKey", nothing, voting_key)

    def set_metadata(self, metadata_digest: bytes) -> Call[None]:
        return self._vault("setMetadata", nothing, metadata_digest)

    def deposit(self, amount: int) -> Call[None]:
        return self._vault("deposit", nothing, amount)

    def deposit_with_permit(self, amount: int, deadline: int, permit: Sequence[Any]) -> Call[None]:
        """``permit``: v, r, s"""
        return self._vault("depositWithPermit", nothing, amount, deadline, *permit)

    def request_unstake(self, amount: int) -> Call[None]:
        return self._vault("requestUnstake", nothing, amount)

    def withdraw(self, to: Address) -> Call[int]:
        return self._vault("withdraw", only, to)

    def claim(self, to: Address) -> Call[int]:
        return self._vault("claim", only, to)

    def account(self, node: Address) -> Call[Account]:
        return self._vault("account", _struct(Account), node)

    def weight_now(self, node: Address) -> Call[int]:
        return self._vault("weightNow", only, node)

    def may_vote_for(self, node: Address, key: Address) -> Call[bool]:
        return self._vault("mayVoteFor", only, node, key)

    def totals(self) -> Call[Totals]:
        return self._vault("totals", _fields(Totals))

    # registry

    def reserve(self, reservation: bytes, max_fee: int) -> Call[int]:
        return self._registry("reserve", only, reservation, max_fee)

    def fee_now(self) -> Call[Fee]:
        return self._registry("feeNow", _fields(Fee))

    def submit(self, submission_id: int, record: ModelRecord, salt: bytes) -> Call[None]:
        return self._registry("submit", nothing, submission_id, record, salt)

    def submission(self, submission_id: int) -> Call[Submission]:
        return self._registry("submission", _struct(Submission), submission_id)

    def parents(self, submission_id: int) -> Call[tuple[Parent, ...]]:
        return self._registry("parents", lambda values: tuple(fill(Parent, item) for item in values[0]), submission_id)

    def windows(self, submission_id: int) -> Call[Windows]:
        return self._registry("windows", _struct(Windows), submission_id)

    def count(self) -> Call[int]:
        return self._registry("count", only)

    def best(self) -> Call[Best]:
        return self._registry("best", _fields(Best))

    def pause(self, duration: int) -> Call[None]:
        return self._registry("pause", nothing, duration)

    def paused_until(self) -> Call[int]:
        return self._registry("pausedUntil", only)

    def closed(self) -> Call[bool]:
        return self._registry("closed", only)

    def params(self) -> Call[TaskParams]:
        return self._registry("params", _struct(TaskParams))

    def genesis(self) -> Call[ModelDigests]:
        return self._registry("genesis", _struct(ModelDigests))

    def siblings(self) -> Call[Task]:
        registry = self.task.registry
        return self._registry("siblings", lambda v: Task(registry=registry, vault=v[0], book=v[1], pool=v[2]))

    # book

    def commit(self, voter: Address, vote: SealedVote) -> Call[None]:
        return self._book("commit", nothing, voter, vote)

    def commit_many(self, voter: Address, votes: Sequence[SealedVote]) -> Call[None]:
        return self._book("commitMany", nothing, voter, list(votes))

    def commit_by_sig(self, voter: Address, vote: SealedVote, deadline: int, signature: bytes) -> Call[None]:
        return self._book("commitBySig", nothing, voter, vote, deadline, signature)

    def reveal(self, vote: ScoreVote) -> Call[None]:
        return self._book("reveal", nothing, opening(vote))

    def reveal_many(self, votes: Sequence[ScoreVote]) -> Call[None]:
        return self._book("revealMany", nothing, [opening(vote) for vote in votes])

    def finalize_many(self, most: int) -> Call[int]:
        return self._book("finalizeMany", only, most)

    def settle(self, submission_id: int, voters: Sequence[Address]) -> Call[None]:
        return self._book("settle", nothing, submission_id, list(voters))

    def hash_vote(self, vote: ScoreVote) -> Call[bytes]:
        return self._book("hashVote", only, vote)

    def hash_commit(self, voter: Address, vote: SealedVote, deadline: int) -> Call[bytes]:
        return self._book("hashCommit", only, voter, vote, deadline)

    def vote_of(self, submission_id: int, voter: Address) -> Call[Vote]:
        return self._book("voteOf", _struct(Vote), submission_id, voter)

    def history(self, voter: Address) -> Call[tuple[int, int]]:
        """(votes above tau, votes) of a node, as its own rate counts them."""
        return self._book("history", lambda values: (values[0], values[1]), voter)

    def tally(self, submission_id: int) -> Call[Tally]:
        return self._book("tally", _struct(Tally), submission_id)

    def histogram(self, submission_id: int) -> Call[tuple[int, ...]]:
        return self._book("histogram", only, submission_id)

    def next_to_finalize(self) -> Call[int]:
        return self._registry("nextToFinalize", only)

    def trend(self) -> Call[Trend]:
        return self._registry("trend", _struct(Trend))

    def eip712_chain_id(self) -> Call[int]:
        return self._book("eip712Domain", lambda values: int(values[3]))

    # pool

    def fund(self, amount: int) -> Call[None]:
        return self._pool("fund", nothing, amount)

    def close(self) -> Call[None]:
        return self._pool("close", nothing)

    def reclaim(self, to: Address) -> Call[int]:
        return self._pool("reclaim", only, to)

    def pour_many(self, hops: Sequence[Hop]) -> Call[None]:
        return self._pool("pourMany", nothing, list(hops))

    def divide_commons(self, submission_id: int) -> Call[int]:
        return self._pool("divideCommons", only, submission_id)

    def pay_royalty(self, submission_id: int, amount: int) -> Call[None]:
        return self._pool("payRoyalty", nothing, submission_id, amount)

    def pending(self, submission_id: int) -> Call[int]:
        return self._pool("pending", only, submission_id)

    def owed(self, submission_id: int) -> Call[int]:
        return self._pool("owed", only, submission_id)

    def share_of(self, submission_id: int, source: int) -> Call[Share]:
        return self._pool("shareOf", _struct(Share), submission_id, source)

    def balances(self) -> Call[Balances]:
        return self._pool("balances", _struct(Balances))

    def division(self) -> Call[Division]:
        return self._pool("division", _fields(Division))


@dataclass(frozen=True, slots=True)
class FactoryCalls:
    """Calls to a task factory."""

    address: Address

    def _factory(self, function: str, read: Callable[[list[Any]], T], *args: Any) -> Call[T]:
        return contract_call("TaskFactory", self.address, function, args, read)

    def create_task(self, params: TaskParams, genesis: ModelDigests, nonce: bytes) -> Call[Task]:
        return self._factory("createTask", _struct(Task), params, genesis, nonce)

    def check(self, params: TaskParams) -> Call[None]:
        return self._factory("check", nothing, params)

    def predict(self, sender: Address, params: TaskParams, nonce: bytes) -> Call[Task]:
        return self._factory("predict", _struct(Task), sender, params, nonce)

    def is_task(self, registry: Address) -> Call[bool]:
        return self._factory("isTask", only, registry)

    def implementations(self) -> Call[Task]:
        return self._factory("implementations", _struct(Task))
