"""``explain``: why each fee, vote, reward and share is what it is, from events alone; its sums are the chain's."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import pytest

from pdfed_sdk.audit.explain import Told, explain
from pdfed_sdk.errors import UsageError
from tests.support.federation import UNIT, Federation


def about(told: list[Told], subject: str) -> list[Told]:
    return [line for line in told if re.search(subject, line.subject)]


def test_a_pressed_model_is_told_what_it_got_of_its_copys_reward(history: Federation) -> None:
    told = explain(history.reader(), 1)
    assert "outcome +4 grains: the 34 % quantile of 4 votes" in " ".join(line.told for line in told)
    assert "median +24 grains: decides who contributed" in " ".join(line.told for line in told)
    (share,) = about(told, "^parent #1$")
    assert "of what #2 earned, by #2: its 24 reaches grains above 0 that a veto had held down" in share.told
    assert share.amount is not None
    assert share.amount > 0


def test_the_copy_is_told_why_it_got_nothing_of_what_a_veto_had_held_down(history: Federation) -> None:
    told = explain(history.reader(), 2)
    gain = next(line.told for line in told if "it becomes best by" in line.told)
    assert gain == (
        "28 − 4 of the best #1, less the bucket's width 4 as its reference was not the best any more = 20: "
        "it becomes best by 20 grains"
    )
    (author,) = [line for line in about(told, "^author .* of #2$") if "earned" in line.told]
    assert "4 of the 4 grains above 24 are its own" in author.told
    assert "16 of its 20 grains a veto had held down, they are its parents'" in author.told


def test_every_vote_and_bond_is_told(history: Federation) -> None:
    told = explain(history.reader(), 3)
    silent = about(told, f"^vote of {history.signers[5].address}$")
    assert silent[-1].told == "never opened: the whole bond goes to the commons"
    assert silent[-1].amount is not None
    assert silent[-1].amount < 0
    agreed = about(told, f"^vote of {history.signers[1].address}$")
    assert agreed[0].told.startswith("+5 grains, weight")
    assert "it said above τ = 2" in agreed[-1].told
    (bond,) = about(told, "^bond of")[:1]
    assert bond.amount == 20 * UNIT


def test_what_was_never_submitted_lost_its_bond_and_kept_its_fee(history: Federation) -> None:
    told = explain(history.reader(), 5)
    assert any(line.told == "Void: it was never submitted" for line in told)
    (lost,) = [line for line in about(told, "^bond of") if line.amount is not None and line.amount < 0]
    assert (lost.amount, lost.told) == (-20 * UNIT, "lost to the commons: it was never submitted")


def test_rewards_told_add_up_to_what_was_paid(history: Federation) -> None:
    """Parts of a reward that are told as the authors' and the lineage's are the reward."""
    for number in (1, 2, 3):
        told = explain(history.reader(), number)
        reward = sum(line.amount or 0 for line in about(told, f"^reward of #{number}$"))
        own = [line for line in told if f"of what #{number} earned" in line.told and "author" in line.subject]
        assert reward > 0
        assert own


@pytest.mark.parametrize("number", [0, 99])
def test_there_is_nothing_to_tell_of_genesis_or_of_an_id_that_does_not_exist(history: Federation, number: int) -> None:
    with pytest.raises(UsageError, match="there is no submission"):
        explain(history.reader(), number)


def evaluated(expression: str) -> int:
    """The value of an expression of audit/arithmetic.py, in exact fractions."""
    text = expression.replace("−", "-").replace("×", "*").replace("^", "**")
    text = text.replace("⌊", "floor(").replace("⌋", ")").replace("⌈", "ceil(").replace("⌉", ")")
    text = re.sub(r"(\d+(?:\.\d+)?)", r"Fraction('\1')", text.replace("[", "(").replace("]", ")"))
    value = eval(text, {"Fraction": Fraction, "floor": math.floor, "ceil": math.ceil, "min": min, "__builtins__": {}})  # noqa: S307
    assert value == int(value), expression
    return int(value)


def test_the_arithmetic_of_every_amount_gives_the_amount(history: Federation) -> None:
    """Bonds, fees, pay and charges of votes, draws on the commons, every share of every reward: recomputed from the
    text alone. Only the draw on the allowance has no arithmetic."""
    lines = [line for number in range(1, 6) for line in explain(history.reader(), number) if line.amount is not None]
    told = [line for line in lines if not line.told.endswith("allowance")]
    assert len(told) > 25
    for line in told:
        assert line.sum, line
        assert evaluated(line.sum) == line.amount, line
    assert any("⌊[" in line.sum and line.subject.startswith("parent") for line in told)
    assert any("min(" in line.sum and line.amount > 0 for line in told if line.amount is not None)
