"""What does looking for memorised pictures find that plain sampling does not, and is laundering noticed?

Three models of one recipe: an honest one; a copier, which shows two dozen of its pictures forty times as often as the
others; and a student of the copier, trained on those of its samples that the detector lets pass. Of each: copies and
distinct originals in a thousand plain samples (ten steps) and in a thousand found by `restarts.hunt` at the same cost,
and the test of the samples as a whole (`nearness`: do they lie nearer to the training pictures than unseen ones do?).

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

REPEATED, TIMES = 24, 40
FULL = {"samples": 1_000, "pictures": 24_000, "lessons": 2_000}
QUICK = {"samples": 500, "pictures": 16_000, "lessons": 1_000}


def divided(private: PictureSet, seed: int) -> NodeSplit:
    """1,200 pictures to train on, 500 each for test and calibration."""
    order = np.random.default_rng(seed).permutation(len(private))
    train_rows, test, heldout = (part.tolist() for part in np.split(order, [1_200, 1_700, 2_200])[:3])
    return NodeSplit(private.take(train_rows), private.take(test), private.take(heldout))


def fitted(pictures: PictureSet, options: argparse.Namespace) -> DiffusionModel:
    """A model trained on the pictures."""
    config = TrainConfig(pictures=options.pictures, seed=options.seed)
    shape = ModelConfig(size=pictures.size, channels=pictures.channels, classes=len(pictures.classes))
    return train(config, pictures, model=shape).model


class Auditor:
    """Counts copies as a node's copy test does."""

    def __init__(self, split: NodeSplit, options: argparse.Namespace) -> None:
        self._options = options
        self.scorer = Scorer(split, ScoringSettings(samples=options.samples, extractor="pixels", resamples=0))

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
        z, p = self.scorer.score(plain).nearness
        row = {"plain": self.counted(plain), "hunted": self.counted(hunted), "nearness": {"z": z, "p": p}}
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
    often = known.take([*range(len(known)), *(list(range(REPEATED)) * (TIMES - 1))])
    models = {"honest": fitted(known, options), "copier": fitted(often, options)}
    shown, labels = sample(models["copier"], options.lessons, b"lessons")
    passed = ~auditor.look(shown)[0]
    models["student"] = fitted(PictureSet(shown[passed], labels[passed], known.classes), options)
    result = {
        "models": {name: auditor.audit(model, name) for name, model in models.items()},
        "samples": options.samples,
        "lessons": int(passed.sum()),
        "weights_sha256": auditor.scorer.detector.sha256,
        "processor": processor(),
        "cpu_seconds": round(time.process_time() - started),
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{'model':10}{'plain':>10}{'originals':>11}{'hunted':>10}{'originals':>11}{'nearness z':>12}{'p':>10}")
    for name, row in result["models"].items():
        cells = [f"{row[kind]['per_thousand']:10.1f}{row[kind]['originals']:11d}" for kind in ("plain", "hunted")]
        print(f"{name:10}{''.join(cells)}{row['nearness']['z']:12.2f}{row['nearness']['p']:10.2g}")


if __name__ == "__main__":
    main()
