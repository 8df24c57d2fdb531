"""Normal noise that depends on (seed, index, shape) alone, made for many indices at once where a device is; and the
times of the noise schedule at which a training step looks.

Words of Philox4x64-10 (Salmon et al. 2011) keyed by SHA-256(seed, index), as NumPy's generator gives them, then
Box-Muller in float64. 64-bit products are put together from 32-bit halves in int64, which wraps as unsigned words do.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Generator, Tensor

_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS = 10
_LOW = 0xFFFFFFFF
_LARGEST = 1 << 21
"""Counters made at a time: the products take a few hundred MB."""


def normal_block(seed: bytes, start: int, count: int, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Noise (count, *shape) float32 of the indices ``start`` .. ``start + count - 1``."""
    size = math.prod(shape)
    blocks = -(-size // 4)
    rows = max(1, _LARGEST // blocks)
    parts = []
    for first in range(start, start + count, rows):
        keys = _keys(seed, first, min(rows, start + count - first)).to(device)
        counters = torch.arange(1, blocks + 1, device=device)  # NumPy counts before it draws
        words = _philox(keys, counters).flatten(1)[:, : 2 * ((size + 1) // 2)]
        parts.append(_box_muller(words)[:, :size])
    return torch.cat(parts).reshape(count, *shape)


def seeded_normal(seed: bytes, index: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 numbers that depend on (seed, index, shape) only."""
    return normal_block(seed, index, 1, shape, torch.device("cpu"))[0]


def drawn_times(count: int, timesteps: int, spread: float, random: Generator) -> Tensor:
    """Times (count,) int64 in 0 .. ``timesteps`` - 1, drawn on the generator's device. Spread evenly for a ``spread``
    of 0; else the logistic function of normal numbers of this deviation (arXiv 2403.03206, section 3.1), one of each of
    ``count`` equal strata, so that every batch sees much and little noise."""
    device = random.device
    if not spread:
        return torch.randint(0, timesteps, (count,), generator=random, device=device)
    places = (torch.arange(count, device=device) + torch.rand(count, generator=random, device=device)) / count
    times: Tensor = timesteps * (spread * torch.special.ndtri(places)).sigmoid()
    return times.long().clamp(0, timesteps - 1)


def _keys(seed: bytes, start: int, count: int) -> Tensor:
    """(count, 2) words."""
    digests = (hashlib.sha256(seed + index.to_bytes(8, "big")).digest()[:16] for index in range(start, start + count))
    return torch.from_numpy(np.frombuffer(b"".join(digests), dtype="<i8").reshape(count, 2).copy())


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


def _high(word: Tensor, factor: int) -> Tensor:
    """Upper 64 bits of the product of unsigned words and an unsigned factor."""
    low, high = word & _LOW, (word >> 32) & _LOW
    factor_low, factor_high = factor & _LOW, factor >> 32
    lows = ((low * factor_low) >> 32) & _LOW
    middle = high * factor_low + lows
    other = low * factor_high + (middle & _LOW)
    return high * factor_high + ((middle >> 32) & _LOW) + ((other >> 32) & _LOW)


def _philox(keys: Tensor, counters: Tensor) -> Tensor:
    """(n, b, 4) words of the keys (n, 2) at the counters (b,)."""
    first, second = keys[:, :1], keys[:, 1:]
    a = counters.expand(len(keys), -1)
    b = c = d = torch.zeros_like(a)
    for _ in range(_ROUNDS):
        high_a, low_a = _high(a, _MULTIPLIERS[0]), a * _signed(_MULTIPLIERS[0])
        high_c, low_c = _high(c, _MULTIPLIERS[1]), c * _signed(_MULTIPLIERS[1])
        a, b, c, d = high_c ^ b ^ first, low_c, high_a ^ d ^ second, low_a
        first, second = first + _signed(_WEYL[0]), second + _signed(_WEYL[1])
    return torch.stack([a, b, c, d], 2)


def _box_muller(words: Tensor) -> Tensor:
    """Words (n, 2k) -> standard normal numbers (n, 2k) float32."""
    uniform = (((words >> 11) & ((1 << 53) - 1)).double() + 0.5) / (1 << 53)
    radius, angle = (-2 * uniform[:, ::2].log()).sqrt(), 2 * math.pi * uniform[:, 1::2]
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 2).flatten(1).float()
