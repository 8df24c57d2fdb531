"""What the watcher's server lets in and sends out: hosts, origins, the token of private views, security headers.

A page of a stranger must not read this server through a name that resolves to this machine (DNS rebinding), nor have a
browser ask it for something; and text from the chain must never run as a script.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def hosts(names: Iterable[str], port: int) -> frozenset[str]:
    """Values of the Host header that are this server: each name with the port, and alone where the port is 80."""
    named = [name.lower() for name in (*LOOPBACK, *names)]
    return frozenset([f"{name}:{port}" for name in named] + (named if port == 80 else []))


@dataclass(frozen=True, slots=True)
class Guard:
    """ASGI middleware: refuses other hosts, other origins and requests that other sites make; adds the headers."""

    app: ASGIApp
    hosts: frozenset[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        problem = refused(Headers(scope=scope), self.hosts)
        if problem:
            await JSONResponse({"error": problem}, status_code=403)(scope, receive, sending)
        else:
            await self.app(scope, receive, sending)


def refused(headers: Headers, allowed: frozenset[str]) -> str:
    """Why a request is refused; empty if it is not."""
    host = headers.get("host", "").lower()
    if host not in allowed:
        return "this server has another name; open the address that pdfed watch printed, or start it with --allow-host"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() not in allowed:
        return "this server answers only its own page"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return "this server answers only its own page"
    return ""


def has_token(headers: Headers, token: str) -> bool:
    """Whether a request carries the token of the private views; an empty token opens nothing."""
    kind, _, given = headers.get("authorization", "").partition(" ")
    return bool(token) and kind.lower() == "bearer" and hmac.compare_digest(given.encode(), token.encode())
