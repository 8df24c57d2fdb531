"""Pictures as PNG files that a browser shows: one, or a strip of several side by side."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from torch import Tensor

LEAST_HEIGHT = 48
"""Pixels: smaller pictures are enlarged by a whole factor, without smoothing."""


def png_strip(images: Tensor, least: int = LEAST_HEIGHT) -> bytes:
    """Pictures (n, C, S, S) uint8 beside one another as one PNG, each at least ``least`` pixels high."""
    tiles = images.cpu().numpy().transpose(0, 2, 3, 1)
    factor = max(1, -(-least // tiles.shape[1]))
    gap = 1 if len(tiles) > 1 else 0
    strip = np.concatenate([np.pad(tile, ((0, 0), (0, gap), (0, 0))) for tile in tiles], axis=1)
    strip = strip.repeat(factor, axis=0).repeat(factor, axis=1)
    out = io.BytesIO()
    Image.fromarray(strip[:, :, 0] if strip.shape[2] == 1 else strip).save(out, "PNG", optimize=True)
    return out.getvalue()
