"""How good the best model is, beside genesis: FID against the test pictures of all nodes together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from pdfed_sdk.demo.nodes import SCORING, DemoNode
from pdfed_sdk.family import load_model
from pdfed_sdk.ml.data import NodeSplit
from pdfed_sdk.ml.quality.features import load_extractor
from pdfed_sdk.ml.quality.frechet import fid

SAMPLES = 400
SEED = bytes(range(32))


def model_folder(folder: Path, nodes: Sequence[DemoNode], submission: int) -> Path:
    """A verified, unpacked copy of a model from any node's models."""
    for node in nodes:
        found = folder / "nodes" / node.name / "models" / str(submission) / "model"
        if found.is_dir():
            return found
    return folder / "genesis" / "model"


def model_quality(folder: Path, nodes: Sequence[DemoNode], best: int) -> dict[str, float]:
    """FID of the best and of the genesis model, 400 samples each from one seed, in the task's feature space."""
    extractor = load_extractor(SCORING.extractor, size=SCORING.size, channels=SCORING.channels)
    tests = [NodeSplit.load(folder / "nodes" / node.name / "data").test.images for node in nodes]
    real = extractor(torch.cat(tests))
    values = []
    for submission in (best, 0):
        model = load_model(model_folder(folder, nodes, submission))
        images, _ = model.family.sample(model, SAMPLES, SEED, steps=SCORING.sampler_steps, solver=SCORING.solver)
        values.append(fid(extractor(images), real))
    return {"fid": values[0], "genesis_fid": values[1], "fid_ratio": values[0] / values[1]}
