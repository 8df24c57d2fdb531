"""``pdfed node init | register | status | run``."""

from __future__ import annotations

import dataclasses
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.cli.chain import show_receipt, units
from pdfed_sdk.cli.common import (
    LOCAL_RPC,
    DryRun,
    Json,
    Keystore,
    PasswordFile,
    Rpc,
    TaskAddress,
    connect,
    emit,
    err,
    log_to_stderr,
    out,
    read_password,
    tokens,
)
from pdfed_sdk.config import NodeConfig, load_config
from pdfed_sdk.errors import UsageError
from pdfed_sdk.types import Role

app = typer.Typer(help="Set up and run a node.", no_args_is_help=True)

Home = Annotated[Path, typer.Option(help="The node's folder: keys, pdfed.toml, state.")]

TEMPLATE = """# A PDFed node. Every setting, its meaning and default: docs/node.md
[chain]
rpc = "{rpc}"
task = "{task}"

[store]
path = "store"

[node]
role = "{role}"
data = "data"
"""


@app.command("init")
def init(
    home: Home,
    role: Annotated[str, typer.Option(help='"trainer", "validator" or "both".')] = "validator",
    task: TaskAddress = "",
    rpc: Rpc = LOCAL_RPC,
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Make a node's folder: a new key in an encrypted keystore and a pdfed.toml to edit."""
    keystore, config = home / "keystore.json", home / "pdfed.toml"
    for path in (keystore, config):
        if path.exists():
            raise UsageError(f"{path} exists already", hint="choose another --home; nothing was changed")
    home.mkdir(parents=True, exist_ok=True)
    signer = LocalSigner.create_keystore(keystore, read_password(password_file))
    config.write_text(TEMPLATE.format(rpc=rpc, task=task, role=role), encoding="utf-8")
    data = {"address": signer.address, "keystore": str(keystore), "config": str(config)}
    emit(data, as_json, lambda: out.print(f"node {signer.address} in {home}; edit {config}, then: pdfed node register"))


@app.command("register")
def register(
    task: TaskAddress,
    keystore: Keystore,
    rpc: Rpc = LOCAL_RPC,
    role: Annotated[str, typer.Option(help='"trainer", "validator" or "both".')] = "validator",
    stake: Annotated[float, typer.Option(help="Whole tokens to deposit at once.")] = 0.0,
    voting_key: Annotated[str, typer.Option(help="Hot key that may vote for this node.")] = "",
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Register the keystore's address as a node of the task, and deposit its stake."""
    roles = {"trainer": Role.TRAINER, "validator": Role.VALIDATOR, "both": Role.TRAINER | Role.VALIDATOR}
    if role not in roles:
        raise UsageError(f'role is "{role}"', hint=f"use one of {', '.join(roles)}")
    client = connect(rpc, task, keystore=keystore, password_file=password_file, dry_run=dry_run)
    receipt = client.register(roles[role], voting_key=voting_key or None)
    if stake and not dry_run:
        client.deposit(units(stake))
    show_receipt(receipt, as_json)


@app.command("status")
def status(
    task: TaskAddress,
    rpc: Rpc = LOCAL_RPC,
    node: Annotated[str, typer.Option(help="Address of the node (default: the keystore's).")] = "",
    keystore: Annotated[
        Path | None, typer.Option(envvar="PDFED_KEYSTORE", help="Keystore: also shows sealed votes.")
    ] = None,
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Stake, credit, weight, and what is still to be revealed."""
    client = connect(rpc, task, keystore=keystore, password_file=password_file)
    address: Any = node or client.voter
    if not address:
        raise UsageError("no node named", hint="give --node ADDRESS or --keystore FILE")
    account = client.account(address)
    due = client.due() if keystore else []
    data = {"node": address, **asdict(account), "weight": client.weight(address), "due": [asdict(d) for d in due]}

    def show() -> None:
        table = Table(title=f"node {address}", show_header=False)
        for name, value in data.items():
            table.add_row(name, tokens(value) if name in ("stake", "locked", "unbonding", "credit") else str(value))
        out.print(table)

    emit(data, as_json, show)


@app.command("run")
def run(
    home: Home = Path(),
    role: Annotated[str, typer.Option(help="Instead of [node] role.")] = "",
    data: Annotated[str, typer.Option(help="Instead of [node] data: a folder of pictures, or a prepared split.")] = "",
    rpc: Annotated[str, typer.Option(help="Instead of [chain] rpc.")] = "",
    task: Annotated[str, typer.Option(help="Instead of [chain] task.")] = "",
    store: Annotated[str, typer.Option(help="Instead of [store] path.")] = "",
    password_file: PasswordFile = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:
    """Run a node until Ctrl-C: vote on what is open, and as a trainer train and submit."""
    log_to_stderr(verbose)
    config = overridden(load_config(home / "pdfed.toml"), role=role, data=data, rpc=rpc, task=task, store=store)
    if password_file is None and config.chain.password_file:
        password_file = home / config.chain.password_file
    password = read_password(password_file)
    from pdfed_sdk.node.assemble import build_node

    node = build_node(home, config, password)

    def on_signal(_signal: int, _frame: object) -> None:
        if node.stopping:
            raise KeyboardInterrupt
        err.print("stopping: due reveals are still made; once more to leave at once")
        node.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    node.run()


def overridden(config: NodeConfig, *, role: str, data: str, rpc: str, task: str, store: str) -> NodeConfig:
    """The configuration with the command line's wishes on top; paths are taken as given."""
    place = str(Path(data).resolve()) if data else config.node.data
    node = dataclasses.replace(config.node, role=role or config.node.role, data=place)
    chain = dataclasses.replace(config.chain, rpc=rpc or config.chain.rpc, task=task or config.chain.task)
    kept = dataclasses.replace(config.store, path=str(Path(store).resolve())) if store else config.store
    return dataclasses.replace(config, node=node, chain=chain, store=kept)
