"""Golden vectors shared with the SDK: the digest of a vote and the hash of a reservation, as the contracts see them."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils import keccak
from support.reference import grains, width

BUCKETS = json.loads((Path(__file__).parents[2] / "vectors" / "buckets.json").read_text())
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "votes.json").read_text())
FIELDS = ("voter", "submissionId", "weightsDigest", "improvement", "evidenceRoot", "salt")
TYPES = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ],
    "ScoreVote": [
        {"name": "voter", "type": "address"},
        {"name": "submissionId", "type": "uint256"},
        {"name": "weightsDigest", "type": "bytes32"},
        {"name": "improvement", "type": "int8"},
        {"name": "evidenceRoot", "type": "bytes32"},
        {"name": "salt", "type": "bytes32"},
    ],
}


def values(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(int(row[f]) if f == "submissionId" else row[f] for f in FIELDS)


@pytest.mark.parametrize("row", VECTORS["votes"], ids=lambda row: row["name"])
def test_the_book_hashes_votes_as_the_vectors_say(task: Any, row: dict[str, Any]) -> None:
    code = task.chain.rpc("eth_getCode", str(task.book), "latest")
    task.chain.rpc("anvil_setCode", row["book"], code)
    task.chain.rpc("anvil_setChainId", row["chainId"])
    try:
        digest = task.chain.simulate(task.book.hashVote, values(row), sender=task.sponsor, to=row["book"])
    finally:
        task.chain.rpc("anvil_setChainId", 31_337)
    assert digest.hex() == row["digest"].removeprefix("0x")


@pytest.mark.parametrize("row", VECTORS["reservations"], ids=lambda row: row["name"])
def test_the_registry_hashes_reservations_as_the_vectors_say(task: Any, row: dict[str, Any]) -> None:
    got = task.registry.reservationHash(row["author"], row["packageDigest"], row["salt"])
    assert str(got) == row["hash"]


def test_a_clone_has_its_own_domain_and_agrees_with_eth_account(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    vote = task.vote(nodes[1], id, -3)
    fields, name, version, chain_id, contract, salt, extensions = task.book.eip712Domain()
    assert (bytes(fields), name, version, chain_id) == (b"\x0f", "PDFed", "1", 31_337)
    assert (contract, int(str(salt), 16), len(extensions)) == (task.book, 0, 0)
    message = {
        "types": TYPES,
        "primaryType": "ScoreVote",
        "domain": {"name": name, "version": version, "chainId": chain_id, "verifyingContract": str(contract)},
        "message": dict(zip(FIELDS, vote, strict=True)),
    }
    signable = encode_typed_data(full_message=message)
    digest = keccak(b"\x19" + signable.version + signable.header + signable.body)
    assert bytes(task.book.hashVote(vote)) == digest


def test_the_reference_has_the_buckets_of_the_vectors() -> None:
    """The table that the contracts' tests are computed with is the one that clients and contracts read."""
    indices = range(-8, 24)
    assert [grains(i) for i in indices] == BUCKETS["grains"]
    assert [width(i) for i in indices] == BUCKETS["width"]
