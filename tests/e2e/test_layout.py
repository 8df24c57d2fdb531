"""Rules of the test suite itself."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def test_no_test_imports_another_test():
    """Shared code lives in tests/support; a test that is imported runs twice or not at all."""
    pattern = re.compile(r"^\s*(?:from|import)\s+(?:tests\.(?!support)|\.?test_)", re.MULTILINE)
    found = [str(p.relative_to(TESTS)) for p in TESTS.rglob("*.py") if pattern.search(p.read_text())]
    assert found == []


def test_anvil_is_started_in_one_place():
    starts = [
        str(p.relative_to(TESTS))
        for p in TESTS.rglob("*.py")
        if "anvil-*/bin/anvil" in p.read_text() and p != Path(__file__).resolve()
    ]
    assert starts == ["support/anvil.py"]
