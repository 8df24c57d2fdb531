"""The Fréchet distance between two sets of features: exact for few samples, streaming for many, and its limit FD∞."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.neighbours import check_features

Array = Tensor | np.ndarray


def as_features(values: Array, name: str, kind: torch.dtype = torch.float64) -> Tensor:
    """(N, D) tensor of finite numbers from NumPy or torch, in ``kind``. Errors: DataError."""
    tensor = torch.as_tensor(values)
    check_features(tensor, name)
    return tensor.to(kind)


def fid(generated: Array, reference: Array) -> float:
    """|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2) of features (n, D) and (m, D), sample covariances (ddof 1).

    With fewer samples than dimensions the last trace is the nuclear norm of X Y' / sqrt((n-1)(m-1)), X and Y centred:
    exact, and no D x D matrix is made. Errors: DataError for fewer than two rows or different D.
    """
    x, y = as_features(generated, "generated"), as_features(reference, "reference")
    if len(x) < 2 or len(y) < 2 or x.shape[1] != y.shape[1]:
        raise DataError(f"generated is {tuple(x.shape)} and reference {tuple(y.shape)}: at least 2 rows, one width")
    gap = (x.mean(0) - y.mean(0)).square().sum()
    x, y = x - x.mean(0), y - y.mean(0)
    spread = x.square().sum() / (len(x) - 1) + y.square().sum() / (len(y) - 1)
    if min(len(x), len(y)) <= x.shape[1]:
        cross = torch.linalg.svdvals(x @ y.T).sum() / ((len(x) - 1) * (len(y) - 1)) ** 0.5
    else:
        cross = _root_trace(x.T @ x / (len(x) - 1), y.T @ y / (len(y) - 1))
    return max(0.0, float(gap + spread - 2 * cross))


def _root_trace(first: Tensor, second: Tensor) -> Tensor:
    """tr (S1 S2)^(1/2) of symmetric positive semi-definite matrices (D, D): the roots of the eigenvalues of L' S2 L
    for S1 = L L' (Cholesky), or of S1^(1/2) S2 S1^(1/2) where S1 is singular."""
    factor, failed = torch.linalg.cholesky_ex(first)
    if bool(failed):
        values, vectors = torch.linalg.eigh(first)
        factor = vectors * values.clamp_min(0).sqrt()
    inner = factor.T @ second @ factor
    total: Tensor = torch.linalg.eigvalsh((inner + inner.T) / 2).clamp_min(0).sqrt().sum()
    return total


@dataclass
class Moments:
    """Mean and scatter of features that come in blocks (float64); for sets that do not fit in memory."""

    dim: int

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise DataError(f"dim is {self.dim}, at least 1")
        self.count = 0
        self.mean = torch.zeros(self.dim, dtype=torch.float64)
        self.scatter = torch.zeros(self.dim, self.dim, dtype=torch.float64)

    def update(self, block: Array) -> None:
        """Add rows (n, D)."""
        x = as_features(block, "block").cpu()
        if x.shape[1] != self.dim:
            raise DataError(f"block has {x.shape[1]} columns, expected {self.dim}")
        total, mean = self.count + len(x), x.mean(0)
        delta, centred = mean - self.mean, x - mean
        self.scatter += centred.T @ centred + torch.outer(delta, delta) * (self.count * len(x) / total)
        self.mean += delta * (len(x) / total)
        self.count = total

    def fid(self, other: Moments) -> float:
        """`fid` of what was added here and there."""
        if min(self.count, other.count) < 2 or self.dim != other.dim:
            raise DataError(f"counts {self.count} and {other.count}: at least 2 rows each, one width")
        first, second = self.scatter / (self.count - 1), other.scatter / (other.count - 1)
        gap = (self.mean - other.mean).square().sum()
        total = gap + first.trace() + second.trace() - 2 * _root_trace(first, second)
        return max(0.0, float(total))


def fid_infinity(generated: Array, reference: Array, *, points: int = 8, seed: int = 0) -> float:
    """FD∞: `fid` at growing numbers of generated samples, fitted by a line in 1/N, read at 1/N = 0. The bias of the
    generated side is gone; that of the reference side stays. May be slightly negative. Needs 16 samples."""
    x, y = as_features(generated, "generated"), as_features(reference, "reference")
    if points < 1:
        raise DataError(f"points is {points}, at least 1")
    if len(x) < 16:
        raise DataError(f"generated has {len(x)} rows, FD∞ needs at least 16")
    rng = np.random.default_rng(seed)
    sizes = np.unique(np.linspace(len(x) // 2, len(x), points).round().astype(int))
    values = [fid(x[torch.from_numpy(rng.choice(len(x), int(n), replace=False))], y) for n in sizes]
    slope_and_limit = np.polyfit(1 / sizes, values, 1) if len(sizes) > 1 else np.array([0.0, values[0]])
    return float(slope_and_limit[1])
