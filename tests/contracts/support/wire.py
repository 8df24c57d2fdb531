"""A private anvil and the shortest way to it: JSON-RPC over one connection that stays open, calls in batches.

Brownie compiles and deploys; what runs thousands of times goes through here. A machine that mines 300 transactions a
second needs all calls of a block in one request and all reads of a step in one more.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import socket
import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi import decode, encode
from eth_utils import keccak

from tests.support import anvil

ROOT = Path(__file__).resolve().parents[3]
ACCOUNTS = 80
GAS = hex(30_000_000)
INSTRUMENTED = "PDFED_HITS" in os.environ  # coverage puts probes into the code: gas says nothing then


class Reverted(AssertionError):
    """A call reverted: `name` and `values` of the custom error (or Error/Panic)."""

    def __init__(self, name: str, values: tuple[Any, ...]) -> None:
        super().__init__(f"{name}{values}")
        self.name, self.values = name, values


def launch(*options: str, accounts: int = ACCOUNTS) -> tuple[subprocess.Popen[bytes], int]:
    """Start an anvil without a base fee, with rich accounts that need no signature; its port comes second."""
    chosen = ["--base-fee", "0", "--hardfork", "cancun", "--accounts", str(accounts), "--balance", "1000000"]
    chosen += ["--gas-limit", "200000000", "--auto-impersonate", "--order", "fifo", *options]
    return anvil.launch(*chosen)


class Wire:
    """One connection to a JSON-RPC endpoint on this machine."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=120)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = port
        self._numbers = itertools.count(1)

    def batch(self, requests: Iterable[tuple[str, Sequence[Any]]]) -> list[Any]:
        """All requests in one message; an answer is its result, or the error as a dict {"error": ...}."""
        body = [
            {"jsonrpc": "2.0", "id": next(self._numbers), "method": method, "params": list(params)}
            for method, params in requests
        ]
        if not body:
            return []
        self._connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        answers = {a["id"]: a for a in json.loads(self._connection.getresponse().read())}
        return [answers[b["id"]].get("result") if "error" not in answers[b["id"]] else answers[b["id"]] for b in body]

    def rpc(self, method: str, *params: Any) -> Any:
        answer = self.batch([(method, params)])[0]
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer


def type_of(entry: dict[str, Any]) -> str:
    """Canonical ABI type: tuples written out."""
    kind = str(entry["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(type_of, entry['components']))}){kind[5:]}"


class Interface:
    """Functions and errors of one ABI."""

    def __init__(self, abi: list[dict[str, Any]]) -> None:
        self.functions: dict[str, tuple[bytes, list[str], list[str]]] = {}
        self.errors: dict[bytes, tuple[str, list[str]]] = {}
        self.construction: list[str] = []
        for item in abi:
            types = [type_of(entry) for entry in item.get("inputs", [])]
            selector = keccak(text=f"{item.get('name')}({','.join(types)})")[:4]
            if item["type"] == "function":
                outputs = [type_of(entry) for entry in item["outputs"]]
                self.functions[item["name"]] = (selector, types, outputs)
            elif item["type"] == "constructor":
                self.construction = types
            elif item["type"] == "error":
                self.errors[selector] = (item["name"], types)

    def data(self, name: str, *args: Any) -> bytes:
        """Call data."""
        selector, types, _ = self.functions[name]
        return selector + encode(types, args) if types else selector

    def result(self, name: str, raw: bytes) -> tuple[Any, ...]:
        return tuple(decode(self.functions[name][2], raw))


class Errors:
    """Decodes revert data by the errors of all known ABIs."""

    def __init__(self, interfaces: Iterable[Interface]) -> None:
        self.known = {
            keccak(text="Error(string)")[:4]: ("Error", ["string"]),
            keccak(text="Panic(uint256)")[:4]: ("Panic", ["uint256"]),
        }
        for interface in interfaces:
            self.known.update(interface.errors)

    def decode(self, raw: bytes) -> Reverted:
        if raw[:4] not in self.known:
            return Reverted("unknown", (raw.hex(),))
        name, types = self.known[raw[:4]]
        return Reverted(name, tuple(decode(types, raw[4:])))


def returned(answer: Any) -> tuple[bytes, bool]:
    """(bytes, reverted) of an `eth_call`; anything else than a revert is an error of the test."""
    if not isinstance(answer, dict):
        return bytes.fromhex(answer[2:]), False
    raw = answer["error"].get("data")
    if not isinstance(raw, str):
        raise RuntimeError(str(answer["error"]))
    return bytes.fromhex(raw[2:]), True


def call(sender: str, to: str, data: bytes, at: int | None = None) -> tuple[str, list[Any]]:
    """An `eth_call` on the latest state, at block time `at` where given."""
    message = {"from": sender, "to": to, "data": "0x" + data.hex(), "gas": GAS}
    return "eth_call", [message, "latest", *([] if at is None else [{}, {"time": hex(at)}])]


def substitutes() -> dict[str, str]:
    """Creation codes that stand in for compiled contracts, by name: instrumented for coverage, or a mutant."""
    named = os.environ.get("PDFED_BYTECODE")
    return dict(json.loads(Path(named).read_text())) if named else {}


@cache
def artefact(name: str, folder: Path = ROOT / "build" / "contracts") -> tuple[Interface, str]:
    """Interface and creation code of a compiled contract, as brownie or forge writes it."""
    paths = [folder / f"{name}.json", *folder.glob(f"*.sol/{name}.json")]
    found = next((path for path in paths if path.exists()), None)
    if found is None:
        raise FileNotFoundError(f"no artefact of {name} in {folder}: compile first (make setup)")
    content = json.loads(found.read_text())
    code = substitutes().get(name, content["bytecode"])
    return Interface(content["abi"]), (code["object"] if isinstance(code, dict) else code).removeprefix("0x")
