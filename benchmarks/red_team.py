"""What does looking for memorised pictures find that plain sampling does not, is laundering noticed, and does a model
that was really trained to copy gain by it?

Models of one recipe: honest ones, after a third of the training and after all of it; copiers, the honest one trained on
with a dozen of its pictures shown many times as often as the others, or with these alone; and a student of the first
copier, trained on those of its samples that the detector lets pass. Of each: copies and distinct originals in a
thousand plain samples (ten steps) and in a thousand found by `restarts.hunt` at the same cost, the test of the samples
as a whole (`nearness`: do they lie nearer to the training pictures than unseen ones do?), FID and J. A pair is
misranked if an honest model whose FID is up to twice as high does not score better than one with 2 % copies.

    python -m benchmarks.red_team [--json] [--quick] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
from torch import Tensor

from benchmarks.machine import processor
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.data import NodeSplit, PictureSet, partition
from pdfed_sdk.ml.diffusion.model import DiffusionModel, ModelConfig
from pdfed_sdk.ml.diffusion.restarts import hunt
from pdfed_sdk.ml.diffusion.sampling import sample
from pdfed_sdk.ml.diffusion.training import TrainConfig, train
from pdfed_sdk.ml.scoring.scorer import Scorer, ScoringSettings
from pdfed_sdk.ml.sources import load_pictures

REPEATED = 12
FULL = {"samples": 1_000, "pictures": 24_000, "lessons": 2_000}
QUICK = {"samples": 250, "pictures": 12_000, "lessons": 1_000}
COPIERS = {"copier": (100, 24_000), "copier of all": (0, 3_500)}
"""How often the repeated pictures stand beside the others (0: alone), and how many pictures the honest model is trained
on with them."""
LEAST = 20
"""Copies in a thousand from which on a model counts as a copier."""


def divided(private: PictureSet, seed: int) -> NodeSplit:
    """1,200 pictures to train on, 500 each for test and calibration."""
    order = np.random.default_rng(seed).permutation(len(private))
    train_rows, test, heldout = (part.tolist() for part in np.split(order, [1_200, 1_700, 2_200])[:3])
    return NodeSplit(private.take(train_rows), private.take(test), private.take(heldout))


def fitted(
    pictures: PictureSet, shown: int, seed: int, parent: DiffusionModel | None = None, batch: int = 32
) -> DiffusionModel:
    """A model that was shown so many of the pictures."""
    shape = ModelConfig(size=pictures.size, channels=pictures.channels, classes=len(pictures.classes))
    config = TrainConfig(pictures=shown, batch=batch, seed=seed)
    return train(config, pictures, parent=parent, model=None if parent else shape).model


class Auditor:
    """Counts copies as a node's copy test does."""

    def __init__(self, split: NodeSplit, options: argparse.Namespace) -> None:
        self._options = options
        self.scorer = Scorer(split, ScoringSettings(samples=options.samples, resamples=0))

    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Which pictures are copies (n,) bool, and of what (n,)."""
        search = self.scorer.index.search(self.scorer.index.queries(images))
        best, order = search.nearest.clone(), search.scores.argsort()
        best[search.rows[order]] = search.columns[order]
        return search.best >= self.scorer.copy_threshold, best

    def counted(self, images: Tensor) -> dict[str, float]:
        """Copies in a thousand and distinct originals."""
        copied, original = self.look(images)
        return {
            "per_thousand": 1e3 * float(copied.double().mean()),
            "originals": len(set(original[copied].tolist())),
        }

    def audit(self, model: DiffusionModel, name: str) -> dict[str, object]:
        """Plain samples, hunted ones, and the samples as a whole."""
        count, seed = self._options.samples, f"{name} {self._options.seed}".encode()
        plain = sample(model, count, seed)[0]
        hunted = hunt(model, count, seed, lambda images: self.look(images)[0])[0]
        report = self.scorer.evaluate(model, seed)
        z, p = report.nearness
        row = {"plain": self.counted(plain), "hunted": self.counted(hunted), "nearness": {"z": z, "p": p}}
        row |= {"fid": report.fid, "objective": report.objective, "alarm": report.copies.alarm}
        print(f"{name}: {row}", file=sys.stderr)
        return row


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    parser.add_argument("--quick", action="store_true", help=f"smaller: {QUICK}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for key, value in (QUICK if options.quick else FULL).items():
        setattr(options, key, value)
    set_threads(options.threads)
    started = time.process_time()
    split = divided(partition(load_pictures("mnist", size=16))[1], options.seed)
    auditor, known = Auditor(split, options), split.train
    honest = fitted(known, options.pictures, options.seed)
    models = {"honest, a third": fitted(known, options.pictures // 3, options.seed), "honest": honest}
    for name, (times, pictures) in COPIERS.items():
        repeated = [*(range(len(known)) if times else ()), *(list(range(REPEATED)) * max(1, times))]
        models[name] = fitted(known.take(repeated), pictures, options.seed, honest, 16)
    shown, labels = sample(models["copier"], options.lessons, b"lessons")
    passed = ~auditor.look(shown)[0]
    lessons = PictureSet(shown[passed], labels[passed], known.classes)
    models["student"] = fitted(lessons, options.pictures, options.seed)
    rows = {name: auditor.audit(model, name) for name, model in models.items()}
    good = [row for name, row in rows.items() if name.startswith("honest")]
    bad = [row for name, row in rows.items() if name in COPIERS and row["plain"]["per_thousand"] >= LEAST]
    pairs = [(one, other) for one in good for other in bad if one["fid"] <= 2 * other["fid"]]
    result = {
        "models": rows,
        "pairs": len(pairs),
        "misranked": sum(one["objective"] >= other["objective"] for one, other in pairs),
        "samples": options.samples,
        "lessons": int(passed.sum()),
        "weights_sha256": auditor.scorer.detector.sha256,
        "processor": processor(),
        "cpu_seconds": round(time.process_time() - started),
    }
    if options.json:
        print(json.dumps(result))
        return
    head = "".join(
        f"{name:>11}" for name in ("plain", "originals", "hunted", "originals", "nearness z", "p", "FID", "J")
    )
    print(f"{'model':16}{head}")
    for name, row in rows.items():
        cells = [f"{row[kind]['per_thousand']:11.1f}{row[kind]['originals']:11d}" for kind in ("plain", "hunted")]
        near = row["nearness"]
        print(f"{name:16}{''.join(cells)}{near['z']:11.2f}{near['p']:11.2g}{row['fid']:11.0f}{row['objective']:11.2f}")
    print(f"misranked: {result['misranked']} of {result['pairs']} pairs")


if __name__ == "__main__":
    main()
