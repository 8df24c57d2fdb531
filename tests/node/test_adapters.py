"""Adapters in a node: the card freezes them, the base is checked at the start, the gate takes the worse of two."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.hidden_parents_lora import refactored
from pdfed_sdk.errors import ConfigError, DataError, MlError, PublicationRefused, StoreError
from pdfed_sdk.family import load_model
from pdfed_sdk.ml.data import NodeSplit
from pdfed_sdk.ml.lora.adapter import new_adapter
from pdfed_sdk.ml.lora.base_files import base_digest
from pdfed_sdk.ml.lora.sampling import with_captions
from pdfed_sdk.ml.scoring import ScoringSettings
from pdfed_sdk.ml.scoring.scorer import Scorer
from pdfed_sdk.ml.training import TrainConfig
from pdfed_sdk.node.base_check import check_base, check_own_captions
from pdfed_sdk.node.picture_parts import PictureEvaluator, PictureTrainer
from pdfed_sdk.node.task_card import TaskCard
from tests.support.tiny_base import TEXTS, tiny_adapter, tiny_base, tiny_pictures, tiny_setup

SCORING = ScoringSettings(samples=16, size=32, channels=3, extractor="pixels", sampler_steps=2, copy_samples=16)
SEED = b"s" * 32


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


def card_of(base: Path) -> TaskCard:
    return TaskCard(SCORING, "cats and dogs", family="latent-lora", adapter=tiny_setup(base_digest(base)))


def test_the_card_freezes_the_adapters(base: Path):
    card = card_of(base)
    assert TaskCard.from_bytes(card.to_bytes(), "it") == card
    assert json.loads(card.to_bytes())["adapter"]["prompts"] == list(TEXTS[:2])
    for broken in (
        {"adapter": {**card.adapter.to_dict(), "rank": 0}},
        {"adapter": []},
        {"family": "ddpm"},
        {"scoring": {**json.loads(SCORING.to_json()), "size": 64}},
    ):
        data = json.dumps({**json.loads(card.to_bytes()), **broken}).encode()
        with pytest.raises(ConfigError, match="a stranger's card has no readable"):
            TaskCard.from_bytes(data, "a stranger's card")
    with pytest.raises(ConfigError, match="lacks its adapter"):
        TaskCard(SCORING, family="latent-lora")


def test_a_node_starts_with_the_base_of_the_card_only(base: Path, tmp_path: Path):
    card = card_of(base)
    check_base(card, tmp_path, str(base))
    check_base(TaskCard(ScoringSettings()), tmp_path, "")
    other = tiny_base(tmp_path / "other", seed=1)
    for named, words in (("", "need the base"), (str(other), "the task's card says"), ("nowhere", "cannot be read")):
        with pytest.raises(ConfigError, match=words):
            check_base(card, tmp_path, named)


@pytest.fixture(scope="module")
def evaluator() -> PictureEvaluator:
    data = tiny_pictures(24)
    split = NodeSplit(data.take(range(8)), data.take(range(8, 16)), data.take(range(16, 24)))
    return PictureEvaluator(Scorer(split, SCORING), 5.0)


def test_a_vote_is_by_the_cards_prompts_and_the_gate_also_by_own_captions(
    base: Path, evaluator: PictureEvaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Both looks are of the same adapter and seed; only the first is published, and either closes the gate."""
    one, two = (tiny_adapter(base, seed) for seed in (1, 2))
    folders = [model.family.save(model, tmp_path / str(seed)) for seed, model in enumerate((one, two))]
    found = evaluator.compare(folders[0], folders[1], SEED, lambda: None)
    reports = json.loads(found.report)
    assert set(reports) == {"reference", "candidate", "own captions"}
    assert (
        reports["own captions"]["fid"]
        == evaluator._scorer.evaluate(with_captions(two, evaluator._scorer.split.train), SEED).fid
    )
    assert found.candidate["fid"] == reports["candidate"]["fid"] != reports["own captions"]["fid"]
    assert len(found.copied) == 8
    evaluator.gate(found)
    for name in ("candidate", "own captions"):
        worse = json.loads(found.report)
        worse[name]["copies"] |= {"alarm": True, "per_thousand": 500.0}
        with pytest.raises(PublicationRefused, match="copies in 1,000"):
            evaluator.gate(dataclasses.replace(found, report=json.dumps(worse).encode()))


@pytest.mark.parametrize("changed", ["prompts", "rank", "targets", "base"])
def test_a_candidate_of_another_setup_is_its_authors_fault(
    changed: str, base: Path, evaluator: PictureEvaluator, tmp_path: Path
):
    """Whole and consistent packages, all of them: an MlError here is the lowest vote. None makes a network of its own
    on the way, whatever rank it asks for."""
    one = tiny_adapter(base, 1)
    other = {
        "prompts": {"prompts": TEXTS[2:]},
        "rank": {"rank": 128},
        "targets": {"targets": ("to_q",)},
        "base": {"digest": base_digest(tiny_base(tmp_path / "other", seed=1))},
    }[changed]
    sly = new_adapter(tiny_setup(**{"digest": base_digest(base), **other}))
    folders = [model.family.save(model, tmp_path / str(seed)) for seed, model in enumerate((one, sly))]
    made = dict(one.base._unets)
    with pytest.raises(MlError, match=f"{changed} of the adapter is"):
        evaluator.compare(folders[0], folders[1], SEED, lambda: None)
    assert one.base._unets == made or changed == "base"


def test_a_base_that_no_node_has_is_its_authors_fault_and_a_lost_one_is_not(
    base: Path, evaluator: PictureEvaluator, tmp_path: Path
):
    good, strange = tiny_adapter(base, 1), tmp_path / "strange"
    folder = good.family.save(good, tmp_path / "good")
    shutil.copytree(folder, strange)
    setup = strange / "adapter_setup.json"
    setup.write_text(setup.read_text().replace(good.setup.base, "ab" * 32))
    with pytest.raises(MlError, match="no base with the digest abab"):
        evaluator.compare(folder, strange, SEED, lambda: None)
    with pytest.raises(StoreError, match=r"the reference in .* cannot be scored: no base"):
        evaluator.compare(strange, folder, SEED, lambda: None)


def test_no_candidate_is_blamed_for_a_caption_of_this_node(base: Path, tmp_path: Path):
    """The node does not start with it; and if it did, it would not vote."""
    data = tiny_pictures(24)
    long = dataclasses.replace(data, captions=("zx " * 60, *data.captions[1:]))
    split = NodeSplit(long.take(range(8)), long.take(range(8, 16)), long.take(range(16, 24)))
    with pytest.raises(DataError, match=r"the caption of picture 0, 'zx .* the base reads 24"):
        check_own_captions(card_of(base), split)
    model = tiny_adapter(base, 1)
    folder = model.family.save(model, tmp_path / "model")
    with pytest.raises(StoreError, match="this node's captions cannot be used"):
        PictureEvaluator(Scorer(split, SCORING), 5.0).compare(folder, folder, SEED, lambda: None)


def test_a_copy_in_other_halves_is_found_among_siblings(base: Path, evaluator: PictureEvaluator, tmp_path: Path):
    """The one disguise that an adapter has: a matrix between its halves and the inverse, which change no product."""
    models = {number: tiny_adapter(base, number) for number in range(1, 5)}
    folders = {number: model.family.save(model, tmp_path / str(number)) for number, model in models.items()}
    copy = refactored(models[2], 7)
    assert copy.weights_digest() != models[2].weights_digest()
    start = copy.family.save(new_adapter(models[2].setup), tmp_path / "start")
    copied, others = copy.family.save(copy, tmp_path / "copy"), [folders[3], folders[4]]
    suspects = {number: folders[number] for number in (1, 2)}
    assert evaluator.hidden_parents(copied, start, suspects, others, SEED, lambda: None) == [2]


def test_a_node_may_stop_the_training_of_an_adapter_by_its_unseen_pictures(base: Path, tmp_path: Path):
    """The facts name the lowest loss, and the saved adapter is the one that has it."""
    start = tiny_adapter(base, 1)
    unseen = tiny_pictures(12).take(range(4, 12))
    losses = start.family.validation(start, unseen, torch.device("cpu"))
    assert torch.equal(losses(start), losses(start)), "the same noise every time"
    assert not torch.equal(losses(tiny_adapter(base, 2)), losses(start))
    trainer = PictureTrainer(tiny_pictures(4), TrainConfig(batch=8, lr=0.1, warmup=0), heldout=unseen)
    facts = trainer.train(
        [(start.family.save(start, tmp_path / "start"), 10_000)],
        tmp_path / "out",
        pictures=240,
        seed=0,
        resume=tmp_path / "resume",
        on_step=lambda *_: True,
    )
    assert facts is not None
    assert facts["kept"] <= facts["pictures"]
    assert float(losses(load_model(tmp_path / "out")).mean()) == pytest.approx(facts["validation"], rel=1e-4)


def test_the_trainer_averages_parents_exactly_and_trains_on(base: Path, tmp_path: Path, caplog: Any):
    folders = []
    for seed in (1, 2):
        model = tiny_adapter(base, seed)
        folders.append(model.family.save(model, tmp_path / str(seed)))
    trainer = PictureTrainer(tiny_pictures(), TrainConfig(batch=8))
    with caplog.at_level("INFO", "pdfed.training"):
        facts = trainer.train(
            [(folders[0], 6_000), (folders[1], 4_000)],
            tmp_path / "out",
            pictures=16,
            seed=0,
            resume=tmp_path / "resume",
            on_step=lambda *_: True,
        )
    assert facts is not None
    assert facts["pictures"] == 16
    assert "lost to the rank" in caplog.text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "adapter_setup.json",
        "pytorch_lora_weights.safetensors",
    }
