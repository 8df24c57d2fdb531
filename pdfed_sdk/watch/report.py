"""The page as one HTML file that needs no network and no server: for a mail or an archive. Public facts only."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any, Final

from pdfed_sdk.types import GENESIS
from pdfed_sdk.watch.server import static
from pdfed_sdk.watch.watcher import Watcher

MODELS: Final = 200
PEOPLE: Final = 100
"""Newest submissions, and nodes, that a report holds."""


def build_report(watcher: Watcher, *, audit: bool = True) -> str:
    """One HTML document with every view. Looks at packages first, where there is a store."""
    for number in watcher.unseen():
        watcher.look_at(number)
    return inline(gather(watcher, audit=audit))


def gather(watcher: Watcher, *, audit: bool) -> dict[str, Any]:
    """Every public view by the address that the page asks for."""
    federation, money = watcher.federation(), watcher.money()
    with watcher.seen() as seen:
        shown = sorted(seen.state.models, reverse=True)[:MODELS]
        wanted = sorted({GENESIS, *shown, *(node["id"] for node in federation["graph"]["nodes"])})
        people = [node["address"] for node in federation["nodes"][:PEOPLE]]
    views: dict[str, Any] = {"federation": federation, "money": money}
    views |= {f"submission/{number}": watcher.submission(number) for number in wanted}
    views |= {f"node/{address}": watcher.node(address) for address in people}
    if audit:
        views["audit"] = watcher.audit()
    pictures = {str(number): picture for number in wanted if (picture := watcher.picture(number)) is not None}
    return {
        "views": views,
        "pictures": {
            number: "data:image/png;base64," + base64.b64encode(data).decode() for number, data in pictures.items()
        },
    }


def inline(data: dict[str, Any]) -> str:
    """The built page with its script, style and data inside; its policy allows nothing but these."""
    script, style = static("app.js").decode(), static("app.css").decode()
    script = script.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    # every "<" of the data is escaped: no text of a stranger can end the element that it stands in
    kept = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    page = static("index.html").decode()
    for old, new in (
        ("<head>", f'<head>\n<meta http-equiv="content-security-policy" content="{policy}">'),
        ('<link rel="stylesheet" href="./app.css">', f"<style>{style}</style>"),
        (
            '<script type="module" src="./app.js"></script>',
            f'<script id="report" type="application/json">{kept}</script>\n<script type="module">{script}</script>',
        ),
    ):
        if page.count(old) != 1:
            raise AssertionError(f"the built page does not have {old!r} once")
        page = page.replace(old, new)
    return page
