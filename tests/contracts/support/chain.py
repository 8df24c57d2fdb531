"""A private anvil with brownie attached: time set to the second, reverts decoded, snapshots.

Illegal calls are simulated (`eth_call` with a block time) so that their revert data arrives undistorted; legal ones are
real transactions through brownie. One process has one chain: several pytest workers each start their own.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from eth_abi import decode
from eth_utils import keccak

ROOT = Path(__file__).resolve().parents[3]
ACCOUNTS = 80


class Reverted(AssertionError):
    """A call reverted: `name` and `args` of the custom error (or Error/Panic)."""

    def __init__(self, name: str, values: tuple[Any, ...]) -> None:
        super().__init__(f"{name}{values}")
        self.name, self.values = name, values


@contextlib.contextmanager
def _environment(home: str) -> Iterator[None]:
    """HOME, PATH and compiler folder for brownie, only while it is imported and compiles."""
    path = os.pathsep.join([str(ROOT / "node_modules/.bin"), os.environ["PATH"]])
    changed = {"HOME": home, "PATH": path, "SOLCX_BINARY_PATH": str(ROOT / ".solc")}
    before = {key: os.environ.get(key) for key in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.__setitem__(key, value)


@cache
def load_project() -> Any:
    """The compiled brownie project. Safe with several processes: compiling is behind a file lock."""
    home = tempfile.mkdtemp(prefix="pdfed-brownie-")
    (ROOT / "build").mkdir(exist_ok=True)
    with _environment(home), (ROOT / "build" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        import brownie.network.contract as contract
        from brownie import project

        contract._add_deployment = lambda *a, **k: None
        for artefact in (ROOT / "build" / "contracts").glob("*.json"):  # brownie trips over sources that are gone
            if not (ROOT / json.loads(artefact.read_text())["sourcePath"]).exists():
                artefact.unlink()
        loaded = next((p for p in project.get_loaded_projects()), None)
        return loaded or project.load(ROOT, raise_if_loaded=False)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@cache
def connect() -> Chain:
    """Start anvil once a process and attach brownie to it."""
    project = load_project()
    port = _free_port()
    # the program itself: its npm launcher would leave it running when killed
    anvil = next((ROOT / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil"))
    command = [str(anvil), "--port", str(port), "--base-fee", "0", "--hardfork", "cancun"]
    command += ["--accounts", str(ACCOUNTS), "--balance", "1000000", "--gas-limit", "200000000", "--quiet"]
    command += ["--steps-tracing"] if os.environ.get("PDFED_TRACE") else []  # for profiles and coverage; slow
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(process.kill)
    from brownie import network
    from brownie._config import CONFIG
    from brownie.network import transaction

    # brownie sleeps a whole second where a receipt is not there at once; anvil has it in milliseconds
    transaction.time = SimpleNamespace(time=time.time, sleep=lambda _: time.sleep(0.005))

    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("anvil did not start")
        time.sleep(0.05)
    CONFIG.networks["development"] = {
        "id": "development",
        "cmd": "anvil",
        "host": f"http://127.0.0.1:{port}",
        "timeout": 60,
        "cmd_settings": {},
    }
    network.connect("development")
    return Chain(project)


class Chain:
    """The chain, its accounts, and the clock."""

    def __init__(self, project: Any) -> None:
        from brownie import accounts, web3

        self.project, self.web3 = project, web3
        self.accounts = list(accounts)
        self.errors: dict[bytes, tuple[str, list[str]]] = {
            keccak(text="Error(string)")[:4]: ("Error", ["string"]),
            keccak(text="Panic(uint256)")[:4]: ("Panic", ["uint256"]),
        }
        for container in (
            [*project.dict().values(), *project.interface._names.values()]
            if hasattr(project.interface, "_names")
            else project.dict().values()
        ):
            for item in getattr(container, "abi", []):
                if item["type"] == "error":
                    types = [entry["type"] for entry in item["inputs"]]
                    selector = keccak(text=f"{item['name']}({','.join(types)})")[:4]
                    self.errors[selector] = (item["name"], types)

    def rpc(self, method: str, *params: Any) -> Any:
        answer = self.web3.provider.make_request(method, list(params))
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    @property
    def now(self) -> int:
        """Time of the latest block."""
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def at(self, timestamp: int) -> None:
        """The next block carries exactly this time."""
        self.rpc("evm_setNextBlockTimestamp", timestamp)

    def travel(self, timestamp: int) -> None:
        """Mine an empty block at this time."""
        self.at(timestamp)
        self.rpc("evm_mine")

    def snapshot(self) -> str:
        return str(self.rpc("evm_snapshot"))

    def revert(self, snapshot: str) -> None:
        from brownie.network.state import _notify_registry

        self.rpc("evm_revert", snapshot)
        _notify_registry()

    def block(self, calls: list[tuple[Any, tuple[Any, ...], Any]], at: int) -> list[bool]:
        """Mine one block at this time with all `calls` (function, arguments, sender), in order; which succeeded."""
        self.rpc("evm_setAutomine", False)
        try:
            hashes = [
                self.rpc("eth_sendTransaction", {
                    "from": str(sender), "to": function._address, "data": function.encode_input(*args),
                    "gas": hex(5_000_000), "gasPrice": "0x0",
                })
                for function, args, sender in calls
            ]  # fmt: skip
            self.travel(at)
        finally:
            self.rpc("evm_setAutomine", True)
        receipts = [self.rpc("eth_getTransactionReceipt", h) for h in hashes]
        assert len({r["blockNumber"] for r in receipts}) == 1
        return [int(r["status"], 16) == 1 for r in receipts]

    def simulate(self, function: Any, *args: Any, sender: Any, at: int | None = None, to: str | None = None) -> bytes:
        """Call without sending, at block time `at` (default: now). Raises `Reverted`; returns the raw result."""
        data = function.encode_input(*args)
        call = {"from": str(sender), "to": to or function._address, "data": data, "gas": hex(30_000_000)}
        overrides = [{}, {"time": hex(self.now if at is None else at)}]
        answer = self.web3.provider.make_request("eth_call", [call, "latest", *overrides])
        if "error" in answer:
            raw = answer["error"].get("data")
            if not isinstance(raw, str):
                raise RuntimeError(str(answer["error"]))
            raise self.decode_revert(bytes.fromhex(raw[2:]))
        return bytes.fromhex(answer["result"][2:])

    def decode_revert(self, raw: bytes) -> Reverted:
        if raw[:4] not in self.errors:
            return Reverted("unknown", (raw.hex(),))
        name, types = self.errors[raw[:4]]
        return Reverted(name, tuple(decode(types, raw[4:])))

    def reverts(
        self, error: str, *values: Any, call: Any, args: tuple[Any, ...] = (), sender: Any, at: int | None = None
    ) -> None:
        """Assert that the call reverts with this custom error and, where given, exactly these values."""
        got = self.outcome(call, *args, sender=sender, at=at)
        assert got is not None, f"expected revert {error}{values}, but the call succeeds"
        assert got.name == error, f"expected {error}{values}, got {got}"
        if values:
            want = tuple(_plain(v) for v in values)
            assert got.values == want, f"expected {error}{want}, got {got}"

    def outcome(self, call: Any, *args: Any, sender: Any, at: int | None = None) -> Reverted | None:
        """How a call would revert; None if it would succeed."""
        try:
            self.simulate(call, *args, sender=sender, at=at)
        except Reverted as error:
            return error
        return None


def _plain(value: Any) -> Any:
    """A value as `eth_abi` decodes it."""
    if hasattr(value, "address") or isinstance(value, str):
        return str(value).lower()
    return value
