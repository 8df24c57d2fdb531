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
from pdfed_sdk.config import ChainSection, NodeConfig, TrainingSection
from pdfed_sdk.errors import ConfigError
from pdfed_sdk.ml.data import NodeSplit, PictureSet
from pdfed_sdk.node.dedup import DedupList
from pdfed_sdk.node.withdrawal import Withdrawal, trained_on
from pdfed_sdk.node.withdrawing import InForce, extended, in_force
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
    found = DedupList(tmp_path / "dedup.json", share=0.25, withdrawal=InForce((7, 3), "d"))
    assert found.excluded() == [3, 7]
    found.keep("1", [0, 9, 8, 9, 0, 0, 0, 9])
    assert found.excluded() == [1, 2, 3, 7]
    assert DedupList(tmp_path / "dedup.json", share=0.0, withdrawal=InForce((3,), "d")).excluded() == [3]


def test_a_node_finds_them_in_its_own_split(signed: Withdrawal, pictures: PictureSet, tmp_path: Path):
    signed.write(tmp_path / "withdrawn.json")
    split = NodeSplit(pictures.take(range(4, 8)), pictures.take(range(4)), pictures.take(range(8, 12)))
    config = NodeConfig(chain=ChainSection(task=TASK))
    assert in_force(split, tmp_path, config) == InForce((1,), signed.digest().hex()), "of the home, by itself"
    named = dataclasses.replace(config, training=TrainingSection(withdrawn="withdrawn.json"))
    assert in_force(split, tmp_path, named) == in_force(split, tmp_path, config)
    assert in_force(split, tmp_path / "nowhere", config) == InForce()
    with pytest.raises(ConfigError, match="cannot be read"):
        in_force(split, tmp_path / "nowhere", named)
    with pytest.raises(ConfigError, match=f"from the task {TASK}, this node's is 0x11"):
        in_force(split, tmp_path, NodeConfig(chain=ChainSection(task="0x" + "11" * 20)))
    few = dataclasses.replace(config, training=TrainingSection(only=3))
    with pytest.raises(ConfigError, match="only leaves no picture out"):
        in_force(split, tmp_path, few)


def test_what_is_withdrawn_may_be_deleted_and_stays_withdrawn(
    signed: Withdrawal, pictures: PictureSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """The list outlives the pictures; a later one holds it too; another owner's is not taken over."""
    signed.write(tmp_path / "withdrawn.json")
    rest = pictures.take([0, 1, 3, 4, 6, 7, 8, 9])
    split = NodeSplit(rest.take(range(4)), rest.take(range(4, 6)), rest.take(range(6, 8)))
    assert in_force(split, tmp_path, NodeConfig(chain=ChainSection(task=TASK))).places == ()
    assert "2 of the 2 withdrawn pictures are not here" in caplog.text
    owner, other = (LocalSigner.from_key(KEYS[i], lock_folder=tmp_path / "locks") for i in (1, 2))
    longer = extended(tmp_path, owner, 31337, TASK, rest.take([0]).leaves())
    assert set(longer.leaves) == {*signed.leaves, *rest.take([0]).leaves()}
    with pytest.raises(ConfigError, match=f"a list of {owner.address}"):
        extended(tmp_path, other, 31337, TASK, rest.take([0]).leaves())


def test_lineage_says_which_models_saw_the_data():
    """A diamond: two children of a model that saw it, of which one is trained on it again, and a grandchild."""

    def node(name: str, root: str, *parents: Any, **training: str) -> Any:
        facts = SimpleNamespace(title=name, training={"dataset_digest": root, **training})
        return SimpleNamespace(facts=facts, parents=parents)

    start, clean = node("start", "aa"), node("clean", "cc")
    seen = node("seen", "bb", start)
    last = node("last", "aa", node("left", "aa", seen), node("right", "bb", seen), clean)
    found = trained_on(last, "0xbb")
    assert {facts.title for facts in found.direct} == {"seen", "right"}
    assert {facts.title for facts in found.descended} == {"left", "last"}
    assert found.spared == ()
    assert trained_on(last, "dd").direct == ()
    later = node("later", "bb", node("after", "bb", start, withdrawn="list"), seen, withdrawn="list")
    found = trained_on(later, "bb")
    assert [[facts.title for facts in part] for part in (found.direct, found.descended, found.spared)] == [
        ["seen"], ["later"], ["after"],
    ]  # fmt: skip
