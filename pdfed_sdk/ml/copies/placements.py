"""Where may one picture lie in another? The search for copies that were cut, shifted, mirrored or pasted elsewhere.

A query is looked at through windows: its parts at 0.6 to 0.9 of the side, the whole, shifted a little, and a little
more than the whole, as a picture is seen of which the query is a cut; the larger ones mirrored too. What a window shows
in two layers (grey, edges) becomes a short vector, free of brightness and contrast, in which Fisher's discriminant has
weighed down what pictures of this set have in common and what a small move changes. The nearest training pictures by
the best window of each are candidates, the window says where the training picture lies in the query.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from pdfed_sdk.ml.device import at_a_time

SIDE = 32
"""Pixels of a side of the pictures that are laid on each other."""
CELLS = 12
"""A window is seen as so many cells a side."""
DIMS = 64
"""Numbers that a window becomes."""
GRIDS = {
    1.0: (-0.2, -0.1, 0.0, 0.1, 0.2),
    0.9: (-0.1, 0.0, 0.1),
    1.1: (-0.1, 0.0, 0.1),
    0.8: (-0.2, -0.1, 0.0, 0.1, 0.2),
    0.7: (-0.3, -0.15, 0.0, 0.15, 0.3),
    0.6: (-0.4, -0.24, -0.08, 0.08, 0.24, 0.4),
}
"""Centres, in either direction, of the windows of each scale; the picture's own coordinates run from -1 to 1."""
MIRRORED = (1.0, 0.9, 1.1)
"""Scales of the windows on the mirrored picture."""
FAINT = 1e-3
"""Variance below which a window counts as flat."""
PRIOR = 64
"""Pictures that a featureless prior counts as, beside the node's own, in what pictures have in common."""
NOISE = 0.02
"""Variance of what noise does to a cell, in units of a window's variance."""
PRODUCTS = 1 << 18
"""Products of windows and training pictures held at a time on a CPU: they stay in its cache."""
WINDOWED = 1 << 20
"""Bytes that a query needs with all its windows."""


@dataclass(frozen=True)
class Placements:
    """Where training pictures lie in queries, (n,) each: the point u of the training picture, in [-1, 1], lies at
    ``scale`` u + (``right``, ``down``) of the query, after that was mirrored if ``mirrored``."""

    scale: Tensor
    right: Tensor
    down: Tensor
    mirrored: Tensor

    def take(self, index: Tensor) -> Placements:
        """Those at ``index``."""
        return Placements(self.scale[index], self.right[index], self.down[index], self.mirrored[index])

    def to(self, device: torch.device) -> Placements:
        """The same on a device."""
        return Placements(*(part.to(device) for part in (self.scale, self.right, self.down, self.mirrored)))


@cache
def all_windows(mirrored: bool) -> Placements:
    """Every window as a placement, in the order of `_seen`."""
    rows = [(s, x, y, m) for s, m in _views(mirrored) for y, x in itertools.product(GRIDS[s], GRIDS[s])]
    scale, right, down, flips = (torch.tensor(part) for part in zip(*rows, strict=True))
    return Placements(scale, right, down, flips)


def _views(mirrored: bool) -> list[tuple[float, bool]]:
    return [(scale, False) for scale in GRIDS] + [(scale, True) for scale in MIRRORED if mirrored]


@cache
def _rows(scale: float, device: torch.device) -> Tensor:
    """(positions * CELLS, SIDE): the cells along a line of every window of a scale."""
    return torch.cat([_line(scale, centre) for centre in GRIDS[scale]]).to(device)


@cache
def _line(scale: float, centre: float) -> Tensor:
    """(CELLS, SIDE): the cells along a line of one window, edges repeated."""
    width = max(1.0, scale * SIDE / CELLS)
    cells = (2 * torch.arange(CELLS) + 1) / CELLS - 1
    source = ((scale * cells + centre + 1) * SIDE - 1) / 2
    place = torch.arange(-SIDE, 2 * SIDE)
    weight = (1 - (source[:, None] - place).abs() / width).clamp_min(0)
    line = torch.zeros(CELLS, SIDE).index_add_(1, place.clamp(0, SIDE - 1), weight)
    return line / line.sum(1, keepdim=True)


def layers(values: Tensor) -> Tensor:
    """Grey and edges (n, 2, S, S) of pictures (n, C, S, S) in [0, 1]. Edges are the root of the slope over all
    channels, so that a change of hue, of contrast or of sign leaves them where they are."""
    grey = values.mean(1)
    box = _box(values.shape[-1], values.device)
    soft = box @ values @ box.T
    across = F.pad(soft[..., 2:] - soft[..., :-2], (1, 1))
    down = F.pad(soft[..., 2:, :] - soft[..., :-2, :], (0, 0, 1, 1))
    slope = (across.square() + down.square()).mean(1).sqrt()
    return torch.stack([grey, slope.clamp_min(1e-6).sqrt()], 1)


@cache
def _box(size: int, device: torch.device) -> Tensor:
    """The mean of three pixels along a line, its ends repeated; (size, size)."""
    matrix, place = torch.zeros(size, size), torch.arange(size)
    for offset in (-1, 0, 1):
        source = (place + offset).clamp(0, size - 1)
        matrix.index_put_((place, source), torch.tensor(1 / 3), accumulate=True)
    return matrix.to(device)


def _seen(layer: Tensor, mirrored: bool) -> Tensor:
    """(n, windows, CELLS * CELLS): what each window of a layer (n, S, S) shows, centred and of unit length."""
    parts = []
    for scale, flip in _views(mirrored):
        rows = _rows(scale, layer.device)
        image = layer.flip(2) if flip else layer
        count = len(GRIDS[scale])
        cells = (rows @ image @ rows.T).view(len(layer), count, CELLS, count, CELLS)
        parts.append(cells.transpose(2, 3).reshape(len(layer), count * count, CELLS * CELLS))
    return _unit(torch.cat(parts, 1))


def _unit(values: Tensor) -> Tensor:
    values = values - values.mean(-1, keepdim=True)
    return values / (values.square().sum(-1, keepdim=True) + FAINT * values.shape[-1]).sqrt()


@dataclass(frozen=True)
class Likeness:
    """Training pictures (n, k) of queries through their best window: cosines in either layer (n, k, 2), and the window
    (n, k) and layer (n, k) of the higher one."""

    cosines: Tensor
    window: Tensor
    layer: Tensor


class PlacedIndex:
    """Training pictures, to be searched by windows in both layers."""

    def __init__(self, both: Tensor) -> None:
        """``both`` (N, 2, S, S) are the `layers` of the training pictures."""
        wholes = [_whole(layer) for layer in both.unbind(1)]
        self._means = [whole.mean(0) for whole in wholes]
        self._maps = [
            _discriminant(layer, whole - mean)
            for layer, whole, mean in zip(both.unbind(1), wholes, self._means, strict=True)
        ]
        self._points = [self._vectors(whole, number) for number, whole in enumerate(wholes)]
        self._held = at_a_time(both.device, PRODUCTS, 4)

    def _vectors(self, seen: Tensor, layer: int) -> Tensor:
        return F.normalize((seen - self._means[layer]) @ self._maps[layer], dim=-1)

    def blocks(self, count: int) -> list[Tensor]:
        """Rows of ``count`` queries, few enough at a time."""
        points = self._points[0]
        most = at_a_time(points.device, 64, WINDOWED)
        return list(torch.split(torch.arange(count, device=points.device), most))

    def windows(self, both: Tensor, mirrored: bool) -> list[Tensor]:
        """Vectors (n, windows, DIMS) of the layers (n, 2, S, S) of queries, one tensor a layer."""
        return [self._vectors(_seen(layer, mirrored), number) for number, layer in enumerate(both.unbind(1))]

    def nearest(self, vectors: Tensor, layer: int, count: int) -> Tensor:
        """Indices (n, count) of the training pictures most like each query in a layer through any window."""
        width = max(1, self._held // vectors.shape[1])
        best = [self._best(vectors, points) for points in torch.split(self._points[layer], width)]
        return torch.cat(best, 1).topk(count, dim=1).indices

    def _best(self, vectors: Tensor, points: Tensor) -> Tensor:
        """Highest cosines (n, p) of queries and points (p, DIMS) through any window."""
        height = max(1, self._held // (vectors.shape[1] * len(points)))
        return torch.cat([(part @ points.T).amax(1) for part in torch.split(vectors, height)])

    def likeness(self, vectors: list[Tensor], index: Tensor) -> Likeness:
        """Of the training pictures ``index`` (n, k)."""
        each = [
            torch.einsum("nwd,nkd->nkw", part, points[index])
            for part, points in zip(vectors, self._points, strict=True)
        ]
        best = [part.max(2) for part in each]
        cosines = torch.stack([part.values for part in best], 2)
        layer = cosines.argmax(2)
        window = torch.where(layer == 1, best[1].indices, best[0].indices)
        return Likeness(cosines, window, layer)


def _discriminant(layer: Tensor, whole: Tensor) -> Tensor:
    """Fisher's (CELLS * CELLS, DIMS): directions along which pictures differ most beside what moves of half a step of
    the windows and noise change."""
    size = whole.shape[1]
    common = whole.T @ whole + PRIOR * torch.eye(size, device=layer.device) / size
    common = common / (len(whole) + PRIOR)
    within = torch.eye(size, device=layer.device) * NOISE / size
    for moved in _moves(layer):
        gap = moved - moved.mean(0) - whole
        within = within + gap.T @ gap / (4 * len(whole))
    root = torch.linalg.cholesky(within)
    inner = torch.linalg.solve_triangular(root, common, upper=False)
    inner = torch.linalg.solve_triangular(root, inner.T, upper=False)
    _, vectors = torch.linalg.eigh((inner + inner.T) / 2)
    directions: Tensor = torch.linalg.solve_triangular(root.T, vectors[:, -DIMS:], upper=True)
    return directions


def _moves(layer: Tensor) -> list[Tensor]:
    """What the whole shows after moves of half a step."""
    moves = ((1.0, 0.05, 0.05), (1.0, -0.05, 0.05), (0.95, 0.0, 0.0), (1.05, 0.0, 0.0))
    return [_whole(layer, scale, right, down) for scale, right, down in moves]


def _whole(layer: Tensor, scale: float = 1.0, right: float = 0.0, down: float = 0.0) -> Tensor:
    """(n, CELLS * CELLS): what one window of a layer (n, S, S) shows, centred and of unit length."""
    rows, columns = (_line(scale, centre).to(layer.device) for centre in (down, right))
    return _unit((rows @ layer @ columns.T).flatten(1))
