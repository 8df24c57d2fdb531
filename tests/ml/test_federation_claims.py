"""The verdicts of `benchmarks.federation` over cells that are made up: each follows from its interval."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.federation import claims

Cells = dict[tuple[int, str, int], dict[str, Any]]


def cells(novelty: tuple[float, ...], fid: tuple[float, ...], control: float = 10.0) -> Cells:
    """Two trainers; FLD + FID at ``control`` and a FID of 100, the protocol rule at these values, a seed each."""
    found: Cells = {}
    for seed, (product, distance) in enumerate(zip(novelty, fid, strict=True)):
        found[2, "fld_fid", seed] = {"mean": {"novelty": control, "fid": 100.0}}
        found[2, "protocol", seed] = {"mean": {"novelty": product, "fid": distance}}
    return found


@pytest.mark.parametrize(
    ("novelty", "fid", "expected"),
    [
        ((1.0, 1.1, 0.9), (103.0, 102.0, 104.0), "holds"),
        ((1.0, 1.1, 0.9), (108.0, 109.0, 107.0), "does not hold"),  # dearly bought
        ((1.0, 1.1, 0.9), (101.0, 106.0, 109.0), "does not hold"),  # dearly bought on average
        ((5.0, 6.0, 5.5), (100.0, 100.0, 100.0), "does not hold"),
        ((1.0, 4.0, 1.0), (100.0, 100.0, 100.0), "undecided"),
        ((1.0, 1.0), (100.0, 100.0), "undecided"),  # two seeds
    ],
)
def test_the_protocol_rule_must_hold_in_novelty_and_in_quality(novelty, fid, expected):
    rule = claims(cells(novelty, fid))["protocol_rule"]
    assert rule["verdict"] == expected
    assert rule["low"] <= rule["effect"] <= rule["high"]


def test_where_nothing_was_memorised_nothing_is_claimed():
    rule = claims(cells((0.0,) * 3, (100.0,) * 3, control=0.0))["protocol_rule"]
    assert (rule["effect"], rule["verdict"]) == (None, "undecided")
