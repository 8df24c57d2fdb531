"""The class-conditional DDPM: its configuration, its average, and the diffusers pipeline folder it is published as.

Loading trusts nothing: safetensors only, sizes checked before memory is taken, shapes and values before use.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors import SafetensorError, safe_open
from torch import Generator, Tensor
from torch.nn import functional as F

from pdfed_sdk.errors import MlError
from pdfed_sdk.family import Forward
from pdfed_sdk.ml.diffusion.ddpm import FAMILY, SCHEDULER_CONFIG, UNET_CONFIG, WEIGHTS, Ddpm

MAX_PARAMETERS = 200_000_000
PREDICTIONS = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True)
class ModelConfig:
    """Architecture and noise schedule. ``classes`` 0 means unconditional; with label dropout one extra embedding,
    the last, stands for "no label". The default has 0.165 M parameters and trains 570 pictures a core-second."""

    size: int = 16
    channels: int = 1
    classes: int = 10
    widths: tuple[int, ...] = (16, 32)
    layers: int = 1
    timesteps: int = 1000
    schedule: str = "squaredcos_cap_v2"
    prediction: str = "v_prediction"

    def __post_init__(self) -> None:
        steps = len(self.widths) - 1
        if not 4 <= self.size <= 1024 or self.size % (1 << steps):
            raise MlError(f"size is {self.size}, expected 4 to 1024 and a multiple of {1 << steps}")
        if self.channels not in (1, 3) or not 0 <= self.classes <= 10_000:
            raise MlError(f"channels is {self.channels} and classes {self.classes}, expected 1 or 3 and 0 to 10000")
        if not 1 <= len(self.widths) <= 6 or any(w % 8 or not 8 <= w <= 1024 for w in self.widths):
            raise MlError(f"widths is {self.widths}, expected 1 to 6 multiples of 8 up to 1024")
        if not 1 <= self.layers <= 4 or not 1 <= self.timesteps <= 10_000:
            raise MlError(f"layers is {self.layers} and timesteps {self.timesteps}, limits 4 and 10000")

    def to_json(self) -> str:
        """JSON of all fields, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> ModelConfig:
        """Inverse of `to_json`; unknown keys are refused."""
        values = json.loads(text)
        unknown = set(values) - {f.name for f in fields(ModelConfig)}
        if unknown:
            raise MlError(f"unknown key in a model configuration: {', '.join(sorted(unknown))}")
        return ModelConfig(**{**values, "widths": tuple(values.get("widths", (16, 32)))})


@dataclass(frozen=True, eq=False)
class DiffusionModel:
    """A UNet with its configuration. Inputs in [-1, 1]."""

    network: UNet2DModel
    config: ModelConfig

    @property
    def family(self) -> Ddpm:
        """The class-conditional DDPMs."""
        return FAMILY

    @property
    def parameter_count(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.network.parameters())

    def weights_digest(self) -> bytes:
        """SHA-256 over names, shapes and values of the weights (not of the file; that is `file_digest`)."""
        sha = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            sha.update(f"{name}{tuple(tensor.shape)}".encode())
            sha.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        return sha.digest()


def new_model(config: ModelConfig, seed: int = 0) -> DiffusionModel:
    """Fresh weights; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DiffusionModel(UNet2DModel(**_unet_arguments(config)), config)


def _unet_arguments(config: ModelConfig) -> dict[str, Any]:
    levels = len(config.widths)
    return {
        "sample_size": config.size,
        "in_channels": config.channels,
        "out_channels": config.channels,
        "block_out_channels": list(config.widths),
        "layers_per_block": config.layers,
        "down_block_types": ["DownBlock2D"] * levels,
        "up_block_types": ["UpBlock2D"] * levels,
        "norm_num_groups": 8,
        "attention_head_dim": 8,
        "num_class_embeds": config.classes + 1 if config.classes else None,
    }


def training_scheduler(config: ModelConfig) -> DDPMScheduler:
    """The forward process, as saved with the pipeline."""
    return DDPMScheduler(
        num_train_timesteps=config.timesteps,
        beta_schedule=config.schedule,
        prediction_type=config.prediction,
        clip_sample=True,
    )


@cache
def _forward_process(config: ModelConfig) -> DDPMScheduler:
    return training_scheduler(config)


def denoising_loss(
    config: ModelConfig,
    forward: Forward,
    images: Tensor,
    labels: Tensor,
    random: Generator,
    label_dropout: float,
    rows: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the network's prediction on images (B, C, S, S) in [-1, 1] noised at random times.

    Noise, times and dropped labels come from ``random``, on its device; the rest is computed where ``images`` lie.
    With ``rows`` they are drawn for the whole batch, and the mean is over these rows of it.
    """
    scheduler, place = _forward_process(config), images.device
    noise = torch.randn(images.shape, generator=random, device=random.device).to(place)
    times = torch.randint(0, config.timesteps, (len(images),), generator=random, device=random.device).to(place)
    if label_dropout:
        dropped = torch.rand(len(labels), generator=random, device=random.device).to(place) < label_dropout
        labels = labels.masked_fill(dropped, config.classes)
    if rows is not None:
        images, labels, noise, times = images[rows], labels[rows], noise[rows], times[rows]
    noisy = scheduler.add_noise(images, noise, times)
    if config.prediction == "v_prediction":
        target = scheduler.get_velocity(images, noise, times)
    else:
        target = noise if config.prediction == "epsilon" else images
    output = forward(noisy, times, class_labels=labels if config.classes else None).sample
    return F.mse_loss(output.float(), target)


def average(models: Sequence[DiffusionModel], weights: Sequence[float]) -> DiffusionModel:
    """Weighted mean of the weights of models of one configuration (weights >= 0, any positive sum)."""
    total = float(sum(weights))
    if len(models) != len(weights) or not models or min(weights) < 0 or not total > 0 or not math.isfinite(total):
        raise MlError(f"{len(models)} models with weights {tuple(weights)}: expected one non-negative weight a model")
    if any(model.config != models[0].config for model in models):
        raise MlError("models of different configurations cannot be averaged")
    result = new_model(models[0].config)
    mean: dict[str, Tensor] = {}
    states = [model.network.state_dict() for model in models]
    for name, tensor in states[0].items():
        parts = (state[name].double() * (w / total) for state, w in zip(states, weights, strict=True))
        mean[name] = torch.stack(list(parts)).sum(0).to(tensor.dtype)
    result.network.load_state_dict(mean)
    return result


def save_pipeline(model: DiffusionModel, folder: Path) -> Path:
    """Write the standard diffusers folder (`DDPMPipeline.from_pretrained(folder)` loads it); returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = DDPMPipeline(unet=model.network.cpu().float(), scheduler=training_scheduler(model.config))
    pipeline.save_pretrained(str(folder), safe_serialization=True)
    return folder


def weights_file(folder: Path) -> Path:
    """The safetensors file of a pipeline folder."""
    return folder / WEIGHTS


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file, 32 bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def load_pipeline(folder: Path, *, expect: ModelConfig | None = None, max_bytes: int = 64 << 20) -> DiffusionModel:
    """Read a pipeline folder from somebody else. MlError if it is too large, of another architecture than
    ``expect``, not safetensors, misses or adds a tensor, or holds NaN or infinity."""
    config = _read_config(folder)
    if expect is not None and config != expect:
        raise MlError(f"the model is {config.to_json()}, the task wants {expect.to_json()}")
    path = weights_file(folder)
    if not path.is_file():
        raise MlError(f"{folder.name} lacks {WEIGHTS}", hint="only safetensors weights are read")
    if path.stat().st_size > max_bytes:
        raise MlError(f"{WEIGHTS} has {path.stat().st_size} bytes, limit {max_bytes}")
    with torch.device("meta"):
        unet = UNet2DModel(**_unet_arguments(config))
    wanted = {name: tuple(tensor.shape) for name, tensor in unet.state_dict().items()}
    if sum(math.prod(shape) for shape in wanted.values()) > min(MAX_PARAMETERS, max_bytes):
        raise MlError(f"the configuration asks for more parameters than {max_bytes} bytes can hold")
    state = _read_weights(path, wanted)
    unet.load_state_dict(state, assign=True)
    return DiffusionModel(unet.eval(), config)


def _read_weights(path: Path, wanted: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    try:
        with safe_open(str(path), framework="pt") as file:
            names = set(file.keys())
            if names != set(wanted):
                odd = sorted(names.symmetric_difference(wanted))[:3]
                raise MlError(f"the tensors differ from the configuration's, first: {', '.join(odd)}")
            state = {}
            for name, shape in wanted.items():
                if tuple(file.get_slice(name).get_shape()) != shape:
                    raise MlError(f"tensor {name} has shape {file.get_slice(name).get_shape()}, expected {shape}")
                tensor = file.get_tensor(name)
                if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
                    raise MlError(f"tensor {name} holds values that are not finite numbers")
                state[name] = tensor.float().clone()  # off the mapped file, which may change
    except (SafetensorError, OSError, ValueError) as error:
        raise MlError(f"{path.name} is not a readable safetensors file: {error}") from error
    return state


def _read_config(folder: Path) -> ModelConfig:
    unet, scheduler = (_read_json(folder / part) for part in (UNET_CONFIG, SCHEDULER_CONFIG))
    if unet.get("_class_name") != "UNet2DModel":
        raise MlError(f"unet/config.json names {unet.get('_class_name')!r}, expected 'UNet2DModel'")
    embeddings = unet.get("num_class_embeds")
    try:
        config = ModelConfig(
            size=int(unet["sample_size"]),
            channels=int(unet["in_channels"]),
            classes=int(embeddings) - 1 if embeddings else 0,
            widths=tuple(int(width) for width in unet["block_out_channels"]),
            layers=int(unet["layers_per_block"]),
            timesteps=int(scheduler["num_train_timesteps"]),
            schedule=str(scheduler["beta_schedule"]),
            prediction=_prediction(scheduler["prediction_type"]),
        )
        _check_same(unet, _unet_arguments(config))
        _check_same(scheduler, {"clip_sample": True, "trained_betas": None, "rescale_betas_zero_snr": False})
        training_scheduler(config)
    except (KeyError, TypeError, ValueError, ArithmeticError, NotImplementedError, RuntimeError) as error:
        raise MlError(f"the model configuration of {folder.name} cannot be used: {error}") from error
    return config


def _prediction(kind: object) -> str:
    """What the network predicts. diffusers asks for it only when it samples, which is too late."""
    if kind not in PREDICTIONS:
        raise MlError(f"prediction_type is {kind!r}, expected one of {', '.join(PREDICTIONS)}")
    return str(kind)


def _check_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for key, value in wanted.items():
        if found.get(key) != value:
            raise MlError(f"configuration key {key} is {found.get(key)!r}, expected {value!r}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > 1 << 20:
            raise MlError(f"{path.name} has {path.stat().st_size} bytes, limit {1 << 20}")
        values = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise MlError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise MlError(f"{path.name} is not a JSON object")
    return values
