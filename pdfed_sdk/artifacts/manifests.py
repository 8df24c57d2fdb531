"""What a C2PA manifest store says about models: PDFed's assertions, and who descends from whom.

The store of a package holds its own manifest and, nested by the library, those of its ancestors. Each manifest keeps
its bytes when it is nested, and the order of nesting is fixed (ancestors before descendants, in order of ingredients,
each once). So the store that an ancestor was *published* with can be cut out again, and its sha-256 compared with the
manifestDigest on chain: a nested manifest is then the very one of that submission and no look-alike.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pdfed_sdk.errors import ProvenanceInvalid
from pdfed_sdk.types import Address

WALLETS, TRAINING, MODEL = "crypto.addresses", "org.pdfed.training", "org.pdfed.model"
MAX_PARENTS = 4
MAX_DEPTH = 64
"""Generations whose manifests are nested; the library refuses 200, reading takes 0.8 ms a generation."""
ACCEPTED_FAILURES = frozenset({"signingCredential.untrusted"})
"""A node's own authority is unknown to others; the chain vouches for the manifest instead."""

HINT = "do not use this model: vote it unusable, or fetch the package again if it came from a doubtful source"
_DIGEST = re.compile(r"0x[0-9a-f]{64}")
_BASE = "urn:pdfed:base:sha256:"
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True)
class ParentClaim:
    """A parent as its child's manifest names it. ``nested``: its manifest is inside; else only these digests are."""

    id: int
    weight_bps: int
    wallet: Address
    weights_digest: bytes
    manifest_digest: bytes
    nested: bool


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What one manifest states: the author's wallet, the weights, the training, the parents; digest and signer."""

    title: str
    signer: str
    wallet: Address
    weights_digest: bytes
    manifest_digest: bytes
    training: Mapping[str, Any]
    parents: tuple[ParentClaim, ...]


class ManifestGraph:
    """A store with its report (``Reader.json``), manifests by label. Construction checks nothing; ``facts`` does."""

    def __init__(self, store: bytes, report: Mapping[str, Any]) -> None:
        self.active = str(report["active_manifest"])
        self._manifests: Mapping[str, Any] = report["manifests"]
        self._head, self._boxes = _split(store)

    @cached_property
    def facts(self) -> dict[str, ModelFacts]:
        """Facts of the model and of all nested ancestors, ancestors first, with every nested parent checked.

        Raises ProvenanceInvalid if an assertion is missing or malformed, a parent is unsigned, a nested parent is not
        the manifest it is said to be, or a manifest belongs to no ancestor.
        """
        order = self._order(self.active)
        if set(order) != set(self._boxes) or set(order) != set(self._manifests):
            raise ProvenanceInvalid("the manifest store holds manifests of no ancestor", hint=HINT)
        found: dict[str, ModelFacts] = {}
        for label in order:
            found[label] = self._facts_of(label)
            self._check_nested(label, found)
        return found

    def parents_of(self, label: str) -> list[str]:
        """Labels of the nested parents, in order of ingredients."""
        ingredients = [item for item in self._manifest(label).get("ingredients", []) if not _is_base(item)]
        labels = [item.get("active_manifest") for item in ingredients]
        if None in labels:
            raise ProvenanceInvalid(
                f"{self._manifest(label).get('title')!r} names a parent without a manifest",
                hint="use signed parents only",
            )
        return [str(item) for item in labels]

    def base_of(self, label: str) -> str:
        """Digest, in hex, of the base that a model is applied to; empty if it stands alone."""
        found = [str(item["instance_id"]) for item in self._manifest(label).get("ingredients", []) if _is_base(item)]
        if len(found) > 1:
            raise ProvenanceInvalid(f"the manifest names {len(found)} bases, at most one is possible", hint=HINT)
        return found[0].removeprefix(_BASE) if found else ""

    @cached_property
    def depths(self) -> dict[str, int]:
        """Generations nested below each manifest; 0 for one without nested parents."""
        depths: dict[str, int] = {}
        for label in self._order(self.active):
            depths[label] = 1 + max((depths[parent] for parent in self.parents_of(label)), default=-1)
        return depths

    def _order(self, label: str) -> dict[str, None]:
        """Manifests of the store that ``label`` was published with, in their order there."""
        return self._orders(label, {}, ())

    def _orders(self, label: str, known: dict[str, dict[str, None]], below: tuple[str, ...]) -> dict[str, None]:
        if label in below or len(below) > MAX_DEPTH:
            raise ProvenanceInvalid(
                f"manifests are nested in a circle or deeper than {MAX_DEPTH} generations", hint=HINT
            )
        if label not in known:
            order: dict[str, None] = {}
            for parent in self.parents_of(label):
                order |= self._orders(parent, known, (*below, label))
            known[label] = order | {label: None}
        return known[label]

    def _manifest(self, label: str) -> Mapping[str, Any]:
        if label not in self._manifests or label not in self._boxes:
            raise ProvenanceInvalid(f"manifest {label} of an ancestor is missing from the store", hint=HINT)
        manifest: Mapping[str, Any] = self._manifests[label]
        return manifest

    def _digest(self, label: str) -> bytes:
        body = self._head + b"".join(self._boxes[item] for item in self._order(label))
        return hashlib.sha256(struct.pack(">I4s", len(body) + 8, b"jumb") + body).digest()

    def _facts_of(self, label: str) -> ModelFacts:
        manifest = self._manifest(label)
        wallets = _assertion(manifest, WALLETS).get("ethereum")
        if not isinstance(wallets, list) or len(wallets) != 1 or not _is(_ADDRESS, wallets[0]):
            raise ProvenanceInvalid(f"{WALLETS} names {wallets!r}, not one ethereum address", hint=HINT)
        model = _assertion(manifest, MODEL)
        parents = model.get("parents")
        if not isinstance(parents, list) or len(parents) > MAX_PARENTS:
            raise ProvenanceInvalid(f"{MODEL}: parents are not a list of at most {MAX_PARENTS}", hint=HINT)
        claims = tuple(_claim(item) for item in parents)
        if len({claim.id for claim in claims}) != len(claims):
            raise ProvenanceInvalid(f"{MODEL}: a parent stands twice: {[claim.id for claim in claims]}", hint=HINT)
        signer = manifest.get("signature_info") or {}
        return ModelFacts(
            title=str(manifest.get("title", "")),
            signer=str(signer.get("common_name", "")),
            wallet=Address(wallets[0]),
            weights_digest=_digest_field(model, "weightsDigest"),
            manifest_digest=self._digest(label),
            training=_assertion(manifest, TRAINING),
            parents=claims,
        )

    def _check_nested(self, label: str, found: Mapping[str, ModelFacts]) -> None:
        """Each nested claim stands for one ingredient, in the same order, and says what that ingredient says."""
        labels = self.parents_of(label)
        claims = [claim for claim in found[label].parents if claim.nested]
        if len(claims) != len(labels):
            raise ProvenanceInvalid(f"{len(labels)} manifests are nested, {MODEL} names {len(claims)}", hint=HINT)
        for claim, parent in zip(claims, labels, strict=True):
            facts = found[parent]
            for name in ("manifest_digest", "weights_digest", "wallet"):
                said, nested = plain(getattr(claim, name)), plain(getattr(facts, name))
                if said != nested:
                    raise ProvenanceInvalid(
                        f"parent {claim.id}: {name} is {nested} in the nested manifest, the child says {said}",
                        hint=HINT,
                    )


def failures(report: Mapping[str, Any]) -> list[str]:
    """Codes of every failure that the library found, or that a signer recorded about an ingredient; sorted."""
    results = [report.get("validation_results") or {}]
    for manifest in report.get("manifests", {}).values():
        results += [item.get("validation_results") or {} for item in manifest.get("ingredients", [])]
    codes = set()
    for result in results:
        parts = [result.get("activeManifest") or {}]
        parts += [delta.get("validationDeltas") or {} for delta in result.get("ingredientDeltas") or []]
        codes |= {str(item.get("code")) for part in parts for item in part.get("failure") or []}
    return sorted(codes)


def base_ingredient(digest: str) -> dict[str, Any]:
    """A base as an ingredient: it carries no manifest and is known by its digest alone."""
    return {"title": "base pipeline", "format": "application/x-directory", "relationship": "inputTo",
            "instance_id": _BASE + digest}  # fmt: skip


def _is_base(ingredient: Mapping[str, Any]) -> bool:
    """Whether an ingredient is a base; one with a manifest is a parent, whatever it calls itself."""
    named = str(ingredient.get("instance_id", "")).startswith(_BASE)
    return named and ingredient.get("relationship") == "inputTo" and not ingredient.get("active_manifest")


def model_assertion(weights_digest: bytes, parents: tuple[ParentClaim, ...]) -> dict[str, Any]:
    """Content of ``org.pdfed.model``."""
    return {
        "weightsDigest": plain(weights_digest),
        "parents": [
            {
                "id": parent.id,
                "weightBps": parent.weight_bps,
                "wallet": parent.wallet,
                "weightsDigest": plain(parent.weights_digest),
                "manifestDigest": plain(parent.manifest_digest),
                "nested": parent.nested,
            }
            for parent in parents
        ],
    }


def plain(value: bytes | str | int) -> str:
    """A value as it is compared and shown: bytes in hex, addresses in lower case."""
    return "0x" + value.hex() if isinstance(value, bytes) else str(value).lower()


def _claim(item: Any) -> ParentClaim:
    if not isinstance(item, dict):
        raise ProvenanceInvalid(f"{MODEL}: parent {item!r} is not an object", hint=HINT)
    number, weight, wallet, nested = (item.get(key) for key in ("id", "weightBps", "wallet", "nested"))
    if type(number) is not int or number < 0 or type(weight) is not int or not 0 < weight <= 10_000:
        raise ProvenanceInvalid(f"{MODEL}: parent {number!r} with a share of {weight!r} basis points", hint=HINT)
    if not _is(_ADDRESS, wallet) or not isinstance(nested, bool):
        raise ProvenanceInvalid(f"{MODEL}: parent {number} has wallet {wallet!r}, nested {nested!r}", hint=HINT)
    weights, manifest = _digest_field(item, "weightsDigest"), _digest_field(item, "manifestDigest")
    return ParentClaim(number, weight, Address(str(wallet)), weights, manifest, nested)


def _digest_field(item: Mapping[str, Any], key: str) -> bytes:
    if not _is(_DIGEST, item.get(key)):
        raise ProvenanceInvalid(f"{MODEL}: {key} is {item.get(key)!r}, not 32 bytes in hex", hint=HINT)
    return bytes.fromhex(str(item[key])[2:])


def _is(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _assertion(manifest: Mapping[str, Any], label: str) -> Mapping[str, Any]:
    found = [item.get("data") for item in manifest.get("assertions", []) if item.get("label") == label]
    if len(found) != 1 or not isinstance(found[0], dict):
        raise ProvenanceInvalid(f"the manifest holds {len(found)} assertions {label}, expected one object", hint=HINT)
    return found[0]


# --- JUMBF boxes -----------------------------------------------------------------------------------------------------


def _split(store: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Description box of the store, and the manifest boxes by label."""
    try:
        outer = _boxes(store)
        if len(outer) != 1:
            raise ValueError(f"{len(outer)} boxes, not one")
        head, *manifests = _boxes(outer[0][8:])
        labels = [_label(_boxes(box[8:])[0]) for box in manifests]
    except (ValueError, IndexError, struct.error) as error:
        raise ProvenanceInvalid(f"the manifest store cannot be read ({error})", hint=HINT) from None
    if len(set(labels)) != len(labels):
        raise ProvenanceInvalid("two manifests have one label", hint=HINT)
    return head, dict(zip(labels, manifests, strict=True))


def _boxes(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if not 8 <= size <= len(data) - at:
            raise ValueError(f"box of {size} bytes at {at}")
        found.append(data[at : at + size])
        at += size
    return found


def _label(description: bytes) -> str:
    """A description box: size, ``jumd``, 16 bytes of type, flags, label ending in zero."""
    if description[4:8] != b"jumd":
        raise ValueError("a box without description")
    return description[25 : description.index(b"\0", 25)].decode()
