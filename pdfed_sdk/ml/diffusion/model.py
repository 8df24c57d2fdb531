"""The class-conditional DDPM: its configuration, its average, and the diffusers pipeline folder it is published as.

Loading trusts nothing: safetensors only, sizes checked before memory is taken, shapes and values before use.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
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
from pdfed_sdk.ml.diffusion.architecture import ModelConfig as ModelConfig
from pdfed_sdk.ml.diffusion.architecture import unet_arguments, unet_fields
from pdfed_sdk.ml.diffusion.ddpm import FAMILY, SCHEDULER_CONFIG, UNET_CONFIG, WEIGHTS, Ddpm
from pdfed_sdk.ml.diffusion.noise import drawn_times

MAX_PARAMETERS = 200_000_000
PREDICTIONS = ("epsilon", "sample", "v_prediction")
BETAS = {"beta_start": 0.0001, "beta_end": 0.02}
"""Ends of the noise schedule, where it is linear."""
UNSAID = {"prediction_type": "epsilon", "rescale_betas_zero_snr": False, "clip_sample": True, **BETAS}
"""What diffusers takes for what a scheduler's configuration does not name."""


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
        return DiffusionModel(UNet2DModel(**unet_arguments(config)), config)


def training_scheduler(config: ModelConfig) -> DDPMScheduler:
    """The forward process, as saved with the pipeline."""
    return DDPMScheduler(
        num_train_timesteps=config.timesteps,
        beta_schedule=config.schedule,
        prediction_type=config.prediction,
        clip_sample=True,
    )


@cache
def _forward_process(config: ModelConfig, place: torch.device) -> DDPMScheduler:
    """One per device, kept for good: diffusers moves a scheduler's constants to where it is called, and the graph of a
    step that was captured on a GPU would go on reading memory that was given back."""
    process = training_scheduler(config)
    process.alphas_cumprod = process.alphas_cumprod.to(place)
    return process


@dataclass(frozen=True)
class Ambient:
    """Noise that each picture keeps for good, (B, C, S, S), up to the time ``level`` of the schedule."""

    noise: Tensor
    level: int


def denoising_loss(
    config: ModelConfig,
    forward: Forward,
    images: Tensor,
    labels: Tensor,
    random: Generator,
    label_dropout: float,
    time_spread: float = 0.0,
    rows: Tensor | None = None,
    ambient: Ambient | None = None,
) -> Tensor:
    """Mean squared error of the network's prediction on images (B, C, S, S) in [-1, 1] noised at random times.

    Noise, times (`drawn_times`) and dropped labels come from ``random``, on its device; the rest is computed where
    ``images`` lie. With ``rows`` they are drawn for the whole batch, and the mean is over these rows of it. With
    ``ambient`` the network never sees a picture through less than its fixed noise at times above that level
    (`ambient_squares`).
    """
    place = images.device
    noise = torch.randn(images.shape, generator=random, device=random.device).to(place)
    times = drawn_times(len(images), config.timesteps, time_spread, random).to(place)
    if label_dropout:
        dropped = torch.rand(len(labels), generator=random, device=random.device).to(place) < label_dropout
        labels = labels.masked_fill(dropped, config.classes)
    fixed = None if ambient is None else ambient.noise
    if rows is not None:
        images, labels, noise, times = images[rows], labels[rows], noise[rows], times[rows]
        fixed = None if fixed is None else fixed[rows]
    if fixed is not None and ambient is not None:
        return ambient_squares(config, forward, images, labels, noise, times, Ambient(fixed, ambient.level)).mean()
    return F.mse_loss(*_prediction_and_target(config, forward, images, labels, noise, times))


def squares(
    config: ModelConfig, forward: Forward, images: Tensor, labels: Tensor, noise: Tensor, times: Tensor
) -> Tensor:
    """The loss of each picture (B,) at these times and under this noise."""
    output, target = _prediction_and_target(config, forward, images, labels, noise, times)
    return (output - target).square().flatten(1).mean(1)


def _prediction_and_target(
    config: ModelConfig, forward: Forward, images: Tensor, labels: Tensor, noise: Tensor, times: Tensor
) -> tuple[Tensor, Tensor]:
    scheduler = _forward_process(config, images.device)
    noisy = scheduler.add_noise(images, noise, times)
    if config.prediction == "v_prediction":
        target = scheduler.get_velocity(images, noise, times)
    else:
        target = noise if config.prediction == "epsilon" else images
    output: Tensor = forward(noisy, times, class_labels=labels if config.classes else None).sample
    return output.float(), target


def ambient_squares(
    config: ModelConfig,
    forward: Forward,
    images: Tensor,
    labels: Tensor,
    noise: Tensor,
    times: Tensor,
    ambient: Ambient,
) -> Tensor:
    """Losses (B,) of ambient score matching (arXiv 2502.21278): at times above the level a picture is its noised self,
    and what the network says of the clean one is held against that through E[y_n | y_t] = (1 - r) E[x | y_t] + r y_t,
    r the ratio of the variances at n and t. Below the level it is the plain loss, and weights are those of the plain
    loss everywhere."""
    kept: Tensor = _forward_process(config, images.device).alphas_cumprod
    share = kept[times].view(-1, 1, 1, 1)
    variance, least = (1 - share) / share, (1 - kept[ambient.level]) / kept[ambient.level]
    high = variance > least
    seen = torch.where(high, images + least.sqrt() * ambient.noise, images)  # y_n, or the picture itself
    ratio = torch.where(high, least / variance, torch.zeros_like(variance))
    spread = seen + (variance - torch.where(high, least, torch.zeros_like(variance))).sqrt() * noise
    state = share.sqrt() * spread
    output: Tensor = forward(state, times, class_labels=labels if config.classes else None).sample.float()
    if config.prediction == "v_prediction":
        clean, weight = share.sqrt() * state - (1 - share).sqrt() * output, 1 / (1 - share)
    elif config.prediction == "epsilon":
        clean, weight = spread - variance.sqrt() * output, 1 / variance
    else:
        clean, weight = output, torch.ones_like(share)
    apart: Tensor = (1 - ratio) * clean + ratio * spread - seen
    squared: Tensor = weight * apart.square()
    return squared.flatten(1).mean(1)


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
        unet = UNet2DModel(**unet_arguments(config))
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
    scheduler = {**UNSAID, **scheduler}
    try:
        config = ModelConfig(
            **unet_fields(unet),
            timesteps=int(scheduler["num_train_timesteps"]),
            schedule=str(scheduler["beta_schedule"]),
            prediction=_prediction(scheduler["prediction_type"]),
        )
        _check_same(scheduler, {"clip_sample": True, "trained_betas": None, "rescale_betas_zero_snr": False, **BETAS})
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
