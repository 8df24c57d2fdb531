"""One torch thread, tiny picture sets, and one scorer for the whole session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pdfed_sdk.ml.data import NodeSplit, PictureSet, partition, split_nodes
from pdfed_sdk.ml.device import set_threads
from pdfed_sdk.ml.diffusion.model import DiffusionModel, ModelConfig, new_model
from pdfed_sdk.ml.scoring.scorer import Scorer, ScoringSettings
from pdfed_sdk.ml.sources import load_pictures
from tests.support.tiny_base import tiny_adapter, tiny_base

set_threads(1)


@pytest.fixture(scope="session")
def mnist() -> PictureSet:
    """5,000 digits at 16x16."""
    return load_pictures("mnist", size=16)


@pytest.fixture(scope="session")
def splits(mnist: PictureSet) -> list[NodeSplit]:
    """Three small nodes; 8 pictures are in the train part of nodes 0 and 2."""
    return split_nodes(partition(mnist)[1], 3, seed=5, per_node=240, shared=8, holders=(0, 2))


@pytest.fixture(scope="session")
def tiny() -> DiffusionModel:
    """An untrained model."""
    return new_model(ModelConfig(widths=(8, 16)), seed=3)


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random base, which this process can find."""
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def adapter(base_folder: Path) -> Any:
    """An adapter of the tiny base that changes something: its B are not zero."""
    return tiny_adapter(base_folder, seed=3)


@pytest.fixture(scope="session")
def scorer(splits: list[NodeSplit]) -> Scorer:
    """Scores 40 samples on node 0, with pixel features for speed."""
    return Scorer(splits[0], ScoringSettings(samples=40, extractor="pixels", copy_samples=80))


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The golden sets of paper.md: train, test, clean generated, generated with 100 copies of train."""
    from sklearn.datasets import load_digits

    values = load_digits().data.astype(np.float32)
    parts = [values[:1000], values[1000:1400], values[1400:]]
    keep = np.all([part.std(0) > 0.1 for part in parts], axis=0)
    train, test, generated = (part[:, keep] for part in parts)
    copied = generated.copy()
    copied[:100] = train[:100]
    return train, test, generated, copied


@pytest.fixture
def noise() -> torch.Tensor:
    """Forty pictures of noise, uint8."""
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (40, 1, 16, 16), generator=random, dtype=torch.uint8)
