"""The family of class-conditional DDPMs: a diffusers pipeline of a UNet2DModel and a scheduler (paper, section 5)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pdfed_sdk.errors import PackageInvalid
from pdfed_sdk.family import SOLVERS, Examples, Forward, Losses, Nearness, PackageRules

if TYPE_CHECKING:
    from torch import Generator, Tensor, device

    from pdfed_sdk.ml.data import PictureSet
    from pdfed_sdk.ml.diffusion.model import Ambient, DiffusionModel

MODEL_INDEX: Final = "model_index.json"
UNET_CONFIG: Final = "unet/config.json"
SCHEDULER_CONFIG: Final = "scheduler/scheduler_config.json"
WEIGHTS: Final = "unet/diffusion_pytorch_model.safetensors"
PIPELINES: Final = ("DDPMPipeline", "DDIMPipeline")
HINT: Final = "a package is made by build_package from a folder that DDPMPipeline.save_pretrained wrote, plus README.md"

_SCHEDULER = re.compile(r"[A-Z][A-Za-z0-9]{0,60}Scheduler")


class Ddpm:
    """``ModelFamily`` of ``DiffusionModel``: what `model`, `sampling` and `training` do, under the family's names."""

    name = "ddpm"
    usage = """```python
from diffusers import DDPMPipeline

unet = DDPMPipeline.from_pretrained("this folder").unet  # forward with class_labels
```"""

    @property
    def rules(self) -> PackageRules:
        return PackageRules(WEIGHTS, (MODEL_INDEX, UNET_CONFIG, SCHEDULER_CONFIG), check_configs)

    @property
    def too_near(self) -> Nearness:
        return Nearness(prediction=0.3, hidden=0.6)

    def load(self, folder: Path) -> DiffusionModel:
        from pdfed_sdk.ml.diffusion.model import load_pipeline

        return load_pipeline(folder)

    def save(self, model: DiffusionModel, folder: Path) -> Path:
        from pdfed_sdk.ml.diffusion.model import save_pipeline

        return save_pipeline(model, folder)

    def average(self, models: Sequence[DiffusionModel], weights: Sequence[float]) -> DiffusionModel:
        from pdfed_sdk.ml.diffusion.model import average

        return average(models, weights)

    def sample(
        self,
        model: DiffusionModel,
        n: int,
        seed: bytes,
        *,
        steps: int,
        classes: Sequence[int] | None = None,
        solver: str = SOLVERS[0],
    ) -> tuple[Tensor, Tensor]:
        from pdfed_sdk.ml.diffusion.sampling import sample

        return sample(model, n, seed, steps=steps, classes=classes, solver=solver)

    def check_beside(self, reference: DiffusionModel, candidate: DiffusionModel) -> None:
        """Nothing is frozen: models of any size compete."""

    def captioned(self, model: DiffusionModel, pictures: PictureSet) -> None:
        return None

    def examples(self, model: DiffusionModel, data: PictureSet, place: device) -> Examples:
        images, labels = data.images.to(place), data.labels.to(place)
        return lambda part: (images[part].float().div_(127.5).sub_(1), labels[part])

    def loss(
        self,
        model: DiffusionModel,
        forward: Forward,
        images: Tensor,
        labels: Tensor,
        random: Generator,
        label_dropout: float,
        time_spread: float = 0.0,
        rows: Tensor | None = None,
        ambient: Ambient | None = None,
    ) -> Tensor:
        from pdfed_sdk.ml.diffusion.model import denoising_loss

        return denoising_loss(model.config, forward, images, labels, random, label_dropout, time_spread, rows, ambient)

    def validation(self, model: DiffusionModel, heldout: PictureSet, place: device) -> Losses:
        from pdfed_sdk.ml.diffusion.validation import Validation

        return Validation(heldout).losses

    def activations(
        self, model: DiffusionModel, pictures: PictureSet, seed: bytes, moments: Sequence[float]
    ) -> list[tuple[Tensor, list[Tensor]]]:
        from pdfed_sdk.ml.diffusion.activations import activations

        return activations(model, pictures, seed, moments)

    def on_forward(self, model: DiffusionModel, act: Callable[[], None]) -> None:
        model.network.register_forward_pre_hook(lambda *_: act())


FAMILY: Final = Ddpm()


# --- rules of the package --------------------------------------------------------------------------------------------


def check_configs(configs: Mapping[str, Mapping[str, Any]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """PackageInvalid unless the pipeline names a UNet2DModel and a scheduler that its folders hold, of a size that
    stored tensors of these ``shapes`` can fill."""
    scheduler = _check_index(configs[MODEL_INDEX])
    _check_class(configs[SCHEDULER_CONFIG], SCHEDULER_CONFIG, scheduler)
    unet = configs[UNET_CONFIG]
    _check_class(unet, UNET_CONFIG, "UNet2DModel")
    _check_unet_fits(unet, sum(math.prod(shape) for shape in shapes.values()))


def _check_index(index: Mapping[str, Any]) -> str:
    """The classes a pipeline names decide what code loading it runs: only these. Returns the scheduler's class."""
    kind, unet, scheduler = index.get("_class_name"), index.get("unet"), index.get("scheduler")
    parts = {key for key in index if not key.startswith("_")}
    if kind not in PIPELINES or parts != {"unet", "scheduler"} or unet != ["diffusers", "UNet2DModel"]:
        raise PackageInvalid(
            f"{MODEL_INDEX} names {kind!r} of {sorted(parts)} with unet {unet!r}; allowed are {', '.join(PIPELINES)} "
            "of a diffusers UNet2DModel and a scheduler",
            hint=HINT,
        )
    if (
        not isinstance(scheduler, list)
        or len(scheduler) != 2
        or scheduler[0] != "diffusers"
        or not isinstance(scheduler[1], str)
        or not _SCHEDULER.fullmatch(scheduler[1])
    ):
        raise PackageInvalid(f"{MODEL_INDEX} names scheduler {scheduler!r}, not one of diffusers", hint=HINT)
    return scheduler[1]


def _check_class(config: Mapping[str, Any], name: str, expected: str) -> None:
    if config.get("_class_name") != expected:
        raise PackageInvalid(f"{name} is of {config.get('_class_name')!r}, {MODEL_INDEX} says {expected!r}", hint=HINT)


def _check_unet_fits(config: Mapping[str, Any], elements: int) -> None:
    """A bound from below on the parameters the configuration asks for, so that loading cannot exhaust the memory.

    Each of the ``layers_per_block`` residual blocks at width C holds a 3×3 convolution C → C, that is 9·C² numbers.
    """
    widths, layers = config.get("block_out_channels"), config.get("layers_per_block", 2)
    if (
        not isinstance(widths, list)
        or not 1 <= len(widths) <= 16
        or any(type(n) is not int or n < 1 for n in [*widths, layers])
    ):
        raise PackageInvalid(f"{UNET_CONFIG}: block_out_channels {widths!r} × {layers!r} layers cannot be", hint=HINT)
    classes = config.get("num_class_embeds") or 0
    needed = max(layers * sum(9 * width * width for width in widths), classes if type(classes) is int else elements + 1)
    if needed > elements:
        raise PackageInvalid(
            f"{UNET_CONFIG} asks for at least {needed} parameters, {WEIGHTS} holds {elements}",
            hint="configuration and weights are of different models",
        )
