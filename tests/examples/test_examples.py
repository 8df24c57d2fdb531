"""The examples do what they say, against a real chain: two foreign voters without the SDK, and a foreign trainer."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from PIL import Image

from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.provenance import lineage, verify_package
from pdfed_sdk.artifacts.store import LocalStore
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.deploy import create_task
from pdfed_sdk.chain.parameters import task_params
from pdfed_sdk.family import load_model
from pdfed_sdk.ml.diffusion.model import ModelConfig
from pdfed_sdk.ml.scoring import ScoringSettings
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.node.genesis import genesis_of
from pdfed_sdk.node.model_cache import ModelCache
from pdfed_sdk.node.task_card import TaskCard
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.types import Role, Status, SubmissionId
from tests.support.anvil import ROOT
from tests.support.cli_runner import runner
from tests.support.federation import FAST, KEYS, UNIT, Federation

EXAMPLES = ROOT / "examples"
PASSWORD = "correct horse battery staple"
FOREIGN = 6
"""Index of a key that is no node yet."""


def main_of(script: Path) -> Callable[[list[str]], int]:
    spec = importlib.util.spec_from_file_location(script.parent.name, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


class Stranger:
    """Somebody who types the verbs of one of the examples; returns what it prints."""

    def __init__(self, language: str, federation: Federation, capsys: pytest.CaptureFixture[str]) -> None:
        self.language, self.capsys, self.folder = language, capsys, federation.folder
        self.env = {"PDFED_RPC": federation.anvil.url, "PDFED_TASK": federation.entry.registry}
        self.env |= {"PDFED_FOLDER": str(self.folder), "PDFED_PASSWORD": PASSWORD}
        keystore = self.folder / "stranger.json"  # few iterations: the test does not test the lock
        made = Account.encrypt(KEYS[FOREIGN], PASSWORD, kdf="pbkdf2", iterations=1000)
        keystore.write_text(json.dumps(made))
        self.env["PDFED_KEYSTORE"] = str(keystore)

    def __call__(self, *words: str) -> str:
        if self.language == "javascript":
            command = ["node", str(EXAMPLES / "ethers" / "vote.mjs"), *words]
            done = subprocess.run(
                command, env=os.environ | self.env, capture_output=True, text=True, timeout=60, check=False
            )
            if done.returncode:
                raise SystemExit(done.stderr)
            return done.stdout
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.env.items():
                patch.setenv(name, value)
            main_of(EXAMPLES / "raw_web3" / "vote.py")([*words, "--folder", str(self.folder)])
        return self.capsys.readouterr().out


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_a_voter_without_the_sdk_joins_votes_and_is_counted(
    language: str, federation: Federation, capsys: pytest.CaptureFixture[str]
):
    stranger, me = Stranger(language, federation, capsys), federation.signers[FOREIGN].address
    sponsor = federation.client(0)
    sponsor.mint(me, 400 * UNIT)
    stranger("join", "400")
    assert sponsor.account(me).roles == Role.VALIDATOR
    assert sponsor.account(me).stake == 400 * UNIT
    federation.to(sponsor.now() + sponsor.params().warm_up + 1)
    number = federation.open_submission(federation.client(1), 7)
    (seen,) = json.loads(stranger("list"))
    assert (seen["id"], seen["open"], seen["author"]) == (number, True, federation.signers[1].address)
    assert seen["commit_before"] == sponsor.windows(number).commit_end

    stranger("commit", str(number), "-3")
    assert sponsor.vote(number, me).weight == sponsor.weight(me) > 0
    with pytest.raises(SystemExit, match="BookAlreadyCommitted"):
        stranger("commit", str(number), "-3")
    with pytest.raises(SystemExit, match="BookNotRevealTime"):
        stranger("reveal", str(number))
    federation.to_reveal(number)
    stranger("reveal", str(number))
    vote = sponsor.vote(number, me)
    assert (vote.revealed, vote.improvement) == (True, -3)
    assert (federation.folder / f"vote-{number}.json").stat().st_mode & 0o077 == 0


@pytest.fixture
def real_task(federation: Federation) -> PdfedClient:
    """A task whose genesis is a diffusion model of digits, the smallest there is."""
    sponsor, folder = federation.signers[0], federation.folder
    digits = load_pictures("mnist", size=8)
    few = digits.take(range(0, 5_000, 50))
    made = genesis_of(
        folder / "genesis",
        few,
        model=ModelConfig(size=8, widths=(8,)),
        pictures=1,
        identity=SigningIdentity.create("test"),
        wallet=sponsor.address,
    )
    store = LocalStore(folder / "store")
    store.put(made.package.path)
    card = TaskCard(ScoringSettings(size=8, channels=1), classes=made.classes).write(folder / "card.json")
    assert federation.manifest.token is not None
    params = task_params(federation.manifest.token, sponsor.address, card_digest=store.put(card).digest)
    entry = create_task(
        federation.anvil.url, sponsor, params, made.package.digests, federation.manifest, folder=folder, options=FAST
    )
    for number, (picture, label) in enumerate(zip(few.images, few.labels.tolist(), strict=True)):
        place = folder / "pictures" / made.classes[label] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[0].numpy()).save(place)
    client = PdfedClient.connect(federation.anvil.url, task=entry.registry, signer=sponsor, options=FAST)
    client.mint(federation.signers[FOREIGN].address, 1_000 * UNIT)
    return client


def test_a_trainer_with_a_loop_of_its_own_submits_a_model_that_verifies(
    real_task: PdfedClient, federation: Federation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = federation.folder
    keystore = folder / "trainer.json"
    keystore.write_text(json.dumps(Account.encrypt(KEYS[FOREIGN], PASSWORD, kdf="pbkdf2", iterations=1000)))
    monkeypatch.setenv("PDFED_PASSWORD", PASSWORD)
    words: dict[str, Any] = {
        "--rpc": federation.anvil.url,
        "--task": real_task.task.registry,
        "--keystore": keystore,
        "--store": f"local:{folder / 'store'}",
        "--data": folder / "pictures",
        "--out": folder / "own",
        "--steps": 3,
    }
    train = main_of(EXAMPLES / "own_loop" / "client.py")
    assert train([str(part) for pair in words.items() for part in pair]) == 0
    assert "submission #1" in capsys.readouterr().out
    assert train([str(part) for pair in words.items() for part in pair]) == 0, "again, it changes nothing"
    assert real_task.count() == 2
    assert real_task.submission(1).terms.status == Status.OPEN

    view = TaskView(real_task)
    view.refresh()
    store = LocalStore(folder / "store")
    models = ModelCache(folder / "voter", store, view, view.params.sponsor)
    checked = models.get(SubmissionId(1))
    genesis = models.get(SubmissionId(0))
    assert load_model(checked.folder).weights_digest() != load_model(genesis.folder).weights_digest()
    assert [parent.facts.title for parent in lineage(checked.package).parents] == ["genesis"]
    assert verify_package(checked.package).facts.wallet == federation.signers[FOREIGN].address

    cli = runner(monkeypatch, capsys)  # and anyone samples from it
    where = ("--rpc", words["--rpc"], "--task", words["--task"], "--store", words["--store"], "--count", 3)
    done = cli("model", "sample", "1", "--out", folder / "samples", "--steps", 2, *where, "--json")
    assert (done.code, done.json["model"]) == (0, 1), done.err
    assert [Image.open(file).size for file in done.json["files"]] == [(8, 8)] * 3
