"""How much does an improvement move when nothing improved? The no-op retrain behind a task's ``minStep``.

A model is trained on twice from the same parent, on the same pictures, by the same recipe; only the training seed
differs. Neither is better, so every improvement between the two is noise. `python -m pdfed_sdk.ml.noise` measures it.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pdfed_sdk.errors import MlError
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.model import DiffusionModel, ModelConfig
from pdfed_sdk.ml.scoring import Scorer, improvement_of
from pdfed_sdk.ml.training import TrainConfig, train

LEAST_STEP = 2
"""The protocol's lower bound of minStep (rule 8)."""


@dataclass(frozen=True)
class NoopNoise:
    """Improvements in buckets (unrounded) of pairs of equal retrains: ``values`` (pairs, voters), the deviation of one
    voter's, of the voters' median, and the ``min_step`` they call for: three deviations of the median, at least 2."""

    values: tuple[tuple[float, ...], ...]
    deviation: float
    median_deviation: float
    min_step: int


def noop_noise(
    parent: DiffusionModel, data: PictureSet, scorers: Sequence[Scorer], config: TrainConfig, *, pairs: int = 3
) -> NoopNoise:
    """Train ``2 * pairs`` children of ``parent`` that differ in their seed only, and score each pair at each voter
    with a seed of the voter's own, the same for both. Errors: MlError."""
    if pairs < 1 or not scorers:
        raise MlError(f"pairs is {pairs} and there are {len(scorers)} scorers, at least one of each is needed")
    values = []
    for pair in range(pairs):
        twins = [
            train(dataclasses.replace(config, seed=config.seed + 2 * pair + i), data, parent=parent).model
            for i in range(2)
        ]
        row = []
        for voter, scorer in enumerate(scorers):
            seed = hashlib.sha256(f"noop {pair} {voter}".encode()).digest()
            before, after = (scorer.evaluate(model, seed).objective for model in twins)
            improvement_of(before, after)  # refuses what is no objective
            row.append(8 * math.log2(before / after))
        values.append(tuple(row))
    return summarise(values)


def summarise(values: Sequence[Sequence[float]]) -> NoopNoise:
    """Deviations about zero, the true improvement, of values (pairs, voters)."""
    table = np.array(values, dtype=float)
    one = float(np.sqrt((table**2).mean()))
    middle = float(np.sqrt((np.median(table, axis=1) ** 2).mean()))
    step = max(LEAST_STEP, math.ceil(3 * middle))
    return NoopNoise(tuple(tuple(map(float, row)) for row in table), one, middle, step)


def main() -> None:
    """Measure on digits: a genesis model, ``--voters`` nodes, ``--pairs`` pairs of equal retrains."""
    from pdfed_sdk.ml import set_threads
    from pdfed_sdk.ml.data import partition, split_nodes
    from pdfed_sdk.ml.sources import load_pictures

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--voters", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=5_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    set_threads(1)
    public, private = partition(load_pictures(options.data, size=options.size))
    splits = split_nodes(private, options.voters + 1)
    model = ModelConfig(size=options.size, channels=public.channels, classes=len(public.classes))
    config = TrainConfig(pictures=options.pictures)
    print("training the parent", file=sys.stderr)
    parent = train(config, public, model=model).model
    scorers = [Scorer(split) for split in splits[1:]]
    found = noop_noise(parent, splits[0].train, scorers, config, pairs=options.pairs)
    if options.json:
        print(json.dumps(dataclasses.asdict(found)))
        return
    print(f"one voter {found.deviation:.2f} buckets, median of {options.voters} voters {found.median_deviation:.2f}")
    print(f"minStep {found.min_step} (three deviations of the median, at least {LEAST_STEP})")


if __name__ == "__main__":
    main()
