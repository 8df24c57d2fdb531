"""The search for originals (3.2): likely training pictures, each laid on the query and verified; class thresholds.

Three searches propose in turn: grey and edges through windows (`placements`), and the fingerprint. A query is searched
as it is and mirrored, since the fingerprint tells left from right and people do not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.copies.detector import Detector, Prints
from pdfed_sdk.ml.copies.fine import ROUNDS, fine_cues
from pdfed_sdk.ml.copies.judge import CUES
from pdfed_sdk.ml.copies.laid import laid_cues, refined, whole_cues
from pdfed_sdk.ml.copies.placements import PlacedIndex, Placements, all_windows, layers
from pdfed_sdk.ml.device import at_a_time
from pdfed_sdk.ml.neighbours import nearest

IDENTICAL = 1e-3
"""Fingerprints nearer than this are of the same pixels: similarity 1, nothing to verify."""
NEAR_TWIN = 0.05
"""Root mean square difference, of the range, of two pictures as the encoder sees them, below which they are one picture
to any detector: what JPEG and noise do to a picture."""
LEAST_THRESHOLD = 1e-6
PAIRS, PAIR = 256, 1 << 19
"""Pairs that are laid on each other at a time on a CPU, and the bytes that a pair needs."""


@dataclass(frozen=True)
class Queries:
    """Prints of pictures as they are and, where these are searched for too, of the mirrored pictures."""

    views: tuple[Prints, ...]

    def __len__(self) -> int:
        return len(self.views[0].vectors)

    def take(self, index: Tensor) -> Queries:
        """The queries at ``index``."""
        return Queries(tuple(view.take(index) for view in self.views))

    def seen(self, view: Tensor, index: Tensor) -> Prints:
        """The queries at ``index`` (n,), each in its ``view`` (n,)."""
        if len(self.views) == 1:
            return self.views[0].take(index)
        first, second = (vars(each.take(index)) for each in self.views)
        chosen = {
            name: torch.where(view.view(-1, *[1] * (part.ndim - 1)) == 1, second[name], part)
            for name, part in first.items()
        }
        return Prints(**chosen)


@dataclass(frozen=True)
class Search:
    """Verified pairs: query, training picture, distance of their fingerprints, verifier's score. ``best`` (n,) is each
    query's highest score, ``nearest`` and ``gaps`` (n,) name its nearest candidate by fingerprint and how far it is
    (infinitely, if all were passed over as twins), ``twins`` (n,) says which have a near twin."""

    rows: Tensor
    columns: Tensor
    distances: Tensor
    scores: Tensor
    best: Tensor
    nearest: Tensor
    gaps: Tensor
    twins: Tensor

    def take(self, index: Tensor) -> Search:
        """The queries at ``index``, no two alike."""
        place = torch.full((len(self.best),), -1)
        place[index] = torch.arange(len(index))
        kept = place[self.rows] >= 0
        pairs = (place[self.rows], self.columns, self.distances, self.scores)
        each = (self.best, self.nearest, self.gaps, self.twins)
        return Search(*(part[kept] for part in pairs), *(part[index] for part in each))


@dataclass(frozen=True)
class Candidates:
    """Training pictures (n, k) that queries may be copies of: indices, whether there is one (the table is filled up
    where all are twins), distances of the fingerprints and the view in which they are nearer, cosines (n, k, 2) through
    the best window, that window and its layer, and which queries (n,) have a near twin."""

    index: Tensor
    valid: Tensor
    distances: Tensor
    view: Tensor
    cosines: Tensor
    window: Tensor
    layer: Tensor
    twins: Tensor


class CopyIndex:
    """Training pictures that can be searched for the originals of copies."""

    def __init__(
        self, detector: Detector, known: Prints, neighbours: int, *, mirrored: bool = True, limits: Tensor | None = None
    ) -> None:
        """``known``: prints of the training pictures. ``neighbours``: training pictures that each query is compared
        with. ``limits`` (N,): class thresholds; only pairs within that of the training picture are verified."""
        there = detector.device
        self.detector, self.known, self.mirrored = detector, known.to(there), mirrored
        self._limits = None if limits is None else limits.to(there)
        self.neighbours = min(neighbours, len(known.vectors))
        self._placed = PlacedIndex(self._layers(self.known.thumbs))
        self._windows = all_windows(mirrored).to(there)
        self._pairs = at_a_time(there, PAIRS, PAIR)

    def _layers(self, thumbs: Tensor) -> Tensor:
        return torch.cat([layers(part.float() / 255) for part in torch.split(thumbs, 1_024)])

    def queries(self, images: Tensor, prints: Callable[[Tensor], Prints] | None = None) -> Queries:
        """Prints of pictures (n, C, S, S) uint8; ``prints`` makes them if not the detector itself."""
        make = prints or self.detector.prints
        views = (images, images.flip(3)) if self.mirrored else (images,)
        return Queries(tuple(make(view).to(self.detector.device) for view in views))

    def search(self, queries: Queries, *, twins: bool = True) -> Search:
        """Each query's candidates, verified (3.2). Without ``twins`` training pictures that are near twins of the query
        are passed over: a held-out picture that lies in the training set, as all do where a whole folder is searched,
        is no false alarm, its neighbours may be."""
        found = self.candidates(queries, twins=twins)
        same, wanted = found.distances <= IDENTICAL, found.valid
        if self._limits is not None:
            wanted = wanted & ((found.distances <= self._limits[found.index]) | same)
        rows, ranks = wanted.nonzero(as_tuple=True)
        columns = found.index[rows, ranks]
        scores = self.detector.judged(self.cues(queries, found, rows, ranks))
        scores[same[rows, ranks]] = 1.0
        best = scores.new_zeros(len(queries)).scatter_reduce_(0, rows, scores, "amax")
        gaps, first = found.distances.masked_fill(~found.valid, torch.inf).min(1)
        closest = found.index.gather(1, first[:, None]).squeeze(1)
        result = (rows, columns, found.distances[rows, ranks], scores, best, closest, gaps, found.twins)
        return Search(*(part.cpu() for part in result))

    def with_twins(self, queries: Queries) -> int:
        """How many of the index's own pictures, ``queries`` in its order, have a near twin among the others."""
        reach = min(2 * self.neighbours + 1, len(self.known.vectors))
        index = self._by_fingerprint(queries, reach)
        others = index != torch.arange(len(queries), device=index.device)[:, None]
        return int((self._near_twins(queries, index) & others).any(1).sum())

    def candidates(self, queries: Queries, *, twins: bool = True) -> Candidates:
        """The three searches take turns until each query has ``neighbours`` candidates."""
        count = self.neighbours
        reach = count if twins else min(2 * count + 1, len(self.known.vectors))
        near = self._by_fingerprint(queries, reach)
        parts = [
            self._block(queries.take(rows), near[rows], count, twins) for rows in self._placed.blocks(len(queries))
        ]
        return Candidates(*(torch.cat([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(Candidates)))

    def _block(self, queries: Queries, near: Tensor, count: int, twins: bool) -> Candidates:
        vectors = self._placed.windows(self._layers(queries.views[0].thumbs), self.mirrored)
        placed = [self._placed.nearest(part, number, near.shape[1]) for number, part in enumerate(vectors)]
        every = torch.stack([placed[0], near, placed[1]], 2).flatten(1)
        twin = self._near_twins(queries, every)
        passed = (every[:, :, None] == every[:, None, :]).tril(-1).any(2)
        if not twins:
            passed |= twin
        order = passed.to(torch.uint8).argsort(dim=1, stable=True)[:, :count]
        index, valid = every.gather(1, order), ~passed.gather(1, order)
        distances, view = self._distances(queries, index)
        like = self._placed.likeness(vectors, index)
        return Candidates(index, valid, distances, view, like.cosines, like.window, like.layer, twin.any(1))

    def cues(self, queries: Queries, found: Candidates, rows: Tensor, ranks: Tensor) -> Tensor:
        """What the judge sees (n, CUES) of pairs: query ``rows`` (n,) and its candidate ``ranks`` (n,)."""
        parts = [
            self._cues(queries, found, some, rank)
            for some, rank in zip(torch.split(rows, self._pairs), torch.split(ranks, self._pairs), strict=True)
            if len(some)
        ]
        return torch.cat(parts) if parts else torch.empty(0, CUES, device=self.detector.device)

    @torch.no_grad()
    def _cues(self, queries: Queries, found: Candidates, rows: Tensor, ranks: Tensor) -> Tensor:
        columns = found.index[rows, ranks]
        once, again = torch.unique(rows, return_inverse=True)
        query = queries.views[0].thumbs[once].float() / 255
        query, own = query[again], layers(query)[again]
        item = self.known.thumbs[columns].float() / 255
        place = self._windows.take(found.window[rows, ranks])
        chosen = found.layer[rows, ranks][:, None, None] == 1
        both = layers(item)
        ours, theirs = (torch.where(chosen, part[:, 1], part[:, 0]) for part in (own, both))
        place = refined(ours, theirs, place)
        flips = place.mirrored[:, None, None, None]
        others = found.valid[rows] & (torch.arange(found.index.shape[1], device=ranks.device) != ranks[:, None])
        rivals = found.cosines[rows].masked_fill(~others[:, :, None], 0).amax(1)
        context = torch.cat([found.cosines[rows, ranks], rivals], 1)
        return torch.cat(
            [
                laid_cues(query, item, place, both),
                whole_cues(torch.where(flips, query.flip(3), query), item, context),
                self._verified(queries, rows, columns, place.mirrored.long()),
                self._fine(queries, rows, columns, place, chosen),
            ],
            1,
        )

    def _fine(self, queries: Queries, rows: Tensor, columns: Tensor, place: Placements, edges: Tensor) -> Tensor:
        """`fine_cues` of pairs; ``edges`` (n, 1, 1) says in which layer each was found."""
        query, item = (part.float() / 255 for part in (queries.views[0].details[rows], self.known.details[columns]))
        if query.shape[-1] != self.known.thumbs.shape[-1]:
            ours, theirs = (torch.where(edges, both[:, 1], both[:, 0]) for both in (layers(query), layers(item)))
            place = refined(ours, theirs, place, ROUNDS)
        return fine_cues(query, item, place)

    def _verified(self, queries: Queries, rows: Tensor, columns: Tensor, view: Tensor) -> Tensor:
        """Cosine of the fingerprints, as log distance from 1, and eq. 4 before its sigmoid, in the view (n,) of each
        pair; (n, 2)."""
        query, item = queries.seen(view, rows), self.known.take(columns)
        cosine = (query.vectors * item.vectors).sum(1)
        alike = ((1 - cosine).clamp_min(0) + 1e-3).log()
        return torch.stack([alike, self.detector.logits(query, item, self._pairs)], 1)

    def _by_fingerprint(self, queries: Queries, count: int) -> Tensor:
        """The ``count`` nearest training pictures (n, count) by fingerprint in any view, each once."""
        found = [nearest(view.vectors, self.known.vectors, count) for view in queries.views]
        distances, index = (torch.cat([part[i] for part in found], 1) for i in (0, 1))
        index = index.gather(1, distances.argsort(dim=1, stable=True))
        earlier = (index[:, :, None] == index[:, None, :]).tril(-1).any(2)
        return index.gather(1, earlier.to(torch.uint8).argsort(dim=1, stable=True)[:, :count])

    def _distances(self, queries: Queries, index: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (n, k) of the fingerprints of queries and training pictures ``index``, and the nearer view."""
        known = self.known.vectors[index]
        gaps = torch.stack([(view.vectors[:, None] - known).norm(dim=2) for view in queries.views])
        return gaps.min(0).values, gaps.argmin(0)

    def _near_twins(self, queries: Queries, index: Tensor) -> Tensor:
        """Which training pictures ``index`` (n, k) are near twins of their query, as it is."""
        near = torch.empty_like(index, dtype=torch.bool)
        for rank, columns in enumerate(index.unbind(1)):
            gap = queries.views[0].thumbs.float() - self.known.thumbs[columns].float()
            same = (queries.views[0].vectors - self.known.vectors[columns]).norm(dim=1) <= IDENTICAL
            near[:, rank] = same | (gap.square().mean((1, 2, 3)).sqrt() <= 255 * NEAR_TWIN)
        return near


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
