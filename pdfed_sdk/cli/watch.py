"""``pdfed watch | report``: a task in a browser, live, or as one file."""

from __future__ import annotations

import json
import re
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
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token of the private views, made if it is not there; it is not printed then."),
    ] = None,
    notify_webhook: Annotated[
        str, typer.Option(envvar="PDFED_NOTIFY_WEBHOOK", help="Address that notices are POSTed to as JSON.")
    ] = "",
    notify_command: Annotated[
        str, typer.Option(envvar="PDFED_NOTIFY_COMMAND", help="Program that gets notices as JSON on standard input.")
    ] = "",
    stake_below: Annotated[
        str, typer.Option(help="Whole tokens of stake below which a notice is sent (default: the task's least stake).")
    ] = "",
    as_json: Json = False,
) -> None:
    """Serve a page on this machine that shows a task live, until Ctrl-C. It only reads; with --home also your node."""
    from pdfed_sdk.watch.notices import Notifier, channels
    from pdfed_sdk.watch.serving import Served, place_of, serve

    loopback = is_loopback(bind)
    if not loopback and not allow_host:
        raise UsageError(
            f"--bind {bind} lets other machines in, but no name is allowed",
            hint="add --allow-host NAME, as browsers will write it, and put TLS before it",
        )
    log_to_stderr()
    told_to = channels(notify_webhook, notify_command)
    watcher = open_watcher(task, rpc, home, store, names, state)
    token = read_token(token_file) if token_file else secrets.token_urlsafe(24)
    notifier = None
    if told_to:
        from pdfed_sdk.chain.money import token_of

        least = watcher.about.params.min_stake
        wanted = token_of(watcher.follower.client).units(stake_below) if stake_below else least
        notifier = Notifier(watcher, told_to, wanted, place_of(state, watcher.follower.client) / "told.json")
    poll = 0.05 if is_loopback(urlsplit(rpc or "http://127.0.0.1").hostname or "") else 2.0

    def tell(served: Served) -> None:
        shown = f"(the token in {token_file})" if token_file else token
        private = None if home is None else f"{served.url}#/mine?token={shown}"

        def show() -> None:
            out.print(f"watching {watcher.about.task} at {served.url}")
            if private:
                out.print(f"your node, private: {private}")

        emit({"task": watcher.about.task, "url": served.url, "private": private}, as_json, show)
        sys.stdout.flush()
        err.print("Ctrl-C ends it")

    serve(watcher, bind=bind, port=port, names=allow_host or [], token=token, poll=poll, tell=tell, notifier=notifier)


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


def read_token(path: Path) -> str:
    """The token in a file that only its owner can read; a new one where there is none. UsageError."""
    from pdfed_sdk.files import write_durably

    try:
        if not path.exists():
            write_durably(path, secrets.token_urlsafe(24).encode())
        if path.stat().st_mode & 0o077:
            raise UsageError(f"{path} can be read by others", hint=f"chmod 600 {path}")
        found = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(f"the token in {path} cannot be read: {error.strerror}", hint="name another file") from error
    if not re.fullmatch(r"[\w-]{20,}", found):
        raise UsageError(f"{path} holds no token", hint="at least 20 letters, digits, - or _; delete it for a new one")
    return found


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
