"""Gas against the snapshot (2 %) and the ceilings. After a wanted change: `python -m benchmarks.gas --update`."""

import json
from pathlib import Path
from typing import Any

import pytest

from .cases import CEILINGS, measure, vote_alone, vote_in_batches

SNAPSHOT = Path(__file__).parent / "snapshot.json"


@pytest.fixture(scope="module")
def measured(stage: tuple[Any, list[Any]]) -> dict[str, int]:
    """All cases, once; the chain is as before afterwards."""
    chain = stage[0].chain
    snapshot = chain.snapshot()
    result = measure()
    chain.revert(snapshot)
    return result


def test_no_case_moved_by_more_than_two_percent(chain: Any, measured: dict[str, int]) -> None:
    expected = json.loads(SNAPSHOT.read_text())
    assert set(measured) == set(expected)
    moved = {k: (expected[k], v) for k, v in measured.items() if abs(v - expected[k]) > 0.02 * expected[k]}
    assert not moved, f"update the snapshot: {moved}"


def test_ceilings_hold(measured: dict[str, int]) -> None:
    above = {name: (measured[name], most) for name, most in CEILINGS.items() if measured[name] > most}
    assert not above
    assert vote_alone(measured) <= 215_000
    assert vote_in_batches(measured) <= 120_000
