"""What all commands share: options, passwords, output. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import getpass
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.rpc import Options
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.errors import KeystoreError, UsageError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

PASSWORD_ENV = "PDFED_PASSWORD"

Rpc = Annotated[str, typer.Option(envvar="PDFED_RPC", help="JSON-RPC address of the chain.")]
TaskAddress = Annotated[str, typer.Option("--task", envvar="PDFED_TASK", help="Address of the task's ModelRegistry.")]
Keystore = Annotated[Path, typer.Option(envvar="PDFED_KEYSTORE", help="Web3 v3 keystore file that signs.")]
PasswordFile = Annotated[
    Path | None, typer.Option(help=f"File with the keystore's password (else ${PASSWORD_ENV}, else a prompt).")
]
StorePath = Annotated[Path, typer.Option("--store", envvar="PDFED_STORE", help="Folder of the local store.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Simulate and estimate only; nothing is sent.")]

LOCAL_RPC = "http://127.0.0.1:8545"


def read_password(file: Path | None) -> str:
    """From the file, the environment, or a prompt on a terminal. Never from the command line."""
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").rstrip("\n")
        except OSError as error:
            raise KeystoreError(
                f"cannot read the password file {file}: {error.strerror}", hint="name a readable file"
            ) from error
    if PASSWORD_ENV in os.environ:
        return os.environ[PASSWORD_ENV]
    if sys.stdin.isatty():
        return getpass.getpass("Password of the keystore: ")
    raise KeystoreError(
        "no password for the keystore", hint=f"give --password-file FILE, or set {PASSWORD_ENV}, or run on a terminal"
    )


def connect(
    rpc: str,
    task: str,
    *,
    keystore: Path | None = None,
    password_file: Path | None = None,
    dry_run: bool = False,
    state: Path | None = None,
) -> PdfedClient:
    """A client of the task; with a keystore it signs."""
    if not task:
        raise UsageError("no task named", hint="give --task ADDRESS (the ModelRegistry), or set PDFED_TASK")
    signer = LocalSigner.from_keystore(keystore, password=read_password(password_file)) if keystore else None
    return PdfedClient.connect(rpc, task=task, signer=signer, state=state, options=Options(dry_run=dry_run))


def emit(data: Mapping[str, Any] | list[Any], as_json: bool, show: Callable[[], None]) -> None:
    """One JSON document, or the human rendering."""
    if as_json:
        sys.stdout.write(json.dumps(data, indent=2, default=plain) + "\n")
    else:
        show()


def plain(value: Any) -> Any:
    """JSON form of what the SDK returns: bytes as 0x hex, paths and addresses as text, sets as lists."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    return str(value)


def tokens(amount: int) -> str:
    """An amount of token units in whole tokens, for people."""
    return f"{amount / 10**18:,.6f}".rstrip("0").rstrip(".")


def log_to_stderr(verbose: bool = False) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(message)s",
        datefmt="%H:%M:%S",
    )
    for noisy in ("web3", "urllib3", "matplotlib", "PIL", "diffusers", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
