"""Looks at an adapter on pictures that it was not trained on: a validation score, and what its network computes.

Both see latents (the means of the posteriors) under the pictures' own captions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pdfed_sdk.family import Losses
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.diffusion.activations import heard
from pdfed_sdk.ml.diffusion.noise import normal_block
from pdfed_sdk.ml.diffusion.validation import DRAWS, Draws
from pdfed_sdk.ml.lora.adapter import AdapterModel
from pdfed_sdk.ml.lora.learning import encoded, prediction_and_target


def _latents(model: AdapterModel, pictures: PictureSet, place: torch.device) -> tuple[Tensor, Tensor]:
    """(n, C, h, w) and the embedded captions (n, L, D), on ``place``."""
    posteriors, texts = encoded(model, pictures, place)(torch.arange(len(pictures)))
    return posteriors.chunk(2, 1)[0], texts


def validation(model: AdapterModel, heldout: PictureSet, place: torch.device) -> Losses:
    """`ModelFamily.validation` of adapters."""
    side = model.setup.resolution // model.base.shrinkage
    draws = Draws.of(heldout, (model.base.latent_channels, side, side))
    latents, texts = _latents(model, draws.pictures, place)
    steps = model.base.timesteps

    @torch.no_grad()
    def losses(looked_at: AdapterModel) -> Tensor:
        network = looked_at.network
        home = next(network.parameters()).device
        network.to(place)
        total = torch.zeros(len(latents), dtype=torch.float64)
        for draw, noise in enumerate(draws.noise):
            times = draws.times(draw, steps).to(place)
            found, target = prediction_and_target(looked_at, network, latents, texts, noise.to(place), times)
            total += (found - target).square().flatten(1).mean(1).double().cpu()
        network.to(home)
        return total / DRAWS

    return losses


@torch.no_grad()
def activations(
    model: AdapterModel, pictures: PictureSet, seed: bytes, moments: Sequence[float]
) -> list[tuple[Tensor, list[Tensor]]]:
    """`ModelFamily.activations` of adapters: the blocks are those of the shared UNet with this adapter in it."""
    place = next(model.network.parameters()).device
    latents, texts = _latents(model, pictures, place)
    noise = normal_block(seed, 0, len(latents), tuple(latents.shape[1:]), place)
    schedule, found = model.base.process(place), []
    for moment in moments:
        time = int(moment * (model.base.timesteps - 1))
        times = torch.full((len(latents),), time, dtype=torch.int64, device=place)
        with heard(model.network.unet(place)) as seen:
            predicted = model.network(schedule.add_noise(latents, noise, times), times, texts)
        found.append((predicted.flatten(1).cpu(), seen))
    return found
