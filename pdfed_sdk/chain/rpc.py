"""Carry calls to a JSON-RPC endpoint. Everything is written once, as flows; only the two wires have two bodies.

A flow is a generator that yields ``Batch`` (requests to send together) or ``Sleep`` and returns its result. ``Wire``
drives flows blocking, ``AsyncWire`` awaiting; so retries, reads and (transactions.py) sending exist once. What comes
from the network is bounded in size and checked for type before use.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, overload

import aiohttp
import requests

from pdfed_sdk.chain.calls import Call
from pdfed_sdk.chain.codec import blob, header
from pdfed_sdk.chain.reverts import decode_revert
from pdfed_sdk.errors import ChainError, PdfedError, RpcUnavailable, UsageError

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
_DEPTH = 64
_TOO_LARGE = -32005
"""What endpoints answer themselves when a limit is exceeded."""
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
BATCH = 100
"""Most requests sent in one JSON-RPC batch."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to talk to an endpoint. Times in seconds; ``max_reply`` in bytes; ``chunk`` in blocks a log query.

    A transaction's gas limit is its estimate times ``gas_margin`` plus ``gas_reserve``: two slots that an estimate on
    the pending block found written by somebody else, and that the transaction has to pay for in a later one.
    ``confirmations``: how deep a block must be before anything follows from it; 0 takes what the profile asks for.
    """

    poll: float = 0.2
    timeout: float = 120.0
    confirmations: int = 0
    replace_after: float = 30.0
    gas_margin: float = 1.25
    gas_reserve: int = 50_000
    retries: int = 6
    request_timeout: float = 10.0
    max_reply: int = 32 << 20
    chunk: int = 2_000
    check_code: bool = True
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One JSON-RPC request."""

    method: str
    params: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """An error the endpoint answered to one request."""

    code: int
    message: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Send these together; the answer is a list of results and ``Fault``s in the same order."""

    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait this long."""

    seconds: float


Flow = Generator[Batch | Sleep, Any, T]


class Unreachable(Exception):
    """No usable answer this time; the flow decides whether to try again. ``final``: trying again is pointless."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Provider(Protocol):
    """A web3.py provider (sync or async): anything with ``make_request(method, params) -> response``."""

    def make_request(self, method: Any, params: Any) -> Any: ...


# --- flows -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chain:
    """Flows over one endpoint. ``name`` is how errors call it, ``amounts`` how they show token units."""

    name: str
    options: Options
    amounts: Callable[[int], str] = "{:,} units".format

    def batch(self, asked: Sequence[Request]) -> Flow[list[Any]]:
        """Results and faults of requests, retried while the endpoint does not answer. RpcUnavailable in the end."""
        answers: list[Any] = []
        for start in range(0, len(asked), BATCH):
            answers += yield from self._patient(Batch(tuple(asked[start : start + BATCH])))
        return answers

    def _patient(self, batch: Batch) -> Flow[list[Any]]:
        tries, reason = 0, ""
        while True:
            try:
                answers: list[Any] = yield batch
            except Unreachable as error:
                tries, reason = tries + 1, str(error)
                if error.final or tries > self.options.retries:
                    break
            else:
                return answers
            yield Sleep(min(2.0, 0.1 * 2**tries))
        raise RpcUnavailable(
            f"{self.name}: no answer to {batch.requests[0].method} in {tries} tries: {reason}",
            hint="check the URL and that the node runs; nothing was lost, the same command can be given again",
        )

    def ask(self, method: str, *params: Any) -> Flow[Any]:
        """One result; a fault becomes an error."""
        (answer,) = yield from self.batch([Request(method, params)])
        if isinstance(answer, Fault):
            raise self.error(answer, method)
        return answer

    def read_many(self, calls: Sequence[Call[T]], *, block: str = "latest") -> Flow[list[T]]:
        """Results of view calls, batched. ProtocolRevert if a contract refuses one."""
        asked = [Request("eth_call", ({"to": call.to, "data": "0x" + call.data.hex()}, block)) for call in calls]
        answers = yield from self.batch(asked)
        return [self._result(call, answer) for call, answer in zip(calls, answers, strict=True)]

    @overload
    def read(self, a: Call[A], /, *, block: str = ...) -> Flow[tuple[A]]: ...
    @overload
    def read(self, a: Call[A], b: Call[B], /, *, block: str = ...) -> Flow[tuple[A, B]]: ...
    @overload
    def read(self, a: Call[A], b: Call[B], c: Call[C], /, *, block: str = ...) -> Flow[tuple[A, B, C]]: ...
    @overload
    def read(
        self, a: Call[A], b: Call[B], c: Call[C], d: Call[D], /, *, block: str = ...
    ) -> Flow[tuple[A, B, C, D]]: ...
    def read(self, *calls: Call[Any], block: str = "latest") -> Flow[tuple[Any, ...]]:
        """The same for up to four calls of different types, as a tuple."""
        return tuple((yield from self.read_many(calls, block=block)))

    def one(self, call: Call[T], *, block: str = "latest") -> Flow[T]:
        """The result of one view call."""
        (result,) = yield from self.read(call, block=block)
        return result

    def _result(self, call: Call[T], answer: Any) -> T:
        if isinstance(answer, Fault):
            raise self.error(answer, call.name)
        return call.decode(blob(answer, call.name))

    def error(self, fault: Fault, subject: str) -> PdfedError:
        """A fault as the error a user should see: a decoded revert where there is one."""
        data = revert_data(fault)
        if data is not None:
            return decode_revert(data, subject, self.amounts)
        return ChainError(f"{self.name}: {subject} was refused: {fault.message[:500]} (code {fault.code})")

    def block(self, tag: str | int) -> Flow[dict[str, Any]]:
        """A block header by number or tag; ChainError if the endpoint does not have it."""
        found = yield from self.ask("eth_getBlockByNumber", hex(tag) if isinstance(tag, int) else tag, False)
        return header(found, str(tag))


def revert_data(fault: Fault) -> bytes | None:
    """Revert bytes of an ``eth_call`` fault, wherever this endpoint puts them; None if it was no revert."""
    data = fault.data
    while isinstance(data, dict):
        data = data.get("data", data.get("result", data.get("originalError")))
    if isinstance(data, str):
        text = data.removeprefix("Reverted ")
        if text.startswith("0x"):
            try:
                return bytes.fromhex(text[2:])
            except ValueError:
                return None
    return b"" if "revert" in fault.message.lower() else None


# --- the two bodies --------------------------------------------------------------------------------------------------


def _pack(batch: Batch) -> bytes:
    items = [
        {"jsonrpc": "2.0", "id": number, "method": request.method, "params": request.params}
        for number, request in enumerate(batch.requests)
    ]
    return json.dumps(items if len(items) > 1 else items[0]).encode()


def _shallow(data: bytes) -> bool:
    """Whether JSON is nested no deeper than JSON-RPC needs: Python's parser recurses, and can be made to crash."""
    depth = 0
    for byte in data.translate(None, _NOT_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > _DEPTH:
            return False
    return True


def _unpack(data: bytes, asked: Sequence[Request], limit: int) -> list[Any]:
    """Answers in order. Of logs that are too large each request gets a fault: who asked may ask for fewer blocks."""
    count = len(asked)
    if len(data) > limit:
        told = f"the reply is larger than {limit} bytes"
        if any(request.method == "eth_getLogs" for request in asked):
            return [Fault(_TOO_LARGE, told)] * count
        raise Unreachable(told, final=True)
    if not _shallow(data):
        raise Unreachable(f"the reply is nested deeper than {_DEPTH} levels", final=True)
    try:
        replies = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreachable(f"the reply is not JSON ({error})") from None
    listed = replies if isinstance(replies, list) else [replies]
    found = {r["id"]: _answer(r) for r in listed if isinstance(r, dict) and isinstance(r.get("id"), int)}
    answered = len(set(found) & set(range(count)))
    if answered < count:
        refused = next((str(r["error"])[:200] for r in listed if isinstance(r, dict) and r.get("error")), None)
        raise Unreachable(f"{answered} of {count} requests were answered{f': {refused}' if refused else ''}")
    return [found[number] for number in range(count)]


def _answer(reply: dict[str, Any]) -> Any:
    error = reply.get("error")
    if error is None:
        return reply.get("result")
    if not isinstance(error, dict):
        return Fault(0, str(error)[:500])
    code = error.get("code")
    return Fault(code if isinstance(code, int) else 0, str(error.get("message", ""))[:2000], error.get("data"))


def _check_status(status: int) -> None:
    if status == 429 or status >= 500:
        raise Unreachable(f"HTTP {status}")
    if status >= 300:
        raise Unreachable(f"HTTP {status}", final=True)


class _Endpoints:
    """One endpoint, or several of the same chain, which take turns: the next one is asked when one does not answer."""

    def __init__(self, given: str | Provider) -> None:
        self._all = [given] if not isinstance(given, str) else [_check_url(url.strip()) for url in given.split(",")]
        self._at = 0

    def __len__(self) -> int:
        return len(self._all)

    @property
    def now(self) -> str | Provider:
        return self._all[self._at]

    def next(self, error: Unreachable) -> Unreachable:
        """Turn to the next one; what one endpoint cannot do for good, another may."""
        if len(self._all) == 1:
            return error
        self._at = (self._at + 1) % len(self._all)
        return Unreachable(str(error))


def _check_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"RPC URL {url!r} is not http(s)", hint="for IPC or WebSocket pass a web3 provider")
    return url


class Wire:
    """Drives flows blocking, over HTTP (one URL, or several of the same chain, comma-separated) or a web3 provider."""

    def __init__(self, endpoint: str | Provider, options: Options) -> None:
        self._endpoints = _Endpoints(endpoint)
        self._options = options
        self._session = requests.Session()

    def run(self, flow: Flow[T]) -> T:
        answer: Any = None
        failure: Exception | None = None
        try:
            while True:
                try:
                    step = flow.send(answer) if failure is None else flow.throw(failure)
                except StopIteration as done:
                    result: T = done.value
                    return result
                answer = failure = None
                if isinstance(step, Sleep):
                    time.sleep(step.seconds)
                    continue
                for _ in range(len(self._endpoints)):
                    try:
                        answer, failure = self._carry(step), None
                        break
                    except Unreachable as error:
                        failure = self._endpoints.next(error)
        finally:
            flow.close()

    def _carry(self, batch: Batch) -> list[Any]:
        endpoint = self._endpoints.now
        if not isinstance(endpoint, str):
            return [_through(endpoint.make_request, request) for request in batch.requests]
        limit, wait = self._options.max_reply, self._options.request_timeout
        try:
            with self._session.post(
                endpoint,
                data=_pack(batch),
                headers={"content-type": "application/json"},
                timeout=wait,
                stream=True,
                allow_redirects=False,
            ) as reply:
                _check_status(reply.status_code)
                data = bytearray()
                for part in reply.iter_content(1 << 16):
                    data += part
                    if len(data) > limit:
                        break
        except requests.RequestException as error:
            raise Unreachable(_reason(error)) from None
        return _unpack(bytes(data), batch.requests, limit)

    def close(self) -> None:
        self._session.close()


class AsyncWire:
    """The same, awaiting, over HTTP or an async web3 provider. One event loop an instance."""

    def __init__(self, endpoint: str | Provider, options: Options) -> None:
        self._endpoints = _Endpoints(endpoint)
        self._options = options
        self._session: aiohttp.ClientSession | None = None

    async def run(self, flow: Flow[T]) -> T:
        answer: Any = None
        failure: Exception | None = None
        try:
            while True:
                try:
                    step = flow.send(answer) if failure is None else flow.throw(failure)
                except StopIteration as done:
                    result: T = done.value
                    return result
                answer = failure = None
                if isinstance(step, Sleep):
                    await asyncio.sleep(step.seconds)
                    continue
                for _ in range(len(self._endpoints)):
                    try:
                        answer, failure = await self._carry(step), None
                        break
                    except Unreachable as error:
                        failure = self._endpoints.next(error)
        finally:
            flow.close()

    async def _carry(self, batch: Batch) -> list[Any]:
        endpoint = self._endpoints.now
        if not isinstance(endpoint, str):
            return [await _through_async(endpoint.make_request, request) for request in batch.requests]
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=True)
        limit = self._options.max_reply
        wait = aiohttp.ClientTimeout(total=self._options.request_timeout)
        headers = {"content-type": "application/json"}
        try:
            async with self._session.post(
                endpoint, data=_pack(batch), headers=headers, timeout=wait, allow_redirects=False
            ) as reply:
                _check_status(reply.status)
                data = bytearray()
                async for part in reply.content.iter_chunked(1 << 16):
                    data += part
                    if len(data) > limit:
                        break
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(_reason(error)) from None
        return _unpack(bytes(data), batch.requests, limit)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _through(make_request: Any, request: Request) -> Any:
    try:
        return _answer(dict(make_request(request.method, list(request.params))))
    except Exception as error:
        raise Unreachable(_reason(error)) from error


async def _through_async(make_request: Any, request: Request) -> Any:
    try:
        return _answer(dict(await make_request(request.method, list(request.params))))
    except Exception as error:
        raise Unreachable(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """A short reason without the endpoint's URL, which may hold an API key."""
    text = str(error).lower()
    for sign, meaning in (("refused", "connection refused"), ("resolve", "host not found"), ("timed out", "timed out")):
        if sign in text:
            return meaning
    return "timed out" if isinstance(error, TimeoutError) else type(error).__name__
