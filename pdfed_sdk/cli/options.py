"""Options that several commands take, each declared once with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PASSWORD_ENV = "PDFED_PASSWORD"

Rpc = Annotated[
    str, typer.Option(envvar="PDFED_RPC", help="JSON-RPC address of the chain; several, comma-separated, take turns.")
]
TaskAddress = Annotated[str, typer.Option("--task", envvar="PDFED_TASK", help="Address of the task's ModelRegistry.")]
Keystore = Annotated[Path, typer.Option(envvar="PDFED_KEYSTORE", help="Web3 v3 keystore file that signs.")]
PasswordFile = Annotated[
    Path | None, typer.Option(help=f"File with the keystore's password (else ${PASSWORD_ENV}, else a prompt).")
]
StoreUri = Annotated[
    str,
    typer.Option("--store", envvar="PDFED_STORE", help="Store: local:DIR, ipfs:DIR?peer=…, kubo:URL, s3://… and more."),
]
RoleName = Annotated[str, typer.Option(help='"trainer", "validator" or "both".')]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Home = Annotated[Path | None, typer.Option(help="The node's folder: names rpc, task and keystore.")]
HomeKeystore = Annotated[
    Path | None,
    typer.Option(envvar="PDFED_KEYSTORE", help="Keystore file (default: that of --home); reading needs no password."),
]
Deployments = Annotated[
    Path, typer.Option(help="Folder of the manifests: which contracts and tasks stand on which chain.")
]
Confirmations = Annotated[
    int,
    typer.Option(
        envvar="PDFED_CONFIRMATIONS",
        min=0,
        max=256,
        help="Blocks that must stand on something before more follows from it (0: by the task's profile, 1 or 12).",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Simulate and estimate only; nothing is sent.")]

LOCAL_RPC = "http://127.0.0.1:8545"
HomeRpc = Annotated[
    str, typer.Option(envvar="PDFED_RPC", help=f"JSON-RPC address (default: that of --home, else {LOCAL_RPC}).")
]
