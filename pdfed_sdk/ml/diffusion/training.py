"""Training a DDPM on private pictures: a budget of pictures (not epochs), pausable after every step, resumable.

What lives here: the loop and its facts for the manifest. What does not: the step (`learner`), how it runs on a device
(`execution`), which model to start from (strategy) and whether the result may be published (gate).
"""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from pdfed_sdk.errors import DataError, MlError
from pdfed_sdk.family import Model, Shape
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.diffusion.execution import Execution
from pdfed_sdk.ml.diffusion.learner import Learner
from pdfed_sdk.ml.diffusion.model import ModelConfig, new_model
from pdfed_sdk.ml.diffusion.processes import Processes
from pdfed_sdk.ml.diffusion.train_config import OnStep as OnStep
from pdfed_sdk.ml.diffusion.train_config import Progress as Progress
from pdfed_sdk.ml.diffusion.train_config import TrainConfig as TrainConfig
from pdfed_sdk.ml.diffusion.train_config import TrainFacts as TrainFacts
from pdfed_sdk.ml.diffusion.train_config import TrainResult as TrainResult

log = logging.getLogger("pdfed.training")

READ_EVERY = 64
"""Steps between two looks at the statistics of a GPU; each look waits for it."""


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
    the same weights as an unbroken one. Errors: DataError (data and model do not fit), MlError (divergence, memory, a
    device that fails); the state file then holds the last state that was whole.
    """
    shape: Shape = parent.config if parent is not None else model or ModelConfig()
    usable = _usable(data, shape, excluded)
    fresh: Model = new_model(model or ModelConfig(), config.seed) if parent is None else copy.deepcopy(parent)
    digest = data.digest().hex()
    origin = parent.weights_digest().hex() if parent is not None else "fresh"
    key = json.dumps([asdict(config), shape.to_json(), digest, sorted(excluded), origin], sort_keys=True)
    learner = Learner(config, fresh, data, usable, Processes(config.device))
    if state_file is not None and state_file.exists() and learner.load(state_file, key):
        log.info("going on at %d of %d pictures", learner.seen, config.pictures)
    try:
        execution = Execution(learner)
        started = time.monotonic()
        _loop(execution, on_step, state_file, key, started)
        return _finish(execution, data, digest, len(set(excluded)), time.monotonic() - started, state_file)
    except RuntimeError as error:
        if learner.device.type != "cuda" or "CUDA" not in str(error):
            raise
        raise MlError(
            f"{learner.device} failed at step {learner.steps}: {str(error).splitlines()[0][:160]}",
            hint="start again: the run goes on from its last saved state",
        ) from error


def _loop(execution: Execution, on_step: OnStep | None, state_file: Path | None, key: str, started: float) -> None:
    """Steps until the budget is spent or ``on_step`` says no. Statistics are read now and then, on a CPU always."""
    learner, total = execution.learner, execution.learner.config.pictures
    every = 1 if learner.device.type == "cpu" else READ_EVERY
    loss, gradient = learner.read()
    saved, go_on = learner.seen, True
    while learner.seen < total and go_on:
        execution.step()
        if learner.steps % every == 0 or learner.seen >= total:
            loss, gradient = learner.read()
        if state_file is not None and learner.seen - saved >= learner.config.save_every:
            learner.save(state_file, key)
            saved = learner.seen
        if on_step is not None:
            progress = Progress(learner.seen, total, loss, time.monotonic() - started, gradient, learner.averaged)
            go_on = learner.processes.all_agree(on_step(progress) is not False)


def _finish(
    execution: Execution, data: PictureSet, digest: str, excluded: int, seconds: float, state: Path | None
) -> TrainResult:
    import diffusers

    learner = execution.learner
    learner.check()
    config, (loss, _) = learner.config, learner.read()
    facts = TrainFacts(
        pictures=learner.seen,
        steps=learner.steps,
        optimiser="AdamW(betas=(0.9, 0.99), weight_decay=0)",
        lr=config.lr,
        batch=learner.batch,
        seed=config.seed,
        ema=config.ema,
        loss=round(loss, 6),
        dataset_digest=digest,
        dataset_size=len(data),
        excluded=excluded,
        seconds=round(seconds, 2),
        device=str(learner.device),
        mode=execution.mode,
        versions={"torch": torch.__version__, "diffusers": diffusers.__version__},
    )
    finished = learner.seen >= config.pictures
    if finished and state is not None and not learner.processes.rank:
        state.unlink(missing_ok=True)
    return TrainResult(learner.averaged(), facts, finished)


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
