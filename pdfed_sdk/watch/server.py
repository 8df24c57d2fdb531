"""The page's server: Starlette routes over a watcher, changes pushed by server-sent events. It only reads."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

import msgspec
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pdfed_sdk.errors import PdfedError
from pdfed_sdk.watch.follower import Change
from pdfed_sdk.watch.guard import Guard, has_token
from pdfed_sdk.watch.metrics import Metrics
from pdfed_sdk.watch.notices import Notifier
from pdfed_sdk.watch.watcher import Watcher

log = logging.getLogger("pdfed.watch")
STATIC: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/app.css": ("app.css", "text/css; charset=utf-8"),
}
MOST_PAGES: Final = 64
"""Pages that may be connected at once."""
NOTIFY_EVERY: Final = 3.0
"""Seconds between two looks for something that a node's owner should hear of."""
WAITING: Final = 100
"""Changes that wait for a slow page before it is cut off; it connects again and reads everything anew."""


@dataclass(slots=True)
class Live:
    """Follows the task in a thread, looks at packages in another, and tells every connected page."""

    watcher: Watcher
    poll: float
    notifier: Notifier | None = None
    metrics: Metrics = field(default_factory=Metrics)
    problem: str = ""
    _pages: set[asyncio.Queue[dict[str, Any] | None]] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _news: threading.Event = field(default_factory=threading.Event)
    _loop: asyncio.AbstractEventLoop | None = None

    def __post_init__(self) -> None:
        self.metrics.watch(self.watcher)

    @asynccontextmanager
    async def running(self, _app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        bodies = (self._follow, self._look, *((self._notify,) if self.notifier else ()))
        threads = [threading.Thread(target=body, daemon=True) for body in bodies]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop()
            for thread in threads:
                await asyncio.to_thread(thread.join, 10.0)
            self.watcher.follower.save()

    def stop(self) -> None:
        """End the threads and let every page go."""
        self._stop.set()
        self._news.set()
        for page in self._pages:
            page.put_nowait(None)

    # --- the two threads ---

    def _follow(self) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                change = self.watcher.follower.step()
            except PdfedError as error:
                self.metrics.errors.inc()
                self._say({"problem": error.message, "next": error.hint or ""})
                self.problem = error.message
                log.warning("%s", error.message)
                self._stop.wait(max(self.poll, 1.0))
                continue
            except Exception as error:  # a thread that died without a word would show an old state as if it were new
                self.metrics.errors.inc()
                self.problem = f"what the endpoint sent cannot be read ({type(error).__name__})"
                self._say({"problem": self.problem, "next": "ask another endpoint"})
                log.exception("the step failed")
                self._stop.wait(max(self.poll, 10.0))
                continue
            if change is not None:
                self.metrics.step.observe(time.monotonic() - started)
                self._changed(change)
            elif self.problem:
                self._changed(Change(self.watcher.follower.head, ()))
            if change is None:
                self._stop.wait(self.poll)

    def _changed(self, change: Change) -> None:
        self.problem = ""
        if change.rewound:
            self.metrics.reorganisations.inc()
            self.watcher.forget_packages()
        self._news.set()
        told = {"block": change.head, "time": self.watcher.follower.now, "submissions": list(change.submissions)}
        self._say(told | {"rewound": change.rewound})

    def _look(self) -> None:
        while not self._stop.is_set():
            self._news.clear()
            for number in self.watcher.unseen():
                if self._stop.is_set():
                    return
                try:
                    self.watcher.look_at(number)
                except PdfedError as error:
                    log.warning("package of submission %d: %s", number, error.message)
                self._say({"pictures": [number]})
            self._news.wait(30)

    def _notify(self) -> None:
        """A look every few seconds: nothing that is told is that urgent, and the chain's time moves without events."""
        assert self.notifier is not None
        while not self._stop.wait(NOTIFY_EVERY):
            if self.watcher.follower.head >= 0 and not self.problem:
                self.metrics.notices.inc(self.notifier.look())
                self.metrics.undelivered.set(self.notifier.failures)

    # --- the pages ---

    def _say(self, told: dict[str, Any]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hand_out, told)

    def _hand_out(self, told: dict[str, Any]) -> None:
        for page in list(self._pages):
            if page.qsize() >= WAITING:
                self._pages.discard(page)
                page.put_nowait(None)
            else:
                page.put_nowait(told)

    async def changes(self) -> AsyncIterator[ServerSentEvent]:
        """What one page is told, from now on."""
        page: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._pages.add(page)
        self.metrics.pages.set(len(self._pages))
        try:
            hello = {"block": self.watcher.follower.head, "time": self.watcher.follower.now, "submissions": []}
            yield ServerSentEvent(json.dumps(hello | {"problem": self.problem}))
            while (told := await page.get()) is not None:
                yield ServerSentEvent(json.dumps(told))
        finally:
            self._pages.discard(page)
            self.metrics.pages.set(len(self._pages))

    @property
    def full(self) -> bool:
        return len(self._pages) >= MOST_PAGES


def static(name: str) -> bytes:
    """A file of the built page."""
    return resources.files("pdfed_sdk.watch").joinpath("static", name).read_bytes()


def build_app(live: Live, *, hosts: frozenset[str], token: str) -> Starlette:
    """The server. ``hosts``: values of the Host header it answers to; ``token``: opens the private views."""
    watcher = live.watcher

    def answer(view: Callable[[], dict[str, Any]]) -> Response:
        try:
            return Response(msgspec.json.encode(view()), media_type="application/json")
        except KeyError as error:
            return JSONResponse({"error": f"there is nothing by the name {str(error)[:80]}"}, status_code=404)
        except PdfedError as error:
            return JSONResponse({"error": error.message, "next": error.hint}, status_code=503)

    def page(request: Request) -> Response:
        name, kind = STATIC[request.url.path]
        return Response(static(name), media_type=kind, headers={"cache-control": "no-cache"})

    def picture(request: Request) -> Response:
        found = watcher.picture(request.path_params["number"])
        if found is None:
            return JSONResponse({"error": "there are no samples of this model"}, status_code=404)
        return Response(found, media_type="image/png", headers={"cache-control": "no-cache"})

    def private(view: Callable[[Request], dict[str, Any]]) -> Callable[[Request], Response]:
        def respond(request: Request) -> Response:
            if not has_token(request.headers, token):
                return JSONResponse({"error": "open the private address that pdfed watch printed"}, status_code=401)
            return answer(lambda: view(request))

        return respond

    auditing = asyncio.Lock()

    async def audit(_request: Request) -> Response:
        async with auditing:  # who waits for the audit of another holds no thread that other views need
            return await asyncio.to_thread(answer, watcher.audit)

    async def changes(_request: Request) -> Response:
        if live.full:
            return JSONResponse({"error": f"{MOST_PAGES} pages are connected, the limit"}, status_code=503)
        return EventSourceResponse(live.changes(), ping=15)

    routes = [
        *(Route(path, page) for path in STATIC),
        Route("/api/federation", lambda _request: answer(watcher.federation)),
        Route("/api/submission/{number:int}", lambda r: answer(lambda: watcher.submission(r.path_params["number"]))),
        Route("/api/picture/{number:int}", picture),
        Route("/api/money", lambda _request: answer(watcher.money)),
        Route("/api/node/{address:str}", lambda r: answer(lambda: watcher.node(r.path_params["address"]))),
        Route("/api/audit", audit),
        Route("/api/mine", private(lambda _request: watcher.mine())),
        Route("/api/mine/pairs/{number:int}", private(lambda r: watcher.pairs(r.path_params["number"]))),
        Route("/api/changes", changes),
        Route("/metrics", lambda _request: Response(live.metrics.text(), media_type="text/plain; version=0.0.4")),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, hosts=hosts)], lifespan=live.running)
