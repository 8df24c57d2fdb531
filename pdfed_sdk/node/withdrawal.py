"""Consent withdrawn: a list of pictures, by their leaves, that an owner no longer allows to be trained on.

A leaf (`PictureSet.leaves`) shows nothing of its picture to anyone who does not have it already. The list is signed by
the owner's wallet for one task, whose size and labels the leaves depend on; its sha-256 goes on chain as the node's
metadata, and into the manifest of every model that the node trains from then on. The owner's own trainer leaves the
pictures out, and still searches for copies of them. What was trained before cannot be undone: no model forgets by a
signature. `trained_on` says which models those are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from eth_account import Account
from eth_account.messages import encode_typed_data

from pdfed_sdk.artifacts.manifests import ModelFacts
from pdfed_sdk.artifacts.provenance import LineageNode
from pdfed_sdk.chain.eip712 import typed_data
from pdfed_sdk.chain.signers import Signer
from pdfed_sdk.errors import ConfigError
from pdfed_sdk.files import read_bounded, write_durably
from pdfed_sdk.types import Address

MOST_BYTES: Final = 64 << 20
IN_FORCE: Final = "withdrawn"
"""Name, in the training facts of a manifest, of the digest of the list in force."""
HINT: Final = "ask the owner for the list again; a list is written by Withdrawal.signed"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """``leaves`` (32 bytes each, in order, each once) that ``owner`` withdraws from the task whose registry is ``task``
    on the chain ``chain_id``."""

    owner: Address
    chain_id: int
    task: Address
    leaves: tuple[bytes, ...]
    signature: bytes

    @staticmethod
    def signed(signer: Signer, chain_id: int, task: Address, leaves: Iterable[bytes]) -> Withdrawal:
        """A list by the owner of ``signer``. ConfigError: no leaf, or one that is no digest."""
        ordered = _checked(leaves, "the withdrawal")
        return Withdrawal(signer.address, chain_id, task, ordered, signer.sign_typed(_message(chain_id, task, ordered)))

    def to_bytes(self) -> bytes:
        """The list's file; its sha-256 is what goes on chain."""
        values = {
            "owner": self.owner,
            "chainId": self.chain_id,
            "task": self.task,
            "leaves": [leaf.hex() for leaf in self.leaves],
            "signature": self.signature.hex(),
        }
        return json.dumps(values, indent=1, sort_keys=True).encode()

    def digest(self) -> bytes:
        """sha-256 of the file (32 bytes): `PdfedClient.set_metadata` announces it."""
        return hashlib.sha256(self.to_bytes()).digest()

    def write(self, path: Path) -> Path:
        write_durably(path, self.to_bytes())
        return path

    @staticmethod
    def read(path: Path) -> Withdrawal:
        """Read a list and check its signature. Raises ConfigError."""
        return Withdrawal.from_bytes(read_bounded(path, MOST_BYTES, "a withdrawal"), str(path))

    @staticmethod
    def from_bytes(data: bytes, subject: str) -> Withdrawal:
        """The list in ``data``; ``subject`` names it in errors. ConfigError unless its owner signed just this."""
        try:
            if len(data) > MOST_BYTES:
                raise ValueError(f"it has {len(data)} bytes or more, the limit is {MOST_BYTES}")
            values = json.loads(data)
            found = Withdrawal(
                Address(str(values["owner"])),
                int(values["chainId"]),
                Address(str(values["task"])),
                _checked((bytes.fromhex(leaf) for leaf in values["leaves"]), subject),
                bytes.fromhex(values["signature"]),
            )
            message = encode_typed_data(full_message=_message(found.chain_id, found.task, found.leaves))
            signer = Account.recover_message(message, signature=found.signature)
        except ConfigError:
            raise
        except Exception as error:  # the libraries of signatures raise many kinds
            raise ConfigError(f"{subject} is no withdrawal: {str(error)[:160]}", hint=HINT) from error
        if signer.lower() != found.owner.lower():
            raise ConfigError(f"{subject} names {found.owner} and is signed by {signer}", hint=HINT)
        return found

    def places(self, leaves: Sequence[bytes]) -> list[int]:
        """Where the withdrawn pictures stand among those with ``leaves``."""
        gone = set(self.leaves)
        return [place for place, leaf in enumerate(leaves) if leaf in gone]


@dataclass(frozen=True, slots=True)
class Touched:
    """Models of a lineage and a data set. ``direct`` were trained on all of it; ``descended`` are no such models, but
    one of their ancestors is; ``spared`` were trained on it while a list of withdrawn pictures was in force, whose
    digest their manifests state, and have no such ancestor."""

    direct: tuple[ModelFacts, ...]
    descended: tuple[ModelFacts, ...]
    spared: tuple[ModelFacts, ...]


def trained_on(model: LineageNode, data_root: str) -> Touched:
    """What the manifests of ``model`` and its ancestors say of the data set with this Merkle root, in hex
    (``dataset_digest`` of the training facts). Manifests state roots and sizes; no picture is shown by them."""
    seen: dict[int, bool] = {}
    direct: list[ModelFacts] = []
    descended: list[ModelFacts] = []
    spared: list[ModelFacts] = []
    todo = [(model, False)]
    while todo:
        node, ready = todo.pop()
        if id(node) in seen:
            continue
        if not ready:
            todo += [(node, True), *((parent, False) for parent in node.parents)]
            continue
        facts = node.facts.training
        there = str(facts.get("dataset_digest", "")).removeprefix("0x") == data_root.removeprefix("0x")
        own = there and not facts.get(IN_FORCE)
        inherited = any(seen[id(parent)] for parent in node.parents)
        seen[id(node)] = own or inherited
        if own or inherited or there:
            (direct if own else descended if inherited else spared).append(node.facts)
    return Touched(tuple(direct), tuple(descended), tuple(spared))


def _checked(leaves: Iterable[bytes], subject: str) -> tuple[bytes, ...]:
    ordered = tuple(sorted(set(leaves)))
    if not ordered or any(len(leaf) != 32 for leaf in ordered):
        raise ConfigError(f"{subject} holds no leaf, or one that is not 32 bytes", hint="PictureSet.leaves gives them")
    return ordered


def _message(chain_id: int, task: Address, leaves: Sequence[bytes]) -> dict[str, Any]:
    root = hashlib.sha256(b"".join(leaves)).digest()
    shape = [("statement", "string"), ("pictures", "uint256"), ("leavesDigest", "bytes32")]
    words = {
        "statement": "I withdraw my consent to train on these pictures.",
        "pictures": len(leaves),
        "leavesDigest": root,
    }
    return typed_data("PDFed Withdrawal", "1", chain_id, task, "Withdrawal", shape, words)
