"""The demo's nodes do what is told of them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pdfed_sdk.config import load_config
from pdfed_sdk.demo.nodes import DemoNode, demo_nodes
from pdfed_sdk.node.assemble import make_strategy
from pdfed_sdk.node.strategy import TrainFromBest

NODES = demo_nodes(4_000, 9_000)


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.name)
def test_what_is_told_of_a_node_is_what_its_configuration_says(node: DemoNode, tmp_path: Path):
    """The studio was said to listen to validators only, and listened to everybody."""
    text = node.config("http://127.0.0.1:1", "0x" + "0" * 40, f"local:{tmp_path}")
    tomllib.loads(text)
    (tmp_path / "pdfed.toml").write_text(text)
    config = load_config(tmp_path / "pdfed.toml")
    strategy = make_strategy(config)
    assert isinstance(strategy, TrainFromBest)
    assert ("validators only" in node.tells) == (strategy.listen == "validators")
    assert ("averages two" in node.tells) == (strategy.average == 2)
    assert ("never trains" in node.tells) == (config.node.role == "validator")
    assert ("gate switched off" in node.tells) == (not config.node.gate)
    assert config.store.uri == f"local:{tmp_path}"
