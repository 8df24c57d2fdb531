"""The search for originals: class thresholds on fingerprint distances (eq. 5), on fingerprints without duplicates."""

from __future__ import annotations

import torch
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.neighbours import nearest

LEAST_THRESHOLD = 1e-6


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
