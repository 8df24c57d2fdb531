"""Run the machines on this repository's contracts. PDFED_PROFILE = dev, ci (default) or deep sets how long."""

import re
from pathlib import Path

import pytest

from .base import Plumbing
from .machines import MACHINES, GeneralMachine, invariants
from .runner import PROFILES, profile, run_machine
from .target import Target

# protocol.md, Invariants
NAMES = {
    "solvency", "locked_is_exposure", "no_theft", "bounded_loss", "rounding", "one_way_status", "windows", "binding",
    "outcome", "frozen", "lineage", "split_proof", "sybil_split", "idempotent", "queue_moves", "exit", "replay", "gas",
    "signatures", "no_probe_bit", "contribution", "nobody_gains_by_void", "capacity",
}  # fmt: skip


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.__name__)
def test_no_sequence_of_acts_breaks_an_invariant(machine: type[Plumbing]) -> None:
    result = run_machine(machine, Target(), PROFILES[profile()])
    assert result.violation is None, result.violation
    stats = result.stats
    assert stats.mined > 300
    assert stats.refused > 30
    assert stats.checks["exit"] > 0


def test_every_invariant_of_the_protocol_has_its_name() -> None:
    assert set(invariants()) == NAMES
    assert all(getattr(GeneralMachine, f"invariant_{name}").__doc__ for name in NAMES)


def test_every_invariant_stands_in_the_property_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "property-tests.md").read_text()
    assert set(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE)) == NAMES
