"""What the machines test: whose contracts, on which chain. A fork names its own here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_abi import encode
from support.task import GENESIS
from support.wire import GAS, ROOT, Errors, Interface, Wire, artefact, launch

PARTS = ("StakeVault", "ModelRegistry", "ScoreBook", "RewardPool")
Task = tuple[str, str, str, str]


@dataclass(frozen=True)
class Target:
    """Contracts under test. The default is this repository's own, freshly deployed on a private anvil.

    artefacts: folder of compiled contracts, as brownie (`X.json`) or forge (`X.sol/X.json`) writes it: the four parts
        of a task and TaskFactory, with the ABI of `interfaces/`.
    code: creation code (hex) that takes the place of an artefact's, by contract name.
    factory: address of a factory that stands on the chain at `port`; then nothing is compiled or deployed of the task.
    port: a running anvil on this machine; its clock and its accounts are used freely, and every example is undone.
    make: `make(wire, sponsor, params) -> (vault, registry, book, pool)` creates a task where no factory does; `params`
        are the fields of TaskParams in their order.
    """

    artefacts: Path = ROOT / "build" / "contracts"
    code: Mapping[str, str] = field(default_factory=dict)
    factory: str | None = None
    port: int | None = None
    make: Callable[[Wire, str, tuple[Any, ...]], Task] | None = None


class Chain:
    """The chain of a target: deploys, sends and creates tasks, one transaction a block; machines send whole blocks."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.process, port = (None, target.port) if target.port else launch("--prune-history", accounts=1)
        self.wire = Wire(port)
        names = [*PARTS, "TaskFactory"]
        self.interfaces = {name: artefact(name, target.artefacts)[0] for name in names}
        for name in ("BlacklistToken", "TestWallet", "TestToken"):
            self.interfaces[name] = artefact(name)[0]
        self.decode_revert = Errors(self.interfaces.values()).decode
        self.deployer = str(self.wire.rpc("eth_accounts")[0]).lower()
        self.reader = self.deploy("Reader")
        self.factory = target.factory
        self.tasks = 0

    def close(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def send(self, sender: str, to: str | None, data: bytes) -> dict[str, Any]:
        """One transaction in a block of its own; its receipt."""
        message = {
            "from": sender,
            "data": "0x" + data.hex(),
            "gas": GAS,
            "gasPrice": "0x0",
            **({"to": to} if to else {}),
        }
        number = self.wire.rpc("eth_sendTransaction", message)
        receipt = None
        while receipt is None:
            receipt = self.wire.rpc("eth_getTransactionReceipt", number)
        assert int(receipt["status"], 16), f"setting up failed: {data[:4].hex()} to {to}"
        return dict(receipt)

    def deploy(self, name: str, *args: Any, sender: str | None = None) -> str:
        own = name in (*PARTS, "TaskFactory")
        interface, code = artefact(name, self.target.artefacts) if own else artefact(name)
        data = bytes.fromhex(self.target.code.get(name, code).removeprefix("0x"))
        data += encode(interface.construction, args) if args else b""
        return str(self.send(sender or self.deployer, None, data)["contractAddress"]).lower()

    def create_task(self, sponsor: str, params: tuple[Any, ...]) -> Task:
        """Addresses of a new task: vault, registry, book, pool."""
        if self.target.make:
            return self.target.make(self.wire, sponsor, params)
        if self.factory is None:
            parts = tuple(self.deploy(name) for name in PARTS)
            self.factory = self.deploy("TaskFactory", parts)
        self.tasks += 1
        interface, args = self.interfaces["TaskFactory"], (params, GENESIS, self.tasks.to_bytes(32, "big"))
        data = interface.data("predict", sponsor, args[0], args[2])
        raw = self.wire.rpc("eth_call", {"from": sponsor, "to": self.factory, "data": "0x" + data.hex()}, "latest")
        (task,) = interface.result("predict", bytes.fromhex(raw[2:]))
        self.send(sponsor, self.factory, interface.data("createTask", *args))
        return task  # type: ignore[no-any-return]


def interface_of(chain: Chain, part: str) -> Interface:
    """Interface of a part of a task by its short name."""
    names = {"vault": "StakeVault", "registry": "ModelRegistry", "book": "ScoreBook", "pool": "RewardPool"}
    return chain.interfaces[names.get(part, "BlacklistToken")]
