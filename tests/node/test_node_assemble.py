"""A node from its home folder: broken pictures, parts by dotted path, cards that cannot be used, `node run`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pdfed_sdk.artifacts.cid import cid_of
from pdfed_sdk.artifacts.store import LocalStore
from pdfed_sdk.config import NodeConfig, StrategySection
from pdfed_sdk.errors import ConfigError, ContentMissing, DataError
from pdfed_sdk.ml.scoring.scorer import ScoringSettings
from pdfed_sdk.node.assemble import make_strategy
from pdfed_sdk.node.picture_parts import load_split
from pdfed_sdk.node.strategy import TrainFromBest
from pdfed_sdk.node.task_card import TaskCard
from tests.support.cli_runner import PASSWORD, Cli, keystore_of, runner
from tests.support.node_world import BOTH, PARTS, STAKE, World


def pictures(folder: Path, classes: int = 2, each: int = 10) -> Path:
    random = np.random.default_rng(0)
    for name in range(classes):
        (folder / f"class{name}").mkdir(parents=True)
        for index in range(each):
            data = random.integers(0, 255, (20, 20), dtype=np.uint8)
            Image.fromarray(data).save(folder / f"class{name}" / f"{index}.png")
    return folder


def test_a_broken_picture_is_skipped_and_named(tmp_path: Path):
    folder = pictures(tmp_path / "data")
    (folder / "class0" / "torn.png").write_bytes((folder / "class0" / "1.png").read_bytes()[:60])
    (folder / "class1" / "empty.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"2 files skipped, first: class0/torn.png"):
        split = load_split(folder, ScoringSettings(size=16, channels=1))
    assert len(split.train) + len(split.test) + len(split.heldout) == 20


def test_a_folder_of_broken_pictures_is_refused_by_name(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "torn.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"holds no usable picture \(1 skipped; first: torn.png"):
        load_split(tmp_path / "data", ScoringSettings())


def test_no_data_at_all(tmp_path: Path):
    with pytest.raises(DataError, match="nowhere"):
        load_split(tmp_path / "nowhere", ScoringSettings())


def with_strategy(name: str, **options: object) -> NodeConfig:
    return replace(NodeConfig(), strategy=StrategySection(name, dict(options)))


def test_strategies_are_made_or_refused_by_name():
    path = "pdfed_sdk.node.strategy:TrainFromBest"
    assert make_strategy(with_strategy(path, budget=3)) == TrainFromBest(budget=3)
    with pytest.raises(ConfigError, match="budgett"):
        make_strategy(with_strategy(path, budgett=3))
    with pytest.raises(ConfigError, match="is no LocalStrategy"):
        make_strategy(with_strategy("pathlib:Path"))


def test_a_card_that_is_missing_or_no_card(tmp_path: Path):
    store, settings = LocalStore(tmp_path), ScoringSettings(samples=64)
    good = json.dumps({"scoring": json.loads(settings.to_json())}).encode()
    assert TaskCard.fetch(store, store.put(good).digest).scoring == settings
    for bad in (b"{", b"[]", b'{"scoring": {"smples": 3}}'):
        with pytest.raises(ConfigError, match="no readable scoring settings"):
            TaskCard.fetch(store, store.put(bad).digest)
    with pytest.raises(ContentMissing, match="does not hold the task's card"):
        TaskCard.fetch(store, cid_of(b"never stored").digest)


# --- pdfed node run --------------------------------------------------------------------------------------------------


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return runner(monkeypatch, capsys)


@pytest.fixture
def home(world: World, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's home whose data set, evaluator and trainer come from a module of the user's own."""
    monkeypatch.setenv("PDFED_PASSWORD", PASSWORD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_parts", raising=False)
    (tmp_path / "own_parts.py").write_text(PARTS)
    home = tmp_path / "home"
    home.mkdir()
    keystore_of(world, 6, home).rename(home / "keystore.json")
    (home / "pdfed.toml").write_text(
        f"""
[chain]
rpc = "{world.anvil.url}"
task = "{world.entry.registry}"
[store]
uri = "local:{world.folder / "store"}"
[node]
role = "both"
[parts]
dataset = "own_parts:data"
evaluator = "own_parts:evaluator"
trainer = "own_parts:trainer"
"""
    )
    return home


def test_node_run_refuses_when_unregistered_and_without_stake(home: Path, world: World, cli: Cli):
    done = cli("node", "run", "--home", home)
    assert done.code == 2
    assert f"node {world.signers[6].address} is not registered, and [node] stake is 0" in done.err.replace("\n", " ")
    assert "pdfed node register" in done.err


def test_node_run_dry_run_builds_everything_and_sends_nothing(home: Path, world: World, cli: Cli):
    text = (home / "pdfed.toml").read_text()
    (home / "pdfed.toml").write_text(text.replace("[node]\n", "[node]\nstake = 500\n"))
    before = world.anvil.ask("eth_blockNumber")
    done = cli("node", "run", "--home", home, "--dry-run", "--json")
    assert done.code == 0, done.err
    plan = {"node": world.signers[6].address, "register": True, "deposit": 500 * 10**18}
    assert done.json == plan
    assert "register and deposit 500 " in cli("node", "run", "--home", home, "--dry-run").out
    assert world.anvil.ask("eth_blockNumber") == before


def test_node_run_names_a_dead_endpoint_at_the_start(home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pdfed_sdk.chain.rpc.time.sleep", lambda _seconds: None)
    done = cli("node", "run", "--home", home, "--rpc", "http://127.0.0.1:9")
    assert done.code == 11
    assert "http://127.0.0.1:9" in done.err


def test_swapped_parts_vote(home: Path, world: World):
    from pdfed_sdk.config import load_config
    from pdfed_sdk.node.assemble import build_node

    submission = world.submit(1)
    world.client(6).register(BOTH)
    world.client(6).deposit(STAKE)
    world.to(world.client(0).now() + 3)
    later = world.submit(2)
    node = build_node(home, load_config(home / "pdfed.toml"), PASSWORD)
    node.tick()
    assert later > submission
    assert node.view.refresh()
    assert node.view.entries[later].commits[node.me] > 0
    assert node.voter._records.own_improvement(later) == 6  # type: ignore[arg-type]


def test_a_node_started_again_opens_its_vote_before_it_loads_its_pictures(home: Path, world: World):
    from pdfed_sdk.config import load_config
    from pdfed_sdk.node.assemble import build_node

    world.client(6).register(BOTH)
    world.client(6).deposit(STAKE)
    world.to(world.client(0).now() + 3)
    submission = world.submit(1)
    node = build_node(home, load_config(home / "pdfed.toml"), PASSWORD)
    node.tick()
    world.to(node.view.entries[submission].windows.reveal_start)
    node._held.release()  # type: ignore[attr-defined]
    with Path("own_parts.py").open("a") as parts:
        parts.write("\ndef no_data(*_): raise OSError('the disk is slow')\n")
    sys.modules.pop("own_parts")
    config = load_config(home / "pdfed.toml")
    with pytest.raises(OSError, match="the disk is slow"):
        build_node(home, replace(config, parts=replace(config.parts, dataset="own_parts:no_data")), PASSWORD)
    assert world.client(6).vote(submission).revealed
