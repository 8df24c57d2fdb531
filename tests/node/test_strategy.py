"""Local strategies: what a node trains on next, from votes it listens to and its own measurements."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pdfed_sdk.buckets import LOWEST, WORST
from pdfed_sdk.errors import ConfigError, UsageError
from pdfed_sdk.node.dedup import DedupList
from pdfed_sdk.node.strategies import (
    Blend,
    Explore,
    NotMyOwnTwice,
    OwnScores,
    PessimisticThird,
    StakeWeighted,
    TakeTurns,
)
from pdfed_sdk.node.strategy import Candidate, TrainFromBest, choose_parents
from pdfed_sdk.types import BPS, GENESIS, Address, Role, Status, SubmissionId

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
    assert ids(TrainFromBest(), model(9, own_improvement=WORST), model(5)) == [5]


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
    assert ids(TrainFromBest(average=4, within=100), model(3)) == [3]


def test_a_final_model_that_added_less_than_a_step_is_left_alone():
    """A lucky no-op that others build on would take a share."""
    assert ids(TrainFromBest(), model(22, reference_level=20), model(9)) == [9]
    assert ids(TrainFromBest(), model(23, reference_level=20), model(9)) == [23]


def test_validators_only_are_those_that_do_not_train():
    assert not TrainFromBest(listen="validators").listens_to(BOB, Role.TRAINER | Role.VALIDATOR)
    assert TrainFromBest(listen="trainers").listens_to(BOB, Role.TRAINER | Role.VALIDATOR)


def test_waiting_for_a_level():
    assert ids(TrainFromBest(least_level=4), model(3)) == []
    assert ids(TrainFromBest(least_level=4), model(5)) == [5]


def test_a_budget_of_submissions():
    strategy = TrainFromBest(budget=10, submissions=2)
    assert [strategy.pictures(n) for n in (1, 2, 3)] == [10, 10, 0]


@pytest.mark.parametrize("options", [{"listen": "nobody"}, {"average": 0}, {"average": 5}])
def test_impossible_options(options: dict[str, object]):
    with pytest.raises(UsageError):
        TrainFromBest(**options)  # type: ignore[arg-type]


def test_what_the_task_would_not_pay_for_is_not_published_unless_told():
    assert [i for i in range(5) if TrainFromBest().publishes(i, min_step=3)] == [3, 4]
    assert TrainFromBest(least_own=LOWEST).publishes(LOWEST, min_step=3)
    assert not TrainFromBest(least_own=3).publishes(2, min_step=2)


VOTES = {ALICE: 8, BOB: -3, CAROL: 7}


def test_each_strategy_ranks_as_it_says():
    """Model 1 pleases the mean and one node suffers from it; model 2 is what all can live with; 3 was never measured
    here."""
    loud = model(1, level=None, votes=VOTES, own_improvement=-2, weights={ALICE: 1, BOB: 8, CAROL: 1})
    quiet = model(2, level=None, votes={ALICE: 2, BOB: 1, CAROL: 2}, own_improvement=1)
    unseen = model(3, level=None, votes={ALICE: 2, CAROL: 2})
    everything = (loud, quiet, unseen)
    assert ids(TrainFromBest(), *everything) == [1]
    assert ids(OwnScores(), *everything) == [2]
    assert ids(OwnScores(), unseen) == [0]
    assert ids(PessimisticThird(), *everything) == [3]
    assert ids(PessimisticThird(), loud, quiet) == [2]
    assert ids(Blend(own=0.0), *everything) == [1]
    assert ids(Blend(own=1.0), *everything) == [3]
    assert ids(StakeWeighted(), loud, quiet) == [2]
    assert ids(StakeWeighted(listen="trainers"), loud, quiet) == [
        1
    ]  # Carol, trainer and validator, is heard; Bob is not


@pytest.mark.parametrize("kind", [OwnScores, Blend, StakeWeighted, PessimisticThird, NotMyOwnTwice])
def test_no_strategy_trains_on_what_this_node_found_unusable(kind):
    assert ids(kind(), model(9, votes=VOTES, own_improvement=WORST)) == [0]


@pytest.mark.parametrize("kind", [NotMyOwnTwice, PessimisticThird])
def test_a_second_own_model_in_a_row_is_passed_over(kind):
    own, other = model(9, own_run=2, own_improvement=9), model(5, own_run=1, own_improvement=5)
    assert ids(kind(), own, other) == [5]


def test_taking_turns_waits_until_another_node_has_built_on_the_own_model():
    own, behind, ahead = model(9, own_run=1), model(5), model(12)
    assert ids(TakeTurns()) == [0]
    assert ids(TakeTurns(), own) == ids(TakeTurns(), own, behind) == []
    assert ids(TakeTurns(), own, ahead) == [12]


def test_exploring_is_seeded_by_what_is_known_and_as_frequent_as_asked():
    drawn = [ids(Explore(epsilon=0.5), model(500), model(number)) for number in range(1, 201)]
    assert drawn == [ids(Explore(epsilon=0.5), model(500), model(number)) for number in range(1, 201)]
    away = sum(choice != [500] for choice in drawn)
    assert 40 <= away <= 95  # two of three draws of a half lead away
    assert ids(Explore(epsilon=0.0), model(500), model(3)) == [500]


def test_options_out_of_their_limits():
    for make in (lambda: Blend(own=2), lambda: Explore(epsilon=-1), lambda: PessimisticThird(quantile=1.5)):
        with pytest.raises(UsageError, match="not within"):
            make()


def test_the_dedup_list_sums_over_evaluations_survives_a_restart_and_takes_back(tmp_path):
    counts = [0] * 40
    first = DedupList(tmp_path / "dedup.json", share=0.05)
    assert first.excluded() == []
    first.keep("#1", [*counts[:38], 1, 0])
    first.keep("#2", [0, 2, 1, *counts[3:]])
    first.keep("#3", [0, 0, 2, *counts[3:]])
    again = DedupList(tmp_path / "dedup.json", share=0.05)
    assert again.excluded() == [1, 2]  # two of forty, most copied first
    again.keep("#3", counts)  # scored anew: its counts are replaced, not added
    assert again.excluded() == [1, 2]
    again.forget("#2")
    assert again.excluded() == [38]
    assert DedupList(tmp_path / "dedup.json", share=0.0).excluded() == []
    with pytest.raises(ConfigError, match="dedup is 2"):
        DedupList(tmp_path / "dedup.json", share=2)
