"""Pictures from text, seeded: a function of (weights, prompts, n, seed, steps, solver), as `diffusion.sampling` is.

Which prompts are drawn decides what an attack sees. The setup's are the same for all nodes and are voted on; a node's
own captions are those under which an over-trained adapter hands out its pictures, and they stay with the node.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.family import SOLVERS
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.diffusion.noise import normal_block
from pdfed_sdk.ml.lora.adapter import AdapterModel
from pdfed_sdk.ml.lora.base import Base
from pdfed_sdk.ml.lora.learning import captions_of

BLOCK = 8
"""Pictures a pass on a CPU, always, padded: then no bit depends on how many were asked for."""
LARGE = 64
"""The same on a GPU."""


def scheduler_of(base: Base, solver: str, steps: int) -> Any:
    """The deterministic solver over the base's own process. Errors: DataError."""
    config = {**base.schedule, "timestep_spacing": "trailing"}
    if solver == "ddim":
        scheduler = DDIMScheduler.from_config(config, clip_sample=False)
    elif solver == "dpm++":
        scheduler = DPMSolverMultistepScheduler.from_config(config, thresholding=False)
    else:
        raise DataError(f"solver is {solver!r}, one of {', '.join(SOLVERS)}")
    scheduler.set_timesteps(steps)
    return scheduler


def sample(
    model: AdapterModel,
    n: int,
    seed: bytes,
    *,
    steps: int,
    classes: Sequence[int] | None = None,
    solver: str = SOLVERS[0],
) -> tuple[Tensor, Tensor]:
    """``n`` pictures (n, 3, S, S) uint8 and the classes of their prompts (n,) int64 (-1: none), on the CPU.

    Sample i is of prompt i mod their number, those of ``classes`` if given. Runs where the adapter lies. Errors:
    DataError."""
    base, setup = model.base, model.setup
    if n < 1 or not 1 <= steps <= base.timesteps or not seed:
        raise DataError(f"n is {n}, steps {steps} and the seed has {len(seed)} bytes: all must be at least 1")
    prompts = [one for one in _prompts(model) if classes is None or one[1] in classes]
    if not prompts:
        raise DataError(f"no prompt is of the classes {list(classes or [])}")
    device = next(model.network.parameters()).device
    block = BLOCK if device.type == "cpu" else LARGE
    shape = (base.latent_channels, *(setup.resolution // base.shrinkage,) * 2)
    parts = []
    for start in range(0, n, block):
        texts = [prompts[i % len(prompts)][0] for i in range(start, start + block)]
        noise = normal_block(seed, start, block, shape, device)
        parts.append(_draw(model, noise, texts, steps, solver).cpu())
    labels = torch.tensor([prompts[i % len(prompts)][1] for i in range(n)], dtype=torch.int64)
    return torch.cat(parts)[:n], labels


def _prompts(model: AdapterModel) -> list[tuple[str, int]]:
    if model.prompts:
        return list(zip(model.prompts, model.prompt_classes, strict=True))
    classes = model.setup.classes
    return [(text, number % classes if classes else -1) for number, text in enumerate(model.setup.prompts)]


@torch.no_grad()
def _draw(model: AdapterModel, noise: Tensor, texts: Sequence[str], steps: int, solver: str) -> Tensor:
    base, guidance = model.base, model.setup.guidance
    distinct = sorted(set(texts))
    encoded = base.encode_text(["", *distinct], noise.device)
    text = encoded[[1 + distinct.index(one) for one in texts]]
    guided = guidance > 1.0
    both = torch.cat([encoded[:1].expand_as(text), text]) if guided else text
    scheduler = scheduler_of(base, solver, steps)
    state = noise * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        moment = time.to(noise.device)
        fed = scheduler.scale_model_input(torch.cat([state, state]) if guided else state, time)
        output = model.network(fed, moment.expand(len(fed)), both)
        if guided:
            without, with_text = output.chunk(2)
            output = without + guidance * (with_text - without)
        state = scheduler.step(output, time, state, return_dict=False)[0]
    return base.decode(state)


def with_captions(model: AdapterModel, pictures: PictureSet) -> AdapterModel:
    """The same adapter, sampled by the captions of ``pictures``, each once, in an order that says nothing of theirs."""
    found: dict[str, int] = {}
    for text, label in zip(captions_of(pictures, model.setup), pictures.labels.tolist(), strict=True):
        found.setdefault(text, label)
    order = sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())
    return dataclasses.replace(model, prompts=tuple(order), prompt_classes=tuple(found[text] for text in order))
