"""The check of hidden parents on adapters: `benchmarks.hidden_parents --family latent-lora` calls it.

Nodes own emoji of all kinds, disjoint, and train rank-8 adapters from one reference over a base that
`examples/lora/train_base.py` made. An adapter can be dressed up in one way only: its two halves times a matrix and its
inverse, which changes no product. Copies are dressed so, noised, and trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.hidden_parents import Row
from pdfed_sdk.ml.data import PictureSet, split_nodes
from pdfed_sdk.ml.diffusion import hidden_parents
from pdfed_sdk.ml.lora.adapter import AdapterModel, new_adapter, with_matrices
from pdfed_sdk.ml.lora.averaging import average
from pdfed_sdk.ml.lora.prompts import setup_for
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.ml.training import TrainConfig, train

RETRAINED = (0.1, 0.25, 0.5, 1.0)


def distinct(pictures: PictureSet) -> PictureSet:
    """One picture a caption: skin tones share a name."""
    seen: dict[str, int] = {}
    for place, text in enumerate(pictures.captions):
        seen.setdefault(text, place)
    return pictures.take(sorted(seen.values()))


def refactored(model: AdapterModel, seed: int) -> AdapterModel:
    """The same products from other halves."""
    random, made = torch.Generator().manual_seed(seed), model.network.matrices()
    rank = model.setup.rank
    for name in [name for name in made if ".lora_A." in name]:
        turn = torch.randn(rank, rank, generator=random) + 2 * torch.eye(rank)
        other = name.replace("lora_A", "lora_B")
        made[name], made[other] = turn @ made[name].detach(), made[other].detach() @ torch.linalg.inv(turn)
    return with_matrices(model, made)


def noised(model: AdapterModel, share: float, seed: int) -> AdapterModel:
    random = torch.Generator().manual_seed(seed)
    made = {
        name: matrix.detach() + share * matrix.detach().std() * torch.randn(matrix.shape, generator=random)
        for name, matrix in model.network.matrices().items()
    }
    return with_matrices(model, made)


def measure(args: Any) -> list[Row]:
    pictures = distinct(load_pictures(args.emoji, size=64))
    splits = split_nodes(pictures, args.nodes + 1, seed=args.seed)
    public = splits[args.nodes].train
    start = new_adapter(setup_for(public, args.base, rank=8))
    shown = splits[args.nodes].test.take(range(min(len(splits[args.nodes].test), hidden_parents.PICTURES)))
    seed = b"hidden_parents" + bytes([args.seed])

    def trained(parent: AdapterModel, data: PictureSet, share: float, number: int) -> AdapterModel:
        budget = max(16, int(share * args.pictures))
        config = TrainConfig(budget, batch=16, lr=1e-3, seed=number, label_dropout=0.1, device=args.device)
        found = train(config, data, parent=parent).model
        assert isinstance(found, AdapterModel)
        return found

    def seen(model: AdapterModel) -> hidden_parents.Trace:
        return hidden_parents.trace(model, shown, seed)

    rows: list[Row] = []
    reference = trained(start, public, 0.25, 1)
    for generation in range(1, args.generations + 1):
        honest = [trained(reference, s.train, 1.0, 100 * generation + i) for i, s in enumerate(splits[: args.nodes])]
        rows += rows_of(generation, reference, honest, public, trained, seen)
        reference = honest[1]
    return rows


def rows_of(
    generation: int,
    reference: AdapterModel,
    honest: list[AdapterModel],
    own: PictureSet,
    trained: Callable[[AdapterModel, PictureSet, float, int], AdapterModel],
    seen: Callable[[AdapterModel], hidden_parents.Trace],
) -> list[Row]:
    """Honest ones beside each other, and copies of the first beside it; kinds as for pixel models."""
    traces, start = {number: seen(model) for number, model in enumerate(honest)}, seen(reference)
    found: list[Row] = []
    for number, candidate in traces.items():
        suspects = {other: one for other, one in traces.items() if other != number}
        for relation in hidden_parents.relations(candidate, suspects, [], start).values():
            found.append(Row(f"honest, generation {generation}", False, relation))
    victim = honest[0]
    copies = {"the same bytes": victim, "other halves": refactored(victim, 3)}
    copies |= {f"noised by {share:g}": noised(victim, share, 4) for share in (0.01, 0.03, 0.1)}
    copies |= {f"trained on by {part:g}": trained(victim, own, part, 77) for part in RETRAINED}
    for kind, model in copies.items():
        relation = hidden_parents.relations(seen(model), traces, [], start)
        found.append(Row(kind, True, relation[0]))
        found += [Row("a copy beside third models", False, relation[other]) for other in traces if other]
    mixed = hidden_parents.relations(seen(average(honest[1:3], [1, 1]).model), traces, [], start)
    found += [Row("average beside its parents", True, mixed[other]) for other in (1, 2)]
    found += [Row("average beside others", False, mixed[n]) for n in traces if n not in (1, 2)]
    fresh = hidden_parents.relations(seen(trained(reference, own, 1.0, 79)), traces, [], start)
    found += [Row("a fresh model from the reference", False, one) for one in fresh.values()]
    return found
