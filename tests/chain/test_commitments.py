"""Digests, salts, seeds and evidence: golden vectors shared with the Solidity tests, and properties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from pdfed_sdk.chain.calls import TaskCalls, contract_call
from pdfed_sdk.chain.commitments import (
    LEAVES,
    EvidenceTree,
    Membership,
    VoteSecrets,
    reservation_hash,
    salt_request,
    sampling_seed,
    verify_membership,
    vote_digest,
    vote_typed_data,
)
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.errors import UsageError
from pdfed_sdk.types import Address, ScoreVote, SubmissionId
from tests.support.federation import Federation

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "votes.json").read_text())
BOOK = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
VOTER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")


def vote_of(row: dict[str, Any]) -> ScoreVote:
    return ScoreVote(
        voter=Address(row["voter"]),
        submission_id=SubmissionId(int(row["submissionId"])),
        weights_digest=bytes.fromhex(row["weightsDigest"][2:]),
        improvement=int(row["improvement"]),
        evidence_root=bytes.fromhex(row["evidenceRoot"][2:]),
        salt=bytes.fromhex(row["salt"][2:]),
    )


votes = st.builds(
    ScoreVote,
    voter=st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex())),
    submission_id=st.integers(0, 2**256 - 1).map(SubmissionId),
    weights_digest=st.binary(min_size=32, max_size=32),
    improvement=st.integers(-8, 23),
    evidence_root=st.binary(min_size=32, max_size=32).filter(any),
    salt=st.binary(min_size=32, max_size=32),
)


@pytest.mark.parametrize("row", VECTORS["votes"], ids=lambda row: row["name"])
def test_golden_votes(row: dict[str, Any]) -> None:
    vote, chain_id, book = vote_of(row), int(row["chainId"]), Address(row["book"])
    assert "0x" + vote_digest(vote, chain_id, book).hex() == row["digest"]
    assert "0x" + keccak(_signable(vote, chain_id, book)).hex() == row["digest"]


@pytest.mark.parametrize("row", VECTORS["reservations"], ids=lambda row: row["name"])
def test_golden_reservations(row: dict[str, Any]) -> None:
    package, salt = bytes.fromhex(row["packageDigest"][2:]), bytes.fromhex(row["salt"][2:])
    assert "0x" + reservation_hash(Address(row["author"]), package, salt).hex() == row["hash"]


def _signable(vote: ScoreVote, chain_id: int, book: Address) -> bytes:
    message = encode_typed_data(full_message=vote_typed_data(vote, chain_id, book))
    return b"\x19" + message.version + message.header + message.body


@settings(max_examples=100, deadline=None)
@given(vote=votes, chain_id=st.integers(1, 2**64))
def test_digest_is_eip712(vote: ScoreVote, chain_id: int) -> None:
    assert vote_digest(vote, chain_id, BOOK) == keccak(_signable(vote, chain_id, BOOK))


def test_digest_is_the_contracts(federation: Federation) -> None:
    client = federation.reader()
    rows = [vote_of(row) for row in VECTORS["votes"]]
    found = client.many([client.calls.hash_vote(vote) for vote in rows])
    assert found == [vote_digest(vote, client.chain_id, client.task.book) for vote in rows]
    package, salt = b"\x01" * 32, b"\x02" * 32
    call = contract_call(
        "ModelRegistry", client.task.registry, "reservationHash", [VOTER, package, salt], lambda v: v[0]
    )
    assert client.many([call]) == [reservation_hash(VOTER, package, salt)]
    assert isinstance(client.calls, TaskCalls)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"improvement": 24}, "improvement 24"),
        ({"evidence_root": bytes(32)}, "evidence_root is zero"),
        ({"salt": b"short"}, "salt is 5 bytes"),
    ],
)
def test_a_vote_the_contract_would_refuse_has_no_digest(change: dict[str, Any], names: str) -> None:
    good = vote_of(VECTORS["votes"][0])
    fields = {name: getattr(good, name) for name in ScoreVote.__slots__}
    with pytest.raises(UsageError, match=names):
        vote_digest(ScoreVote(**(fields | change)), 1, BOOK)


RECORD = b"\x05" * 32


def test_secrets_follow_from_the_key_and_name_what_they_are_for() -> None:
    signer = LocalSigner.from_key(b"\x11" * 32)
    request = salt_request(signer.address, 5, RECORD, 31337, BOOK)
    assert "Sign it only in your own PDFed node" in request["message"]["warning"]
    first = VoteSecrets.derive(signer.sign_typed(request))
    signed = Account.from_key(b"\x11" * 32).sign_message(encode_typed_data(full_message=request))
    again = VoteSecrets.derive(signed.signature)
    assert first == again
    parts = {first.salt, first.evidence_key, first.seal_key}
    others = ((6, RECORD, 31337, BOOK), (5, RECORD, 1, BOOK), (5, RECORD, 31337, VOTER), (5, bytes(32), 31337, BOOK))
    for number, content, chain_id, book in others:
        other = VoteSecrets.derive(signer.sign_typed(salt_request(signer.address, number, content, chain_id, book)))
        parts |= {other.salt, other.evidence_key, other.seal_key}
    assert len(parts) == 15
    assert first.salt.hex() not in repr(first)
    with pytest.raises(UsageError, match="at least 32"):
        VoteSecrets.derive(b"weak")


def test_seed_depends_on_id_voter_and_salt() -> None:
    base = sampling_seed(1, VOTER, b"\x01" * 32)
    assert len({base, sampling_seed(2, VOTER, b"\x01" * 32), sampling_seed(1, BOOK, b"\x01" * 32)}) == 3
    assert base == sampling_seed(1, VOTER, b"\x01" * 32)


def test_every_leaf_proves_its_membership_and_nothing_else_does() -> None:
    pairs = [f"pair {index}".encode() for index in range(5)]
    tree = EvidenceTree.build(b"report", pairs, key=b"\x05" * 32)
    contents = [b"report", *pairs] + [b""] * (LEAVES - 6)
    for index in (0, 1, 5, 6, 128, 255):
        proof = tree.proof(index)
        assert verify_membership(tree.root, contents[index], proof)
        assert not verify_membership(tree.root, contents[index] + b"!", proof)
        assert not verify_membership(tree.root, contents[index], Membership(index ^ 1, proof.salt, proof.path))
        assert not verify_membership(tree.root, contents[index], Membership(index, proof.salt, proof.path[:-1]))
    with pytest.raises(UsageError, match="leaf 256"):
        tree.proof(256)


def test_trees_look_alike_whatever_they_hold() -> None:
    key = b"\x05" * 32
    few, many = EvidenceTree.build(b"r", key=key), EvidenceTree.build(b"r", [b"p"] * 400, key=key)
    assert [len(level) for level in few.levels] == [len(level) for level in many.levels]
    assert few.root != many.root != EvidenceTree.build(b"r", key=b"\x06" * 32).root
    assert len(set(few.levels[0])) == LEAVES  # equal dummies do not show
