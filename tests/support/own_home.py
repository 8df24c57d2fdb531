"""A node's home as its owner would watch it: real pictures, a real training run with its curve, a real evaluation.

Only that a sample copies a picture is given, not found: a model that memorises takes minutes to train.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from pdfed_sdk.config import NodeConfig
from pdfed_sdk.ml.data import NodeSplit, split_nodes
from pdfed_sdk.ml.diffusion.model import ModelConfig, new_model, save_pipeline
from pdfed_sdk.ml.scoring import ScoringSettings
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.node import curve
from pdfed_sdk.node.doing import Doing
from pdfed_sdk.node.picture_parts import make_evaluator, make_trainer
from pdfed_sdk.node.records import Records
from pdfed_sdk.types import Parent, SubmissionId

SETTINGS = ScoringSettings(samples=40, extractor="pixels", copy_samples=80, resamples=0, sampler_steps=3)
SEED = bytes(range(100, 132))
PAIRS = ((3, 5, 0.97), (11, 2, 0.91))
"""Sample, own picture, score: what the evaluation of model 2 is said to have found."""


def make_home(folder: Path, address: str) -> NodeSplit:
    """Everything that a node leaves in its home after one attempt and one evaluation (of model 2)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "keystore.json").write_text(json.dumps({"address": address.removeprefix("0x")}))
    (folder / "pdfed.toml").write_text('[node]\nrole = "both"\n')
    split = split_nodes(load_pictures("mnist", size=16).take(range(0, 5_000, 8)), 1)[0]
    split.save(folder / "data")
    genesis = save_pipeline(new_model(ModelConfig(widths=(8, 16), classes=10)), folder / "models" / "0" / "model")
    config, records = NodeConfig(), Records(folder)
    attempt = records.open_attempt([Parent(SubmissionId(0), 10_000)], 640, 7)
    kept, curve.LEAST_PAUSE = curve.LEAST_PAUSE, 0.0
    try:
        make_trainer(split, config).train(
            [(genesis, 10_000)],
            folder / "models" / "2" / "model",
            pictures=640,
            seed=7,
            resume=attempt.snapshot,
            on_step=lambda _done, _wanted: True,
        )
    finally:
        curve.LEAST_PAUSE = kept
    records.keep_attempt(dataclasses.replace(attempt, stage="trained"))
    evaluator = make_evaluator(split, SETTINGS, config)
    found = evaluator.compare(genesis, folder / "models" / "2" / "model", SEED, lambda: None)
    pairs = [json.dumps({"sample": s, "train": t, "score": score}).encode() for s, t, score in PAIRS]
    records.keep_evaluation(SubmissionId(2), dataclasses.replace(found, pairs=tuple(pairs)), SEED, b"\x05" * 32)
    again = evaluator.compare(genesis, genesis, SEED, lambda: None)
    records.keep_evaluation(SubmissionId(1), again, SEED, b"\x06" * 32)
    with Doing(folder / "now.json").during("scoring", 2):
        (folder / "kept.json").write_bytes((folder / "now.json").read_bytes())
    (folder / "kept.json").replace(folder / "now.json")
    return split
