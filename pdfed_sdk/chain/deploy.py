"""Deploy the contracts and create tasks from the bytecode in the package: plans, manifests, wiring checks.

brownie scripts take plans and manifests from here and sign with their own accounts; a wheel without brownie calls
``deploy_factory`` and ``create_task``. A manifest is ``deployments/<chain id>.json``; doing anything twice is a no-op.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from pdfed_sdk.chain.calls import ZERO_ADDRESS, Call, FactoryCalls, TaskCalls, TaskParams
from pdfed_sdk.chain.codec import artifact, blob, encode, fill, quantity
from pdfed_sdk.chain.connecting import cloned, same_code
from pdfed_sdk.chain.erc20 import TokenCalls
from pdfed_sdk.chain.event_types import TaskCreated, decode_log, topic
from pdfed_sdk.chain.money import Token
from pdfed_sdk.chain.parameters import PARAMETERS as PARAMETERS
from pdfed_sdk.chain.parameters import check_params as check_params
from pdfed_sdk.chain.parameters import params_table as params_table
from pdfed_sdk.chain.parameters import task_params as task_params
from pdfed_sdk.chain.reads import address, word
from pdfed_sdk.chain.rpc import Chain, Flow, Options, Provider, Request, Wire
from pdfed_sdk.chain.signers import Signer
from pdfed_sdk.chain.transactions import Sender
from pdfed_sdk.checks import Check
from pdfed_sdk.errors import (
    ChainError,
    ConfigError,
    ProtocolRevert,
    RpcUnavailable,
    TransactionFailed,
    UsageError,
    WrongChain,
)
from pdfed_sdk.files import write_durably
from pdfed_sdk.types import Address, ModelDigests, Task

PARTS = ("StakeVault", "ModelRegistry", "ScoreBook", "RewardPool")
TEST_TOKEN = ("PDFed test token", "PDF", 18)
DEFAULTS = Options()
DEPLOYMENTS = Path("deployments")
"""Where manifests are kept, below the working folder."""


# --- manifest --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """A task in a manifest; ``block`` is where its events begin."""

    registry: Address
    vault: Address
    book: Address
    pool: Address
    token: Address
    sponsor: Address
    block: int

    @property
    def task(self) -> Task:
        return Task(registry=self.registry, vault=self.vault, book=self.book, pool=self.pool)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is deployed on a chain: contract name → address, and tasks. ``block`` is the factory's."""

    chain_id: int
    contracts: Mapping[str, Address]
    block: int
    tasks: tuple[TaskEntry, ...] = ()

    @property
    def factory(self) -> Address:
        return self.contracts["TaskFactory"]

    @property
    def token(self) -> Address | None:
        """The test token; None where there is none."""
        return self.contracts.get("TestToken")

    @classmethod
    def empty(cls, chain_id: int) -> Manifest:
        """A chain on which nothing is deployed yet."""
        return cls(chain_id, {}, 0)

    def with_contract(self, name: str, place: str, block: int) -> Manifest:
        """The manifest with a contract added, deployed in ``block``."""
        contracts = {**self.contracts, name: address(place, name)}
        return replace(self, contracts=contracts, block=block if name == "TaskFactory" else self.block)

    def with_task(self, entry: TaskEntry) -> Manifest:
        """The manifest with a task added; unchanged if it has it."""
        known = any(task.registry == entry.registry for task in self.tasks)
        return self if known else replace(self, tasks=(*self.tasks, entry))

    def save(self, folder: Path | None = None) -> Path:
        """Write ``<folder>/<chain id>.json`` durably; the folder is DEPLOYMENTS of the working folder by default."""
        path = (folder or DEPLOYMENTS) / f"{self.chain_id}.json"
        write_durably(path, (json.dumps(asdict(self), indent=1) + "\n").encode())
        path.chmod(0o644)
        return path

    @classmethod
    def load(cls, chain_id: int, folder: Path | None = None) -> Manifest | None:
        """The manifest of a chain; None if there is none, ConfigError if it is damaged. Without a folder, that of the
        working folder, else the one that is shipped with the package."""
        path = (folder or DEPLOYMENTS) / f"{chain_id}.json"
        if folder is None and not path.exists():
            path = shipped() / path.name
        try:
            kept = json.loads(path.read_text())
            tasks = tuple(fill(TaskEntry, item) for item in kept["tasks"])
            contracts = {str(name): address(place) for name, place in kept["contracts"].items()}
            return cls(int(kept["chain_id"]), contracts, int(kept["block"]), tasks)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"manifest {path} cannot be read ({error!r})", hint="deploy again") from None


def shipped() -> Path:
    """Folder of the manifests that are shipped with the package; nothing is ever written there."""
    return Path(str(files("pdfed_sdk.chain"))) / "deployments"


# --- plan ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One deployment: a contract, and how its constructor is fed from what was deployed before."""

    contract: str
    size: int
    why: str

    @property
    def name(self) -> str:
        return self.contract


_WHY = {
    "StakeVault": "implementation, cloned for each task",
    "ModelRegistry": "implementation, cloned for each task",
    "ScoreBook": "implementation, cloned for each task",
    "RewardPool": "implementation, cloned for each task",
    "TaskFactory": "makes tasks",
    "TaskLens": "paged views",
    "TestToken": "ERC-20 for development; anybody may mint",
}


def plan_factory(*, token: bool = True, known: Manifest | None = None) -> list[Step]:
    """What is still to be deployed, in order; empty when ``known`` has it all."""
    wanted = [*PARTS, "TaskFactory", "TaskLens", *(["TestToken"] if token else [])]
    have = known.contracts if known else {}
    return [Step(name, len(artifact(name).runtime), _WHY[name]) for name in wanted if name not in have]


def initcode(step: Step | str, deployed: Mapping[str, Address]) -> bytes:
    """Creation code of a step, constructor arguments included, given what is deployed already."""
    name = step if isinstance(step, str) else step.contract
    made = artifact(name)
    if not made.bytecode:
        raise UsageError(f"the package has no bytecode of {name}", hint="run scripts/export_abi.py")
    constructor: Any = next((entry for entry in made.abi if entry["type"] == "constructor"), {"inputs": []})
    return made.bytecode + encode(constructor["inputs"], _arguments(name, deployed), name)


def _arguments(name: str, deployed: Mapping[str, Address]) -> Sequence[Any]:
    if name == "TaskFactory":
        missing = [part for part in PARTS if part not in deployed]
        if missing:
            raise UsageError(f"TaskFactory needs {', '.join(missing)} first")
        return [tuple(deployed[part] for part in PARTS)]
    return TEST_TOKEN if name == "TestToken" else []


def create_call(name: str, deployed: Mapping[str, Address]) -> Call[bytes]:
    """The deployment of a contract as a call without receiver."""
    return Call(Address(""), initcode(name, deployed), lambda answer: answer, f"deployment of {name}")


# --- do it -----------------------------------------------------------------------------------------------------------


def _open(rpc: str | Provider, options: Options) -> tuple[Wire, Chain, int]:
    wire, chain = Wire(rpc, options), Chain(rpc if isinstance(rpc, str) else "RPC endpoint", options)
    return wire, chain, quantity(wire.run(chain.ask("eth_chainId")), "eth_chainId")


def deploy_factory(
    rpc: str | Provider,
    signer: Signer,
    *,
    token: bool = True,
    folder: Path | None = None,
    options: Options = DEFAULTS,
) -> Manifest:
    """Deploy what the chain's manifest lacks, save and return it. A manifest whose code is gone is begun anew."""
    wire, chain, chain_id = _open(rpc, options)
    manifest = Manifest.load(chain_id, folder)
    if manifest is None or not all(wire.run(_codes(chain, list(manifest.contracts.values())))):
        manifest = Manifest.empty(chain_id)
    sender = Sender(chain, chain_id, signer)
    for step in plan_factory(token=token, known=manifest):
        mined = wire.run(sender.send(create_call(step.contract, manifest.contracts)))
        if mined.contract is None:
            raise TransactionFailed(f"deployment of {step.contract}: the receipt names no contract")
        manifest = manifest.with_contract(step.contract, mined.contract, mined.block)
        manifest.save(folder)
    return manifest


def check_sponsor(
    rpc: str | Provider, sponsor: Address, token: str, fund: int, *, options: Options = DEFAULTS
) -> Token:
    """The token of a task that ``sponsor`` is about to make and fund with ``fund`` whole tokens; of our own test token
    if ``token`` is empty, which is minted as needed. UsageError if the sponsor lacks gas or tokens, or the address is
    no ERC-20 that tells its decimals; RpcUnavailable."""
    wire, chain, chain_id = _open(rpc, options)
    if fund < 0:
        raise UsageError(f"fund is {fund}", hint="give whole tokens, 0 for none")
    gas = quantity(wire.run(chain.ask("eth_getBalance", sponsor, "latest")), "eth_getBalance")
    if not gas and quantity(wire.run(chain.ask("eth_gasPrice")), "eth_gasPrice"):
        raise UsageError(f"the sponsor {sponsor} has no gas on chain {chain_id}", hint="send it some")
    if not token:
        return Token(*TEST_TOKEN[1:])
    calls = TokenCalls(address(token, "token"))
    try:
        wanted = calls.decimals(), calls.symbol(), calls.balance_of(sponsor)
        decimals, symbol, held = wire.run(chain.read(*wanted))
    except (ProtocolRevert, ChainError) as error:
        if isinstance(error, RpcUnavailable):
            raise
        raise UsageError(
            f"{token} tells no decimals and symbol on chain {chain_id}", hint="name the task's ERC-20"
        ) from error
    found = Token(symbol[:16], decimals)
    if held < fund * 10**decimals:
        raise UsageError(
            f"the sponsor {sponsor} holds {found.show(held)}, the pool is to get {fund:,}",
            hint="get more, or fund less",
        )
    return found


def create_task(
    rpc: str | Provider,
    signer: Signer,
    params: TaskParams,
    genesis: ModelDigests,
    manifest: Manifest,
    *,
    nonce: bytes = bytes(32),
    folder: Path | None = None,
    options: Options = DEFAULTS,
) -> TaskEntry:
    """Create a task with the manifest's factory and add it to the manifest file; the same task twice is a no-op."""
    wire, chain, chain_id = _open(rpc, options)
    if chain_id != manifest.chain_id:
        raise WrongChain(f"the manifest is of chain {manifest.chain_id}, the endpoint serves {chain_id}")
    there, exists = predict_task(rpc, manifest, signer.address, params, nonce=nonce, options=options)
    if not exists:
        call = FactoryCalls(manifest.factory).create_task(params, genesis, nonce)
        wire.run(Sender(chain, chain_id, signer).send(call))
    entry = wire.run(task_entry(chain, manifest, there.registry))
    (Manifest.load(chain_id, folder) or manifest).with_task(entry).save(folder)
    return entry


def task_entry(chain: Chain, manifest: Manifest, registry: Address) -> Flow[TaskEntry]:
    """A task of the manifest's factory, from its TaskCreated event."""
    wanted = {
        "address": manifest.factory,
        "fromBlock": hex(manifest.block),
        "toBlock": "latest",
        "topics": ["0x" + topic(TaskCreated).hex(), "0x" + word(registry).hex()],
    }
    for log in (yield from chain.ask("eth_getLogs", wanted)):
        event = decode_log(log)
        if isinstance(event, TaskCreated):
            task = event.task
            return TaskEntry(
                task.registry, task.vault, task.book, task.pool, event.params.token, event.sponsor, event.where.block
            )
    raise WrongChain(f"{registry} is no task of factory {manifest.factory}", hint="create it, or check the manifest")


def read_task_entry(
    rpc: str | Provider, manifest: Manifest, registry: str, *, options: Options = DEFAULTS
) -> TaskEntry:
    """A task of the manifest's factory, looked up on chain; WrongChain if the factory did not make it."""
    wire, chain, _ = _open(rpc, options)
    return wire.run(task_entry(chain, manifest, address(registry, "task")))


def predict_task(
    rpc: str | Provider,
    manifest: Manifest,
    sender: str,
    params: TaskParams,
    *,
    nonce: bytes = bytes(32),
    options: Options = DEFAULTS,
) -> tuple[Task, bool]:
    """Addresses ``sender`` would get for these parameters and nonce, and whether that task exists already."""
    wire, chain, _ = _open(rpc, options)
    factory = FactoryCalls(manifest.factory)
    task = wire.run(chain.one(factory.predict(address(sender, "sender"), params, nonce)))
    return task, wire.run(chain.one(factory.is_task(task.registry)))


# --- verify ----------------------------------------------------------------------------------------------------------


def verify_deployment(rpc: str | Provider, manifest: Manifest, *, options: Options = DEFAULTS) -> list[Check]:
    """Code of every contract of a manifest, and the factory's implementations."""
    wire, chain, chain_id = _open(rpc, options)
    checks = [Check("chain id", chain_id == manifest.chain_id, f"{chain_id}, manifest {manifest.chain_id}")]
    codes = wire.run(_codes(chain, list(manifest.contracts.values())))
    for (name, place), code in zip(manifest.contracts.items(), codes, strict=True):
        checks.append(Check(f"code of {name}", same_code(artifact(name), code), f"{place}, {len(code)} bytes"))
    missing = [step.contract for step in plan_factory(token=False, known=manifest)]
    checks.append(Check("all contracts are deployed", not missing, ", ".join(missing)))
    if missing or not all(codes):
        return checks
    parts = wire.run(chain.one(FactoryCalls(manifest.factory).implementations()))
    found = (parts.vault, parts.registry, parts.book, parts.pool)
    for name, place in zip(PARTS, found, strict=True):
        checks.append(Check(f"factory clones {name}", place == manifest.contracts.get(name), place))
    return checks


def verify_task(rpc: str | Provider, manifest: Manifest, registry: str, *, options: Options = DEFAULTS) -> list[Check]:
    """A task's clones, their wiring, and that the factory knows it."""
    wire, chain, _ = _open(rpc, options)
    place = address(registry, "task")
    known = wire.run(chain.one(FactoryCalls(manifest.factory).is_task(place)))
    checks = [Check("made by the factory", known, manifest.factory)]
    if not known:
        return checks
    entry = wire.run(task_entry(chain, manifest, place))
    spots = (entry.vault, entry.registry, entry.book, entry.pool)
    for name, spot, code in zip(PARTS, spots, wire.run(_codes(chain, list(spots))), strict=True):
        checks.append(Check(f"{name} is a clone", cloned(code) == manifest.contracts.get(name), spot))
    calls = TaskCalls(entry.task)
    siblings, params = wire.run(chain.read(calls.siblings(), calls.params()))
    checks.append(Check("registry names its siblings", siblings == entry.task, f"{siblings.vault} {siblings.book}"))
    signed = wire.run(chain.one(calls.eip712_chain_id()))
    checks.append(Check("votes are signed for this chain", signed == manifest.chain_id, str(signed)))
    checks.append(Check("token", params.token == entry.token != ZERO_ADDRESS, params.token))
    return checks


def _codes(chain: Chain, places: list[Address]) -> Flow[list[bytes]]:
    answers = yield from chain.batch([Request("eth_getCode", (place, "latest")) for place in places])
    return [blob(answer, "eth_getCode") for answer in answers]


# --- genesis ---------------------------------------------------------------------------------------------------------


def write_genesis(path: Path, digests: ModelDigests) -> None:
    """Digests of the genesis package as JSON, for ``create_task --genesis FILE``."""
    shown = {k: "0x" + v.hex() if isinstance(v, bytes) else v for k, v in asdict(digests).items()}
    write_durably(path, (json.dumps(shown, indent=1) + "\n").encode())


def read_genesis(path: Path) -> ModelDigests:
    """The same, read and checked; UsageError names what is wrong."""
    try:
        kept = json.loads(path.read_text())
        digests = {name: bytes.fromhex(kept[f"{name}_digest"].removeprefix("0x")) for name in _DIGESTS}
        codec = int(kept["package_codec"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"genesis file {path} cannot be read ({error!r})", hint="make it with model init") from None
    for name, value in digests.items():
        if len(value) != 32 or not any(value):
            raise UsageError(f"genesis file {path}: {name}_digest is not 32 bytes other than zero")
    return ModelDigests(digests["package"], codec, digests["weights"], digests["manifest"])


_DIGESTS = ("package", "weights", "manifest")
