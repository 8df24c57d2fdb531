"""The Fréchet distance between two sets of features: exact for few samples, streaming for many, and its limit FD∞."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.neighbours import check_features

Array = Tensor | np.ndarray
SQUARE = 0.95
"""Ratio of sides from which on a product is nearly square. Some singular values are then too small for a Gram matrix,
which squares them: FID of 1,000 samples against 1,000 pictures was off by 1e-4 of itself."""


def as_features(values: Array, name: str, kind: torch.dtype = torch.float64) -> Tensor:
    """(N, D) tensor of finite numbers from NumPy or torch, in ``kind``. Errors: DataError."""
    tensor = torch.as_tensor(values)
    check_features(tensor, name)
    return tensor.to(kind)


def fid(generated: Array, reference: Array) -> float:
    """|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2) of features (n, D) and (m, D), sample covariances (ddof 1).

    Errors: DataError for fewer than two rows or different D.
    """
    return Frechet(reference).distance(generated)


class Frechet:
    """Distances of many sets of features to one ``reference`` (m, D), computed in float64 where it lies.

    tr (S1 S2)^(1/2) is the nuclear norm of X Y' / sqrt((n-1)(m-1)), X and Y centred. With n or m below D it comes from
    the smaller of three Gram matrices, and no D x D matrix is made on the way where m is small too; else from the
    eigenvalues of L' S2 L, L L' = S1.
    """

    def __init__(self, reference: Array) -> None:
        y = as_features(reference, "reference")
        if len(y) < 2:
            raise DataError(f"reference has {len(y)} rows, at least 2")
        self._mean = y.mean(0)
        self._rows = y - self._mean
        self._spread = self._rows.square().sum() / (len(y) - 1)
        self._scatter: Tensor | None = None

    def to(self, device: torch.device) -> Frechet:
        """The same on another device."""
        moved = Frechet.__new__(Frechet)
        moved._mean, moved._rows, moved._spread = (x.to(device) for x in (self._mean, self._rows, self._spread))
        moved._scatter = None
        return moved

    def distance(self, generated: Array) -> float:
        """`fid` of features (n, D)."""
        return self.pair(generated).distance()

    def pair(self, generated: Array) -> FrechetPair:
        """Features (n, D) beside the reference, for their distance and those of draws from them. Errors: DataError."""
        x = as_features(generated, "generated").to(self._rows.device)
        if len(x) < 2 or x.shape[1] != self._rows.shape[1]:
            raise DataError(
                f"generated is {tuple(x.shape)} and reference {tuple(self._rows.shape)}: at least 2 rows, one width"
            )
        return FrechetPair(x, self._rows, self._mean, self._spread, self._covariance)

    def _covariance(self) -> Tensor:
        if self._scatter is None:
            self._scatter = self._rows.T @ self._rows / (len(self._rows) - 1)
        return self._scatter


class FrechetPair:
    """Features (n, D) beside a reference (m, D): what all draws from them have in common is computed once."""

    def __init__(
        self, features: Tensor, rows: Tensor, mean: Tensor, spread: Tensor, covariance: Callable[[], Tensor]
    ) -> None:
        self._x, self._rows, self._mean, self._spread, self._covariance = features, rows, mean, spread, covariance
        self._small = min(len(features), len(rows)) <= features.shape[1]
        self._product = (features - features.mean(0)) @ rows.T if self._small else None
        self._kernel: Tensor | None = None
        if self._product is not None and len(features) <= len(rows):
            self._kernel = self._product @ self._product.T

    def distance(self) -> float:
        """`fid` of all rows."""
        return float(self.draw(torch.arange(len(self._x))))

    def resampled(self, draws: Iterable[Tensor]) -> list[float]:
        """`fid` of each draw of rows: indices, repetitions allowed."""
        return torch.stack([self.draw(draw) for draw in draws]).tolist()

    def infinity(self, *, points: int = 8, seed: int = 0) -> float:
        """`fid_infinity`."""
        count = len(self._x)
        if points < 1:
            raise DataError(f"points is {points}, at least 1")
        if count < 16:
            raise DataError(f"generated has {count} rows, FD∞ needs at least 16")
        rng = np.random.default_rng(seed)
        sizes = np.unique(np.linspace(count // 2, count, points).round().astype(int))
        values = self.resampled(torch.from_numpy(rng.choice(count, int(n), replace=False)) for n in sizes)
        slope_and_limit = np.polyfit(1 / sizes, values, 1) if len(sizes) > 1 else np.array([0.0, values[0]])
        return float(slope_and_limit[1])

    def draw(self, draw: Tensor) -> Tensor:
        """`fid` of the rows ``draw``, a float64 scalar where the features lie. A row drawn k times has weight k."""
        index, counts = torch.unique(draw, return_counts=True)
        index, weight = index.to(self._x.device), counts.to(self._x)
        total = float(len(draw))
        part = self._x[index]
        mean = weight @ part / total
        part = part - mean
        spread = (weight @ part.square().sum(1)) / (total - 1)
        if self._kernel is not None and len(index) < SQUARE * len(self._rows):
            cross = self._by_kernel(self._kernel, index, weight, total)
        elif self._product is not None:
            some = self._product[index]
            cross = _nuclear((some - weight @ some / total) * weight.sqrt()[:, None])
        else:
            cross = _root_trace((part.T * weight) @ part, self._covariance()) * (len(self._rows) - 1) ** 0.5
        cross = cross / ((total - 1) * (len(self._rows) - 1)) ** 0.5
        gap = (mean - self._mean).square().sum()
        found: Tensor = (gap + spread + self._spread - 2 * cross).clamp_min(0)
        return found

    @staticmethod
    def _by_kernel(kernel: Tensor, index: Tensor, weight: Tensor, total: float) -> Tensor:
        """The nuclear norm for weighted rows, centred by their own mean, from the kernel X Y' Y X' of all rows."""
        part = kernel[index[:, None], index]
        row = part @ weight / total
        part = part - row[:, None] - row + weight @ row / total
        root = weight.sqrt()
        part = part * root[:, None] * root
        return _root_sum((part + part.T) / 2)


def _nuclear(product: Tensor) -> Tensor:
    """Sum of the singular values, from the smaller Gram matrix unless the product is nearly square."""
    if min(product.shape) >= SQUARE * max(product.shape):
        total: Tensor = torch.linalg.svdvals(product).sum()
        return total
    if len(product) > product.shape[1]:
        product = product.T
    return _root_sum(product @ product.T)


def _root_sum(gram: Tensor) -> Tensor:
    """Sum of the roots of the eigenvalues; those below what float64 resolves are zeros."""
    values = torch.linalg.eigvalsh(gram)
    floor = values[-1].clamp_min(0) * (len(values) * torch.finfo(torch.float64).eps)
    return torch.where(values > floor, values, torch.zeros_like(values)).sqrt().sum()


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
    return Frechet(reference).pair(generated).infinity(points=points, seed=seed)
