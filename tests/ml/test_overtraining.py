"""The fit of `benchmarks.overtraining`: onsets that are known give the exponent that they were made with."""

from __future__ import annotations

import pytest
import torch

from benchmarks.overtraining import Run, copies, fitted, onset_of


def run_of(count: int, onset: float) -> Run:
    """Shares that pass 5 % at ``onset``, at looks a factor of 1.3 apart."""
    looks = [{"shown": onset * 1.3**k, "copies": max(0.0, 0.05 + 0.06 * k)} for k in range(-4, 4)]
    run = Run(count, looks)
    run.onset = onset_of([(look["shown"], look["copies"]) for look in looks])
    return run


def test_the_exponent_of_onsets_proportional_to_n_is_one_and_the_interval_holds_it():
    found = fitted([run_of(count, 500.0 * count) for count in (16, 32, 64, 128)], 200)
    assert found["exponent"] == pytest.approx(1.0)
    assert found["low"] < 1.0 < found["high"]
    assert found["high"] - found["low"] < 0.4
    steep = fitted([run_of(count, 20.0 * count**2) for count in (16, 64)], 200)
    assert steep["exponent"] == pytest.approx(2.0)


def test_seeds_that_disagree_widen_the_interval():
    agreeing = [run_of(count, 500.0 * count) for count in (16, 64) for _ in range(3)]
    apart = [run_of(count, 500.0 * count * factor) for count in (16, 64) for factor in (0.5, 1.0, 2.0)]
    narrow, wide = fitted(agreeing, 200), fitted(apart, 200)
    assert wide["exponent"] == pytest.approx(narrow["exponent"])
    assert wide["high"] - wide["low"] > 1.5 * (narrow["high"] - narrow["low"])


def test_a_run_without_onset_is_no_point():
    assert onset_of([(100, 0.0), (200, 0.04)]) is None
    assert fitted([run_of(16, 100.0), Run(32)], 50)["exponent"] is None


def test_a_copy_is_three_times_nearer_than_anything_else():
    train = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    train[1], train[2] = 100, 200
    samples = torch.stack([train[1] + 4, train[1] + 50, train[2] - 24])
    assert copies(samples, train).tolist() == [True, False, True]
