"""How does each measure answer to copying, and to the number of samples?

Samples are real unseen digits (repeated with mild degradation where more are asked for), of which a share is replaced
by slightly degraded training pictures. One table against the share at --samples, one against the number of samples at
a share of 0 and of 10 %.

    python -m benchmarks.sensitivity [--json] [--samples 500] [--counts 100 300 1000] [--full] [--plot FILE.png]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import torch
from torch import Generator, Tensor

from benchmarks.replacement import SHARES, baselines, jpeg_noise, pictures, split_pictures
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.copies.augment import degrade
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.quality.baselines import prdc
from pdfed_sdk.ml.quality.features import FeatureExtractor, load_extractor
from pdfed_sdk.ml.scoring.scorer import Scorer, ScoringSettings

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
        self.split, self.spare = split_pictures(pictures("mnist", size, 1)[1], seed)
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
        search = self.scorer.index.search(self.scorer.index.queries(images))
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


def plot(by_share: list[dict[str, float | None]], by_count: list[dict[str, float | None]], path: Path) -> None:
    """One small picture a measure: against the copied share (line), and against the number of samples (dashes)."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    names = [name for name in by_share[0] if name not in ("share", "samples")]
    figure, axes = pyplot.subplots(
        -(-len(names) // 5), 5, figsize=(13, 1.9 * -(-len(names) // 5)), layout="constrained"
    )
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        axis.plot([row["share"] for row in by_share], [row[name] for row in by_share], marker=".", color="#b5532b")
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        other = axis.twiny()
        clean = [row for row in by_count if row["share"] == 0]
        other.plot([row["samples"] for row in clean], [row[name] for row in clean], "--", color="#2b6cb0", linewidth=1)
        other.set_xscale("log")
        other.set_xticks([])
        other.minorticks_off()
    figure.suptitle(
        "against the copied share, 0 to 1 (line); without copies against the number of samples, log (dashes)"
    )
    figure.savefig(path, dpi=90)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 300, 1_000])
    parser.add_argument("--full", action="store_true", help=f"counts {FULL}")
    parser.add_argument("--plot", type=Path, help="also draw the tables to this PNG")
    parser.add_argument("--extractor", default="efficientnet-lite0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    set_threads(options.threads)
    bench = Bench(options.size, options.seed, options.extractor)
    counts = FULL if options.full else options.counts
    by_share = [bench.measure(share, options.samples) for share in SHARES]
    by_count = [bench.measure(share, count) for share in (0.0, 0.1) for count in counts]
    if options.plot:
        plot(by_share, by_count, options.plot)
    if options.json:
        print(json.dumps({"by_share": by_share, "by_samples": by_count, "extractor": bench.extractor.id}))
    else:
        show(f"against the copied share, {options.samples} samples", by_share)
        show("against the number of samples", by_count)


if __name__ == "__main__":
    main()
