"""What are searched shares of an average worth, beside equal ones? No training picture is spent on either.

A seed is one small federation on MNIST: node 0 trains from genesis, nodes 1 and 2 at the same time from node 0's model.
Node 3 averages the three as a trainer would (LCSC, arXiv 2404.02241): equally, and with the shares that have the lowest
validation loss on its held-out pictures. Both are measured on its other pictures: J by its own
scorer, and the loss. The effect is 32·log2(J equal / J searched), in grains: above 0 the search helps. Its 95 %
interval is a bootstrap over the seeds. Beside them stands the best of the three alone, by the same loss.

    python -m benchmarks.averaging [--seeds 5] [--pictures 6000] [--looks 24] [--json]
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from benchmarks.machine import processor
from pdfed_sdk.buckets import grains_between
from pdfed_sdk.family import Model
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.data import partition, split_nodes
from pdfed_sdk.ml.diffusion.mixing import PARTS, best_shares, in_parts
from pdfed_sdk.ml.diffusion.model import DiffusionModel, ModelConfig, average
from pdfed_sdk.ml.diffusion.training import TrainConfig, train
from pdfed_sdk.ml.diffusion.validation import Validation
from pdfed_sdk.ml.scoring.scorer import Scorer, ScoringSettings
from pdfed_sdk.ml.sources import load_pictures

RESAMPLES = 10_000


def play(seed: int, pictures: int, looks: int) -> dict[str, Any]:
    """One federation; objective and loss of the equal and of the searched average."""
    public, private = partition(load_pictures("mnist", size=16))
    nodes = split_nodes(private, 4, seed=seed)

    def trained(node: int, parent: Model) -> Model:
        config = TrainConfig(pictures=pictures, seed=10 * seed + node)
        return train(config, nodes[node].train, parent=parent).model

    genesis = train(TrainConfig(pictures=2_000, seed=seed), public, model=ModelConfig()).model
    first = trained(0, genesis)
    models = [first, trained(1, first), trained(2, first)]
    ddpms = [model for model in models if isinstance(model, DiffusionModel)]
    judge = nodes[3]
    scorer = Scorer(judge, ScoringSettings(samples=256, copy_samples=256))
    unseen = Validation(judge.test)
    equal = in_parts([1, 1, 1])
    began = time.process_time()
    found = best_shares(ddpms, Validation(judge.heldout).losses, equal, looks)
    searched = time.process_time() - began
    row: dict[str, Any] = {"seed": seed, "shares": found, "search_seconds": searched}
    singles = [tuple(PARTS * (place == at) for place in range(3)) for at in range(3)]
    best = min(singles, key=lambda shares: float(Validation(judge.heldout).losses(average(ddpms, shares)).mean()))
    for name, shares in (("equal", equal), ("searched", found), ("best single", best)):
        mixed = average(ddpms, shares)
        row[name] = {
            "objective": scorer.evaluate(mixed, bytes([seed]) * 32).objective,
            "loss": float(unseen.losses(mixed).mean()),
        }
    row["grains"] = grains_between(row["equal"]["objective"], row["searched"]["objective"])
    return row


def interval(effects: list[float]) -> tuple[float, float]:
    """95 % of the mean of the effects, by drawing seeds again."""
    drawn = np.random.default_rng(0).choice(effects, (RESAMPLES, len(effects))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=6_000)
    parser.add_argument("--looks", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    set_threads(1)
    rows = []
    if not given.json:
        heads = ("J equal", "J searched", "J single", "loss equal", "searched", "grains")
        print(f"{'seed':>4} {'shares':>14} " + " ".join(f"{head:>10}" for head in heads))
    for seed in range(given.seeds):
        row = play(seed, given.pictures, given.looks)
        rows.append(row)
        if not given.json:
            shares = " ".join(f"{share / PARTS:.2f}" for share in row["shares"])
            one, two, single = row["equal"], row["searched"], row["best single"]
            print(
                f"{seed:>4} {shares:>14} {one['objective']:>10.3f} {two['objective']:>10.3f} "
                f"{single['objective']:>10.3f} {one['loss']:>10.4f} "
                f"{two['loss']:>10.4f} {row['grains']:>+10.1f}",
                flush=True,
            )
    effects = [row["grains"] for row in rows]
    low, high = interval(effects)
    result = {"effect": float(np.mean(effects)), "low": low, "high": high, "seeds": rows, "device": processor()}
    if given.json:
        print(json.dumps(result))
    else:
        print(f"the search is worth {result['effect']:+.1f} grains [{low:+.1f}, {high:+.1f}] on {result['device']}")


if __name__ == "__main__":
    main()
