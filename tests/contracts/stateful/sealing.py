"""Digests of reservations, records, votes and signed commits, and signatures that are made once."""

from __future__ import annotations

from functools import cache
from typing import Any

from eth_abi import encode
from eth_utils import keccak
from support.ghost import Model
from support.task import digest

from .base import Side
from .world import Person, content

VOTE = keccak(
    text="ScoreVote(address voter,uint256 submissionId,bytes32 weightsDigest,"
    "int8 improvement,bytes32 evidenceRoot,bytes32 salt)"
)
COMMIT = keccak(
    text="Commit(address voter,uint256 submissionId,bytes32 recordHash,bytes32 commitment,uint256 deadline)"
)
RECORD = "((bytes32,uint32,bytes32,bytes32),(uint32,uint16)[])"


def salt_of(name: Any) -> bytes:
    return digest("salt", name)


def reservation(author: str, name: Any) -> bytes:
    return bytes(keccak(encode(["address", "bytes32", "bytes32"], [author, content(name)[0], salt_of(name)])))


def own(model: Model) -> bool:
    """Whether its author can open it: not if it copied the reservation of somebody else."""
    return model.reservation == reservation(model.author, model.name)


def record(name: Any, parents: Any) -> tuple[Any, ...]:
    return content(name), [tuple(p) for p in parents]


def record_hash(name: Any, parents: Any) -> bytes:
    return bytes(keccak(encode([RECORD], [record(name, parents)])))


def opening(side: Side, voter: str, id: int, improvement: int) -> tuple[Any, ...]:
    """The ScoreVote of `voter`; equal in all tasks where id and model are."""
    weights = content(side.g.models[id].name)[2]
    return voter, id, weights, improvement, digest("evidence", voter, id), digest("vote", voter, id)


def kept_hash(model: Model) -> bytes:
    """What the registry keeps of a model: its reservation, then its record."""
    return record_hash(model.name, model.parents) if model.parents else model.reservation


def named(side: Side, id: int, commitment: bytes) -> tuple[int, bytes, bytes]:
    """A SealedVote: a commitment and the record that it is about."""
    return id, kept_hash(side.g.models[id]) if id < len(side.g.models) else b"\1" * 32, commitment


def unsealed(vote: tuple[Any, ...]) -> tuple[Any, ...]:
    """The Opening of a ScoreVote: all but the digest of the weights, which the registry knows."""
    return *vote[:2], *vote[3:]


def _typed(side: Side, body: bytes) -> bytes:
    return bytes(keccak(b"\x19\x01" + side.scene.domain + keccak(body)))


def digest_of(side: Side, vote: tuple[Any, ...]) -> bytes:
    kinds = ["bytes32", "address", "uint256", "bytes32", "int8", "bytes32", "bytes32"]
    return _typed(side, encode(kinds, [VOTE, *vote]))


def signed_digest(side: Side, voter: str, id: int, commitment: bytes, deadline: int) -> bytes:
    """What `commitBySig` wants signed."""
    kinds = ["bytes32", "address", "uint256", "bytes32", "bytes32", "uint256"]
    return _typed(side, encode(kinds, [COMMIT, voter, *named(side, id, commitment), deadline]))


@cache
def signature(who: Person, message: bytes) -> bytes:
    return who.sign(message)
