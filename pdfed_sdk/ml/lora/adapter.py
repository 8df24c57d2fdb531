"""An adapter in memory and on disk. Its network holds the LoRA matrices alone; the UNet they change is shared."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pdfed_sdk.errors import MlError, PackageInvalid
from pdfed_sdk.ml.lora.base import ADAPTER, Base, base_named
from pdfed_sdk.ml.lora.family import FAMILY, SETUP, WEIGHTS, LatentLora, check_tensors
from pdfed_sdk.ml.lora.setup import AdapterSetup

MOST_BYTES = 1 << 30
_MOST_SETUP = 1 << 16


class AdaptedUNet(nn.Module):
    """The base's UNet with these LoRA matrices. Parameters are float32 and named as in the package, with "/" for the
    dots, which torch keeps for itself. The base is no sub-module: it is neither copied nor saved."""

    def __init__(self, base: Base, setup: AdapterSetup, matrices: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.base, self._rank, self._targets = base, setup.rank, setup.targets
        for name, matrix in sorted(matrices.items()):
            self.register_parameter(name.replace(".", "/"), nn.Parameter(matrix.detach().float().clone()))

    def forward(self, latents: Tensor, times: Tensor, text: Tensor) -> Tensor:
        """What the UNet predicts for latents (B, C, h, w), times (B,) and text (B, L, D); float32."""
        unet = self.unet(latents.device)
        own = {_place(name): matrix for name, matrix in self.matrices().items()}
        arguments = (latents.to(unet.dtype), times, text.to(unet.dtype))
        found: Tensor = torch.func.functional_call(unet, own, arguments, {"return_dict": False})[0]
        return found.float()

    def unet(self, device: torch.device) -> Any:
        """The UNet on ``device`` that all adapters of this rank and these targets share."""
        return self.base.unet(self._rank, self._targets, device)

    def matrices(self) -> dict[str, Tensor]:
        """LoRA matrices by their names in the package."""
        return {name.replace("/", "."): matrix for name, matrix in self.named_parameters()}


@dataclass(frozen=True, eq=False)
class AdapterModel:
    """An adapter with the setup of its task. ``prompts`` are drawn when it is sampled, the setup's if empty; prompt i
    is of the class ``prompt_classes[i]``."""

    network: AdaptedUNet
    setup: AdapterSetup
    prompts: tuple[str, ...] = ()
    prompt_classes: tuple[int, ...] = ()

    @property
    def config(self) -> AdapterShape:
        return AdapterShape(self.setup)

    @property
    def family(self) -> LatentLora:
        """The adapters of latent text-to-image models."""
        return FAMILY

    @property
    def base(self) -> Base:
        return self.network.base

    def weights_digest(self) -> bytes:
        """SHA-256 over names, shapes and values of the LoRA matrices."""
        sha = hashlib.sha256()
        for name, matrix in sorted(self.network.matrices().items()):
            sha.update(f"{name}{tuple(matrix.shape)}".encode())
            sha.update(matrix.detach().cpu().float().contiguous().numpy().tobytes())
        return sha.digest()


@dataclass(frozen=True)
class AdapterShape:
    """The setup as `family.Shape`. Captions, not labels, condition an adapter: it asks for no classes."""

    setup: AdapterSetup

    @property
    def size(self) -> int:
        return self.setup.resolution

    @property
    def channels(self) -> int:
        return 3

    @property
    def classes(self) -> int:
        return 0

    def to_json(self) -> str:
        return self.setup.to_json()


def new_adapter(setup: AdapterSetup, seed: int = 0) -> AdapterModel:
    """An adapter that changes nothing yet: A uniform as in PEFT, B zero. MlError: no base, or no targets."""
    base = base_named(setup.base)
    if setup.resolution % base.shrinkage:
        raise MlError(f"resolution is {setup.resolution}, expected a multiple of {base.shrinkage} for this base")
    random, matrices = torch.Generator().manual_seed(seed), {}
    for name, shape in wanted_shapes(base, setup).items():
        matrices[name] = torch.zeros(shape)
        if ".lora_A." in name:
            bound = 1 / math.sqrt(shape[1])
            matrices[name].uniform_(-bound, bound, generator=random)
    return AdapterModel(AdaptedUNet(base, setup, matrices), setup)


def wanted_shapes(base: Base, setup: AdapterSetup) -> dict[str, tuple[int, ...]]:
    """Every LoRA matrix that the base takes under this setup, in order of name. No network is made for it: a stranger
    may ask for any rank."""
    found: dict[str, tuple[int, ...]] = {}
    for name, (outputs, inputs) in base.linears.items():
        if any(name.endswith(f".{target}") for target in setup.targets):
            found[f"unet.{name}.lora_A.weight"] = (setup.rank, inputs)
            found[f"unet.{name}.lora_B.weight"] = (outputs, setup.rank)
    for target in setup.targets:
        if not any(f".{target}.lora_A." in name for name in found):
            raise MlError(f"the UNet of the base {base.folder} has no module {target}", hint="choose other targets")
    return dict(sorted(found.items()))


def save_adapter(model: AdapterModel, folder: Path) -> Path:
    """Write matrices and setup; returns ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    matrices = {name: matrix.detach().cpu().contiguous() for name, matrix in model.network.matrices().items()}
    save_file(matrices, folder / WEIGHTS, {"format": "pt"})
    (folder / SETUP).write_text(json.dumps(model.setup.to_dict(), indent=1, sort_keys=True), encoding="utf-8")
    return folder


def load_adapter(folder: Path) -> AdapterModel:
    """Read a folder from somebody else. MlError unless every matrix is a LoRA of the base at hand, and finite."""
    setup = read_setup(folder / SETUP)
    try:
        if (folder / WEIGHTS).stat().st_size > MOST_BYTES:
            raise MlError(f"{WEIGHTS} has more than {MOST_BYTES} bytes")
        with safe_open(str(folder / WEIGHTS), framework="pt") as file:
            names = list(file.keys())
            check_tensors(setup, {name: tuple(file.get_slice(name).get_shape()) for name in names})
            base = base_named(setup.base)
            _check_same(wanted_shapes(base, setup), {n: tuple(file.get_slice(n).get_shape()) for n in names})
            matrices = {name: file.get_tensor(name) for name in names}
    except PackageInvalid as error:
        raise MlError(error.message, hint=error.hint) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise MlError(f"{WEIGHTS} is not a readable safetensors file: {error}") from error
    for name, matrix in matrices.items():
        if not matrix.is_floating_point() or not bool(torch.isfinite(matrix).all()):
            raise MlError(f"matrix {name} holds values that are not finite numbers")
    return AdapterModel(AdaptedUNet(base, setup, matrices).eval(), setup)


def read_setup(path: Path) -> AdapterSetup:
    """The setup in a file from somebody else. Raises MlError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_SETUP + 1)
        values: Any = json.loads(data) if len(data) <= _MOST_SETUP else None
    except (OSError, ValueError, RecursionError) as error:
        raise MlError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise MlError(f"{path.name} is not a JSON object of at most {_MOST_SETUP} bytes")
    return AdapterSetup.from_dict(values)


def with_matrices(model: AdapterModel, matrices: Mapping[str, Tensor]) -> AdapterModel:
    """The same setup and base with other matrices."""
    return dataclasses.replace(model, network=AdaptedUNet(model.base, model.setup, matrices).eval())


def _place(name: str) -> str:
    """Where a matrix of the package lies in the UNet that PEFT injected."""
    stem, half, _ = name.removeprefix("unet.").rsplit(".", 2)
    return f"{stem}.{half}.{ADAPTER}.weight"


def _check_same(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> None:
    if odd := sorted(set(wanted).symmetric_difference(found)):
        which = "lacks" if odd[0] in wanted else "holds, against the base,"
        raise MlError(f"the adapter {which} {odd[0]:.120}", hint="adapters change the modules that the setup names")
    for name, shape in wanted.items():
        if found[name] != shape:
            raise MlError(f"matrix {name} has shape {found[name]}, the base wants {shape}")
