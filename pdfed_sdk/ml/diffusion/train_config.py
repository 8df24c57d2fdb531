"""What a training run is asked for and what it tells: options, progress, facts for the manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from pdfed_sdk.errors import MlError
from pdfed_sdk.family import Model

MODES = ("auto", "graph", "compile", "eager")
PASSES = 250
"""Passes over the training pictures that a run takes when nothing else is said: 70 % of the earliest onset of
memorisation that `benchmarks.overtraining` found (docs/gpu.md), about where the loss on unseen pictures was lowest."""
LEAST_SPREAD, MOST_SPREAD = 0.1, 4.0
"""Of the times of a step: below, much and little noise are hardly seen any more; above, hardly anything else is."""


def stop_budget(pictures: int) -> int:
    """Pictures to show of a set of so many. Memorisation sets in after a number of steps proportional to it."""
    return PASSES * pictures


@dataclass(frozen=True)
class TrainConfig:
    """``pictures`` is the budget. ``batch`` is over all processes; 0 takes the largest power of two up to 1,024 that
    fits in the device's memory (32 on a CPU). ``accumulate`` splits a batch into so many passes before one optimiser
    step. ``lr`` rises over ``warmup`` steps, then falls along a cosine to the share ``final_lr`` of itself
    (1: constant). ``ema`` is the decay per step (0: off). ``device`` "auto" takes a GPU if there is one. ``mode`` says
    how a step runs on a GPU: captured as one CUDA graph, compiled, or eager; "auto" measures. Every ``save_every``
    pictures a resumable state is written if a state file is given. ``ambient`` is the share of the schedule, from
    little noise, in which clean pictures are seen; beyond it only pictures that carry noise for good (0: off, DDPMs
    only). ``time_spread``: steps look at the middle of the schedule more often, the less it is (0: at all of it alike;
    `drawn_times`). Every ``check_every`` pictures the validation score is taken, if there is a held-out set."""

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
    mode: str = "auto"
    accumulate: int = 1
    save_every: int = 4_000
    ambient: float = 0.0
    time_spread: float = 0.0
    check_every: int = 4_000

    def __post_init__(self) -> None:
        least = {"pictures": 1, "save_every": 1, "check_every": 1, "accumulate": 1, "batch": 0, "warmup": 0}
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise MlError(f"{name} is {getattr(self, name)}, at least {limit}")
        if not 0 <= self.ambient < 1:
            raise MlError(f"ambient is {self.ambient}, limits 0 and 1", hint="0 switches it off")
        if self.time_spread and not LEAST_SPREAD <= self.time_spread <= MOST_SPREAD:
            raise MlError(
                f"time_spread is {self.time_spread}, limits {LEAST_SPREAD} and {MOST_SPREAD}",
                hint="0 spreads the times evenly",
            )
        if not 0 <= self.final_lr <= 1:
            raise MlError(f"final_lr is {self.final_lr}, limits 0 and 1")
        if not 0 < self.lr <= 1 or not 0 <= self.ema < 1 or not 0 <= self.label_dropout < 1:
            raise MlError(f"lr {self.lr}, ema {self.ema}, label_dropout {self.label_dropout}: out of range")
        if self.mode not in MODES:
            raise MlError(f"mode is {self.mode!r}", hint=f"one of {', '.join(MODES)}")


@dataclass(frozen=True)
class Progress:
    """Where a training run stands: pictures shown of ``total``, seconds so far, and, as last read from the device, the
    running mean of the loss and the norm of the gradient; the last validation loss, if there is one. ``averaged``
    copies the averaged weights as they are now."""

    pictures: int
    total: int
    loss: float
    seconds: float
    gradient: float = float("nan")
    averaged: Callable[[], Model] | None = field(default=None, repr=False, compare=False)
    validation: float | None = None


@dataclass(frozen=True)
class TrainFacts:
    """What the manifest says of a run (assertion ``org.pdfed.training``). ``batch`` is the one that fitted. With a
    held-out set ``validation`` is the lowest loss on it and ``kept`` after how many pictures that was: the weights are
    those."""

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
    mode: str
    versions: dict[str, str]
    ambient: float = 0.0
    time_spread: float = 0.0
    validation: float | None = None
    kept: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; what was not used is left out."""
        unused = {name for name in ("ambient", "time_spread", "validation", "kept") if not getattr(self, name)}
        return {name: value for name, value in asdict(self).items() if name not in unused}


@dataclass(frozen=True)
class TrainResult:
    """The trained model, its facts, and whether the run came to its end: the whole budget was spent, or the validation
    loss had risen (False: stopped by ``on_step``)."""

    model: Model
    facts: TrainFacts
    finished: bool


OnStep = Callable[[Progress], bool | None]
