"""Put a watcher together and serve it with uvicorn."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import uvicorn

from pdfed_sdk.artifacts.store import Store
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.money import token_of
from pdfed_sdk.chain.reads import address
from pdfed_sdk.errors import PdfedError, UsageError
from pdfed_sdk.node.task_card import TaskCard
from pdfed_sdk.watch.chronicle import Chronicle
from pdfed_sdk.watch.follower import Follower, identity_of
from pdfed_sdk.watch.guard import hosts
from pdfed_sdk.watch.home import Home
from pdfed_sdk.watch.notices import Notifier
from pdfed_sdk.watch.pictures import Gallery
from pdfed_sdk.watch.server import MOST_PAGES, Live, build_app
from pdfed_sdk.watch.text import clean
from pdfed_sdk.watch.views import About
from pdfed_sdk.watch.watcher import Watcher


def make_watcher(
    client: PdfedClient,
    folder: Path | None,
    *,
    store: Store | None = None,
    home: Home | None = None,
    names: Mapping[str, str] | None = None,
) -> Watcher:
    """A watcher of a client's task that keeps what it read in ``folder``, None: in memory. Nothing is read yet.

    UsageError if the folder or a name cannot be used.
    """
    place = None if folder is None else place_of(folder, client)
    chronicle = Chronicle(None if place is None else place / "chronicle.sqlite", identity_of(client))
    params, token = client.params(), token_of(client)
    named = {str(address(key, "name of")): clean(name, 40) for key, name in (names or {}).items()}
    title = "" if store is None else title_of(store, params.card_digest)
    about = About(client.task.registry, client.chain_id, params, clean(token.symbol, 16), token.decimals, title, named)
    gallery = None if store is None or place is None else Gallery(store, place / "packages")
    return Watcher(Follower(client, chronicle), about, store, gallery, home)


def place_of(folder: Path, client: PdfedClient) -> Path:
    """Where a watcher keeps what belongs to a client's task."""
    return folder / f"{client.chain_id}-{client.task.registry}"


def title_of(store: Store, digest: bytes) -> str:
    """Title on the task's card; empty where there is none to be read."""
    try:
        return clean(TaskCard.fetch(store, digest).title)
    except PdfedError:
        return ""


@dataclass(frozen=True, slots=True)
class Served:
    """Where the page is; ``stop`` ends the server."""

    url: str
    stop: Callable[[], None]


class Server(uvicorn.Server):
    """Lets every page go before it waits for connections to end."""

    def __init__(self, config: uvicorn.Config, live: Live) -> None:
        super().__init__(config)
        self._live = live

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._live.stop()
        await super().shutdown(sockets)


def serve(
    watcher: Watcher,
    *,
    bind: str,
    port: int,
    names: Iterable[str],
    token: str,
    poll: float,
    tell: Callable[[Served], None],
    notifier: Notifier | None = None,
) -> None:
    """Serve until interrupted. UsageError if the port is taken."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((bind.strip("[]"), port))
        listening.listen()  # who comes before the server is ready waits instead of being refused
    except OSError as error:
        listening.close()
        raise UsageError(f"cannot listen on {bind}:{port}: {error.strerror}", hint="choose another --port") from error
    with listening:
        found = int(listening.getsockname()[1])
        live = Live(watcher, poll, notifier)
        app = build_app(live, hosts=hosts([*names, bind], found), token=token)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, limit_concurrency=4 * MOST_PAGES
        )
        server = Server(config, live)
        shown = f"[{bind}]" if family == socket.AF_INET6 else bind
        tell(Served(f"http://{shown}:{found}/", lambda: setattr(server, "should_exit", True)))
        server.run(sockets=[listening])


@contextmanager
def served(watcher: Watcher, *, token: str, poll: float = 0.1) -> Iterator[Served]:
    """The page on a free loopback port, in a thread, for as long as the block lasts."""
    told: Queue[Served] = Queue()
    options = {"bind": "127.0.0.1", "port": 0, "names": (), "token": token, "poll": poll, "tell": told.put}
    thread = threading.Thread(target=serve, args=(watcher,), kwargs=options, daemon=True)
    thread.start()
    found = told.get(timeout=30)
    try:
        yield found
    finally:
        found.stop()
        thread.join(30)
