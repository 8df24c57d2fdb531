"""Run the machines on a target, by profile and seed; the documented entry point for a fork."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.reporting import with_reporter
from hypothesis.stateful import run_state_machine_as_test

from .base import Plumbing, Stats
from .machines import MACHINES
from .target import Target


@dataclass(frozen=True)
class Plan:
    """How much of a machine is run. About the first 15 examples of a pass are short: Hypothesis starts small."""

    examples: int
    steps: int
    transactions: int = 0  # further passes until so many are mined
    shrink: bool = True  # make a violation short before it is told


PROFILES = {"dev": Plan(16, 8), "ci": Plan(36, 30), "deep": Plan(250, 60)}


@dataclass(frozen=True)
class Result:
    """What a machine did. `violation` is the failed assertion with the shrunk example, or None."""

    machine: str
    description: str
    stats: Stats
    violation: str | None = None


def profile() -> str:
    """PDFED_PROFILE: dev, ci (default) or deep."""
    return os.environ.get("PDFED_PROFILE", "ci")


def run_machine(machine: type[Plumbing], target: Target, plan: Plan, first_seed: int = 0) -> Result:
    """Run one machine, pass after pass with rising seeds, until it has mined what the plan wants."""
    subject = type(machine.__name__, (machine,), {"target": target, "world_": None, "stats": Stats()})
    phases = (Phase.explicit, Phase.generate, *((Phase.shrink,) if plan.shrink else ()))
    chosen = settings(
        max_examples=plan.examples, stateful_step_count=plan.steps, deadline=None, database=None, print_blob=False,
        report_multiple_bugs=False,        suppress_health_check=list(HealthCheck), phases=phases,
    )  # fmt: skip
    told: list[str] = []
    violation, start = None, time.monotonic()
    try:
        with with_reporter(told.append):
            for number in count(first_seed):
                run_state_machine_as_test(seed(number)(subject), settings=chosen)
                if subject.stats.mined >= plan.transactions:
                    break
    except Exception as error:  # whatever a wrong contract leads to
        where = traceback.extract_tb(error.__traceback__)[-1]
        head = f"{type(error).__name__} in {where.name}, line {where.lineno}: {where.line}: {error}"
        violation = "\n".join([head, *map(str, told)])
    finally:
        if subject.world_ is not None:
            subject.world_.chain.close()
    subject.stats.seconds = time.monotonic() - start
    return Result(machine.__name__, " ".join((machine.__doc__ or "").split()), subject.stats, violation)


def run_machines(
    target: Target | None = None,
    *,
    machines: Sequence[type[Plumbing]] = MACHINES,
    profile: str = profile(),
    seed: int = 0,
    transactions: int = 0,
) -> list[Result]:
    """Run machines on the contracts of a target; one result each.

    target: whose contracts; default this repository's own.
    profile: dev, ci or deep: how many examples of how many steps.
    seed: the same seed runs the same examples.
    transactions: at least so many mined transactions over all machines; 0 for one pass of the profile.
    """
    plan = replace(PROFILES[profile], transactions=-(-transactions // len(machines)))
    return [run_machine(m, target or Target(), plan, seed) for m in machines]
