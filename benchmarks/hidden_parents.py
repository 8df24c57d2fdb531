"""How well does the check of hidden parents tell who was made from whom? False and missed alarms on real trainings.

Three generations of honest models on MNIST (each from its reference, on pictures of its own, with seeds of its own),
averages, an unrelated model; and copies of one of them: the same bytes, permuted, noised, trained on by a tenth of a
step to two. Each is compared as a node would: beside every other submission from the same reference.

    python -m benchmarks.hidden_parents [--json] [--pictures 8000] [--nodes 5] [--seed 1] [--device cpu]
    python -m benchmarks.hidden_parents --family latent-lora --base FOLDER --emoji FOLDER [--pictures 1000] [--json]
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pdfed_sdk.ml.data import PictureSet, partition, split_nodes
from pdfed_sdk.ml.device import set_threads
from pdfed_sdk.ml.diffusion import hidden_parents
from pdfed_sdk.ml.diffusion.model import DiffusionModel, ModelConfig, average, new_model
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.ml.training import TrainConfig, train

RETRAINED = (0.1, 0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Row:
    """One comparison: the candidate's distance to a suspect over the usual one."""

    kind: str
    related: bool
    relation: hidden_parents.Relation


def trained(parent: DiffusionModel, pictures: PictureSet, budget: int, seed: int, device: str) -> DiffusionModel:
    config = TrainConfig(pictures=budget, seed=seed, device=device)
    return train(config, pictures, parent=copy.deepcopy(parent)).model


def permuted(model: DiffusionModel, seed: int) -> DiffusionModel:
    """Equal predictions, other weights: channels inside every residual block are shuffled within their groups' order.

    The first convolution of a block and the group norm after it are permuted together by whole groups, and the second
    convolution takes its inputs in that order.
    """
    made, random = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    state = made.network.state_dict()
    for name in [key.removesuffix(".conv1.weight") for key in state if key.endswith(".conv1.weight")]:
        width, groups = state[f"{name}.conv1.weight"].shape[0], 8
        order = torch.randperm(groups, generator=random).repeat_interleave(width // groups) * (width // groups)
        order = order + torch.arange(width // groups).repeat(groups)
        for part in ("conv1.weight", "conv1.bias", "time_emb_proj.weight", "time_emb_proj.bias"):
            state[f"{name}.{part}"] = state[f"{name}.{part}"][order]
        for part in ("norm2.weight", "norm2.bias"):
            state[f"{name}.{part}"] = state[f"{name}.{part}"][order]
        state[f"{name}.conv2.weight"] = state[f"{name}.conv2.weight"][:, order]
    made.network.load_state_dict(state)
    return made


def noised(model: DiffusionModel, share: float, seed: int) -> DiffusionModel:
    made, random = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in made.network.parameters():
            tensor += share * tensor.std(unbiased=False) * torch.randn(tensor.shape, generator=random)
    return made


def rows_of(generation: int, reference: DiffusionModel, honest: list[DiffusionModel], args: Any) -> list[Row]:
    """Honest ones beside each other, and copies of the first beside it."""
    pictures = load_pictures("mnist", size=16)
    splits = split_nodes(partition(pictures)[1], args.nodes + 1, seed=args.seed)
    own, test = splits[args.nodes].train, splits[args.nodes].test
    shown = test.take(range(min(len(test), hidden_parents.PICTURES)))
    seed = b"hidden_parents" + bytes([args.seed])

    def seen(model: DiffusionModel) -> hidden_parents.Trace:
        return hidden_parents.trace(model, shown, seed)

    traces = {number: seen(model) for number, model in enumerate(honest)}
    start = seen(reference)
    found: list[Row] = []
    for number, candidate in traces.items():
        suspects = {other: one for other, one in traces.items() if other != number}
        for relation in hidden_parents.relations(candidate, suspects, [], start).values():
            found.append(Row(f"honest, generation {generation}", False, relation))
    victim = honest[0]
    copies = {"the same bytes": victim, "permuted": permuted(victim, 3)}
    copies |= {f"noised by {share:g}": noised(victim, share, 4) for share in (0.01, 0.03, 0.1)}
    for part in RETRAINED:
        copies[f"trained on by {part:g}"] = trained(victim, own, int(part * args.pictures), 77, args.device)
    honest_too = {
        "average of two others": average(honest[1:3], [1, 1]),
        "unrelated": trained(new_model(reference.config, seed=909), own, 2 * args.pictures, 78, args.device),
        "a fresh model from the reference": trained(reference, own, args.pictures, 79, args.device),
    }
    for kind, model in [*copies.items(), *honest_too.items()]:
        relation = hidden_parents.relations(seen(model), traces, [], start)
        if kind in copies:
            found.append(Row(kind, True, relation[0]))
            found += [Row("a copy beside third models", False, relation[other]) for other in traces if other]
        elif kind.startswith("average"):
            found += [Row("average beside its parents", True, relation[other]) for other in (1, 2)]
            found += [Row("average beside others", False, relation[n]) for n in traces if n not in (1, 2)]
        else:
            found += [Row(kind, False, one) for one in relation.values()]
    pair = hidden_parents.relations(seen(victim), {**traces, 98: seen(noised(victim, 0.01, 5))}, [], start)
    found.append(Row("the same bytes beside a second copy", True, pair[0]))
    return found


def measure(args: Any) -> list[Row]:
    pictures = load_pictures("mnist", size=16)
    splits = split_nodes(partition(pictures)[1], args.nodes + 1, seed=args.seed)
    everything = splits[args.nodes].train
    reference = trained(new_model(ModelConfig(), seed=args.seed), everything, args.pictures // 4, 1, args.device)
    rows: list[Row] = []
    for generation in range(1, args.generations + 1):
        honest = [
            trained(reference, split.train, args.pictures, 100 * generation + number, args.device)
            for number, split in enumerate(splits[: args.nodes])
        ]
        rows += rows_of(generation, reference, honest, args)
        reference = honest[1]
    return rows


def table(rows: list[Row]) -> list[dict[str, Any]]:
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.kind, []).append(row)
    return [
        {
            "kind": kind,
            "related": group[0].related,
            "comparisons": len(group),
            "prediction": [round(f([r.relation.prediction for r in group]), 3) for f in (min, statistics.median, max)],
            "hidden": [round(f([r.relation.hidden for r in group]), 3) for f in (min, statistics.median, max)],
            "alarms": sum(row.relation.made_from_it for row in group),
        }
        for kind, group in kinds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--family", choices=["ddpm", "latent-lora"], default="ddpm")
    parser.add_argument("--base", type=Path, help="latent-lora: folder of the base")
    parser.add_argument("--emoji", type=Path, help="latent-lora: folder of the npm package emoji-datasource-google")
    parser.add_argument("--generations", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=8_000)
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    set_threads(1)
    if args.family == "latent-lora":
        from benchmarks import hidden_parents_lora

        found = table(hidden_parents_lora.measure(args))
    else:
        found = table(measure(args))
    if args.json:
        json.dump(found, sys.stdout, indent=1)
        return
    print(f"{'kind':38} {'n':>3} {'alarms':>6}   prediction min/med/max    hidden min/med/max")
    for row in found:
        near, hidden = ("  ".join(f"{value:5.3f}" for value in row[name]) for name in ("prediction", "hidden"))
        print(f"{row['kind']:38} {row['comparisons']:>3} {row['alarms']:>6}   {near}       {hidden}")


if __name__ == "__main__":
    main()
