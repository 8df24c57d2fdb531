"""The search for originals (3.2): nearest training pictures by fingerprint, each verified; class thresholds (eq. 5).

A query is searched as it is and mirrored, since the fingerprint tells left from right and people do not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.copies.detector import Detector, Prints
from pdfed_sdk.ml.neighbours import nearest

IDENTICAL = 1e-3
"""Fingerprints nearer than this are of the same pixels: similarity 1, nothing to verify."""
NEAR_TWIN = 0.05
"""Root mean square difference, of the range, of two pictures as the encoder sees them, below which they are one picture
to any detector: what JPEG and noise do to a picture."""
LEAST_THRESHOLD = 1e-6


@dataclass(frozen=True)
class Queries:
    """Prints of pictures as they are and, where these are searched for too, of the mirrored pictures."""

    views: tuple[Prints, ...]

    def __len__(self) -> int:
        return len(self.views[0].vectors)

    def take(self, index: Tensor) -> Queries:
        """The queries at ``index``."""
        return Queries(tuple(view.take(index) for view in self.views))


@dataclass(frozen=True)
class Search:
    """Verified pairs: query, training picture, distance of their fingerprints, verifier's score. ``best`` (n,) is each
    query's highest score, ``nearest`` and ``gaps`` (n,) name its nearest training picture and how far it is
    (infinitely, if all its neighbours were passed over as twins), ``twins`` (n,) says which have a near twin."""

    rows: Tensor
    columns: Tensor
    distances: Tensor
    scores: Tensor
    best: Tensor
    nearest: Tensor
    gaps: Tensor
    twins: Tensor


@dataclass(frozen=True)
class Candidates:
    """The nearest training pictures (n, k) of queries: distances, ascending, indices, and the view of each."""

    distances: Tensor
    index: Tensor
    view: Tensor

    def take(self, order: Tensor) -> Candidates:
        """Columns of every row in ``order`` (n, k)."""
        return Candidates(*(getattr(self, field.name).gather(1, order) for field in dataclasses.fields(self)))


class CopyIndex:
    """Training pictures that can be searched for the originals of copies."""

    def __init__(
        self, detector: Detector, known: Prints, neighbours: int, *, mirrored: bool = True, limits: Tensor | None = None
    ) -> None:
        """``known``: prints of the training pictures. ``limits`` (N,): class thresholds; only pairs within that of the
        training picture are verified."""
        self.detector, self.known, self.mirrored, self._limits = detector, known, mirrored, limits
        self.neighbours = min(neighbours, len(known.vectors))

    def queries(self, images: Tensor, prints: Callable[[Tensor], Prints] | None = None) -> Queries:
        """Prints of pictures (n, C, S, S) uint8; ``prints`` makes them if not the detector itself."""
        make = prints or self.detector.prints
        return Queries((make(images), make(images.flip(3)))) if self.mirrored else Queries((make(images),))

    def search(self, queries: Queries, *, twins: bool = True) -> Search:
        """K nearest training pictures of each query, verified (3.2). Without ``twins`` training pictures that are near
        twins of the query are passed over: a held-out picture that lies in the training set, as all do where a whole
        folder is searched, is no false alarm, its neighbours may be."""
        reach = self.neighbours if twins else min(2 * self.neighbours + 1, len(self.known.vectors))
        found = self._candidates(queries, reach)
        near = self._near_twins(queries, found)
        twin = near.any(1)
        if not twins:
            far = found.distances.masked_fill(near, torch.inf)
            order = far.argsort(dim=1, stable=True)[:, : self.neighbours]
            found = dataclasses.replace(found, distances=far).take(order)
        same, wanted = found.distances <= IDENTICAL, found.distances.isfinite()
        if self._limits is not None:
            wanted &= (found.distances <= self._limits[found.index]) | same
        rows, ranks = wanted.nonzero(as_tuple=True)
        columns = found.index[rows, ranks]
        scores = self._scores(queries, rows, columns, found.view[rows, ranks])
        scores[same[rows, ranks]] = 1.0
        best = torch.zeros(len(queries), dtype=torch.float64).scatter_reduce_(0, rows, scores, "amax")
        distances = found.distances
        return Search(rows, columns, distances[rows, ranks], scores, best, found.index[:, 0], distances[:, 0], twin)

    def with_twins(self, queries: Queries) -> int:
        """How many of the index's own pictures, ``queries`` in its order, have a near twin among the others."""
        found = self._candidates(queries, min(2 * self.neighbours + 1, len(self.known.vectors)))
        others = found.index != torch.arange(len(queries))[:, None]
        return int((self._near_twins(queries, found) & others).any(1).sum())

    def _candidates(self, queries: Queries, count: int) -> Candidates:
        """The ``count`` nearest training pictures in any view, each once."""
        device = self.detector.device
        known = self.known.vectors.to(device)
        found = [nearest(view.vectors.to(device), known, count) for view in queries.views]
        distances, index = (torch.cat([part[i].cpu() for part in found], 1) for i in (0, 1))
        view = torch.arange(len(found)).repeat_interleave(count).expand_as(index)
        order = distances.argsort(dim=1, stable=True)
        every = Candidates(distances, index, view.contiguous()).take(order)
        earlier = (every.index[:, :, None] == every.index[:, None, :]).tril(-1).any(2)
        return every.take(earlier.to(torch.uint8).argsort(dim=1, stable=True)[:, :count])

    def _near_twins(self, queries: Queries, found: Candidates) -> Tensor:
        """Which candidates (n, k) are near twins of their query, as it is."""
        near = found.distances <= IDENTICAL
        for rank in range(found.index.shape[1]):
            gap = queries.views[0].thumbs.float() - self.known.thumbs[found.index[:, rank]].float()
            near[:, rank] |= gap.square().mean((1, 2, 3)).sqrt() <= 255 * NEAR_TWIN
        return near

    def _scores(self, queries: Queries, rows: Tensor, columns: Tensor, view: Tensor) -> Tensor:
        scores = torch.empty(len(rows), dtype=torch.float64)
        for number, prints in enumerate(queries.views):
            chosen = (view == number).nonzero().squeeze(1)
            scores[chosen] = self.detector.score(prints.take(rows[chosen]), self.known.take(columns[chosen]))
        return scores


def class_thresholds(vectors: Tensor, labels: Tensor) -> Tensor:
    """Eq. 5: for every training picture the threshold T of its class, T = mean - 0.5 std of the distances to the
    nearest neighbour in the class, (N,).

    On de-duplicated fingerprints, population std, T >= 1e-6; a class with fewer than two distinct pictures takes the
    threshold pooled over all. ``vectors`` (N, D), ``labels`` (N,), -1 being a class of its own. Errors: DataError.
    """
    if len(vectors) != len(labels):
        raise DataError(f"vectors has {len(vectors)} rows and labels {len(labels)}")
    pooled: list[Tensor] = []
    found: dict[int, float] = {}
    for label in sorted(set(labels.tolist())):
        distinct = deduplicated(vectors[labels == label])
        if len(distinct) > 1:
            distances = nearest(distinct, distinct, 1, exclude_self=True)[0].squeeze(1)
            pooled.append(distances)
            found[label] = _threshold(distances)
    if pooled:
        fallback = _threshold(torch.cat(pooled))
    else:
        distinct = deduplicated(vectors)
        fallback = LEAST_THRESHOLD
        if len(distinct) > 1:
            fallback = _threshold(nearest(distinct, distinct, 1, exclude_self=True)[0].squeeze(1))
    return torch.tensor([found.get(label, fallback) for label in labels.tolist()])


def deduplicated(vectors: Tensor, tolerance: float = 1e-4) -> Tensor:
    """Rows without those that lie within ``tolerance`` of an earlier row."""
    if len(vectors) < 2:
        return vectors
    keep = torch.ones(len(vectors), dtype=torch.bool)
    distances = nearest(vectors, vectors, 1, exclude_self=True)[0]
    for row in (distances.squeeze(1) <= tolerance).nonzero().squeeze(1).tolist():
        earlier = (vectors[:row] - vectors[row]).norm(dim=1) <= tolerance
        keep[row] = not bool((earlier & keep[:row]).any())
    return vectors[keep]


def _threshold(distances: Tensor) -> float:
    values = distances.double()
    return max(LEAST_THRESHOLD, float(values.mean() - 0.5 * values.std(correction=0)))
