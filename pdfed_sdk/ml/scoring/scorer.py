"""The Q-N score (paper, section 3.3) and the improvement between two of them.

Fingerprint -> K nearest -> verifier -> V_A, V_C, R_C, copy test; FID against the node's test pictures and its floor on
held-out real ones. A `Scorer` keeps what depends on the node's data only, so that an evaluation costs sampling plus one
pass over the samples.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
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
from pdfed_sdk.ml.copies.search import CopyIndex, Search, class_thresholds
from pdfed_sdk.ml.copies.verifier import MOST_ODDS, PUBLISHED_THRESHOLD, Calibration, calibrate, stricter
from pdfed_sdk.ml.data import NodeSplit, PictureSet, check_images, check_labels
from pdfed_sdk.ml.device import device_of
from pdfed_sdk.ml.quality.features import FeatureExtractor, load_extractor
from pdfed_sdk.ml.quality.frechet import Frechet, FrechetPair
from pdfed_sdk.ml.scoring.copy_test import STRICTER, copy_test, nearness
from pdfed_sdk.ml.scoring.improvements import improvement, improvement_of
from pdfed_sdk.ml.scoring.reports import CopyTest, MatchedPair, Neighbour, QNReport, ScoringSettings, objective_value

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
        train = self._prints(split.train.images)
        limits = self._thresholds(train) if settings.class_threshold else None
        self.index = CopyIndex(self.detector, train, settings.neighbours, mirrored=settings.mirrored, limits=limits)
        self._calibrate()
        heldout, test = (self._features(part.images).to(self.device) for part in (split.heldout, split.test))
        self._test = Frechet(test)
        self.fid_floor = fid_floor(heldout, test, settings.samples)

    def _calibrate(self) -> None:
        """Both thresholds on held-out and test pictures, near twins passed over: the verifier's, at ``fpr`` of single
        pictures, and the copy test's, at a quarter of the share of false alarms that the test assumes."""
        settings, split = self.settings, self.split
        unseen = torch.cat([split.heldout.images, split.test.images])
        calm = self.index.search(self.index.queries(unseen, self._prints), twins=False)
        if not bool(calm.gaps.isfinite().any()):
            raise DataError("every training picture is a twin of a held-out one: nothing is left to calibrate on")
        self.twins = int(calm.twins.sum())
        self._gaps = calm.gaps[calm.gaps.isfinite()]
        least = stricter(settings.least_threshold, settings.fpr)
        most = stricter(MOST_ODDS, settings.fpr)
        self.calibration: Calibration = calibrate(calm.best, settings.fpr, least, most=most)
        rate = settings.copy_false_alarms / STRICTER
        odds = max(settings.least_threshold, PUBLISHED_THRESHOLD)
        floor = max(self.calibration.threshold, stricter(odds, rate))
        self.copy_threshold = calibrate(calm.best, rate, floor).threshold
        self.assumed = min(0.4, max(settings.copy_false_alarms, 1 / len(unseen)))
        self.novelty_floor = self.novelty(calm, len(unseen)).value

    def _prints(self, images: Tensor) -> Prints:
        def compute() -> dict[str, Tensor]:
            found = self.detector.prints(images)
            return dict(vars(found))

        return Prints(**remembered(self._cache, f"prints {self.detector.sha256}", images, compute))

    def _thresholds(self, prints: Prints) -> Tensor:
        train = self.split.train

        def compute() -> dict[str, Tensor]:
            return {"limits": class_thresholds(prints.vectors.cpu(), train.labels)}

        what = f"thresholds {self.detector.sha256} {train.labels.tolist()}"
        return remembered(self._cache, what, train.images, compute)["limits"]

    def _features(self, images: Tensor) -> Tensor:
        what = f"features {self.extractor.id} {self.extractor.weights_sha256}"
        return remembered(self._cache, what, images, lambda: {"features": self.extractor(images)})["features"]

    def sample(self, model: Model, seed: bytes, count: int | None = None) -> tuple[Tensor, Tensor]:
        """``count`` (default: settings.samples) pictures of the model and their labels, drawn on its device."""
        model.network.to(self.device)
        settings = self.settings
        return model.family.sample(
            model, count or settings.samples, seed, steps=settings.sampler_steps, solver=settings.solver
        )

    def evaluate(self, model: Model, seed: bytes) -> QNReport:
        """Sample ``settings.samples`` pictures from the seed and score them; the copy test draws more while in doubt,
        block by block, each from a seed of its own that follows from ``seed``."""
        started = time.perf_counter()
        images, labels = self.sample(model, seed)
        blocks = (hashlib.sha256(seed + b"copy test" + i.to_bytes(4, "big")).digest() for i in itertools.count())
        report = self.score(images, labels, more=lambda count: self.sample(model, next(blocks), count)[0])
        spent = round(time.perf_counter() - started - report.timings["total"], 4)
        return dataclasses.replace(report, timings={"sampling": spent, **report.timings})

    def score(
        self, images: Tensor, labels: Tensor | None = None, *, more: Callable[[int], Tensor] | None = None
    ) -> QNReport:
        """Score generated pictures (n, C, S, S) uint8, n == settings.samples. ``labels`` are accepted for symmetry;
        by default the search is not restricted to the generated class (paper.md 4). ``more(count)`` draws further
        pictures for the copy test, which decides on ``images`` alone without it. Errors: DataError."""
        self._check(images, "generated")
        if labels is not None:
            check_labels(labels, len(images), 10_000, "labels")
        if len(images) != self.settings.samples:
            raise DataError(
                f"generated has {len(images)} pictures, the settings say {self.settings.samples}",
                hint="scores of different sample counts cannot be compared",
            )
        clock = _Clock()
        queries = self.index.queries(images)
        clock.lap("fingerprint")
        search = self.index.search(queries)
        novelty = self.novelty(search, len(images))
        clock.lap("search_verify")
        copies = self._copy_test(search, more)
        clock.lap("copy_test")
        features = self.extractor(images)
        clock.lap("features")
        pair = self._test.pair(features)
        quality = pair.distance()
        report = self._report(quality, novelty, search, copies)
        report = dataclasses.replace(report, **self._uncertainty(pair, search, report))
        clock.lap("fid")
        return dataclasses.replace(report, timings=clock.laps)

    def _copy_test(self, search: Search, more: Callable[[int], Tensor] | None) -> CopyTest:
        def found(of: Search) -> int:
            return int((of.best >= self.copy_threshold).sum())

        def draw(count: int) -> int:
            assert more is not None
            return found(self.index.search(self.index.queries(more(count))))

        return copy_test(
            found(search), len(search.best), self.assumed, self.copy_threshold, self.settings, draw if more else None
        )

    def _objective(self, quality: float, novelty: float, excess: float) -> float:
        return objective_value(self.settings.objective, (quality, self.fid_floor), novelty, excess, self.settings)

    def _report(self, quality: float, novelty: Novelty, search: Search, copies: CopyTest) -> QNReport:
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
            objective=self._objective(quality, novelty.value, copies.excess),
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
            copies=copies,
            nearness=nearness(search.gaps, self._gaps),
            twins=self.twins,
            calibration_curve=calibration.curve,
            nearest=neighbours(search),
        )

    def _uncertainty(self, pair: FrechetPair, search: Search, report: QNReport) -> dict[str, Any]:
        """FD∞ and the bootstrap over samples; the draws depend on n alone, so reports of one n are paired. Copies that
        the copy test found are drawn again as often as it had samples."""
        count, copies = self.settings.samples, report.copies
        limit = pair.infinity() if count >= 16 else None
        if not self.settings.resamples:
            return {"fid_infinity": limit}
        matched = {found.sample: found.score for found in report.pairs}
        hit = torch.tensor([matched.get(i, 0.0) for i in range(count)], dtype=torch.float64)
        total = torch.zeros(count, dtype=torch.float64).index_add_(0, search.rows, search.scores)
        pairs = torch.zeros(count, dtype=torch.float64).index_add_(0, search.rows, torch.ones_like(search.scores))
        rng = np.random.default_rng(count)
        draws = torch.from_numpy(rng.integers(0, count, (self.settings.resamples, count)))
        again = rng.binomial(copies.samples, copies.found / copies.samples, self.settings.resamples)
        table = []
        for draw, distance, found in zip(draws, pair.resampled(draws), again.tolist(), strict=True):
            v_a = float(total[draw].sum() / pairs[draw].sum().clamp_min(1))
            novelty = self.settings.novelty_weight * v_a * float(hit[draw].sum()) / count  # V_C R_C in one
            excess = dataclasses.replace(copies, per_thousand=1e3 * found / copies.samples).excess
            table.append((distance, novelty, self._objective(distance, novelty, excess)))
        drawn = np.array(table)
        low, high = np.quantile(drawn - drawn.mean(0), [0.025, 0.975], axis=0)  # repetition raises FID: centre it
        names = ("fid", "novelty", "objective")
        intervals = {
            name: (max(0.0, getattr(report, name) + float(a)), getattr(report, name) + float(b))
            for name, a, b in zip(names, low, high, strict=True)
        }
        return {"fid_infinity": limit, "intervals": intervals, "replicates": tuple(row[2] for row in table)}

    def _check(self, images: Tensor, name: str) -> None:
        want = (self.settings.channels, self.settings.size, self.settings.size)
        if not isinstance(images, Tensor) or images.dtype != torch.uint8 or tuple(images.shape[1:]) != want:
            what = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
            raise DataError(f"{name} is {what}, the settings want uint8 pictures (n, {', '.join(map(str, want))})")
        if not len(images):
            raise DataError(f"{name} is empty")

    def novelty(self, search: Search, samples: int) -> Novelty:
        """V_A, V_C, R_C and their product (3.3.1) of a search over ``samples`` pictures."""
        hits = search.scores >= self.calibration.threshold
        rows, columns = search.rows[hits].tolist(), search.columns[hits].tolist()
        pairs = match_once(rows, columns, search.scores[hits].tolist())
        v_a = float(search.scores.mean()) if len(search.scores) else 0.0
        v_c = sum(pair.score for pair in pairs) / len(pairs) if pairs else 0.0
        r_c = len(pairs) / samples
        counted = Counter(columns)
        counts = tuple(counted.get(i, 0) for i in range(len(self.split.train)))
        value = self.settings.novelty_weight * v_a * v_c * r_c
        return Novelty(v_a, v_c, r_c, value, pairs, len(set(rows)), counts)


def fid_floor(heldout: Tensor, test: Tensor, samples: int) -> float:
    """FID of real pictures at ``samples``: of so many ``heldout`` features (n, D) against ``test`` (m, D).

    With fewer, FID is too high: of real pictures against real ones it is all bias, a power of 1/n + 1/m. The power is
    that between all held-out pictures and their two halves, and carries FID on to ``samples``; docs/decisions/0307.
    """
    count, reference = len(heldout), Frechet(test)
    if count >= samples:
        return reference.distance(heldout[:samples])
    here, power = reference.distance(heldout), 1.0
    sizes = [1 / n + 1 / len(test) for n in (samples, count, count / 2)]
    if count >= 4 and here > 0:
        halves = (reference.distance(heldout[::2]) + reference.distance(heldout[1::2])) / 2
        power = max(0.0, math.log(halves / here) / math.log(sizes[2] / sizes[1])) if halves > 0 else 1.0
    return here * float((sizes[0] / sizes[1]) ** power)


def neighbours(search: Search) -> tuple[Neighbour, ...]:
    """For each sample the training picture it resembles most: the one with the highest score, or the nearest where no
    pair was verified."""
    found = [Neighbour(int(t), float(d), 0.0) for t, d in zip(search.nearest, search.gaps, strict=True)]
    columns = (search.rows, search.columns, search.distances, search.scores)
    for row, column, distance, score in zip(*(values.tolist() for values in columns), strict=True):
        if score > found[row].score:
            found[row] = Neighbour(column, distance, score)
    return tuple(found)


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
