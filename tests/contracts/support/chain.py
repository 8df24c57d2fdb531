"""A private anvil with brownie attached: time set to the second, reverts decoded, snapshots.

Illegal calls are simulated (`eth_call` with a block time) so that their revert data arrives undistorted; legal ones are
real transactions. Brownie compiles, deploys and decodes events; everything else goes over the wire. One process has one
chain: several pytest workers each start their own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from functools import cache, cached_property
from types import SimpleNamespace
from typing import Any

from .wire import GAS, ROOT, Errors, Interface, Reverted, Wire, call, launch, returned, substitutes


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
        loaded = loaded or project.load(ROOT, raise_if_loaded=False)
    for name, code in substitutes().items():
        loaded[name]._build["bytecode"] = code
    return loaded


@cache
def connect() -> Chain:
    """Start anvil once a process and attach brownie to it."""
    project = load_project()
    _, port = launch("--steps-tracing") if os.environ.get("PDFED_TRACE") else launch()  # traces are slow
    from brownie import network
    from brownie._config import CONFIG
    from brownie.network import transaction

    # brownie sleeps a whole second where a receipt is not there at once; anvil has it in milliseconds
    transaction.time = SimpleNamespace(time=time.time, sleep=lambda _: time.sleep(0.005))

    CONFIG.networks["development"] = {
        "id": "development",
        "cmd": "anvil",
        "host": f"http://127.0.0.1:{port}",
        "timeout": 60,
        "cmd_settings": {},
    }
    network.connect("development")
    return Chain(project, Wire(port))


class Receipt:
    """A mined transaction; its events are decoded by brownie when somebody asks."""

    def __init__(self, web3: Any, raw: dict[str, Any]) -> None:
        self._web3, self._hash = web3, raw["transactionHash"]
        self.gas_used = int(raw["gasUsed"], 16)

    @property
    def calldata(self) -> bytes:
        return bytes(self._web3.eth.get_transaction(self._hash)["input"])

    @cached_property
    def events(self) -> Any:
        from brownie.network.event import _decode_logs

        return _decode_logs(self._web3.eth.get_transaction_receipt(self._hash)["logs"])


class Chain:
    """The chain, its accounts, and the clock."""

    def __init__(self, project: Any, wire: Wire) -> None:
        from brownie import accounts, web3

        self.project, self.web3, self.wire, self.rpc = project, web3, wire, wire.rpc
        self.accounts = list(accounts)
        contracts = [*project.dict().values(), *getattr(project.interface, "_names", {}).values()]
        self.decode_revert = Errors(Interface(getattr(c, "abi", [])) for c in contracts).decode

    @property
    def now(self) -> int:
        """Time of the latest block."""
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def account(self, secret: str) -> Any:
        """An account whose key is known, with money for gas: it can sign without sending."""
        from brownie import accounts

        account = accounts.add(secret)
        self.rpc("anvil_setBalance", str(account), hex(10**20))
        return account

    def decode_logs(self, raw: list[dict[str, Any]]) -> list[Any]:
        """Events of logs as the node tells them."""
        from brownie.network.event import _decode_logs
        from hexbytes import HexBytes

        logs = [{**log, "topics": [HexBytes(t) for t in log["topics"]], "data": HexBytes(log["data"])} for log in raw]
        return [event for log in logs for event in _decode_logs([log])]

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

    def send(self, function: Any, *args: Any, sender: Any) -> Receipt:
        """A real transaction in a block of its own; raises `Reverted` if it fails."""
        message = {"from": str(sender), "to": function._address, "data": function.encode_input(*args)}
        number = self.rpc("eth_sendTransaction", {**message, "gas": GAS, "gasPrice": "0x0"})
        raw = None
        while raw is None:  # anvil mines at once, but after it has answered
            raw = self.rpc("eth_getTransactionReceipt", number)
        if not int(raw["status"], 16):
            self.simulate(function, *args, sender=sender)
            raise Reverted("unknown", (number,))
        return Receipt(self.web3, raw)

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
        data = bytes.fromhex(function.encode_input(*args)[2:])
        request = call(str(sender), to or function._address, data, self.now if at is None else at)
        raw, reverted = returned(self.wire.batch([request])[0])
        if reverted:
            raise self.decode_revert(raw)
        return raw

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
    if hasattr(value, "address") or (isinstance(value, str) and value.startswith("0x")):
        return str(value).lower()
    return value
