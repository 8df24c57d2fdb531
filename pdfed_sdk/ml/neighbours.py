"""Exact nearest neighbours in blocks: one matrix product and one top-k a block, the winners' distances recomputed.

||a - b||^2 = ||a||^2 + ||b||^2 - 2ab ranks quickly but with an error. The error has a bound: every candidate that it
leaves in doubt is recomputed by subtraction, and a row with more of them than were kept goes through products of the
next precision: bfloat16 where the processor makes it in hardware, in less than half the time, float32, float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pdfed_sdk.errors import DataError

MARGINS = {torch.bfloat16: 12, torch.float32: 3, torch.float64: 3}
"""Extra candidates a row, by the precision of the products."""
SURE = 7
"""Candidates computed exactly even without refinement."""
WIDTH = 8_192
"""Points a block: few enough that a row of distances stays in the cache."""
CACHE = 1 << 20
"""Bytes of candidates compared at a time."""
GROUPS = 8
"""Slices a wide row of distances is folded into before its smallest are sorted."""


@torch.no_grad()
def nearest(
    queries: Tensor, points: Tensor, k: int, *, exclude_self: bool = False, refine: bool = True, memory: int = 256 << 20
) -> tuple[Tensor, Tensor]:
    """Distances (Q, k) ascending, in the dtype of ``queries``, and indices (Q, k) int64 of the k nearest ``points``
    (P, D) of each query (Q, D).

    ``exclude_self``: queries and points are the same rows, and no row finds itself. ``memory`` caps, in bytes, all that
    is allocated beside input and result. Of equally near points the lower index comes first. ``refine=False``
    computes only the first few exactly and leaves the others as the float32 product gave them, right to about 1e-5:
    quicker for many. Errors: DataError for empty, mismatched or non-finite input, or a cap below one row's needs.
    """
    check_features(queries, "queries")
    check_features(points, "points")
    if queries.shape[1] != points.shape[1]:
        raise DataError(f"queries has {queries.shape[1]} columns and points {points.shape[1]}")
    available = len(points) - int(exclude_self)
    if not 1 <= k <= available:
        raise DataError(f"k is {k}, limits 1 and {available}")
    height, width = _block_shape(len(queries), points, min(k + max(MARGINS.values()), available), memory)
    kinds = list(MARGINS) if refine and _native_bfloat16(points) else [torch.float32, torch.float64]
    search = _Search.over(points, k, available, width, min(CACHE, memory // 8), kinds[0])
    if not 1e-12 < search.far < 1e12:
        kinds = [kind for kind in kinds if kind != torch.bfloat16]
    distances, indices = [], []
    for start in range(0, len(queries), height):
        block = queries[start : start + height]
        own = torch.arange(start, start + len(block), device=points.device) if exclude_self else None
        exact, found, sure = search.block(block, own, kinds[0], refine)
        doubtful = int((~sure).sum())
        for kind in kinds[1:]:
            left = (~sure).nonzero().squeeze(1)
            if not len(left):
                break
            again = search.block(block[left], None if own is None else own[left], kind)
            exact[left], found[left], sure[left] = again
        if 4 * doubtful > len(block) and len(kinds) > 1:
            kinds = kinds[1:]  # these points crowd: the shorter way is the longer one
        distances.append(exact.to(queries.dtype))
        indices.append(found)
    return torch.cat(distances), torch.cat(indices)


def _block_shape(queries: int, points: Tensor, kept: int, memory: int) -> tuple[int, int]:
    """Queries and points a block, so that a block's needs stay below the cap: the centred points and the products in up
    to float64, and a few copies of the candidates."""
    columns, wide = points.shape[1], points.element_size() + 12
    spare = memory - 4 * len(points) - 2 * min(CACHE, memory // 8)
    width = max(kept + 1, min(len(points), WIDTH, spare // 2 // (columns * wide)))
    each = 10 * width + 2 * columns * (wide + 8) + 120 * kept
    height = min(queries, (spare - width * columns * wide) // each, 1_024)
    if height < 1:
        least = (4 * len(points) + width * columns * wide + each) * 4 // 3 + 8
        raise DataError(f"memory is {memory} bytes, {len(points)} points of {columns} columns need {least}")
    return height, width


def _native_bfloat16(points: Tensor) -> bool:
    """Whether bfloat16 products are worth it: a CPU that makes them in hardware, and enough columns."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return points.device.type == "cpu" and points.shape[1] >= 128 and bool(supported())


@dataclass(frozen=True)
class _Search:
    """A search of the ``k`` nearest of ``points``, ``width`` at a time: their centre, their squared norms about it, the
    smallest and the largest norm, and the most that bfloat16 moves a point (0 if it is not used)."""

    points: Tensor
    k: int
    available: int
    width: int
    cache: int
    centre: Tensor
    norms: Tensor
    close: float
    far: float
    moved: float

    @staticmethod
    def over(points: Tensor, k: int, available: int, width: int, cache: int, kind: torch.dtype) -> _Search:
        """Measure the points, a block at a time, for products that begin in ``kind``."""
        centre, norms = points.mean(0), points.new_empty(len(points), dtype=torch.float32)
        moved = 0.0
        for left in range(0, len(points), width):
            part = (points[left : left + width] - centre).float()
            norms[left : left + width] = torch.linalg.vector_norm(part, dim=1).square_()
            if kind == torch.bfloat16:
                moved = max(moved, float(_moved(part).max()))
        close, far = (float(norm) ** 0.5 for norm in (norms.min(), norms.max()))
        return _Search(points, k, available, width, cache, centre, norms, close, far, moved)

    def block(
        self, queries: Tensor, own: Tensor | None, kind: torch.dtype, refine: bool = True
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Distances (n, k) and indices by products in ``kind``, and for which rows they are certain (n,). Row i is
        point ``own[i]``, and does not find itself."""
        rows = self._centred(queries, kind)
        sizes = torch.linalg.vector_norm(rows, dim=1)
        kept = min(self.k + MARGINS[kind], self.available)
        ranks, found = self._candidates(rows.to(kind), kept, own)
        if not refine and kept > SURE:
            exact = (ranks.double() + sizes.double().square()[:, None]).clamp_min_(0).sqrt_()
            exact[:, :SURE] = self._exact(queries, found[:, :SURE])
            return *_first(exact, found, self.k), torch.ones_like(own) if own is not None else sizes > -1
        exact = torch.full(ranks.shape, torch.inf, dtype=torch.float64, device=ranks.device)
        exact[:, : self.k] = self._exact(queries, found[:, : self.k])
        worst = (exact[:, : self.k].amax(1).square() - sizes.double().square()).to(ranks.dtype)
        limit = worst + self._error(rows, sizes, worst, kind)
        i, j = (ranks[:, self.k :] <= limit[:, None]).nonzero(as_tuple=True)
        exact[i, j + self.k] = self._exact(queries[i], found[i, j + self.k][:, None]).squeeze(1)
        sure = (ranks[:, -1] > limit) | (kept == self.available)
        return *_first(exact, found, self.k), sure

    def _error(self, rows: Tensor, sizes: Tensor, worst: Tensor, kind: torch.dtype) -> Tensor:
        """By how much (n,) a rank c = ||p||^2 - 2rp above ``worst`` may exceed the true one: in float32 and float64 by
        the error of the sums. bfloat16 moves r and p, by lengths that are measured, and the product by 2^-8 of it,
        which is (||p||^2 - c) / 2: the true rank is at least c - 2^-8 |(||p||^2 - c)| - 2 (|dr| |p| + |r + dr| |dp|).
        That grows with c, so what holds at the limit, c = worst + error, holds above it."""
        bound = (1e-12 if kind == torch.float64 else 1e-5) * (sizes + self.far).square()
        if kind != torch.bfloat16:
            return bound
        moved = _moved(rows)
        bound += 2 * (moved * self.far + (sizes + moved) * self.moved)
        off = torch.maximum((self.far**2 - worst).abs(), (worst - self.close**2).abs())
        return (bound + off / 256) / (1 - 1 / 256)

    def _centred(self, part: Tensor, kind: torch.dtype) -> Tensor:
        if kind == torch.float64:
            return part.double() - self.centre.double()
        return (part - self.centre).float()

    def _candidates(self, rows: Tensor, kept: int, own: Tensor | None) -> tuple[Tensor, Tensor]:
        """The ``kept`` best of every row, best first: ||p||^2 - 2 rp, which ranks like the distance, and the index."""
        best: Tensor | None = None
        index: Tensor | None = None
        shape = len(rows), min(self.width, len(self.points))
        room = rows.new_empty(shape, dtype=torch.float32 if rows.dtype == torch.bfloat16 else rows.dtype)
        for left in range(0, len(self.points), self.width):
            values, local = self._of_part(rows, left, kept, own, room)
            if best is not None and index is not None:
                values, local = torch.cat([best, values], 1), torch.cat([index, local], 1)
                values, order = values.topk(min(kept, values.shape[1]), dim=1, largest=False)
                local = local.gather(1, order)
            best, index = values, local
        assert best is not None
        assert index is not None
        return best, index

    def _of_part(self, rows: Tensor, left: int, kept: int, own: Tensor | None, room: Tensor) -> tuple[Tensor, Tensor]:
        """`_candidates` of one part of the points. ``room`` holds the products: fresh memory for every part would take
        longer than what is computed in it."""
        part = self._centred(self.points[left : left + self.width], rows.dtype)
        room = room[:, : len(part)]
        norms = self.norms[left : left + self.width]
        if rows.dtype == torch.bfloat16:
            block = torch.add(norms, rows @ part.bfloat16().T, alpha=-2, out=room)  # float32, as norms are
        else:
            norms = norms if rows.dtype == torch.float32 else part.square().sum(1)
            block = torch.addmm(norms, rows, part.T, alpha=-2, out=room)
        if own is not None:
            inside = (own >= left) & (own < left + len(part))
            block[inside, own[inside] - left] = torch.inf
        values, local = _smallest(block, min(kept, len(part)))
        return values, local + left

    def _exact(self, queries: Tensor, candidates: Tensor) -> Tensor:
        """Distances of queries (n, D) to their candidates (n, c) by subtraction, float64. One piece of memory holds the
        differences, a few queries at a time: fresh memory for each would take longer than the arithmetic."""
        each, columns = candidates.shape[1], self.points.shape[1]
        step = max(1, self.cache // (self.points.element_size() * each * columns))
        room = self.points.new_empty(min(step, len(queries)) * each, columns)
        exact = torch.empty(candidates.shape, dtype=torch.float64, device=queries.device)
        for i in range(0, len(queries), step):
            rows = queries[i : i + step]
            near = room[: len(rows) * each]
            torch.index_select(self.points, 0, candidates[i : i + step].flatten(), out=near)
            near = near.view(len(rows), each, columns).sub_(rows[:, None])
            exact[i : i + step] = torch.linalg.vector_norm(near, dim=2)
        return exact


def _moved(rows: Tensor) -> Tensor:
    """How far bfloat16 moves each row (n, D): (n,)."""
    lengths: Tensor = torch.linalg.vector_norm(rows - rows.bfloat16(), dim=1)
    return lengths


def _smallest(block: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """The ``kept`` smallest of every row and their columns, smallest first. Of a wide row only those columns are sorted
    whose minimum over `GROUPS` slices is among the ``kept`` smallest minima: all winners are there."""
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


def _first(exact: Tensor, found: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest, ascending; of equal distances the lower index."""
    found, order = found.sort(1)
    exact = exact.gather(1, order)
    order = torch.argsort(exact, dim=1, stable=True)[:, :k]
    return exact.gather(1, order), found.gather(1, order)


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
