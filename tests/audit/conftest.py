"""A task with a history in which every kind of money moves."""

from __future__ import annotations

import pytest

from tests.support.federation import Federation
from tests.support.history import make_history


@pytest.fixture
def history(federation: Federation) -> Federation:
    return make_history(federation)
