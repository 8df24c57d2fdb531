"""Seeded sampling: a function of (weights, n, seed, steps, solver), so a revealed vote's samples can be recomputed.

Each sample has its own noise, of (seed, index) alone: the first k of n samples are the samples of k, and parent and
child see the same noise (common random numbers). On a CPU the network runs in blocks of a fixed size, padded, so that
no bit depends on how many samples were asked for. On a GPU it runs in blocks as large as pays, all steps of a block as
one CUDA graph once a configuration comes up again; there, how a matrix product is cut may move a value by a grey level.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor, nn

from pdfed_sdk.errors import DataError
from pdfed_sdk.family import SOLVERS
from pdfed_sdk.ml.diffusion.model import DiffusionModel, ModelConfig
from pdfed_sdk.ml.diffusion.noise import normal_block
from pdfed_sdk.ml.diffusion.noise import seeded_normal as seeded_normal

BLOCK = 64
LARGE = 1_024
"""Pictures a block at most on a GPU, at 32 px; fewer of larger ones."""
KEPT = 2
"""Captured graphs a process keeps."""

Scheduler = Any
"""A deterministic scheduler of diffusers, which has no types."""


def sampling_scheduler(config: ModelConfig, solver: str = "ddim") -> Scheduler:
    """The deterministic solver over the same process: DDIM, or DPM-Solver++ of second order (arXiv 2211.01095), which
    needs fewer steps. Errors: DataError."""
    common = {
        "num_train_timesteps": config.timesteps,
        "beta_schedule": config.schedule,
        "prediction_type": config.prediction,
        "timestep_spacing": "trailing",
    }
    if solver == "ddim":
        return DDIMScheduler(**common, clip_sample=True)
    if solver == "dpm++":
        return DPMSolverMultistepScheduler(**common, thresholding=True, dynamic_thresholding_ratio=1.0)
    raise DataError(f"solver is {solver!r}, one of {', '.join(SOLVERS)}")


def sample(
    model: DiffusionModel,
    n: int,
    seed: bytes,
    *,
    steps: int = 10,
    classes: Sequence[int] | None = None,
    solver: str = "ddim",
) -> tuple[Tensor, Tensor]:
    """``n`` pictures (n, C, S, S) uint8 and their labels (n,) int64, on the CPU, by ``steps`` of the solver.

    Labels cycle through ``classes`` (default: all of the model's), so they are spread evenly; an unconditional model
    gives -1. Runs where the model lies. Errors: DataError.
    """
    config = model.config
    if n < 1 or not 1 <= steps <= config.timesteps or not seed:
        raise DataError(f"n is {n}, steps {steps} and the seed has {len(seed)} bytes: all must be at least 1")
    chosen = list(range(config.classes)) if classes is None else list(classes)
    if any(not 0 <= label < config.classes for label in chosen) or (config.classes and not chosen):
        raise DataError(f"classes is {chosen}, limits 0 and {config.classes - 1}")
    device = next(model.network.parameters()).device
    block = _block_of(n, config, device)
    padded = -(-n // block) * block
    labels = torch.tensor([chosen[i % len(chosen)] if chosen else -1 for i in range(padded)], dtype=torch.int64)
    denoiser = _denoiser_for(model, block, steps, solver, device)
    parts = []
    for start in range(0, padded, block):
        noise = normal_block(seed, start, block, (config.channels, config.size, config.size), device)
        parts.append(denoiser(noise, labels[start : start + block].to(device)))
    return torch.cat(parts)[:n].cpu(), labels[:n]


def _block_of(n: int, config: ModelConfig, device: torch.device) -> int:
    if device.type == "cpu":
        return BLOCK
    most = max(BLOCK, LARGE * 32**2 // config.size**2 // BLOCK * BLOCK)
    blocks = -(-n // min(most, 4 * LARGE))
    return -(-n // blocks // BLOCK) * BLOCK


class _Denoiser:
    """All steps of one block: noise (b, C, S, S) and labels (b,) to pictures uint8, on their device."""

    def __init__(self, network: nn.Module, config: ModelConfig, steps: int, solver: str, device: torch.device) -> None:
        self.network, self._config, self._solver, self._steps = network.eval(), config, solver, steps
        timesteps = self._scheduler().timesteps
        self._times = [(int(step), step.to(device)) for step in timesteps]

    def _scheduler(self) -> Scheduler:
        scheduler = sampling_scheduler(self._config, self._solver)
        scheduler.set_timesteps(self._steps)
        return scheduler

    @torch.no_grad()
    def __call__(self, noise: Tensor, labels: Tensor) -> Tensor:
        scheduler, state = self._scheduler(), noise
        condition = labels if self._config.classes else None
        for number, time in self._times:
            output = self.network(state, time, class_labels=condition, return_dict=False)[0]
            state = scheduler.step(output, number, state, return_dict=False)[0]
        pixels = torch.nan_to_num(state, nan=0.0).clamp(-1, 1).add(1).mul(127.5).round()
        return pixels.to(torch.uint8)


class _Captured:
    """A denoiser as one CUDA graph with a network of its own, into which the weights of any model of the same shape are
    copied. The first block runs eagerly, the second is captured."""

    def __init__(self, model: DiffusionModel, block: int, steps: int, solver: str, device: torch.device) -> None:
        config, network = model.config, copy.deepcopy(model.network).requires_grad_(False)
        network._forward_pre_hooks.clear()
        self._denoiser = _Denoiser(network, config, steps, solver, device)
        self._noise = torch.zeros(block, config.channels, config.size, config.size, device=device)
        self._labels = torch.zeros(block, dtype=torch.int64, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._pictures = torch.empty(0)
        self._blocks = 0
        self._hooked: nn.Module = model.network

    def take(self, model: DiffusionModel) -> _Captured:
        """Go on with this model's weights."""
        self._hooked = model.network
        own, others = self._denoiser.network.state_dict(), model.network.state_dict()
        torch._foreach_copy_(list(own.values()), [others[name] for name in own])
        return self

    def __call__(self, noise: Tensor, labels: Tensor) -> Tensor:
        for hook in self._hooked._forward_pre_hooks.values():  # a graph runs none: they are run once a block
            hook(self._hooked, ())
        self._blocks += 1
        self._noise.copy_(noise)
        self._labels.copy_(labels)
        if self._blocks == 1:
            return self._denoiser(self._noise, self._labels)
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            torch.cuda.synchronize()
            with torch.cuda.graph(self._graph):
                self._pictures = self._denoiser(self._noise, self._labels)
        self._graph.replay()
        return self._pictures.clone()


_captured: OrderedDict[object, _Captured] = OrderedDict()


def _denoiser_for(
    model: DiffusionModel, block: int, steps: int, solver: str, device: torch.device
) -> _Denoiser | _Captured:
    if device.type != "cuda":
        return _Denoiser(model.network, model.config, steps, solver, device)
    shapes = tuple((name, tuple(tensor.shape)) for name, tensor in model.network.state_dict().items())
    key = (model.config, shapes, block, steps, solver, device)
    if key not in _captured:
        while len(_captured) >= KEPT:
            _captured.popitem(last=False)
        _captured[key] = _Captured(model, block, steps, solver, device)
    _captured.move_to_end(key)
    return _captured[key].take(model)
