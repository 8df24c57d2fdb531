"""Model families: the one seam between a kind of model and everything that trains, scores, packs or shows it.

A family is one module with an object that satisfies ``ModelFamily``, and one entry in ``FAMILIES``. Nothing else in the
SDK names a family's network, files or classes. Modules of families import torch only inside their functions, so that
packages can be checked on machines without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from pdfed_sdk.errors import MlError, PackageInvalid

if TYPE_CHECKING:
    from torch import Generator, Tensor, device
    from torch.nn import Module

FAMILIES: Final = ("pdfed_sdk.ml.diffusion.ddpm:FAMILY", "pdfed_sdk.ml.lora.family:FAMILY")
"""Dotted paths of all families; a folder belongs to the one of whose required files it holds most."""

SOLVERS: Final = ("ddim", "dpm++")
"""How samples are drawn from a model; the first is the default."""

CARD, LICENSE = "README.md", "LICENSE"
"""Files that a package of any family may carry: the model card, which it must, and a licence."""

Forward = Callable[..., Any]
"""The network, or a compiled or captured stand-in for it."""

Examples = Callable[["Tensor"], "tuple[Tensor, Tensor]"]
"""From indices (B,) of training pictures to what a loss takes as images and labels, all on one device."""

Losses = Callable[[Any], "Tensor"]
"""From a model to its losses (n,) float64, on the CPU, on pictures that it is never trained on."""


@dataclass(frozen=True, slots=True)
class PackageRules:
    """Files of a family's package. ``weights`` is the only file with tensors; ``configs`` are flat JSON objects.

    ``check`` takes the parsed configurations by name and the shapes of the stored tensors by name. It raises
    PackageInvalid unless they name only classes of this family and ask for no more parameters than are stored. ``base``
    reads from the configurations the digest, in hex, of what the model is applied to and does not contain.
    """

    weights: str
    configs: tuple[str, ...]
    check: Callable[[Mapping[str, Mapping[str, Any]], Mapping[str, tuple[int, ...]]], None]
    base: Callable[[Mapping[str, Mapping[str, Any]]], str] | None = None

    @property
    def required(self) -> frozenset[str]:
        return frozenset({CARD, self.weights, *self.configs})

    @property
    def allowed(self) -> frozenset[str]:
        return self.required | {LICENSE}


@dataclass(frozen=True, slots=True)
class Nearness:
    """A model that is nearer to another than one of these parts of the usual distance was made from it. ``prediction``:
    of what both predict; ``hidden``: of what their blocks hand on. Calibrated by benchmarks/hidden_parents.py."""

    prediction: float
    hidden: float


class Shape(Protocol):
    """What a configuration of any family says: pixels a side, channels, and classes (0: unconditional)."""

    @property
    def size(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def classes(self) -> int: ...

    def to_json(self) -> str:
        """All of the configuration, so that equal texts mean equal architectures."""
        ...


class Model(Protocol):
    """A model in memory. ``network`` holds its trainable weights."""

    @property
    def config(self) -> Shape: ...

    @property
    def family(self) -> ModelFamily: ...

    @property
    def network(self) -> Module: ...

    def weights_digest(self) -> bytes:
        """32 bytes over names, shapes and values of the weights."""
        ...


class ModelFamily(Protocol):
    """What a kind of model has to bring."""

    @property
    def name(self) -> str:
        """As task cards and manifests write it."""
        ...

    @property
    def rules(self) -> PackageRules: ...

    @property
    def usage(self) -> str:
        """Lines of the model card that say how to load the published folder: Markdown."""
        ...

    @property
    def too_near(self) -> Nearness:
        """From where on a model counts as made from another that it does not declare."""
        ...

    def load(self, folder: Path) -> Model:
        """Read a folder from somebody else. MlError unless every file, shape and value is as the family has it."""
        ...

    def save(self, model: Any, folder: Path) -> Path:
        """Write the folder that is published; returns it."""
        ...

    def average(self, models: Sequence[Any], weights: Sequence[float]) -> Model:
        """Weighted mean of models of one configuration. MlError if they cannot be averaged."""
        ...

    def sample(
        self,
        model: Any,
        n: int,
        seed: bytes,
        *,
        steps: int,
        classes: Sequence[int] | None = None,
        solver: str = SOLVERS[0],
    ) -> tuple[Tensor, Tensor]:
        """``n`` pictures (n, C, S, S) uint8 and their labels (n,) int64: a pure function of weights, n, seed, steps and
        solver."""
        ...

    def check_beside(self, reference: Any, candidate: Any) -> None:
        """MlError if the candidate changes what a task freezes for this family and ``reference`` shows."""
        ...

    def captioned(self, model: Any, pictures: Any) -> Model | None:
        """The same model, sampled by the captions of a PictureSet: how its author would be copied. None if the family
        has no captions."""
        ...

    def examples(self, model: Any, data: Any, place: device) -> Examples:
        """What the loss takes of a PictureSet, on ``place``; whatever can be computed once is computed here. Errors:
        DataError."""
        ...

    def loss(
        self,
        model: Any,
        forward: Forward,
        images: Tensor,
        labels: Tensor,
        random: Generator,
        label_dropout: float,
        time_spread: float = 0.0,
        rows: Tensor | None = None,
    ) -> Tensor:
        """The training loss, a scalar, on a batch of ``examples``, by ``forward``, at times that are spread evenly or
        gather in the middle of the schedule (`drawn_times`). It draws from ``random`` for the whole batch; with
        ``rows`` the mean is over these rows (several processes share a batch). It reads no value back to the host."""
        ...

    def validation(self, model: Any, heldout: Any, place: device) -> Losses:
        """The losses of models of this one's configuration on a PictureSet, always under the same noise. What can be
        computed once is computed here, on ``place``. Errors: DataError."""
        ...

    def activations(
        self, model: Any, pictures: Any, seed: bytes, moments: Sequence[float]
    ) -> list[tuple[Tensor, list[Tensor]]]:
        """For each of the ``moments``, shares of the noise schedule: what the network predicts for a PictureSet of n
        under the noise of ``seed``, (n, D), and what each of its blocks hands on, (n, d); float32, on the CPU. Errors:
        RuntimeError where the model does not run."""
        ...

    def on_forward(self, model: Any, act: Callable[[], None]) -> None:
        """Have ``act`` called before each pass through the model's network, for as long as the model lives."""
        ...


@cache
def families() -> tuple[ModelFamily, ...]:
    """All families, in the order of ``FAMILIES``."""
    found = []
    for path in FAMILIES:
        module, _, name = path.partition(":")
        found.append(getattr(import_module(module), name))
    return tuple(found)


def family_named(name: str) -> ModelFamily:
    """The family that cards call ``name``. Raises MlError."""
    for family in families():
        if family.name == name:
            return family
    known = ", ".join(family.name for family in families())
    raise MlError(f'there is no model family "{name}"', hint=f"known: {known}; a newer version may know more")


def family_of(files: Collection[str]) -> ModelFamily:
    """The family of whose required files most are among ``files``, so that what is missing can be named; of equals, the
    first."""
    return max(families(), key=lambda family: len(family.rules.required & set(files)))


def family_in(folder: Path) -> ModelFamily:
    """The family of an unpacked folder. Raises PackageInvalid if it is none."""
    if not folder.is_dir():
        raise PackageInvalid(f"{folder} is not a folder", hint="name the folder of an unpacked model")
    family = family_of({path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()})
    if missing := sorted(
        name for name in (family.rules.weights, *family.rules.configs) if not (folder / name).is_file()
    ):
        raise PackageInvalid(f"{folder} lacks {missing[0]}", hint=f"a {family.name} model needs it")
    return family


def load_model(folder: Path) -> Model:
    """Read an unpacked model of any family. Raises MlError."""
    try:
        family = family_in(folder)
    except PackageInvalid as error:
        raise MlError(error.message, hint=error.hint) from error
    return family.load(folder)
