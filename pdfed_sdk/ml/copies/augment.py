"""Degradations of pictures as a diffusion model that memorised them would produce, for training and testing (3.1.1).

All take and give float pictures (N, C, S, S) in [0, 1] and draw from the generator that is passed in.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F


def degrade(images: Tensor, random: Generator, *, strength: float | Tensor = 1.0, jpeg: float = 0.2) -> Tensor:
    """Colour jitter, shift and crop, blur, resolution change, noise, JPEG: each picture draws its own parameters.

    ``strength`` in [0, 1], one for all or one a picture (N,), scales all ranges; ``jpeg`` is the share of pictures
    that go through a JPEG file (none at strength 0).
    """
    power = torch.as_tensor(strength, dtype=torch.float32).expand(len(images)).view(-1, 1, 1, 1)
    values = _warp(images, random, power)
    values = _blur(values, random, power)
    values = _resolution(values, random, power)
    values = _jitter(values, random, power)
    values = _noise(values, random, power)
    lossy = (torch.rand(len(values), generator=random) < jpeg) & (power.flatten() > 0)
    chosen = lossy.nonzero().squeeze(1)
    if len(chosen):
        quality = torch.randint(35, 90, (len(chosen),), generator=random)
        values[chosen] = jpeg_roundtrip(values[chosen], quality.tolist())
    return values


def between(count: int, low: float, high: float, random: Generator) -> Tensor:
    """Uniform numbers (count, 1, 1, 1)."""
    return (torch.rand(count, generator=random) * (high - low) + low).view(-1, 1, 1, 1)


def placed(images: Tensor, scale: Tensor, right: Tensor, down: Tensor, fill: str = "border") -> Tensor:
    """Each output pixel at (x, y) in [-1, 1] is the picture at (scale x + right, scale y + down); beyond its edges that
    is what grid_sample calls ``fill``."""
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale.flatten()
    theta[:, 0, 2], theta[:, 1, 2] = right.flatten(), down.flatten()
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode=fill, align_corners=False)


def jpeg_roundtrip(images: Tensor, quality: list[int]) -> Tensor:
    """Each picture through a JPEG file of its quality."""
    from PIL import Image

    result = []
    for picture, level in zip(images, quality, strict=True):
        pixels = picture.clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        stream = io.BytesIO()
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(stream, "JPEG", quality=level)
        back = np.array(Image.open(stream))
        result.append(torch.from_numpy(back.reshape(pixels.shape)).permute(2, 0, 1).float() / 255)
    return torch.stack(result)


def _warp(images: Tensor, random: Generator, strength: Tensor) -> Tensor:
    """Shift by up to 2 px in 32 and scale by up to 8 %."""
    count = len(images)
    scale = 1 + between(count, -0.08, 0.08, random) * strength
    shift = (torch.rand(count, 2, generator=random) * 2 - 1) * (2 * 2 / 32) * strength.view(-1, 1)
    return placed(images, scale, shift[:, 0], shift[:, 1])


def _blur(images: Tensor, random: Generator, strength: Tensor) -> Tensor:
    """A mixture of the picture and its binomial 5x5 blur."""
    channels = images.shape[1]
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = (row[:, None] * row[None, :]).expand(channels, 1, 5, 5)
    blurred = F.conv2d(F.pad(images, (2, 2, 2, 2), mode="replicate"), kernel, groups=channels)
    share = between(len(images), 0, 1, random) * strength
    return images + share * (blurred - images)


def _resolution(images: Tensor, random: Generator, strength: Tensor) -> Tensor:
    """A third of the pictures lose half of their resolution."""
    size = images.shape[-1]
    low = F.interpolate(images, (max(4, size // 2),) * 2, mode="bilinear", antialias=True, align_corners=False)
    back = F.interpolate(low, (size, size), mode="bilinear", align_corners=False)
    chosen = torch.rand(len(images), 1, 1, 1, generator=random) < 0.33 * strength
    return torch.where(chosen, back, images)


def _jitter(images: Tensor, random: Generator, strength: Tensor) -> Tensor:
    """Contrast 0.6-1.3, brightness +-0.15, each channel a little."""
    count, channels = images.shape[:2]
    contrast = 1 + between(count, -0.4, 0.3, random) * strength
    bright = between(count, -0.15, 0.15, random) * strength
    tint = between(count * channels, -0.08, 0.08, random).view(count, channels, 1, 1) * strength
    mean = images.mean((1, 2, 3), keepdim=True)
    return ((images - mean) * contrast + mean + bright + tint).clamp(0, 1)


def _noise(images: Tensor, random: Generator, strength: Tensor) -> Tensor:
    sigma = between(len(images), 0, 0.15, random) * strength
    return (images + sigma * torch.randn(images.shape, generator=random)).clamp(0, 1)
