"""A node's figures have the documented names and the values of its votes; what it does now is in its home."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import requests

from pdfed_sdk.errors import UsageError
from pdfed_sdk.node.metrics import serve_metrics
from tests.support.anvil import ROOT
from tests.support.node_world import Opinion, World


def test_figures_of_a_node_that_voted(world: World) -> None:
    world.submit(1)
    node = world.node(2, opinion=Opinion(2))
    doing: list[str] = []
    compare = node.voter._evaluator.compare

    def looked_at(*args, **options):
        doing.append(json.loads((node.home / "now.json").read_text())["doing"])
        return compare(*args, **options)

    node.voter._evaluator.compare = looked_at  # type: ignore[method-assign]
    port = serve_metrics(node, "127.0.0.1:0")
    node.tick()
    node.tick()  # its own vote is known to it once the chain has it
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    assert doing == ["scoring"]
    assert json.loads((node.home / "now.json").read_text())["doing"] == "waiting"
    for line in (
        "pdfed_node_votes_waiting 1.0",
        "pdfed_node_votes_sealed 1.0",
        "pdfed_node_votes_opened 0.0",
        'pdfed_node_doing{what="waiting"} 1.0',
        'pdfed_node_submissions{status="final"} 0.0',
    ):
        assert line in text.splitlines()
    documented = (ROOT / "docs" / "node.md").read_text()
    for name in set(re.findall(r"^(pdfed_node_\w+)", text, re.M)):
        assert f"`{name}" in documented, f"{name} is not in docs/node.md"


@pytest.mark.parametrize("address", ["9465", "127.0.0.1:", ":80", "127.0.0.1:x", "127.0.0.1:99999"])
def test_an_address_that_cannot_be_used_is_refused(world: World, address: str) -> None:
    with pytest.raises(UsageError, match="metrics"):
        serve_metrics(world.node(2), address)


def test_units_name_commands_and_options_that_exist() -> None:
    units = sorted((ROOT / "docs" / "systemd").glob("*.service"))
    assert len(units) == 2
    for unit in units:
        (line,) = re.findall(r"^ExecStart=\S+/pdfed (.*)$", unit.read_text(), re.M)
        command, *words = line.split()
        source = "\n".join(path.read_text() for path in Path(ROOT / "pdfed_sdk" / "cli").glob("*.py"))
        assert command in ("node", "watch")
        for option in (word for word in words if word.startswith("--")):
            assert f'"{option}"' in source or option.removeprefix("--").replace("-", "_") in source, option
