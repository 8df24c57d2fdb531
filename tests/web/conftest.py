"""A task in which every kind of money moves, shown live and as a report; made once for all tests that only look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.federation import Federation
from tests.support.history import make_history
from tests.support.shown import Shown, show


@pytest.fixture(scope="module")
def shown(deployed: Federation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("shown")
    snapshot = deployed.anvil.ask("evm_snapshot")
    with show(make_history(replace(deployed, folder=folder)), folder) as found:
        yield found
    deployed.anvil.ask("evm_revert", snapshot)
