"""What all commands share: options, passwords, output. Data goes to stdout, everything else to stderr.

Imports of the chain and of torch are made inside functions: ``pdfed --help`` must be quick.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pdfed_sdk.errors import KeystoreError, UsageError

if TYPE_CHECKING:
    from pdfed_sdk.chain.client import PdfedClient
    from pdfed_sdk.types import Role

PIPED_WIDTH = 400
"""Columns of tables that go into a pipe or a file: nothing is cut off there."""

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)

PASSWORD_ENV = "PDFED_PASSWORD"

Rpc = Annotated[str, typer.Option(envvar="PDFED_RPC", help="JSON-RPC address of the chain.")]
TaskAddress = Annotated[str, typer.Option("--task", envvar="PDFED_TASK", help="Address of the task's ModelRegistry.")]
Keystore = Annotated[Path, typer.Option(envvar="PDFED_KEYSTORE", help="Web3 v3 keystore file that signs.")]
PasswordFile = Annotated[
    Path | None, typer.Option(help=f"File with the keystore's password (else ${PASSWORD_ENV}, else a prompt).")
]
StorePath = Annotated[Path, typer.Option("--store", envvar="PDFED_STORE", help="Folder of the local store.")]
RoleName = Annotated[str, typer.Option(help='"trainer", "validator" or "both".')]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Home = Annotated[Path | None, typer.Option(help="The node's folder: names rpc, task and keystore.")]
HomeKeystore = Annotated[
    Path | None,
    typer.Option(envvar="PDFED_KEYSTORE", help="Keystore file (default: that of --home); reading needs no password."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Simulate and estimate only; nothing is sent.")]

LOCAL_RPC = "http://127.0.0.1:8545"
HomeRpc = Annotated[
    str, typer.Option(envvar="PDFED_RPC", help=f"JSON-RPC address (default: that of --home, else {LOCAL_RPC}).")
]


def read_password(file: Path | None, *, new: bool = False) -> str:
    """From the file, the environment, or a prompt on a terminal (twice for a new keystore). Never from the command
    line."""
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise KeystoreError(
                f"cannot read the password file {file}: {getattr(error, 'strerror', error)}",
                hint="name a readable text file",
            ) from error
    if PASSWORD_ENV in os.environ:
        return os.environ[PASSWORD_ENV]
    if not sys.stdin.isatty():
        raise KeystoreError(
            "no password for the keystore",
            hint=f"give --password-file FILE, or set {PASSWORD_ENV}, or run on a terminal",
        )
    password = getpass.getpass("Password of the keystore: ")
    if new and getpass.getpass("The same once more: ") != password:
        raise KeystoreError("the two passwords differ", hint="try again; nothing was made")
    return password


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
    from pdfed_sdk.chain.client import PdfedClient
    from pdfed_sdk.chain.rpc import Options
    from pdfed_sdk.chain.signers import LocalSigner

    if not task:
        raise UsageError("no task named", hint="give --task ADDRESS (the ModelRegistry), or set PDFED_TASK")
    signer = LocalSigner.from_keystore(keystore, password=read_password(password_file)) if keystore else None
    return PdfedClient.connect(rpc, task=task, signer=signer, state=state, options=Options(dry_run=dry_run))


@dataclass(frozen=True, slots=True)
class AtHome:
    """Where a node's task, keys and journal are."""

    task: str
    rpc: str
    keystore: Path | None
    password_file: Path | None
    state: Path | None


def at_home(
    home: Path | None, *, task: str, rpc: str, keystore: Path | None, password_file: Path | None = None
) -> AtHome:
    """What the options say, and for the rest the home's pdfed.toml."""
    if home is None:
        return AtHome(task, rpc or LOCAL_RPC, keystore, password_file, None)
    from pdfed_sdk.config import load_config

    chain = load_config(home / "pdfed.toml").chain
    if password_file is None and chain.password_file:
        password_file = home / chain.password_file
    keystore = keystore or home / chain.keystore
    return AtHome(task or chain.task, rpc or chain.rpc, keystore, password_file, home / "state")


def roles(name: str) -> Role:
    from pdfed_sdk.config import ROLES

    if name not in ROLES:
        raise UsageError(f'role is "{name}"', hint=f"use one of {', '.join(ROLES)}")
    return ROLES[name]


def read_json(path: Path, what: str) -> Any:
    """A JSON file a user named."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the {what} {path}: {error}", hint="name a file with valid JSON") from error


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


def text(value: Any) -> str:
    """A value as people read it in a table."""
    if value is None:
        return "-"
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def show_table(rows: Iterable[Sequence[Any]], columns: Sequence[str] = (), title: str = "") -> None:
    """A table on stdout, lines drawn on a terminal only; without columns a list of names and values."""
    shape = box.SIMPLE_HEAD if sys.stdout.isatty() else None
    table = Table(
        title=escape(title) or None, title_justify="left", show_header=bool(columns), box=shape, pad_edge=False
    )
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(escape(text(cell)) for cell in row))
    out.print(table)


def log_to_stderr(verbose: bool = False) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.captureWarnings(True)
    for noisy in ("web3", "urllib3", "matplotlib", "PIL", "diffusers", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
