"""Run the stateful machines. PDFED_PROFILE = dev, ci (default) or deep sets how long."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from support.task import Task

from .machine import WINDOWS, TaskMachine

EXAMPLES, STEPS = {"dev": (3, 25), "ci": (8, 45), "deep": (400, 100)}[os.environ.get("PDFED_PROFILE", "ci")]
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.target),
    database=None,
    derandomize=os.environ.get("PDFED_PROFILE", "ci") != "deep",
)


class SmallChange(TaskMachine):
    """Six decimals and amounts that divide badly."""

    @classmethod
    def make_task(cls) -> Task:
        from support.task import deployment

        amounts = {"minStake": 10**18 // 3, "submissionBond": 7, "scoringFee": 101, "voteBondBps": 3_333}
        return Task(token=deployment().token(6), quorumFloor=5, lineageBps=4_999, decayBps=7, **amounts, **WINDOWS)


@pytest.mark.parametrize("machine", [TaskMachine, SmallChange])
def test_any_sequence_of_acts_keeps_the_books(chain: Any, machine: type[TaskMachine]) -> None:
    machine._task = None  # made inside this test's snapshot
    run_state_machine_as_test(machine, settings=SETTINGS)
