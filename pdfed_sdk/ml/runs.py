"""A training run of its own, in a folder: options, log, statistics, sample grids and, at the end, the model.

Whoever runs it again with the same options goes on where it stood. Nothing here knows a chain.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError

from pdfed_sdk.errors import DataError, MlError, UsageError
from pdfed_sdk.files import write_durably
from pdfed_sdk.ml.data import NodeSplit, PictureSet, partition
from pdfed_sdk.ml.diffusion.model import MAX_PARAMETERS, DiffusionModel, ModelConfig, load_pipeline
from pdfed_sdk.ml.diffusion.sampling import sample
from pdfed_sdk.ml.diffusion.train_config import stop_budget
from pdfed_sdk.ml.diffusion.training import Progress, TrainConfig, TrainResult, train
from pdfed_sdk.ml.diffusion.validation import seldom
from pdfed_sdk.ml.scoring.page import grid_png
from pdfed_sdk.ml.sources import Reading, load_pictures

GRID, GRID_STEPS = 64, 10
"""Pictures of a sample grid, and denoising steps (DPM-Solver++)."""
GRIDS, LINES = 8, 400
"""Sample grids and lines of statistics that a run writes, about."""
LEAST = 2_000
"""Pictures between two grids at least: a grid costs as much as training on 200."""
TOLD_EVERY = 5.0
"""Seconds between two messages about the progress."""
MOST_HELDOUT = 500
LARGEST = 4 * MAX_PARAMETERS
"""Bytes of weights that are read from a folder of one's own."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Preset:
    """A network for pictures of a size, and how it is trained."""

    widths: tuple[int, ...]
    layers: int
    attention: tuple[int, ...]
    batch: int
    lr: float
    ema: float


PRESETS: Final = {
    16: Preset((16, 32), 1, (), 32, 3e-3, 0.99),
    28: Preset((32, 64), 1, (), 64, 2e-3, 0.995),
    32: Preset((64, 128, 256), 2, (2,), 128, 5e-4, 0.999),
    64: Preset((64, 128, 256, 256), 2, (3,), 64, 3e-4, 0.9995),
}
"""By pixels a side: 0.165 M, 0.65 M, 15 M and 24 M parameters with ten classes."""


@dataclass(frozen=True)
class RunOptions:
    """What a run is asked for; ``options.json`` holds it. ``preset`` 0 takes the one of the pictures' own size; None,
    and 0 of ``batch`` and ``pictures``, take what the preset or the data say. ``start`` is a folder of a model to go on
    from. ``heldout`` is the share of the pictures that is kept for the validation score; 0 for none."""

    data: str = "mnist"
    preset: int = 0
    start: str = ""
    channels: int = 0
    fit: str = "pad"
    widths: tuple[int, ...] | None = None
    layers: int | None = None
    attention: tuple[int, ...] | None = None
    pictures: int = 0
    batch: int = 0
    accumulate: int = 1
    lr: float | None = None
    ema: float | None = None
    label_dropout: float = 0.0
    ambient: float = 0.0
    time_spread: float = 0.0
    heldout: float = 0.1
    seed: int = 0
    device: str = "auto"
    bf16: bool = False
    mode: str = "auto"

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True)
class Plan:
    """A run that can begin: what is trained on, on what it is watched, and how."""

    config: TrainConfig
    network: ModelConfig
    parent: DiffusionModel | None
    pictures: PictureSet
    heldout: PictureSet | None


def plan(options: RunOptions) -> Plan:
    """Read the data and the model to start from. Raises UsageError, DataError or MlError; nothing is written."""
    parent = load_pipeline(Path(options.start), max_bytes=LARGEST) if options.start else None
    pictures, heldout = _pictures(options, parent.config if parent else None)
    preset = PRESETS.get(options.preset or pictures.size) or _nearest(pictures.size)
    if parent is not None:
        network = parent.config
    else:
        network = ModelConfig(
            size=pictures.size,
            channels=pictures.channels,
            classes=len(pictures.classes) if int(pictures.labels.min()) >= 0 else 0,
            widths=preset.widths if options.widths is None else options.widths,
            layers=options.layers or preset.layers,
            attention=preset.attention if options.attention is None else options.attention,
        )
    budget = options.pictures or stop_budget(len(pictures))
    config = TrainConfig(
        pictures=budget,
        batch=options.batch or preset.batch,
        accumulate=options.accumulate,
        lr=preset.lr if options.lr is None else options.lr,
        ema=preset.ema if options.ema is None else options.ema,
        label_dropout=options.label_dropout,
        ambient=options.ambient,
        time_spread=options.time_spread,
        seed=options.seed,
        device=options.device,
        bf16=options.bf16,
        mode=options.mode,
        save_every=max(1, budget // 20),
        check_every=seldom(budget // 40, len(heldout) if heldout else 0),
    )
    return Plan(config, network, parent, pictures, heldout)


def _nearest(size: int) -> Preset:
    return PRESETS[min(PRESETS, key=lambda known: abs(known - size))]


def _pictures(options: RunOptions, shape: ModelConfig | None) -> tuple[PictureSet, PictureSet | None]:
    """Training pictures and held-out ones, in the shape of the preset, or of the model to start from."""
    if options.preset and options.preset not in PRESETS:
        known = ", ".join(map(str, PRESETS))
        raise UsageError(f"preset is {options.preset}", hint=f"one of {known}, or 0 for the pictures' own size")
    if not 0 <= options.heldout <= 0.5:
        raise UsageError(f"heldout is {options.heldout}, limits 0 and 0.5", hint="0.1 is a tenth of the pictures")
    if shape is not None and options.preset not in (0, shape.size):
        raise UsageError(
            f"the model in {options.start} is for {shape.size} px, the preset for {options.preset}",
            hint="leave the preset out",
        )
    size, channels = (shape.size, shape.channels) if shape else (options.preset or None, options.channels or None)
    path = Path(options.data)
    if (path / "split.json").is_file():
        split = NodeSplit.load(path)
        return split.train, split.heldout if options.heldout else None
    pictures = load_pictures(options.data, size=size, channels=channels, reading=Reading(options.fit))
    if not options.heldout:
        return pictures, None
    count = min(MOST_HELDOUT, max(2, round(options.heldout * len(pictures))))
    if len(pictures) < count + 2:
        raise DataError(
            f"{options.data} holds {len(pictures)} pictures, a run that holds {count} of them out needs {count + 2}",
            hint="add pictures, or train without a validation score: --heldout 0",
        )
    heldout, rest = partition(pictures, public=count, seed=0)
    return rest, heldout


def run(folder: Path, options: RunOptions, tell: Tell) -> TrainResult:
    """Train in ``folder``; ``tell`` hears how far it is. Raises UsageError (the folder holds another run), MlError."""
    fresh = _is_new(folder, options)
    ready = plan(options)
    with _writing(folder):
        if fresh:
            write_durably(folder / "options.json", options.to_json().encode())
    train_, held = ready.pictures, ready.heldout
    what = f"{len(train_)} pictures of {train_.size} px in {len(train_.classes) or 1} classes"
    tell(f"{what}, {len(held) if held else 0} held out; budget {ready.config.pictures:,} pictures")
    if len(train_.classes) == 1:
        tell("all pictures are of one class: the model learns that class alone")
    with _writing(folder), _log_in(folder):
        record = _Record(folder, ready, tell)
        result = train(
            ready.config,
            train_,
            parent=ready.parent,
            model=ready.network,
            on_step=record.step,
            state_file=folder / "state.safetensors",
            heldout=held,
            save=record.keep,
        )
        write_durably(folder / "facts.json", (json.dumps(result.facts.to_dict(), indent=1) + "\n").encode())
    return result


def _is_new(folder: Path, options: RunOptions) -> bool:
    """Whether there is no run in the folder yet. UsageError if it holds anything but this run, unfinished."""
    path = folder / "options.json"
    if (folder / "facts.json").exists():
        raise UsageError(
            f"{folder} holds a run that came to its end", hint=f"go on from its model: --from {folder / 'model'}"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} exists and is no run", hint="name a new folder") from None
        return True
    except ValueError as error:
        raise UsageError(f"{path} is damaged: {error}", hint="name a new folder") from error
    asked = json.loads(options.to_json())
    for name in (field.name for field in fields(RunOptions)):
        if found.get(name) != asked[name]:
            raise UsageError(
                f"{folder} holds a run with {name} {found.get(name)!r}, not {asked[name]!r}",
                hint="name a new folder, or give the options of that run to go on with it",
            )
    return False


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Failures of the disk, in words."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = getattr(error, "errno", None)
        full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        why = "the disk is full" if full else getattr(error, "strerror", None) or str(error)
        hint = "free some space" if full else "name a folder that can be written"
        raise MlError(
            f"the run in {folder} cannot be written: {why}",
            hint=f"{hint}, then give the same command again: the run goes on from its last saved state",
        ) from error


@contextlib.contextmanager
def _log_in(folder: Path) -> Iterator[None]:
    """The trainer's log, and warnings, also in the folder."""
    handler = logging.FileHandler(folder / "train.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logger = logging.getLogger("pdfed.training")
    logger.addHandler(handler)
    before, logger.level = logger.level, min(logger.level or logging.INFO, logging.INFO)
    try:
        yield
    except (MlError, OSError) as error:
        logger.error("the run ended: %s", error)
        raise
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
        handler.close()


class _Record:
    """What a run leaves in its folder while it goes on."""

    def __init__(self, folder: Path, ready: Plan, tell: Tell) -> None:
        self._folder, self._tell, self._seed = folder, tell, ready.config.seed
        self._classes = ready.network.classes
        total = ready.config.pictures
        self._line_every, self._grid_every = max(1, total // LINES), max(LEAST, total // GRIDS)
        self._next_line = self._next_grid = 0
        self._first: tuple[int, float] | None = None
        self._told = time.monotonic()

    def step(self, now: Progress) -> bool:
        """After each step of the trainer."""
        if self._first is None:
            self._begin(now)
        assert self._first is not None
        shown, seconds = now.pictures - self._first[0], now.seconds - self._first[1]
        rate = shown / seconds if shown and seconds > 0 else 0.0
        if now.pictures >= self._next_line or now.pictures >= now.total:
            self._next_line = now.pictures + self._line_every
            self._line(now, rate)
        if time.monotonic() - self._told >= TOLD_EVERY and rate:
            self._told = time.monotonic()
            left = (now.total - now.pictures) / rate
            tail = f", validation {now.validation:.4f}" if now.validation is not None else ""
            self._tell(
                f"{now.pictures:,} of {now.total:,} pictures, {rate:,.0f} pictures/s, {left:,.0f} s left, "
                f"loss {now.loss:.4f}{tail}"
            )
        if now.pictures >= self._next_grid and now.averaged is not None:
            self._next_grid = now.pictures + self._grid_every
            model = now.averaged()
            assert isinstance(model, DiffusionModel)
            self.grid(model, f"{now.pictures:09d}")
        return True

    def _begin(self, now: Progress) -> None:
        """Lines after the state from which a run goes on are written again."""
        self._first = (now.pictures, now.seconds)
        self._next_grid = now.pictures + self._grid_every
        path = self._folder / "stats.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if _shown(line) < now.pictures]
        write_durably(path, "".join(f"{line}\n" for line in kept).encode())

    def _line(self, now: Progress, rate: float) -> None:
        found: dict[str, Any] = {
            "pictures": now.pictures,
            "loss": now.loss,
            "gradient": now.gradient,
            "validation": now.validation,
            "pictures_per_second": round(rate, 1),
        }
        with (self._folder / "stats.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")

    def keep(self, model: Any) -> None:
        """Save the model of a run that came to its end: whole, or not at all."""
        fresh, place = self._folder / ".model.part", self._folder / "model"
        for old in (fresh, place):
            if old.exists():
                shutil.rmtree(old)
        model.family.save(model, fresh)
        fresh.rename(place)
        self.grid(model, "final")

    def grid(self, model: DiffusionModel, name: str) -> None:
        """Samples of one seed, so that grids can be compared."""
        seed = hashlib.sha256(f"grid {self._seed}".encode()).digest()
        images, _ = sample(model, GRID, seed, steps=GRID_STEPS, solver="dpm++")
        write_durably(self._folder / "samples" / f"{name}.png", grid_png(images, 8))


def _shown(line: str) -> float:
    try:
        return float(json.loads(line)["pictures"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
