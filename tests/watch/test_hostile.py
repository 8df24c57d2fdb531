"""What strangers wrote (names, titles, cards, manifests) stays text: on the page, and inside a report's script."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.watch import build
from pdfed_sdk.artifacts.cid import RAW, Cid
from pdfed_sdk.artifacts.store import LocalStore
from pdfed_sdk.chain.event_types import Reserved
from pdfed_sdk.errors import AuditFailed
from pdfed_sdk.watch.pictures import Gallery, in_words, named
from pdfed_sdk.watch.report import inline
from pdfed_sdk.watch.serving import make_watcher, title_of
from pdfed_sdk.watch.text import LONGEST, clean
from tests.support.federation import Federation
from tests.support.fuzzing import good_history

NASTY = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "\u202egnp.exe\u2066",
    "a\0b\x1b[31m\n\n",
    "&lt;b&gt;",
    "\ud800",
    "z" + "\u0301" * 400,
    "{{constructor.constructor('alert(1)')()}}",
)
CID = Cid(RAW, bytes(32))
anything = st.text(st.characters()) | st.sampled_from(NASTY)


@settings(deadline=None)
@given(anything, st.integers(1, 300))
def test_text_has_one_line_no_controls_and_an_end(text: str, limit: int) -> None:
    shown = clean(text, limit)
    assert len(shown) <= limit
    assert not any(unicodedata.category(sign) in ("Cc", "Cf", "Cs") for sign in shown)
    assert "\n" not in shown
    shown.encode()


def test_what_is_harmless_is_left_alone() -> None:
    assert clean("Ziffern – 數字 – αριθμοί, 16 × 16") == "Ziffern – 數字 – αριθμοί, 16 × 16"
    assert clean("x" * 500) == "x" * (LONGEST - 1) + "…"


@settings(deadline=None)
@given(anything, anything, st.dictionaries(st.sampled_from(["steps", "seed", "other"]), anything | st.integers()))
def test_statements_of_a_package_stay_short_text(title: str, signer: str, training: dict[str, object]) -> None:
    found = {"ok": True, "title": title, "signer": signer, "trusted": False, "wallet": "0x", "size": 1}
    told = in_words({**found, "parameters": 1, "generations": 1, "training": training}, CID)
    assert len(json.dumps(told, ensure_ascii=False)) < 2_000
    assert "other" not in told["training"]


@settings(deadline=None, max_examples=40)
@given(anything)
def test_no_text_can_leave_the_data_of_a_report(text: str) -> None:
    page = inline({"views": {"federation": {"title": text}}, "pictures": {}})
    start = page.index('<script id="report" type="application/json">')
    inside, _ = page[start:].split("</script>", 1)
    assert json.loads(inside.split(">", 1)[1])["views"]["federation"]["title"] == text
    assert len(re.findall("<script", page)) == 2
    assert len(re.findall("</script", page)) == 2


def test_a_report_loads_nothing() -> None:
    page = inline({"views": {}, "pictures": {}})
    assert "default-src 'none'" in page
    assert not re.search(r'(?:src|href)="(?!data:)[^#"]', page), "no address but the ones in its data"


def test_a_store_full_of_nonsense_shows_what_is_wrong(history: Federation, tmp_path: Path) -> None:
    """Neither a missing card nor a missing or forged package stops the watcher, and nothing of it is shown."""
    store = LocalStore(tmp_path / "store")
    watcher = make_watcher(history.reader(), tmp_path / "watch", store=store)
    watcher.follower.catch_up()
    assert title_of(store, bytes(32)) == ""
    for number in watcher.unseen():
        watcher.look_at(number)
    assert watcher.unseen() == []
    view = watcher.submission(1)
    assert view["package"]["ok"] is False
    assert view["package"]["problem"]
    assert watcher.picture(1) is None


def test_a_forged_package_is_never_sampled(history: Federation, tmp_path: Path) -> None:
    """The store serves bytes with the right name that are no package: they are refused before they are read as one."""

    class Forging(LocalStore):
        def fetch(self, cid: Cid, into: Path, max_bytes: int = 0) -> Path:
            into.write_bytes(b"PK\x03\x04" + b"</script>" * 50)
            return into

    watcher = make_watcher(history.reader(), tmp_path / "watch")
    watcher.follower.catch_up()
    state, sponsor = watcher.follower.reducer.state, watcher.about.params.sponsor
    model = named(state, sponsor, 1)
    assert model is not None
    gallery = Gallery(Forging(tmp_path / "store"), tmp_path / "kept")
    facts = gallery.make(model)
    assert facts["ok"] is False
    assert gallery.picture(model) is None
    assert not list((tmp_path / "kept").glob("*")) if (tmp_path / "kept").exists() else True


def test_events_that_no_state_can_follow_stop_the_watcher_where_it_stood(tmp_path: Path) -> None:
    """A reservation is missing, so what follows names a submission that does not exist: nothing is guessed, what was
    kept stays and can be shown, and every later step says what is wrong."""
    watcher, client = build(tmp_path, 12, 7)
    blocks = good_history()
    bad = next(at for at, block in enumerate(blocks) if any(isinstance(e, Reserved) and e.id == 5 for e in block))
    client.waiting = [lambda block=block: block for block in blocks[:bad]]
    follower = watcher.follower
    follower.catch_up()
    before = watcher.federation()
    client.waiting = [lambda: [event for event in blocks[bad] if not isinstance(event, Reserved)]]
    for _ in range(2):
        with pytest.raises(AuditFailed, match="contradict everything before them"):
            follower.step()
    assert watcher.federation()["counts"] == before["counts"]
    assert follower.head == before["head"]["block"]
    kept = follower.chronicle._db.execute("SELECT max(block) FROM lines").fetchone()[0]
    assert kept <= before["head"]["block"], "no line of it is kept either"
