"""Rule 11's figures: of the formula over 3,000 submissions, and of the real contracts, vote by vote.

`make simulate` plays all 3,000 on the contracts. Here they play fewer, and each vote's pay must be the formula's.
"""

from __future__ import annotations

import pytest
from support import simulation
from support.voting import POPULATIONS, play

SUBMISSIONS = 3_000
PLAYED = 80
RATE_STEP = 2.0**-24  # rates are kept to this; that of the task is rounded at each step, with a memory of 50


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[str, float]]:
    return {p.name: play(p, SUBMISSIONS).figures() for p in POPULATIONS}


def test_honest_work_pays_at_any_share_of_junk(figures: dict[str, dict[str, float]]) -> None:
    for name in ("15 honest", "junk only, 55 % junk", "junk only, 80 % junk"):
        assert 0.295 <= figures[name]["honest"] <= 0.335


def test_constant_votes_and_looking_for_junk_only_earn_nothing(figures: dict[str, dict[str, float]]) -> None:
    assert abs(figures["always yes and masks"]["always yes"]) <= 0.005
    for name in ("junk only, 55 % junk", "junk only, 80 % junk"):
        assert figures[name]["junk only"] <= 0


def test_a_ring_that_flips_one_coin_earns_little_and_nothing_as_one_account(
    figures: dict[str, dict[str, float]],
) -> None:
    assert figures["a coin of 5 accounts"]["coin"] == pytest.approx(0.10, abs=0.01)
    for accounts in (3, 5, 6):
        ring, alone = figures[f"a coin of {accounts} accounts"], figures[f"a coin of weight {accounts}"]
        assert ring["coin"] < ring["honest"]
        assert abs(alone["coin"]) <= 0.021


def test_the_contracts_pay_every_vote_what_the_formula_says() -> None:
    report = simulation.run(PLAYED)
    assert report.error <= 60 * RATE_STEP
    for script, played in report.plays:
        assert script.figures(played.pay) == pytest.approx(script.figures(), abs=1e-5)
        assert played.pay.sum(axis=1).max() <= 1  # of the pot
    assert report.rewarded[simulation.KAPPA] == 0
    assert report.rewarded[simulation.HALF] >= 0.98
    print(f"{report.seconds:.0f} s, largest difference {report.error:.1e}", simulation.table(report), sep="\n")


def test_the_page_holds_the_figures_of_the_formula(figures: dict[str, dict[str, float]]) -> None:
    page = simulation.PAGE.read_text()
    for name, kinds in figures.items():
        for kind, value in kinds.items():
            assert f"| {name} | {kind} | {value:+.3f} | {value:+.3f} |" in page
    assert "| kappa = 1/3 | 0.0% |" in page
