"""The search for originals (3.2): likely training pictures, each laid on the query and verified; class thresholds.

A judge looks at a pair up to three times: at what the searches say of it, at the two laid on each other, and at these
at the pictures' own size. It looks closer only at what may be a copy, so that nearly all pairs cost nearly nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.copies.candidates import IDENTICAL, Candidates, Proposer, Queries
from pdfed_sdk.ml.copies.detector import Detector, Prints
from pdfed_sdk.ml.copies.fine import ROUNDS, fine_cues
from pdfed_sdk.ml.copies.judge import CUES
from pdfed_sdk.ml.copies.laid import laid_cues, refined, searched, whole_cues
from pdfed_sdk.ml.copies.placements import Placements, all_windows, layers
from pdfed_sdk.ml.device import at_a_time
from pdfed_sdk.ml.neighbours import nearest

CLOSER = (0.001, 0.005)
"""Probabilities by the first and the second look from which on a pair is looked at again."""
LEAST_THRESHOLD = 1e-6
PAIRS, PAIR = 64, 1 << 19
"""Pairs that are laid on each other at a time on a CPU, few enough to stay in its cache, and the bytes that a pair
needs."""


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
class Laid:
    """Pairs (m,) laid on each other: query and training picture, where this lies in that, whether it was found by its
    edges, and what the second look sees of them (m, CUES[1])."""

    rows: Tensor
    columns: Tensor
    place: Placements
    edges: Tensor
    cues: Tensor

    def take(self, index: Tensor) -> Laid:
        """Those at ``index``."""
        pairs = (self.rows[index], self.columns[index])
        return Laid(*pairs, self.place.take(index), self.edges[index], self.cues[index])


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
        self._proposer = Proposer(self.known, mirrored)
        self._windows = all_windows(mirrored).to(there)
        self._pairs = at_a_time(there, PAIRS, PAIR)

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
        scores = self._judged(queries, found, rows, ranks)
        scores[same[rows, ranks]] = 1.0
        table = scores.new_full(same.shape, -1.0)
        table[rows, ranks] = scores
        likeliest = table.argsort(dim=1, descending=True, stable=True)[:, : self.neighbours]
        kept = torch.zeros_like(same).scatter_(1, likeliest, True)[rows, ranks]
        rows, ranks, scores = rows[kept], ranks[kept], scores[kept]
        best = scores.new_zeros(len(queries)).scatter_reduce_(0, rows, scores, "amax")
        columns, distances = found.index[rows, ranks], found.distances[rows, ranks]
        result = (rows, columns, distances, scores, best, found.nearest, found.gaps, found.twins)
        return Search(*(part.cpu() for part in result))

    def _judged(self, queries: Queries, found: Candidates, rows: Tensor, ranks: Tensor) -> Tensor:
        """Probability (m,) that pairs are copies, by the closest look that each was thought worth."""
        scores = self.detector.judged(found.cues[rows, ranks])
        near = (scores >= CLOSER[0]).nonzero().squeeze(1)
        laid = self.laid(queries, found, rows[near], ranks[near])
        scores[near] = self.detector.judged(laid.cues)
        closer = scores[near] >= CLOSER[1]
        scores[near[closer]] = self.detector.judged(self.fine(queries, laid.take(closer)))
        return scores

    def with_twins(self, queries: Queries) -> int:
        """How many of the index's own pictures, ``queries`` in its order, have a near twin among the others."""
        reach = min(2 * self.neighbours + 1, len(self.known.vectors))
        index = self._proposer.by_fingerprint(queries, reach)
        others = index != torch.arange(len(queries), device=index.device)[:, None]
        return int((self._proposer.near_twins(queries, index) & others).any(1).sum())

    def proposals(self, queries: Queries, *, twins: bool = True) -> list[Candidates]:
        """All that the searches propose, by blocks of queries."""
        blocks = self._proposer.blocks(len(queries))
        return [self._proposer.proposals(queries.take(rows), twins=twins) for rows in blocks]

    def candidates(self, queries: Queries, *, twins: bool = True) -> Candidates:
        """Those that the first look thinks likeliest of all that are proposed: twice as many as ``neighbours``, among
        which the closer looks choose."""
        parts = []
        for rows in self._proposer.blocks(len(queries)):
            every = self._proposer.proposals(queries.take(rows), twins=twins)
            likely = self.detector.judged(every.cues).masked_fill(every.distances <= IDENTICAL, 1)
            order = likely.masked_fill(~every.valid, -1).argsort(dim=1, descending=True, stable=True)
            parts.append(every.first(order[:, : 2 * self.neighbours]))
        return Candidates.joined(parts)

    def laid(self, queries: Queries, found: Candidates, rows: Tensor, ranks: Tensor) -> Laid:
        """Pairs of queries ``rows`` (m,) and their candidates ``ranks`` (m,), laid on each other."""
        columns, edges = found.index[rows, ranks], found.layer[rows, ranks] == 1
        parts = [self._laid(queries, found, *some) for some in self._split(rows, ranks, columns, edges)]
        if not parts:
            place = self._windows.take(rows)
            return Laid(rows, columns, place, edges, torch.empty(0, CUES[1], device=rows.device))
        placed = Placements(*(torch.cat(every) for every in zip(*(vars(p).values() for p, _ in parts), strict=True)))
        return Laid(rows, columns, placed, edges, torch.cat([cues for _, cues in parts]))

    @torch.no_grad()
    def _laid(
        self, queries: Queries, found: Candidates, rows: Tensor, ranks: Tensor, columns: Tensor, edges: Tensor
    ) -> tuple[Placements, Tensor]:
        once, again = torch.unique(rows, return_inverse=True)
        query = queries.views[0].thumbs[once].float() / 255
        query, own = query[again], layers(query)[again]
        item = self.known.thumbs[columns].float() / 255
        both = layers(item)
        place = self._placed(_found_in(own, both, edges), found.window[rows, ranks], found.turned[rows, ranks])
        flips = place.mirrored[:, None, None, None]
        context = torch.cat([found.cosines[rows, ranks], found.rivals[rows, ranks]], 1)
        cues = [
            laid_cues(query, item, place, both),
            whole_cues(torch.where(flips, query.flip(3), query), item, context),
            self._alike(queries, rows, columns, place),
        ]
        return place, torch.cat(cues, 1)

    def _placed(self, pair: tuple[Tensor, Tensor], window: Tensor, turned: Tensor) -> Placements:
        """Where items lie in queries, from the best window; and from the one of the picture turned the other way, where
        that agrees better in the end: of what is nearly symmetric either may seem best at first."""
        place, seen = refined(*pair, self._windows.take(window))
        if not self.mirrored:
            return place
        other, there = refined(*pair, self._windows.take(turned))
        return place.where(seen >= there, other)

    def fine(self, queries: Queries, pairs: Laid) -> Tensor:
        """What the third look sees (m, CUES[2]) of pairs that were laid on each other."""
        every = torch.arange(len(pairs.rows), device=pairs.rows.device)
        parts = [self._fine(queries, pairs.take(some)) for (some,) in self._split(every)]
        return torch.cat([pairs.cues, torch.cat(parts)], 1) if parts else pairs.cues.new_empty(0, CUES[2])

    @torch.no_grad()
    def _fine(self, queries: Queries, pairs: Laid) -> Tensor:
        small = [part.float() / 255 for part in (queries.views[0].thumbs[pairs.rows], self.known.thumbs[pairs.columns])]
        place = searched(*_found_in(layers(small[0]), layers(small[1]), pairs.edges), pairs.place)
        query = queries.views[0].details[pairs.rows].float() / 255
        item = self.known.details[pairs.columns].float() / 255
        if query.shape[-1] != self.known.thumbs.shape[-1]:
            place = refined(*_found_in(layers(query), layers(item), pairs.edges), place, ROUNDS)[0]
        return torch.cat([self._verified(queries, pairs), fine_cues(query, item, place)], 1)

    def _split(self, *parts: Tensor) -> list[tuple[Tensor, ...]]:
        """Tensors (m, ...) of pairs, as many at a time as fit."""
        return list(zip(*(torch.split(part, self._pairs) for part in parts), strict=True)) if len(parts[0]) else []

    def _alike(self, queries: Queries, rows: Tensor, columns: Tensor, place: Placements) -> Tensor:
        """Cosine of the fingerprints, in the view of each pair, as log distance from 1; (n, 1)."""
        own = torch.stack([view.vectors[rows] for view in queries.views])
        vectors = own[place.mirrored.long(), torch.arange(len(rows), device=rows.device)]
        cosine = (vectors * self.known.vectors[columns]).sum(1)
        return ((1 - cosine).clamp_min(0) + 1e-3).log()[:, None]

    def _verified(self, queries: Queries, pairs: Laid) -> Tensor:
        """Eq. 4 before its sigmoid, in the view of each pair; (n, 1)."""
        query = queries.seen(pairs.place.mirrored.long(), pairs.rows)
        return self.detector.logits(query, self.known.take(pairs.columns), self._pairs)[:, None]


def _found_in(query: Tensor, item: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """The layer (m, S, S) of each, (m, 2, S, S), in which the pair was found."""
    chosen = edges[:, None, None]
    return torch.where(chosen, query[:, 1], query[:, 0]), torch.where(chosen, item[:, 1], item[:, 0])


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
