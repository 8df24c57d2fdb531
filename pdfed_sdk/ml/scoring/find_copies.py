"""Which of these pictures are copies of those? One call for people without a chain, a card or a configuration.

    from pdfed_sdk.ml import find_copies

    found = find_copies("generated/", "train/")
    print(found)                     # 3 of 500 pictures are copies ...
    found.write("report/")           # a page that shows the pairs first

Nothing need be held out: every training picture is searched for among the others, near twins passed over, which shows
how alike pictures are that nobody copied, and the threshold lies where at most ``fpr`` of them would be called copies.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.copies.detector import Detector
from pdfed_sdk.ml.copies.search import CopyIndex
from pdfed_sdk.ml.copies.verifier import LEAST_ODDS, MOST_ODDS, PUBLISHED_THRESHOLD, calibrate, stricter
from pdfed_sdk.ml.data import PictureSet, check_images, reshape_images
from pdfed_sdk.ml.device import device_of
from pdfed_sdk.ml.neighbours import check_features, nearest
from pdfed_sdk.ml.scoring.copy_test import STRICTER, copy_test
from pdfed_sdk.ml.scoring.page import STYLE, captioned_png, copy_words, inline
from pdfed_sdk.ml.scoring.reports import CopyTest, MatchedPair, ScoringSettings
from pdfed_sdk.ml.sources import load_pictures

Pictures = str | Path | PictureSet | Tensor | np.ndarray
SHOWN = 96
"""Pairs on the page."""


@dataclass(frozen=True, eq=False)
class CopyReport:
    """Copies among generated pictures. ``pairs``: each copy with the training picture it copies, most certain first;
    ``threshold`` of the similarity; ``false_positive_rate`` (rate, low, high) at it, of training pictures among the
    others; ``copies``: the test of their number; ``twins``: training pictures with a near twin among the others.
    ``generated`` and ``train`` are the pictures (n, C, S, S), None where features were given."""

    samples: int
    pairs: tuple[MatchedPair, ...]
    threshold: float
    false_positive_rate: tuple[float, float, float]
    copies: CopyTest
    twins: int
    generated: Tensor | None = None
    train: Tensor | None = None

    def __str__(self) -> str:
        originals = len({pair.train for pair in self.pairs})
        return (
            f"{len(self.pairs)} of {self.samples} pictures are copies of {originals} training pictures, at "
            f"{self.false_positive_rate[0]:.1%} false alarms; {copy_words(self.copies)}"
        )

    def write(self, folder: str | Path) -> Path:
        """Write copies.html to ``folder``, pairs first, pictures inside; returns the file. Private: it shows training
        pictures. Errors: DataError if the report is about features."""
        if self.generated is None or self.train is None:
            raise DataError("the report is about features and has no pictures to show", hint="give pictures")
        cells: list[tuple[Sequence[Tensor], str, bool]] = [
            ([self.generated[pair.sample], self.train[pair.train]], f"{pair.sample}: {pair.score:.4f}", True)
            for pair in self.pairs[:SHOWN]
        ]
        grid = f'<img alt="pairs" src="{inline(captioned_png(cells, 6))}">' if cells else "<p>No copy was found.</p>"
        body = (
            f'<h1>Copies</h1><p class="verdict">{html.escape(str(self))}.</p>{grid}'
            '<p class="small">Left the generated picture with its number and similarity, right the training picture.'
            f" {len(self.pairs)} pairs, the {min(len(self.pairs), SHOWN)} most certain are shown. {self.twins} training"
            ' pictures have a near twin among the others.</p><p class="note">Private: this page shows training'
            " pictures. Do not publish it.</p>"
        )
        path = Path(folder) / "copies.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        head = f'<meta charset="utf-8"><title>Copies</title><style>{STYLE}</style>'
        path.write_text(f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>', "utf-8")
        return path


def find_copies(
    generated: Pictures, train: Pictures, *, fpr: float = 0.01, neighbours: int = 5, device: str = "cpu"
) -> CopyReport:
    """Copies of ``train`` among ``generated``: folders or archives (`load_pictures`), sets, pictures (n, C, S, S)
    uint8, or features (n, D), float, of any network, which are compared by Euclidean distance.

    Pictures are compared in the size and colours of the training pictures. ``fpr``: share of pictures nobody copied
    that may be called copies. Errors: DataError.
    """
    known, asked = _read(train, "train"), _read(generated, "generated")
    if (known.ndim == 2) != (asked.ndim == 2):
        shapes = f"generated is {tuple(asked.shape)} and train {tuple(known.shape)}"
        raise DataError(f"{shapes}: give pictures both times or features both times")
    if len(known) < 3:
        raise DataError(f"train has {len(known)} rows, at least 3 are needed to calibrate on")
    pictures = known.ndim == 4
    look = _by_pictures if pictures else _by_features
    asked = reshape_images(asked, known.shape[-1], known.shape[1]) if pictures else asked
    (scores, index), (own, twins) = look(asked, known, neighbours, device)
    least, odds = (LEAST_ODDS, PUBLISHED_THRESHOLD) if pictures else (0.0, 0.0)
    most = stricter(MOST_ODDS, fpr) if pictures else 1.0
    calibration = calibrate(own, fpr, stricter(least, fpr), most=most)
    hits = (scores >= calibration.threshold).nonzero().squeeze(1).tolist()
    pairs = sorted((MatchedPair(i, int(index[i]), float(scores[i])) for i in hits), key=lambda p: (-p.score, p.sample))
    settings = ScoringSettings(samples=max(2, len(asked)))
    share = settings.copy_false_alarms / STRICTER
    strict = calibrate(own, share, max(calibration.threshold, stricter(odds, share))).threshold
    assumed = min(0.4, max(settings.copy_false_alarms, 1 / len(own)))
    test = copy_test(int((scores >= strict).sum()), len(asked), assumed, strict, settings)
    rate = (calibration.rate, calibration.low, calibration.high)
    shown = (asked, known) if pictures else (None, None)
    return CopyReport(len(asked), tuple(pairs), calibration.threshold, rate, test, twins, *shown)


Found = tuple[tuple[Tensor, Tensor], tuple[Tensor, int]]
"""Best score and index of each query; best scores of training pictures among the others, and how many have twins."""


def _by_pictures(asked: Tensor, known: Tensor, neighbours: int, device: str) -> Found:
    detector = Detector.load().to(device_of(device))
    index = CopyIndex(detector, detector.prints(known), neighbours)
    own = index.queries(known)
    search, calm = index.search(index.queries(asked)), index.search(own, twins=False)
    if not bool(calm.gaps.isfinite().any()):
        raise DataError("all training pictures are near twins: nothing is left to calibrate on")
    order = torch.argsort(search.scores)
    best = search.nearest.clone()
    best[search.rows[order]] = search.columns[order]  # the last written is the most certain
    return (search.best, best), (calm.best, index.with_twins(own))


def _by_features(asked: Tensor, known: Tensor, neighbours: int, device: str) -> Found:
    """Similarity 1 / (1 + d / s), d the distance to the nearest training row and s the median of theirs."""
    there = device_of(device)
    points = known.to(there)
    near, index = (part.squeeze(1).cpu() for part in nearest(asked.to(there), points, 1))
    own = nearest(points, points, 1, exclude_self=True)[0].squeeze(1).cpu()
    scale = float(own.median()) or 1.0
    alike = [1 / (1 + distance.double() / scale) for distance in (near, own)]
    return (alike[0], index), (alike[1][own > 0] if bool((own > 0).any()) else alike[1], int((own == 0).sum()))


def _read(source: Pictures, name: str) -> Tensor:
    """Pictures (n, C, S, S) uint8 or features (n, D)."""
    if isinstance(source, str | Path):
        return load_pictures(source).images
    if isinstance(source, PictureSet):
        return source.images
    values = torch.as_tensor(source)
    if values.ndim == 2 and values.is_floating_point():
        check_features(values, name)
    else:
        check_images(values, name)
    return values
