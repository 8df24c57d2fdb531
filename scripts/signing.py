"""What the scripts share: which chain, which account, one question, and how a transaction is signed and sent.

Everything that is *decided* about a deployment - parameters, bounds, bytecode, manifests, checks - comes from
`pdfed_sdk.chain`. Here brownie only supplies networks and accounts. A script runs in both ways:

    python scripts/deploy.py --rpc http://127.0.0.1:8545 [options]      (or --network NAME, a network brownie knows)
    brownie run scripts/deploy.py main --network NAME -- [options]
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from toolchain.environment import ROOT, use_private_environment

from pdfed_sdk.chain.calls import Call
from pdfed_sdk.chain.rpc import Chain, Options, Wire
from pdfed_sdk.checks import Check
from pdfed_sdk.errors import (
    AuditFailed,
    KeystoreError,
    PdfedError,
    RpcUnavailable,
    TransactionFailed,
    UsageError,
)

BROWNIE_ACCOUNTS = Path.home() / ".brownie" / "accounts"
if "brownie" not in sys.modules and not any(word.startswith("--network") for word in sys.argv):
    use_private_environment()  # with an endpoint given, nothing in ~/.brownie is needed or touched

import brownie  # noqa: E402 - brownie reads HOME when it is imported
from brownie._config import CONFIG  # noqa: E402
from brownie.exceptions import VirtualMachineError  # noqa: E402
from web3 import HTTPProvider, Web3  # noqa: E402

T = TypeVar("T")
AD_HOC = "pdfed-rpc"


def options(description: str, *, signs: bool = True) -> argparse.ArgumentParser:
    """A parser with the options every script has."""
    parser = argparse.ArgumentParser(description=description)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--rpc", metavar="URL", help="endpoint of a chain that runs already")
    where.add_argument("--network", metavar="NAME", help="a network brownie knows (`brownie networks list`)")
    folder = ROOT / "deployments"
    parser.add_argument("--deployments", metavar="FOLDER", type=Path, default=folder, help="where manifests are kept")
    if signs:
        parser.add_argument(
            "--from", dest="account", metavar="WHO", help="keystore file, brownie account, or unlocked address"
        )
        parser.add_argument(
            "--password-file", metavar="FILE", type=Path, help="the keystore's password; or PDFED_PASSWORD; or a prompt"
        )
        parser.add_argument("--confirmations", metavar="N", type=int, default=1, help="blocks to wait for, each (1)")
        parser.add_argument("--dry-run", action="store_true", help="print the plan and send nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def words(argv: Sequence[str]) -> list[str]:
    """Arguments of a script; `brownie run` hands the separating -- on."""
    return [word for word in argv if word != "--"]


# --- chain -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A connected chain, to read from."""

    name: str
    chain_id: int

    @classmethod
    def connect(cls, chosen: argparse.Namespace) -> Node:
        """Connect brownie as the options say, unless `brownie run` already did."""
        if not brownie.network.is_connected():
            name = _ad_hoc(chosen.rpc) if chosen.rpc else chosen.network
            if not name:
                raise UsageError("no chain was named", hint="add --rpc URL or --network NAME")
            if name not in CONFIG.networks:
                raise UsageError(f"brownie knows no network {name!r}", hint="see `brownie networks list`, or use --rpc")
            try:
                brownie.network.connect(name, launch_rpc=False)
            except Exception as error:
                raise RpcUnavailable(f"network {name!r}: {error}", hint="is the chain running?") from error
            if not brownie.network.is_connected():
                raise RpcUnavailable(f"network {name!r} does not answer", hint="is the chain running?")
        return cls(chosen.rpc or brownie.network.show_active(), int(brownie.web3.eth.chain_id))

    @property
    def provider(self) -> Any:
        return brownie.web3.provider

    def read(self, call: Call[T]) -> T:
        """The answer of a call; a refusal is a ProtocolRevert with the decoded error."""
        settings = Options()
        return Wire(self.provider, settings).run(Chain(self.name, settings).one(call))

    def code(self, address: str) -> bytes:
        return bytes(brownie.web3.eth.get_code(address))


def _ad_hoc(url: str) -> str:
    """Describe `url` to brownie in memory, so that nothing is written to ~/.brownie."""
    try:
        chain_id = Web3(HTTPProvider(url, request_kwargs={"timeout": 10})).eth.chain_id
    except Exception as error:
        raise RpcUnavailable(f"{url} does not answer ({type(error).__name__})", hint="is the chain running?") from error
    CONFIG.networks[AD_HOC] = {"id": AD_HOC, "name": AD_HOC, "host": url, "chainid": str(chain_id), "timeout": 60}
    return AD_HOC


# --- account ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signer:
    """The brownie account that pays."""

    account: Any
    confirmations: int

    @classmethod
    def open(cls, chosen: argparse.Namespace) -> Signer:
        return cls(_account(chosen.account, chosen.password_file), chosen.confirmations)

    @property
    def address(self) -> str:
        return str(self.account.address)

    def send(self, call: Call[Any]) -> Any:
        """Sign, send and wait; returns brownie's receipt. A call without receiver deploys."""
        say(f"  {call.name} ", end="")
        head = brownie.web3.eth.get_block("latest")
        fees = {"priority_fee": "auto"} if head.get("baseFeePerGas") is not None else {}
        try:
            receipt = self.account.transfer(
                call.to or None,
                data="0x" + call.data.hex(),
                required_confs=self.confirmations,
                silent=True,
                **fees,
            )
        except (VirtualMachineError, ValueError) as error:
            say("refused")
            raise TransactionFailed(f"{call.name}: {error}", hint="run it again: what was done is kept") from error
        made = f" -> {receipt.contract_address}" if receipt.contract_address else ""
        say(f"gas {receipt.gas_used:,} {receipt.txid}{made}")
        return receipt


def _account(who: str | None, password_file: Path | None) -> Any:
    """A keystore file, a brownie account by name, or an address the node itself has unlocked."""
    if who and re.fullmatch("(0x)?[0-9a-fA-F]{64}", who):
        raise UsageError("--from was given a private key", hint="put it into a keystore: never on a command line")
    unlocked = [str(address) for address in brownie.web3.eth.accounts]
    if who is None:
        if not unlocked:
            raise UsageError("no account was named and the node has none", hint="add --from KEYSTORE")
        return brownie.accounts.at(unlocked[0])
    if Web3.is_address(who):
        if Web3.to_checksum_address(who) not in unlocked:
            raise KeystoreError(f"the node has no unlocked account {who}", hint="name its keystore: --from FILE")
        return brownie.accounts.at(who)
    keystore = Path(who).expanduser()
    if not keystore.is_file():
        keystore = BROWNIE_ACCOUNTS / f"{who}.json"
    if not keystore.is_file():
        raise KeystoreError(f"{who!r} is neither a keystore file, nor a brownie account, nor an address")
    try:
        return brownie.accounts.load(keystore, password=_password(password_file), allow_retry=sys.stdin.isatty())
    except (ValueError, KeyError, TypeError) as error:
        raise KeystoreError(f"keystore {who} does not open: {error}", hint="check file and password") from error


def _password(file: Path | None) -> str | None:
    """None lets brownie prompt, which needs a terminal."""
    if file is not None:
        try:
            return file.read_text().rstrip("\r\n")
        except OSError as error:
            raise KeystoreError(f"password file {file} cannot be read ({error.strerror})") from error
    if "PDFED_PASSWORD" in os.environ:
        return os.environ["PDFED_PASSWORD"]
    if not sys.stdin.isatty():
        raise KeystoreError("no password and no terminal to ask on", hint="set PDFED_PASSWORD or add --password-file")
    return None


# --- terminal --------------------------------------------------------------------------------------------------------


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, flush=True)


def show(title: str, rows: Iterable[Sequence[object]]) -> None:
    """Print a table without frills."""
    table = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    say(title)
    for row in table:
        say("  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def agreed(chosen: argparse.Namespace, question: str) -> bool:
    """Ask on a terminal only; --dry-run is a no, --yes and a missing terminal are a yes."""
    if chosen.dry_run:
        say("dry run: nothing was sent")
        return False
    if chosen.yes or not sys.stdin.isatty():
        return True
    if input(f"{question} [y/N] ").strip().lower() in ("y", "yes"):
        return True
    say("nothing was sent")
    return False


def require(checks: Sequence[Check]) -> None:
    """Print checks; AuditFailed if one does not hold."""
    show("checks", [("ok" if check.ok else "DIFFERS", check.name, check.detail) for check in checks])
    wrong = [check.name for check in checks if not check.ok]
    if wrong:
        raise AuditFailed(f"{len(wrong)} of {len(checks)} checks differ: {', '.join(wrong)}")


def run(script: Callable[..., None]) -> None:
    """Entry point of `python scripts/X.py`: errors as message and hint, exit status of the error's class."""
    status = 0
    try:
        script(*sys.argv[1:])
    except PdfedError as error:
        print(f"error: {error}", file=sys.stderr)
        status = error.exit_code
    except (KeyboardInterrupt, EOFError):
        print("interrupted; run it again: what was done is kept", file=sys.stderr)
        status = 130
    sys.exit(status)
