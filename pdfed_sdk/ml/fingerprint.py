"""The fingerprint of a picture: the losses it is trained by (eq. 1) and the class thresholds (eq. 5).

A fingerprint is a unit vector of 256 numbers. Networks: `encoders`; training: `fitting`, `own`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.neighbours import nearest

LEAST_THRESHOLD = 1e-6


def contrastive_loss(anchors: Tensor, views: Tensor, temperature: float = 0.1) -> Tensor:
    """Eq. 1: -sum_i log(d(a_i, v_i) / (d(a_i, v_i) + sum_{j != i} d(a_i, a_j))), d = exp(cos / temperature), as a
    mean; anchors and views (N, D) of unit length. The other views count as negatives too (the paper's d(a_i, v_j),
    j != i, is left out there; with it the degraded copies of two pictures are pushed apart as well)."""
    own = (anchors * views).sum(1, keepdim=True)
    others = anchors @ anchors.T
    mask = torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)
    crossed = (anchors @ views.T).masked_fill(mask, -torch.inf)
    logits = torch.cat([own, others.masked_fill(mask, -torch.inf), crossed], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(anchors), dtype=torch.long, device=anchors.device))


def spread_loss(vectors: Tensor) -> Tensor:
    """KoLeo: -mean log distance to the nearest other vector; spreads fingerprints over the sphere."""
    cosines = (vectors @ vectors.T).fill_diagonal_(-1.0)
    return -(2 - 2 * cosines.max(1).values).clamp_min(1e-6).sqrt().log().mean()


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
