"""Local strategies: what a node trains on next, from votes it listens to and its own measurements."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pdfed_sdk.errors import UsageError
from pdfed_sdk.node.strategy import Candidate, TrainFromBest, choose_parents
from pdfed_sdk.types import BPS, GENESIS, LOWEST, Address, Role, Status, SubmissionId

ALICE, BOB, CAROL = (Address("0x" + letter * 40) for letter in "abc")
ROLES = {ALICE: Role.TRAINER, BOB: Role.VALIDATOR, CAROL: Role.TRAINER | Role.VALIDATOR}
GENESIS_MODEL = Candidate(GENESIS, ALICE, Status.FINAL, 0, 0, None, {})


def model(number: int, **changes: object) -> Candidate:
    plain = Candidate(SubmissionId(number), ALICE, Status.FINAL, 0, number, None, {})
    return replace(plain, **changes)  # type: ignore[arg-type]


def ids(strategy: TrainFromBest, *candidates: Candidate) -> list[int]:
    return [int(p.id) for p in choose_parents(strategy, candidates, GENESIS_MODEL, ROLES)]


def test_genesis_when_there_is_nothing_else():
    assert ids(TrainFromBest()) == [0]


def test_the_highest_level_wins():
    assert ids(TrainFromBest(), model(3), model(9), model(5)) == [9]


def test_an_own_lowest_vote_bars_a_model_however_high_it_stands():
    """Only the nodes whose pictures a model hands out can see it: such a node never trains on it."""
    assert ids(TrainFromBest(), model(9, own_improvement=LOWEST), model(5)) == [5]


def test_an_open_model_counts_by_own_measurement_and_votes():
    seen = model(1, status=Status.OPEN, level=None, reference_level=10, own_improvement=4, votes={BOB: 2})
    unseen = model(2, status=Status.OPEN, level=None, reference_level=50)
    assert TrainFromBest().merit(seen, [2]) == 13.0
    assert ids(TrainFromBest(), seen, unseen) == [1]


@pytest.mark.parametrize(("listen", "heard"), [("all", True), ("validators", True), ("trainers", False)])
def test_who_is_listened_to(listen: str, heard: bool):
    strategy = TrainFromBest(listen=listen)
    assert strategy.listens_to(BOB, Role.VALIDATOR) == heard
    voted = model(1, status=Status.OPEN, level=None, votes={BOB: 9})
    assert ids(strategy, voted) == ([1] if heard else [0])


def test_averages_of_near_models_weigh_the_whole():
    near = [model(9), model(8), model(6), model(2)]
    parents = choose_parents(TrainFromBest(average=3, within=4), near, GENESIS_MODEL, {})
    assert [p.id for p in parents] == [9, 8, 6]
    assert sum(p.weight_bps for p in parents) == BPS
    assert parents[0].weight_bps == max(p.weight_bps for p in parents)


def test_genesis_is_never_averaged_in():
    assert ids(TrainFromBest(average=4, within=100), model(1)) == [1]


def test_waiting_for_a_level():
    assert ids(TrainFromBest(least_level=4), model(3)) == []
    assert ids(TrainFromBest(least_level=4), model(5)) == [5]


def test_a_budget_of_submissions():
    strategy = TrainFromBest(budget=10, submissions=2)
    assert [strategy.pictures(n) for n in (1, 2, 3)] == [10, 10, 0]


def test_publishing():
    assert not TrainFromBest().publishes(LOWEST)
    assert TrainFromBest().publishes(LOWEST + 1)


@pytest.mark.parametrize("options", [{"listen": "nobody"}, {"average": 0}, {"average": 5}])
def test_impossible_options(options: dict[str, object]):
    with pytest.raises(UsageError):
        TrainFromBest(**options)  # type: ignore[arg-type]


def test_what_is_worth_publishing_is_a_setting():
    assert [i for i in (LOWEST, LOWEST + 1, 0) if TrainFromBest().publishes(i)] == [LOWEST + 1, 0]
    assert TrainFromBest(least_own=LOWEST).publishes(LOWEST)
    assert not TrainFromBest(least_own=3).publishes(2)
