"""``pdfed store show | key``: what a store holds, where peers reach it, and the key of a private network."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from pdfed_sdk.cli.options import Json
from pdfed_sdk.cli.output import emit, out, show_table
from pdfed_sdk.errors import UsageError

app = typer.Typer(help="Stores of models.", no_args_is_help=True)


@app.command("show")
def show(
    uri: Annotated[str, typer.Argument(help="A store, as in [store] uri; relative folders lie in --home.")],
    home: Annotated[Path, typer.Option(help="The node's folder.")] = Path(),
    as_json: Json = False,
) -> None:
    """What is pinned, how much room it takes and, of an ipfs: store, the address that peers are told."""
    from pdfed_sdk.artifacts.ipfs import IpfsStore
    from pdfed_sdk.artifacts.open_store import open_store
    from pdfed_sdk.artifacts.store import LocalStore

    store = open_store(uri, home)
    if not isinstance(store, IpfsStore | LocalStore):
        raise UsageError(f"{uri} lies elsewhere: nothing is known of it here", hint="ask its provider's own tools")
    data: dict[str, Any] = {"uri": uri, "folder": str(store.root), "used": store.used(), "address": None}
    data["pins"] = [str(cid) for cid in store.pins()]
    if isinstance(store, IpfsStore):
        if not (store.root / "config").is_file():
            store.start()  # makes the repository, and with it the address
            store.close()
        data["address"] = store.address
    rows = [(name, value) for name, value in data.items() if name != "pins"]
    emit(data, as_json, lambda: show_table([*rows, *(("pinned", cid) for cid in data["pins"])]))


@app.command("key")
def key(
    path: Annotated[Path, typer.Argument(help="File to write: give it to every node of the federation alone.")],
    as_json: Json = False,
) -> None:
    """Make the key of a private IPFS network; nodes name it as swarm-key in their store's address."""
    from pdfed_sdk.artifacts.ipfs import new_swarm_key
    from pdfed_sdk.files import write_durably

    if path.exists():
        raise UsageError(f"{path} exists already", hint="choose another name; nothing was changed")
    write_durably(path, new_swarm_key())
    emit({"key": str(path)}, as_json, lambda: out.print(f"{path}: a secret of your federation"))


@app.command("serve")
def serve(
    uri: Annotated[str, typer.Argument(help="An ipfs: store; relative folders lie in --home.")],
    home: Annotated[Path, typer.Option(help="The folder it lies in.")] = Path(),
    as_json: Json = False,
) -> None:
    """Serve an ipfs: store to its peers until Ctrl-C, as a sponsor does while nodes join."""
    from pdfed_sdk.artifacts.ipfs import IpfsStore
    from pdfed_sdk.artifacts.open_store import open_store

    store = open_store(uri, home)
    if not isinstance(store, IpfsStore):
        raise UsageError(f"{uri} is served by itself", hint="only an ipfs: store has a process of ours")
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    store.start()
    emit(
        {"address": store.address, "pins": [str(cid) for cid in store.pins()]},
        as_json,
        lambda: out.print(store.address),
    )
    ending.wait()
    store.close()
