"""The page on text-to-image, every block as it stands there, on a chain and a base of random weights of their own.

Commands run in this process, which has imported everything already. The genesis is smaller than the page's default: 32
pictures, 16 samples in two steps. What follows from the commands is the matter of tests/node/test_adapter_task.py.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pdfed_sdk.config import load_config
from pdfed_sdk.node.task_card import TaskCard
from pdfed_sdk.node.withdrawal import Withdrawal
from tests.support.anvil import Anvil, start_anvil
from tests.support.cli_runner import PASSWORD, Cli, runner
from tests.support.doc_blocks import Block, Stage, blocks_of
from tests.support.tiny_base import captioned_folder

PAGE = "docs/text-to-image.md"
ADDED = {
    "pdfed task init": "--pictures 32 --samples 16 --extractor pixels --scoring copy_samples=16 "
    "--scoring sampler_steps=2 --scoring resamples=0 --store local:store --json",
    "pdfed node withdraw": "--json",
    "pdfed model lineage": "--json",
}


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    running = start_anvil()
    yield running
    running.process.terminate()
    running.process.wait(10)


@pytest.fixture
def reader(tmp_path: Path, anvil: Anvil, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """A sponsor with gas and public pictures."""
    cli = runner(monkeypatch, capsys)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PDFED_PASSWORD", PASSWORD)
    monkeypatch.setenv("PDFED_RPC", anvil.url)
    assert cli("keys", "new", "sponsor.json").code == 0
    anvil.endow("0x" + json.loads(Path("sponsor.json").read_text())["address"].removeprefix("0x"))
    captioned_folder(tmp_path / "public", 48, seed=1)
    return cli


def typed(cli: Cli, block: Block) -> Any:
    """Run the one command of a block; what it prints as JSON, if it was asked to."""
    (command,) = block.commands()
    added = "".join(f" {more}" for start, more in ADDED.items() if command.startswith(start))
    done = cli(*shlex.split(os.path.expandvars(command + added))[1:])
    assert done.code == 0, f"{block.place}: {done.err}"
    return json.loads(done.out) if "--json" in added else None


def test_the_blocks_of_the_page_run_in_order(reader: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage: Any = SimpleNamespace(folder=tmp_path, env={}, names={"__name__": "documents"})
    said: dict[str, Any] = {}
    for block in blocks_of(PAGE):
        if block.language != "sh":
            getattr(Stage, f"_{block.language}")(stage, block)
            continue
        name = " ".join(block.text.split()[1:3])
        said[name] = typed(reader, block)
        if name == "node join":  # gas and tokens for the new key; the node registers when it runs
            assert reader("node", "faucet", "--home", "nodes/artist").code == 0
            done = reader("node", "register", "--home", "nodes/artist", "--role", "both", "--stake", 400)
            assert done.code == 0, done.err
        if name == "node withdraw":  # the reader copies what the command printed
            monkeypatch.setenv("root", said[name]["data_root"])
    assert list(said) == ["task init", "node join", "node withdraw", "model lineage"]
    names = stage.names
    assert TaskCard.read(tmp_path / "task" / "card.json").adapter.rank == 4
    assert load_config(tmp_path / "nodes" / "artist" / "pdfed.toml").training.label_dropout == 0.1
    assert said["node withdraw"]["withdrawn"] == 2
    assert said["model lineage"]["trained_on"]["direct"] == [], "the sponsor's model never saw the artist's pictures"
    assert TaskCard.read(tmp_path / "card.json").adapter == names["setup"]
    assert sorted(names["pictures"].captions) == sorted(4 * names["captions"])
    assert 0 < names["mean"].residual < 1
    assert names["pipeline"].get_active_adapters()
    assert Withdrawal.read(tmp_path / "withdrawn.json").places(names["pictures"].leaves()) == [2, 5]
