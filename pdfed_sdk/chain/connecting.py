"""Find a task behind an endpoint and make sure that it is one: chain id, code, wiring."""

from __future__ import annotations

from dataclasses import replace

from pdfed_sdk.chain.calls import ZERO_ADDRESS, TaskCalls
from pdfed_sdk.chain.codec import Artifact, artifact, blob, quantity
from pdfed_sdk.chain.erc20 import TokenCalls
from pdfed_sdk.chain.money import UNITS, Token
from pdfed_sdk.chain.parameters import confirmations_of
from pdfed_sdk.chain.reads import Connection, address
from pdfed_sdk.chain.replay import EventFlows
from pdfed_sdk.chain.rpc import Chain, Flow, Request
from pdfed_sdk.errors import ChainError, ProtocolRevert, RpcUnavailable, WrongChain
from pdfed_sdk.types import Address, Task

_CLONE_HEAD = bytes.fromhex("363d3d373d3d3d363d73")
_CLONE_TAIL = bytes.fromhex("5af43d82803e903d91602b57fd5bf3")


def connection(chain: Chain, registry: str, voter: str | None, chain_id: int | None, start: int) -> Flow[Connection]:
    """The task whose registry stands at ``registry``; WrongChain if the endpoint serves something else."""
    place = address(registry, "task")
    found_id = quantity((yield from chain.ask("eth_chainId")), "eth_chainId")
    if chain_id is not None and found_id != chain_id:
        raise WrongChain(f"{chain.name} serves chain {found_id}, not {chain_id}", hint="check the RPC URL")
    if not blob((yield from chain.ask("eth_getCode", place, "latest")), "eth_getCode"):
        raise WrongChain(
            f"no contract stands at {place} on chain {found_id}", hint="check the task's address and the RPC URL"
        )
    task = yield from _siblings(chain, place)
    if chain.options.check_code:
        yield from _check_code(chain, task)
    calls = TaskCalls(task)
    signed_for = yield from chain.one(calls.eip712_chain_id())
    if signed_for != found_id:
        raise WrongChain(f"the task signs for chain {signed_for}, the endpoint serves {found_id}")
    params = yield from chain.one(calls.params())
    if not chain.options.confirmations:
        chain = replace(chain, options=replace(chain.options, confirmations=confirmations_of(params)))
    token = yield from _token(chain, params.token)
    chain = replace(chain, amounts=token.show)
    contracts = (task.vault, task.registry, task.book, task.pool)
    node = None if voter is None else address(voter, "voter")
    return Connection(chain, found_id, task, calls, EventFlows(chain, contracts), node, start, token, [params])


def _token(chain: Chain, place: Address) -> Flow[Token]:
    """The task's token; amounts of one that does not name itself are shown in units."""
    calls = TokenCalls(place)
    try:
        decimals, symbol = yield from chain.read(calls.decimals(), calls.symbol())
    except (ProtocolRevert, ChainError) as error:
        if isinstance(error, RpcUnavailable):
            raise
        return UNITS
    return Token(symbol[:16], decimals)


def _siblings(chain: Chain, registry: Address) -> Flow[Task]:
    unknown = Task(registry=registry, vault=ZERO_ADDRESS, book=ZERO_ADDRESS, pool=ZERO_ADDRESS)
    try:
        return (yield from chain.one(TaskCalls(unknown).siblings()))
    except (ProtocolRevert, ChainError) as error:
        if type(error) not in (ProtocolRevert, ChainError):
            raise
        raise WrongChain(f"{registry} is not the registry of a task", hint="give the registry's address") from error


def _check_code(chain: Chain, task: Task) -> Flow[None]:
    """Each of the four is a clone of an implementation whose code is the one this SDK ships."""
    parts = {
        "StakeVault": task.vault,
        "ModelRegistry": task.registry,
        "ScoreBook": task.book,
        "RewardPool": task.pool,
    }
    codes = yield from _codes(chain, list(parts.values()))
    targets = [cloned(code) for code in codes]
    for (name, place), target in zip(parts.items(), targets, strict=True):
        if target is None:
            raise WrongChain(f"{name} {place} is not a clone of a PDFed contract", hint=_OTHER)
    code_of = yield from _codes(chain, [target for target in targets if target is not None])
    for name, target, code in zip(parts, targets, code_of, strict=True):
        if not same_code(artifact(name), code):
            raise WrongChain(f"{name} at {target} has other code than this SDK ships", hint=_OTHER)


_OTHER = "use the SDK version of that deployment, or Options(check_code=False) if you trust it"


def _codes(chain: Chain, places: list[Address]) -> Flow[list[bytes]]:
    answers = yield from chain.batch([Request("eth_getCode", (place, "latest")) for place in places])
    return [blob(answer, "eth_getCode") for answer in answers]


def cloned(code: bytes) -> Address | None:
    """The implementation behind an EIP-1167 clone (with or without appended arguments); None for other code."""
    head, target = code[:10], code[10:30]
    if head != _CLONE_HEAD or code[30 : 30 + len(_CLONE_TAIL)] != _CLONE_TAIL:
        return None
    return address("0x" + target.hex())


def same_code(shipped: Artifact, code: bytes) -> bool:
    """Whether deployed code is the shipped runtime code; immutables and the compiler's metadata tail aside."""
    if not shipped.runtime or len(code) != len(shipped.runtime):
        return False
    ours, theirs = bytearray(shipped.runtime), bytearray(code)
    for start, length in shipped.immutables:
        ours[start : start + length] = theirs[start : start + length] = bytes(length)
    tail = int.from_bytes(ours[-2:], "big") + 2
    return ours[:-tail] == theirs[:-tail]
