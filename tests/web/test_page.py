"""Every view in a real browser, live and as a file: right, usable by everybody, and it leaks nothing."""

from __future__ import annotations

from tests.support.browser import Seen, look
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
