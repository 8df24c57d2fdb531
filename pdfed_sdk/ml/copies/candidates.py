"""Which training pictures may a query be a copy of? Three searches propose: grey and edges through windows
(`placements`), and the fingerprint. A query is searched as it is and mirrored, since the fingerprint tells left from
right and people do not.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from pdfed_sdk.ml.copies.placements import PlacedIndex, layers
from pdfed_sdk.ml.copies.verifier import Prints
from pdfed_sdk.ml.neighbours import nearest

IDENTICAL = 1e-3
"""Fingerprints nearer than this are of the same pixels: similarity 1, nothing to verify."""
NEAR_TWIN = 0.05
"""Root mean square difference, of the range, of two pictures as the encoder sees them, below which they are one picture
to any detector: what JPEG and noise do to a picture."""
PROPOSED = 8
"""Training pictures that each search proposes."""
FOUND_CUES = 9


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
class Candidates:
    """Training pictures (n, k) that queries may be copies of: indices, whether there is one (the table is filled up
    where all are twins or named twice), distances of the fingerprints in the view in which they are nearer, cosines
    (n, k, 2) through the best window and the highest of any other candidate, that window, its layer and the best one of
    the picture turned the other way, `found_cues` (n, k, FOUND_CUES). Of each query: the nearest of all that were
    proposed by fingerprint, how far it is (infinitely, if there is none), and whether it has a near twin."""

    index: Tensor
    valid: Tensor
    distances: Tensor
    cosines: Tensor
    rivals: Tensor
    window: Tensor
    layer: Tensor
    turned: Tensor
    cues: Tensor
    nearest: Tensor
    gaps: Tensor
    twins: Tensor

    def first(self, order: Tensor) -> Candidates:
        """Those that ``order`` (n, m) names of each query, in that order."""
        every = vars(self)
        kept = {
            name: part.gather(1, order.view(*order.shape, *[1] * (part.ndim - 2)).expand(-1, -1, *part.shape[2:]))
            for name, part in every.items()
            if part.ndim > 1
        }
        return Candidates(**(every | kept))

    @staticmethod
    def joined(parts: list[Candidates]) -> Candidates:
        """All queries of ``parts``, in order."""
        return Candidates(*(torch.cat([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(Candidates)))


class Proposer:
    """Training pictures, and the three searches among them."""

    def __init__(self, known: Prints, mirrored: bool) -> None:
        self.known = known
        both = torch.cat([layers(part.float() / 255) for part in torch.split(known.thumbs, 1_024)])
        self._placed = PlacedIndex(both, mirrored)

    def blocks(self, count: int) -> list[Tensor]:
        """Rows of ``count`` queries, few enough at a time."""
        return self._placed.blocks(count)

    def proposals(self, queries: Queries, *, twins: bool = True) -> Candidates:
        """What the searches propose for one block of queries, each once. Without ``twins`` near twins of the query are
        no candidates, and further ones are proposed in their place."""
        reach = min(PROPOSED if twins else 2 * PROPOSED + 1, len(self.known.vectors))
        vectors = self._placed.windows(layers(queries.views[0].thumbs.float() / 255))
        placed = [self._placed.nearest(vectors, layer, reach) for layer in (0, 1)]
        index = torch.stack([placed[0], self.by_fingerprint(queries, reach), placed[1]], 2).flatten(1)
        twin = self.near_twins(queries, index)
        passed = (index[:, :, None] == index[:, None, :]).tril(-1).any(2)
        if not twins:
            passed |= twin
        distances = self._distances(queries, index)
        like = self._placed.likeness(vectors, index)
        cosines = torch.cat([like.cosines, (1 - distances.square() / 2)[:, :, None]], 2)
        rivals = _rivals(cosines, ~passed)
        gaps, first = distances.masked_fill(passed, torch.inf).min(1)
        return Candidates(
            index=index,
            valid=~passed,
            distances=distances,
            cosines=like.cosines,
            rivals=rivals[:, :, :2],
            window=like.window,
            layer=like.layer,
            turned=like.turned,
            cues=found_cues(cosines, rivals, ~passed),
            nearest=index.gather(1, first[:, None]).squeeze(1),
            gaps=gaps,
            twins=twin.any(1),
        )

    def by_fingerprint(self, queries: Queries, count: int) -> Tensor:
        """The ``count`` nearest training pictures (n, count) by fingerprint in any view, each once."""
        found = [nearest(view.vectors, self.known.vectors, count) for view in queries.views]
        distances, index = (torch.cat([part[i] for part in found], 1) for i in (0, 1))
        index = index.gather(1, distances.argsort(dim=1, stable=True))
        earlier = (index[:, :, None] == index[:, None, :]).tril(-1).any(2)
        return index.gather(1, earlier.to(torch.uint8).argsort(dim=1, stable=True)[:, :count])

    def _distances(self, queries: Queries, index: Tensor) -> Tensor:
        """Distances (n, k) of the fingerprints of queries, in the nearer view, and training pictures ``index``."""
        known = self.known.vectors[index]
        return torch.stack([(view.vectors[:, None] - known).norm(dim=2) for view in queries.views]).amin(0)

    def near_twins(self, queries: Queries, index: Tensor) -> Tensor:
        """Which training pictures ``index`` (n, k) are near twins of their query, as it is."""
        near = torch.empty_like(index, dtype=torch.bool)
        for rank, columns in enumerate(index.unbind(1)):
            gap = queries.views[0].thumbs.float() - self.known.thumbs[columns].float()
            same = (queries.views[0].vectors - self.known.vectors[columns]).norm(dim=1) <= IDENTICAL
            near[:, rank] = same | (gap.square().mean((1, 2, 3)).sqrt() <= 255 * NEAR_TWIN)
        return near


def found_cues(cosines: Tensor, rivals: Tensor, valid: Tensor) -> Tensor:
    """(n, k, FOUND_CUES) of candidates: cosines (n, k, 3), how far they are above those of the best other candidate,
    and log ranks among the valid ones."""
    others = cosines.masked_fill(~valid[:, :, None], -1)
    ranks = (others[:, None] > cosines[:, :, None]).sum(2)
    return torch.cat([cosines, cosines - rivals, ranks.float().log1p()], 2)


def _rivals(cosines: Tensor, valid: Tensor) -> Tensor:
    """(n, k, 3): the highest cosine of another valid candidate, 0 if there is none or none above."""
    others = cosines.masked_fill(~valid[:, :, None], 0)
    top = torch.cat([others, torch.zeros_like(others[:, :1])], 1).topk(2, dim=1)
    own = top.indices[:, :1] == torch.arange(cosines.shape[1], device=cosines.device)[:, None]
    return torch.where(own, top.values[:, 1:], top.values[:, :1]).clamp_min(0)
