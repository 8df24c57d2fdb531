"""``pdfed watch | report``: a task in a browser, live, or as one file."""

from __future__ import annotations

import json
import secrets
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from pdfed_sdk.cli.common import at_home, connect, read_json
from pdfed_sdk.cli.options import Home, HomeRpc, Json
from pdfed_sdk.cli.output import emit, err, log_to_stderr, out
from pdfed_sdk.errors import UsageError

if TYPE_CHECKING:
    from pdfed_sdk.chain.client import PdfedClient
    from pdfed_sdk.watch.watcher import Watcher

TaskOption = Annotated[
    str, typer.Option("--task", envvar="PDFED_TASK", help="Address of the task (default: that of --home).")
]
StoreOption = Annotated[
    str,
    typer.Option("--store", envvar="PDFED_STORE", help="Store with the packages (default: that of --home, or none)."),
]
Names = Annotated[Path | None, typer.Option(help='JSON file {"0x…": "name"} with names of your own for addresses.')]
Folder = Annotated[
    Path, typer.Option("--state", help="Where the watcher keeps what it has read; it may be deleted at any time.")
]
HERE = Path.home() / ".pdfed" / "watch"


def watch(
    task: TaskOption = "",
    rpc: HomeRpc = "",
    home: Home = None,
    store: StoreOption = "",
    names: Names = None,
    state: Folder = HERE,
    bind: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8765,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another name by which browsers reach this server; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve a page on this machine that shows a task live, until Ctrl-C. It only reads; with --home also your node."""
    from pdfed_sdk.watch.serving import Served, serve

    loopback = is_loopback(bind)
    if not loopback and not allow_host:
        raise UsageError(
            f"--bind {bind} lets other machines in, but no name is allowed",
            hint="add --allow-host NAME, as browsers will write it, and put TLS before it",
        )
    log_to_stderr()
    watcher = open_watcher(task, rpc, home, store, names, state)
    token = secrets.token_urlsafe(24)
    poll = 0.1 if is_loopback(urlsplit(rpc or "http://127.0.0.1").hostname or "") else 2.0

    def tell(served: Served) -> None:
        private = None if home is None else f"{served.url}#/mine?token={token}"

        def show() -> None:
            out.print(f"watching {watcher.about.task} at {served.url}")
            if private:
                out.print(f"your node, private: {private}")

        emit({"task": watcher.about.task, "url": served.url, "private": private}, as_json, show)
        sys.stdout.flush()
        err.print("Ctrl-C ends it")

    serve(watcher, bind=bind, port=port, names=allow_host or [], token=token, poll=poll, tell=tell)


def report(
    task: TaskOption = "",
    rpc: HomeRpc = "",
    home: Home = None,
    store: StoreOption = "",
    names: Names = None,
    state: Folder = HERE,
    file: Annotated[Path, typer.Option("--out", help="HTML file to write.")] = Path("report.html"),
    as_json: Json = False,
) -> None:
    """Write what the page shows into one HTML file that needs no network. Nothing private goes in."""
    from pdfed_sdk.files import write_durably
    from pdfed_sdk.watch.report import build_report

    watcher = open_watcher(task, rpc, home, store, names, state)
    watcher.follower.catch_up()
    text = build_report(watcher).encode()
    write_durably(file, text)
    file.chmod(0o644)
    emit({"file": str(file), "bytes": len(text)}, as_json, lambda: out.print(f"{file} ({len(text):,} bytes)"))


def open_watcher(task: str, rpc: str, home: Path | None, store: str, names: Path | None, state: Path) -> Watcher:
    """A watcher of the named task; with a home, of its task, store and node."""
    from pdfed_sdk.artifacts.open_store import open_store
    from pdfed_sdk.config import load_config
    from pdfed_sdk.watch.home import Home as NodeHome
    from pdfed_sdk.watch.serving import make_watcher

    at = at_home(home, task=task, rpc=rpc, keystore=None)
    client: PdfedClient = connect(at.rpc, at.task, confirmations=at.confirmations)
    base = None
    if home is not None and not store:
        store, base = load_config(home / "pdfed.toml").store.uri, home
    return make_watcher(
        client,
        state,
        store=open_store(store, base) if store else None,
        home=None if home is None else NodeHome.open(home),
        names=read_names(names) if names else {},
    )


def read_names(path: Path) -> dict[str, str]:
    """Names for addresses from a JSON file. UsageError."""
    found = read_json(path, "names")
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise UsageError(
            f"{path} does not map addresses to names", hint=json.dumps({"0x…": "name"}, ensure_ascii=False)
        )
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def add_to(app: typer.Typer) -> None:
    app.command("watch")(watch)
    app.command("report")(report)
