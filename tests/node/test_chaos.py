"""A share of ``make test-chaos``: killed at any step, behind any endpoint, a node leaves the books as they are."""

from __future__ import annotations

import secrets

import pytest

from tests.support import chaos

SHARE = 19
"""Every so many kills are played here; ``make test-chaos`` plays all."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> chaos.Stage:
    return chaos.open_stage(tmp_path_factory.mktemp("chaos"))


def test_a_kill_at_any_step_leaves_the_books_of_an_undisturbed_round(stage: chaos.Stage):
    outcomes = list(chaos.matrix(stage, lambda number: number % SHARE == 0))
    assert [outcome.line() for outcome in outcomes if not outcome.good] == []
    assert len(outcomes) >= 3


def test_the_matrix_notices_a_salt_that_is_not_kept(stage: chaos.Stage, monkeypatch: pytest.MonkeyPatch):
    wanted, effects = stage.undisturbed(chaos.TRAINER)
    at = effects.index("send ModelRegistry.reserve")
    good = stage.killed(chaos.TRAINER, at, False, "reserve", wanted)
    assert good.good, good.line()
    monkeypatch.setattr("pdfed_sdk.node.publishing._salt", lambda *_: secrets.token_bytes(32))
    assert not stage.killed(chaos.TRAINER, at, False, "reserve", wanted).good


def test_bad_endpoints_and_a_log_with_holes_cost_nobody_anything(stage: chaos.Stage):
    wanted, _ = stage.undisturbed(0)
    every = chaos.often(7, 0.2, (429, b""))
    with chaos.proxy(stage.world.anvil.url, every, chaos.forgetful(1)) as bad:
        both = f"{bad},{stage.world.anvil.url}"
        outcome = stage.outcome(
            "429, a log with a hole, and a second endpoint", wanted, lambda w: chaos.play_patiently(w, both)
        )
    assert outcome.good, outcome.line()
