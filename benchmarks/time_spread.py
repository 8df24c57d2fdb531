"""Where should training steps look? FID along a chain of short trainings, for several spreads of their times.

As in the demo: digits of 16 px, genesis of 2,000 public pictures, then each submission is trained by the next of three
nodes on its own pictures. Given is the FID as a share of genesis', of 400 samples by 8 steps of DPM-Solver++ against
all nodes' test pictures. The long run is one training of ten submissions' length, sampled with more and more steps.

    python -m benchmarks.time_spread [--spreads 0,0.6,0.8,1] [--seeds 2] [--pictures 4500] [--json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from benchmarks.machine import processor
from pdfed_sdk.demo.nodes import LEARNING, SCORING
from pdfed_sdk.demo.quality import SAMPLES, SEED
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.data import PictureSet, partition, split_nodes
from pdfed_sdk.ml.diffusion.model import DiffusionModel
from pdfed_sdk.ml.diffusion.sampling import sample
from pdfed_sdk.ml.diffusion.training import TrainConfig, train
from pdfed_sdk.ml.quality.features import load_extractor
from pdfed_sdk.ml.quality.frechet import fid
from pdfed_sdk.ml.sources import load_pictures

NODES, TRAINERS, LINKS = 5, 3, 4
GENESIS, LONG = 2_000, 10
STEPS = (6, 8, 12, 25, 50)

Judge = Callable[[DiffusionModel, int], float]


def judge(real: Tensor) -> Judge:
    """FID of a model by so many steps, against the features of pictures."""
    extractor = load_extractor(SCORING.extractor, size=SCORING.size, channels=SCORING.channels)
    known = extractor(real)

    def distance(model: DiffusionModel, steps: int) -> float:
        return fid(extractor(sample(model, SAMPLES, SEED, steps=steps, solver=SCORING.solver)[0]), known)

    return distance


def learnt(parent: DiffusionModel, data: PictureSet, pictures: int, spread: float, seed: int) -> DiffusionModel:
    """One training of the demo's honest nodes, under this spread."""
    config = TrainConfig(pictures=pictures, lr=LEARNING["lr"], time_spread=spread, seed=seed)
    result = train(config, data, parent=parent).model
    assert isinstance(result, DiffusionModel)
    return result


@dataclass(frozen=True)
class Row:
    """What one spread and seed gave: FID of genesis, and shares of it after each link and of the long run by steps."""

    spread: float
    seed: int
    genesis: float
    chain: list[float]
    long: dict[int, float]


def measured(spread: float, seed: int, pictures: int) -> Row:
    """The chain and the long run."""
    public, private = partition(load_pictures("mnist", size=SCORING.size))
    splits = split_nodes(private, NODES, seed=seed)
    distance = judge(torch.cat([split.test.images for split in splits]))
    genesis = train(TrainConfig(pictures=GENESIS, seed=seed), public).model
    assert isinstance(genesis, DiffusionModel)
    first = distance(genesis, SCORING.sampler_steps)
    chain, model = [], genesis
    for link in range(LINKS):
        model = learnt(model, splits[link % TRAINERS].train, pictures, spread, 100 * seed + link)
        chain.append(distance(model, SCORING.sampler_steps) / first)
    long = learnt(genesis, splits[0].train, LONG * pictures, spread, seed)
    shares = {steps: distance(long, steps) / first for steps in STEPS}
    return Row(spread, seed, first, chain, shares)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spreads", default="0,0.6,0.8,1", help="0 is evenly; with commas")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=4_500, help="of a submission")
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    options = parser.parse_args()
    set_threads(1)
    rows = []
    for spread in map(float, options.spreads.split(",")):
        for seed in range(options.seeds):
            row = measured(spread, seed, options.pictures)
            rows.append(row)
            if not options.json:
                links = " ".join(f"{share:.3f}" for share in row.chain)
                print(f"spread {spread:<4} seed {seed}  chain {links}  long run, steps ", end="")
                print(", ".join(f"{steps}: {share:.3f}" for steps, share in row.long.items()), flush=True)
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "pictures": options.pictures, "device": processor()}))


if __name__ == "__main__":
    main()
