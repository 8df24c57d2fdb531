"""One private chain for all contract tests of a process; every test starts from the same block."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
warnings.filterwarnings("ignore", message="rpc.snapshot should not be called directly")


@pytest.fixture(scope="session")
def chain() -> Any:
    from support.task import deployment

    return deployment().chain


@pytest.fixture(autouse=True)
def isolated(chain: Any) -> Iterator[None]:
    """Undo what the test did on the chain."""
    snapshot = chain.snapshot()
    yield
    chain.revert(snapshot)


@pytest.fixture
def task(chain: Any) -> Any:
    from support.task import Task

    return Task()


@pytest.fixture
def nodes(task: Any, chain: Any) -> list[Any]:
    """Five registered nodes with ten minimum stakes each, warmed up; the pool is funded."""
    members = [task.join(account) for account in chain.accounts[10:15]]
    task.fund()
    chain.travel(chain.now + task.params["warmUp"])
    return members
