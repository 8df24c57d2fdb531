"""The server on a socket: what it shows, to whom, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
import requests
from starlette.datastructures import Headers

from pdfed_sdk.watch.guard import has_token
from pdfed_sdk.watch.serving import make_watcher, served
from tests.support.anvil import ROOT
from tests.support.federation import UNIT, Federation
from tests.support.history import make_history

TOKEN = "a token of the test"


@dataclass
class Page:
    """A running server and what a browser would send it."""

    url: str

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.url + path, headers=headers, timeout=10)

    def json(self, path: str) -> dict[str, object]:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture(scope="module")
def task(deployed: Federation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """The history, made once for all tests that only look."""
    snapshot = deployed.anvil.ask("evm_snapshot")
    yield make_history(replace(deployed, folder=tmp_path_factory.mktemp("task")))
    deployed.anvil.ask("evm_revert", snapshot)


@pytest.fixture(scope="module")
def page(task: Federation) -> Iterator[Page]:
    watcher = make_watcher(task.reader(), None, names={task.signers[1].address: "<b>Eve</b>\u202e"})
    with served(watcher, token=TOKEN, poll=0.02) as found:
        shown = Page(found.url.rstrip("/"))
        while shown.json("/api/federation")["head"]["block"] < task.reader().head():  # type: ignore[index]
            pass
        yield shown


def changes(page: Page, until: int) -> Iterator[dict[str, object]]:
    """Server-sent events up to a block."""
    with requests.get(page.url + "/api/changes", stream=True, timeout=10) as stream:
        for line in stream.iter_lines(chunk_size=1):
            if line.startswith(b"data:"):
                told = json.loads(line[5:])
                yield told
                if told["block"] >= until:
                    return


def test_views_and_changes(page: Page, task: Federation) -> None:
    views = {name: page.json(f"/api/{name}") for name in ("federation", "submission/2", "money", "audit")}
    assert views["audit"]["ok"]
    assert views["federation"]["counts"] == {
        "reserved": 0,
        "open": 0,
        "final": 3,
        "void": 2,
        "voted_down": 0,
        "nodes": 5,
    }
    histogram = views["submission/2"]["histogram"]
    assert sum(histogram["weights"]) > 0  # type: ignore[index]
    assert page.json(f"/api/node/{task.signers[3].address}")["lines"]
    assert page.get("/api/submission/99").status_code == 404
    assert page.get("/api/node/nobody").status_code == 404

    told = changes(page, task.reader().head() + 1)
    assert "block" in next(told), "a page learns at once where the watcher stands"
    task.client(4).deposit(UNIT)
    assert next(told)["block"] == task.reader().head()


def test_strangers_names_are_text(page: Page, task: Federation) -> None:
    names = page.json("/api/federation")["head"]["names"]  # type: ignore[index]
    assert names == {task.signers[1].address: "<b>Eve</b>\ufffd"}


def test_other_hosts_other_origins_and_other_sites_are_refused(page: Page) -> None:
    port = page.url.rsplit(":", 1)[1]
    for headers in (
        {"Host": "pdfed.example"},
        {"Host": f"rebound.example:{port}"},
        {"Host": "127.0.0.1"},
        {"Origin": "https://pdfed.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert page.get("/api/federation", **headers).status_code == 403, headers
    assert page.get("/api/federation", Host=f"localhost:{port}", Origin=page.url).status_code == 200


def test_private_views_need_the_token(page: Page) -> None:
    for headers in ({}, {"Authorization": "Bearer guessed"}, {"Authorization": f"Basic {TOKEN}"}):
        assert page.get("/api/mine", **headers).status_code == 401
    assert page.get("/api/mine", Authorization=f"Bearer {TOKEN}").status_code == 404, "there is no home"


def test_an_empty_token_opens_nothing() -> None:
    assert not has_token(Headers({"authorization": "Bearer "}), "")
    assert has_token(Headers({"authorization": "Bearer x"}), "x")


def test_numbers_too_large_for_anything_are_not_found(page: Page) -> None:
    for number in ("4294967296", "9" * 30, "9" * 300):
        assert page.get(f"/api/submission/{number}").status_code == 404
        assert page.get(f"/api/picture/{number}").status_code == 404


def test_many_who_want_the_audit_leave_room_for_the_other_views(page: Page) -> None:
    """Sixty ask for it at once: it is one audit, and the page of somebody else is answered meanwhile."""
    with ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(requests.get, page.url + "/api/audit", timeout=60) for _ in range(60)]
        assert page.get("/api/federation").status_code == 200
        assert {one.result().status_code for one in asked} == {200}


def test_the_page_may_run_nothing_but_its_own_script(page: Page) -> None:
    answer = page.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "<script>" not in answer.text, "no inline script"
    for name in ("/app.js", "/app.css"):
        assert page.get(name).status_code == 200


def test_metrics_have_the_documented_names(page: Page) -> None:
    text = page.get("/metrics").text
    for name in (
        "pdfed_head_block",
        "pdfed_head_time_seconds",
        "pdfed_nodes",
        "pdfed_best_level_grains",
        "pdfed_held_tokens",
        "pdfed_commons_tokens",
        "pdfed_faults",
        'pdfed_submissions{status="final"} 4.0',
        "pdfed_watch_step_seconds_bucket",
        "pdfed_watch_reorganisations_total",
        "pdfed_watch_errors_total",
        "pdfed_watch_pages",
        "pdfed_watch_notices_total",
        "pdfed_watch_undelivered",
    ):
        assert name in text
        documented = (ROOT / "docs" / "watch.md").read_text(encoding="utf-8")
        assert name.split("{")[0].removesuffix("_bucket") in documented, name
