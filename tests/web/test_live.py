"""A page that is open when something happens on the chain shows it without being asked."""

from __future__ import annotations

import time
from threading import Thread

import requests

from pdfed_sdk.watch.serving import make_watcher, served
from tests.support.browser import look
from tests.support.federation import Federation


def test_an_open_page_follows_the_chain(federation: Federation) -> None:
    watcher = make_watcher(federation.reader(), None)
    watcher.follower.catch_up()

    def happen(url: str, before: int) -> None:
        """Only when the browser's page is connected: what it shows afterwards it was told."""
        deadline = time.monotonic() + 120
        while "pdfed_watch_pages 1.0" not in requests.get(url + "metrics", timeout=10).text:
            assert time.monotonic() < deadline, "no page ever connected"
            time.sleep(0.05)
        assert federation.reader().count() == before
        made = federation.open_submission(federation.client(1), 1)
        federation.client(2).commit_score(made, 4, b"\x02" * 32)
        happened.append(made)

    happened: list[int] = []
    with served(watcher, token="", poll=0.05) as page:
        later = Thread(target=happen, args=(page.url, 1))
        later.start()
        seen = {"name": "open page", "url": page.url, "wait": "footer", "axe": False, "pause": 1_000}
        (found,) = look(seen | {"then": ".cards li"})
        later.join()
    assert happened == [1]
    assert "votes are sealed for another" in found["text"]
    assert "of 1 opened" in found["text"] or "of 0 opened" in found["text"]
