"""Every custom error of the interfaces and contracts is asserted by name: a list of where, and none missing."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# errors that no call of a user can meet, with the reason; each of them must then be asserted nowhere
UNREACHABLE: dict[str, str] = {}


def declared() -> list[str]:
    sources = [*(ROOT / "interfaces").glob("*.sol"), *(ROOT / "contracts").glob("*.sol")]
    sources += (ROOT / "contracts" / "libraries").glob("*.sol")
    return sorted({name for path in sources for name in re.findall(r"\n\s+error (\w+)\(", path.read_text())})


@cache
def asserted() -> dict[str, set[str]]:
    """Names that stand as a string alone in the contract tests, and the modules where they do."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests" / "contracts").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.setdefault(node.value.split("(")[0], set()).add(path.name)
    return found


def test_there_are_errors_to_assert() -> None:
    assert len(declared()) >= 70


@pytest.mark.parametrize("error", declared())
def test_each_error_is_asserted_where_it_can_be_met(error: str) -> None:
    assert (error in asserted()) != (error in UNREACHABLE), f"{error}: {asserted().get(error)}"
