"""Exact nearest neighbours in blocks: one matrix product and one top-k a block, the winners' distances recomputed.

||a - b||^2 = ||a||^2 + ||b||^2 - 2ab ranks quickly but cancels for near twins, so a few more candidates than asked
for are kept and their distances computed by subtraction in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pdfed_sdk.errors import DataError

MARGIN = 3
"""Extra candidates a row, kept until the exact distances are known."""
SURE = 4
"""Neighbours computed exactly even without refinement."""
WIDTH = 8_192
"""Points a block: few enough that a row of distances stays in the cache."""
CACHE = 1 << 20
"""Bytes of candidates compared at a time."""
GROUPS = 8
"""Slices a wide row of distances is folded into before its smallest are sorted."""


def nearest(
    queries: Tensor, points: Tensor, k: int, *, exclude_self: bool = False, refine: bool = True, memory: int = 256 << 20
) -> tuple[Tensor, Tensor]:
    """Distances (Q, k) ascending, in the dtype of ``queries``, and indices (Q, k) int64 of the k nearest ``points``
    (P, D) of each query (Q, D).

    ``exclude_self``: queries and points are the same rows, and no row finds itself. ``memory`` caps, in bytes, all that
    is allocated beside input and result. Of equally near points the lower index comes first. ``refine=False``
    computes only the first four exactly and leaves the others as the float32 product gave them, right to about 1e-5:
    quicker for many. Errors: DataError for empty, mismatched or non-finite input, or a cap below one row's needs.
    """
    check_features(queries, "queries")
    check_features(points, "points")
    if queries.shape[1] != points.shape[1]:
        raise DataError(f"queries has {queries.shape[1]} columns and points {points.shape[1]}")
    available = len(points) - int(exclude_self)
    if not 1 <= k <= available:
        raise DataError(f"k is {k}, limits 1 and {available}")
    kept = min(k + MARGIN, available)
    height, width = _block_shape(len(queries), points, kept, memory)
    centre, norms = points.mean(0), points.new_empty(len(points), dtype=torch.float32)
    for left in range(0, len(points), width):
        norms[left : left + width] = _centred(points[left : left + width], centre).square_().sum(1)
    distances, indices = [], []
    for start in range(0, len(queries), height):
        block = _centred(queries[start : start + height], centre)
        squares, found = _candidates(block, points, centre, norms, kept, width, start if exclude_self else None)
        exact = (squares.double() + block.double().square().sum(1, keepdim=True)).clamp_min_(0).sqrt_()
        sure = kept if refine else min(kept, SURE + MARGIN)
        if sure < kept:
            order = exact.argsort(dim=1)
            exact, found = exact.gather(1, order), found.gather(1, order)
        exact[:, :sure] = _exact(queries[start : start + height], points, found[:, :sure], min(CACHE, memory // 8))
        order = torch.argsort(exact, dim=1, stable=True)[:, :k]
        exact, found = exact.gather(1, order), found.gather(1, order)
        distances.append(exact.to(queries.dtype))
        indices.append(found)
    return torch.cat(distances), torch.cat(indices)


def _block_shape(queries: int, points: Tensor, kept: int, memory: int) -> tuple[int, int]:
    """Queries and points a block, so that a block's needs stay below the cap: the centred points and their
    differences in the input's type, the distances, and a few copies of the candidates."""
    columns, wide = points.shape[1], points.element_size() + 4
    spare = memory - 4 * len(points) - 2 * min(CACHE, memory // 8)
    width = max(kept + 1, min(len(points), WIDTH, spare // 2 // (columns * wide)))
    each = 4 * width + 2 * columns * (wide + 8) + 80 * kept
    height = min(queries, (spare - width * columns * wide) // each, 1_024)
    if height < 1:
        least = (4 * len(points) + width * columns * wide + each) * 4 // 3 + 8
        raise DataError(f"memory is {memory} bytes, {len(points)} points of {columns} columns need {least}")
    return height, width


def _centred(part: Tensor, centre: Tensor) -> Tensor:
    return (part - centre).float()


def _candidates(
    rows: Tensor, points: Tensor, centre: Tensor, norms: Tensor, kept: int, width: int, own: int | None
) -> tuple[Tensor, Tensor]:
    """The ``kept`` best of every row, by index: ||p||^2 - 2 rp, which ranks like the distance, and the index."""
    best: Tensor | None = None
    index: Tensor | None = None
    for left in range(0, len(points), width):
        part = points[left : left + width]
        values, local = _of_block(
            rows, _centred(part, centre), norms[left : left + width], kept, None if own is None else own - left
        )
        local = local + left
        if best is not None and index is not None:
            values, local = torch.cat([best, values], 1), torch.cat([index, local], 1)
            values, order = values.topk(min(kept, values.shape[1]), dim=1, largest=False)
            local = local.gather(1, order)
        best, index = values, local
    assert best is not None
    assert index is not None
    index, order = index.sort(1)
    return best.gather(1, order), index


def _of_block(rows: Tensor, part: Tensor, norms: Tensor, kept: int, own: int | None) -> tuple[Tensor, Tensor]:
    """The same within one block of points; row i of ``rows`` is point ``own`` + i of the block, and left out."""
    block = torch.addmm(norms, rows, part.T, alpha=-2)
    if own is not None:
        line = torch.arange(len(rows), device=rows.device) + own
        inside = (line >= 0) & (line < len(part))
        block[inside.nonzero().squeeze(1), line[inside]] = torch.inf
    return _smallest(block, min(kept, len(part)))


def _smallest(block: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """The ``kept`` smallest of every row and their columns. Of a wide row only those columns are sorted whose minimum
    over `GROUPS` slices is among the ``kept`` smallest minima: all winners are there."""
    rows, width = block.shape
    part = width // GROUPS
    if part < 8 * kept:
        return block.topk(kept, dim=1, largest=False)
    slices = block[:, : part * GROUPS].reshape(rows, GROUPS, part)
    columns = slices.amin(1).topk(kept, dim=1, largest=False).indices
    starts = torch.arange(GROUPS, device=block.device) * part
    rest = torch.arange(part * GROUPS, width, device=block.device).expand(rows, -1)
    chosen = torch.cat([(columns[:, :, None] + starts).flatten(1), rest], 1)
    values, order = block.gather(1, chosen).topk(kept, dim=1, largest=False)
    return values, chosen.gather(1, order)


def _exact(rows: Tensor, points: Tensor, candidates: Tensor, cache: int) -> Tensor:
    """Distances of rows to their candidates by subtraction, ``cache`` bytes of candidates at a time, float64."""
    step = max(1, cache // (8 * candidates.shape[1] * rows.shape[1]))
    parts = []
    for i in range(0, len(rows), step):
        near = points[candidates[i : i + step]]
        there = torch.cdist(rows[i : i + step, None], near, compute_mode="donot_use_mm_for_euclid_dist")
        parts.append(there.squeeze(1).double())
    return torch.cat(parts)


def squared_distances(rows: Tensor, columns: Tensor) -> Tensor:
    """||row - column||^2 (m, n) in float64 by one matrix product; near twins, where that cancels, by subtraction."""
    left, right = rows.double(), columns.double()
    norms = left.square().sum(1)[:, None] + right.square().sum(1)
    squares = torch.addmm(norms, left, right.T, alpha=-2).clamp_min_(0)
    i, j = (squares <= 1e-9 * norms).nonzero(as_tuple=True)
    squares[i, j] = (left[i] - right[j]).square().sum(1)
    return squares


def within(rows: Tensor, columns: Tensor, radii: tuple[Tensor, ...]) -> list[Tensor]:
    """For each of ``radii`` (broadcast over (m, n)): which columns (n, D) lie strictly nearer than it to which rows
    (m, D). A float32 product decides all but the close calls, those are decided by subtraction in float64: exact."""
    centre = columns.mean(0)
    left, right = (rows - centre).float(), (columns - centre).float()
    sizes = left.square().sum(1)[:, None], right.square().sum(1)
    squares = torch.addmm(sizes[0] + sizes[1], left, right.T, alpha=-2)
    slack = 1e-5 * float(sizes[0].max() + sizes[1].max())
    masks = []
    for radius in radii:
        gap = squares - radius.square().float()
        mask = gap < 0
        i, j = (gap.abs_() <= slack).nonzero(as_tuple=True)
        limit = radius.expand(len(rows), len(columns))
        for start in range(0, len(i), 4_096):
            r, c = i[start : start + 4_096], j[start : start + 4_096]
            mask[r, c] = (rows[r].double() - columns[c].double()).square_().sum(1).sqrt_() < limit[r, c]
        masks.append(mask)
    return masks


def check_features(features: Tensor, name: str) -> None:
    """Raise DataError unless ``features`` is a non-empty (N, D) float tensor of finite numbers."""
    if not isinstance(features, Tensor) or features.ndim != 2 or not features.is_floating_point():
        what = f"{features.dtype} {tuple(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
        raise DataError(f"{name} is {what}, expected a float tensor (N, D)")
    if not features.numel():
        raise DataError(f"{name} has shape {tuple(features.shape)}, expected at least one row and one column")
    if not bool(torch.isfinite(features.sum())) and not bool(torch.isfinite(features).all()):
        bad = (~torch.isfinite(features)).nonzero()
        row, value = int(bad[0, 0]), features[tuple(bad[0].tolist())].item()
        raise DataError(f"{name} holds {len(bad)} values that are not finite, the first {value} in row {row}")
