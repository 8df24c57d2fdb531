"""When does memorisation set in? Onset against the number n of training pictures, and every measure over training.

For each n a model is trained at a constant rate. At looks that lie a fixed factor apart it is sampled, and a sample
counts as a copy if its nearest training picture is more than three times as near as the second (pixels; the criterion
of arXiv 2505.17638, which finds an onset proportional to n). Onset is where the share of copies passes 5 %, between two
looks by interpolation in the logarithm. The exponent is fitted over all n and seeds of training; its 95 % interval
comes from drawing the seeds of every n and the samples of every look again; with one seed it says nothing of others.
Beside the share stand Q-N, its novelty, AuthPct, C_T, FLD, and the validation loss with the point at which `train`
would stop (paper, Figure 3).

The ambient arm trains one n again with noise kept above a level (arXiv 2502.21278), as long as the plain one.

    python -m benchmarks.overtraining [--preset tiny|small|gpu] [--device auto] [--out FILE] [--json]
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import processor
from pdfed_sdk.errors import DataError
from pdfed_sdk.files import write_durably
from pdfed_sdk.ml import device_of, set_threads
from pdfed_sdk.ml.data import NodeSplit, PictureSet
from pdfed_sdk.ml.diffusion.model import ModelConfig
from pdfed_sdk.ml.diffusion.training import Progress, TrainConfig, train
from pdfed_sdk.ml.diffusion.validation import Validation, Watch
from pdfed_sdk.ml.quality.baselines import auth_pct, ct_score, fld
from pdfed_sdk.ml.scoring.scorer import Scorer, ScoringSettings
from pdfed_sdk.ml.sources import load_pictures

ONSET = 0.05
"""Share of copies at which memorisation counts as begun."""
ENOUGH = 0.25
"""Share at which a run has shown what it can."""
NEARER = 3.0
RESAMPLES = 2_000
SEED = b"overtraining".ljust(32, b"\0")


@dataclass(frozen=True)
class Preset:
    """``most`` passes over the pictures at most; looks lie a factor ``step`` apart, the first after ``first`` passes.
    ``ambient`` is the n and the level of the ambient arm, ``seeds`` are those of training."""

    counts: tuple[int, ...]
    network: ModelConfig
    lr: float
    batch: int
    samples: int
    most: int = 4_000
    first: int = 60
    step: float = 1.35
    unseen: int = 200
    data: str = "mnist"
    ambient: tuple[int, float] = (0, 0.0)
    seeds: tuple[int, ...] = (0,)


PRESETS = {
    "tiny": Preset((16, 32, 64), ModelConfig(size=8), 4e-3, 64, 96, ambient=(32, 0.3)),
    "small": Preset((64, 128, 256), ModelConfig(), 3e-3, 64, 256, ambient=(128, 0.3)),
    "gpu": Preset(
        (64, 128, 256, 512, 1_024),
        ModelConfig(widths=(64, 128)),
        1e-3,
        256,
        1_000,
        ambient=(256, 0.3),
        seeds=(0, 1, 2),
    ),
}


@dataclass
class Run:
    """What one n showed under one seed of training."""

    pictures: int
    looks: list[dict[str, Any]] = field(default_factory=list)
    seed: int = 0
    stop: int | None = None
    """Pictures after which the validation loss would have ended the run, and at which its lowest point was."""
    lowest: int | None = None
    onset: float | None = None
    seconds: float = 0.0


def copies(samples: Tensor, train_pictures: Tensor) -> Tensor:
    """Which samples are copies, (n,) bool."""
    distances = torch.cdist(samples.flatten(1).float(), train_pictures.flatten(1).float())
    near = distances.topk(2, largest=False).values
    return near[:, 0] * NEARER < near[:, 1]


def onset_of(looks: Sequence[tuple[float, float]]) -> float | None:
    """Where (pictures shown, share of copies) first passes ONSET; None if it does not."""
    for (before, low), (after, high) in itertools.pairwise(looks):
        if low < ONSET <= high:
            part = (ONSET - low) / (high - low)
            return math.exp(math.log(before) + part * (math.log(after) - math.log(before)))
    return looks[0][0] if looks and looks[0][1] >= ONSET else None


def exponent(points: Sequence[tuple[int, float]]) -> float:
    """Slope of log onset over log n by least squares."""
    counts, onsets = (np.log(column) for column in zip(*points, strict=True))
    return float(np.polyfit(counts, onsets, 1)[0])


def fitted(runs: Sequence[Run], samples: int) -> dict[str, Any]:
    """The exponent with its interval; None where runs of fewer than two n reached their onset."""
    reached = [run for run in runs if run.onset is not None]
    counts = [[run for run in reached if run.pictures == count] for count in sorted({run.pictures for run in reached})]
    if len(counts) < 2:
        return {"exponent": None, "low": None, "high": None, "points": len(reached)}
    rng, drawn = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        points = []
        for run in (group[place] for group in counts for place in rng.integers(0, len(group), len(group))):
            again = [(look["shown"], rng.binomial(samples, look["copies"]) / samples) for look in run.looks]
            found = onset_of(again)
            if found is not None:
                points.append((run.pictures, found))
        if len(points) == len(reached):
            drawn.append(exponent(points))
    low, high = np.quantile(drawn, [0.025, 0.975])
    value = exponent([(run.pictures, run.onset or 0.0) for run in reached])
    return {"exponent": value, "low": float(low), "high": float(high), "points": len(reached)}


class Arm:
    """One training run with its looks."""

    def __init__(
        self,
        preset: Preset,
        split: NodeSplit,
        device: str,
        seed: int = 0,
        *,
        ambient: float = 0.0,
        most: float = 0.0,
    ) -> None:
        self.preset, self.split, self.device, self.ambient = preset, split, device, ambient
        self.most = most or preset.most * len(split.train)
        settings = ScoringSettings(
            samples=preset.samples,
            size=preset.network.size,
            channels=preset.network.channels,
            extractor="pixels",
            resamples=0,
        )
        self.scorer = Scorer(split, settings, device=device)
        self.watch = Watch(Validation(split.heldout).losses, 1)
        self.run = Run(len(split.train), seed=seed)
        self.next = float(preset.first * len(split.train))

    def train(self) -> Run:
        """Until enough is copied, or the longest time is over."""
        preset, started = self.preset, time.monotonic()
        config = TrainConfig(
            pictures=1 << 40,
            batch=preset.batch,
            lr=preset.lr,
            final_lr=1.0,
            seed=self.run.seed,
            device=self.device,
            ambient=self.ambient,
        )
        train(config, self.split.train, model=preset.network, on_step=self._step)
        run = self.run
        run.onset = onset_of([(look["shown"], look["copies"]) for look in run.looks])
        run.seconds = round(time.monotonic() - started, 1)
        return run

    def _step(self, now: Progress) -> bool:
        if now.pictures < self.next:
            return True
        self.next *= self.preset.step
        look = self._look(now)
        self.run.looks.append(look)
        tell = ", ".join(f"{name} {value:.4g}" for name, value in look.items() if value is not None)
        print(f"  n {self.run.pictures}{' ambient' if self.ambient else ''}: {tell}", flush=True)
        if self.ambient:
            return now.pictures < self.most
        return look["copies"] < ENOUGH and now.pictures < self.most

    def _look(self, now: Progress) -> dict[str, Any]:
        assert now.averaged is not None
        model = now.averaged()
        self.watch.look(model, now.pictures)  # type: ignore[arg-type]
        if self.watch.over and self.run.stop is None:
            self.run.stop, self.run.lowest = now.pictures, self.watch.pictures
        images, labels = self.scorer.sample(model, SEED)
        report = self.scorer.score(images, labels)
        train_part, test = self.split.train.images, self.split.test.images
        g, t, e = (part.flatten(1).float() / 255 for part in (images, train_part, test))
        found: dict[str, Any] = {
            "shown": now.pictures,
            "passes": now.pictures / len(train_part),
            "loss": now.loss if math.isfinite(now.loss) else None,  # read from a GPU now and then
            "validation": self.watch.last,
            "copies": float(copies(images, train_part).float().mean()),
            "qn": report.qn,
            "novelty": report.novelty,
            "fid": report.fid,
            "objective": report.objective,
        }
        for name, measure in (("auth_pct", auth_pct), ("ct", ct_score), ("fld", fld)):
            try:
                found[name] = float(measure(g, t, e) if measure is not auth_pct else auth_pct(g, t))
            except DataError:
                found[name] = None
        return found


def parts_of(data: PictureSet, count: int, unseen: int) -> NodeSplit:
    """``count`` training pictures, balanced as far as they go, and the same test and held-out ones for all counts."""
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(data)))
    test, heldout = data.take(order[:unseen]), data.take(order[unseen : 2 * unseen])
    return NodeSplit(data.take(order[2 * unseen :][:count]), test, heldout)


def measure(name: str, device: str, keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """All runs of a preset; ``keep`` gets what is known after each."""
    preset = PRESETS[name]
    data = load_pictures(preset.data, size=preset.network.size, channels=preset.network.channels)
    splits = {count: parts_of(data, count, preset.unseen) for count in preset.counts}
    place = device_of(device)
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    found: dict[str, Any] = {
        "preset": name,
        "device": torch.cuda.get_device_name(place) if place.type == "cuda" else processor(),
        "commit": git.stdout.strip(),
        "settings": {"network": preset.network.to_json(), "lr": preset.lr, "batch": preset.batch},
        "samples": preset.samples,
    }
    runs: list[Run] = []
    for seed, split in itertools.product(preset.seeds, splits.values()):
        runs.append(Arm(preset, split, device, seed).train())
        found |= {**fitted(runs, preset.samples), "runs": [asdict(run) for run in runs]}
        keep(found)
    count, level = preset.ambient
    plain = next((run for run in runs if run.pictures == count), None)
    if level and plain is not None:
        arm = Arm(preset, splits[count], device, preset.seeds[0], ambient=level, most=plain.looks[-1]["shown"])
        found["ambient"] = {"level": level, "plain": plain.looks[-1], "ambient": arm.train().looks[-1]}
        keep(found)
    return found


def show(found: dict[str, Any]) -> None:
    """The table for people."""
    print(f"{'n':>6} {'seed':>4} {'onset':>9} {'passes':>8} {'lowest loss at':>21} {'stops at':>9} {'seconds':>8}")
    for run in found["runs"]:
        onset = run["onset"]
        cells = ("none", "") if onset is None else (f"{onset:.0f}", f"{onset / run['pictures']:.0f}")
        places = f"{run['lowest'] or '-':>21} {run['stop'] or '-':>9}"
        print(f"{run['pictures']:6} {run['seed']:4} {cells[0]:>9} {cells[1]:>8} {places} {run['seconds']:8.0f}")
    if found["exponent"] is not None:
        interval = f"{found['low']:.2f} … {found['high']:.2f}"
        print(f"exponent {found['exponent']:.2f}, 95 % {interval}, {found['points']} points")
    if "ambient" in found:
        for name in ("plain", "ambient"):
            look = found["ambient"][name]
            told = ", ".join(f"{key} {look[key]:.3g}" for key in ("copies", "novelty", "fid", "validation"))
            print(f"{name:8} after {look['shown']} pictures: {told}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="JSON file to write, anew after every run")
    parser.add_argument("--json", action="store_true", help="the JSON as the last line on stdout")
    options = parser.parse_args()
    set_threads(1)

    def keep(found: dict[str, Any]) -> None:
        if options.out:
            write_durably(options.out, (json.dumps(found, indent=1) + "\n").encode())
            options.out.chmod(0o644)

    found = measure(options.preset, options.device, keep)
    print(json.dumps(found)) if options.json else show(found)


if __name__ == "__main__":
    main()
