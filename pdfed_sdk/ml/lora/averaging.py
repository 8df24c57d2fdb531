"""The weighted mean of adapters, exactly.

An adapter changes a layer by ΔW = B A. The mean of products is not the product of means: averaging A and B on their own
gives (Σ wᵢ Bᵢ)(Σ wⱼ Aⱼ), with cross terms Bᵢ Aⱼ that no adapter has. So ΔW = Σ wᵢ Bᵢ Aᵢ is averaged. It has a rank of
at most k·r for k adapters of rank r, and is brought back to r by its singular value decomposition, which is the nearest
matrix of that rank in Frobenius' norm (Eckart and Young 1936). What is lost is reported.

ΔW itself is never formed: with B' = [w₁B₁ … wₖBₖ] = Q_B R_B and A'ᵀ = [A₁ᵀ … Aₖᵀ] = Q_A R_A, the singular values of ΔW
are those of the small matrix R_B R_Aᵀ of k·r rows.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pdfed_sdk.errors import MlError
from pdfed_sdk.ml.lora.adapter import AdapterModel, with_matrices

log = logging.getLogger("pdfed.training")

NOTHING = 1e-12
"""Singular values below this share of a layer's greatest are taken for zero."""


@dataclass(frozen=True)
class Averaged:
    """``residual``: ‖mean ΔW − B A‖ / ‖mean ΔW‖ in Frobenius' norm over all layers, 0 … 1; ``worst``: of one layer."""

    model: AdapterModel
    residual: float
    worst: float


def average(models: Sequence[AdapterModel], weights: Sequence[float]) -> Averaged:
    """Weighted mean of the changes that adapters of one setup make (weights >= 0, any positive sum). MlError if they
    cannot be averaged."""
    total = float(sum(weights))
    if len(models) != len(weights) or not models or min(weights) < 0 or not total > 0 or not math.isfinite(total):
        raise MlError(f"{len(models)} models with weights {tuple(weights)}: expected one non-negative weight a model")
    if any(model.setup != models[0].setup for model in models):
        raise MlError("adapters of different setups cannot be averaged")
    parts = [
        (model.network.matrices(), weight / total) for model, weight in zip(models, weights, strict=True) if weight
    ]
    if len(parts) == 1:
        return Averaged(with_matrices(models[0], parts[0][0]), 0.0, 0.0)
    matrices, kept, lost, worst = dict[str, Tensor](), 0.0, 0.0, 0.0
    for name in parts[0][0]:
        if not name.endswith(".lora_A.weight"):
            continue
        stem = name.removesuffix("lora_A.weight")
        ups = [found[f"{stem}lora_B.weight"].detach().cpu().double() * share for found, share in parts]
        downs = [found[name].detach().cpu().double() for found, _ in parts]
        up, down, values = refactored(torch.cat(ups, 1), torch.cat(downs, 0), models[0].setup.rank)
        matrices[f"{stem}lora_B.weight"], matrices[name] = up.float(), down.float()
        whole, left = float(values.square().sum()), float(values[models[0].setup.rank :].square().sum())
        kept, lost = kept + whole, lost + left
        worst = max(worst, math.sqrt(left / whole) if whole else 0.0)
    found = Averaged(with_matrices(models[0], matrices), math.sqrt(lost / kept) if kept else 0.0, worst)
    log.info("mean of %d adapters: %.2f %% of the change lost to the rank", len(parts), 100 * found.residual)
    return found


def refactored(up: Tensor, down: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best B (out, rank) and A (rank, in) for up (out, m) · down (m, in), and all singular values (m',).

    Both halves take the root of a singular value. Where it is zero, B is zero and the row of A a unit vector, as in a
    fresh adapter: with both halves zero the row would never learn again. Signs are such that the entry of B that is
    greatest in magnitude is positive.
    """
    left, upper = torch.linalg.qr(up)
    right, lower = torch.linalg.qr(down.T)
    u, values, vt = torch.linalg.svd(upper @ lower.T, full_matrices=False)
    columns, rows = left @ u, (right @ vt.T).T
    count = min(rank, len(values))
    columns, rows, kept = columns[:, :count], rows[:count], values[:count]
    places = columns.abs().argmax(0)
    signs = torch.where(columns[places, torch.arange(count)] < 0, -1.0, 1.0).to(columns)
    dead = kept <= NOTHING * values.max() if float(values.max()) > 0 else torch.ones_like(kept, dtype=torch.bool)
    root = torch.where(dead, 0.0, kept.sqrt())
    found_up, found_down = columns * signs * root, rows * signs[:, None] * torch.where(dead, 1.0, root)[:, None]
    if count < rank:  # a layer narrower than the rank
        found_up = torch.nn.functional.pad(found_up, (0, rank - count))
        found_down = torch.nn.functional.pad(found_down, (0, 0, 0, rank - count))
    return found_up, found_down, values
