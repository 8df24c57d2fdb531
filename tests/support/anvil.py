"""The one place where tests start an anvil: a process on a loopback port of its own, and its cheat codes."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[2]
ETHER = 10**18


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program() -> str:
    """The binary itself: the launcher in node_modules/.bin leaves its child behind when it is killed.
    ``PDFED_ANVIL`` names a stand-in that records what is executed."""
    found = os.environ.get("PDFED_ANVIL") or next((ROOT / "node_modules/@foundry-rs").glob("anvil-*/bin/anvil"), None)
    if found is None:
        raise RuntimeError("anvil is missing: run npm ci")
    return str(found)


def launch(*options: str, seconds: float = 30.0) -> tuple[subprocess.Popen[bytes], int]:
    """Start anvil; it ends with this process. Its port comes second."""
    for _ in range(3):  # another process may take the port in between
        port = free_port()
        command = [program(), "--port", str(port), "--quiet", *options]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        atexit.register(process.kill)
        deadline = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return process, port
            except OSError:
                time.sleep(0.02)
        process.kill()
    raise RuntimeError(f"anvil did not start: {' '.join(command)}")


@dataclass
class Anvil:
    """A running anvil and its cheat codes."""

    url: str
    process: subprocess.Popen[bytes]

    def ask(self, method: str, *params: Any) -> Any:
        reply = requests.post(
            self.url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, timeout=10
        )
        answer = reply.json()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def mine(self, blocks: int = 1) -> None:
        self.ask("anvil_mine", hex(blocks))

    def warp(self, timestamp: int) -> None:
        """The next block has this timestamp."""
        self.ask("evm_setNextBlockTimestamp", hex(timestamp))
        self.mine()

    def endow(self, address: str) -> None:
        self.ask("anvil_setBalance", address, hex(100 * ETHER))


def start_anvil(*options: str) -> Anvil:
    process, port = launch(*options)
    return Anvil(f"http://127.0.0.1:{port}", process)
