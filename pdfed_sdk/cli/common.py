"""What all commands share: passwords, connecting, the home of a node.

Imports of the chain and of torch are made inside functions: ``pdfed --help`` must be quick.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdfed_sdk.cli.options import LOCAL_RPC, PASSWORD_ENV
from pdfed_sdk.errors import KeystoreError, UsageError

if TYPE_CHECKING:
    from pdfed_sdk.chain.client import PdfedClient
    from pdfed_sdk.types import Role


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
    confirmations: int = 0,
    dry_run: bool = False,
    state: Path | None = None,
    from_block: int = 0,
) -> PdfedClient:
    """A client of the task; with a keystore it signs. ``confirmations`` 0: by the task's profile."""
    from pdfed_sdk.chain.client import PdfedClient
    from pdfed_sdk.chain.rpc import Options
    from pdfed_sdk.chain.signers import LocalSigner

    if not task:
        raise UsageError("no task named", hint="give --task ADDRESS (the ModelRegistry), or set PDFED_TASK")
    signer = LocalSigner.from_keystore(keystore, password=read_password(password_file)) if keystore else None
    options = Options(dry_run=dry_run, confirmations=confirmations)
    return PdfedClient.connect(rpc, task=task, signer=signer, state=state, from_block=from_block, options=options)


@dataclass(frozen=True, slots=True)
class AtHome:
    """Where a node's task, keys and journal are."""

    task: str
    rpc: str
    keystore: Path | None
    password_file: Path | None
    state: Path | None
    confirmations: int = 0
    from_block: int = 0


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
    place = home / "state"
    return AtHome(
        task or chain.task, rpc or chain.rpc, keystore, password_file, place, chain.confirmations, chain.from_block
    )


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
