"""The examples of docs/sdk.md run, on a real chain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pdfed_sdk.node.strategy import LocalStrategy
from pdfed_sdk.types import LOWEST, Role
from tests.support.anvil import ROOT
from tests.support.cli_runner import PASSWORD, keystore_of
from tests.support.node_world import World

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_examples_run(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    names = {
        "rpc": world.anvil.url,
        "task": world.entry.registry,
        "keystore": keystore_of(world, 6, tmp_path),
        "password": PASSWORD,
        "folder": tmp_path,
    }
    assert len(BLOCKS) == 5
    for block in BLOCKS:
        exec(block, names)  # the guide's own words
    assert "NodeRegistered" in capsys.readouterr().out
    assert world.client(6).account().roles == Role.VALIDATOR
    cautious = names["Cautious"](budget=5)  # type: ignore[operator]
    assert isinstance(cautious, LocalStrategy)
    assert not cautious.publishes(0)
    assert not cautious.publishes(LOWEST)
    assert names["make_taste"](None, None, None).compare(tmp_path, tmp_path, b"", lambda: None).improvement == 1  # type: ignore[operator]
