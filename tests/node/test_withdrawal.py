"""Consent withdrawn: the list is the owner's alone, the trainer leaves its pictures out, lineage says what is left."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.config import NodeConfig, TrainingSection
from pdfed_sdk.errors import ConfigError
from pdfed_sdk.ml.data import NodeSplit, PictureSet
from pdfed_sdk.node.assemble import withdrawn_places
from pdfed_sdk.node.dedup import DedupList
from pdfed_sdk.node.withdrawal import Withdrawal, trained_on
from tests.support.federation import KEYS

TASK = "0x" + "7a" * 20


@pytest.fixture(scope="module")
def pictures() -> PictureSet:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, 1, 8, 8), generator=random, dtype=torch.uint8)
    return PictureSet(images, torch.arange(12) % 2, ("a", "b"))


@pytest.fixture
def signed(pictures: PictureSet, tmp_path: Path) -> Withdrawal:
    signer = LocalSigner.from_key(KEYS[1], lock_folder=tmp_path / "locks")
    leaves = pictures.leaves()
    return Withdrawal.signed(signer, 31337, TASK, [leaves[5], leaves[2], leaves[5]])


def test_what_was_signed_is_read_and_names_its_pictures(signed: Withdrawal, pictures: PictureSet, tmp_path: Path):
    again = Withdrawal.read(signed.write(tmp_path / "withdrawn.json"))
    assert again == signed
    assert again.digest() == signed.digest()
    assert again.places(pictures.leaves()) == [2, 5]
    assert again.places(pictures.take([5, 6]).leaves()) == [0]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("leaves", ["00" * 32], "signed by"),
        ("leaves", [], "no leaf"),
        ("leaves", ["00"], "not 32 bytes"),
        ("owner", "0x" + "11" * 20, "signed by"),
        ("chainId", 1, "signed by"),
        ("task", "0x" + "11" * 20, "signed by"),
        ("signature", "00", "is no withdrawal"),
        ("signature", None, "is no withdrawal"),
    ],
)
def test_nobody_else_can_withdraw_or_add(key: str, value: Any, words: str, signed: Withdrawal):
    data = json.dumps({**json.loads(signed.to_bytes()), key: value}).encode()
    with pytest.raises(ConfigError, match=words):
        Withdrawal.from_bytes(data, "a stranger's list")
    with pytest.raises(ConfigError, match="is no withdrawal"):
        Withdrawal.from_bytes(b"[" * 100_000, "a stranger's list")


def test_the_dedup_list_always_leaves_withdrawn_pictures_out(tmp_path: Path):
    """Beside the share of the most copied, which is not used up by them."""
    found = DedupList(tmp_path / "dedup.json", share=0.25, withdrawn=[7, 3])
    assert found.excluded() == [3, 7]
    found.keep("1", [0, 9, 8, 9, 0, 0, 0, 9])
    assert found.excluded() == [1, 2, 3, 7]
    assert DedupList(tmp_path / "dedup.json", share=0.0, withdrawn=[3]).excluded() == [3]


def test_a_node_finds_them_in_its_own_split(signed: Withdrawal, pictures: PictureSet, tmp_path: Path):
    signed.write(tmp_path / "withdrawn.json")
    split = NodeSplit(pictures.take(range(4, 8)), pictures.take(range(4)), pictures.take(range(8, 12)))
    config = NodeConfig(training=TrainingSection(withdrawn="withdrawn.json"))
    assert withdrawn_places(split, tmp_path, config) == [1]
    assert withdrawn_places(split, tmp_path, NodeConfig()) == []
    other = dataclasses.replace(split, train=split.test.take([0, 1]))
    with pytest.raises(ConfigError, match="names no training picture of this node"):
        withdrawn_places(other, tmp_path, config)
    with pytest.raises(ConfigError, match="cannot be read"):
        withdrawn_places(split, tmp_path / "nowhere", config)


def test_lineage_says_which_models_saw_the_data():
    """A diamond: two children of a model that saw it, of which one is trained on it again, and a grandchild."""

    def node(name: str, root: str, *parents: Any) -> Any:
        return SimpleNamespace(facts=SimpleNamespace(title=name, training={"dataset_digest": root}), parents=parents)

    start, clean = node("start", "aa"), node("clean", "cc")
    seen = node("seen", "bb", start)
    last = node("last", "aa", node("left", "aa", seen), node("right", "bb", seen), clean)
    found = trained_on(last, "0xbb")
    assert {facts.title for facts in found.direct} == {"seen", "right"}
    assert {facts.title for facts in found.descended} == {"left", "last"}
    assert trained_on(last, "dd").direct == ()
