"""Rule 10 in whole numbers: conservation, step splitting, and that who adds nothing takes nothing, for any lineage.

The figures of the written rule (worked out by hand in floating point) are held to within a unit a hop.
"""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from pdfed_sdk.audit.contribution import (
    WAD,
    Measured,
    among,
    backed,
    carried,
    commons_part,
    held_down,
    kept,
    reward,
    settle_all,
    split,
    weight,
)

AMOUNTS = st.integers(0, 2**104)
GRAINS = st.integers(-200, 400)


@st.composite
def lineages(draw: st.DrawFn) -> dict[int, Measured]:
    """Up to nine models by id, each with M, and one to four earlier parents that are Final (the genesis included)."""
    models = {0: Measured(0, 0, ())}
    for number in range(1, draw(st.integers(2, 9))):
        parents = draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=min(4, number), unique=True))
        own = draw(GRAINS)
        models[number] = Measured(own, carried(own, [models[p].measured for p in parents]), tuple(parents))
    return models


@given(lineages(), AMOUNTS, st.integers(0, 300), st.integers(0, 300), st.integers(1, 128))
@settings(max_examples=400, deadline=None)
def test_shares_sum_to_the_reward_and_none_is_negative(
    models: dict[int, Measured], amount: int, base: int, start: int, gain: int
) -> None:
    earned = settle_all(amount, max(models), gain, base, start, models)
    assert sum(earned.values()) == amount
    assert min(earned.values()) >= 0


@given(lineages(), AMOUNTS, st.integers(0, 300))
@settings(max_examples=400, deadline=None)
def test_a_model_that_adds_nothing_takes_nothing(models: dict[int, Measured], amount: int, base: int) -> None:
    last = models[max(models)]
    measured = {number: model.measured for number, model in models.items()}
    if base < last.measured == last.carried:
        assert split(amount, last, base, measured).author == 0


@given(lineages(), AMOUNTS, st.integers(0, 300))
@settings(max_examples=400, deadline=None)
def test_an_author_never_gets_more_than_its_own_grains(models: dict[int, Measured], amount: int, base: int) -> None:
    last = models[max(models)]
    measured = {number: model.measured for number, model in models.items()}
    if last.measured > base:
        own = max(0, last.measured - max(base, last.carried))
        assert split(amount, last, base, measured).author <= Fraction(amount * own, last.measured - base)


@given(st.integers(2**40, 2**104), st.integers(1, 12), st.lists(st.integers(1, 12), min_size=1, max_size=5))
@settings(max_examples=300, deadline=None)
def test_a_step_shown_in_parts_earns_the_same_of_each_part_of_the_allowance(
    available: int, first: int, others: list[int]
) -> None:
    """At one time and allowance: k gains draw what their sum draws, up to a unit a step."""
    steps = [first, *others]
    left = available
    for step in steps:
        left -= reward(left, 50, step)
    at_once = available - reward(available, 50, sum(steps))
    assert abs(left - at_once) <= len(steps) + available * 300 * len(steps) // WAD + 1


@given(st.integers(2**60, 2**104), st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=300, deadline=None)
def test_a_sock_in_between_earns_its_owner_the_same_sum(amount: int, low: int, more: int) -> None:
    """ann declares her own sock at +low: together they get the whole, as without it."""
    top = low + more
    models = {0: Measured(0, 0, ()), 1: Measured(low, 0, (0,)), 2: Measured(top, low, (1,))}
    earned = settle_all(amount, 2, min(top, 128), 0, 0, models)
    assert earned[1] + earned[2] == amount
    assert abs(earned[1] * top - amount * low) <= top


@given(st.integers(0, 2**104), st.lists(st.integers(0, 400), min_size=1, max_size=4), st.integers(1, 400))
@settings(max_examples=400, deadline=None)
def test_each_grain_is_shared_equally_by_the_parents_that_reach_it(amount: int, tops: list[int], top: int) -> None:
    heights = [min(height, top) for height in tops]
    exact = [
        sum((Fraction(12, sum(h > grain for h in heights)) for grain in range(own)), Fraction(0)) for own in heights
    ]
    assert [weight(heights, i) for i in range(len(heights))] == exact
    parts = dict(among(amount, range(len(tops)), 0, top, dict(enumerate(tops))))
    if any(heights):
        assert sum(parts.values()) == amount
        for index, own in enumerate(exact):
            assert abs(parts.get(index, 0) - amount * own / sum(exact)) < len(tops)


@given(AMOUNTS, st.integers(1, 128), st.integers(-100, 300), st.integers(0, 300))
def test_held_down_and_backed_parts_make_the_reward(amount: int, gain: int, measured: int, base: int) -> None:
    own = backed(gain, measured, base)
    assert 0 <= own <= gain
    assert 0 <= held_down(amount, gain, own) <= amount
    assert held_down(amount, gain, gain) == 0


@given(AMOUNTS, st.integers(0, 5_000))
def test_what_flows_to_the_lineage_and_what_the_author_keeps_make_its_part(part: int, rho: int) -> None:
    own, passed = kept(part, rho)
    assert own + passed == part
    assert own >= passed or part < 2


@given(AMOUNTS, st.lists(st.integers(3, 128), min_size=1, max_size=8))
def test_the_commons_are_never_overdrawn_by_the_best_models(commons: int, gains: list[int]) -> None:
    parts = [commons_part(commons, gain, sum(gains)) for gain in gains]
    assert commons - len(gains) < sum(parts) <= commons


def _line(*models: tuple[int, tuple[int, ...]]) -> dict[int, Measured]:
    found = {0: Measured(0, 0, ())}
    for number, (own, parents) in enumerate(models, 1):
        found[number] = Measured(own, carried(own, [found[p].measured for p in parents]), parents)
    return found


def test_same_bytes_after_a_veto_pay_the_vetoed_author_all() -> None:
    assert settle_all(1000, 2, 24, 0, 0, _line((24, (0,)), (24, (1,)))) == {2: 0, 1: 1000}


def test_a_thief_that_trains_on_by_three_gets_three_of_27_grains() -> None:
    assert settle_all(2700, 2, 27, 0, 0, _line((24, (0,)), (27, (1,)))) == {2: 300, 1: 2400}


def test_pressed_to_three_and_copied_with_the_old_reference() -> None:
    """Best rose by 3 in L while M rose by 24: the copy lifts L by 21, of which M backs nothing."""
    assert settle_all(2100, 2, 21, 24, 0, _line((24, (0,)), (24, (1,)))) == {2: 0, 1: 2100}


def test_a_sock_as_second_parent_takes_half_of_the_grain_it_reaches() -> None:
    earned = settle_all(4800, 3, 24, 0, 0, _line((24, (0,)), (1, (0,)), (24, (1, 2))))
    assert earned == {3: 0, 1: 4700, 2: 100}


def test_two_siblings_build_on_a_pressed_model_and_no_share_is_drawn_twice() -> None:
    models = _line((24, (0,)), (27, (1,)), (30, (1,)))
    second = settle_all(2400, 2, 24, 24, 0, models)  # L: 3 → 27, M: 24 → 27
    assert second == {2: 300, 1: 2100}
    third = settle_all(300, 3, 3, 27, 0, models)  # L: 27 → 30, M: 27 → 30
    assert third == {3: 300}


def test_a_step_on_a_small_step_pays_both() -> None:
    assert settle_all(400, 2, 4, 0, 0, _line((2, (0,)), (4, (1,)))) == {2: 200, 1: 200}


def test_the_average_of_two_small_steps_pays_all_three() -> None:
    assert settle_all(500, 3, 5, 0, 0, _line((2, (0,)), (2, (0,)), (5, (1, 2)))) == {3: 300, 1: 100, 2: 100}


def test_an_idle_parent_in_between_takes_nothing() -> None:
    assert settle_all(600, 3, 6, 24, 24, _line((24, (0,)), (24, (1,)), (30, (2,)))) == {3: 600}
