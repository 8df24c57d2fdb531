"""Golden values of the reference implementations, peers, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.quality import cells
from pdfed_sdk.ml.quality.baselines import (
    auth_pct,
    carlini_ratio,
    ct_score,
    fid,
    fid_infinity,
    fld,
    fld_gap,
    measure_all,
    pog,
    prdc,
)
from pdfed_sdk.ml.quality.frechet import Moments

ALL = [auth_pct, ct_score, fld, fld_gap, pog, fid, carlini_ratio, prdc]


def test_digits_have_53_lively_columns(digits):
    train, test, generated, _ = digits
    assert train.shape == (1000, 53)
    assert test.shape == (400, 53)
    assert generated.shape == (397, 53)


def test_auth_pct_golden(digits):
    train, _, clean, copied = digits
    assert auth_pct(clean, train) - 50 == pytest.approx(20.528969, abs=5e-6)
    assert auth_pct(copied, train) - 50 == pytest.approx(5.163727, abs=5e-6)


def test_auth_pct_does_not_depend_on_the_order_of_ties(digits):
    train, _, clean, _ = digits
    order = np.random.default_rng(0).permutation(len(train))
    assert auth_pct(clean, train[order]) == auth_pct(clean, train)


def test_fid_golden(digits):
    train, test, clean, copied = digits
    assert fid(clean, train) == pytest.approx(76.104276, rel=1e-7)
    assert fid(clean, test) == pytest.approx(128.697509, rel=1e-7)
    assert fid(copied, train) == pytest.approx(72.831814, rel=1e-7)
    assert fid(copied, test) == pytest.approx(141.439934, rel=1e-7)


def test_ct_golden(digits):
    train, test, clean, copied = digits
    assert [ct_score(clean, train, test, seed) for seed in (0, 1)] == pytest.approx([-0.0111, -0.0755], abs=5e-5)
    assert [ct_score(copied, train, test, seed) for seed in (0, 1)] == pytest.approx([-2.8074, -2.8476], abs=5e-5)


@pytest.mark.parametrize("width", [8, 80])
def test_ct_where_features_lie_elsewhere_is_that_of_the_host(width, monkeypatch):
    """The path of other devices, run on the host, on three groups that k-means can only find in one way."""
    random = torch.Generator().manual_seed(0)
    groups = 30 * torch.eye(3, width)
    train, test, generated = (
        (groups[:, None] + scale * torch.randn(3, count, width, generator=random)).flatten(0, 1)
        for count, scale in ((100, 1.0), (60, 1.0), (50, 0.9))
    )
    expected = ct_score(generated, train, test)
    monkeypatch.setattr(cells, "_on_host", cells._on_device)
    assert ct_score(generated, train, test) == pytest.approx(expected, abs=0.05)
    assert ct_score(generated, train, test) == ct_score(generated, train, test)


def test_ct_golden_is_within_reach_of_other_draws_of_k_means(digits, monkeypatch):
    train, test, clean, copied = digits
    monkeypatch.setattr(cells, "_on_host", cells._on_device)
    assert ct_score(clean, train, test) == pytest.approx(-0.05, abs=0.3)
    assert ct_score(copied, train, test) == pytest.approx(-2.83, abs=0.3)


def test_fld_golden_within_its_seed_spread(digits):
    train, test, clean, copied = digits
    for generated, mean in ((clean, -1.536), (copied, 2.142)):
        values = [fld(generated, train, test, seed) for seed in range(5)]
        assert np.mean(values) == pytest.approx(mean, abs=1.240)
        assert fld(generated, train, test, 0, exact=True) == pytest.approx(values[0], abs=0.05)


def test_fld_gap_golden_without_copies(digits):
    train, test, clean, _ = digits
    assert fld_gap(clean, train, test) == pytest.approx(0.000589, abs=1e-3)
    assert fld_gap(clean, train, test, exact=True) == pytest.approx(0.000589, abs=1e-3)


def test_fld_gap_golden_with_copies(digits):
    train, test, _, copied = digits
    rows, centres, unit = (torch.from_numpy(np.ascontiguousarray(x)) for x in (train, copied, test))
    rows, centres = ((x - unit.mean(0)) / unit.std(0) for x in (rows, centres))
    zeros = int((torch.cdist(rows, centres).diagonal()[:100] == 0).sum())
    if zeros != 69:
        pytest.skip(f"this BLAS rounds {zeros} distances of 100 equal rows to 0; where the golden value was made, 69")
    assert fld_gap(copied, train, test) == pytest.approx(-138.61476, abs=1e-3)


def test_fld_gap_does_not_depend_on_how_arrays_lie_in_memory(digits):
    train, test, _, copied = digits
    turned = (np.asfortranarray(copied), np.ascontiguousarray(train), np.ascontiguousarray(test))
    assert fld_gap(*turned) == fld_gap(copied, train, test)


def test_exact_fld_gap_with_copies_is_the_same_everywhere(digits):
    train, test, _, copied = digits
    assert fld_gap(copied, train, test, exact=True) == pytest.approx(-180.6746, abs=1e-3)
    assert fld_gap(copied.astype(np.float64), train, test, exact=True) == pytest.approx(-180.6746, abs=1e-3)


def reference_fid(x, y):
    """The textbook formula with scipy's matrix root, as every Fréchet package computes it."""
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = sqrtm(s1 @ s2).real
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * np.trace(root)


@pytest.mark.parametrize(("n", "m", "d"), [(400, 300, 20), (30, 40, 60), (50, 500, 60)])
def test_fid_against_scipy(n, m, d):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, d)), 1.5 * rng.normal(size=(m, d)) @ rng.normal(size=(d, d)) / d**0.5 + 0.3
    assert fid(x, y) == pytest.approx(reference_fid(x, y), rel=1e-6)


def test_fid_of_equal_sets_is_zero_and_symmetric(digits):
    train, test, _, _ = digits
    assert fid(train, train) == pytest.approx(0, abs=1e-6)
    assert fid(train, test) == pytest.approx(fid(test, train), rel=1e-9)


def test_streamed_moments_agree(digits):
    train, test, _, _ = digits
    first, second = Moments(53), Moments(53)
    for block in np.array_split(train, 7):
        first.update(block)
    second.update(test)
    assert first.fid(second) == pytest.approx(fid(train, test), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(300, 300), (300, 310), (310, 300), (150, 300), (300, 150)])
def test_few_samples_and_a_falling_spectrum_give_the_fid_of_singular_values(n, m):
    """Against NumPy's decomposition of the product itself: a Gram matrix squares small singular values away."""
    rng, scale = np.random.default_rng(0), np.arange(1, 401) ** -1.0
    x, y = rng.normal(size=(n, 400)) * scale, rng.normal(size=(m, 400)) * scale
    inner = np.linalg.svd((x - x.mean(0)) @ (y - y.mean(0)).T, compute_uv=False).sum()
    spread = x.var(0, ddof=1).sum() + y.var(0, ddof=1).sum() - 2 * inner / ((n - 1) * (m - 1)) ** 0.5
    assert fid(x, y) == pytest.approx(np.square(x.mean(0) - y.mean(0)).sum() + spread, rel=1e-6)


def test_fid_infinity_takes_the_bias_away():
    rng = np.random.default_rng(0)
    reference, generated = rng.normal(size=(20_000, 16)), rng.normal(size=(400, 16))
    assert fid_infinity(generated, reference) < 0.35 * fid(generated, reference)


@pytest.mark.parametrize("k", [3, 5])
def test_prdc_against_its_package(digits, k):
    package = pytest.importorskip("prdc")
    _, test, clean, _ = digits
    theirs = package.compute_prdc(test, clean, k)
    ours = prdc(clean, test, k)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(ours, name) == pytest.approx(theirs[name], abs=1e-12)


def test_carlini_ratio_is_zero_for_copies(digits):
    train, _, clean, copied = digits
    ratio = carlini_ratio(copied, train)
    assert ratio[:100].max() == 0
    assert torch.allclose(ratio[100:], carlini_ratio(clean, train)[100:], rtol=1e-5)
    assert (ratio[100:] > 0).all()


@pytest.mark.parametrize("which", [2, 3])
def test_one_pass_gives_what_the_single_measures_give(digits, which):
    train, test, generated = digits[0], digits[1], digits[which]
    every = measure_all(generated, train, test)
    assert every.fid == fid(generated, test)
    assert every.prdc == prdc(generated, test)
    assert every.auth_pct == pytest.approx(auth_pct(generated, train), abs=0.26)  # a tie may break another way
    assert every.pog == pytest.approx(pog(generated, train, test), abs=0.26)
    assert every.ct == ct_score(generated, train, test)
    assert every.fld == pytest.approx(fld(generated, train, test), rel=1e-9)
    assert every.fld_gap == pytest.approx(fld_gap(generated, train, test), rel=1e-9)
    assert every.carlini_copies == 100 * float((carlini_ratio(generated, train) < 0.5).double().mean())


def test_pog_counts_copies(digits):
    train, test, clean, copied = digits
    assert pog(copied, train, test) > pog(clean, train, test) + 5
    assert pog(clean, train[:400], test) == pytest.approx(50, abs=12)


@pytest.mark.parametrize("measure", ALL)
@pytest.mark.parametrize("bad", ["nan", "inf", "empty", "width", "integers", "flat"])
def test_bad_features_are_named(measure, bad):
    good = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    broken = {
        "nan": torch.full((30, 4), torch.nan),
        "inf": torch.full((30, 4), torch.inf),
        "empty": torch.empty(0, 4),
        "width": torch.randn(30, 5),
        "integers": torch.ones(30, 4, dtype=torch.int64),
        "flat": torch.randn(30),
    }[bad]
    arguments = [broken] + [good] * (2 if measure in (ct_score, fld, fld_gap, pog) else 1)
    with pytest.raises(DataError, match=r"generated|train|reference|block"):
        measure(*arguments)


@pytest.mark.parametrize("measure", [auth_pct, fld, fld_gap, pog, fid, carlini_ratio])
def test_duplicates_and_constants_give_numbers_or_refusals(measure):
    constant = torch.ones(30, 4)
    arguments = [constant] * (3 if measure in (fld, fld_gap, pog) else 2)
    try:
        value = torch.as_tensor(measure(*arguments))
    except DataError:
        return
    assert torch.isfinite(value).all()
