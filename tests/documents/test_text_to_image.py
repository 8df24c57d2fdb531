"""The page on text-to-image, played from its first block to its last on a base of random weights. Its `pdfed` commands
run in tests/node/test_adapter_task.py, which has a chain for them; here only their names and options are checked."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from typer.main import get_command

from pdfed_sdk.cli import app
from pdfed_sdk.node.task_card import TaskCard
from pdfed_sdk.node.withdrawal import Withdrawal
from tests.support.doc_blocks import Stage, blocks_of

PAGE = "docs/text-to-image.md"


def test_the_blocks_of_the_page_run_in_order(tmp_path: Path) -> None:
    stage: Any = SimpleNamespace(folder=tmp_path, env={}, names={"__name__": "documents"})
    for block in blocks_of(PAGE):
        if block.language == "sh":
            continue
        getattr(Stage, f"_{block.language}")(stage, block)
    names = stage.names
    assert TaskCard.read(tmp_path / "card.json").adapter == names["setup"]
    assert sorted(names["pictures"].captions) == sorted(4 * names["captions"])
    assert 0 < names["mean"].residual < 1
    assert names["pipeline"].get_active_adapters()
    assert Withdrawal.read(tmp_path / "withdrawn.json").places(names["pictures"].leaves()) == [2, 5]


def test_the_commands_of_the_page_exist_with_these_options() -> None:
    commands = [words for block in blocks_of(PAGE) if block.language == "sh" for words in block.commands()]
    assert len(commands) == 4
    for command in commands:
        _, group, name, *words = shlex.split(command)
        found = get_command(app).get_command(None, group).get_command(None, name)  # type: ignore[union-attr,arg-type]
        known = {option for parameter in found.params for option in parameter.opts}  # type: ignore[union-attr]
        assert {word for word in words if word.startswith("--")} <= known, command
