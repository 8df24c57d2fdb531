"""One short federation of real processes: the demo itself, only smaller (small_demo.py)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.anvil import ROOT
from tests.support.browser import Seen, look

SUMMARY = {
    *("schema", "seconds", "task", "best", "nodes", "submissions", "copies", "evaluations", "evaluations_with_pairs"),
    *("payouts", "gas", "killed", "audit", "versions", "store"),
}
NODE = {
    *("address", "name", "role", "tells", "earned", "earned_for", "lost", "lost_for", "net", "claimed"),
    *("credit", "stake", "gas"),
}
SUBMISSION = {
    *("id", "author", "name", "parents", "reference", "status", "level", "improvement", "gain", "votes", "sealed"),
    *("objective_parts", "by_node", "reward"),
}
PAYOUTS = {
    "voters",
    "charged",
    "forfeited",
    "fees",
    "returned",
    "authors",
    "lineage",
    "claimed",
    "lineage_to_commons",
    "claims",
}


VIEWS = {
    "#/federation": "Where the models come from",
    "#/submission/0": "The sponsor’s model that everything started from",
    "#/money": "Where it came from and where it went",
    "#/audit": "checks hold",
}
"""Views of the live page, and words that only each has."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """The demo while it plays."""
    folder = tmp_path_factory.mktemp("federation") / "run"
    command = [sys.executable, "-m", "tests.support.small_demo", str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as process:
        yield folder, process
        process.kill()


@pytest.fixture(scope="module")
def lived(demo: tuple[Path, subprocess.Popen[str]]) -> list[Seen]:
    """Every view of the page, looked at while the nodes register, train and vote."""
    folder, process = demo
    address, until = folder / "page.txt", time.monotonic() + 200
    while not address.exists():
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < until, "the demo never said where its page is"
        time.sleep(0.2)
    url = address.read_text()
    return look(*({"name": view, "url": url + view, "wait": "footer", "axe": False} for view in VIEWS))


@pytest.fixture(scope="module")
def played(demo: tuple[Path, subprocess.Popen[str]]) -> tuple[Path, dict[str, Any]]:
    """How it ended."""
    folder, process = demo
    printed, told = process.communicate(timeout=400)
    assert process.returncode == 0, told[-3000:]
    summary = json.loads(printed)
    assert summary == json.loads((folder / "summary.json").read_text()), "--json prints what is kept"
    return folder, summary


def test_every_view_is_there_while_the_demo_plays(lived: list[Seen]):
    for found, words in zip(lived, VIEWS.values(), strict=True):
        assert words in found["text"], found["name"]
        assert found["errors"] == [], found["name"]
        assert found["foreign"] == [], found["name"]


def test_the_summary_has_its_documented_schema(played: tuple[Path, dict[str, Any]]):
    folder, summary = played
    assert set(summary) == SUMMARY
    assert all(set(node) == NODE for node in summary["nodes"])
    assert all(set(submission) == SUBMISSION for submission in summary["submissions"])
    assert set(summary["payouts"]) == PAYOUTS
    assert set(summary["gas"]) == {"by_act", "total"}
    assert set(summary["audit"]) == {"ok", "checks"}
    assert {"id", "level", "fid", "genesis_fid", "fid_ratio"} == set(summary["best"])
    documented = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    for name in (*SUMMARY, *NODE, *SUBMISSION, *PAYOUTS):
        assert f"`{name}`" in documented, f"docs/demo.md explains {name}"
    for name in ("samples.png", "pairs.png", "progress.png", "lineage.png"):
        assert (folder / name).stat().st_size > 1000


def test_a_model_is_final_with_the_votes_of_three_nodes(played: tuple[Path, dict[str, Any]]):
    _, summary = played
    final = [s for s in summary["submissions"] if s["status"] == "final"]
    assert final
    assert all(len(s["votes"]) >= 3 for s in final)
    assert all(s["name"] not in s["votes"] for s in final)
    assert summary["best"]["id"] in {0, *(s["id"] for s in final)}
    assert len({node["address"] for node in summary["nodes"]}) == 5


def test_the_books_balance_to_the_last_unit(played: tuple[Path, dict[str, Any]]):
    _, summary = played
    assert summary["audit"]["ok"]
    assert all(check["ok"] for check in summary["audit"]["checks"])
    nodes, payouts = summary["nodes"], summary["payouts"]
    assert sum(node["earned"] for node in nodes) == sum(
        payouts[why] for why in ("voters", "authors", "lineage", "returned")
    )
    assert sum(node["claimed"] for node in nodes) == payouts["claimed"] == sum(payouts["claims"].values())
    for node in nodes:
        assert node["earned"] == sum(node["earned_for"].values())
        assert node["net"] == node["earned"] - node["lost"] == node["earned"] - sum(node["lost_for"].values())
        assert node["credit"] == node["earned"] - node["claimed"]


def test_no_process_is_left(played: tuple[Path, dict[str, Any]]):
    folder, _ = played
    port = re.search(r'rpc = "http://127\.0\.0\.1:(\d+)"', (folder / "nodes" / "museum" / "pdfed.toml").read_text())
    assert port
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        assert not any(str(folder).encode() in word for word in line), line
        assert not (b"--port" in line and port[1].encode() in line), line


def test_no_secret_is_in_any_log(played: tuple[Path, dict[str, Any]]):
    """Passwords and keys stand in the files made for them, readable by their owner alone, and nowhere else."""
    from eth_account import Account

    folder, summary = played
    secrets: set[bytes] = set()
    for home in [folder / "sponsor", *(folder / "nodes").iterdir()]:
        password = (home / "password").read_text()
        key = bytes(Account.decrypt((home / "keystore.json").read_text(), password)).hex()
        secrets |= {password.encode(), key.encode()}
        assert (home / "password").stat().st_mode & 0o077 == 0
        assert (home / "keystore.json").stat().st_mode & 0o077 == 0
    assert len(secrets) >= 7
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "password":
            data = path.read_bytes()
            assert not any(secret in data for secret in secrets), path
    assert not any(secret.decode() in json.dumps(summary) for secret in secrets)
    logs = list((folder / "logs").glob("*.log"))
    assert {"anvil.log", "deploy.log", "create_task.log", "museum.log"} <= {log.name for log in logs}
    assert not any("Traceback" in log.read_text(errors="replace") for log in logs)
