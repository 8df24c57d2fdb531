"""The demo in a browser: its page while it plays, and the same as a file at the end."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pdfed_sdk.artifacts.store import Store
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.types import Address
from pdfed_sdk.watch.report import build_report
from pdfed_sdk.watch.serving import make_watcher, served
from pdfed_sdk.watch.watcher import Watcher

POLL = 0.5
"""Seconds between two looks at the chain: the cores belong to the nodes."""


@contextmanager
def shown(
    folder: Path, client: PdfedClient, names: Mapping[str, Address], store: Store, say: Callable[[str], None]
) -> Iterator[Watcher]:
    """The task's page on a loopback port, for as long as the block lasts; its address is told."""
    known = {str(address): name for name, address in names.items()}
    watcher = make_watcher(client, folder / "watch", store=store, names=known)
    with served(watcher, token=secrets.token_urlsafe(24), poll=POLL) as page:
        say(f"[bold]watch it live at {page.url}[/]")
        yield watcher


def write_report(watcher: Watcher, folder: Path, store: Store) -> None:
    """``report.html``; its packages come from ``store``, since the nodes that served them have left."""
    watcher.use(store)
    watcher.follower.catch_up()
    (folder / "report.html").write_text(build_report(watcher), encoding="utf-8")
