"""What an adapter learns from: latents and text embeddings, computed once, and the loss on them."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from pdfed_sdk.errors import DataError
from pdfed_sdk.family import Examples, Forward
from pdfed_sdk.ml.captions import from_class
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.diffusion.noise import drawn_times
from pdfed_sdk.ml.lora.adapter import AdapterModel
from pdfed_sdk.ml.lora.setup import AdapterSetup

log = logging.getLogger("pdfed.training")


@dataclass(frozen=True)
class Repeated:
    """How many pictures repeat another one's pixels, and how many share their caption with another picture."""

    pictures: int
    captions: int


def captions_of(data: PictureSet, setup: AdapterSetup) -> list[str]:
    """A caption a picture: its own, or its class name in the setup's template, or nothing."""
    found = []
    for number, label in enumerate(data.labels.tolist()):
        own = data.captions[number] if data.captions else ""
        found.append(own or (from_class(setup.template, data.classes[label]) if label >= 0 else ""))
    return found


def repeated(data: PictureSet, setup: AdapterSetup) -> Repeated:
    """Repetition is what makes a model memorise (Somepalli et al. 2023): it is counted before training."""
    pixels = Counter(picture.numpy().tobytes() for picture in data.images)
    texts = Counter(text for text in captions_of(data, setup) if text)
    return Repeated(sum(n - 1 for n in pixels.values()), sum(n for n in texts.values() if n > 1))


def encoded(model: AdapterModel, data: PictureSet, place: torch.device) -> Examples:
    """From indices (B,) to posteriors (B, 2C, h, w) of the VAE and text embeddings (B, L, D), all on ``place``.
    DataError names a caption that is too long for the base."""
    texts = captions_of(data, model.setup)
    distinct = sorted(set(texts))
    posteriors = model.base.encode_pictures(data.images, place)
    try:
        table = model.base.encode_text(distinct, place)
    except DataError as error:
        raise DataError(f"a caption cannot be used: {error.message}", hint=error.hint) from error
    number = {text: index for index, text in enumerate(distinct)}
    rows = torch.tensor([number[text] for text in texts], device=place)
    return lambda part: (posteriors[part], table[rows[part]])


def examples(model: AdapterModel, data: PictureSet, place: torch.device) -> Examples:
    """The same, to be trained on: what is repeated is told."""
    model.base.empty_text(place)  # now, not in the middle of a step
    found = repeated(data, model.setup)
    if found.pictures or found.captions:
        log.warning(
            "of %d pictures %d repeat another one, and %d share their caption: what is repeated is memorised first",
            len(data), found.pictures, found.captions,
        )  # fmt: skip
    return encoded(model, data, place)


def denoising_loss(
    model: AdapterModel,
    forward: Forward,
    images: Tensor,
    labels: Tensor,
    random: Generator,
    label_dropout: float,
    time_spread: float = 0.0,
    rows: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the prediction on latents drawn from posteriors (B, 2C, h, w) under texts (B, L, D).

    Of every caption the share ``label_dropout`` is replaced by the empty one, which guidance needs. Numbers are drawn
    for the whole batch from ``random``; with ``rows`` the mean is over these rows of it.
    """
    place = images.device
    mean, deviation = images.chunk(2, 1)
    drawn = torch.randn((2, *mean.shape), generator=random, device=random.device).to(place)
    times = drawn_times(len(images), model.base.timesteps, time_spread, random).to(place)
    latents, noise = mean + deviation * drawn[0], drawn[1]
    if label_dropout:
        dropped = torch.rand(len(labels), generator=random, device=random.device).to(place) < label_dropout
        labels = torch.where(dropped[:, None, None], model.base.empty_text(place), labels)
    if rows is not None:
        latents, labels, noise, times = latents[rows], labels[rows], noise[rows], times[rows]
    found, target = prediction_and_target(model, forward, latents, labels, noise, times)
    return F.mse_loss(found, target)


def prediction_and_target(
    model: AdapterModel, forward: Forward, latents: Tensor, texts: Tensor, noise: Tensor, times: Tensor
) -> tuple[Tensor, Tensor]:
    """What the network makes of latents (B, C, h, w) under this noise at these times, and what it should."""
    schedule = model.base.process(latents.device)
    kind = schedule.config.prediction_type
    if kind == "v_prediction":
        target = schedule.get_velocity(latents, noise, times)
    else:
        target = noise if kind == "epsilon" else latents
    return forward(schedule.add_noise(latents, noise, times), times, texts), target
