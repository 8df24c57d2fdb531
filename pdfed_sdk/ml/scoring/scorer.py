"""The Q-N score (paper, section 3.3) and the improvement between two of them.

Fingerprint -> class threshold -> K nearest -> verifier -> V_A, V_C, R_C; FID against the node's test pictures; floors
of both on held-out real pictures. A `Scorer` keeps what depends on the node's data only, so that an evaluation costs
sampling plus one pass over the samples.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.family import Model
from pdfed_sdk.ml.cache import remembered
from pdfed_sdk.ml.copies.detector import Detector, Prints
from pdfed_sdk.ml.copies.node_detector import detector_of
from pdfed_sdk.ml.copies.search import class_thresholds
from pdfed_sdk.ml.copies.verifier import Calibration, calibrate
from pdfed_sdk.ml.data import NodeSplit, PictureSet, check_images, check_labels
from pdfed_sdk.ml.device import device_of
from pdfed_sdk.ml.neighbours import nearest
from pdfed_sdk.ml.quality.features import FeatureExtractor, load_extractor
from pdfed_sdk.ml.quality.frechet import Frechet, FrechetPair
from pdfed_sdk.ml.scoring.improvements import improvement, improvement_of
from pdfed_sdk.ml.scoring.reports import MatchedPair, Neighbour, QNReport, ScoringSettings, objective_value

__all__ = [
    "QNReport",
    "Scorer",
    "ScoringSettings",
    "dedup_exclusions",
    "improvement",
    "improvement_of",
    "pinned",
    "qn_score",
]


IDENTICAL = 1e-3
"""Fingerprints nearer than this are of the same pixels: similarity 1, nothing to verify."""


@dataclass(frozen=True)
class Search:
    """Pairs that passed the class threshold: sample, training picture, distance of their fingerprints, verifier score.
    ``best`` (n,) is each sample's highest score, ``nearest`` and ``gaps`` (n,) name each sample's nearest training
    picture and how far it is (infinitely, where there is none)."""

    rows: Tensor
    columns: Tensor
    distances: Tensor
    scores: Tensor
    best: Tensor
    nearest: Tensor
    gaps: Tensor

    def neighbours(self) -> tuple[Neighbour, ...]:
        """For each sample the training picture it resembles most: the one with the highest score, or the nearest
        where no pair was verified."""
        found = [Neighbour(int(t), float(d), 0.0) for t, d in zip(self.nearest, self.gaps, strict=True)]
        pairs = zip(
            self.rows.tolist(), self.columns.tolist(), self.distances.tolist(), self.scores.tolist(), strict=True
        )
        for row, column, distance, score in pairs:
            if score > found[row].score:
                found[row] = Neighbour(column, distance, score)
        return tuple(found)


@dataclass(frozen=True)
class Novelty:
    """V_A, V_C, R_C and their product times the weight; the matched pairs; confirmed pairs per training picture."""

    v_a: float
    v_c: float
    r_c: float
    value: float
    pairs: tuple[MatchedPair, ...]
    confirmed_samples: int
    counts: tuple[int, ...]


def pinned(settings: ScoringSettings) -> ScoringSettings:
    """The same settings with the hashes of the extractor and the fingerprinter that load here, as a task's card
    freezes them."""
    extractor = load_extractor(settings.extractor, size=settings.size, channels=settings.channels)
    shipped = Detector.load().sha256 if settings.fingerprint == "shipped" else ""  # own ones differ from node to node
    return dataclasses.replace(settings, extractor_sha256=extractor.weights_sha256, fingerprint_sha256=shipped)


class Scorer:
    """Scores models on one node's pictures. Making one fingerprints the split, sets the class thresholds (eq. 5),
    calibrates the verifier on the node's own held-out and test pictures and computes both floors."""

    def __init__(
        self,
        split: NodeSplit,
        settings: ScoringSettings | None = None,
        *,
        detector: Detector | None = None,
        extractor: FeatureExtractor | None = None,
        cache: Path | None = None,
        device: str = "cpu",
    ) -> None:
        """``cache`` is a folder for fingerprints and features, one file per (weights, pictures), and for the node's own
        fingerprinter if the settings ask for one. ``device`` ("cpu", "cuda", "auto") is where the networks and the
        search compute."""
        self.device = device_of(device)
        self.settings = settings = settings or ScoringSettings()
        for name, part in (("train", split.train), ("test", split.test), ("heldout", split.heldout)):
            self._check(part.images, name)
            if len(part) < 2:
                raise DataError(f"{name} has {len(part)} pictures, scoring needs at least 2")
        self.split = split
        found = detector or detector_of(split.train, settings.fingerprint, settings.fingerprint_sha256, cache)
        self.detector = found.to(self.device)
        self.extractor = extractor or load_extractor(
            settings.extractor,
            size=settings.size,
            channels=settings.channels,
            sha256=settings.extractor_sha256 or None,
            device=device,
        )
        self._cache = cache
        self._train = self._prints(split.train.images)
        self._limits = self._thresholds()
        unseen = torch.cat([split.heldout.images, split.test.images])
        calm = self.search(self._prints(unseen), twins=False)
        if not bool(calm.gaps.isfinite().any()):
            raise DataError("every training picture is a twin of a held-out one: nothing is left to calibrate on")
        self.calibration: Calibration = calibrate(calm.best, settings.fpr, settings.least_threshold)
        self.novelty_floor = self.novelty(calm, len(unseen)).value
        self._test = Frechet(self._features(split.test.images).to(self.device))
        self.fid_floor = self._test.distance(self._features(split.heldout.images[: settings.samples]))

    def _prints(self, images: Tensor) -> Prints:
        def compute() -> dict[str, Tensor]:
            found = self.detector.prints(images)
            return dict(vars(found))

        return Prints(**remembered(self._cache, f"prints {self.detector.sha256}", images, compute))

    def _thresholds(self) -> Tensor:
        train = self.split.train

        def compute() -> dict[str, Tensor]:
            return {"limits": class_thresholds(self._train.vectors, train.labels)}

        what = f"thresholds {self.detector.sha256} {train.labels.tolist()}"
        return remembered(self._cache, what, train.images, compute)["limits"]

    def _features(self, images: Tensor) -> Tensor:
        what = f"features {self.extractor.id} {self.extractor.weights_sha256}"
        return remembered(self._cache, what, images, lambda: {"features": self.extractor(images)})["features"]

    def sample(self, model: Model, seed: bytes) -> tuple[Tensor, Tensor]:
        """``settings.samples`` pictures of the model and their labels, drawn on the scorer's device."""
        model.network.to(self.device)
        return model.family.sample(model, self.settings.samples, seed, steps=self.settings.sampler_steps)

    def evaluate(self, model: Model, seed: bytes) -> QNReport:
        """Sample ``settings.samples`` pictures from the seed and score them."""
        started = time.perf_counter()
        images, labels = self.sample(model, seed)
        report = self.score(images, labels)
        spent = round(time.perf_counter() - started - report.timings["total"], 4)
        return dataclasses.replace(report, timings={"sampling": spent, **report.timings})

    def score(self, images: Tensor, labels: Tensor | None = None) -> QNReport:
        """Score generated pictures (n, C, S, S) uint8, n == settings.samples. ``labels`` are accepted for symmetry;
        by default the search is not restricted to the generated class (paper.md 4). Errors: DataError."""
        self._check(images, "generated")
        if labels is not None:
            check_labels(labels, len(images), 10_000, "labels")
        if len(images) != self.settings.samples:
            raise DataError(
                f"generated has {len(images)} pictures, the settings say {self.settings.samples}",
                hint="scores of different sample counts cannot be compared",
            )
        clock = _Clock()
        prints = self.detector.prints(images)
        clock.lap("fingerprint")
        search = self.search(prints)
        clock.lap("search_verify")
        novelty = self.novelty(search, len(images))
        features = self.extractor(images)
        clock.lap("features")
        pair = self._test.pair(features)
        quality = pair.distance()
        report = self._report(quality, novelty, search)
        report = dataclasses.replace(report, **self._uncertainty(pair, search, novelty, quality))
        clock.lap("fid")
        return dataclasses.replace(report, timings=clock.laps)

    def _objective(self, quality: float, novelty: float) -> float:
        floors = (quality, self.fid_floor), (novelty, self.novelty_floor)
        return objective_value(self.settings.objective, *floors, self.settings)

    def _report(self, quality: float, novelty: Novelty, search: Search) -> QNReport:
        settings, calibration = self.settings, self.calibration
        return QNReport(
            fid=quality,
            fid_floor=self.fid_floor,
            v_a=novelty.v_a,
            v_c=novelty.v_c,
            r_c=novelty.r_c,
            novelty=novelty.value,
            novelty_floor=self.novelty_floor,
            qn=(quality + novelty.value) / 2,
            objective=self._objective(quality, novelty.value),
            samples=settings.samples,
            checked_pairs=len(search.rows),
            confirmed_samples=novelty.confirmed_samples,
            threshold=calibration.threshold,
            false_positive_rate=(calibration.rate, calibration.low, calibration.high),
            pairs=novelty.pairs,
            train_counts=novelty.counts,
            settings=settings,
            extractor_id=self.extractor.id,
            extractor_sha256=self.extractor.weights_sha256,
            fingerprint_sha256=self.detector.sha256,
            timings={},
            calibration_curve=calibration.curve,
            nearest=search.neighbours(),
        )

    def _uncertainty(self, pair: FrechetPair, search: Search, novelty: Novelty, quality: float) -> dict[str, Any]:
        """FD∞ and the bootstrap over samples; the draws depend on n alone, so reports of one n are paired."""
        count = self.settings.samples
        limit = pair.infinity() if count >= 16 else None
        if not self.settings.resamples:
            return {"fid_infinity": limit}
        matched = {found.sample: found.score for found in novelty.pairs}
        hit = torch.tensor([matched.get(i, 0.0) for i in range(count)], dtype=torch.float64)
        total = torch.zeros(count, dtype=torch.float64).index_add_(0, search.rows, search.scores)
        pairs = torch.zeros(count, dtype=torch.float64).index_add_(0, search.rows, torch.ones_like(search.scores))
        rng = np.random.default_rng(count)
        draws = torch.from_numpy(rng.integers(0, count, (self.settings.resamples, count)))
        table = []
        for draw, distance in zip(draws, pair.resampled(draws), strict=True):
            v_a = float(total[draw].sum() / pairs[draw].sum().clamp_min(1))
            copies = self.settings.novelty_weight * v_a * float(hit[draw].sum()) / count  # V_C R_C in one
            table.append((distance, copies, self._objective(distance, copies)))
        drawn = np.array(table)
        low, high = np.quantile(drawn - drawn.mean(0), [0.025, 0.975], axis=0)  # repetition raises FID: centre it
        values = (quality, novelty.value, self._objective(quality, novelty.value))
        names = ("fid", "novelty", "objective")
        intervals = {
            name: (max(0.0, value + float(a)), value + float(b))
            for name, value, a, b in zip(names, values, low, high, strict=True)
        }
        return {"fid_infinity": limit, "intervals": intervals, "replicates": tuple(row[2] for row in table)}

    def _check(self, images: Tensor, name: str) -> None:
        want = (self.settings.channels, self.settings.size, self.settings.size)
        if not isinstance(images, Tensor) or images.dtype != torch.uint8 or tuple(images.shape[1:]) != want:
            what = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
            raise DataError(f"{name} is {what}, the settings want uint8 pictures (n, {', '.join(map(str, want))})")
        if not len(images):
            raise DataError(f"{name} is empty")

    def search(self, prints: Prints, *, twins: bool = True) -> Search:
        """K nearest training pictures of each print, those within the class threshold verified (3.2). Without ``twins``
        training pictures that are the same to the pixel are passed over: a held-out picture that lies in the
        training set, as all do where a whole folder is searched, is no false alarm, its neighbours may be."""
        known = self._train.vectors
        k = min(self.settings.neighbours, len(known))
        reach = k if twins else min(2 * k + 1, len(known))
        distances, index = (
            found.cpu() for found in nearest(prints.vectors.to(self.device), known.to(self.device), reach)
        )
        same = distances <= IDENTICAL
        if not twins:
            distances, index = _without(same, distances, index, k)
            same = torch.zeros_like(distances, dtype=torch.bool)
        rows, ranks = ((distances <= self._limits[index]) | same).nonzero(as_tuple=True)
        columns = index[rows, ranks]
        scores = self.detector.score(prints.take(rows), self._train.take(columns))
        scores[same[rows, ranks]] = 1.0
        best = torch.zeros(len(prints.vectors), dtype=torch.float64)
        best.scatter_reduce_(0, rows, scores, "amax")
        found = distances[rows, ranks]
        return Search(rows, columns, found, scores, best, index[:, 0], distances[:, 0])

    def novelty(self, search: Search, samples: int) -> Novelty:
        """V_A, V_C, R_C and their product (3.3.1) of a search over ``samples`` pictures."""
        hits = search.scores >= self.calibration.threshold
        rows, columns = search.rows[hits].tolist(), search.columns[hits].tolist()
        pairs = match_once(rows, columns, search.scores[hits].tolist())
        v_a = float(search.scores.mean()) if len(search.scores) else 0.0
        v_c = sum(pair.score for pair in pairs) / len(pairs) if pairs else 0.0
        r_c = len(pairs) / samples
        counted = Counter(columns)
        counts = tuple(counted.get(i, 0) for i in range(len(self._train.vectors)))
        value = self.settings.novelty_weight * v_a * v_c * r_c
        return Novelty(v_a, v_c, r_c, value, pairs, len(set(rows)), counts)


def _without(same: Tensor, distances: Tensor, index: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The first k neighbours (n, reach) that are not ``same``; infinitely far where there are fewer."""
    far = distances.masked_fill(same, torch.inf)
    order = far.argsort(dim=1, stable=True)[:, :k]
    return far.gather(1, order), index.gather(1, order)


class _Clock:
    def __init__(self) -> None:
        self.laps = {"total": 0.0}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 4)
        self.laps["total"] = round(self.laps["total"] + now - self._last, 4)
        self._last = now


def match_once(rows: Sequence[int], columns: Sequence[int], scores: Sequence[float]) -> tuple[MatchedPair, ...]:
    """Greedy one-to-one matching by descending score, ties by (sample, training index): each sample and each training
    picture counts at most once (paper 3.2.2)."""
    taken_rows, taken_columns, pairs = set[int](), set[int](), []
    for score, row, column in sorted(zip(scores, rows, columns, strict=True), key=lambda t: (-t[0], t[1], t[2])):
        if row not in taken_rows and column not in taken_columns:
            taken_rows.add(row)
            taken_columns.add(column)
            pairs.append(MatchedPair(row, column, score))
    return tuple(pairs)


def qn_score(
    generated: Tensor,
    train: Tensor,
    test: Tensor,
    *,
    heldout: Tensor | None = None,
    generated_labels: Tensor | None = None,
    train_labels: Tensor | None = None,
    settings: ScoringSettings | None = None,
) -> QNReport:
    """Q-N of ``generated`` pictures against a node's ``train`` and ``test`` pictures, all (n, C, S, S) uint8.

    Without ``heldout`` every second test picture calibrates. n, size and channels of ``settings`` follow the
    pictures. For more than one model make a `Scorer`. Errors: DataError.
    """
    given = {"generated": generated, "train": train, "test": test} | ({} if heldout is None else {"heldout": heldout})
    for name, images in given.items():
        check_images(images, name)
    if heldout is None and len(test) < 4:
        raise DataError(f"test has {len(test)} pictures, at least 4 without heldout: every second one calibrates")
    if generated_labels is not None:
        check_labels(generated_labels, len(generated), 10_000, "generated_labels")
    parts = {"train": train, "test": test if heldout is not None else test[::2]}
    parts["heldout"] = heldout if heldout is not None else test[1::2]
    sets = {name: PictureSet(images, torch.full((len(images),), -1)) for name, images in parts.items()}
    if train_labels is not None:
        check_labels(train_labels, len(train), 10_000, "train_labels")
        names = tuple(str(i) for i in range(int(train_labels.max()) + 1)) if len(train_labels) else ()
        sets["train"] = PictureSet(train, train_labels, names)
    chosen = dataclasses.replace(
        settings or ScoringSettings(), samples=len(generated), size=train.shape[-1], channels=train.shape[1]
    )
    return Scorer(NodeSplit(sets["train"], sets["test"], sets["heldout"]), chosen).score(generated, generated_labels)


def dedup_exclusions(counts: Sequence[int], share: float = 0.05) -> list[int]:
    """Training pictures the dedup loader drops (paper 5): counts min-max normalised, those above the (1 - share)
    quantile of all: every flagged picture, at most ``share`` of them, most copied first; ties by index."""
    if not 0 <= share <= 1:
        raise DataError(f"share is {share}, limits 0 and 1")
    flagged = [index for index, count in enumerate(counts) if count > 0]
    flagged.sort(key=lambda index: (-counts[index], index))
    return sorted(flagged[: int(share * len(counts))])
