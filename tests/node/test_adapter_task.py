"""A task of adapters, made and joined by `pdfed`; pictures withdrawn from it. A real chain, random weights as base."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from pdfed_sdk.artifacts.package import open_package
from pdfed_sdk.chain.event_types import MetadataChanged
from pdfed_sdk.config import load_config
from pdfed_sdk.errors import ConfigError
from pdfed_sdk.family import load_model
from pdfed_sdk.ml.scoring import ScoringSettings
from pdfed_sdk.node.assemble import build_node
from pdfed_sdk.node.genesis_check import check_genesis
from pdfed_sdk.node.task_card import TaskCard
from pdfed_sdk.node.withdrawal import Withdrawal
from pdfed_sdk.types import ModelDigests
from tests.support.anvil import start_anvil
from tests.support.cli_runner import PASSWORD, Cli, runner
from tests.support.tiny_base import KINDS, TEXTS, captioned_folder, tiny_base

ATTEMPT = """
[strategy]
budget = 16
least_own = -8
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with bases and pictures, and a chain."""
    root = tmp_path_factory.mktemp("task")
    anvil = start_anvil()
    tiny_base(root / "base")
    tiny_base(root / "other", seed=1)
    captioned_folder(root / "public", 48, 1)
    captioned_folder(root / "studio", 42, 2)
    yield root, anvil
    anvil.process.terminate()
    anvil.process.wait(10)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Any) -> Cli:
    found = runner(monkeypatch, capsys)
    monkeypatch.setenv("PDFED_PASSWORD", PASSWORD)
    short = partial(ScoringSettings, copy_samples=16, sampler_steps=2, resamples=0)
    monkeypatch.setattr("pdfed_sdk.node.founding.ScoringSettings", short)
    monkeypatch.chdir(place[0])
    return found


def found_task(cli: Cli, root: Path, anvil: Any) -> Path:
    if not (root / "task" / "task.pdfed").exists():
        assert cli("keys", "new", root / "sponsor.json").code == 0
        anvil.endow("0x" + json.loads((root / "sponsor.json").read_text())["address"].removeprefix("0x"))
        done = cli(
            *("task", "init", "--data", "public", "--keystore", "sponsor.json", "--out", "task", "--rpc", anvil.url),
            *("--store", "local:store", "--size", 32, "--pictures", 32, "--samples", 16, "--extractor", "pixels"),
            *("--base", "base", "--rank", 2, "--fund", 1000, "--yes", "--json"),
        )
        assert done.code == 0, done.err
        assert done.json["classes"] == list(KINDS)
    return root / "task" / "task.pdfed"


def home_of(cli: Cli, root: Path, anvil: Any) -> Path:
    join = found_task(cli, root, anvil)
    home = root / "node"
    if not home.exists():
        told = ("node", "join", join, "--data", "studio", "--home", "node", "--role", "both", "--json")
        for base, words in ((None, "adapters need the base"), ("other", "the task's card says"), ("no", "be read")):
            refused = cli(*told, *(("--base", base) if base else ()))
            assert refused.code == 2, refused.err
            assert words in refused.err.replace("\n", " ")
            assert not home.exists()
        done = cli(*told, "--base", "base")
        assert done.code == 0, done.err
        assert any("1 of 42 pictures repeat another" in text for text in done.json["cautions"])
        assert any("42 of 42 pictures share their caption" in text for text in done.json["cautions"])
        assert cli("node", "faucet", "--home", "node").code == 0
        opened_quickly(home / "keystore.json")
        with (home / "pdfed.toml").open("a") as file:
            file.write(ATTEMPT)
    return home


def opened_quickly(keystore: Path) -> None:
    """The same key under few rounds, as commands open it often here."""
    key = Account.decrypt(json.loads(keystore.read_text()), PASSWORD)
    keystore.write_text(json.dumps(Account.encrypt(key, PASSWORD, kdf="pbkdf2", iterations=2)))


def published(node: Any, anvil: Any) -> Any:
    """The node's next attempt, on chain."""
    node.join()
    anvil.warp(node.client.now() + 3_600)
    known = len(node.author.records.attempts())
    for _ in range(20):
        node.view.refresh()
        node.author.work()
        attempts = node.author.records.attempts()
        if len(attempts) > known and attempts[-1].stage != "training":
            break
    assert attempts[-1].stage == "published"
    return attempts[-1]


def test_the_genesis_is_an_adapter_and_the_card_freezes_its_setup(cli: Cli, place: Any):
    """Prompts are captions of the public pictures, the classes in turn."""
    root, anvil = place
    found_task(cli, root, anvil)
    card = TaskCard.read(root / "task" / "card.json")
    assert (card.family, card.classes, card.adapter.classes, card.adapter.rank) == ("latent-lora", KINDS, 2, 2)
    assert sorted(card.adapter.prompts[::2]) == sorted(TEXTS[::2])
    assert sorted(card.adapter.prompts[1::2]) == sorted(TEXTS[1::2])
    open_package(root / "task" / "package.zip", root / "unpacked")
    assert load_model(root / "unpacked").setup == card.adapter


def test_a_card_of_another_setup_is_not_that_of_the_genesis(cli: Cli, place: Any, monkeypatch: pytest.MonkeyPatch):
    root, anvil = place
    found_task(cli, root, anvil)
    card, package = TaskCard.read(root / "task" / "card.json"), root / "task" / "package.zip"
    monkeypatch.setattr("pdfed_sdk.node.genesis_check.verify_package", lambda *_: None)
    nobody: Any = (ModelDigests(b"", b"", b"", 0), "0x")
    check_genesis(package, *nobody, card)
    other = replace(card, adapter=replace(card.adapter, guidance=9.0))
    with pytest.raises(ConfigError, match="another setup than the adapter of the card"):
        check_genesis(package, *nobody, other)


def test_a_node_trains_an_adapter_withdraws_pictures_and_trains_on_without_them(cli: Cli, place: Any):
    """Attempt, measurement by the card's prompts and the node's own captions, gate, package, submission; then the same
    with pictures withdrawn: the chain, the trainer and the manifests of both models know of it."""
    root, anvil = place
    home = home_of(cli, root, anvil)
    config = load_config(home / "pdfed.toml")
    assert (config.node.base, config.training.label_dropout) == (str(root / "base"), 0.1)
    node = build_node(home, config, PASSWORD)
    first = published(node, anvil)
    assert (first.facts["excluded"], first.facts.get("withdrawn")) == (0, None)
    reports = json.loads(node.author.records.evaluation(1).report)
    assert set(reports) == {"reference", "candidate", "own captions"}
    busy = cli("node", "withdraw", "studio", "--home", "node")
    assert (busy.code, "works in node already" in busy.err) == (2, True)
    node.holds(None)

    gone = root / "gone"
    gone.mkdir()
    for number in range(10):
        shutil.copy(root / "studio" / f"{number}.png", gone)
    stray = captioned_folder(root / "stray", 2, 3) / "0.png"
    refused = cli("node", "withdraw", stray, "--home", "node")
    assert (refused.code, "shows none of this node's pictures" in refused.err) == (2, True)
    assert cli("node", "withdraw", gone, "--home", "node", "--dry-run").code == 0
    assert not (home / "withdrawn.json").exists()
    done = cli("node", "withdraw", gone, "--home", "node", "--json")
    assert done.code == 0, done.err
    told = done.json
    assert told["withdrawn"] == 11, "a picture that repeats a withdrawn one goes with it"
    assert 0 < told["training"] <= 11
    announced = [e for e in node.client.events.replay(from_block=0) if isinstance(e, MetadataChanged)]
    assert [(e.node, e.metadata_digest.hex()) for e in announced] == [(node.me, told["digest"])]
    assert Withdrawal.read(home / "withdrawn.json").digest().hex() == told["digest"]

    node = build_node(home, config, PASSWORD)
    records = node.author.records
    stale = records.keep_attempt(replace(records.open_attempt(first.parents, 16, 1), stage="trained", facts={}))
    node.author.work()
    assert records.attempts()[-1] == replace(stale, stage="abandoned"), "trained before, and not published now"
    second = published(node, anvil)
    assert (second.facts["excluded"], second.facts["withdrawn"]) == (told["training"], told["digest"])
    asked = ("--trained-on", told["data_root"])
    seen = [cli("model", "lineage", one.package, *asked, "--json").json for one in (first, second)]
    assert [p.id for p in second.parents] == [1]
    assert [{name: len(found) for name, found in one["trained_on"].items()} for one in seen] == [
        {"direct": 1, "descended": 0, "spared": 0},
        {"direct": 1, "descended": 1, "spared": 0},
    ]
    assert "descends from a model that was" in cli("model", "lineage", second.package, *asked).out
    assert cli("model", "lineage", second.package, "--trained-on", "mine").code == 2
