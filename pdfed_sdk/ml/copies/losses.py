"""The losses by which the fingerprint of a picture, a unit vector of 256 numbers, is trained (eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def contrastive_loss(anchors: Tensor, views: Tensor, temperature: float = 0.1) -> Tensor:
    """Eq. 1: -sum_i log(d(a_i, v_i) / (d(a_i, v_i) + sum_{j != i} d(a_i, a_j))), d = exp(cos / temperature), as a
    mean; anchors and views (N, D) of unit length. The other views count as negatives too (the paper's d(a_i, v_j),
    j != i, is left out there; with it the degraded copies of two pictures are pushed apart as well)."""
    own = (anchors * views).sum(1, keepdim=True)
    others = anchors @ anchors.T
    mask = torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)
    crossed = (anchors @ views.T).masked_fill(mask, -torch.inf)
    logits = torch.cat([own, others.masked_fill(mask, -torch.inf), crossed], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(anchors), dtype=torch.long, device=anchors.device))


def spread_loss(vectors: Tensor) -> Tensor:
    """KoLeo: -mean log distance to the nearest other vector; spreads fingerprints over the sphere."""
    cosines = (vectors @ vectors.T).fill_diagonal_(-1.0)
    return -(2 - 2 * cosines.max(1).values).clamp_min(1e-6).sqrt().log().mean()
