"""Who made a model, from what: signing packages with C2PA, and believing them only as far as they can be checked.

A manifest states the wallet (``crypto.addresses``), the training (``org.pdfed.training``), weights and parents
(``org.pdfed.model``) and the actions (``c2pa.actions.v2``); parents are nested from their own packages as ingredients.
The C2PA library calls a child of a tampered or unsigned parent ``Valid``, and checks no wallet and no chain: the rules
that make a package acceptable are therefore here. Chain data come in as plain values; this module knows no chain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import c2pa

from pdfed_sdk.artifacts.cid import Cid, cid_of
from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.manifests import (
    ACCEPTED_FAILURES,
    HINT,
    MAX_DEPTH,
    MODEL,
    TRAINING,
    WALLETS,
    ManifestGraph,
    ModelFacts,
    ParentClaim,
    base_ingredient,
    failures,
    model_assertion,
    plain,
)
from pdfed_sdk.artifacts.package import PackageContents, pack_folder, read_package
from pdfed_sdk.artifacts.package import digests_of as digests_of
from pdfed_sdk.artifacts.store import storage_errors, sync_folder, temporary_file
from pdfed_sdk.errors import DigestMismatch, PdfedError, ProvenanceInvalid, UsageError
from pdfed_sdk.types import ModelDigests

MEDIA_TYPE = "application/x-zip"
MAX_NESTED_BYTES = 8 << 20
"""Parents whose manifests together are larger are named by id and digests only."""

_TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicData"
_MAX_TRAINING = 64 << 10


@dataclass(frozen=True, slots=True)
class ParentLink:
    """A parent to name: its number on chain, its share in basis points, and its signed package."""

    id: int
    weight_bps: int
    path: Path


@dataclass(frozen=True, slots=True)
class BuiltPackage:
    """A signed package ready to publish. It differs at every build (time, signature): keep the file, not the recipe."""

    path: Path
    cid: Cid
    digests: ModelDigests
    size: int


@dataclass(frozen=True, slots=True)
class ExpectedModel:
    """What the chain says of a parent."""

    wallet: str
    weights_digest: bytes
    manifest_digest: bytes


@dataclass(frozen=True, slots=True)
class Expected:
    """What the chain says of a submission; parents by their number. None: not known, not compared.

    ``first``: the first model of a task, which has no parents there. It may name one model of an earlier task whose
    weights it carries over unchanged (decision 0204); that model's number is one of the earlier task.
    """

    author: str | None = None
    digests: ModelDigests | None = None
    parents: Mapping[int, ExpectedModel] | None = None
    first: bool = False


@dataclass(frozen=True, slots=True)
class VerifiedPackage:
    """A package that passed. ``trusted``: its signer's authority is among the anchors given.

    ``depth``: generations nested; parents that are not ``nested`` are only named, the chain alone vouches for them.
    """

    contents: PackageContents
    digests: ModelDigests
    facts: ModelFacts
    trusted: bool
    depth: int


@dataclass(frozen=True, slots=True)
class LineageNode:
    """A model with its nested parents. Ancestors that two models share are the same object: walk with a seen-set."""

    facts: ModelFacts
    parents: tuple[LineageNode, ...] = field(repr=False)


def build_package(
    folder: Path,
    out: Path,
    *,
    identity: SigningIdentity,
    wallet: str,
    training: Mapping[str, Any],
    parents: Sequence[ParentLink] = (),
    title: str = "PDFed model",
) -> BuiltPackage:
    """Pack a pipeline folder, sign it with its lineage, verify the result, and only then let ``out`` appear.

    ``training`` is JSON: data set root and size, steps, optimiser, seed, library versions. Raises PackageInvalid for
    the folder or a parent, ProvenanceInvalid for a parent that does not verify, UsageError for ``training``.
    """
    facts = _training_facts(training)
    with storage_errors("building the package", out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(out.parent) as unsigned, temporary_file(out.parent) as signed:
            contents = pack_folder(folder, unsigned)
            claims = _claims(parents)
            nested = [link.path for link, claim in zip(parents, claims, strict=True) if claim.nested]
            definition = _definition(title, wallet, facts, contents.weights_digest, claims, contents.base)
            _sign(definition, nested, identity, unsigned, signed)
            verified = verify_package(signed, Expected(author=wallet))
            signed.replace(out)
            sync_folder(out.parent)
    digests = verified.digests
    return BuiltPackage(out, Cid(digests.package_codec, digests.package_digest), digests, verified.contents.size)


def verify_package(path: Path, expected: Expected = Expected(), *, trust_anchors: str = "") -> VerifiedPackage:
    """Check bytes, format, signature, lineage, and agreement with the chain. ``trust_anchors`` is PEM.

    Raises PackageInvalid (format), DigestMismatch (not the bytes that were submitted), ProvenanceInvalid (manifest
    missing, tampered, of another wallet, or with other parents than the chain says).
    """
    return _verify(path, expected, trust_anchors)[0]


def lineage(path: Path) -> LineageNode:
    """The model and its nested ancestors, from a package that verifies."""
    _, graph = _verify(path, Expected(), "")
    nodes: dict[str, LineageNode] = {}
    for label, facts in graph.facts.items():
        nodes[label] = LineageNode(facts, tuple(nodes[parent] for parent in graph.parents_of(label)))
    return nodes[graph.active]


def inspect(path: Path, expected: Expected = Expected(), *, trust_anchors: str = "") -> dict[str, Any]:
    """What can be said of a package, as JSON, good or bad: ``ok``, ``problem``, digests, wallet, training, parents."""
    answer: dict[str, Any] = {"path": str(path), "ok": False, "problem": None}
    try:
        verified = verify_package(path, expected, trust_anchors=trust_anchors)
    except PdfedError as error:
        answer["problem"] = {"error": type(error).__name__, "message": error.message, "next": error.hint}
        return answer
    digests, facts = verified.digests, verified.facts
    return answer | {
        "ok": True,
        "cid": str(Cid(digests.package_codec, digests.package_digest)),
        "size": verified.contents.size,
        "parameters": verified.contents.parameters,
        "package_digest": "0x" + digests.package_digest.hex(),
        "weights_digest": "0x" + digests.weights_digest.hex(),
        "manifest_digest": "0x" + digests.manifest_digest.hex(),
        "title": facts.title,
        "wallet": facts.wallet,
        "signer": facts.signer,
        "trusted": verified.trusted,
        "generations": verified.depth,
        "training": dict(facts.training),
        "parents": model_assertion(b"", facts.parents)["parents"],
    }


# --- signing ---------------------------------------------------------------------------------------------------------


def _training_facts(training: Mapping[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(dict(training), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"training facts are not JSON: {error}", hint="give plain numbers, words, lists, mappings"
        ) from None
    facts: dict[str, Any] = json.loads(text, parse_int=_small_int)
    if len(text) > _MAX_TRAINING:
        raise UsageError(f"training facts have {len(text)} bytes, the limit is {_MAX_TRAINING}")
    return facts


def _small_int(text: str) -> int:
    if abs(int(text)) >= 1 << 53:
        raise UsageError(f"{text} in the training facts is beyond 2^53", hint="give large seeds and digests as text")
    return int(text)


def _claims(parents: Sequence[ParentLink]) -> tuple[ParentClaim, ...]:
    """Verify the parents' packages; decide which are nested."""
    claims: list[ParentClaim] = []
    nested_bytes = 0
    for parent in parents:
        verified = verify_package(parent.path)
        nested_bytes += len(verified.contents.manifest)
        claims.append(
            ParentClaim(
                id=parent.id,
                weight_bps=parent.weight_bps,
                wallet=verified.facts.wallet,
                weights_digest=verified.digests.weights_digest,
                manifest_digest=verified.digests.manifest_digest,
                nested=verified.depth < MAX_DEPTH and nested_bytes <= MAX_NESTED_BYTES,
            )
        )
    return tuple(claims)


def _definition(
    title: str,
    wallet: str,
    training: Mapping[str, Any],
    weights: bytes,
    claims: tuple[ParentClaim, ...],
    base: str = "",
) -> dict[str, Any]:
    return {
        "claim_generator_info": [{"name": "pdfed-sdk"}],
        "title": title,
        "format": MEDIA_TYPE,
        "ingredients": [base_ingredient(base)] if base else [],
        "assertions": [
            {"label": WALLETS, "data": {"ethereum": [wallet]}},
            {"label": TRAINING, "data": training},
            {"label": MODEL, "data": model_assertion(weights, claims)},
            {"label": "c2pa.actions.v2", "data": {"actions": _actions(sum(claim.nested for claim in claims))}},
        ],
    }


def _actions(nested: int) -> list[dict[str, Any]]:
    """Trained on from one parent: opened and edited. Averaged from several: created, each placed into it."""
    if nested == 1:
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_ingredient(0)]}}
        return [opened, {"action": "c2pa.edited", "digitalSourceType": _TRAINED}]
    placed = [{"action": "c2pa.placed", "parameters": {"ingredientIds": [_ingredient(i)]}} for i in range(nested)]
    return [{"action": "c2pa.created", "digitalSourceType": _TRAINED}, *placed]


def _ingredient(index: int) -> str:
    return f"parent-{index}"


def _sign(
    definition: Mapping[str, Any], nested: Sequence[Path], identity: SigningIdentity, unsigned: Path, signed: Path
) -> None:
    relation = "parentOf" if len(nested) == 1 else "componentOf"
    try:
        with _context("") as context, c2pa.Builder(dict(definition), context=context) as builder:
            for index, path in enumerate(nested):
                name = _ingredient(index)
                ingredient = {"title": name, "relationship": relation, "label": name, "instance_id": name}
                with path.open("rb") as source:
                    builder.add_ingredient(ingredient, MEDIA_TYPE, source)
            # Not the library's signing callback: it reserves 10 KB for each signature, in every generation.
            info = c2pa.C2paSignerInfo(b"es256", identity.certificates.encode(), identity.private_pem(), None)
            with c2pa.Signer.from_info(info) as signer, unsigned.open("rb") as source, signed.open("w+b") as target:
                builder.sign(signer, MEDIA_TYPE, source, target)
    except c2pa.C2paError as error:
        raise ProvenanceInvalid(
            f"the package could not be signed: {error}", hint="report this: it should not happen"
        ) from error


# --- verifying -------------------------------------------------------------------------------------------------------


def _verify(path: Path, expected: Expected, trust_anchors: str) -> tuple[VerifiedPackage, ManifestGraph]:
    contents = read_package(path)
    if not contents.manifest:
        raise ProvenanceInvalid(f"{path} is not signed", hint="ask its author to publish a package with a manifest")
    digests = contents.digests(cid_of(path))
    _check_digests(path, digests, expected.digests)
    report = _read(path, trust_anchors)
    state = str(report.get("validation_state"))
    found = [code for code in failures(report) if code not in ACCEPTED_FAILURES]
    if state not in ("Valid", "Trusted") or found:
        raise ProvenanceInvalid(f"{path}: manifest is {state}: {', '.join(found) or 'no reason given'}", hint=HINT)
    graph = ManifestGraph(contents.manifest, report)
    facts = graph.facts[graph.active]
    _check_facts(path, facts, digests)
    if (named := graph.base_of(graph.active)) != contents.base:
        raise ProvenanceInvalid(
            f"{path}: the manifest names the base {named or 'none'}, the package {contents.base or 'none'}", hint=HINT
        )
    _check_expected(path, facts, expected)
    return VerifiedPackage(contents, digests, facts, state == "Trusted", graph.depths[graph.active]), graph


def _context(trust_anchors: str) -> c2pa.Context:
    """Settings of the library: nothing is fetched from the network, whatever a stranger's manifest asks for."""
    settings: dict[str, Any] = {
        "verify": {"verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False},
        "builder": {"thumbnail": {"enabled": False}},
    }
    if trust_anchors:
        settings["trust"] = {"trust_anchors": trust_anchors}
    return c2pa.Context(c2pa.Settings.from_dict(settings))


def _read(path: Path, trust_anchors: str) -> dict[str, Any]:
    try:
        with (
            _context(trust_anchors) as context,
            path.open("rb") as source,
            c2pa.Reader(MEDIA_TYPE, source, context=context) as reader,
        ):
            report: dict[str, Any] = json.loads(reader.json())
            return report
    except c2pa.C2paError as error:
        raise ProvenanceInvalid(f"{path}: the manifest cannot be read ({error})", hint=HINT) from error


def _check_digests(path: Path, found: ModelDigests, expected: ModelDigests | None) -> None:
    if expected is None:
        return
    for name in ("package_codec", "package_digest", "weights_digest", "manifest_digest"):
        is_, said = getattr(found, name), getattr(expected, name)
        if is_ != said:
            raise DigestMismatch(
                f"{path}: {name} is {plain(is_)}, the chain says {plain(said)}",
                hint="fetch the package again; if it stays so, vote it unusable",
            )


def _check_facts(path: Path, facts: ModelFacts, digests: ModelDigests) -> None:
    """The manifest speaks of these very bytes."""
    if facts.weights_digest != digests.weights_digest:
        raise ProvenanceInvalid(
            f"{path}: weights hash to {plain(digests.weights_digest)}, the manifest says {plain(facts.weights_digest)}",
            hint=HINT,
        )
    if facts.manifest_digest != digests.manifest_digest:
        raise ProvenanceInvalid(f"{path}: the manifest store is not in the order it was signed in", hint=HINT)


def _check_expected(path: Path, facts: ModelFacts, expected: Expected) -> None:
    if expected.author is not None and facts.wallet.lower() != expected.author.lower():
        raise ProvenanceInvalid(f"{path}: made by {facts.wallet}, submitted by {expected.author}", hint=HINT)
    if expected.first and [claim.weights_digest for claim in facts.parents] not in ([], [facts.weights_digest]):
        raise ProvenanceInvalid(
            f"{path}: a first model has no parents, this one names {[claim.id for claim in facts.parents]}",
            hint="to carry a model of an earlier task over as it is: pdfed model init --from",
        )
    if expected.parents is None:
        return
    claimed = {claim.id: claim for claim in facts.parents}
    if claimed.keys() != expected.parents.keys():
        raise ProvenanceInvalid(
            f"{path}: manifest names parents {sorted(claimed)}, the chain {sorted(expected.parents)}", hint=HINT
        )
    for number, parent in expected.parents.items():
        claim = claimed[number]
        for name in ("manifest_digest", "weights_digest", "wallet"):
            said, is_ = plain(getattr(claim, name)), plain(getattr(parent, name))
            if said != is_:
                raise ProvenanceInvalid(f"{path}: {name} of parent {number} is {said}, the chain says {is_}", hint=HINT)
