"""A federation in a browser: live at an address, and as a file; with a name that tries to be more than text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pdfed_sdk.watch.report import build_report
from pdfed_sdk.watch.serving import make_watcher, served
from tests.support.federation import Federation

EVIL = "<b>Eve</b><script>alert(1)</script>"


@dataclass(frozen=True)
class Shown:
    """Where a federation is shown."""

    federation: Federation
    live: str
    file: str


@contextmanager
def show(federation: Federation, folder: Path) -> Iterator[Shown]:
    watcher = make_watcher(federation.reader(), None, names={federation.signers[1].address: EVIL})
    watcher.follower.catch_up()
    report = folder / "report.html"
    report.write_text(build_report(watcher), encoding="utf-8")
    with served(watcher, token="token-of-the-test", poll=0.05) as page:
        yield Shown(federation, page.url, report.as_uri())
