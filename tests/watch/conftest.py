"""A task in which every kind of money moves, watched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pdfed_sdk.watch.serving import make_watcher
from pdfed_sdk.watch.watcher import Watcher
from tests.support.federation import Federation
from tests.support.history import make_history


@pytest.fixture
def history(federation: Federation) -> Federation:
    return make_history(federation)


@pytest.fixture
def watch(history: Federation, tmp_path: Path) -> Callable[[], Watcher]:
    """Open a watcher of the history; each call is a new process's view of the same folder."""
    return lambda: make_watcher(history.reader(), tmp_path / "watch")
