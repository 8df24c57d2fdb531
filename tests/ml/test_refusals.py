"""Bad input to every public function of pdfed_sdk.ml: an error that names the argument, its value and the limit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from pdfed_sdk.errors import DataError, ExtractorMismatch, MlError
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.copies.detector import Detector
from pdfed_sdk.ml.copies.verifier import calibrate
from pdfed_sdk.ml.data import NodeSplit, PictureSet, partition, reshape_images, split_nodes
from pdfed_sdk.ml.diffusion.model import ModelConfig, new_model
from pdfed_sdk.ml.diffusion.sampling import sample
from pdfed_sdk.ml.diffusion.training import TrainConfig
from pdfed_sdk.ml.neighbours import nearest
from pdfed_sdk.ml.quality import baselines
from pdfed_sdk.ml.quality.features import Pixels, load_extractor
from pdfed_sdk.ml.quality.frechet import Moments
from pdfed_sdk.ml.scoring import scorer as scorer_module
from pdfed_sdk.ml.scoring.noop_retrain import noop_noise, summarise, twins
from pdfed_sdk.ml.scoring.page import grid_png, write_report
from pdfed_sdk.ml.scoring.reports import ScoringSettings
from pdfed_sdk.ml.scoring.scorer import Scorer, dedup_exclusions, improvement, improvement_of, qn_score
from pdfed_sdk.ml.sources import load_pictures

GOOD = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
FEATURES = {
    "nan": (torch.full((30, 4), torch.nan), r"holds 120 values that are not finite, the first nan in row 0"),
    "inf": (torch.where(torch.arange(4) < 3, GOOD, torch.inf), r"holds 30 values that are not finite, the first inf"),
    "empty": (torch.empty(0, 4), r"has shape \(0, 4\), expected at least one row"),
    "width": (torch.randn(30, 5), r"5"),
    "integers": (torch.ones(30, 4, dtype=torch.int64), r"is torch.int64 \(30, 4\), expected a float tensor \(N, D\)"),
    "flat": (torch.randn(30), r"is torch.float32 \(30,\), expected a float tensor \(N, D\)"),
}
MEASURES: list[tuple[Callable[..., Any], list[str]]] = [
    (baselines.fid, ["generated", "reference"]),
    (baselines.fid_infinity, ["generated", "reference"]),
    (baselines.prdc, ["generated", "reference"]),
    (baselines.auth_pct, ["generated", "train"]),
    (baselines.carlini_ratio, ["generated", "train"]),
    (baselines.ct_score, ["generated", "train", "test"]),
    (baselines.fld, ["generated", "train", "test"]),
    (baselines.fld_gap, ["generated", "train", "test"]),
    (baselines.pog, ["generated", "train", "test"]),
    (baselines.measure_all, ["generated", "train", "test"]),
    (partial(nearest, k=2), ["queries", "points"]),
]


def name_of(call: Callable[..., Any]) -> str:
    return getattr(call, "func", call).__name__


def feature_cases() -> Iterator[Any]:
    for measure, names in MEASURES:
        for place, name in enumerate(names):
            for kind, (broken, words) in FEATURES.items():
                wanted = rf"(?s)(?=.*{words})(?=.*({'|'.join(names)}))" if kind == "width" else f"{name} {words}"
                yield pytest.param(measure, len(names), place, broken, wanted, id=f"{name_of(measure)}-{name}-{kind}")


@pytest.mark.parametrize(("measure", "count", "place", "broken", "words"), list(feature_cases()))
def test_features(measure: Callable[..., Any], count: int, place: int, broken: torch.Tensor, words: str):
    arguments = [GOOD] * count
    arguments[place] = broken
    with pytest.raises(DataError, match=words):
        measure(*arguments)


def pictures(*shape: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)


def blank(*shape: int) -> PictureSet:
    return PictureSet(pictures(*shape), torch.full((shape[0],), -1))


OK, NONE = pictures(12, 1, 16, 16), torch.full((12,), -1)
MODEL = new_model(ModelConfig(widths=(8, 16)))
SPLIT = NodeSplit(*(blank(12, 1, 16, 16) for _ in range(3)))
OTHER = blank(40, 1, 16, 16).take(range(20, 32))
SETTINGS = ScoringSettings(samples=12, extractor="pixels", resamples=0)


def scorer(**changes: Any) -> Scorer:
    return Scorer(dataclasses.replace(SPLIT, **changes), SETTINGS)


def qn(train: Any = OK, test: Any = OK, generated: Any = OK, **labels: Any) -> Any:
    return qn_score(generated, train, test, settings=SETTINGS, **labels)


def report(**changes: Any) -> Any:
    return dataclasses.replace(scorer(train=OTHER).score(OK), **changes)


HUGE = torch.zeros(1, dtype=torch.uint8).expand(2, 1, 2048, 2048)
CASES: list[tuple[str, Callable[[], Any], str]] = [
    ("qn_score generated floats", lambda: qn(generated=OK.float()), r"generated is torch.float32 .*uint8"),
    ("qn_score generated empty", lambda: qn(generated=OK[:0]), "generated is empty"),
    ("qn_score one picture", lambda: qn(generated=OK[:1]), "samples is 1, limits 2"),
    ("qn_score no array", lambda: qn(generated=[1]), "generated is list"),
    ("qn_score train oblong", lambda: qn(pictures(9, 1, 16, 8)), "train is 16x8 pixels, .*squares"),
    ("qn_score two channels", lambda: qn(pictures(9, 2, 16, 16)), "train has 2 channels"),
    ("qn_score too large", lambda: qn(HUGE), "train is 2048x2048.*1024"),
    ("qn_score other size", lambda: qn(test=pictures(9, 1, 28, 28)), r"test is .*28, 28.*want.*16, 16"),
    ("qn_score few test", lambda: qn(test=OK[:3]), "test has 3 pictures, at least 4"),
    ("qn_score labels", lambda: qn(train_labels=NONE - 1), "train_labels runs from -2 to -2"),
    ("qn_score label type", lambda: qn(train_labels=NONE.float()), "train_labels is torch.float32"),
    ("qn_score label count", lambda: qn(generated_labels=NONE[:3]), r"generated_labels is .*\(3,\).*\(12,\)"),
    (
        "Scorer train of one",
        lambda: scorer(train=blank(1, 1, 16, 16)),
        "train has 1 pictures, scoring needs at least 2",
    ),
    ("Scorer other size", lambda: scorer(heldout=blank(5, 1, 8, 8)), r"heldout is .*8, 8.*want.*16, 16"),
    ("Scorer.score count", lambda: scorer(train=OTHER).score(OK[:5]), "generated has 5 pictures, the settings say 12"),
    ("Scorer.score labels", lambda: scorer(train=OTHER).score(OK, NONE - 5), "labels runs from -6 to -6, limits -1"),
    ("PictureSet labels", lambda: PictureSet(OK, NONE + 4, ("a", "b")), "labels runs from 3 to 3, limits -1 and 1"),
    ("PictureSet.joined", lambda: blank(2, 1, 8, 8).joined(blank(2, 1, 16, 16)), r"other holds \(1, 16, 16\)"),
    ("reshape_images", lambda: reshape_images(OK, 2, 1), "size is 2 .*expected 4 to 1024"),
    ("partition", lambda: partition(blank(12, 1, 16, 16), public=12), "public is 12, limits 1 and 11"),
    ("split_nodes none", lambda: split_nodes(blank(12, 1, 16, 16), 0), "nodes is 0"),
    ("split_nodes many", lambda: split_nodes(blank(12, 1, 16, 16), 9), "12 pictures over 9 nodes leave 1"),
    ("load_pictures", lambda: load_pictures("nowhere"), "source 'nowhere' is neither"),
    ("grid_png", lambda: grid_png(OK.float()), "images is torch.float32"),
    ("write_report", lambda: write_report(report(), OK[:3], SPLIT.train, Path()), "samples has 3 .*about 12"),
    ("Pixels", lambda: Pixels(8, 1)(OK), r"images are \(1, 16, 16\), pixels-8x8x1 takes \(1, 8, 8\)"),
    ("fingerprint", lambda: load_extractor("fingerprint")(OK.float()), "images is torch.float32"),
    ("efficientnet", lambda: load_extractor("efficientnet-lite0")(OK[:0]), "images is empty"),
    ("load_extractor name", lambda: load_extractor("vgg"), "extractor 'vgg' is unknown"),
    ("load_extractor hash", lambda: load_extractor("pixels", sha256="00"), "pixels has weights e3b0.*, expected 00"),
    ("Detector hash", lambda: Detector.load(sha256="00"), "has sha-256 .*, expected 00"),
    ("fid of one", lambda: baselines.fid(GOOD[:1], GOOD), r"generated is \(1, 4\).*at least 2 rows"),
    ("fid_infinity of few", lambda: baselines.fid_infinity(GOOD[:9], GOOD), "generated has 9 rows, .*at least 16"),
    ("fid_infinity points", lambda: baselines.fid_infinity(GOOD, GOOD, points=0), "points is 0, at least 1"),
    ("auth_pct of one", lambda: baselines.auth_pct(GOOD, GOOD[:1]), "train has 1 rows, AuthPct needs at least 2"),
    ("ct_score train", lambda: baselines.ct_score(GOOD, GOOD[:2], GOOD), "train has 2 rows, C_T needs at least 3"),
    ("ct_score cells", lambda: baselines.ct_score(GOOD[:9], GOOD, GOOD), "no cell of C_T holds more than 20 of 9"),
    ("ct_score seed", lambda: baselines.ct_score(GOOD, GOOD, GOOD, -1), "seed is -1, limits 0"),
    ("fld train", lambda: baselines.fld(GOOD, GOOD[:3], GOOD), "train has 3 rows, FLD needs at least 4"),
    ("fld test", lambda: baselines.fld(GOOD, GOOD, GOOD[:1]), "test has 1 rows, FLD needs at least 2"),
    ("fld_gap constant", lambda: baselines.fld_gap(GOOD, GOOD, torch.ones(9, 4)), "test is constant in every column"),
    ("fld_gap far apart", lambda: baselines.fld_gap(GOOD * 1e30, GOOD, GOOD), "the gap of FLD is (nan|inf)"),
    ("carlini neighbours", lambda: baselines.carlini_ratio(GOOD, GOOD, 0), "neighbours is 0, at least 1"),
    ("prdc neighbours", lambda: baselines.prdc(GOOD, GOOD, 30), "neighbours is 30, limits 1 and 29"),
    ("Moments width", lambda: Moments(3).update(GOOD), "block has 4 columns, expected 3"),
    ("Moments empty", lambda: Moments(4).fid(Moments(4)), "counts 0 and 0: at least 2"),
    ("nearest k", lambda: nearest(GOOD, GOOD, 31), "k is 31, limits 1 and 30"),
    ("nearest memory", lambda: nearest(GOOD, GOOD, 1, memory=10), "memory is 10 bytes, .* need"),
    ("calibrate", lambda: calibrate(GOOD[0], fpr=0.0), "fpr is 0"),
    ("sample", lambda: sample(MODEL, 0, b"x"), "n is 0"),
    ("sample classes", lambda: sample(MODEL, 2, b"x", classes=[11]), r"classes is \[11\], limits 0 and 9"),
    ("improvement_of", lambda: improvement_of(1.0, math.nan), "candidate's objective is nan, expected a finite"),
    ("improvement", lambda: improvement(report(), report(fid_floor=7.0)), "fid_floor differs: .* and 7.0"),
    ("dedup_exclusions", lambda: dedup_exclusions([1, 2], share=1.5), "share is 1.5, limits 0 and 1"),
    ("noop_noise", lambda: noop_noise([], []), "there are 0 pairs and 0 scorers"),
    ("twins", lambda: next(twins(MODEL, SPLIT.train, TrainConfig(), pairs=0)), "pairs is 0"),
    ("summarise", lambda: summarise([[math.nan]]), "values holds nan"),
    ("set_threads", lambda: set_threads(0), "count is 0, limits 1 and 1024"),
    ("settings", lambda: ScoringSettings(size=2), "size is 2, limits 4 and 1024"),
    ("settings fpr", lambda: ScoringSettings(fpr=1.0), "fpr 1.0"),
]


@pytest.mark.parametrize(("call", "words"), [pytest.param(call, words, id=name) for name, call, words in CASES])
def test_arguments(call: Callable[[], Any], words: str):
    with pytest.raises((DataError, ExtractorMismatch, MlError), match=words):
        call()


def test_what_the_modules_export_is_among_the_cases():
    tried = {name_of(measure) for measure, _ in MEASURES}
    assert {name for name in baselines.__all__ if name[0].islower()} <= tried
    named = " ".join(name for name, _, _ in CASES)
    exported = set(scorer_module.__all__) - {
        "QNReport",
        "ScoringSettings",
        "pinned",
    }  # tried as a report and as settings
    assert [name for name in exported if name not in named] == []
