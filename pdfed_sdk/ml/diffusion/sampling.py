"""Seeded sampling: a pure function of (weights, n, seed, steps), so a revealed vote's samples can be recomputed.

Noise is Box-Muller on Philox4x64 words keyed by SHA-256(seed, index): each sample has its own stream, so the first
k of n samples are the samples of k, and parent and child see the same noise (common random numbers). The network runs
in blocks of a fixed size, padded, so that no result depends on how many samples were asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.diffusion.model import DiffusionModel, ModelConfig

BLOCK = 64


def sampling_scheduler(config: ModelConfig) -> DDIMScheduler:
    """Deterministic DDIM over the same process."""
    return DDIMScheduler(
        num_train_timesteps=config.timesteps,
        beta_schedule=config.schedule,
        prediction_type=config.prediction,
        clip_sample=True,
        timestep_spacing="trailing",
    )


def sample(
    model: DiffusionModel, n: int, seed: bytes, *, steps: int = 10, classes: Sequence[int] | None = None
) -> tuple[Tensor, Tensor]:
    """``n`` pictures (n, C, S, S) uint8 and their labels (n,) int64, by ``steps`` of DDIM (eta 0).

    Labels cycle through ``classes`` (default: all of the model's), so they are spread evenly; an unconditional model
    gives -1. Runs where the model lies. Errors: DataError.
    """
    config = model.config
    if n < 1 or not 1 <= steps <= config.timesteps or not seed:
        raise DataError(f"n is {n}, steps {steps} and the seed has {len(seed)} bytes: all must be at least 1")
    chosen = list(range(config.classes)) if classes is None else list(classes)
    if any(not 0 <= label < config.classes for label in chosen) or (config.classes and not chosen):
        raise DataError(f"classes is {chosen}, limits 0 and {config.classes - 1}")
    padded = -(-n // BLOCK) * BLOCK
    labels = torch.tensor([chosen[i % len(chosen)] if chosen else -1 for i in range(padded)], dtype=torch.int64)
    shape = (config.channels, config.size, config.size)
    blocks = [
        _denoise(model, _noise(seed, start, shape), labels[start : start + BLOCK], steps)
        for start in range(0, padded, BLOCK)
    ]
    return torch.cat(blocks)[:n], labels[:n]


def _noise(seed: bytes, start: int, shape: tuple[int, ...]) -> Tensor:
    return torch.stack([seeded_normal(seed, index, shape) for index in range(start, start + BLOCK)])


def seeded_normal(seed: bytes, index: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 numbers that depend on (seed, index, shape) only."""
    key = np.frombuffer(hashlib.sha256(seed + index.to_bytes(8, "big")).digest()[:16], dtype="<u8")
    count = int(np.prod(shape))
    words = np.random.Philox(key=key.astype(np.uint64)).random_raw(2 * ((count + 1) // 2))
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) / (1 << 53)
    radius, angle = np.sqrt(-2 * np.log(uniform[::2])), 2 * np.pi * uniform[1::2]
    normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)[:count]
    return torch.from_numpy(normal.astype(np.float32).reshape(shape))


@torch.no_grad()
def _denoise(model: DiffusionModel, noise: Tensor, labels: Tensor, steps: int) -> Tensor:
    network, scheduler = model.network.eval(), sampling_scheduler(model.config)
    scheduler.set_timesteps(steps)
    device = next(network.parameters()).device
    state, condition = noise.to(device), labels.to(device) if model.config.classes else None
    for step in scheduler.timesteps:
        output = network(state, step, class_labels=condition).sample
        state = scheduler.step(output, step, state, eta=0.0).prev_sample
    pixels = torch.nan_to_num(state, nan=0.0).clamp(-1, 1).add(1).mul(127.5).round()
    return pixels.to(torch.uint8).cpu()
