"""Buckets of improvement: the table shared with the contracts, and how measurements round to it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdfed_sdk.buckets import GRAINS, HIGHEST, LOWEST, MISSING, grains_of, improvement_of, nearest, width_of
from pdfed_sdk.errors import MlError, UsageError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "buckets.json").read_text())


def test_the_table_is_that_of_the_vectors() -> None:
    indices = range(LOWEST, HIGHEST + 1)
    assert [grains_of(index) for index in indices] == VECTORS["grains"] == list(GRAINS)
    assert [width_of(index) for index in indices] == VECTORS["width"]


@pytest.mark.parametrize(("grains", "index"), VECTORS["nearest"])
def test_measurements_round_as_the_vectors_say(grains: float, index: int) -> None:
    assert nearest(grains) == index


@given(st.floats(allow_nan=False))
def test_no_measurement_says_that_bytes_are_missing_and_none_is_rounded_further_than_it_must(grains: float) -> None:
    found = nearest(grains)
    assert found != MISSING
    others = [value for index, value in enumerate(GRAINS, LOWEST) if index != MISSING]
    assert abs(grains_of(found) - grains) == min(abs(value - grains) for value in others)


@given(st.floats(-150, 150), st.floats(-150, 150))
def test_rounding_keeps_the_order(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert nearest(low) <= nearest(high)


@given(st.floats(-100, 100))
def test_rounding_towards_zero_gives_a_loss_what_it_gives_a_gain(grains: float) -> None:
    """Between the fine buckets, where both sides have the same ones."""
    if abs(grains) <= 2.4:
        assert nearest(-grains) == -nearest(grains)


def test_an_octave_is_32_grains_and_a_grain_about_two_percent() -> None:
    assert grains_of(improvement_of(2.0, 1.0)) == 32
    assert improvement_of(1.0, 1.0) == 0
    assert improvement_of(1.0, 1.022) == -1
    assert improvement_of(2 ** (3 / 32), 1.0) == 3


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_an_objective_that_is_no_number_above_zero_is_refused_by_name(bad: float) -> None:
    with pytest.raises(MlError, match="candidate"):
        improvement_of(1.0, bad)
    with pytest.raises(MlError, match="reference"):
        improvement_of(bad, 1.0)


@pytest.mark.parametrize("bad", [-9, 24, 1.5, True])
def test_there_are_no_other_buckets(bad: object) -> None:
    with pytest.raises(UsageError, match="bucket"):
        grains_of(bad)  # type: ignore[arg-type]
