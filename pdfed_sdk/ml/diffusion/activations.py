"""What a UNet predicts, and what its blocks hand on, for pictures under seeded noise: `hidden_parents` compares it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.diffusion.model import DiffusionModel, training_scheduler
from pdfed_sdk.ml.diffusion.noise import normal_block


@contextmanager
def heard(unet: Any) -> Iterator[list[Tensor]]:
    """Outputs of the blocks of a diffusers UNet, (n, d) each, added to the list as they come."""
    blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    seen: list[Tensor] = []

    def keep(_module: object, _given: object, output: Tensor | tuple[Tensor, ...]) -> None:
        first = output[0] if isinstance(output, tuple) else output
        seen.append(first.detach().flatten(1).float().cpu())

    handles = [block.register_forward_hook(keep) for block in blocks if block is not None]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def activations(
    model: DiffusionModel, pictures: PictureSet, seed: bytes, moments: Sequence[float]
) -> list[tuple[Tensor, list[Tensor]]]:
    """`ModelFamily.activations` of the class-conditional DDPM."""
    config, unet = model.config, model.network.eval()
    scheduler = training_scheduler(config)
    device = next(unet.parameters()).device
    clean = pictures.images.float() / 127.5 - 1
    noise = normal_block(seed, 0, len(clean), tuple(clean.shape[1:]), torch.device("cpu"))
    classes = pictures.labels.to(device) if config.classes else None
    found = []
    for moment in moments:
        times = torch.full((len(clean),), int(moment * (config.timesteps - 1)), dtype=torch.int64)
        noised = scheduler.add_noise(clean, noise, times).to(device)
        with heard(unet) as seen:
            predicted = unet(noised, times.to(device), class_labels=classes).sample
        found.append((predicted.flatten(1).cpu(), seen))
    return found
