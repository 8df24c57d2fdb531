"""One private chain for all contract tests of a process; every test starts from the same block."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "ignore:rpc.snapshot should not be called directly")
    config.addinivalue_line("filterwarnings", "ignore:websockets.legacy is deprecated")


@pytest.fixture(scope="session")
def stage() -> tuple[Any, list[Any]]:
    """A funded task with five nodes of ten minimum stakes each, warmed up. Made once; every test starts from here."""
    from support.task import Task

    task = Task()
    chain = task.chain
    members = [task.join(account) for account in chain.accounts[10:15]]
    task.fund()
    chain.travel(chain.now + task.params["warmUp"])
    return task, members


@pytest.fixture
def chain(stage: tuple[Any, list[Any]]) -> Iterator[Any]:
    """The chain; what the test does on it is undone."""
    chain = stage[0].chain
    snapshot = chain.snapshot()
    yield chain
    chain.revert(snapshot)


@pytest.fixture
def task(stage: tuple[Any, list[Any]], chain: Any) -> Any:
    stage[0].ballots.clear()
    return stage[0]


@pytest.fixture
def nodes(stage: tuple[Any, list[Any]]) -> list[Any]:
    return list(stage[1])
