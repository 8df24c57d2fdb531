"""A validation score of a run: the loss on pictures that are never trained on, always under the same noise.

Memorisation sets in when the loss on unseen pictures turns up again, at a number of steps proportional to the number of
training pictures (Bonnaire et al. 2025, arXiv 2505.17638). So a run whose validation loss rises beyond its own
uncertainty is stopped, and the weights of its lowest point are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.family import Losses, Model
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.diffusion.model import DiffusionModel, squares
from pdfed_sdk.ml.snapshots import read_tensors, write_tensors

MOST = 128
"""Pictures of a validation set that are used; more cost time and decide no better."""
LEAST_HELDOUT = 2
"""Pictures of a validation set without which nothing can be said."""
DRAWS = 4
"""Times, and noises, at which each picture is looked at."""
SURE = 2.0
"""Standard errors of a difference that count."""


def seldom(every: int, heldout: int) -> int:
    """Pictures between two looks: ``every``, or more, so that looking takes no more than about a tenth of the time. A
    look is ``DRAWS`` passes forward over the held-out pictures, and a training step costs three."""
    return max(1, every, 10 * DRAWS * min(heldout, MOST) // 3)


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences of losses, and its standard error."""

    mean: float
    error: float

    @property
    def is_rise(self) -> bool:
        return self.mean > SURE * self.error

    @property
    def is_fall(self) -> bool:
        return self.mean < -SURE * self.error


@dataclass(frozen=True)
class Draws:
    """The conditions under which ``pictures`` are looked at, always the same: ``noise`` (DRAWS, n, …), and times that
    are spread evenly over the schedule, so that two models are compared picture by picture."""

    pictures: PictureSet
    noise: Tensor
    places: Tensor

    @staticmethod
    def of(heldout: PictureSet, shape: tuple[int, ...] = (), *, seed: int = 0, most: int = MOST) -> Draws:
        """For pictures, or for what is noised in their place, of ``shape`` each. DataError: too few."""
        if len(heldout) < LEAST_HELDOUT:
            raise DataError(f"heldout has {len(heldout)} pictures, a validation score needs at least {LEAST_HELDOUT}")
        shown = heldout.take(range(min(len(heldout), most)))
        random = torch.Generator().manual_seed(seed)
        noise = torch.randn(DRAWS, len(shown), *(shape or shown.images.shape[1:]), generator=random)
        return Draws(shown, noise, torch.rand(len(shown), generator=random))

    def times(self, draw: int, timesteps: int) -> Tensor:
        """(n,) int64: the same stratum of the schedule for all pictures, each at its own place in it."""
        return ((draw + self.places) / DRAWS * timesteps).long()


class Validation:
    """Losses of a class-conditional DDPM on held-out pictures."""

    def __init__(self, heldout: PictureSet, *, seed: int = 0, most: int = MOST) -> None:
        self._draws = Draws.of(heldout, seed=seed, most=most)
        self.pictures = self._draws.pictures

    def __len__(self) -> int:
        return len(self.pictures)

    @torch.no_grad()
    def losses(self, model: DiffusionModel) -> Tensor:
        """Mean squared error of the prediction for each picture, (n,) float64 on the CPU; the model is left as it is.
        DataError for pictures of another shape."""
        config = model.config
        if (config.size, config.channels) != (self.pictures.size, self.pictures.channels):
            raise DataError(
                f"heldout has {self.pictures.size} px, {self.pictures.channels} channels; the model wants "
                f"{config.size} px, {config.channels} channels"
            )
        device = next(model.network.parameters()).device
        clean = self.pictures.images.to(device).float().div(127.5).sub(1)
        labels = self.pictures.labels.to(device)
        training = model.network.training
        model.network.eval()
        found = torch.zeros(len(self), dtype=torch.float64)
        for draw, noise in enumerate(self._draws.noise):
            times = self._draws.times(draw, config.timesteps).to(device)
            found += squares(config, model.network, clean, labels, noise.to(device), times).double().cpu()
        model.network.train(training)
        return found / DRAWS


def difference(after: Tensor, before: Tensor) -> Difference:
    """How much higher the losses ``after`` are than ``before``, picture by picture."""
    apart = after - before
    return Difference(float(apart.mean()), float(apart.std()) / math.sqrt(len(apart)))


class Watch:
    """The lowest point of a run by the losses that ``measure`` takes (`ModelFamily.validation`), with its weights.
    `over` once the losses have been above it, beyond doubt, at two looks in a row."""

    def __init__(self, measure: Losses, every: int) -> None:
        self.measure, self.every = measure, every
        self.losses: Tensor | None = None
        self.weights: dict[str, Tensor] = {}
        self.pictures = self.looked = self.rises = 0
        self.last: float | None = None

    def due(self, pictures: int, total: int) -> bool:
        """Whether it is time for a look, ``pictures`` of ``total`` into the run."""
        return pictures != self.looked and (pictures - self.looked >= self.every or pictures >= total)

    def look(self, model: Model, pictures: int) -> None:
        """Take the score of a model that has seen so many pictures."""
        losses = self.measure(model)
        self.looked, self.last = pictures, float(losses.mean())
        if self.losses is None or self.last < float(self.losses.mean()):
            self.losses, self.pictures, self.rises = losses, pictures, 0
            self.weights = {name: tensor.cpu().clone() for name, tensor in model.network.state_dict().items()}
        else:
            self.rises = self.rises + 1 if difference(losses, self.losses).is_rise else 0

    @property
    def over(self) -> bool:
        return self.rises >= 2

    @property
    def lowest(self) -> float | None:
        return None if self.losses is None else float(self.losses.mean())

    def save(self, path: Path, key: str) -> None:
        """Write atomically. OSError; the file is then as it was."""
        assert self.losses is not None
        facts = {name: str(getattr(self, name)) for name in ("pictures", "looked", "rises")}
        write_tensors(path, {"losses": self.losses, **self.weights}, {"key": key, "last": repr(self.last), **facts})

    def load(self, path: Path, key: str) -> bool:
        """Go on from what the run ``key`` wrote; False if there is nothing of it."""
        found = read_tensors(path, key)
        if found is None:
            return False
        tensors, facts = found
        self.losses, self.weights = tensors.pop("losses"), tensors
        self.pictures, self.looked, self.rises = (int(facts[name]) for name in ("pictures", "looked", "rises"))
        self.last = float(facts["last"])
        return True
