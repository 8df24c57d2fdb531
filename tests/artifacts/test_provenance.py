"""Provenance: a package is believed only if its bytes, its manifest, its lineage and the chain all agree.

Dishonest packages are made by signing directly, past ``build_package``, as a liar with the same library would.
"""

from __future__ import annotations

import json
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pdfed_sdk.artifacts import provenance
from pdfed_sdk.artifacts.archive import MANIFEST
from pdfed_sdk.artifacts.cid import cid_of
from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.manifests import MAX_DEPTH, ParentClaim, _boxes, model_assertion
from pdfed_sdk.artifacts.package import open_package, pack_folder, read_package
from pdfed_sdk.artifacts.provenance import (
    BuiltPackage,
    Expected,
    ExpectedModel,
    ParentLink,
    build_package,
    digests_of,
    inspect,
    lineage,
    verify_package,
)
from pdfed_sdk.errors import DigestMismatch, KeystoreError, PackageInvalid, ProvenanceInvalid, StoreError, UsageError
from pdfed_sdk.family import CARD
from pdfed_sdk.ml.diffusion.ddpm import WEIGHTS
from tests.support.pipelines import folder_of, parts, weights

SAYS = ("org.pdfed.model", "c2pa.actions.v2")
ALICE, BOB = "0x" + "aA" * 20, "0x" + "b0" * 20
TRAINING = {"dataRoot": "0x" + "11" * 32, "dataSize": 800, "steps": 120, "optimiser": {"name": "AdamW", "lr": 0.001}}


@pytest.fixture(scope="module")
def keys() -> dict[str, SigningIdentity]:
    return {ALICE: SigningIdentity.create("alice"), BOB: SigningIdentity.create("bob")}


class Shelf:
    """Packages of a small task, by number."""

    def __init__(self, root: Path, keys: dict[str, SigningIdentity]) -> None:
        self.root, self.keys = root, keys
        self.built: dict[int, BuiltPackage] = {}
        self.wallets: dict[int, str] = {}

    def folder(self, number: int) -> Path:
        values = np.full(128, number, np.float32)
        return folder_of(self.root / f"folder{number}", parts(**{WEIGHTS: weights(w=values)}))

    def path(self, number: int) -> Path:
        return self.root / f"{number}.zip"

    def links(self, parents: tuple[int, ...]) -> list[ParentLink]:
        return [ParentLink(p, 10_000 // len(parents), self.path(p)) for p in parents]

    def build(self, number: int, *parents: int, wallet: str = ALICE) -> BuiltPackage:
        self.built[number] = build_package(
            self.folder(number),
            self.path(number),
            identity=self.keys[wallet],
            wallet=wallet,
            training=TRAINING | {"seed": number},
            parents=self.links(parents),
            title=f"model {number}",
        )
        self.wallets[number] = wallet
        return self.built[number]

    def on_chain(self, number: int) -> ExpectedModel:
        digests = self.built[number].digests
        return ExpectedModel(self.wallets[number], digests.weights_digest, digests.manifest_digest)

    def expected(self, number: int, *parents: int) -> Expected:
        return Expected(
            author=self.wallets[number],
            digests=self.built[number].digests,
            parents={p: self.on_chain(p) for p in parents},
        )

    def claim(self, number: int, *, nested: bool = True) -> ParentClaim:
        chain = self.on_chain(number)
        return ParentClaim(number, 10_000, chain.wallet, chain.weights_digest, chain.manifest_digest, nested)  # type: ignore[arg-type]

    def lie(self, claims: tuple[ParentClaim, ...], nested: list[Path], *, weights_digest: bytes | None = None) -> Path:
        """Sign whatever is wanted, unchecked."""
        unsigned, signed = self.root / "unsigned.zip", self.root / "lie.zip"
        contents = pack_folder(self.folder(99), unsigned)
        definition = provenance._definition("lie", BOB, TRAINING, b"", ())
        said = {item["label"]: item["data"] for item in definition["assertions"] if item["label"] in SAYS}
        if "org.pdfed.model" in said:
            said["org.pdfed.model"] |= model_assertion(weights_digest or contents.weights_digest, claims)
        said["c2pa.actions.v2"]["actions"] = provenance._actions(len(nested))
        provenance._sign(definition, nested, self.keys[BOB], unsigned, signed)
        return signed


@pytest.fixture
def shelf(tmp_path: Path, keys: dict[str, SigningIdentity]) -> Shelf:
    return Shelf(tmp_path, keys)


@pytest.fixture(scope="module")
def first_family(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, SigningIdentity]) -> Shelf:
    shelf = Shelf(tmp_path_factory.mktemp("family"), keys)
    shelf.build(0)
    shelf.build(1, 0, wallet=BOB)
    shelf.build(2, 0)
    shelf.build(3, 2, 1, wallet=BOB)
    return shelf


@pytest.fixture
def family(first_family: Shelf, shelf: Shelf) -> Shelf:
    """Genesis 0; 1 and 2 trained from it; 3 averaged from 2 and 1. Each test has its own copy."""
    for number, built in first_family.built.items():
        shelf.built[number] = replace(built, path=shelf.path(number))
        shelf.path(number).write_bytes(built.path.read_bytes())
    shelf.wallets |= first_family.wallets
    return shelf


def repacked(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Change entries, and put right everything that depends on them: sizes, offsets and checksums do not tell."""
    old = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        files = {info.filename: archive.read(info) for info in infos}
        start = archive.start_dir
    change(files)
    body, directory, at = b"", b"", start
    for info in infos:
        name, data = info.filename, files[info.filename]
        record, at = bytearray(old[at : at + 46 + len(name)]), at + 46 + len(name)
        if name == "META-INF/":  # the copy of the directory so far that the library leaves here
            body += directory
        header = bytearray(old[info.header_offset : info.header_offset + 30 + len(name)])
        header[14:26] = record[16:28] = struct.pack("<3I", zlib.crc32(data), len(data), len(data))
        record[42:46] = struct.pack("<I", len(body))
        body += header + data
        directory += record
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, len(infos), len(infos), len(directory), len(body), 0)
    other = path.with_suffix(".changed.zip")
    other.write_bytes(body + directory + end)
    read_package(other)  # the format alone has nothing to say against it
    return other


def flip(data: bytes, at: int) -> bytes:
    broken = bytearray(data)
    broken[at] ^= 1
    return bytes(broken)


# --- honest packages -------------------------------------------------------------------------------------------------


def test_a_family_verifies(family: Shelf) -> None:
    for number, parents in {0: (), 1: (0,), 2: (0,), 3: (2, 1)}.items():
        verified = verify_package(family.path(number), family.expected(number, *parents))
        assert verified.digests == family.built[number].digests == digests_of(family.path(number))
        assert verified.facts.training == TRAINING | {"seed": number}
        assert [claim.id for claim in verified.facts.parents] == list(parents)
        assert all(claim.nested for claim in verified.facts.parents)
        assert family.built[number].cid == cid_of(family.path(number))
    assert verified.depth == 2
    assert verified.facts.signer == "bob"
    assert verified.facts.title == "model 3"


def test_a_signed_package_unpacks_to_its_folder(family: Shelf, tmp_path: Path) -> None:
    contents = open_package(family.path(3), tmp_path / "out")
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == (family.folder(3) / WEIGHTS).read_bytes()
    assert contents.weights_digest == family.built[3].digests.weights_digest
    with zipfile.ZipFile(family.path(3)) as archive:
        assert archive.testzip() is None
        assert archive.read(MANIFEST) == contents.manifest
    # What was unpacked can be packed again: the parent's manifest does not get in the way.
    assert not pack_folder(tmp_path / "out", tmp_path / "again.zip").manifest


def test_lineage_is_the_family_tree(family: Shelf) -> None:
    tree = lineage(family.path(3))
    assert tree.facts.wallet == BOB
    two, one = tree.parents
    assert [two.facts.title, one.facts.title] == ["model 2", "model 1"]
    assert two.parents[0] is one.parents[0]
    assert two.parents[0].facts.title == "model 0"
    assert two.parents[0].parents == ()
    for node, number in ((tree, 3), (two, 2), (one, 1), (two.parents[0], 0)):
        assert node.facts.manifest_digest == family.built[number].digests.manifest_digest


def test_digests_of_ancestors_survive_any_order_of_nesting(family: Shelf) -> None:
    family.build(4, 3, 2)
    family.build(5, 2, 3)
    family.build(6, 5, 4, 1, 0)
    seen = {}
    stack = [lineage(family.path(6))]
    while stack:
        node = stack.pop()
        seen[node.facts.title] = node.facts.manifest_digest
        stack += node.parents
    assert seen == {f"model {n}": family.built[n].digests.manifest_digest for n in range(7)}


def test_trust_anchors_make_the_difference_between_valid_and_trusted(family: Shelf) -> None:
    alice, bob = family.keys[ALICE].authority, family.keys[BOB].authority
    assert not verify_package(family.path(3)).trusted
    assert verify_package(family.path(3), trust_anchors=bob).trusted
    assert verify_package(family.path(3), trust_anchors=alice + bob).trusted
    assert not verify_package(family.path(3), trust_anchors=alice).trusted


def test_what_is_not_known_is_not_compared(family: Shelf) -> None:
    verify_package(family.path(3), Expected())
    verify_package(family.path(3), Expected(author=BOB.upper().replace("X", "x")))
    verify_package(family.path(0), Expected(parents={}))


def test_a_first_model_has_no_parents_but_one_that_it_carries_over(family: Shelf) -> None:
    def again(*parents: int) -> Path:
        """Signed by the sponsor, with the weights of model 3."""
        links = [ParentLink(p, 10_000 // len(parents), family.path(p)) for p in parents]
        path = family.root / "again.zip"
        path.unlink(missing_ok=True)
        training, identity = {"carried_over_from": {"id": 3}}, family.keys[ALICE]
        build_package(family.folder(3), path, identity=identity, wallet=ALICE, training=training, parents=links)
        return path

    first = Expected(author=ALICE, first=True)
    verify_package(family.path(0), first)
    carried = verify_package(again(3), first)
    assert carried.facts.weights_digest == family.built[3].digests.weights_digest
    assert [p.facts.title for p in lineage(again(3)).parents] == ["model 3"], "and all before it"
    for path in (family.path(2), again(2), again(3, 2)):
        with pytest.raises(ProvenanceInvalid, match="a first model has no parents"):
            verify_package(path, first)
    with pytest.raises(ProvenanceInvalid, match="made by"):
        verify_package(family.path(3), first)


def test_inspect_tells_good_and_bad(family: Shelf) -> None:
    good = inspect(family.path(3), family.expected(3, 2, 1))
    assert json.loads(json.dumps(good)) == good
    assert good["ok"]
    assert good["problem"] is None
    assert good["cid"] == str(cid_of(family.path(3)))
    assert [p["id"] for p in good["parents"]] == [2, 1]
    assert good["parents"][0]["manifestDigest"] == "0x" + family.built[2].digests.manifest_digest.hex()
    bad = inspect(family.path(3), replace(family.expected(3, 2, 1), author=ALICE))
    assert not bad["ok"]
    assert bad["problem"]["error"] == "ProvenanceInvalid"
    assert bad["problem"]["next"]


# --- tampering -------------------------------------------------------------------------------------------------------


def test_every_flipped_byte_is_refused(family: Shelf) -> None:
    """The container's checks answer first; what they let pass (attributes in the directory) the signature catches."""
    data = family.path(1).read_bytes()
    broken = family.root / "broken.zip"
    passed_format = 0
    for at in range(len(data)):
        flipped = flip(data, at)
        try:
            read_package(flipped)
        except PackageInvalid:
            continue
        passed_format += 1
        broken.write_bytes(flipped)
        with pytest.raises(ProvenanceInvalid):
            verify_package(broken)
    assert passed_format > 0


def flip_in(name: str, at: int) -> Callable[[dict[str, bytes]], None]:
    def change(files: dict[str, bytes]) -> None:
        files[name] = flip(files[name], at)

    return change


def test_repacking_alone_changes_nothing(family: Shelf) -> None:
    """The check on the checks: what the next tests refuse is what they changed."""
    assert repacked(family.path(3), lambda files: None).read_bytes() == family.path(3).read_bytes()


@pytest.mark.parametrize("name", [WEIGHTS, CARD])
def test_changed_content_with_right_checksums(family: Shelf, name: str) -> None:
    with pytest.raises(ProvenanceInvalid, match="Invalid"):
        verify_package(repacked(family.path(3), flip_in(name, 2 if name == CARD else -1)))


def test_changed_manifest_bytes_with_right_checksums(family: Shelf) -> None:
    """Nested manifests: every byte counts, padding included. The model's own: padding and box labels are not signed,
    so a change there is found by the digest on chain."""
    store = read_package(family.path(3)).manifest
    own = len(store) - len(_boxes(_boxes(store)[0][8:])[-1])
    for at in [0, 5, 20, *range(45, own, 397), own - 900]:
        with pytest.raises(ProvenanceInvalid):
            verify_package(repacked(family.path(3), flip_in(MANIFEST, at)))
    for at in [*range(own, len(store), 991), len(store) - 500, len(store) - 1]:
        with pytest.raises((ProvenanceInvalid, DigestMismatch)):
            verify_package(repacked(family.path(3), flip_in(MANIFEST, at)), family.expected(3, 2, 1))


def test_the_manifest_of_another_package(family: Shelf) -> None:
    other = read_package(family.path(2)).manifest
    with pytest.raises(ProvenanceInvalid, match="Invalid"):
        verify_package(repacked(family.path(3), lambda files: files.update({MANIFEST: other})))


def boxed(store: bytes, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """A manifest store with its manifests rearranged."""
    head, *manifests = _boxes(_boxes(store)[0][8:])
    body = head + b"".join(change(manifests))
    return struct.pack(">I4s", len(body) + 8, b"jumb") + body


def test_nested_manifests_in_another_order(family: Shelf) -> None:
    """Nothing in it is changed and the library does not mind, but it is not what was signed and submitted."""

    def swap(files: dict[str, bytes]) -> None:
        files[MANIFEST] = boxed(files[MANIFEST], lambda m: [m[1], m[0], *m[2:]])

    changed = repacked(family.path(3), swap)
    assert provenance._read(changed, "")["validation_state"] == "Valid"
    with pytest.raises(ProvenanceInvalid, match="not in the order"):
        verify_package(changed)


@pytest.mark.parametrize("add", [True, False])
def test_a_manifest_too_many_or_too_few(family: Shelf, add: bool) -> None:
    family.build(4, wallet=BOB)
    stranger = _boxes(_boxes(read_package(family.path(4)).manifest)[0][8:])[1]

    def change(files: dict[str, bytes]) -> None:
        files[MANIFEST] = boxed(files[MANIFEST], lambda m: [stranger, *m] if add else m[1:])

    with pytest.raises(ProvenanceInvalid):
        verify_package(repacked(family.path(3), change))


def test_unsigned_packages(shelf: Shelf, tmp_path: Path) -> None:
    pack_folder(shelf.folder(0), tmp_path / "plain.zip")
    with pytest.raises(ProvenanceInvalid, match="not signed"):
        verify_package(tmp_path / "plain.zip")
    with pytest.raises(PackageInvalid, match="no manifest"):
        digests_of(tmp_path / "plain.zip")


def test_another_signed_package_of_the_same_author_is_not_the_submitted_one(family: Shelf) -> None:
    with pytest.raises(DigestMismatch, match="package_digest"):
        verify_package(family.path(2), family.expected(0))


@pytest.mark.parametrize("name", ["package_digest", "weights_digest", "manifest_digest", "package_codec"])
def test_each_digest_is_compared_with_the_chain(family: Shelf, name: str) -> None:
    digests = replace(family.built[1].digests, **{name: 0x70 if name == "package_codec" else b"\1" * 32})
    with pytest.raises(DigestMismatch, match=name):
        verify_package(family.path(1), replace(family.expected(1, 0), digests=digests))


def test_weights_digest_of_the_manifest_is_that_of_the_weights(family: Shelf) -> None:
    lie = family.lie((), [], weights_digest=b"\7" * 32)
    with pytest.raises(ProvenanceInvalid, match="weights hash to"):
        verify_package(lie)


# --- wallet and parents ----------------------------------------------------------------------------------------------


def test_wrong_wallet(family: Shelf) -> None:
    with pytest.raises(ProvenanceInvalid, match=f"made by {BOB}, submitted by {ALICE}"):
        verify_package(family.path(3), replace(family.expected(3, 2, 1), author=ALICE))


@pytest.mark.parametrize("name", ["manifest_digest", "weights_digest", "wallet"])
def test_wrong_facts_of_a_parent(family: Shelf, name: str) -> None:
    good = family.expected(3, 2, 1)
    assert good.parents
    wrong = replace(good.parents[1], **{name: ALICE if name == "wallet" else b"\1" * 32})
    with pytest.raises(ProvenanceInvalid, match=f"{name} of parent 1"):
        verify_package(family.path(3), replace(good, parents=dict(good.parents) | {1: wrong}))


def test_other_parents_than_on_chain(family: Shelf) -> None:
    for parents in ((), (2,), (1,), (2, 1, 0), (0,)):
        with pytest.raises(ProvenanceInvalid, match="names parents"):
            verify_package(family.path(3), family.expected(3, *parents))


def test_building_on_a_tampered_parent(family: Shelf) -> None:
    family.path(1).write_bytes(repacked(family.path(1), flip_in(CARD, 0)).read_bytes())
    with pytest.raises(ProvenanceInvalid, match="Invalid"):
        family.build(7, 1)
    assert not family.path(7).exists()


def test_building_on_an_unsigned_parent(family: Shelf) -> None:
    pack_folder(family.folder(8), family.path(8))
    with pytest.raises(ProvenanceInvalid, match="not signed"):
        family.build(7, 8)
    assert not family.path(7).exists()


def test_child_of_a_tampered_parent(family: Shelf) -> None:
    """The library itself calls this child Valid."""
    tampered = repacked(family.path(1), flip_in(CARD, 0))
    lie = family.lie((family.claim(1),), [tampered])
    assert provenance._read(lie, "")["validation_state"] == "Valid"
    with pytest.raises(ProvenanceInvalid, match="collectionHash"):
        verify_package(lie, Expected(author=BOB, parents={1: family.on_chain(1)}))


def test_grandchild_of_a_tampered_model(family: Shelf) -> None:
    tampered = repacked(family.path(1), flip_in(CARD, 0))
    middle = family.lie((family.claim(1),), [tampered]).rename(family.root / "middle.zip")
    middle_digests = digests_of(middle)
    claim = ParentClaim(9, 10_000, BOB, middle_digests.weights_digest, middle_digests.manifest_digest, True)  # type: ignore[arg-type]
    with pytest.raises(ProvenanceInvalid, match="collectionHash"):
        verify_package(family.lie((claim,), [middle]))


def test_child_of_an_unsigned_parent(family: Shelf) -> None:
    """The library itself calls this child Valid."""
    pack_folder(family.folder(1), family.root / "plain.zip")
    lie = family.lie((family.claim(1),), [family.root / "plain.zip"])
    assert provenance._read(lie, "")["validation_state"] == "Valid"
    with pytest.raises(ProvenanceInvalid, match="without a manifest"):
        verify_package(lie, Expected(author=BOB, parents={1: family.on_chain(1)}))


def test_a_look_alike_in_place_of_the_parent(family: Shelf, tmp_path: Path) -> None:
    """Same weights, same wallet written in it, but not the manifest that was submitted."""
    fake = build_package(
        family.folder(1), tmp_path / "fake.zip", identity=family.keys[BOB], wallet=BOB, training={"steps": 1}
    )
    assert fake.digests.weights_digest == family.built[1].digests.weights_digest
    with pytest.raises(ProvenanceInvalid, match="parent 1: manifest_digest"):
        verify_package(family.lie((family.claim(1),), [fake.path]))
    honest_about_it = replace(family.claim(1), manifest_digest=fake.digests.manifest_digest)
    lie = family.lie((honest_about_it,), [fake.path])
    with pytest.raises(ProvenanceInvalid, match="manifest_digest of parent 1"):
        verify_package(lie, Expected(author=BOB, parents={1: family.on_chain(1)}))


@pytest.mark.parametrize(("name", "value"), [("wallet", ALICE), ("weights_digest", b"\3" * 32)])
def test_a_claim_that_differs_from_the_nested_manifest(family: Shelf, name: str, value: Any) -> None:
    with pytest.raises(ProvenanceInvalid, match=f"parent 1: {name}"):
        verify_package(family.lie((replace(family.claim(1), **{name: value}),), [family.path(1)]))


def test_claims_and_ingredients_in_different_number(family: Shelf) -> None:
    with pytest.raises(ProvenanceInvalid, match="nested"):
        verify_package(family.lie((), [family.path(1)]))
    with pytest.raises(ProvenanceInvalid, match="nested"):
        verify_package(family.lie((family.claim(1), family.claim(2)), [family.path(1)]))
    with pytest.raises(ProvenanceInvalid, match="stands twice"):
        verify_package(family.lie((family.claim(1), family.claim(1)), [family.path(1)] * 2))


@pytest.mark.parametrize(
    "change", [{"id": -1}, {"weight_bps": 0}, {"weight_bps": 10_001}, {"wallet": "0x12"}, {"nested": "yes"}]
)
def test_claims_that_cannot_be(family: Shelf, change: dict[str, Any]) -> None:
    with pytest.raises(ProvenanceInvalid, match=r"org\.pdfed\.model"):
        verify_package(family.lie((replace(family.claim(1), **change),), [family.path(1)]))


@pytest.mark.parametrize("label", ["crypto.addresses", "org.pdfed.training", "org.pdfed.model"])
def test_missing_assertions(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, label: str) -> None:
    whole = provenance._definition

    def without(*args: Any) -> dict[str, Any]:
        definition = whole(*args)
        definition["assertions"] = [a for a in definition["assertions"] if a["label"] != label]
        return definition

    monkeypatch.setattr(provenance, "_definition", without)
    with pytest.raises(ProvenanceInvalid, match=label):
        verify_package(shelf.lie((), []))


# --- depth -----------------------------------------------------------------------------------------------------------


def test_64_generations_are_nested_and_fast_and_no_more(shelf: Shelf) -> None:
    """Generations 1 to 65 signed without checks (the checks are what is measured here)."""
    shelf.build(0)
    unsigned = shelf.root / "unsigned.zip"
    weights_digest = pack_folder(shelf.folder(1), unsigned).weights_digest
    for number in range(1, MAX_DEPTH + 2):
        before = shelf.path(number - 1)
        digests = digests_of(before)
        claim = ParentClaim(number - 1, 10_000, ALICE, digests.weights_digest, digests.manifest_digest, True)  # type: ignore[arg-type]
        definition = provenance._definition(f"model {number}", ALICE, {}, weights_digest, (claim,))
        provenance._sign(definition, [before], shelf.keys[ALICE], unsigned, shelf.path(number))
    start = time.perf_counter()
    verified = verify_package(shelf.path(MAX_DEPTH))
    assert time.perf_counter() - start < 3.0  # 0.1 s alone on a core
    assert verified.depth == MAX_DEPTH
    assert len(verified.contents.manifest) < MAX_DEPTH * 10_000
    with pytest.raises(ProvenanceInvalid, match="deeper than 64"):
        verify_package(shelf.path(MAX_DEPTH + 1))
    built = shelf.build(500, MAX_DEPTH)  # an honest child of generation 64 names its parent only
    verified = verify_package(built.path)
    assert verified.depth == 0
    assert [claim.nested for claim in verified.facts.parents] == [False]


def test_a_parent_named_only_is_still_compared_with_the_chain(family: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "MAX_DEPTH", 1)
    family.build(4, 1, 0)  # 1 has depth 1: named; 0 is nested
    verified = verify_package(family.path(4), family.expected(4, 1, 0))
    assert {claim.id: claim.nested for claim in verified.facts.parents} == {1: False, 0: True}
    good = family.expected(4, 1, 0)
    assert good.parents
    wrong = dict(good.parents) | {1: replace(good.parents[1], manifest_digest=b"\1" * 32)}
    with pytest.raises(ProvenanceInvalid, match="manifest_digest of parent 1"):
        verify_package(family.path(4), replace(good, parents=wrong))


# --- building --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("training", "words"),
    [({"loss": float("nan")}, "not JSON"), ({"seed": 1 << 60}, "2\\^53"), ({"x": object()}, "not JSON")],
)
def test_training_facts_that_cannot_be_kept(shelf: Shelf, training: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_package(shelf.folder(0), shelf.path(0), identity=shelf.keys[ALICE], wallet=ALICE, training=training)
    assert not shelf.path(0).exists()


def test_building_leaves_nothing_when_it_fails(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.build(0)
    before = shelf.path(0).read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    folder = shelf.folder(0)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match="no space left"):
        build_package(folder, shelf.path(0), identity=shelf.keys[ALICE], wallet=ALICE, training=TRAINING)
    monkeypatch.undo()
    assert shelf.path(0).read_bytes() == before
    assert [p.name for p in shelf.root.iterdir() if p.is_file()] == ["0.zip"]


def test_what_does_not_verify_is_not_written(shelf: Shelf) -> None:
    with pytest.raises(ProvenanceInvalid, match=r"crypto\.addresses"):
        build_package(shelf.folder(0), shelf.path(0), identity=shelf.keys[ALICE], wallet="alice", training=TRAINING)
    assert not shelf.path(0).exists()


# --- the signing key -------------------------------------------------------------------------------------------------


def test_the_key_is_kept_encrypted_and_comes_back(tmp_path: Path, shelf: Shelf) -> None:
    path = tmp_path / "keys" / "signing.json"
    made = SigningIdentity.load_or_create(path, "secret", "node 1")
    again = SigningIdentity.load_or_create(path, "secret", "other name")
    assert again.certificates == made.certificates
    assert again.private_pem() == made.private_pem()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "BEGIN ENCRYPTED PRIVATE KEY" in text
    assert made.private_pem().decode().splitlines()[1] not in text
    assert "BEGIN PRIVATE KEY" not in repr(made)
    built = build_package(shelf.folder(0), shelf.path(0), identity=again, wallet=ALICE, training=TRAINING)
    assert verify_package(built.path, trust_anchors=made.authority).trusted
    with pytest.raises(KeystoreError, match="wrong password"):
        SigningIdentity.load(path, "Secret")
    SigningIdentity.create("late").save(path, "secret")  # who comes second does not overwrite
    assert SigningIdentity.load(path, "secret").certificates == made.certificates
    assert [p.name for p in path.parent.iterdir()] == ["signing.json"]


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"format": "pdfed-signing-identity", "version": 2}'])
def test_key_files_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "signing.json").write_text(text)
    with pytest.raises(KeystoreError, match="cannot be read"):
        SigningIdentity.load_or_create(tmp_path / "signing.json", "secret")
    assert (tmp_path / "signing.json").read_text() == text


def test_a_key_file_cannot_ask_for_all_memory(tmp_path: Path) -> None:
    path = tmp_path / "signing.json"
    SigningIdentity.create().save(path, "secret")
    content = json.loads(path.read_text())
    content["kdf"]["n"] = 1 << 30
    path.write_text(json.dumps(content))
    with pytest.raises(KeystoreError, match="beyond reason"):
        SigningIdentity.load(path, "secret")


def test_no_password_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="password"):
        SigningIdentity.load_or_create(tmp_path / "signing.json", "")
    assert list(tmp_path.iterdir()) == []
