"""Exact nearest neighbours in blocks: one matrix product and one top-k a block, the winners' distances recomputed.

||a - b||^2 = ||a||^2 + ||b||^2 - 2ab ranks quickly but cancels for near twins, so a few more candidates than asked
for are kept and their distances computed by subtraction.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pdfed_sdk.errors import DataError

MARGIN = 4
"""Extra candidates a row, kept until the exact distances are known."""


def nearest(
    queries: Tensor, points: Tensor, k: int, *, exclude_self: bool = False, memory: int = 256 << 20
) -> tuple[Tensor, Tensor]:
    """Distances (Q, k) ascending, in the dtype of ``queries``, and indices (Q, k) int64 of the k nearest ``points``
    (P, D) of each query (Q, D).

    ``exclude_self``: queries and points are the same rows, and no row finds itself. ``memory`` caps the block of
    distances in bytes. Ties go to the lower index. Errors: DataError for empty, mismatched or non-finite input.
    """
    check_features(queries, "queries")
    check_features(points, "points")
    if queries.shape[1] != points.shape[1]:
        raise DataError(f"queries has {queries.shape[1]} columns and points {points.shape[1]}")
    available = len(points) - int(exclude_self)
    if not 1 <= k <= available:
        raise DataError(f"k is {k}, limits 1 and {available}")
    kind, exact_queries, exact_points = queries.dtype, queries, points
    queries, points = queries.float(), points.float()
    kept = min(k + MARGIN, available)
    width = max(kept + 1, min(len(points), 65_536))
    height = max(1, min(len(queries), memory // (4 * width)))
    norms = points.square().sum(1)
    distances, indices = [], []
    for start in range(0, len(queries), height):
        rows = queries[start : start + height]
        candidates = _candidates(rows, points, norms, kept, width, start if exclude_self else None)
        exact = _exact(exact_queries[start : start + height], exact_points, candidates, memory).to(kind)
        order = torch.argsort(exact, dim=1, stable=True)[:, :k]
        distances.append(exact.gather(1, order))
        indices.append(candidates.gather(1, order))
    return torch.cat(distances), torch.cat(indices)


def _candidates(rows: Tensor, points: Tensor, norms: Tensor, kept: int, width: int, own: int | None) -> Tensor:
    best = index = None
    for left in range(0, len(points), width):
        part = points[left : left + width]
        block = torch.addmm(norms[left : left + width], rows, part.T, alpha=-2)
        if own is not None:
            line = torch.arange(len(rows)) + own - left
            inside = (line >= 0) & (line < len(part))
            block[inside.nonzero().squeeze(1), line[inside]] = torch.inf
        values, local = block.topk(min(kept, len(part)), dim=1, largest=False)
        local = local + left
        if best is not None and index is not None:
            values, local = torch.cat([best, values], 1), torch.cat([index, local], 1)
            values, order = values.topk(min(kept, values.shape[1]), dim=1, largest=False)
            local = local.gather(1, order)
        best, index = values, local
    assert index is not None
    return index.sort(1).values


def _exact(rows: Tensor, points: Tensor, candidates: Tensor, memory: int) -> Tensor:
    step = max(1, memory // (8 * candidates.shape[1] * rows.shape[1]))
    parts = [
        (points[candidates[i : i + step]].double() - rows[i : i + step, None].double()).norm(dim=2)
        for i in range(0, len(rows), step)
    ]
    return torch.cat(parts)


def squared_distances(rows: Tensor, columns: Tensor, *, near: Tensor | float = 0.0) -> Tensor:
    """||row - column||^2 (m, n) in float64 by one matrix product; those within rounding of ``near`` (broadcast over
    rows) are computed again by subtraction, so that comparing with ``near`` is exact."""
    left, right = rows.double(), columns.double()
    norms = left.square().sum(1)[:, None] + right.square().sum(1)
    squares = torch.addmm(norms, left, right.T, alpha=-2).clamp_min_(0)
    close = ((squares - near).abs() <= 1e-9 * norms).nonzero(as_tuple=True)
    for start in range(0, len(close[0]), 65_536):
        i, j = close[0][start : start + 65_536], close[1][start : start + 65_536]
        squares[i, j] = (left[i] - right[j]).square().sum(1)
    return squares


def check_features(features: Tensor, name: str) -> None:
    """Raise DataError unless ``features`` is a non-empty (N, D) float tensor of finite numbers."""
    if not isinstance(features, Tensor) or features.ndim != 2 or not features.is_floating_point():
        raise DataError(f"{name} must be a float tensor (N, D)")
    if not features.numel():
        raise DataError(f"{name} has shape {tuple(features.shape)}, expected at least one row and one column")
    if not bool(torch.isfinite(features).all()):
        raise DataError(f"{name} holds {int((~torch.isfinite(features)).sum())} values that are not finite")
