"""What a client can ask about a task, as flows. client.py makes each a method of both clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from eth_utils.address import is_address, to_checksum_address

from pdfed_sdk.chain.calls import (
    Account,
    Balances,
    Best,
    Call,
    Division,
    Fee,
    Submission,
    SubmissionView,
    Tally,
    TaskCalls,
    TaskParams,
    Totals,
    Trend,
    Vote,
    Windows,
)
from pdfed_sdk.chain.codec import quantity
from pdfed_sdk.chain.erc20 import TokenCalls
from pdfed_sdk.chain.event_types import Committed, Submitted
from pdfed_sdk.chain.money import UNITS, Token
from pdfed_sdk.chain.replay import EventFlows
from pdfed_sdk.chain.rpc import Chain, Flow, Request
from pdfed_sdk.errors import ChainError, UsageError
from pdfed_sdk.types import GENESIS, Address, ModelDigests, ModelRecord, Parent, Task

T = TypeVar("T")


def address(value: str, what: str = "address") -> Address:
    """Checksummed; UsageError if it is no address."""
    if not isinstance(value, str) or not is_address(value):
        raise UsageError(f"{what} {value!r} is not an address", hint="0x and 40 hexadecimal digits")
    return Address(to_checksum_address(value))


def word(value: int | str) -> bytes:
    """An indexed argument as a log topic: number or address in 32 bytes."""
    return value.to_bytes(32, "big") if isinstance(value, int) else bytes(12) + bytes.fromhex(value[2:])


@dataclass(frozen=True, slots=True)
class TxInfo:
    """A mined transaction: who sent it, where it stands, what it cost."""

    tx_hash: str
    sender: Address
    block: int
    gas_used: int


def _tx_info(tx_hash: str, raw: object) -> TxInfo:
    if not isinstance(raw, dict):
        raise ChainError(f"the endpoint has no receipt of {tx_hash}", hint="try another endpoint")
    block, gas = quantity(raw.get("blockNumber"), "blockNumber"), quantity(raw.get("gasUsed"), "gasUsed")
    return TxInfo(tx_hash, address(str(raw.get("from")), "sender"), block, gas)


@dataclass(frozen=True, slots=True)
class Connection:
    """A task on a chain as a client sees it. ``start`` is the first block with events of the task."""

    chain: Chain
    chain_id: int
    task: Task
    calls: TaskCalls
    log: EventFlows
    voter: Address | None
    start: int = 0
    token: Token = UNITS
    kept_params: list[TaskParams] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reads:
    """Views and the few facts that only events hold. Submissions are named by their id."""

    at: Connection

    def _view(self, call: Call[T], *, block: str = "latest") -> Flow[T]:
        return self.at.chain.one(call, block=block)

    def _node(self, node: str | None) -> Address:
        if node is not None:
            return address(node, "node")
        if self.at.voter is None:
            raise UsageError("no node is named and the client has no signer", hint="name one, or connect with a signer")
        return self.at.voter

    # --- task ---

    def params(self) -> Flow[TaskParams]:
        """The task's parameters (read once; they never change)."""
        if not self.at.kept_params:
            self.at.kept_params.append((yield from self._view(self.at.calls.params())))
        return self.at.kept_params[0]

    def genesis(self) -> Flow[ModelDigests]:
        """Content of the sponsor's genesis model, id 0."""
        return self._view(self.at.calls.genesis())

    def now(self) -> Flow[int]:
        """The chain's time: the timestamp a transaction sent now would see, in seconds."""
        asked = yield from self.at.chain.block("pending")
        return quantity(asked["timestamp"], "timestamp")

    def head(self) -> Flow[int]:
        """Number of the latest block."""
        return self.at.log.head()

    def count(self) -> Flow[int]:
        """Number of ids, genesis included: the next id."""
        return self._view(self.at.calls.count())

    def next_to_finalize(self) -> Flow[int]:
        """The id that is finalised next."""
        return self._view(self.at.calls.next_to_finalize())

    def closed(self) -> Flow[bool]:
        """Whether the sponsor has stopped reservations."""
        return self._view(self.at.calls.closed())

    def paused_until(self) -> Flow[int]:
        """Before this time new reservations are refused; in the past or 0 if they are not."""
        return self._view(self.at.calls.paused_until())

    def best(self) -> Flow[Best]:
        """Id and level of the best model."""
        return self._view(self.at.calls.best())

    def trend(self) -> Flow[Trend]:
        """Threshold and majority rate that the next reservation will freeze, and Q of the next quorum."""
        return self._view(self.at.calls.trend())

    def fee(self) -> Flow[Fee]:
        """What a reservation pays for scoring now: it doubles with every ``slots`` open ids."""
        return self._view(self.at.calls.fee_now(), block="pending")

    def balances(self) -> Flow[Balances]:
        """The treasury by owner, drip up to now included."""
        return self._view(self.at.calls.balances(), block="pending")

    def totals(self) -> Flow[Totals]:
        """Ledgers of the task that belong to no node."""
        return self._view(self.at.calls.totals())

    def division(self) -> Flow[Division]:
        """What dividing the commons rests on."""
        return self._view(self.at.calls.division())

    # --- submissions ---

    def submission(self, submission_id: int) -> Flow[Submission]:
        """A submission's state. ProtocolRevert RegistryUnknownId."""
        return self._view(self.at.calls.submission(submission_id))

    def windows(self, submission_id: int) -> Flow[Windows]:
        """A submission's limits in seconds since the epoch."""
        return self._view(self.at.calls.windows(submission_id))

    def parents(self, submission_id: int) -> Flow[tuple[Parent, ...]]:
        """Declared parents; empty for genesis and before submit."""
        return self._view(self.at.calls.parents(submission_id))

    def tally(self, submission_id: int) -> Flow[Tally]:
        """Running tally of votes."""
        return self._view(self.at.calls.tally(submission_id))

    def histogram(self, submission_id: int) -> Flow[tuple[int, ...]]:
        """Revealed weight in each of the 32 buckets, −8 first."""
        return self._view(self.at.calls.histogram(submission_id))

    def pending(self, submission_id: int) -> Flow[int]:
        """What has come in for a model along references, and waits to be poured."""
        return self._view(self.at.calls.pending(submission_id))

    def submissions(self, start: int = 0, stop: int | None = None) -> Flow[list[SubmissionView]]:
        """Views of the ids in [start, stop), all by default; batched."""
        if stop is None:
            stop = yield from self.count()
        ids = range(start, stop)
        calls = self.at.calls
        many = self.at.chain.read_many
        states = yield from many([calls.submission(i) for i in ids])
        windows = yield from many([calls.windows(i) for i in ids])
        parents = yield from many([calls.parents(i) for i in ids])
        tallies = yield from many([calls.tally(i) for i in ids])
        pending = yield from many([calls.pending(i) for i in ids])
        owed = yield from many([calls.owed(i) for i in ids])
        rows = zip(ids, states, windows, parents, tallies, pending, owed, strict=True)
        return [SubmissionView(*row) for row in rows]

    def record(self, submission_id: int) -> Flow[ModelRecord]:
        """Digests and parents as submitted, from the event; genesis has no parents."""
        if submission_id == GENESIS:
            return ModelRecord((yield from self.genesis()), ())
        found = yield from self.at.log.select(Submitted, self.at.start, word(submission_id))
        for event in found:
            if isinstance(event, Submitted):
                return event.record
        raise ChainError(f"submission {submission_id} has not been submitted", hint="look at its status")

    # --- votes and accounts ---

    def vote(self, submission_id: int, voter: str | None = None) -> Flow[Vote]:
        """A voter's vote on an id (default: this client's node)."""
        return self._view(self.at.calls.vote_of(submission_id, self._node(voter)))

    def voters(self, submission_id: int) -> Flow[list[Address]]:
        """Who has sealed a vote on an id, in order of commitment."""
        found = yield from self.at.log.select(Committed, self.at.start, word(submission_id))
        return [event.voter for event in found if isinstance(event, Committed)]

    def votes(self, submission_id: int) -> Flow[dict[Address, Vote]]:
        """All votes on an id."""
        voters = yield from self.voters(submission_id)
        votes = yield from self.at.chain.read_many([self.at.calls.vote_of(submission_id, voter) for voter in voters])
        return dict(zip(voters, votes, strict=True))

    def account(self, node: str | None = None) -> Flow[Account]:
        """A node's account in the vault (default: this client's node)."""
        return self._view(self.at.calls.account(self._node(node)))

    def weight(self, node: str | None = None) -> Flow[int]:
        """A node's weight now, in whole minimum stakes."""
        return self._view(self.at.calls.weight_now(self._node(node)), block="pending")

    def token_balance(self, owner: str | None = None) -> Flow[int]:
        """What an address holds of the task's token, outside the vault."""
        token = TokenCalls((yield from self.params()).token)
        return (yield from self._view(token.balance_of(self._node(owner))))

    def native_balance(self, owner: str | None = None) -> Flow[int]:
        """What an address holds of the chain's native coin, in wei."""
        raw = yield from self.at.chain.ask("eth_getBalance", self._node(owner), "latest")
        return quantity(raw, "eth_getBalance")

    def receipts(self, tx_hashes: Sequence[str]) -> Flow[dict[str, TxInfo]]:
        """Sender, block and gas of mined transactions, batched; ChainError for one the endpoint does not know."""
        asked = [Request("eth_getTransactionReceipt", (tx_hash,)) for tx_hash in tx_hashes]
        answers = yield from self.at.chain.batch(asked)
        return {tx_hash: _tx_info(tx_hash, raw) for tx_hash, raw in zip(tx_hashes, answers, strict=True)}

    def many(self, calls: Sequence[Call[T]]) -> Flow[list[T]]:
        """Results of any view calls, batched."""
        return self.at.chain.read_many(calls)
