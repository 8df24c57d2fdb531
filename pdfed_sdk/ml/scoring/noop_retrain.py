"""How much does an improvement move when nothing improved? The no-op retrain behind a task's ``minStep``.

A model is trained on twice from the same parent, on the same pictures, by the same recipe; only the training seed
differs. Neither is better, so every improvement between the two is noise. `pdfed score noise` measures it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

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


def twins(parent: Model, data: PictureSet, config: TrainConfig, *, pairs: int = 3) -> Iterator[tuple[Model, Model]]:
    """Children of ``parent`` by twos that differ in their seed only. Errors: MlError."""
    if pairs < 1:
        raise MlError(f"pairs is {pairs}, at least 1")
    for pair in range(pairs):
        seeds = (config.seed + 2 * pair + i for i in range(2))
        first, second = (train(dataclasses.replace(config, seed=seed), data, parent=parent).model for seed in seeds)
        yield first, second


def noop_noise(equals: Sequence[tuple[Model, Model]], scorers: Sequence[Scorer]) -> NoopNoise:
    """Score `twins` at each voter with a seed of the voter's own, the same for both. Errors: MlError."""
    if not equals or not scorers:
        raise MlError(f"there are {len(equals)} pairs and {len(scorers)} scorers, at least one of each is needed")
    values = []
    for pair, both in enumerate(equals):
        row = []
        for voter, scorer in enumerate(scorers):
            seed = hashlib.sha256(f"noop {pair} {voter}".encode()).digest()
            before, after = (scorer.evaluate(model, seed).objective for model in both)
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


def samples_needed(found: Mapping[int, NoopNoise], step: int = 3) -> int | None:
    """Samples at which three deviations of the outcome are at most ``step`` grains; None if no number is enough, or one
    alone was measured.

    What differs between twins is one part of the variance, what differs between draws of n samples the other:
    v = a + b / n, by least squares, neither below zero.
    """
    if len(found) < 2:
        return None
    variances = np.array([one.outcome_deviation**2 for one in found.values()])
    terms = np.array([[1, 1 / count] for count in found])
    fixed, drawn = nnls(terms, variances)[0]
    left = (step / 3) ** 2 - fixed
    return math.ceil(drawn / left) if left > 0 else None


@dataclass(frozen=True)
class NoiseSetup:
    """A small federation: ``data`` divided among the voters and one trainer, a genesis model, a few ``generations``
    of ``pictures`` each, then the pairs of equal retrains, scored on each of the numbers of ``samples``."""

    data: str = "mnist"
    size: int = 16
    voters: int = 4
    pairs: int = 6
    pictures: int = 6_000
    genesis: int = 2_000
    generations: int = 2
    samples: tuple[int, ...] = (128,)


def measure(setup: NoiseSetup, tell: Callable[[str], None] = lambda _text: None) -> dict[int, NoopNoise]:
    """Train the lineage, then `noop_noise` for each number of samples. Minutes at full size. Errors: DataError,
    MlError."""
    public, private = partition(load_pictures(setup.data, size=setup.size))
    splits = split_nodes(private, setup.voters + 1)
    model = ModelConfig(size=setup.size, channels=public.channels, classes=len(public.classes))
    tell("training the parent")
    parent = train(TrainConfig(pictures=setup.genesis), public, model=model).model
    config = TrainConfig(pictures=setup.pictures)
    for turn in range(setup.generations):
        parent = train(config, splits[1 + turn % setup.voters].train, parent=parent).model
    tell(f"training {setup.pairs} pairs of equal retrains")
    equals = list(twins(parent, splits[0].train, config, pairs=setup.pairs))
    found = {}
    for count in setup.samples:
        tell(f"scoring them on {count} samples")
        settings = ScoringSettings(size=setup.size, channels=public.channels, samples=count, copy_samples=count)
        found[count] = noop_noise(equals, [Scorer(split, settings) for split in splits[1:]])
    return found
