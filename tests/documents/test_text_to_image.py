"""The page on text-to-image, played from its first block to its last on a base of random weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pdfed_sdk.node.task_card import TaskCard
from pdfed_sdk.node.withdrawal import Withdrawal
from tests.support.doc_blocks import Stage, blocks_of

PAGE = "docs/text-to-image.md"


def test_the_blocks_of_the_page_run_in_order(tmp_path: Path) -> None:
    stage: Any = SimpleNamespace(folder=tmp_path, env={}, names={"__name__": "documents"})
    for block in blocks_of(PAGE):
        getattr(Stage, f"_{block.language}")(stage, block)
    names = stage.names
    assert TaskCard.read(tmp_path / "card.json").adapter == names["setup"]
    assert sorted(names["pictures"].captions) == sorted(4 * names["captions"])
    assert 0 < names["mean"].residual < 1
    assert names["pipeline"].get_active_adapters()
    assert Withdrawal.read(tmp_path / "withdrawn.json").places(names["pictures"].leaves()) == [2, 5]
