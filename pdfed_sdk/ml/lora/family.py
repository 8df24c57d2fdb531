"""The family of LoRA adapters over a frozen latent text-to-image model, which every node has on its own disk.

A package holds the adapter alone, in the layout that ``pipeline.load_lora_weights`` of diffusers takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pdfed_sdk.errors import MlError, PackageInvalid
from pdfed_sdk.family import SOLVERS, Examples, Forward, Losses, Nearness, PackageRules
from pdfed_sdk.ml.lora.setup import AdapterSetup

if TYPE_CHECKING:
    from torch import Generator, Tensor, device

    from pdfed_sdk.ml.data import PictureSet
    from pdfed_sdk.ml.lora.adapter import AdapterModel

WEIGHTS: Final = "pytorch_lora_weights.safetensors"
SETUP: Final = "adapter_setup.json"
HINT: Final = "a package holds the LoRA matrices of the UNet and the setup of the task, nothing else"

_TENSOR = re.compile(r"unet\.((?:[a-z0-9_]+\.)+[a-z0-9_]+)\.lora_(A|B)\.weight")


class LatentLora:
    """``ModelFamily`` of ``AdapterModel``."""

    name = "latent-lora"
    usage = """```python
from diffusers import StableDiffusionPipeline

pipeline = StableDiffusionPipeline.from_pretrained("the base that adapter_setup.json names by its digest")
pipeline.load_lora_weights("this folder")
```"""

    @property
    def rules(self) -> PackageRules:
        return PackageRules(WEIGHTS, (SETUP,), check_package, base=lambda configs: str(configs[SETUP]["base"]))

    @property
    def too_near(self) -> Nearness:
        """Adapters of one task move in few directions: honest siblings have hidden layers as near as 0.5."""
        return Nearness(prediction=0.5, hidden=0.3)

    def load(self, folder: Path) -> AdapterModel:
        from pdfed_sdk.ml.lora.adapter import load_adapter

        return load_adapter(folder)

    def save(self, model: AdapterModel, folder: Path) -> Path:
        from pdfed_sdk.ml.lora.adapter import save_adapter

        return save_adapter(model, folder)

    def average(self, models: Sequence[AdapterModel], weights: Sequence[float]) -> AdapterModel:
        from pdfed_sdk.ml.lora.averaging import average

        return average(models, weights).model

    def sample(
        self,
        model: AdapterModel,
        n: int,
        seed: bytes,
        *,
        steps: int,
        classes: Sequence[int] | None = None,
        solver: str = SOLVERS[0],
    ) -> tuple[Tensor, Tensor]:
        from pdfed_sdk.ml.lora.sampling import sample

        return sample(model, n, seed, steps=steps, classes=classes, solver=solver)

    def check_beside(self, reference: AdapterModel, candidate: AdapterModel) -> None:
        """One setup a task: a candidate with other prompts or another rank would be measured by another yardstick."""
        own, frozen = candidate.setup.to_dict(), reference.setup.to_dict()
        if odd := [name for name in frozen if own[name] != frozen[name]]:
            raise MlError(f"{odd[0]} of the adapter is {own[odd[0]]!r:.120}, the task's is {frozen[odd[0]]!r:.120}")

    def captioned(self, model: AdapterModel, pictures: PictureSet) -> AdapterModel:
        from pdfed_sdk.ml.lora.sampling import with_captions

        return with_captions(model, pictures)

    def examples(self, model: AdapterModel, data: PictureSet, place: device) -> Examples:
        from pdfed_sdk.ml.lora.learning import examples

        return examples(model, data, place)

    def loss(
        self,
        model: AdapterModel,
        forward: Forward,
        images: Tensor,
        labels: Tensor,
        random: Generator,
        label_dropout: float,
        time_spread: float = 0.0,
        rows: Tensor | None = None,
    ) -> Tensor:
        from pdfed_sdk.ml.lora.learning import denoising_loss

        return denoising_loss(model, forward, images, labels, random, label_dropout, time_spread, rows)

    def validation(self, model: AdapterModel, heldout: PictureSet, place: device) -> Losses:
        from pdfed_sdk.ml.lora.looking import validation

        return validation(model, heldout, place)

    def activations(
        self, model: AdapterModel, pictures: PictureSet, seed: bytes, moments: Sequence[float]
    ) -> list[tuple[Tensor, list[Tensor]]]:
        from pdfed_sdk.ml.lora.looking import activations

        return activations(model, pictures, seed, moments)

    def on_forward(self, model: AdapterModel, act: Callable[[], None]) -> None:
        model.network.register_forward_pre_hook(lambda *_: act())


FAMILY: Final = LatentLora()


# --- rules of the package --------------------------------------------------------------------------------------------


def check_package(configs: Mapping[str, Mapping[str, Any]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """PackageInvalid unless the setup can be and every tensor is one half of a LoRA of its rank on a target of it.
    Whether the base has these modules, in these widths, is seen when the adapter is loaded."""
    try:
        setup = AdapterSetup.from_dict(configs[SETUP])
    except MlError as error:
        raise PackageInvalid(f"{SETUP}: {error.message}", hint=error.hint or HINT) from error
    check_tensors(setup, shapes)


def check_tensors(setup: AdapterSetup, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The same of the tensors alone. Raises PackageInvalid."""
    halves: dict[str, set[str]] = {}
    for name, shape in shapes.items():
        found = _TENSOR.fullmatch(name)
        if found is None:
            raise PackageInvalid(f"{WEIGHTS} holds {name!r:.120}, which is no LoRA matrix of a UNet", hint=HINT)
        module, half = found.groups()
        if not any(module.endswith("." + target) for target in setup.targets):
            raise PackageInvalid(
                f"{WEIGHTS} changes {module!r:.120}, the setup names {', '.join(setup.targets)}", hint=HINT
            )
        if len(shape) != 2 or shape[0 if half == "A" else 1] != setup.rank:
            raise PackageInvalid(f"{name:.120} has shape {shape}, the setup says rank {setup.rank}", hint=HINT)
        halves.setdefault(module, set()).add(half)
    if lone := sorted(module for module, found in halves.items() if len(found) < 2):
        raise PackageInvalid(f"{WEIGHTS} holds one half only of {lone[0]!r:.120}", hint=HINT)
