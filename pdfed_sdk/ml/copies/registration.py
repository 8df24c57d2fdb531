"""Lay one picture on another and measure what is left: cues for the verifier beside the window correlations.

A copy differs from its original by a small shift, a zoom, blur, contrast, brightness and noise; another picture of the
same kind differs in places. So the item is moved onto the query (one Gauss-Newton step on blurred pictures), the query
is then explained by least squares from the moved item, its derivatives and its blur, and what remains is counted as a
whole and in its worst place, at three degrees of blur. That is the tangent distance of Simard et al. (1993). The rim is
left out: a move finds nothing to put there, and where pictures of 28 pixels are padded it repeats one pixel's noise.
Blurs, derivatives and moves are separable, so each is two small matrix products.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

LEVELS = (0, 1, 3)
"""Binomial 5-tap blurs at each degree."""
CUES = 2 * len(LEVELS) + 4
RIM = 2
"""Pixels at each edge that are not compared."""
FURTHEST = 3.0
"""Pixels in 32 that the item may be moved."""
BLOCK, STEP = 8, 4
"""Side and stride of the squares in which the worst place is looked for."""
FAINT = 1e-3
"""Variance below which a picture counts as flat."""


def registration(query: Tensor, item: Tensor) -> Tensor:
    """How badly the item explains the query, (N, CUES) float32; pictures (N, C, S, S) in [0, 1].

    Log shares of the query's variance that remain, whole and in the worst square, by blur; log variance of both; log
    contrast and pixels moved. One direction: `registration(item, query)` is the other.
    """
    targets = {times: _centred(blurred(query, times)) for times in LEVELS}
    _, share = _fit(targets[LEVELS[-1]], blurred(item, LEVELS[-1]))
    moved, distance = _move(item, share)
    cues = []
    for times, target in targets.items():
        left, share = _fit(target, blurred(moved, times))
        spread = _variance(target) + FAINT
        squares = left.square().mean(1, keepdim=True)
        worst = in_blocks(squares).amax((1, 2, 3))
        cues += [(squares.mean((1, 2, 3)) / spread + 1e-5).log(), (worst / spread + 1e-5).log()]
    cues += [(_variance(part) + FAINT).log() for part in (targets[0], _centred(item))]
    return torch.stack([*cues, share[:, 0].abs().clamp(0.1, 10).log(), distance], 1)


def _inner(images: Tensor) -> Tensor:
    """Pictures without their rim."""
    return images[..., RIM:-RIM, RIM:-RIM]


@cache
def _blur_matrix(size: int, times: int, device: torch.device) -> Tensor:
    """The binomial 5-tap blur along a line of ``size`` pixels, ``times`` over, its ends repeated; (size, size)."""
    matrix = torch.zeros(size, size)
    for offset, weight in zip(range(-2, 3), (1, 4, 6, 4, 1), strict=True):
        source = (torch.arange(size) + offset).clamp(0, size - 1)
        matrix.index_put_((torch.arange(size), source), torch.tensor(weight / 16), accumulate=True)
    power: Tensor = torch.linalg.matrix_power(matrix, times).to(device)
    return power


def blurred(images: Tensor, times: int) -> Tensor:
    if not times:
        return images
    matrix: Tensor = _blur_matrix(images.shape[-1], times, images.device)
    return matrix @ images @ matrix.T


@cache
def _block_matrix(size: int, device: torch.device) -> Tensor:
    """The mean of BLOCK pixels every STEP along a line of ``size``, (blocks, size)."""
    starts = torch.arange(0, size - BLOCK + 1, STEP)[:, None]
    place = torch.arange(size)
    return (((place >= starts) & (place < starts + BLOCK)) / BLOCK).to(device)


def in_blocks(images: Tensor) -> Tensor:
    """Means (N, C, K, K) of pictures (N, C, S, S) in squares of BLOCK pixels, STEP apart, as matrix products."""
    matrix = _block_matrix(images.shape[-1], images.device)
    return matrix @ images @ matrix.T


def _tangents(images: Tensor) -> Tensor:
    """(N, 5, C * I * I), I the side without the rim: the picture, its change when shifted right, shifted down, zoomed
    and blurred, each centred channel by channel."""
    size = images.shape[-1]
    line = torch.linspace(-1, 1, size, device=images.device)[RIM:-RIM]
    before, after = slice(RIM - 1, -RIM - 1), slice(RIM + 1, size - RIM + 1)
    across = (images[..., RIM:-RIM, after] - images[..., RIM:-RIM, before]) * 0.5
    down = (images[..., after, RIM:-RIM] - images[..., before, RIM:-RIM]) * 0.5
    soft = _inner(blurred(images, 1) - images)
    every = _inner(images.new_empty(len(images), 5, *images.shape[1:]))  # rows as far apart as the pictures'
    for number, part in enumerate((_inner(images), across, down, line * across + line[:, None] * down, soft)):
        every[:, number] = part
    return (every - every.mean((3, 4), keepdim=True)).flatten(2)


def _centred(images: Tensor) -> Tensor:
    """Pictures without their rim, each channel less its mean."""
    inside = _inner(images)
    return inside - inside.mean((2, 3), keepdim=True)


def _variance(centred: Tensor) -> Tensor:
    """Mean variance of the channels (N,)."""
    return centred.square().sum((2, 3)).mean(1) / (centred[0, 0].numel() - 1)


def _fit(centred: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares of the centred query on the item's tangents: (what remains (N, C, I, I), coefficients (N, 5))."""
    tangents, target = _tangents(item), centred.flatten(1)
    found = coefficients(tangents, target)
    left = torch.baddbmm(target[:, None], found[:, None], tangents, alpha=-1)
    return left.view_as(centred), found


def coefficients(tangents: Tensor, target: Tensor) -> Tensor:
    """How much of each of the tangents (N, k, D) makes the target (N, D), by least squares with a ridge; (N, k)."""
    products = tangents @ tangents.transpose(1, 2)
    ridge = products.diagonal(dim1=1, dim2=2) * 1e-3 + 1e-3
    found: Tensor = torch.linalg.solve_ex(products + torch.diag_embed(ridge), tangents @ target[:, :, None]).result
    return found.squeeze(2)


def _move(item: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """The item shifted and zoomed as the coefficients say (bilinear, edges repeated), and the pixels moved, (N,)."""
    size = item.shape[-1]
    steps = (share[:, 1:4] / share[:, :1].clamp_min(0.1)).clamp(-FURTHEST, FURTHEST)
    place, line = torch.arange(size, device=item.device), torch.linspace(-1, 1, size, device=item.device)

    def along(shift: Tensor) -> Tensor:
        source = (place + shift[:, None] + steps[:, 2:] * line).clamp(0, size - 1)
        return (1 - (source[:, :, None] - place).abs()).clamp_min(0)[:, None]

    moved = along(steps[:, 1]) @ item @ along(steps[:, 0]).transpose(2, 3)
    return moved, steps.abs().amax(1)
