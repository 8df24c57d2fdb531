"""What a vote is sealed with: EIP-712 digests, salts, sampling seeds and the evidence tree. Pure functions, no I/O.

Source: protocol rules 1, 3 and 4. ``vote_digest`` equals ``ScoreBook.hashVote`` and
``eth_account.messages.encode_typed_data``; the golden vectors in ``tests/vectors/votes.json`` hold all three together.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from pdfed_sdk.buckets import HIGHEST, LOWEST
from pdfed_sdk.chain.eip712 import domain_separator, typed_data
from pdfed_sdk.errors import UsageError
from pdfed_sdk.types import Address, ScoreVote, SealedVote

DOMAIN_NAME: Final = "PDFed"
DOMAIN_VERSION: Final = "1"
VOTE_FIELDS: Final = (
    ("voter", "address"),
    ("submissionId", "uint256"),
    ("weightsDigest", "bytes32"),
    ("improvement", "int8"),
    ("evidenceRoot", "bytes32"),
    ("salt", "bytes32"),
)
COMMIT_FIELDS: Final = (
    ("voter", "address"),
    ("submissionId", "uint256"),
    ("recordHash", "bytes32"),
    ("commitment", "bytes32"),
    ("deadline", "uint256"),
)
_VOTE_TYPE: Final = keccak(text="ScoreVote(" + ",".join(f"{kind} {name}" for name, kind in VOTE_FIELDS) + ")")
SALT_WARNING: Final = (
    "PDFed derives the secret of your sealed vote from this signature. Sign it only in your own PDFed node: "
    "whoever gets it can open your vote before you do."
)
LEAVES: Final = 256
"""Leaves of every evidence tree, so that its size tells nothing: leaf 0 the report, then pairs, then dummies."""


# --- the vote ------------------------------------------------------------------------------------------------------


def vote_digest(vote: ScoreVote, chain_id: int, book: Address) -> bytes:
    """The commitment: EIP-712 digest (32 bytes) of a vote in the domain ("PDFed", "1", chain_id, book)."""
    check_vote(vote)
    content = (
        vote.voter,
        vote.submission_id,
        vote.weights_digest,
        vote.improvement,
        vote.evidence_root,
        vote.salt,
    )
    body = keccak(_VOTE_TYPE + encode([kind for _, kind in VOTE_FIELDS], content))
    separator = domain_separator(DOMAIN_NAME, DOMAIN_VERSION, chain_id, book)
    return keccak(b"\x19\x01" + separator + body)


def vote_typed_data(vote: ScoreVote, chain_id: int, book: Address) -> dict[str, Any]:
    """The same vote as EIP-712 typed data, for ``encode_typed_data(full_message=…)`` and wallets."""
    check_vote(vote)
    message = {
        "voter": vote.voter,
        "submissionId": int(vote.submission_id),
        "weightsDigest": vote.weights_digest,
        "improvement": vote.improvement,
        "evidenceRoot": vote.evidence_root,
        "salt": vote.salt,
    }
    return typed_data(DOMAIN_NAME, DOMAIN_VERSION, chain_id, book, "ScoreVote", VOTE_FIELDS, message)


def commit_typed_data(
    voter: Address, sealed: SealedVote, deadline: int, chain_id: int, book: Address
) -> dict[str, Any]:
    """What a voter signs so that someone else may send its commit until ``deadline`` (``ScoreBook.hashCommit``)."""
    check_bytes32("record_hash", sealed.record_hash)
    check_bytes32("commitment", sealed.commitment)
    message = {
        "voter": voter,
        "submissionId": int(sealed.submission_id),
        "recordHash": sealed.record_hash,
        "commitment": sealed.commitment,
        "deadline": deadline,
    }
    return typed_data(DOMAIN_NAME, DOMAIN_VERSION, chain_id, book, "Commit", COMMIT_FIELDS, message)


def check_vote(vote: ScoreVote) -> None:
    """UsageError unless the contract would accept the opening of this vote."""
    check_improvement(vote.improvement)
    for name in ("weights_digest", "evidence_root", "salt"):
        check_bytes32(name, getattr(vote, name))
    if not any(vote.evidence_root):
        raise UsageError("evidence_root is zero", hint="build it with EvidenceTree.build(report, pairs, key)")


def check_improvement(improvement: int) -> None:
    if isinstance(improvement, bool) or not isinstance(improvement, int) or not LOWEST <= improvement <= HIGHEST:
        raise UsageError(
            f"improvement {improvement!r} is not the index of a bucket, a whole number from {LOWEST} to {HIGHEST}",
            hint="buckets.nearest(32·log2(J_reference / J_submission)) gives it; unusable models get -8",
        )


def check_bytes32(name: str, value: bytes) -> None:
    if not isinstance(value, bytes) or len(value) != 32:
        shown = f"{len(value)} bytes" if isinstance(value, bytes) else type(value).__name__
        raise UsageError(f"{name} is {shown}, not 32 bytes")


def reservation_hash(author: Address, package_digest: bytes, salt: bytes) -> bytes:
    """keccak256(abi.encode(author, packageDigest, salt)): what ``reserve`` takes (rule 1)."""
    check_bytes32("package_digest", package_digest)
    check_bytes32("salt", salt)
    return keccak(encode(["address", "bytes32", "bytes32"], [author, package_digest, salt]))


def sampling_seed(submission_id: int, voter: Address, salt: bytes) -> bytes:
    """keccak256(abi.encode(submissionId, voter, salt)): seeds the voter's samples of both models (rule 4)."""
    check_bytes32("salt", salt)
    return keccak(encode(["uint256", "address", "bytes32"], [submission_id, voter, salt]))


# --- secrets derived from the node's key ---------------------------------------------------------------------------


def salt_request(
    voter: Address, submission_id: int, record_hash: bytes, chain_id: int, book: Address
) -> dict[str, Any]:
    """Typed data a node signs to get the secrets of one vote; its text warns against signing it elsewhere.

    The record's hash is in it: after a reorganisation the same id may name another model, whose vote has a salt of its
    own.
    """
    shape = (("warning", "string"), ("voter", "address"), ("submissionId", "uint256"), ("recordHash", "bytes32"))
    message = {
        "warning": SALT_WARNING,
        "voter": voter,
        "submissionId": int(submission_id),
        "recordHash": record_hash,
    }
    return typed_data("PDFed vote secret", "1", chain_id, book, "VoteSecret", shape, message)


def stretch(material: bytes, purpose: str) -> bytes:
    """HKDF-SHA256 of secret material to 32 bytes, bound to a purpose."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"PDFed 1 {purpose}".encode()).derive(material)


@dataclass(frozen=True, slots=True)
class VoteSecrets:
    """Secrets of one vote. ``salt`` becomes public at reveal; the two keys never do, and do not follow from it."""

    salt: bytes = field(repr=False)
    evidence_key: bytes = field(repr=False)
    seal_key: bytes = field(repr=False)

    @classmethod
    def derive(cls, material: bytes) -> VoteSecrets:
        """From the signature of ``salt_request`` (deterministic keys) or 32 stored random bytes (other signers)."""
        if len(material) < 32:
            raise UsageError(f"secret material of {len(material)} bytes, at least 32 are needed")
        return cls(stretch(material, "vote salt"), stretch(material, "evidence leaves"), stretch(material, "seal"))


# --- evidence ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Membership:
    """Proof that a leaf is in an evidence tree: its index, its salt, and the siblings from the leaf upwards."""

    index: int
    salt: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class EvidenceTree:
    """Merkle tree of ``LEAVES`` salted leaves. ``levels[0]`` are the leaf hashes, ``levels[-1]`` is the root alone."""

    levels: tuple[tuple[bytes, ...], ...] = field(repr=False)
    key: bytes = field(repr=False)

    @classmethod
    def build(cls, report: bytes, pairs: Sequence[bytes] = (), *, key: bytes) -> EvidenceTree:
        """Leaf 0 is the full report, then up to 255 memorised pairs (the report holds them all), then dummies.

        ``key`` is ``VoteSecrets.evidence_key``: leaf salts follow from it, so a leaf can be opened alone, and nobody
        can test a guess about the others.
        """
        contents = [report, *pairs[: LEAVES - 1]]
        contents += [b""] * (LEAVES - len(contents))
        level = tuple(_leaf(_leaf_salt(key, index), content) for index, content in enumerate(contents))
        levels = [level]
        while len(level) > 1:
            level = tuple(_node(level[i], level[i + 1]) for i in range(0, len(level), 2))
            levels.append(level)
        return cls(tuple(levels), key)

    @property
    def root(self) -> bytes:
        return self.levels[-1][0]

    def proof(self, index: int) -> Membership:
        """Open leaf ``index`` (0 is the report)."""
        if not 0 <= index < LEAVES:
            raise UsageError(f"evidence leaf {index} is not in 0..{LEAVES - 1}")
        path = tuple(level[(index >> depth) ^ 1] for depth, level in enumerate(self.levels[:-1]))
        return Membership(index, _leaf_salt(self.key, index), path)


def verify_membership(root: bytes, content: bytes, membership: Membership) -> bool:
    """Whether ``content`` stands at ``membership.index`` of the tree with this root."""
    if len(membership.path) != LEAVES.bit_length() - 1 or not 0 <= membership.index < LEAVES:
        return False
    node, index = _leaf(membership.salt, content), membership.index
    for sibling in membership.path:
        node = _node(sibling, node) if index & 1 else _node(node, sibling)
        index >>= 1
    return hmac.compare_digest(node, root)


def _leaf_salt(key: bytes, index: int) -> bytes:
    return hmac.new(key, b"leaf" + index.to_bytes(4, "big"), sha256).digest()


def _leaf(salt: bytes, content: bytes) -> bytes:
    return keccak(b"\x00" + salt + content)


def _node(left: bytes, right: bytes) -> bytes:
    return keccak(b"\x01" + left + right)
