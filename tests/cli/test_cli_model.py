"""``pdfed model``: package, verify, submit, list, lineage, fetch; on good and on bad packages."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from pdfed_sdk.artifacts.provenance import lineage
from pdfed_sdk.chain.deploy import create_task, read_genesis
from pdfed_sdk.chain.parameters import task_params
from pdfed_sdk.node.model_cache import ModelCache
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.types import GENESIS
from tests.support.cli_runner import PASSWORD, Cli, keystore_of, runner
from tests.support.federation import FAST
from tests.support.node_world import STAKE, World, copy_of, damage
from tests.support.pipelines import folder_of, parts

VERDICT = {"path", "ok", "problem"}
GOOD = VERDICT | {
    *("cid", "size", "parameters", "package_digest", "weights_digest", "manifest_digest", "title", "wallet"),
    *("signer", "trusted", "generations", "training", "parents"),
}


@pytest.fixture
def cli(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    run = runner(monkeypatch, capsys)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PDFED_RPC", world.anvil.url)
    monkeypatch.setenv("PDFED_TASK", world.entry.registry)
    monkeypatch.setenv("PDFED_PASSWORD", PASSWORD)
    monkeypatch.setenv("PDFED_STORE", str(world.folder / "store"))
    return run


def test_package_verify_submit_fetch_list_lineage(world: World, cli: Cli, tmp_path: Path):
    keystore, package = keystore_of(world, 1, tmp_path), tmp_path / "mine.zip"
    genesis = tmp_path / "genesis.zip"
    done = cli("model", "fetch", 0, "--out", genesis, "--json")
    assert (done.code, set(done.json)) == (0, {"package", "cid"}), done.err
    facts = tmp_path / "facts.json"
    facts.write_text('{"steps": 7}')
    folder = folder_of(tmp_path / "folder", parts())
    parent = f"0:10000:{genesis}"
    made = cli(
        *("model", "package", folder, "--out", package, "--keystore", keystore, "--facts", facts),
        *("--parent", parent, "--title", "first", "--json"),
    )
    assert made.code == 0, made.err
    assert set(made.json) == {"package", "cid", "size", "digests"}
    verdict = cli("model", "verify", package, "--json")
    assert (verdict.code, set(verdict.json)) == (0, GOOD)
    assert verdict.json["training"]["steps"] == 7
    text = cli("model", "verify", package).out
    assert "good" in text
    assert "parent #0" in text
    submit = ("model", "submit", package, "--keystore", keystore, "--parent", "0:10000")
    dry = cli(*submit, "--dry-run", "--json").json
    assert dry == {"sent": False, "id": None, "cid": made.json["cid"], "gas_used": dry["gas_used"]}
    other = keystore_of(world, 2, tmp_path)
    theirs = cli("model", "submit", package, "--keystore", other, "--parent", "0:10000", "--dry-run")
    assert theirs.code == 34, "signed by node 1: every voter would refuse it"
    assert "would reserve" not in theirs.out
    sent = cli(*submit, "--json")
    assert sent.code == 0, sent.err
    assert (sent.json["sent"], sent.json["id"], sent.json["cid"]) == (True, 1, made.json["cid"])
    assert cli(*submit, "--json").json["id"] == 1, "given again, it is the same submission"
    rows = cli("model", "list", "--json").json
    keys = {"id", "author", "status", "parents", "reference", "outcome", "level", "gain", "votes", "best"}
    assert [set(row) for row in rows] == [keys, keys]
    assert rows[1]["parents"] == [[0, 10_000]]
    table = cli("model", "list").out
    assert world.signers[1].address in table
    assert "#0 best" in table
    tree = cli("model", "lineage", package, "--json").json
    assert (tree["title"], [p["title"] for p in tree["parents"]]) == ("first", ["genesis"])
    assert "first by" in cli("model", "lineage", package).out
    assert cli("model", "fetch", 1, "--out", tmp_path / "again.zip").code == 0
    assert (tmp_path / "again.zip").read_bytes() == package.read_bytes()


def test_the_best_model_of_a_task_begins_another(world: World, cli: Cli, tmp_path: Path):
    """Signed by the sponsor with the author's package as ingredient; nodes of the new task train from it."""
    old = world.submit(1)
    moved = tmp_path / "moved"
    common = ("model", "init", "--out", moved, "--keystore", keystore_of(world, 0, tmp_path))
    assert cli(*common, "--from", "bets").code == 2
    done = cli(*common, "--from", old, "--json")
    assert done.code == 0, done.err
    facts = cli("model", "verify", moved / "package.zip", "--json").json
    assert facts["wallet"] == world.signers[0].address
    assert facts["training"] == {
        "carried_over_from": {"chain_id": world.client(0).chain_id, "task": world.entry.registry, "id": old}
    }
    digests = read_genesis(moved / "genesis.json")
    assert digests.weights_digest == world.client(0).record(old).digests.weights_digest
    card = hashlib.sha256((moved / "card.json").read_bytes()).digest()
    token, sponsor = world.manifest.token, world.signers[0]
    params = task_params(str(token), sponsor.address, card_digest=card)
    options = {"nonce": b"\1" * 32, "folder": tmp_path, "options": FAST}
    entry = create_task(world.anvil.url, sponsor, params, digests, world.manifest, **options)
    (tmp_path / "new").mkdir()
    new = copy_of(replace(world, entry=entry), tmp_path / "new")
    world.client(0).mint(world.signers[1].address, STAKE)
    child = new.submit(1)
    view = TaskView(new.client(2))
    view.refresh()
    models = ModelCache(tmp_path / "models", new.store, view, view.params.sponsor)
    assert models.get(GENESIS).folder.is_dir()
    tree = lineage(models.get(child).package)
    titles = []
    while tree.parents:
        (tree,) = tree.parents
        titles.append(tree.facts.title)
    assert titles == ["genesis", f"model 1 of {world.signers[1].address}", "genesis"]


def test_a_package_is_not_submitted_with_other_parents_than_it_was_made_from(world: World, cli: Cli, tmp_path: Path):
    submission = world.submit(1)
    package = tmp_path / "theirs.zip"
    cli("model", "fetch", submission, "--out", package)
    done = cli(
        *("model", "submit", package, "--keystore", keystore_of(world, 1, tmp_path)),
        *("--parent", f"{submission}:10000", "--dry-run"),
    )
    assert done.code == 34, done.err
    missing = cli("model", "submit", package, "--keystore", keystore_of(world, 1, tmp_path), "--parent", "77:10000")
    assert missing.code in (10, 20)
    assert "77" in missing.err


def test_verify_on_bad_packages(cli: Cli, world: World, tmp_path: Path):
    garbage = tmp_path / "garbage.zip"
    garbage.write_bytes(b"not a zip")
    done = cli("model", "verify", garbage, "--json")
    assert done.code == 33
    assert set(done.json) == VERDICT
    assert done.json["ok"] is False
    assert set(done.json["problem"]) == {"error", "message", "next"}
    genesis = tmp_path / "genesis.zip"
    cli("model", "fetch", 0, "--out", genesis)
    data = bytearray(genesis.read_bytes())
    data[len(data) // 2] ^= 1
    genesis.write_bytes(bytes(data))
    done = cli("model", "verify", genesis)
    assert done.code in (32, 33, 34)
    assert "BAD" in done.out
    assert "next:" in done.err
    assert cli("model", "verify", tmp_path / "nothing.zip").code == 2


def test_fetch_refuses_what_the_chain_does_not_name(cli: Cli, world: World, tmp_path: Path):
    submission = world.submit(1)
    damage(world, submission)
    done = cli("model", "fetch", submission, "--out", tmp_path / "bad.zip")
    assert done.code in (32, 33, 34)
    assert cli("model", "fetch", 9, "--out", tmp_path / "none.zip").code == 2


@pytest.mark.parametrize("parent", ["0", "a:b", "0:9999", "-1:10000", "0:10000:x"])
def test_impossible_parents(cli: Cli, world: World, tmp_path: Path, parent: str):
    package = tmp_path / "p.zip"
    package.write_bytes(b"")
    done = cli("model", "submit", package, "--keystore", tmp_path / "k.json", f"--parent={parent}")
    assert done.code == 2, done.err
    assert "parent" in done.err


def test_facts_that_are_no_json(cli: Cli, world: World, tmp_path: Path):
    (tmp_path / "facts.json").write_text("{")
    keystore = keystore_of(world, 1, tmp_path)
    done = cli("model", "package", tmp_path, "--out", tmp_path / "p.zip", "--keystore", keystore, "--facts",
               tmp_path / "facts.json")  # fmt: skip
    assert done.code == 2
    assert "cannot read the facts" in done.err


def test_sampling_checks_the_model_first_and_names_what_is_wrong(cli: Cli, world: World, tmp_path: Path):
    """The model of this world is a stand-in that does not load: the refusal comes after the check against the chain."""
    done = cli("model", "sample", "best", "--out", tmp_path / "pictures")
    assert "verified against the chain" in done.err
    assert done.code == 40
    assert not (tmp_path / "pictures").exists()
    assert 'no model "bset"' in cli("model", "sample", "bset", "--out", tmp_path / "pictures").err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "is not empty" in cli("model", "sample", "0", "--out", tmp_path / "full").err


def test_a_backup_brings_a_home_back_and_overwrites_nothing(cli: Cli, world: World, tmp_path: Path):
    home, backup, again = tmp_path / "home", tmp_path / "home.backup", tmp_path / "again"
    home.mkdir()
    keystore_of(world, 1, tmp_path).rename(home / "keystore.json")
    (home / "pdfed.toml").write_text("[node]\n")
    assert cli("keys", "backup", home, "--out", backup, "--json").json["files"] == ["keystore.json", "pdfed.toml"]
    assert backup.stat().st_mode & 0o077 == 0
    assert cli("keys", "backup", home, "--out", backup).code == 2
    assert cli("keys", "restore", backup, "--home", again).code == 0
    assert (again / "keystore.json").read_bytes() == (home / "keystore.json").read_bytes()
    assert cli("keys", "restore", backup, "--home", again).code == 2
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    refused = cli("keys", "restore", backup, "--home", tmp_path / "third", "--password-file", wrong)
    assert refused.code == 14
    assert "home.backup: the password is wrong" in refused.err.replace("\n", "")
    assert not (tmp_path / "third").exists()
    backup.write_bytes(backup.read_bytes()[:-30])
    assert cli("keys", "restore", backup, "--home", tmp_path / "third").code == 14
    assert cli("keys", "backup", tmp_path / "nowhere", "--out", tmp_path / "x").code == 2
