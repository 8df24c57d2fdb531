"""The entry point for a fork, as docs/property-tests.md shows it; and bugs of one operator, each found by a machine."""

import re
from pathlib import Path

import pytest

from .machines import CheckpointMachine, GeneralMachine, SmallChangeMachine, VotingMachine
from .planting import Bug, compile_bugs
from .runner import PROFILES, replace, run_machine
from .target import PARTS, Chain, Target

PAGE = Path(__file__).parents[3] / "docs" / "property-tests.md"
BUGS = {
    "quantile takes the next bucket": (
        Bug("ScoreBook", "libraries/Histogram.sol", "if (below >= target)", "if (below > target)"),
        VotingMachine,
    ),
    "commit on the last second": (
        Bug("ScoreBook", "ScoreBook.sol", "if (block.timestamp >= commitEnd)", "if (block.timestamp > commitEnd)"),
        VotingMachine,
    ),
    "the scoring fee stays with the author": (
        Bug("StakeVault", "StakeVault.sol", "stake.free - needed,", "stake.free - bond,"),
        SmallChangeMachine,
    ),
    "a pour passes on all it holds": (
        Bug("RewardPool", "RewardPool.sol", "account.pending - part", "account.pending - 0 * part"),
        CheckpointMachine,
    ),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_of_one_operator_is_found(name: str) -> None:
    bug, machine = BUGS[name]
    (code,) = compile_bugs([bug])
    result = run_machine(machine, Target(code=code), replace(PROFILES["ci"], shrink=False))
    assert result.violation is not None
    assert result.stats.mined > 0


def test_the_snippet_for_a_fork_runs() -> None:
    """On a factory that somebody else deployed on a chain that runs already."""
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    fork = Chain(Target())
    parts = tuple(fork.deploy(name) for name in PARTS)
    names = {"factory_address": fork.deploy("TaskFactory", parts), "anvil_port": fork.wire.port}
    exec(snippet, names)
    assert names["results"]
    fork.close()


def test_a_task_may_come_from_a_callable() -> None:
    """A fork without a factory: here our factory plays one."""
    ours = Chain(Target())
    target = Target(port=ours.wire.port, make=lambda wire, sponsor, params: ours.create_task(sponsor, params))
    result = run_machine(GeneralMachine, target, PROFILES["dev"])
    ours.close()
    assert result.violation is None, result.violation
