"""Adapters in a node: the card freezes them, the base is checked at the start, the gate takes the worse of two."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from pdfed_sdk.config import NodeConfig, NodeSection
from pdfed_sdk.errors import ConfigError, MlError, PublicationRefused
from pdfed_sdk.ml.data import NodeSplit
from pdfed_sdk.ml.lora.base_files import base_digest
from pdfed_sdk.ml.lora.sampling import with_captions
from pdfed_sdk.ml.scoring import ScoringSettings
from pdfed_sdk.ml.scoring.scorer import Scorer
from pdfed_sdk.ml.training import TrainConfig
from pdfed_sdk.node.assemble import check_base
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
    check_base(card, tmp_path, NodeConfig(node=NodeSection(base=str(base))))
    check_base(TaskCard(ScoringSettings()), tmp_path, NodeConfig())
    other = tiny_base(tmp_path / "other", seed=1)
    for named, words in (("", "need the base"), (str(other), "the task's card says"), ("nowhere", "cannot be read")):
        with pytest.raises(ConfigError, match=words):
            check_base(card, tmp_path, NodeConfig(node=NodeSection(base=named)))


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


def test_a_candidate_of_another_setup_is_its_authors_fault(base: Path, evaluator: PictureEvaluator, tmp_path: Path):
    one = tiny_adapter(base, 1)
    sly = dataclasses.replace(one, setup=dataclasses.replace(one.setup, prompts=TEXTS[2:]))
    folders = [model.family.save(model, tmp_path / str(seed)) for seed, model in enumerate((one, sly))]
    with pytest.raises(MlError, match="prompts of the adapter"):
        evaluator.compare(folders[0], folders[1], SEED, lambda: None)


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
