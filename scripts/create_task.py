"""Create a task with the deployed factory, and fund it.

    python scripts/create_task.py --rpc URL --genesis genesis.json --mint --fund 1000000
    python scripts/create_task.py --rpc URL --genesis genesis.json --profile public --token 0x… --set min_step=3

Prints parameters with their bounds, asks on a terminal, creates and funds, verifies the wiring, and adds the task to
`deployments/<chain id>.json`. A task's address follows from sender, parameters and nonce: a second run sends nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # `brownie run` does not

import signing

from pdfed_sdk.chain.calls import Call, FactoryCalls, TaskCalls, TaskParams, contract_call
from pdfed_sdk.chain.deploy import Manifest, predict_task, read_genesis, read_task_entry, verify_task
from pdfed_sdk.chain.erc20 import TokenCalls
from pdfed_sdk.chain.money import Token
from pdfed_sdk.chain.parameters import params_table, task_params
from pdfed_sdk.errors import ConfigError, UsageError
from pdfed_sdk.types import Address, ModelDigests, Task

OWN_OPTION = {"token": "--token", "sponsor": "--from", "objective": "--objective", "card_digest": "--card"}


def main(*argv: str) -> None:
    chosen = arguments(argv)
    genesis = read_genesis(chosen.genesis)
    node = signing.Node.connect(chosen)
    manifest = Manifest.load(node.chain_id, chosen.deployments)
    if manifest is None or "TaskFactory" not in manifest.contracts or not node.code(manifest.factory):
        raise ConfigError(f"no factory is known on chain {node.chain_id}", hint="run scripts/deploy.py first")
    signer = signing.Signer.open(chosen)
    if not chosen.unchecked:
        _check(chosen, genesis, signer.address)
    token = TokenCalls(chosen.token or manifest.token or _no_token())
    decimals = node.read(contract_call("TestToken", token.address, "decimals", [], lambda values: int(values[0])))
    unit = 10**decimals
    params = parameters(chosen, token, signer.address, unit)
    nonce = hashlib.sha256(chosen.nonce.encode()).digest()
    task, exists = predict_task(node.provider, manifest, signer.address, params, nonce=nonce)
    if exists:
        _same_genesis(node, task, genesis)
        calls = []
    else:
        calls = [FactoryCalls(manifest.factory).create_task(params, genesis, nonce)]
        node.read(calls[0])  # tried first: what the factory refuses is refused before anything is sent
    if chosen.fund and not (exists and node.read(TaskCalls(task).balances()).unreleased):
        calls += _fund(node, signer.address, task, token, int(chosen.fund * unit), mint=chosen.mint)

    rows = params_table(params, Token("tokens", decimals))
    signing.show(f"task {task.registry} on chain {node.chain_id} at {node.name}", [r[:2] for r in rows if not r[2]])
    signing.show("parameters, frozen for ever", [row for row in rows if row[2]])
    signing.show("plan", [("send", call.name) for call in calls] or [("nothing to do", "")])
    signing.say(f"signed by {signer.address}")
    if calls and not signing.agreed(chosen, f"send {len(calls)} transactions?"):
        return
    for call in calls:
        signer.send(call)
    signing.require(verify_task(node.provider, manifest, task.registry))
    path = manifest.with_task(read_task_entry(node.provider, manifest, task.registry)).save(chosen.deployments)
    funds = node.read(TaskCalls(task).balances()).unreleased
    signing.say(f"funds {Decimal(funds) / unit:f}; the first reward releases a day's drip of them; manifest {path}")


def _check(chosen: argparse.Namespace, genesis: ModelDigests, sponsor: str) -> None:
    """Nodes must be able to begin with what the task names for ever."""
    if chosen.card is None:
        raise UsageError("no card was named: no node could score a model of this task", hint="add --card FILE")
    from pdfed_sdk.node.genesis_check import PACKAGE, check_genesis
    from pdfed_sdk.node.task_card import TaskCard

    package = chosen.package or chosen.genesis.with_name(PACKAGE)
    check_genesis(package, genesis, Address(sponsor), TaskCard.read(chosen.card))


def arguments(argv: tuple[str, ...]) -> argparse.Namespace:
    parser = signing.options("Create and fund a PDFed task.")
    parser.add_argument("--genesis", metavar="FILE", type=Path, required=True, help="digests of the first model, JSON")
    parser.add_argument("--card", metavar="FILE", type=Path, help="the task's card; its sha-256 goes on chain")
    parser.add_argument(
        "--package", metavar="FILE", type=Path, help="the genesis; default: package.zip beside --genesis"
    )
    parser.add_argument("--unchecked", action="store_true", help="take digests and card as they are: nothing is opened")
    parser.add_argument("--profile", choices=("development", "public"), default="development", help="defaults to use")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="one parameter (repeatable)")
    parser.add_argument("--objective", metavar="NAME", default="qn-normalised", help="what the task minimises")
    parser.add_argument("--token", metavar="ADDRESS", help="ERC-20 of the task; default: the test token")
    parser.add_argument("--fund", metavar="TOKENS", type=_tokens, default=Decimal(0), help="whole tokens for the pool")
    parser.add_argument("--mint", action="store_true", help="mint what is missing (test token only)")
    parser.add_argument("--nonce", metavar="TEXT", default="", help="tells equal tasks of one sender apart")
    return parser.parse_args(signing.words(argv))


def parameters(chosen: argparse.Namespace, token: TokenCalls, sponsor: str, unit: int) -> TaskParams:
    """The profile's defaults, the sponsor and the options; UsageError for what is unknown or out of bounds."""
    wanted: dict[str, Any] = {"card_digest": _digest(chosen.card)} if chosen.card else {}
    for pair in chosen.set:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair!r} is not NAME=VALUE")
        if name in OWN_OPTION:
            raise UsageError(f"--set does not take {name}", hint=f"use {OWN_OPTION[name]}")
        wanted[name] = _value(name, value)
    return task_params(token.address, sponsor, profile=chosen.profile, unit=unit, objective=chosen.objective, **wanted)


def _value(name: str, text: str) -> int | str:
    if name in ("guardian", "eligibility"):
        return text
    try:
        return int(text.replace("_", ""))
    except ValueError:
        raise UsageError(f"--set {name}: {text!r} is not a whole number") from None


def _same_genesis(node: signing.Node, task: Task, genesis: ModelDigests) -> None:
    if node.read(TaskCalls(task).genesis()) != genesis:
        raise UsageError(
            f"task {task.registry} exists with another genesis model", hint="add --nonce TEXT to create one beside it"
        )


def _fund(
    node: signing.Node, sponsor: str, task: Task, token: TokenCalls, amount: int, *, mint: bool
) -> list[Call[Any]]:
    """What has to be sent to fund the pool with `amount` units of the token."""
    missing = amount - node.read(token.balance_of(sponsor))
    if missing > 0 and not mint:
        raise UsageError(
            f"{sponsor} lacks {missing} units of token {token.address}", hint="send it some, or add --mint (test token)"
        )
    calls: list[Call[Any]] = [token.mint(sponsor, missing)] if missing > 0 else []
    if node.read(token.allowance(sponsor, task.vault)) < amount:
        calls.append(token.approve(task.vault, amount))
    return [*calls, TaskCalls(task).fund(amount)]


def _tokens(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount") from None
    if not amount.is_finite() or amount < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount")
    return amount


def _digest(card: Path) -> bytes:
    try:
        return hashlib.sha256(card.read_bytes()).digest()
    except OSError as error:
        raise UsageError(f"task card {card} cannot be read ({error.strerror})") from error


def _no_token() -> str:
    raise UsageError("no token was named and there is no test token", hint="add --token ADDRESS")


if __name__ == "__main__":
    signing.run(main)
