"""Logs → typed events: one frozen dataclass an event, named and filled by the ABI; an unknown topic fails loudly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from functools import cache
from typing import Any

from pdfed_sdk.chain.calls import Result, Standing, TaskParams, Trend
from pdfed_sdk.chain.codec import (
    CONTRACTS,
    Param,
    artifact,
    canonical,
    checksummed,
    decode_as,
    fill,
    signature,
    snake,
    topic_of,
)
from pdfed_sdk.errors import ChainError
from pdfed_sdk.types import Address, ModelDigests, ModelRecord, Status, Task


@dataclass(frozen=True, slots=True)
class Where:
    """Where an event stands on the chain. ``timestamp`` is None where the endpoint does not say."""

    block: int
    block_hash: str
    tx_hash: str
    log_index: int
    contract: Address
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; the fields of each are those of the Solidity event, in snake_case."""

    where: Where


# --- ModelRegistry ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reserved(Event):
    id: int
    author: Address
    reservation: bytes
    reference_id: int
    tau: int
    q: int
    eligible: int
    reserved_at: int


@dataclass(frozen=True, slots=True)
class Submitted(Event):
    id: int
    author: Address
    record: ModelRecord


@dataclass(frozen=True, slots=True)
class Finalized(Event):
    """``next`` is what the next reservation and the next quorum start from."""

    id: int
    status: Status
    result: Result
    standing: Standing
    next: Trend


@dataclass(frozen=True, slots=True)
class BestChanged(Event):
    id: int
    previous: int
    level: int


@dataclass(frozen=True, slots=True)
class Closed(Event):
    closed_at: int


@dataclass(frozen=True, slots=True)
class Paused(Event):
    until: int


# --- RewardPool ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Funded(Event):
    sponsor: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Rewarded(Event):
    id: int
    from_allowance: int
    from_commons: int


@dataclass(frozen=True, slots=True)
class CommonsDivided(Event):
    id: int
    amount: int


@dataclass(frozen=True, slots=True)
class Shared(Event):
    """What ``id`` held of what ``source`` earned was split; each part of ``to_parents`` has its ShareGiven."""

    id: int
    source: int
    author: Address
    to_author: int
    to_reference: int
    to_parents: int


@dataclass(frozen=True, slots=True)
class ShareGiven(Event):
    source: int
    from_: int
    to: int
    above: int
    held: int


@dataclass(frozen=True, slots=True)
class Poured(Event):
    id: int
    author: Address
    to_author: int
    passed: int
    reference_id: int


@dataclass(frozen=True, slots=True)
class PourSkipped(Event):
    id: int
    source: int


@dataclass(frozen=True, slots=True)
class RoyaltyPaid(Event):
    id: int
    payer: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Reclaimed(Event):
    to: Address
    amount: int


# --- ScoreBook -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Committed(Event):
    id: int
    voter: Address
    commitment: bytes
    weight: int
    rate: int


@dataclass(frozen=True, slots=True)
class Revealed(Event):
    id: int
    voter: Address
    improvement: int
    evidence_root: bytes


@dataclass(frozen=True, slots=True)
class CommitSkipped(Event):
    id: int
    voter: Address
    reason: bytes


@dataclass(frozen=True, slots=True)
class RevealSkipped(Event):
    id: int
    voter: Address
    reason: bytes


@dataclass(frozen=True, slots=True)
class SettleSkipped(Event):
    id: int
    voter: Address


# --- StakeVault ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodeRegistered(Event):
    node: Address
    roles: int
    voting_key: Address
    metadata_digest: bytes


@dataclass(frozen=True, slots=True)
class VotingKeyChanged(Event):
    node: Address
    voting_key: Address


@dataclass(frozen=True, slots=True)
class MetadataChanged(Event):
    node: Address
    metadata_digest: bytes


@dataclass(frozen=True, slots=True)
class Deposited(Event):
    node: Address
    amount: int


@dataclass(frozen=True, slots=True)
class UnstakeRequested(Event):
    node: Address
    amount: int
    withdrawable_at: int


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    node: Address
    to: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Claimed(Event):
    node: Address
    to: Address
    amount: int


@dataclass(frozen=True, slots=True)
class SubmissionBonded(Event):
    """An author's free stake became its bond (locked), the base fee (escrow) and the surcharge (commons)."""

    author: Address
    id: int
    bond: int
    fee: int
    surcharge: int


@dataclass(frozen=True, slots=True)
class VoteBonded(Event):
    voter: Address
    id: int
    bond: int


@dataclass(frozen=True, slots=True)
class Settled(Event):
    """An act ended: a submission of its author, or a vote of a voter. ``released`` of the bond is free again and
    ``forfeited`` the commons'; of the fee ``paid`` is the node's credit and ``to_commons`` the commons'."""

    node: Address
    id: int
    released: int
    forfeited: int
    paid: int
    to_commons: int


@dataclass(frozen=True, slots=True)
class TreasuryFunded(Event):
    payer: Address
    amount: int


@dataclass(frozen=True, slots=True)
class TreasuryPaid(Event):
    to: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Credited(Event):
    """Treasury to an author's credit."""

    author: Address
    amount: int


# --- TaskFactory, and what OpenZeppelin's bases emit -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskCreated(Event):
    registry: Address
    sponsor: Address
    task: Task
    params: TaskParams
    genesis: ModelDigests
    salt: bytes


@dataclass(frozen=True, slots=True)
class Initialized(Event):
    version: int


@dataclass(frozen=True, slots=True)
class EIP712DomainChanged(Event):
    pass


EVENTS: dict[str, type[Event]] = {cls.__name__: cls for cls in Event.__subclasses__()}


@dataclass(frozen=True, slots=True)
class _Layout:
    """How an event lies in a log: indexed arguments one a topic, then the others in the data."""

    kind: type[Event] | None
    name: str
    params: tuple[Param, ...]
    kinds: tuple[str, ...]
    fields: tuple[str, ...]
    indexed: int
    static: bool
    """Whether every argument has a fixed size, so that topics and data may be read as one."""

    @staticmethod
    def of(entry: Param) -> _Layout:
        params = tuple(sorted(entry["inputs"], key=lambda part: not part["indexed"]))
        kinds, name = tuple(canonical(part) for part in params), str(entry["name"])
        indexed = sum(bool(part["indexed"]) for part in params)
        static = not any("[" in kind or "bytes" in kind.replace("bytes32", "") or "string" in kind for kind in kinds)
        return _Layout(EVENTS.get(name), name, params, kinds, tuple(map(_field, params)), indexed, static)

    def read(self, topics: list[bytes], data: bytes) -> list[Any]:
        """Values of ``fields``, in order. Raises ChainError."""
        head = b"".join(topics)
        if self.static:
            return decode_as(self.kinds, self.params, head + data, self.name)
        split = self.indexed
        first = decode_as(self.kinds[:split], self.params[:split], head, self.name)
        return first + decode_as(self.kinds[split:], self.params[split:], data, self.name)


@cache
def _layouts() -> dict[bytes, _Layout]:
    """Topic → layout, for all contracts of the protocol."""
    found: dict[bytes, _Layout] = {}
    for contract in CONTRACTS:
        for entry in artifact(contract).abi:
            if entry["type"] == "event":
                found[topic_of(signature(entry))] = _Layout.of(entry)
    return found


def topic(event: type[Event]) -> bytes:
    """Topic 0 of an event class, for log filters."""
    for found, layout in _layouts().items():
        if layout.name == event.__name__:
            return found
    raise KeyError(f"no contract emits {event.__name__}")


def decode_log(log: Mapping[str, Any]) -> Event:
    """A JSON-RPC log as a typed event. ChainError for an unknown topic or a log that is not well formed."""
    try:
        topics = [bytes.fromhex(item[2:]) for item in log["topics"]]
        data = bytes.fromhex(log["data"][2:])
        where = _where(log)
    except (KeyError, TypeError, ValueError) as error:
        raise ChainError(f"the endpoint sent a log that cannot be read: {error!r}") from error
    layout = _layouts().get(topics[0]) if topics else None
    if layout is None or layout.kind is None:
        shown = "none" if not topics else "0x" + topics[0].hex()
        raise ChainError(
            f"unknown event with topic {shown} from {where.contract} in block {where.block}",
            hint="the contracts are newer than this SDK: upgrade it",
        )
    words = topics[1:]
    if len(words) != layout.indexed or any(len(word) != 32 for word in words):
        raise ChainError(
            f"{layout.name} from {where.contract} has {len(words)} topics, not {layout.indexed} of 32 bytes"
        )
    values = dict(zip(layout.fields, layout.read(words, data), strict=True))
    return fill(layout.kind, {"where": where, **values})


def _where(log: Mapping[str, Any]) -> Where:
    stamp = log.get("blockTimestamp")
    return Where(
        block=int(log["blockNumber"], 16),
        block_hash=str(log["blockHash"]),
        tx_hash=str(log["transactionHash"]),
        log_index=int(log["logIndex"], 16),
        contract=checksummed(log["address"]),
        timestamp=None if stamp is None else int(stamp, 16),
    )


def _field(part: Param) -> str:
    name = snake(str(part["name"]))
    return "from_" if name == "from" else name


def event_to_dict(event: Event) -> dict[str, Any]:
    """JSON-ready: the event's name, its fields (bytes as 0x…, enums by name), and where it stands."""
    shown = {field.name: jsonable(getattr(event, field.name)) for field in fields(event) if field.name != "where"}
    return {"event": type(event).__name__, **shown, "where": jsonable(event.where)}


def jsonable(value: Any) -> Any:
    """Dataclasses, bytes and enums as plain JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    return value
