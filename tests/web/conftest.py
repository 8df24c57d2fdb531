"""A task in which every kind of money moves, shown live and as a report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.federation import Federation
from tests.support.history import make_history
from tests.support.shown import Shown, show


@pytest.fixture
def shown(federation: Federation, tmp_path: Path) -> Iterator[Shown]:
    with show(make_history(federation), tmp_path) as found:
        yield found
