"""Training a DDPM on private pictures: a budget of pictures (not epochs), pausable after every step, resumable.

What lives here: the loop, its configuration and its facts for the manifest. What does not: which model to start from
(strategy) and whether the result may be published (gate).
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pdfed_sdk.errors import DataError, MlError
from pdfed_sdk.family import Model, Shape
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.device import device_of
from pdfed_sdk.ml.diffusion.model import ModelConfig, new_model
from pdfed_sdk.ml.snapshots import read_snapshot, write_snapshot


@dataclass(frozen=True)
class TrainConfig:
    """``pictures`` is the budget. ``lr`` rises over ``warmup`` steps, then falls along a cosine to the share
    ``final_lr`` of itself (1: constant). ``ema`` is the decay per step (0: off). ``device`` "auto" takes a GPU if there
    is one. Every ``save_every`` pictures a resumable state is written if a state file is given."""

    pictures: int = 10_000
    batch: int = 32
    lr: float = 3e-3
    warmup: int = 20
    final_lr: float = 0.05
    seed: int = 0
    ema: float = 0.99
    label_dropout: float = 0.0
    device: str = "cpu"
    bf16: bool = False
    compile: bool = False
    save_every: int = 4_000

    def __post_init__(self) -> None:
        if self.pictures < 1 or self.batch < 1 or self.save_every < 1 or self.warmup < 0:
            raise MlError(f"pictures {self.pictures}, batch {self.batch}, save_every {self.save_every}: at least 1")
        if not 0 <= self.final_lr <= 1:
            raise MlError(f"final_lr is {self.final_lr}, limits 0 and 1")
        if not 0 < self.lr <= 1 or not 0 <= self.ema < 1 or not 0 <= self.label_dropout < 1:
            raise MlError(f"lr {self.lr}, ema {self.ema}, label_dropout {self.label_dropout}: out of range")


@dataclass(frozen=True)
class Progress:
    """Where a training run stands: pictures seen of ``total``, mean loss of the last steps, seconds so far."""

    pictures: int
    total: int
    loss: float
    seconds: float


@dataclass(frozen=True)
class TrainFacts:
    """What the manifest says of a run (assertion ``org.pdfed.training``)."""

    pictures: int
    steps: int
    optimiser: str
    lr: float
    batch: int
    seed: int
    ema: float
    loss: float
    dataset_digest: str
    dataset_size: int
    excluded: int
    seconds: float
    device: str
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


@dataclass(frozen=True)
class TrainResult:
    """The trained model, its facts, and whether the whole budget was spent (False: stopped early)."""

    model: Model
    facts: TrainFacts
    finished: bool


OnStep = Callable[[Progress], bool | None]


class _Run:
    """The state of one training run: everything that a snapshot holds."""

    def __init__(self, config: TrainConfig, model: Model, device: torch.device) -> None:
        self.config, self.model, self.device = config, model, device
        self.network = model.network.to(device).train()
        self.ema = {name: tensor.detach().clone().float() for name, tensor in self.network.state_dict().items()}
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=config.lr, betas=(0.9, 0.99), weight_decay=0.0)
        self.random = torch.Generator().manual_seed(config.seed)
        self.seen = self.steps = 0
        self.loss = math.nan
        self.forward = torch.compile(self.network) if config.compile else self.network

    def step(self, images: Tensor, labels: Tensor) -> None:
        """One optimiser step on images (B, C, S, S) in [-1, 1] and labels (B,)."""
        config = self.config
        images, labels = images.to(self.device), labels.to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=config.bf16):
            loss = self.model.family.loss(self.model, self.forward, images, labels, self.random, config.label_dropout)
        if not bool(torch.isfinite(loss)):
            raise MlError(f"training diverged at step {self.steps}: loss is {loss.item()}", hint="lower the lr")
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.steps, self.seen = self.steps + 1, self.seen + len(images)
        value = float(loss.detach())
        self.loss = value if math.isnan(self.loss) else 0.95 * self.loss + 0.05 * value
        self._average()

    def learning_rate(self) -> float:
        """Rate of the step to come."""
        config = self.config
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, self.seen / config.pictures)))
        rise = min(1.0, (self.steps + 1) / (config.warmup + 1))
        return config.lr * rise * (config.final_lr + (1 - config.final_lr) * fall)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.config.ema, self.steps / (self.steps + 10)) if self.config.ema else 0.0
        for name, tensor in self.network.state_dict().items():
            self.ema[name].lerp_(tensor.float(), 1 - decay)

    def save(self, path: Path, key: str) -> None:
        write_snapshot(
            path,
            key,
            {"seen": str(self.seen), "steps": str(self.steps), "loss": repr(self.loss)},
            weights=self.network.state_dict(),
            averages=self.ema,
            optimiser=self.optimiser,
            random=self.random,
        )

    def load(self, path: Path, key: str) -> bool:
        """Take up a snapshot of the same run; False (start anew) if it is of another run or damaged."""
        found = read_snapshot(path, key)
        if found is None:
            return False
        self.network.load_state_dict(found.weights)
        self.ema = {name: tensor.to(self.device) for name, tensor in found.averages.items()}
        found.restore(self.optimiser, self.random)
        self.seen, self.steps = int(found.facts["seen"]), int(found.facts["steps"])
        self.loss = float(found.facts["loss"])
        return True


def train(
    config: TrainConfig,
    data: PictureSet,
    *,
    parent: Model | None = None,
    model: ModelConfig | None = None,
    excluded: Sequence[int] = (),
    on_step: OnStep | None = None,
    state_file: Path | None = None,
) -> TrainResult:
    """Train on ``data`` from ``parent``'s weights (or fresh ones of ``model``); the parent is not changed.

    ``excluded`` training indices are never shown (dedup loader, paper 5). ``on_step`` may block: the run pauses; False
    stops it and keeps what there is. With ``state_file`` a killed run goes on where its last snapshot stood, and gives
    the same weights as an unbroken one. Errors: DataError (data and model do not fit), MlError (divergence).
    """
    shape: Shape = parent.config if parent is not None else model or ModelConfig()
    usable = _usable(data, shape, excluded)
    fresh = new_model(model or ModelConfig(), config.seed) if parent is None else copy.deepcopy(parent)
    run = _Run(config, fresh, device_of(config.device))
    digest = data.digest().hex()
    origin = parent.weights_digest().hex() if parent is not None else "fresh"
    key = json.dumps([asdict(config), shape.to_json(), digest, sorted(excluded), origin], sort_keys=True)
    if state_file is not None and state_file.exists():
        run.load(state_file, key)
    images, labels = data.images.float().div(127.5).sub(1), data.labels
    started, go_on = time.monotonic(), True
    saved = run.seen
    while run.seen < config.pictures and go_on:
        batch = usable[torch.randint(0, len(usable), (config.batch,), generator=run.random)]
        batch = batch[: config.pictures - run.seen]
        run.step(images[batch], labels[batch])
        if state_file is not None and run.seen - saved >= config.save_every:
            run.save(state_file, key)
            saved = run.seen
        if on_step is not None:
            go_on = on_step(Progress(run.seen, config.pictures, run.loss, time.monotonic() - started)) is not False
    return _finish(run, config, data, digest, len(set(excluded)), time.monotonic() - started, state_file)


def _finish(
    run: _Run, config: TrainConfig, data: PictureSet, digest: str, excluded: int, seconds: float, state: Path | None
) -> TrainResult:
    import diffusers

    if config.ema:
        run.network.load_state_dict(run.ema)
    run.network.cpu().eval()
    facts = TrainFacts(
        pictures=run.seen,
        steps=run.steps,
        optimiser="AdamW(betas=(0.9, 0.99), weight_decay=0)",
        lr=config.lr,
        batch=config.batch,
        seed=config.seed,
        ema=config.ema,
        loss=round(run.loss, 6),
        dataset_digest=digest,
        dataset_size=len(data),
        excluded=excluded,
        seconds=round(seconds, 2),
        device=str(run.device),
        versions={"torch": torch.__version__, "diffusers": diffusers.__version__},
    )
    finished = run.seen >= config.pictures
    if finished and state is not None:
        state.unlink(missing_ok=True)
    return TrainResult(run.model, facts, finished)


def _usable(data: PictureSet, shape: Shape, excluded: Sequence[int]) -> Tensor:
    if (data.size, data.channels) != (shape.size, shape.channels):
        found, wanted = f"{data.size} px, {data.channels} channels", f"{shape.size} px, {shape.channels} channels"
        raise DataError(f"data has {found}, the model wants {wanted}")
    if shape.classes and (int(data.labels.min()) < 0 or int(data.labels.max()) >= shape.classes):
        raise DataError(f"data has labels outside 0..{shape.classes - 1}, the model is class-conditional")
    keep = torch.ones(len(data), dtype=torch.bool)
    for index in excluded:
        if not 0 <= index < len(data):
            raise DataError(f"excluded holds {index}, limits 0 and {len(data) - 1}")
        keep[index] = False
    if not bool(keep.any()):
        raise DataError(f"excluded leaves none of {len(data)} pictures")
    return keep.nonzero().squeeze(1)
