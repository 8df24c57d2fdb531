"""The verdicts of `benchmarks.federation` over cells that are made up: each follows from its interval."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.federation import PARTS, PRESETS, chosen_cells, claims
from benchmarks.federation_cell import RULES

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


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("with_it", "expected"), [(1.0, "holds"), (20.0, "does not hold")])
def test_a_part_is_worth_what_falls_where_it_is_added(part, with_it, expected):
    found: Cells = {}
    for seed in range(3):
        for rule, product in zip(PARTS[part], (10.0, with_it), strict=True):
            found[2, rule, seed] = {"mean": {"novelty": product + 0.1 * seed, "fid": 100.0}}
    assert claims(found)["parts"][part]["verdict"] == expected


def test_presets_name_rules_that_are_there_and_cells_can_be_chosen():
    for preset in PRESETS.values():
        cells = chosen_cells(preset, "")
        assert len(set(cells)) == len(cells)
        assert {rule for _, rule, _ in cells} <= set(RULES)
    assert chosen_cells(PRESETS["small"], "2,4:qn:1,2") == [(2, "qn", 1), (4, "qn", 1), (2, "qn", 2), (4, "qn", 2)]
