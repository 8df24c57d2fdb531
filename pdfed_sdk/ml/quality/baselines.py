"""Baseline measures of quality and memorisation on features (n, D), NumPy or torch (paper 5.2).

All take float arrays, compute where torch tensors lie, and refuse empty, mismatched or non-finite input (DataError).
AuthPct and POG are in percent; the reference package prints them with 50 subtracted (`auth_pct(...) - 50`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.neighbours import nearest, squared_distances, within
from pdfed_sdk.ml.quality.cells import CELLS, cells_of
from pdfed_sdk.ml.quality.frechet import Array, as_features, fid, fid_infinity

__all__ = [
    "Measures",
    "Prdc",
    "auth_pct",
    "carlini_ratio",
    "ct_score",
    "fid",
    "fid_infinity",
    "fld",
    "fld_gap",
    "measure_all",
    "pog",
    "prdc",
]


def _together(*named: tuple[str, Array], kind: torch.dtype = torch.float64) -> list[Tensor]:
    sets = [as_features(values, name, kind) for name, values in named]
    for (name, _), features in zip(named, sets, strict=True):
        if features.shape[1] != sets[0].shape[1]:
            raise DataError(f"{name} has {features.shape[1]} columns, {named[0][0]} has {sets[0].shape[1]}")
    return sets


def auth_pct(generated: Array, train: Array) -> float:
    """AuthPct (Alaa 2021), percent of authentic samples: g is authentic iff its nearest training point t* is nearer
    to another training point than to g. Higher = less memorisation. Needs two training points."""
    samples, points = _together(("generated", generated), ("train", train))
    if len(points) < 2:
        raise DataError(f"train has {len(points)} rows, AuthPct needs at least 2")
    distance, index = nearest(samples, points, min(4, len(points)))
    return _authentic(distance, index, points)


def _authentic(distance: Tensor, index: Tensor, points: Tensor) -> float:
    between = nearest(points, points, 1, exclude_self=True)[0].squeeze(1)
    tied = distance == distance[:, :1]  # the nearest may be several: all must agree, so the order does not matter
    return 100 * float(((between[index] < distance) | ~tied).all(1).double().mean())


def ct_score(generated: Array, train: Array, test: Array, seed: int = 0) -> float:
    """C_T (Meehan 2020): Mann-Whitney z of the distances to the nearest training point, generated against test, per
    k-means cell (3) of train, averaged by test share over cells with more than 20 generated samples. Below 0:
    samples lie nearer to train than test pictures do. Features over 64 wide go through a PCA of train."""
    g, t, e = _together(("generated", generated), ("train", train), ("test", test), kind=torch.float32)
    if len(t) < 3:
        raise DataError(f"train has {len(t)} rows, C_T needs at least 3")
    if not 0 <= seed < 1 << 32:
        raise DataError(f"seed is {seed}, limits 0 and {(1 << 32) - 1}")
    (t, own), (e, of_test), (g, of_generated) = cells_of(t, e, g, seed)
    total = weight = 0.0
    for cell in range(CELLS):
        inner, tests, samples = t[own == cell], e[of_test == cell], g[of_generated == cell]
        if len(samples) <= 20 or not len(tests) or not len(inner):
            continue
        near_g, near_e = (nearest(part, inner, 1)[0].squeeze(1).cpu().numpy() for part in (samples, tests))
        z = _mann_whitney(near_g, near_e)
        share = len(tests) / len(e)
        total, weight = total + share * z, weight + share
    if not weight:
        raise DataError(f"no cell of C_T holds more than 20 of {len(g)} generated samples and a test picture")
    return total / weight


def _mann_whitney(generated: np.ndarray, test: np.ndarray) -> float:
    """Z of U = number of (g, e) with g > e, ties one half."""
    from scipy.stats import rankdata  # slow to import, and only needed here

    n, m = len(generated), len(test)
    ranks = rankdata(np.concatenate([generated, test]))
    u = ranks[:n].sum() - n * (n + 1) / 2
    return float((u - (n * m / 2 - 0.5)) / math.sqrt(n * m * (n + m + 1) / 12))


def carlini_ratio(generated: Array, train: Array, neighbours: int = 50) -> Tensor:
    """Carlini 2023: distance to the nearest training point over the mean distance to the ``neighbours`` nearest,
    (n,) in [0, 1]; small = a copy. Identical neighbours (0 over 0) count as a copy, 0."""
    samples, points = _together(("generated", generated), ("train", train))
    if neighbours < 1:
        raise DataError(f"neighbours is {neighbours}, at least 1")
    return _ratio(nearest(samples, points, min(neighbours, len(points)), refine=False)[0])


def _ratio(distances: Tensor) -> Tensor:
    mean = distances.mean(1)
    return torch.where(mean > 0, distances[:, 0] / mean.clamp_min(1e-300), torch.zeros_like(mean))


@dataclass(frozen=True)
class Prdc:
    """Precision, recall (Kynkäänniemi 2019), density, coverage (Naeem 2020)."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(generated: Array, reference: Array, neighbours: int = 5) -> Prdc:
    """Precision, recall, density and coverage of ``generated`` (n, D) against ``reference`` (m, D)."""
    samples, real = _together(("generated", generated), ("reference", reference))
    if not 1 <= neighbours < min(len(samples), len(real)):
        raise DataError(f"neighbours is {neighbours}, limits 1 and {min(len(samples), len(real)) - 1}")
    real_radius = nearest(real, real, neighbours, exclude_self=True)[0][:, -1]
    sample_radius = nearest(samples, samples, neighbours, exclude_self=True)[0][:, -1]
    inside = torch.zeros(len(samples), dtype=torch.long, device=samples.device)
    covered, recalled = (torch.zeros(len(real), dtype=torch.bool, device=real.device) for _ in range(2))
    step = max(1, (64 << 20) // (8 * len(samples)))
    for start in range(0, len(real), step):
        rows = slice(start, start + step)
        by_real, by_sample = within(real[rows], samples, (real_radius[rows, None], sample_radius))
        inside += by_real.sum(0)
        covered[rows], recalled[rows] = by_real.any(1), by_sample.any(1)
    return Prdc(
        precision=float((inside > 0).double().mean()),
        recall=float(recalled.double().mean()),
        density=float(inside.sum()) / (neighbours * len(samples)),
        coverage=float(covered.double().mean()),
    )


def pog(generated: Array, train: Array, test: Array) -> float:
    """Percentage of over-fit Gaussians (Jiralerspong 2023): percent of samples whose Gaussian gives its best training
    point a higher likelihood than its best test point, that is, whose nearest training point is nearer than the
    nearest test point (ties one half). 50 is neutral where train and test have the same number of rows."""
    g, t, e = _together(("generated", generated), ("train", train), ("test", test))
    return _overfit(*(nearest(g, points, 1)[0].squeeze(1) for points in (t, e)))


def _overfit(to_train: Tensor, to_test: Tensor) -> float:
    return 100 * float(((to_train < to_test).double() + 0.5 * (to_train == to_test).double()).mean())


def fld(generated: Array, train: Array, test: Array, seed: int = 0, *, exact: bool = False) -> float:
    """FLD (Jiralerspong 2023): 100 (nll(test) - base) under Gaussians centred on the generated samples and fitted to
    train; base is the same with one half of train (shuffled by ``seed``) as centres, fitted to the other half. nll is
    per dimension; features are standardised by test. Lower is better. Needs four training rows. ``exact``: see
    `fld_gap`."""
    g, t, e = _standardised(generated, train, test, exact)
    if len(t) < 4:
        raise DataError(f"train has {len(t)} rows, FLD needs at least 4")
    return _hundred(_nll(_fit(g, t), e) - _base(t, e, len(g), seed), "FLD")


def _base(train: Tensor, test: Tensor, samples: int, seed: int) -> float:
    """nll of test under one half of train, fitted to the other."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed)).to(train.device)
    half = min(samples, len(train) // 2)
    return _nll(_fit(train[order[:half]], train[order[half:]]), test)


def fld_gap(generated: Array, train: Array, test: Array, *, exact: bool = False) -> float:
    """Generalisation gap of FLD: 100 (nll(train) - nll(test)) under the mixture of `fld`. Far below 0: the samples
    explain training pictures better than test pictures, which is memorisation.

    Where samples equal training pictures the likelihood has no bound, and what stops it is arithmetic. By default that
    is the reference package's: float32 distances out of a matrix product, whose rounding of zeros, and with it the
    second digit of such a gap, depends on the processor's BLAS. ``exact`` computes in float64, distances of near twins
    by subtraction: the same number everywhere. Without copies the two agree (docs/decisions/0303).
    """
    g, t, e = _standardised(generated, train, test, exact)
    mixture = _fit(g, t)
    return _hundred(_nll(mixture, t) - _nll(mixture, e), "the gap of FLD")


def _hundred(value: float, name: str) -> float:
    if not math.isfinite(value):
        raise DataError(f"{name} is {value}: the sets lie too far apart for it", hint="scale the features")
    return 100 * value


def _standardised(generated: Array, train: Array, test: Array, exact: bool) -> list[Tensor]:
    """The sets in units of test's deviations. In the reference's arithmetic train lies column by column and the
    others row by row, as selecting columns in NumPy leaves them: the golden values were made from such arrays."""
    kind = torch.float64 if exact else torch.float32
    g, t, e = _together(("generated", generated), ("train", train), ("test", test), kind=kind)
    if len(e) < 2:
        raise DataError(f"test has {len(e)} rows, FLD needs at least 2")
    mean, std = e.mean(0), e.std(0)
    lively = std > 0
    if not bool(lively.any()):
        raise DataError("test is constant in every column, FLD cannot standardise by it")
    g, t, e = ((x[:, lively] - mean[lively]) / std[lively] for x in (g, t, e))
    return [g.contiguous(), t.contiguous() if exact else t.T.contiguous().T, e.contiguous()]


def _squares(points: Tensor, centres: Tensor) -> Tensor:
    """||point - centre||^2 (m, n): of float32 sets as the reference computes it, of float64 sets exactly."""
    if points.dtype == torch.float32:
        return torch.cdist(points, centres).square()
    return squared_distances(points, centres)


@dataclass(frozen=True)
class _Mixture:
    """Equal Gaussians around ``centres`` (n, D) with ``log_variances`` (n,): FLD's density."""

    centres: Tensor
    log_variances: Tensor


def _nll(mixture: _Mixture, points: Tensor) -> float:
    """Mean negative log-likelihood of points (m, D) per dimension."""
    parts = _log_densities(_squares(points, mixture.centres), mixture.log_variances, points.shape[1])
    return float(math.log(len(mixture.centres)) - torch.logsumexp(parts, 1).mean()) / points.shape[1]


def _log_densities(squares: Tensor, log_variances: Tensor, width: int) -> Tensor:
    return -0.5 * squares * (-log_variances).exp() - 0.5 * width * (log_variances + math.log(2 * math.pi))


def _fit(centres: Tensor, points: Tensor, epochs: int = 50, patience: float = 5e-4) -> _Mixture:
    """Variances by maximum likelihood of ``points`` (m, D), beside one Gaussian of weight 1 at their mean that gives
    every point some likelihood and is not used afterwards. Adam, lr 0.5, from the variance that suits the nearest
    point; stops when the loss moved less than ``patience`` in five epochs."""
    count, width = centres.shape
    squares = _squares(points.contiguous(), centres)
    far = 0.81 * (points - points.mean(0)).square().sum(1, keepdim=True)
    start = ((squares.min(0).values + 1e-3) / width).log()
    log_variances, wide = start, torch.zeros((), dtype=far.dtype, device=far.device)

    def far_density(log_variance: Tensor) -> Tensor:
        return _log_densities(far, log_variance, width)

    optimiser = torch.optim.Adam([log_variances, wide], lr=0.5)
    losses: list[float] = []
    for epoch in range(epochs):
        parts = torch.cat([_log_densities(squares, log_variances, width) - math.log(count), far_density(wide)], 1)
        top = parts.amax(1, keepdim=True)
        share = (parts - top).clamp_min_(-80).exp_()  # no subnormal numbers: they are slow
        sums = share.sum(1, keepdim=True)
        share /= sums  # responsibilities; the gradient below is that of the loss by hand
        half = 0.5 / len(points)
        pull = (share[:, :count] * squares).sum(0) * (-log_variances).exp() / width
        log_variances.grad = half * (share[:, :count].sum(0) - pull)
        wide.grad = half * (share[:, count] - share[:, count] * far.squeeze(1) * (-wide).exp() / width).sum()
        optimiser.step()
        log_variances.clamp_(-40, 40)
        losses.append(-float((top + sums.log()).mean()) / width)
        if epoch > 5 and max(abs(losses[-1] - earlier) for earlier in losses[-5:]) < patience:
            break
    return _Mixture(centres, log_variances)


@dataclass(frozen=True)
class Measures:
    """Everything at once (`measure_all`)."""

    fid: float
    prdc: Prdc
    auth_pct: float
    pog: float
    carlini_copies: float
    ct: float | None
    fid_infinity: float | None = None
    fld: float | None = None
    fld_gap: float | None = None


def measure_all(generated: Array, train: Array, test: Array, *, seed: int = 0, likelihood: bool = True) -> Measures:
    """All measures of features (n, D), (m, D), (l, D) in one pass: neighbours and mixtures that several measures need
    are computed once. ``carlini_copies`` is the percentage of samples with a ratio below one half; ``ct`` is None
    where no cell has 20 samples. ``likelihood=False`` leaves out FLD, its gap and FD∞, which cost more than the rest
    together. Errors: DataError."""
    g, t, e = _together(("generated", generated), ("train", train), ("test", test))
    distances, index = nearest(g, t, min(50, len(t)), refine=False)
    few = min(4, len(t))
    to_test = nearest(g, e, 1)[0].squeeze(1)
    try:
        ct: float | None = ct_score(g, t, e, seed)
    except DataError:
        ct = None
    found = Measures(
        fid=fid(g, e),
        prdc=prdc(g, e),
        auth_pct=_authentic(distances[:, :few], index[:, :few], t),
        pog=_overfit(distances[:, 0], to_test),
        carlini_copies=100 * float((_ratio(distances) < 0.5).double().mean()),
        ct=ct,
    )
    if not likelihood:
        return found
    x, y, z = _standardised(g, t, e, exact=False)
    mixture = _fit(x, y)
    on_test = _nll(mixture, z)
    return replace(
        found,
        fid_infinity=fid_infinity(g, e) if len(g) >= 16 else None,
        fld=_hundred(on_test - _base(y, z, len(x), seed), "FLD"),
        fld_gap=_hundred(_nll(mixture, y) - on_test, "the gap of FLD"),
    )
