"""How does each measure answer to copying, and to the number of samples?

Samples are real unseen digits (repeated with mild degradation where more are asked for), of which a share is replaced
by slightly degraded training pictures. One table against the share at --samples, one against the number of samples at
a share of 0 and of 10 %.

    python -m benchmarks.sensitivity [--json] [--samples 500] [--counts 100 300 1000] [--full]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

import torch
from torch import Generator, Tensor

from benchmarks.replacement import SHARES, baselines, jpeg_noise, split_pictures
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.augment import degrade
from pdfed_sdk.ml.baselines import prdc
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.features import FeatureExtractor, load_extractor
from pdfed_sdk.ml.scoring import Scorer, ScoringSettings

FULL = (100, 300, 1_000, 3_000, 10_000)


def unseen(spare: PictureSet, count: int, seed: int) -> Tensor:
    """``count`` pictures that are no copies: the spare ones, then mildly degraded versions of them."""
    random = Generator().manual_seed(seed)
    rounds = [spare.images]
    while sum(map(len, rounds)) < count:
        pixels = degrade(spare.images.float() / 255, random, strength=0.3)
        rounds.append(pixels.mul(255).round().to(torch.uint8))
    return torch.cat(rounds)[:count]


class Bench:
    """One node's data, features and scorer."""

    def __init__(self, size: int, seed: int, extractor: str) -> None:
        self.seed = seed
        self.split, self.spare = split_pictures(size, seed)
        self.extractor: FeatureExtractor = load_extractor(extractor, size=size)
        settings = ScoringSettings(size=size, extractor="pixels", resamples=0)
        self.scorer = Scorer(self.split, settings)
        self.train, self.test = self.extractor(self.split.train.images), self.extractor(self.split.test.images)

    def measure(self, share: float, count: int) -> dict[str, float | None]:
        """All measures on ``count`` samples, ``share`` of them copies."""
        images = unseen(self.spare, count, self.seed)
        planted = round(share * count)
        random = Generator().manual_seed(self.seed + 1)
        source = torch.randint(0, len(self.split.train), (planted,), generator=random)
        if planted:
            images = torch.cat([jpeg_noise(self.split.train.images[source], random), images[planted:]])
        search = self.scorer.search(self.scorer.detector.prints(images))
        novelty = self.scorer.novelty(search, count)
        features = self.extractor(images)
        print(f"share {share:.0%}, {count} samples", file=sys.stderr)
        return {
            "share": share,
            "samples": count,
            "v_a": novelty.v_a,
            "v_c": novelty.v_c,
            "r_c": novelty.r_c,
            "novelty": novelty.value,
            **baselines(features, self.train, self.test),
            **dataclasses.asdict(prdc(features, self.test)),
        }


def show(title: str, table: list[dict[str, float | None]]) -> None:
    """A table for people."""
    print(f"\n{title}")
    print(" ".join(f"{name[:9]:>9}" for name in table[0]))
    for row in table:
        print(" ".join(f"{'-' if value is None else format(value, '.4g'):>9}" for value in row.values()))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 300, 1_000])
    parser.add_argument("--full", action="store_true", help=f"counts {FULL}")
    parser.add_argument("--extractor", default="efficientnet-lite0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    set_threads(options.threads)
    bench = Bench(options.size, options.seed, options.extractor)
    counts = FULL if options.full else options.counts
    by_share = [bench.measure(share, options.samples) for share in SHARES]
    by_count = [bench.measure(share, count) for share in (0.0, 0.1) for count in counts]
    if options.json:
        print(json.dumps({"by_share": by_share, "by_samples": by_count, "extractor": bench.extractor.id}))
    else:
        show(f"against the copied share, {options.samples} samples", by_share)
        show("against the number of samples", by_count)


if __name__ == "__main__":
    main()
