"""Every view in a real browser, live and as a file: right, usable by everybody, and it leaks nothing."""

from __future__ import annotations

from pathlib import Path

import requests

from pdfed_sdk.watch.home import Home
from pdfed_sdk.watch.serving import make_watcher, served
from tests.support.browser import Seen, look
from tests.support.own_home import make_home
from tests.support.shown import EVIL, Shown

PHONE = 360
"""CSS pixels of a narrow phone."""


def views(shown: Shown) -> dict[str, str]:
    """Each view, and words that only it has."""
    return {
        "#/federation": "Where the models come from",
        "#/submission/2": "Who voted what",
        "#/submission/0": "The sponsor’s model that everything started from",
        "#/money": "Where it came from and where it went",
        f"#/node/{shown.federation.signers[2].address}": "Everything that concerns it",
        "#/audit": "checks hold",
    }


def sound(found: Seen) -> None:
    """No error, no request elsewhere, no barrier that axe knows of (WCAG 2.1 AA), nothing of a stranger became HTML."""
    assert found["errors"] == [], found["name"]
    assert found["foreign"] == [], found["name"]
    assert found["axe"] == [], found["name"]
    assert found["bold"] == 0, f"{found['name']}: a name became HTML"


def test_every_view_live_in_the_light_and_in_a_report_on_a_phone_in_the_dark(shown: Shown) -> None:
    wanted = views(shown)
    live = [{"name": f"live {view}", "url": shown.live + view, "wait": "footer"} for view in wanted]
    phone = {"width": PHONE, "dark": True, "wait": "footer"}
    kept = [{"name": f"report {view}", "url": shown.file + view, **phone} for view in wanted]
    for found, words in zip(look(*live, *kept), [*wanted.values()] * 2, strict=True):
        sound(found)
        assert words in found["text"], found["name"]
        assert found["overflow"] <= 0, f"{found['name']} is wider than its screen"


def test_names_of_strangers_are_shown_as_they_are(shown: Shown) -> None:
    (found,) = look({"name": "money", "url": shown.live + "#/money", "wait": "footer"})
    assert EVIL[:40] in found["text"].replace("…", "") or EVIL[:39] in found["text"]


def test_the_keyboard_reaches_the_content_and_every_view(shown: Shown) -> None:
    first, second = look(
        {"name": "skip", "url": shown.live, "wait": "footer", "keys": ["Tab"], "axe": False},
        {
            "name": "tabs",
            "url": shown.live,
            "wait": "footer",
            "keys": [*["Tab"] * 4, "Enter"],
            "then": ".bars",
            "axe": False,
        },
    )
    assert first["focused"] == "Skip to the content"
    assert second["heading"] == "The money"


def test_states_say_what_to_do(shown: Shown) -> None:
    missing, private, elsewhere = look(
        {"name": "missing", "url": shown.live + "#/submission/999", "wait": ".alert", "axe": False},
        {"name": "private", "url": shown.live + "#/mine", "wait": ".alert", "axe": False},
        {"name": "not in the report", "url": shown.file + "#/submission/999", "wait": ".alert", "axe": False},
    )
    assert "cannot be shown" in missing["text"]
    assert "Try again" in missing["text"]
    assert "private address" in private["text"]
    assert "pdfed watch" in elsewhere["text"]


def test_strange_addresses_lead_to_the_first_view(shown: Shown) -> None:
    strange = ("#/submission/1%3Cscript%3E", "#/node/javascript:alert(1)", "#/../../etc")
    for found in look(*({"name": path, "url": shown.file + path, "wait": "footer", "axe": False} for path in strange)):
        assert "Where the models come from" in found["text"], found["name"]


def test_my_node_shows_training_and_copies_to_its_owner_alone(shown: Shown, tmp_path: Path) -> None:
    """In the light and, on a phone, in the dark; the pictures of a pair come when they are asked for."""
    me = shown.federation.signers[2].address
    make_home(tmp_path / "home", me)
    watcher = make_watcher(shown.federation.reader(), None, home=Home(tmp_path / "home", me))
    watcher.follower.catch_up()
    with served(watcher, token="token-of-the-owner", poll=0.05) as page:
        private = f"{page.url}#/mine?token=token-of-the-owner"
        asked = {"click": [".cards button"], "then": ".pairs img", "wait": "footer"}
        light, dark = look(
            {"name": "mine", "url": private, **asked},
            {"name": "mine on a phone", "url": private, "width": PHONE, "dark": True, **asked},
        )
        (other,) = look({"name": "a stranger", "url": page.url + "#/mine", "wait": ".alert", "axe": False})
        strange = requests.get(f"{page.url}api/mine/pairs/2", timeout=10)
    for found in (light, dark):
        sound(found)
        assert found["overflow"] <= 0
        for words in ("Your node is scoring model #2", "640 of 640 pictures shown", "2 copies found", "score 0.970"):
            assert words in found["text"]
    assert "private address" in other["text"]
    assert strange.status_code == 401
