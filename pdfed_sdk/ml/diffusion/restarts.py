"""Sampling where memorised pictures are: a few steps from noise, then restarts from a little noise, class by class.

A picture that a model has learnt by heart draws in what lies near it. A few steps from noise land near it, a restart
(noise up to ``LEVEL`` of the schedule, taken away again) draws the sample closer, and what it copies is then seen
through less blur. Classes in which copies turned up are sampled more. After Chen et al., SIDE, arXiv 2410.02467, who
steer unconditional models by classes of their own making; ours are conditional. A picture costs as many passes through
the network as ten plain steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.diffusion.model import DiffusionModel
from pdfed_sdk.ml.diffusion.noise import normal_block
from pdfed_sdk.ml.diffusion.sampling import BLOCK, sampling_scheduler

FEW = 4
"""Steps from noise."""
ROUNDS = 2
LEVEL = 0.3
"""Share of the schedule at which a restart begins; of ten steps the last three are taken."""
PILOT = 0.25
"""Share of the pictures that is spread evenly over the classes."""


def hunt(
    model: DiffusionModel, n: int, seed: bytes, copied: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """``n`` pictures (n, C, S, S) uint8, their labels (n,) and which of them are copies (n,) bool.

    ``copied`` tells of pictures (k, C, S, S) which are copies, (k,) bool. A first part is spread evenly over the
    classes, the rest goes to each in proportion to one more than the copies found there. Seeded. Errors: DataError.
    """
    if n < 8 or not seed:
        raise DataError(f"n is {n}, at least 8, and the seed has {len(seed)} bytes, at least 1")
    classes = model.config.classes
    first = torch.arange(max(1, round(PILOT * n))) % max(1, classes)
    labels = first if classes else torch.full((len(first),), -1)
    images = restarted(model, labels, seed)
    found = copied(images)
    rest = torch.full((n - len(first),), -1)
    if classes:
        shares = np.bincount(labels[found].numpy(), minlength=classes) + 1.0
        draws = np.random.default_rng(list(hashlib.sha256(seed).digest())).choice(
            classes, len(rest), p=shares / shares.sum()
        )
        rest = torch.from_numpy(np.sort(draws))
    more = restarted(model, rest, hashlib.sha256(seed + b"hunt").digest())
    return torch.cat([images, more]), torch.cat([labels, rest]), torch.cat([found, copied(more)])


@torch.no_grad()
def restarted(model: DiffusionModel, labels: Tensor, seed: bytes) -> Tensor:
    """One picture (n, C, S, S) uint8 a label (n,): `FEW` steps from noise, then `ROUNDS` restarts at `LEVEL`."""
    device = next(model.network.parameters()).device
    shape = (model.config.channels, model.config.size, model.config.size)
    parts = []
    for start in range(0, len(labels), BLOCK):
        some = labels[start : start + BLOCK].to(device)
        state = _walk(model, normal_block(seed, start, len(some), shape, device), some, FEW, 1.0)
        for turn in range(ROUNDS):
            fresh = hashlib.sha256(seed + b"restart" + turn.to_bytes(4, "big")).digest()
            noise = normal_block(fresh, start, len(some), shape, device)
            state = _walk(model, state, some, 10, LEVEL, noise)
        parts.append(state.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8).cpu())
    return torch.cat(parts)


def _walk(
    model: DiffusionModel, state: Tensor, labels: Tensor, steps: int, level: float, noise: Tensor | None = None
) -> Tensor:
    """The DDIM steps of a schedule of ``steps`` that begin at or below ``level``; ``noise`` is added up to there."""
    scheduler = sampling_scheduler(model.config)
    scheduler.set_timesteps(steps)
    times = [time for time in scheduler.timesteps if int(time) < level * model.config.timesteps]
    if noise is not None:
        state = scheduler.add_noise(state, noise, times[0].expand(len(state)))
    condition = labels if model.config.classes else None
    for time in times:
        output = model.network.eval()(state, time.to(state.device), class_labels=condition, return_dict=False)[0]
        state = scheduler.step(output, int(time), state, return_dict=False)[0]
    return torch.nan_to_num(state, nan=0.0)
