"""Odd data, drawn by hypothesis: the score and the baselines give finite numbers or a refusal, never NaN."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.data import NodeSplit, PictureSet
from pdfed_sdk.ml.diffusion.model import ModelConfig, new_model
from pdfed_sdk.ml.quality import baselines
from pdfed_sdk.ml.scoring.reports import QNReport, ScoringSettings
from pdfed_sdk.ml.scoring.scorer import Scorer, improvement, qn_score


def numbers(value: Any, name: str = "") -> list[tuple[str, float]]:
    """Every number in a report, with its path."""
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in numbers(inner, f"{name}.{key}")]
    if isinstance(value, list | tuple):
        return [found for i, inner in enumerate(value) for found in numbers(inner, f"{name}[{i}]")]
    return [(name, float(value))] if isinstance(value, int | float) else []


def check(report: QNReport, generated: int, train: int) -> None:
    bad = [(name, value) for name, value in numbers(report.to_dict()) if not math.isfinite(value)]
    assert bad == []
    for name in ("fid", "fid_floor", "novelty", "novelty_floor", "qn", "objective"):
        assert getattr(report, name) >= 0
    assert all(0 <= getattr(report, name) <= 1 for name in ("v_a", "v_c", "r_c", "threshold"))
    assert report.r_c <= min(1, train / generated) + 1e-12
    assert report.samples == len(report.nearest) == generated
    assert len(report.train_counts) == train
    for side in ("train", "sample"):
        assert len({getattr(pair, side) for pair in report.pairs}) == len(report.pairs)
    assert report.novelty == pytest.approx(1000 * report.v_a * report.v_c * report.r_c)
    if report.objective > 0:  # eq. 6 of perfect copies of a flat test set is 0, which is no objective
        assert improvement(report, report) == 0


@st.composite
def heaps(draw: Any, size: int, channels: int, least: int) -> torch.Tensor:
    """A few pictures: noise, flat ones, stripes, copies of one another."""
    count = draw(st.integers(least, 12))
    random = torch.Generator().manual_seed(draw(st.integers(0, 1_000)))
    kind = draw(st.sampled_from(["noise", "flat", "one", "dark", "stripes"]))
    images = torch.randint(0, 256, (count, channels, size, size), generator=random, dtype=torch.uint8)
    if kind == "flat":
        images[:] = images[:, :1, :1, :1]
    elif kind == "one":
        images[:] = images[:1].clone()
    elif kind == "dark":
        images.zero_()
    elif kind == "stripes":
        images[:, :, ::2] = 0
        images[:, :, 1::2] = 255
    if draw(st.booleans()):
        images[count // 2 :] = images[: count - count // 2].clone()
    return images


@st.composite
def cases(draw: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Generated, train and test pictures of one shape, and labels of train or none."""
    size, channels = draw(st.sampled_from([16, 28, 32, 64])), draw(st.sampled_from([1, 3]))
    generated, train, test = (draw(heaps(size, channels, least)) for least in (2, 2, 4))
    if draw(st.booleans()):
        generated = torch.cat([train[:2], generated])
    labels = draw(st.sampled_from([None, "one class", "a picture a class", "unlabelled"]))
    found = {
        None: None,
        "one class": torch.zeros(len(train), dtype=torch.int64),
        "a picture a class": torch.arange(len(train)),
        "unlabelled": torch.full((len(train),), -1),
    }[labels]
    return generated, train, test, found


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from(["qn", "qn-normalised"]), st.sampled_from(["pixels", "fingerprint"]))
def test_a_score_is_finite_or_refused(case, objective, extractor):
    generated, train, test, labels = case
    chosen = ScoringSettings(objective=objective, extractor=extractor, resamples=4)
    try:
        report = qn_score(generated, train, test, train_labels=labels, settings=chosen)
    except DataError as error:
        if "nothing is left to calibrate on" in error.message:
            return
        raise
    check(report, len(generated), len(train))


@st.composite
def features(draw: Any, width: int) -> torch.Tensor:
    """Rows of numbers: ordinary, constant, repeated, tiny, huge, with constant columns."""
    count = draw(st.integers(1, 40))
    random = torch.Generator().manual_seed(draw(st.integers(0, 1_000)))
    rows = torch.randn(count, width, generator=random, dtype=torch.float64)
    kind = draw(st.sampled_from(["ordinary", "constant", "repeated", "tiny", "huge", "columns"]))
    if kind == "constant":
        rows[:] = 1.0
    elif kind == "repeated":
        rows = rows[torch.randint(0, max(1, count // 4), (count,), generator=random)]
    elif kind == "columns":
        rows[:, 0] = 3.0
    return rows * {"tiny": 1e-12, "huge": 1e12}.get(kind, 1.0)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 70).flatmap(lambda width: st.tuples(*(features(width) for _ in range(3)))))
def test_baselines_are_finite_or_refused(sets):
    generated, train, test = sets
    calls = {
        "fid": lambda: baselines.fid(generated, test),
        "fid_infinity": lambda: baselines.fid_infinity(generated, test),
        "auth_pct": lambda: baselines.auth_pct(generated, train),
        "ct": lambda: baselines.ct_score(generated, train, test),
        "fld": lambda: baselines.fld(generated, train, test),
        "fld_gap": lambda: baselines.fld_gap(generated, train, test),
        "exact_gap": lambda: baselines.fld_gap(generated, train, test, exact=True),
        "pog": lambda: baselines.pog(generated, train, test),
        "carlini": lambda: baselines.carlini_ratio(generated, train),
        "prdc": lambda: torch.tensor(dataclasses.astuple(baselines.prdc(generated, test, 3))),
    }
    for name, call in calls.items():
        try:
            value = torch.as_tensor(call(), dtype=torch.float64)
        except DataError:
            continue
        assert torch.isfinite(value).all(), name


@pytest.mark.parametrize(("size", "channels"), [(512, 1), (512, 3), (256, 3)])
@pytest.mark.parametrize("extractor", ["fingerprint", "efficientnet-lite0"])
def test_large_pictures(size, channels, extractor):
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(28, channels, 16, 16, generator=random)
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic")
    images = smooth.clamp(0, 1).mul(255).to(torch.uint8)
    generated = torch.cat([images[8:12], images[24:]])
    report = qn_score(
        generated, images[8:16], images[16:24], settings=ScoringSettings(extractor=extractor, resamples=4)
    )
    check(report, 8, 8)
    assert report.settings.size == size
    assert {(pair.sample, pair.train) for pair in report.pairs} >= {(0, 0), (1, 1), (2, 2), (3, 3)}


@pytest.mark.parametrize(("classes", "channels", "size"), [(0, 1, 16), (0, 3, 32), (3, 3, 32)])
def test_models_with_and_without_classes_grey_and_in_colour(classes, channels, size):
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (36, channels, size, size), generator=random, dtype=torch.uint8)
    names = tuple(str(i) for i in range(classes))
    labels = torch.arange(36) % classes if classes else torch.full((36,), -1)
    parts = [PictureSet(images[i : i + 12], labels[i : i + 12], names) for i in (0, 12, 24)]
    chosen = ScoringSettings(
        samples=16, size=size, channels=channels, extractor="fingerprint", sampler_steps=2, resamples=4
    )
    scorer = Scorer(NodeSplit(*parts), chosen)
    model = new_model(ModelConfig(size=size, channels=channels, classes=classes, widths=(8, 16)))
    check(scorer.evaluate(model, b"seed"), 16, 12)
