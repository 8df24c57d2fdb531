"""An adapter's manifest names its base as an ingredient by digest; the base is no parent, and a liar is caught."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.numpy import save

from pdfed_sdk.artifacts import provenance
from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.package import pack_folder
from pdfed_sdk.artifacts.provenance import ParentLink, build_package, lineage, verify_package
from pdfed_sdk.errors import ProvenanceInvalid
from pdfed_sdk.family import CARD
from pdfed_sdk.ml.lora.family import SETUP, WEIGHTS
from pdfed_sdk.ml.lora.setup import AdapterSetup
from tests.support.pipelines import folder_of

WALLET = "0x" + "a1" * 20
BASE = "5a" * 32


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> SigningIdentity:
    return SigningIdentity.load_or_create(tmp_path_factory.mktemp("keys") / "identity.json", "password")


def adapter_folder(path: Path) -> Path:
    import numpy as np

    stem = "unet.mid_block.attentions.0.to_q"
    halves = {
        f"{stem}.lora_A.weight": np.ones((8, 4), np.float32),
        f"{stem}.lora_B.weight": np.ones((4, 8), np.float32),
    }
    setup = AdapterSetup(BASE).to_json().encode()
    return folder_of(path, {CARD: b"# adapter", SETUP: setup, WEIGHTS: save(halves)})


def test_the_base_is_an_ingredient_in_every_generation(identity: SigningIdentity, tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path / "model")
    for number in range(3):
        parents = [ParentLink(number - 1, 10_000, tmp_path / f"{number - 1}.zip")] if number else []
        out = tmp_path / f"{number}.zip"
        build_package(folder, out, identity=identity, wallet=WALLET, training={"n": number}, parents=parents)
        assert verify_package(out).contents.base == BASE
        assert BASE.encode() in verify_package(out).contents.manifest
    node, generations = lineage(tmp_path / "2.zip"), 0
    while node.parents:
        node, generations = node.parents[0], generations + 1
    assert generations == 2


@pytest.mark.parametrize("named", ["", "6b" * 32])
def test_a_manifest_that_names_another_base_or_none(named: str, identity: SigningIdentity, tmp_path: Path) -> None:
    unsigned, signed = tmp_path / "unsigned.zip", tmp_path / "lie.zip"
    contents = pack_folder(adapter_folder(tmp_path / "model"), unsigned)
    definition = provenance._definition("lie", WALLET, {"n": 1}, contents.weights_digest, (), named)
    provenance._sign(definition, [], identity, unsigned, signed)
    with pytest.raises(ProvenanceInvalid, match=f"names the base {named or 'none'}, the package {BASE}"):
        verify_package(signed)
