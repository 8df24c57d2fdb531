"""How much does an improvement move when nothing improved? The no-op retrain behind a task's ``minStep``.

A model is trained on twice from the same parent, on the same pictures, by the same recipe; only the training seed
differs. Neither is better, so every improvement between the two is noise. `pdfed score noise` measures it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pdfed_sdk.buckets import grains_between
from pdfed_sdk.errors import MlError
from pdfed_sdk.family import Model
from pdfed_sdk.ml.data import PictureSet, partition, split_nodes
from pdfed_sdk.ml.diffusion.model import ModelConfig
from pdfed_sdk.ml.diffusion.training import TrainConfig, train
from pdfed_sdk.ml.scoring.scorer import Scorer, ScoringSettings
from pdfed_sdk.ml.sources import load_pictures

LEAST_STEP = 2
"""The protocol's lower bound of minStep, in grains (rule 8)."""
KAPPA = 0.34
"""The quantile that is the outcome, by default."""


@dataclass(frozen=True)
class NoopNoise:
    """Improvements in grains (unrounded) of pairs of equal retrains: ``values`` (pairs, voters), the deviation of one
    voter's, of the outcome (the lower κ-quantile of the voters), and the ``min_step`` they call for: three deviations
    of the outcome, at least 2."""

    values: tuple[tuple[float, ...], ...]
    deviation: float
    outcome_deviation: float
    min_step: int


def noop_noise(
    parent: Model, data: PictureSet, scorers: Sequence[Scorer], config: TrainConfig, *, pairs: int = 3
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
            row.append(grains_between(before, after))
        values.append(tuple(row))
    return summarise(values)


def summarise(values: Sequence[Sequence[float]]) -> NoopNoise:
    """Deviations about zero, the true improvement, of values (pairs, voters)."""
    table = np.array(values, dtype=float)
    if not np.isfinite(table).all():
        raise MlError(f"values holds {table[~np.isfinite(table)][0]}, expected finite numbers of grains")
    one = float(np.sqrt((table**2).mean()))
    place = math.ceil(KAPPA * table.shape[1]) - 1
    outcome = float(np.sqrt((np.sort(table, axis=1)[:, place] ** 2).mean()))
    step = max(LEAST_STEP, math.ceil(3 * outcome))
    return NoopNoise(tuple(tuple(map(float, row)) for row in table), one, outcome, step)


@dataclass(frozen=True)
class NoiseSetup:
    """A small federation: ``data`` divided among the voters and one trainer, a genesis model, a few ``generations``
    of ``pictures`` each, then the pairs of equal retrains."""

    data: str = "mnist"
    size: int = 16
    voters: int = 4
    pairs: int = 6
    pictures: int = 6_000
    genesis: int = 2_000
    generations: int = 2


def measure(setup: NoiseSetup, tell: Callable[[str], None] = lambda _text: None) -> NoopNoise:
    """Train the lineage, then `noop_noise`. Minutes at full size. Errors: DataError, MlError."""
    public, private = partition(load_pictures(setup.data, size=setup.size))
    splits = split_nodes(private, setup.voters + 1)
    model = ModelConfig(size=setup.size, channels=public.channels, classes=len(public.classes))
    tell("training the parent")
    parent = train(TrainConfig(pictures=setup.genesis), public, model=model).model
    config = TrainConfig(pictures=setup.pictures)
    for turn in range(setup.generations):
        parent = train(config, splits[1 + turn % setup.voters].train, parent=parent).model
    settings = ScoringSettings(size=setup.size, channels=public.channels)
    scorers = [Scorer(split, settings) for split in splits[1:]]
    tell(f"training and scoring {setup.pairs} pairs of equal retrains")
    return noop_noise(parent, splits[0].train, scorers, config, pairs=setup.pairs)
