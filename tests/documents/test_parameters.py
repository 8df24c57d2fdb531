"""docs/parameters.md states every default and bound of the code, which tests/chain compares with the factory."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pdfed_sdk.chain.calls import TaskParams
from pdfed_sdk.chain.parameters import PARAMETERS, Parameter, task_params
from tests.support.anvil import ROOT

ADDRESS = "0x" + "11" * 20


def table() -> dict[str, list[str]]:
    lines = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8").splitlines()
    rows = [re.split(r"\s*\|\s*", line)[1:5] for line in lines if line.startswith("| `")]
    return {name.strip("`"): cells for name, *cells in rows}


def value(text: str, params: TaskParams) -> int:
    """A bound as the page writes it: a number, a power, or other parameters added or divided."""
    text = text.replace(",", "").replace("−", "-")
    if " + " in text:
        return sum(value(part, params) for part in text.split(" + "))
    if " / " in text:
        whole, part = text.split(" / ")
        return value(whole, params) // value(part, params)
    if " - " in text:
        whole, part = text.split(" - ")
        return value(whole, params) - value(part, params)
    if "^" in text:
        base, exponent = text.split("^")
        return int(base) ** int(exponent)
    return int(getattr(params, text.strip("`"))) if text.startswith("`") else int(text)


def test_the_table_lists_every_parameter_in_order():
    assert list(table()) == [row.name for row in PARAMETERS]


@pytest.mark.parametrize("row", PARAMETERS, ids=lambda row: row.name)
def test_defaults_and_bounds_are_those_of_the_code(row: Parameter):
    development, public, bounds = table()[row.name]
    unit = " tokens" if row.amount else ""
    assert (development, public) == (f"{row.development:,}{unit}", f"{row.public:,}{unit}")
    least, most = bounds.split(" to ")
    for profile, window in (("development", 30), ("public", 40_000)):
        params = replace(task_params(ADDRESS, ADDRESS, profile=profile), commit_window=window)  # type: ignore[arg-type]
        assert (value(least, params), value(most, params)) == row.bounds(params)
