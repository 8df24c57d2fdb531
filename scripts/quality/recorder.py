#!/usr/bin/env python3
"""Stands in for anvil (PDFED_ANVIL) and records which branches of instrumented contracts the requests take.

It starts the real anvil on another port, passes each JSON-RPC request on, and asks for the call trace of each call and
each mined transaction. `pdfed_test` names the test that the following requests belong to. What a test is the first to
touch is appended to $PDFED_HITS at once, a JSON line each time: nothing is lost when this process is killed.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from branches import BASE

ROOT = Path(__file__).resolve().parents[2]
PREFIX = f"0x{BASE:040x}"[:30]
SENDING = ("eth_sendTransaction", "eth_sendRawTransaction")
TRACER = {"tracer": "callTracer"}


class Recorder:
    def __init__(self, port: int, out: Path) -> None:
        self.node = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.out = out.open("a", buffering=1)
        self.test = ""
        self.seen: set[tuple[str, int]] = set()
        self.waiting: list[str] = []

    def forward(self, body: bytes) -> bytes:
        self.node.request("POST", "/", body, {"Content-Type": "application/json"})
        return self.node.getresponse().read()

    def ask(self, method: str, *params: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = json.loads(self.forward(json.dumps(request).encode()))
        if "result" not in answer:
            raise RuntimeError(f"{method}: {answer}")
        return answer["result"]

    def handle(self, body: bytes) -> bytes:
        asked = json.loads(body)
        if isinstance(asked, list):  # one by one: a call is traced in the state it was made in
            return json.dumps([self.answer(request) for request in asked]).encode()
        return json.dumps(self.answer(asked)).encode()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        method, params = request["method"], request.get("params", [])
        if method == "pdfed_test":
            self.test = params[0]
            return {"jsonrpc": "2.0", "id": request["id"], "result": True}
        reply: dict[str, Any] = json.loads(self.forward(json.dumps(request).encode()))
        self.follow(method, params, reply)
        return reply

    def follow(self, method: str, params: list[Any], reply: dict[str, Any]) -> None:
        """Trace what this request has executed."""
        if method == "eth_call":
            overrides = dict(zip(("stateOverrides", "blockOverrides"), params[2:], strict=False))
            block = params[1] if len(params) > 1 else "latest"
            self.record(self.ask("debug_traceCall", params[0], block, TRACER | overrides))
        if method in SENDING and "result" in reply:
            self.waiting.append(reply["result"])
        if self.waiting and method in (*SENDING, "evm_mine", "eth_getTransactionReceipt"):
            mined = [tx for tx in self.waiting if self.ask("eth_getTransactionReceipt", tx)]
            for tx in mined:
                self.record(self.ask("debug_traceTransaction", tx, TRACER))
            self.waiting = [tx for tx in self.waiting if tx not in mined]

    def record(self, trace: dict[str, Any]) -> None:
        new = sorted({n for n in touched(trace) if (self.test, n) not in self.seen})
        if new:
            self.seen.update((self.test, n) for n in new)
            self.out.write(json.dumps({"test": self.test, "touched": new}) + "\n")


def touched(call: dict[str, Any]) -> Iterator[int]:
    to = call.get("to") or ""
    if to.startswith(PREFIX):
        yield int(to, 16) - BASE
    for inner in call.get("calls", []):
        yield from touched(inner)


def start_anvil(args: list[str]) -> int:
    """Start the real one with these arguments on a port of its own; it ends with this process."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = int(s.getsockname()[1])
    args[args.index("--port") + 1] = str(port)
    anvil = next((ROOT / "node_modules/@foundry-rs").glob("anvil-*/bin/anvil"))

    def die_with_parent() -> None:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)

    subprocess.Popen([str(anvil), *args, "--disable-code-size-limit"], preexec_fn=die_with_parent)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return port
        except OSError:
            time.sleep(0.05)


def main() -> None:
    args = sys.argv[1:]
    port = int(args[args.index("--port") + 1])
    recorder = Recorder(start_anvil(args), Path(os.environ["PDFED_HITS"]))
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with one_at_a_time:
                body = recorder.handle(body)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
