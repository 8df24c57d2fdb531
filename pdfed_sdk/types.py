"""Words shared by all wings: identifiers, roles, votes, model records, task parameters. Frozen data, no behaviour.

Nothing here imports torch, web3 or any other wing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NewType

Address = NewType("Address", str)
"""Checksummed 0x… address."""
SubmissionId = NewType("SubmissionId", int)
"""Number of a model on chain; genesis is 0."""

GENESIS = SubmissionId(0)
BPS = 10_000


class Role(IntFlag):
    """What a node does. Only a TRAINER may reserve; only a VALIDATOR votes, and only its stake has weight."""

    TRAINER = 1
    VALIDATOR = 2


def role_words(roles: int) -> str:
    """Roles as people read them; bits that are none by number."""
    names = [str(role.name).lower() for role in Role if roles & role]
    rest = roles & ~int(Role.TRAINER | Role.VALIDATOR)
    return " and ".join([*names, *([str(rest)] if rest else [])]) or "nothing"


class Status(IntEnum):
    """Status of a submission; only ever moves forward (invariant one_way_status)."""

    NONE = 0
    RESERVED = 1
    OPEN = 2
    FINAL = 3
    VOID = 4


@dataclass(frozen=True, slots=True)
class Parent:
    """A model this one was trained or averaged from, with its share in basis points (all parents sum to 10,000)."""

    id: SubmissionId
    weight_bps: int


@dataclass(frozen=True, slots=True)
class ModelDigests:
    """Content of a model: CIDv1 root digest and codec, sha-256 of the weights file, sha-256 of the C2PA manifest."""

    package_digest: bytes
    package_codec: int
    weights_digest: bytes
    manifest_digest: bytes


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """What `submit` puts on chain."""

    digests: ModelDigests
    parents: tuple[Parent, ...]


@dataclass(frozen=True, slots=True)
class ScoreVote:
    """One vote, EIP-712 typed (protocol, rule 3). Digests are 32 bytes; ``improvement`` is the index of a bucket."""

    voter: Address
    submission_id: SubmissionId
    weights_digest: bytes
    improvement: int
    evidence_root: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class SealedVote:
    """What is committed: the digest of a vote, and the hash of the record that was scored. 32 bytes each.

    A reorganisation that gives the id to another model makes the commitment fail instead of binding it to that one.
    """

    submission_id: SubmissionId
    record_hash: bytes
    commitment: bytes


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens a vote: a ScoreVote but for the digest of the weights, which the registry knows."""

    voter: Address
    submission_id: SubmissionId
    improvement: int
    evidence_root: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class Task:
    """Addresses of one task's contracts. The registry's address names the task."""

    registry: Address
    vault: Address
    book: Address
    pool: Address
