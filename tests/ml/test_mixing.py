"""Shares of an average by the validation loss: what is found is better beyond doubt, declared exactly, and bounded."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.data import NodeSplit
from pdfed_sdk.ml.diffusion.mixing import PARTS, affordable_looks, best_shares, in_parts
from pdfed_sdk.ml.diffusion.model import DiffusionModel, ModelConfig, new_model
from pdfed_sdk.ml.diffusion.training import TrainConfig, train
from pdfed_sdk.ml.diffusion.validation import Validation


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=4).filter(lambda shares: sum(shares) > 0))
def test_shares_in_twentieths_sum_to_one_and_are_off_by_less_than_one(shares: list[int]):
    parts = in_parts(shares)
    assert sum(parts) == PARTS
    assert all(abs(part - PARTS * share / sum(shares)) < 1 for part, share in zip(parts, shares, strict=True))


@pytest.fixture(scope="module")
def trained(splits: list[NodeSplit]) -> DiffusionModel:
    return train(TrainConfig(pictures=640), splits[0].train, model=ModelConfig(widths=(8, 16))).model


def test_a_spoilt_model_loses_its_share(splits: list[NodeSplit], trained: DiffusionModel) -> None:
    spoilt = new_model(trained.config, seed=9)
    validation = Validation(splits[1].heldout)
    found = best_shares([spoilt, trained], validation.losses, (10, 10), looks=12)
    assert found == (0, 20)


def test_equally_good_models_keep_their_shares(splits: list[NodeSplit], trained: DiffusionModel) -> None:
    twin = new_model(trained.config)
    twin.network.load_state_dict(trained.network.state_dict())
    with torch.no_grad():
        next(twin.network.parameters()).mul_(1 + 1e-6)
    assert best_shares([trained, twin], Validation(splits[1].heldout).losses, (13, 7), looks=12) == (13, 7)


def test_no_more_looks_than_were_granted(splits: list[NodeSplit], tiny: DiffusionModel) -> None:
    seen: list[None] = []
    others = [new_model(tiny.config, seed=seed) for seed in (1, 2)]
    best_shares(
        [tiny, *others], Validation(splits[0].heldout).losses, (8, 6, 6), looks=5, heartbeat=lambda: seen.append(None)
    )
    assert len(seen) == 5
    assert affordable_looks(pictures=14_000, heldout=128) == 8
    with pytest.raises(DataError, match="sum to 20"):
        best_shares([tiny, *others], Validation(splits[0].heldout).losses, (8, 6, 5), looks=5)
