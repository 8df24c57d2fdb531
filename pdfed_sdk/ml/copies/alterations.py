"""What people and diffusion models do to pictures they copy, to train on: cut, shift, mirror, paste, recolour, lose.

All take and give float pictures (n, C, S, S) in [0, 1] and draw from the generator that is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from pdfed_sdk.ml.copies.augment import between, degrade, jpeg_roundtrip, placed

Alteration = Callable[[Tensor, Tensor, Generator], Tensor]
"""Pictures and as many others, which they may be laid on -> altered pictures."""


def altered(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """Each picture altered in one of the ways of `ALTERATIONS`, a third of them in two. ``others`` (n, C, S, S) are
    pictures to be pasted on or blended with."""
    result = images
    for share in (1.0, 0.33):
        chosen = torch.rand(len(images), generator=random) < share
        kind = torch.randint(0, len(ALTERATIONS), (len(images),), generator=random)
        result = result.clone()
        for number, alter in enumerate(ALTERATIONS):
            rows = ((kind == number) & chosen).nonzero().squeeze(1)
            if len(rows):
                result[rows] = alter(result[rows], others[rows], random).clamp(0, 1)
    return result


def _moved(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """Cut by up to 15 % and enlarged, or shifted by up to 12 %."""
    count = len(images)
    cut = torch.rand(count, 1, 1, 1, generator=random) < 0.5
    share = torch.where(cut, between(count, 0.02, 0.15, random), torch.zeros(1))
    reach = torch.where(cut, share, between(count, 0.05, 0.24, random))
    right, down = (reach * between(count, -1, 1, random) for _ in range(2))
    return placed(images, 1 - share, right, down)


def _pasted(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """At 55-90 % of the side, somewhere on another picture."""
    count = len(images)
    side = between(count, 0.55, 0.9, random)
    right, down = ((1 - side) * between(count, -1, 1, random) for _ in range(2))
    small, inside = (
        placed(part, 1 / side, -right / side, -down / side, "zeros") for part in (images, torch.ones_like(images))
    )
    return torch.where(inside > 0.5, small, others)


def _blended(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """With 15-40 % of another picture."""
    return images + between(len(images), 0.15, 0.4, random) * (others - images)


def _mirrored(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    return images.flip(3)


def _lossy(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """JPEG of quality 30-90, and noise of up to 8 %."""
    quality = torch.randint(30, 91, (len(images),), generator=random)
    values = jpeg_roundtrip(images, quality.tolist())
    return values + between(len(images), 0, 0.08, random) * torch.randn(images.shape, generator=random)


def _lit(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """Times 0.45-1.7, to the power of 0.5-2, or with 0.4-1.9 of its contrast."""
    count = len(images)
    kind = torch.randint(0, 3, (count, 1, 1, 1), generator=random)
    stretch = torch.exp(between(count, -0.7, 0.7, random))
    bright = images * between(count, 0.45, 1.7, random)
    mean = images.mean((1, 2, 3), keepdim=True)
    contrast = (images - mean) * between(count, 0.4, 1.9, random) + mean
    return torch.where(kind == 0, bright, torch.where(kind == 1, images.clamp_min(1e-6) ** stretch, contrast))


def _recoloured(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """Turned about the grey axis, or half of them in HSV, by up to 110 degrees with 0.3-1.4 of the saturation, a fifth
    with channels swapped; grey pictures to a power, a fifth of them negative."""
    count = len(images)
    rare = torch.rand(count, 1, 1, 1, generator=random) < 0.2
    if images.shape[1] == 1:
        return torch.where(rare, 1 - images, images.clamp_min(1e-6) ** torch.exp(between(count, -0.7, 0.7, random)))
    grey = images.mean(1, keepdim=True)
    turn, rich = between(count, -1.9, 1.9, random), between(count, 0.3, 1.4, random)
    chroma = images - grey
    beside = (chroma.roll(1, 1) - chroma.roll(2, 1)) / 3**0.5
    turned = grey + rich * (chroma * turn.cos() + beside * turn.sin())
    in_hsv = torch.rand(count, 1, 1, 1, generator=random) < 0.5
    turned = torch.where(in_hsv, _hue_turned(images, turn * 3 / math.pi, rich), turned)
    return torch.where(rare, images[:, torch.randperm(3, generator=random)], turned)


def _hue_turned(images: Tensor, turn: Tensor, rich: Tensor) -> Tensor:
    """Pictures (n, 3, S, S) with hues turned by ``turn`` sixths of a circle and saturation times ``rich`` in HSV."""
    red, green, blue = (images[:, i : i + 1] for i in range(3))
    value = images.amax(1, keepdim=True)
    chroma = value - images.amin(1, keepdim=True)
    safe = chroma.clamp_min(1e-6)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    chroma = torch.minimum(chroma * rich, value)
    sector = (hue + turn + torch.tensor([5.0, 3.0, 1.0]).view(1, 3, 1, 1)) % 6
    return value - chroma * torch.minimum(sector, 4 - sector).clamp(0, 1)


def _small(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """Shrunk to 45-80 % and enlarged again."""
    size = images.shape[-1]
    less = int(size * float(torch.rand((), generator=random) * 0.35 + 0.45))
    low = F.interpolate(images, (less, less), mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(low, (size, size), mode="bilinear", align_corners=False)


def _degraded(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    return degrade(images, random, strength=0.65 * torch.rand(len(images), generator=random))


ALTERATIONS: tuple[Alteration, ...] = (
    _moved, _moved, _pasted, _pasted, _blended, _mirrored, _lossy, _lossy, _lit, _lit, _recoloured, _recoloured,
    _small, _degraded, _degraded,
)  # fmt: skip
"""The ways, each as often as it stands here."""
