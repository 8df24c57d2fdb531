"""What the scripts share: which chain, which account, one question, and how a transaction is signed and sent.

Everything that is *decided* about a deployment - parameters, bounds, bytecode, manifests - comes from
`pdfed_sdk.chain.deploy`. Here brownie only supplies accounts and networks. A script runs in both ways:

    python scripts/deploy.py --rpc http://127.0.0.1:8545 [options]      (or --network NAME, a network brownie knows)
    brownie run scripts/deploy.py main [-- options] --network NAME
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import brownie
from brownie._config import CONFIG
from brownie.exceptions import VirtualMachineError
from web3 import HTTPProvider, Web3

from pdfed_sdk.errors import (
    KeystoreError,
    PdfedError,
    RpcUnavailable,
    TransactionFailed,
    UsageError,
)

ROOT = Path(__file__).resolve().parents[1]
AD_HOC = "pdfed-rpc"

# brownie 1.22.2 prints a traceback for every deployment on a live network when it fills its own database; the
# manifest in deployments/ is our record (docs/decisions/0004-brownie-state.md).
brownie.network.contract._add_deployment = lambda *args, **kwargs: None


def options(description: str, *, signs: bool = True) -> argparse.ArgumentParser:
    """A parser with the options every script has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    where = parser.add_argument_group("chain").add_mutually_exclusive_group()
    where.add_argument("--network", metavar="NAME", help="a network brownie knows (`brownie networks list`)")
    where.add_argument("--rpc", metavar="URL", help="endpoint of a chain that runs already")
    parser.add_argument("--deployments", metavar="FOLDER", type=Path, help="folder of manifests")
    if signs:
        signer = parser.add_argument_group("account")
        signer.add_argument("--from", dest="account", metavar="WHO", help="keystore file, brownie account or address")
        signer.add_argument("--password-file", metavar="FILE", type=Path, help="or PDFED_PASSWORD, or a prompt")
        parser.add_argument("--confirmations", type=int, default=1, help="blocks to wait for after each transaction")
        parser.add_argument("--dry-run", action="store_true", help="print the plan and send nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser


@dataclass
class Session:
    """A connected chain and, for scripts that sign, the account that pays."""

    url: str
    chain_id: int
    account: Any
    confirmations: int = 1

    def send(self, what: str, data: bytes, to: str | None = None) -> str:
        """Sign and send one transaction and wait for it; returns the address made, or "" for a call."""
        say(f"  {what} …", end="")
        head = brownie.web3.eth.get_block("latest")
        fees = {"priority_fee": "auto"} if head.get("baseFeePerGas") is not None else {}
        try:
            receipt = self.account.transfer(
                to, data="0x" + data.hex(), required_confs=self.confirmations, silent=True, **fees
            )
        except (VirtualMachineError, ValueError) as error:
            raise TransactionFailed(f"{what} was refused: {error}", hint="nothing after it was sent") from error
        say(f" {receipt.txid}  gas {receipt.gas_used:,}" + (f"  -> {receipt.contract_address}" if not to else ""))
        return "" if to else str(receipt.contract_address)


def connect(chosen: argparse.Namespace) -> tuple[str, int]:
    """Connect brownie as the options say, unless `brownie run` already did; returns endpoint and chain id."""
    if not brownie.network.is_connected():
        name = chosen.network
        if chosen.rpc:
            name = _ad_hoc(chosen.rpc)
        elif not name:
            raise UsageError("no chain was named", hint="add --rpc URL or --network NAME")
        if name not in CONFIG.networks:
            raise UsageError(f"brownie knows no network {name!r}", hint="brownie networks list, or use --rpc URL")
        try:
            brownie.network.connect(name, launch_rpc=False)
        except Exception as error:
            raise RpcUnavailable(f"network {name!r} does not answer: {error}", hint="is the chain running?") from error
        if not brownie.network.is_connected():
            raise RpcUnavailable(f"network {name!r} does not answer", hint="is the chain running?")
    return str(brownie.web3.provider.endpoint_uri), int(brownie.web3.eth.chain_id)


def _ad_hoc(url: str) -> str:
    """Describe `url` to brownie in memory, so that nothing is written to ~/.brownie."""
    try:
        chain_id = Web3(HTTPProvider(url, request_kwargs={"timeout": 10})).eth.chain_id
    except Exception as error:
        raise RpcUnavailable(f"{url} does not answer: {error}", hint="is the chain running?") from error
    CONFIG.networks[AD_HOC] = {"id": AD_HOC, "name": AD_HOC, "host": url, "chainid": str(chain_id), "timeout": 60}
    return AD_HOC


def open_account(who: str | None, password_file: Path | None) -> Any:
    """The account to sign with: a keystore file, a brownie account, or an address the node itself has unlocked."""
    unlocked = list(brownie.web3.eth.accounts)
    if who is None:
        if not unlocked:
            raise UsageError("no account was named and the node has none", hint="add --from KEYSTORE")
        return brownie.accounts.at(unlocked[0])
    if Web3.is_address(who):
        if Web3.to_checksum_address(who) not in unlocked:
            raise KeystoreError(f"the node has no unlocked account {who}", hint="name its keystore: --from FILE")
        return brownie.accounts.at(who)
    if not Path(who).expanduser().is_file() and who not in brownie.accounts.load():
        raise KeystoreError(f"{who!r} is neither a keystore file, nor a brownie account, nor an address")
    try:
        return brownie.accounts.load(who, password=_password(password_file), allow_retry=sys.stdin.isatty())
    except ValueError as error:
        raise KeystoreError(f"keystore {who} does not open: {error}", hint="check the password") from error


def _password(file: Path | None) -> str | None:
    """None lets brownie prompt, which needs a terminal."""
    if file is not None:
        try:
            return file.read_text().rstrip("\r\n")
        except OSError as error:
            raise KeystoreError(f"password file {file} cannot be read: {error}") from error
    if "PDFED_PASSWORD" in os.environ:
        return os.environ["PDFED_PASSWORD"]
    if not sys.stdin.isatty():
        raise KeystoreError("no password and no terminal to ask on", hint="set PDFED_PASSWORD or add --password-file")
    return None


def show(title: str, rows: Iterable[tuple[str, object]]) -> None:
    """Print a plan or a result as two columns."""
    rows = [(name, str(value)) for name, value in rows]
    width = max((len(name) for name, _ in rows), default=0)
    say(title)
    for name, value in rows:
        say(f"  {name:<{width}}  {value}")


def agreed(chosen: argparse.Namespace, question: str) -> bool:
    """Ask on a terminal only; --dry-run is a no, --yes and a missing terminal are a yes."""
    if chosen.dry_run:
        say("dry run: nothing was sent")
        return False
    if chosen.yes or not sys.stdin.isatty():
        return True
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, flush=True)


def forget_brownie_records(chain_id: int) -> None:
    """Remove brownie's own deployment records of this chain: a record that outlives a restarted chain stops brownie."""
    shutil.rmtree(ROOT / "build" / "deployments" / str(chain_id), ignore_errors=True)


def run(script: Callable[[Sequence[str]], int]) -> None:
    """Entry point of `python scripts/X.py`: errors as message and hint, exit status of the error's class."""
    try:
        status = script(sys.argv[1:])
    except PdfedError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        status = error.exit_code
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)
