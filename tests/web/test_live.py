"""A page that is open when something happens on the chain shows it without being asked."""

from __future__ import annotations

from threading import Timer

from pdfed_sdk.watch.serving import make_watcher, served
from tests.support.browser import look
from tests.support.federation import Federation


def test_an_open_page_follows_the_chain(federation: Federation) -> None:
    watcher = make_watcher(federation.reader(), None)
    watcher.follower.catch_up()

    def happen() -> None:
        made = federation.open_submission(federation.client(1), 1)
        federation.client(2).commit_score(made, 4, b"\x02" * 32)

    with served(watcher, token="", poll=0.05) as page:
        (before,) = look({"name": "before", "url": page.url, "wait": "footer", "axe": False})
        assert "No model has been submitted yet" in before["text"]
        later = Timer(6.0, happen)
        later.start()
        seen = {"name": "open page", "url": page.url, "wait": "footer", "axe": False, "pause": 1_000}
        (found,) = look(seen | {"then": ".cards li"})
        later.join()
    assert found["waited"] > 0.5, "the page was there before the submission"
    assert "votes are sealed for another" in found["text"]
    assert "of 1 opened" in found["text"] or "of 0 opened" in found["text"]
