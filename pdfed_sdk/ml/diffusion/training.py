"""Training a DDPM on private pictures: a budget of pictures (not epochs), pausable after every step, resumable.

What lives here: the loop and its facts for the manifest. What does not: the step (`learner`), how it runs on a device
(`execution`), which model to start from (strategy) and whether the result may be published (gate).
"""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Callable, Sequence
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
from pdfed_sdk.ml.diffusion.validation import Watch

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
    heldout: PictureSet | None = None,
    save: Callable[[Model], object] | None = None,
) -> TrainResult:
    """Train on ``data`` from ``parent``'s weights (or fresh ones of ``model``); the parent is not changed.

    ``excluded`` training indices are never shown (dedup loader, paper 5). ``on_step`` may block: the run pauses; False
    stops it and keeps what there is. With ``state_file`` a killed run goes on where its last snapshot stood, and gives
    the same weights as an unbroken one. With ``heldout`` pictures the run ends early when the loss on them rises, and
    the result has the weights of its lowest point (`validation`). Errors: DataError (data and model do not fit),
    MlError (divergence, memory, a device that fails), OSError (the state cannot be written); the state file then holds
    the last state that was whole. ``save`` is called with the model of a run that came to its end, before the state
    file goes.
    """
    shape: Shape = parent.config if parent is not None else model or ModelConfig()
    usable = _usable(data, shape, excluded)
    fresh: Model = new_model(model or ModelConfig(), config.seed) if parent is None else copy.deepcopy(parent)
    digest = data.digest().hex()
    origin = parent.weights_digest().hex() if parent is not None else "fresh"
    key = json.dumps([asdict(config), shape.to_json(), digest, sorted(excluded), origin], sort_keys=True)
    learner = Learner(config, fresh, data, usable, Processes(config.device))
    watch = None
    if heldout is not None:
        watch = Watch(fresh.family.validation(fresh, heldout, learner.device), config.check_every)
    keeper = _Keeper(learner, watch, state_file, key)
    keeper.load()
    try:
        execution = Execution(learner)
        started = time.monotonic()
        _loop(execution, on_step, keeper, started)
        result = _finish(execution, keeper, data, digest, len(set(excluded)), time.monotonic() - started)
    except RuntimeError as error:
        if learner.device.type != "cuda" or "CUDA" not in str(error):
            raise
        raise MlError(
            f"{learner.device} failed at step {learner.steps}: {str(error).splitlines()[0][:160]}",
            hint="start again: the run goes on from its last saved state",
        ) from error
    if result.finished:
        if save is not None:
            save(result.model)
        keeper.discard()
    return result


class _Keeper:
    """What a run leaves on disk, and its validation score: the state, and beside it the lowest point so far."""

    def __init__(self, learner: Learner, watch: Watch | None, state: Path | None, key: str) -> None:
        self.learner, self.watch, self._state, self._key = learner, watch, state, key
        self._lowest = None if state is None else state.with_name(f"{state.name}.lowest")
        self._saved = 0

    def load(self) -> None:
        """Go on where an earlier process stood."""
        state, learner = self._state, self.learner
        if state is not None and state.exists() and learner.load(state, self._key):
            log.info("going on at %d of %d pictures", learner.seen, learner.config.pictures)
            if self.watch is not None and self._lowest is not None and not self.watch.load(self._lowest, self._key):
                self.watch.looked = learner.seen
        self._saved = learner.seen

    def after_step(self) -> bool:
        """Look and save where it is time to. False: the validation loss has risen."""
        learner, watch = self.learner, self.watch
        looks = watch is not None and watch.due(learner.seen, learner.config.pictures)
        if watch is not None and looks:
            learner.check()
            watch.look(learner.averaged(), learner.seen)
            if self._lowest is not None and not learner.processes.rank:
                watch.save(self._lowest, self._key)
        if self._state is not None and (looks or learner.seen - self._saved >= learner.config.save_every):
            learner.save(self._state, self._key)
            self._saved = learner.seen
        return watch is None or not watch.over

    def result(self) -> tuple[Model, bool]:
        """The model, and whether the run came to its end: then it is the one of the lowest point."""
        learner, watch = self.learner, self.watch
        finished = learner.seen >= learner.config.pictures or (watch is not None and watch.over)
        model = learner.averaged()
        if finished and watch is not None and watch.weights:
            model.network.load_state_dict(watch.weights)
            if watch.over:
                log.info("the validation loss rose: stopped at %d pictures, kept %d", learner.seen, watch.pictures)
        return model, finished

    def discard(self) -> None:
        """The run is over: nothing is left to go on from."""
        for path in (self._state, self._lowest):
            if path is not None and not self.learner.processes.rank:
                path.unlink(missing_ok=True)


def _loop(execution: Execution, on_step: OnStep | None, keeper: _Keeper, started: float) -> None:
    """Steps until the budget is spent, the validation loss rises or ``on_step`` says no. Statistics are read now and
    then, on a CPU always."""
    learner, total = execution.learner, execution.learner.config.pictures
    every = 1 if learner.device.type == "cpu" else READ_EVERY
    loss, gradient = learner.read()
    go_on = keeper.watch is None or not keeper.watch.over
    while learner.seen < total and go_on:
        execution.step()
        if learner.steps % every == 0 or learner.seen >= total:
            loss, gradient = learner.read()
        go_on = keeper.after_step()
        if on_step is not None:
            seconds, validation = time.monotonic() - started, keeper.watch.last if keeper.watch else None
            now = Progress(learner.seen, total, loss, seconds, gradient, learner.averaged, validation)
            go_on = learner.processes.all_agree(on_step(now) is not False) and go_on


def _finish(
    execution: Execution, keeper: _Keeper, data: PictureSet, digest: str, excluded: int, seconds: float
) -> TrainResult:
    import diffusers

    learner, watch = execution.learner, keeper.watch
    learner.check()
    config, (loss, _) = learner.config, learner.read()
    model, finished = keeper.result()
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
        ambient=config.ambient,
        time_spread=config.time_spread,
        validation=None if watch is None or watch.lowest is None else round(watch.lowest, 6),
        kept=watch.pictures if watch is not None and finished else None,
    )
    return TrainResult(model, facts, finished)


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
