"""What is read of a task after a step: all of it in one call, as plain words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from eth_utils import keccak
from support.wire import call, returned

if TYPE_CHECKING:
    from .base import Plumbing, Side

WORD = 1 << 256
Key = tuple[Any, ...]
Reading = dict[Key, list[int]]
VIEWS = {
    "account": ("vault", "account(address)"),
    "totals": ("vault", "totals()"),
    "weightNow": ("vault", "weightNow(address)"),
    "weightAt": ("vault", "weightAt(address,uint40)"),
    "totalWeightAt": ("vault", "totalWeightAt(uint40)"),
    "held": ("token", "balanceOf(address)"),
    "best": ("registry", "best()"),
    "count": ("registry", "count()"),
    "next": ("registry", "nextToFinalize()"),
    "closedAt": ("registry", "closedAt()"),
    "pausedUntil": ("registry", "pausedUntil()"),
    "lastFinalizedAt": ("registry", "lastFinalizedAt()"),
    "trend": ("registry", "trend()"),
    "feeNow": ("registry", "feeNow()"),
    "params": ("registry", "params()"),
    "submission": ("registry", "submission(uint256)"),
    "parents": ("registry", "parents(uint256)"),
    "windows": ("registry", "windows(uint256)"),
    "tally": ("book", "tally(uint256)"),
    "histogram": ("book", "histogram(uint256)"),
    "voteOf": ("book", "voteOf(uint256,address)"),
    "history": ("book", "history(address)"),
    "hashVote": ("book", "hashVote((address,uint256,bytes32,int8,bytes32,bytes32))"),
    "balances": ("pool", "balances()"),
    "pending": ("pool", "pending(uint256)"),
    "owed": ("pool", "owed(uint256)"),
    "shareOf": ("pool", "shareOf(uint256,uint256)"),
    "division": ("pool", "division()"),
}
FIXED: list[Key] = [
    ("totals",), ("best",), ("count",), ("next",), ("closedAt",), ("pausedUntil",), ("lastFinalizedAt",),
    ("trend",), ("feeNow",), ("params",), ("balances",), ("division",),
]  # fmt: skip


@cache
def _selector(signature: str) -> bytes:
    return bytes(keccak(text=signature)[:4])


def word(value: Any) -> int:
    """A value as the word that the contracts return: numbers modulo 2^256, addresses and bytes32 as numbers."""
    if isinstance(value, bytes):
        return int.from_bytes(value.ljust(32, b"\0"), "big")
    return int(value, 16) if isinstance(value, str) else int(value) % WORD


def words(*values: Any) -> list[int]:
    return [word(v) for v in values]


def calldata(signature: str, args: Sequence[Any]) -> bytes:
    return _selector(signature) + b"".join(word(a).to_bytes(32, "big") for a in args)


def watched(machine: Plumbing, side: Side) -> list[int]:
    """Ids that are read in this step: the newest two, the last finalised two, and one more in turn."""
    n, next_ = len(side.g.models), side.g.next
    if machine.full:
        return list(range(n))
    return sorted({i for i in (n - 1, n - 2, next_ - 1, next_ - 2, machine.step % n) if 0 <= i < n})


def keys_of(machine: Plumbing, side: Side) -> list[Key]:
    people = [p.address for p in machine.people]
    turn = people[machine.step % len(people)]
    keys = [*FIXED, ("held", side.scene.address["vault"]), *(("account", p) for p in people)]
    keys += [("weightAt", turn, machine.now - machine.step % 97), ("totalWeightAt", machine.now - machine.step % 89)]
    keys += [("history", p) for p in people]
    for id in watched(machine, side):
        keys += [(name, id) for name in ("submission", "parents", "windows", "tally", "histogram", "pending", "owed")]
        keys += [("voteOf", id, voter) for voter in side.g.models[id].votes]
        keys += [("shareOf", *hop) for hop in side.g.shares if hop[1] == id]
    if side.openings:
        latest = list(side.openings)[machine.step % len(side.openings)]
        keys.append(("hashVote", *side.openings[latest]))
    return keys


def read(machine: Plumbing, sides: list[Side], probes: list[Any]) -> list[Any]:
    """Fill the readings of `sides`; the answers to the probes."""
    plans = [(side, keys_of(machine, side)) for side in sides]
    packed = bytearray()
    for side, keys in plans:
        for name, *args in keys:
            part, signature = VIEWS[name]
            data = calldata(signature, args)
            packed += bytes.fromhex(side.scene.address[part][2:]) + len(data).to_bytes(2, "big") + data
    chain = machine.world.chain
    first, *answers = machine.wire.batch([call(chain.deployer, chain.reader, bytes(packed), machine.now), *probes])
    raw, reverted = returned(first)
    assert not reverted, "the reader ran out of gas"
    at = 0
    for side, keys in plans:
        side.reading = {}
        for key in keys:
            head = int.from_bytes(raw[at : at + 32], "big")
            size = head & (1 << 128) - 1
            assert head >> 255, f"{key} cannot be read"
            body = raw[at + 32 : at + 32 + size]
            side.reading[key] = [int.from_bytes(body[i : i + 32], "big") for i in range(0, size, 32)]
            at += 32 + size
    return answers
