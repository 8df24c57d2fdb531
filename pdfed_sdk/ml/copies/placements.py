"""Where may one picture lie in another? The search for copies that were cut, shifted, mirrored or pasted elsewhere.

A query is looked at through windows: its parts at 0.6 to 0.9 of the side, the whole, shifted a little, and a little
more than the whole, as a picture is seen of which the query is a cut; the larger ones mirrored too. What a window shows
in two layers (grey, edges) becomes a short vector, free of brightness and contrast, in which Fisher's discriminant has
weighed down what pictures of this set have in common and what a small move changes. All training pictures are searched
through some of the windows, by grey the likeliest of them through every one. The nearest by the best window of each
layer are candidates, the window says where the training picture lies in the query.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
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
DIMS = 128
"""Numbers that a window becomes, those that tell most last."""
ROUGH_DIMS = 32
"""How many of these are compared with every training picture."""


def _evenly(reach: float, count: int) -> tuple[float, ...]:
    """``count`` centres from -reach to reach."""
    return tuple(torch.linspace(-reach, reach, count).tolist())


GRIDS = {
    1.0: _evenly(0.2, 9),
    0.9: _evenly(0.1, 5),
    1.1: _evenly(0.1, 5),
    0.8: _evenly(0.2, 9),
    0.7: _evenly(0.3, 9),
    0.6: _evenly(0.4, 11),
    0.75: _evenly(0.25, 8),
    0.65: _evenly(0.35, 10),
}
"""Centres, in either direction, of the windows of each scale; the picture's own coordinates run from -1 to 1."""
ROUGH = {scale: GRIDS[scale][::2] for scale in (1.0, 0.9, 1.1, 0.8, 0.7, 0.6)}
"""Those through which all training pictures are searched."""
LIKELIEST, SHARE = 64, 16
"""So many of them, and one in so many where that is more, are then searched through every window."""
MIRRORED = (1.0, 0.9, 1.1)
"""Scales of the windows on the mirrored picture."""
MOVE = 0.025
"""Half a step of the finest windows, in those coordinates."""
FAINT = 1e-3
"""Variance below which a window counts as flat."""
PRIOR = 64
"""Pictures that a featureless prior counts as, beside the node's own, in what pictures have in common."""
NOISE = 0.02
"""Variance of what noise does to a cell, in units of a window's variance."""
PRODUCTS, CLOSER_PRODUCTS = 1 << 18, 1 << 20
"""Products of windows and training pictures held at a time on a CPU, of all and of the likeliest: they stay in its
cache."""
WINDOWED = 1 << 20
"""Bytes that a query needs with all its windows."""
BLOCK = 16
"""Queries whose windows are made at a time on a CPU: they stay in its cache."""


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

    def where(self, kept: Tensor, other: Placements) -> Placements:
        """These where ``kept`` (n,), the other's elsewhere."""
        return Placements(
            *(torch.where(kept, a, b) for a, b in zip(vars(self).values(), vars(other).values(), strict=True))
        )

    def to(self, device: torch.device) -> Placements:
        """The same on a device."""
        return Placements(*(part.to(device) for part in (self.scale, self.right, self.down, self.mirrored)))


Grids = dict[float, tuple[float, ...]]


@cache
def all_windows(mirrored: bool) -> Placements:
    """Every window as a placement, in the order in which they are seen."""
    scale, right, down, flips = (torch.tensor(part) for part in zip(*_each(GRIDS, mirrored), strict=True))
    return Placements(scale, right, down, flips)


@cache
def _rough(mirrored: bool, device: torch.device) -> Tensor:
    """Which of `all_windows` those of ROUGH are, in the order in which they are seen."""
    every = {window: place for place, window in enumerate(_each(GRIDS, mirrored))}
    return torch.tensor([every[window] for window in _each(ROUGH, mirrored)], device=device)


def _each(grids: Grids, mirrored: bool) -> Iterator[tuple[float, float, float, bool]]:
    """Scale, right, down and whether mirrored of each window, in the order in which they are seen."""
    for scale, flip, centres in _views(grids, mirrored):
        for down, right in itertools.product(centres, centres):
            yield scale, right, down, flip


def _views(grids: Grids, mirrored: bool) -> list[tuple[float, bool, tuple[float, ...]]]:
    views = [(scale, False, centres) for scale, centres in grids.items()]
    return views + [(scale, True, grids[scale]) for scale in MIRRORED if mirrored]


@cache
def _rows(scale: float, centres: tuple[float, ...], device: torch.device) -> Tensor:
    """(positions * CELLS, SIDE): the cells along a line of every window of a scale."""
    return torch.cat([_line(scale, centre) for centre in centres]).to(device)


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


def _seen(layer: Tensor, grids: Grids, mirrored: bool) -> Iterator[Tensor]:
    """What each window of a layer (n, S, S) shows, (n, windows, CELLS * CELLS), scale by scale."""
    for scale, flip, centres in _views(grids, mirrored):
        rows = _rows(scale, centres, layer.device)
        image = layer.flip(2) if flip else layer
        count = len(centres)
        cells = (rows @ image @ rows.T).view(len(layer), count, CELLS, count, CELLS)
        yield cells.transpose(2, 3).reshape(len(layer), count * count, CELLS * CELLS)


def _unit(values: Tensor) -> Tensor:
    values = values - values.mean(-1, keepdim=True)
    return values / (values.square().sum(-1, keepdim=True) + FAINT * values.shape[-1]).sqrt()


@dataclass(frozen=True)
class Likeness:
    """Training pictures (n, k) of queries through their best window: cosines in either layer (n, k, 2), the window
    (n, k) and layer (n, k) of the higher one, and the best window in that layer of the mirrored picture, or of the
    picture as it is if that window is on the mirrored one."""

    cosines: Tensor
    window: Tensor
    layer: Tensor
    turned: Tensor


class PlacedIndex:
    """Training pictures, to be searched by windows in both layers."""

    def __init__(self, both: Tensor, mirrored: bool) -> None:
        """``both`` (N, 2, S, S) are the `layers` of the training pictures; ``mirrored``: queries are searched mirrored
        too."""
        self._mirrored = mirrored
        wholes = [_whole(layer) for layer in both.unbind(1)]
        self._means = [whole.mean(0) for whole in wholes]
        self._maps = [
            _discriminant(layer, whole - mean)
            for layer, whole, mean in zip(both.unbind(1), wholes, self._means, strict=True)
        ]
        self._points = [self._vectors(whole, number) for number, whole in enumerate(wholes)]
        self._foremost = [_foremost(points) for points in self._points]
        self._held, self._held_closer = (at_a_time(both.device, few, 4) for few in (PRODUCTS, CLOSER_PRODUCTS))

    def _vectors(self, seen: Tensor, layer: int) -> Tensor:
        """Vectors (..., DIMS) of what windows show (..., CELLS * CELLS), made free of brightness and contrast."""
        size, weights = seen.shape[-1], self._maps[layer]
        middle = seen.mean(-1, keepdim=True)
        length = torch.linalg.vector_norm(seen, dim=-1, keepdim=True).square() - size * middle.square()
        scaled = (seen @ weights - middle * weights.sum(0)) * (length.clamp_min(0) + FAINT * size).rsqrt()
        return F.normalize(scaled - self._means[layer] @ weights, dim=-1)

    def blocks(self, count: int) -> list[Tensor]:
        """Rows of ``count`` queries, few enough at a time."""
        device = self._points[0].device
        return list(torch.split(torch.arange(count, device=device), at_a_time(device, BLOCK, WINDOWED)))

    def windows(self, both: Tensor) -> list[Tensor]:
        """Vectors (n, windows, DIMS) of the layers (n, 2, S, S) of queries: grey through all windows, edges through the
        rough ones."""
        return [
            torch.cat([self._vectors(part, number) for part in _seen(layer, grids, self._mirrored)], 1)
            for number, (layer, grids) in enumerate(zip(both.unbind(1), (GRIDS, ROUGH), strict=True))
        ]

    def nearest(self, vectors: list[Tensor], layer: int, count: int) -> Tensor:
        """Indices (n, count) of the training pictures most like each query in a layer through any window."""
        seen = vectors[layer]
        if layer == 0:
            seen = seen[:, _rough(self._mirrored, seen.device)]
        rough = _foremost(seen)
        width = max(1, self._held // rough.shape[1])
        best = torch.cat([self._best(rough, points) for points in torch.split(self._foremost[layer], width)], 1)
        index = best.topk(min(best.shape[1], max(LIKELIEST, count, best.shape[1] // SHARE)), dim=1).indices
        width = max(1, self._held_closer // vectors[layer][..., 0].numel())
        parts = torch.split(index, width, dim=1)
        closer = torch.cat([self._through(vectors[layer], layer, part).amax(2) for part in parts], 1)
        return index.gather(1, closer.topk(count, dim=1).indices)

    def _through(self, vectors: Tensor, layer: int, index: Tensor) -> Tensor:
        """Cosines (n, k, windows) of queries and the training pictures ``index`` (n, k)."""
        return self._points[layer][index] @ vectors.transpose(1, 2)

    def _best(self, vectors: Tensor, points: Tensor) -> Tensor:
        """Highest cosines (n, p) of queries and points (p, DIMS) through any window."""
        height = max(1, self._held // (vectors.shape[1] * len(points)))
        return torch.cat([(part @ points.T).amax(1) for part in torch.split(vectors, height)])

    def likeness(self, vectors: list[Tensor], index: Tensor) -> Likeness:
        """Of the training pictures ``index`` (n, k)."""
        rough = _rough(self._mirrored, index.device)
        flips = all_windows(self._mirrored).mirrored.to(index.device)
        cosines, places = [], []
        for number, names in enumerate((torch.arange(len(flips), device=index.device), rough)):
            seen = self._through(vectors[number], number, index)
            sides = [seen.masked_fill(flips[names] != side, -2).max(2) for side in (False, True)]
            cosines.append(torch.stack([side.values for side in sides], 2))
            places.append(names[torch.stack([side.indices for side in sides], 2)])
        best = torch.stack([side.amax(2) for side in cosines], 2)
        layer = best.argmax(2)
        edges = (layer == 1)[:, :, None]
        turn = torch.where(edges, cosines[1], cosines[0]).argmax(2, keepdim=True)
        place = torch.where(edges, places[1], places[0])
        window, turned = (place.gather(2, side).squeeze(2) for side in (turn, 1 - turn))
        return Likeness(best, window, layer, turned)


def _foremost(vectors: Tensor) -> Tensor:
    """Of vectors (..., DIMS) the numbers that tell most, of unit length."""
    return F.normalize(vectors[..., -ROUGH_DIMS:], dim=-1)


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
    moves = ((1.0, MOVE, MOVE), (1.0, -MOVE, MOVE), (1 - MOVE, 0.0, 0.0), (1 + MOVE, 0.0, 0.0))
    return [_whole(layer, scale, right, down) for scale, right, down in moves]


def _whole(layer: Tensor, scale: float = 1.0, right: float = 0.0, down: float = 0.0) -> Tensor:
    """(n, CELLS * CELLS): what one window of a layer (n, S, S) shows, centred and of unit length."""
    rows, columns = (_line(scale, centre).to(layer.device) for centre in (down, right))
    return _unit((rows @ layer @ columns.T).flatten(1))
