"""What does an evaluation cost a node without a GPU? CPU seconds of making a scorer and of one score, part by part.

Pictures stand in for a model's samples, which costs what honest samples cost. Beside it the bootstrap of the same
features drawn one by one: each draw centred, multiplied with the reference and its singular values taken (NumPy), as
the Fréchet distance is usually written down for few samples.

    python -m benchmarks.evaluation_cost --data FOLDER [--data FOLDER ...] [--size 64] [--train 4000] [--samples 1000]
                                         [--unseen 800] [--json]
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import processor
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.copies.named_sets import grouped
from pdfed_sdk.ml.data import NodeSplit, PictureSet
from pdfed_sdk.ml.quality.frechet import Frechet
from pdfed_sdk.ml.scoring.scorer import Scorer, ScoringSettings
from pdfed_sdk.ml.sources import load_pictures


def pictures(folders: list[str], size: int, seed: int) -> Tensor:
    """All distinct pictures of the folders, in colour, shuffled."""
    images = torch.cat([load_pictures(folder, size=size, channels=3).images for folder in folders])
    return grouped(images, np.arange(len(images)), len(images), seed)[0]


def drawn_one_by_one(generated: Tensor, reference: Tensor, draws: list[Tensor]) -> list[float]:
    """The Fréchet distance of each draw by the singular values of X Y'."""
    y = reference.double().numpy()
    centred, found = y - y.mean(0), []
    for draw in draws:
        x = generated[draw].double().numpy()
        gap, x = x.mean(0) - y.mean(0), x - x.mean(0)
        spread = (x**2).sum() / (len(x) - 1) + (centred**2).sum() / (len(y) - 1)
        cross = np.linalg.svd(x @ centred.T, compute_uv=False).sum() / ((len(x) - 1) * (len(y) - 1)) ** 0.5
        found.append(float(gap @ gap + spread - 2 * cross))
    return found


def resampling(generated: Tensor, reference: Tensor, resamples: int) -> dict[str, float]:
    """CPU seconds of the bootstrap, ours and one by one, and by how much they differ at most."""
    rng = np.random.default_rng(0)
    draws = [torch.from_numpy(rng.integers(0, len(generated), len(generated))) for _ in range(resamples)]
    started = time.process_time()
    ours = Frechet(reference).pair(generated).resampled(draws)
    between = time.process_time()
    plain = drawn_one_by_one(generated, reference, draws)
    spent = between - started, time.process_time() - between
    apart = float(np.abs(np.array(ours) / np.array(plain) - 1).max())
    return {"ours": spent[0], "one_by_one": spent[1], "ratio": spent[1] / spent[0], "largest_difference": apart}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", action="append", required=True, metavar="FOLDER", help="what load_pictures reads")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--train", type=int, default=4_000)
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--unseen", type=int, default=800, help="test pictures, and as many held out")
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    set_threads(1)
    images = pictures(options.data, options.size, options.seed)
    wanted = options.train + options.samples + 2 * options.unseen
    if len(images) < wanted:
        parser.error(f"{len(images)} distinct pictures, {wanted} are asked for: give more folders or smaller numbers")
    cuts = np.cumsum([options.samples, options.train, options.unseen]).tolist()
    stand_ins, *parts = torch.tensor_split(images[:wanted], cuts)
    split = NodeSplit(*(PictureSet(part, torch.full((len(part),), -1)) for part in parts))
    started = time.process_time()
    scorer = Scorer(split, ScoringSettings(samples=options.samples, size=options.size, channels=3))
    between = time.process_time()
    report = scorer.score(stand_ins)
    spent = time.process_time() - between
    result = {
        "making_the_scorer": between - started,
        "score": spent,
        "score_parts": report.timings,
        "resampling": resampling(*(scorer.extractor(part) for part in (stand_ins, split.test.images)), 48),
        "pictures": {"train": options.train, "samples": options.samples, "unseen": 2 * options.unseen},
        "size": options.size,
        "processor": processor(),
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"making the scorer {result['making_the_scorer']:8.2f} CPU s\none score         {spent:8.2f} CPU s")
    for name, seconds in report.timings.items():
        print(f"  {name:16}{seconds:8.2f} s")
    print("bootstrap: " + ", ".join(f"{name} {value:.3g}" for name, value in result["resampling"].items()))


if __name__ == "__main__":
    main()
