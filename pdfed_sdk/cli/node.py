"""``pdfed node init | register | status | run``."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pdfed_sdk.cli.common import at_home, connect, read_password, roles
from pdfed_sdk.cli.options import (
    LOCAL_RPC,
    PASSWORD_ENV,
    DryRun,
    HomeKeystore,
    HomeRpc,
    Json,
    PasswordFile,
    RoleName,
    Rpc,
    TaskAddress,
)
from pdfed_sdk.cli.options import Home as HomeOf
from pdfed_sdk.cli.output import emit, err, log_to_stderr, out
from pdfed_sdk.cli.sending import sends
from pdfed_sdk.config import NodeConfig, load_config
from pdfed_sdk.errors import KeystoreError, UsageError

if TYPE_CHECKING:
    from pdfed_sdk.chain.client import PdfedClient
    from pdfed_sdk.chain.money import Token
    from pdfed_sdk.node.runner import Node

app = typer.Typer(help="Set up and run a node.", no_args_is_help=True)

Home = Annotated[Path, typer.Option(help="The node's folder: keys, pdfed.toml, state.")]

TEMPLATE = """# A PDFed node. Every setting, its meaning and default: docs/node.md
[chain]
rpc = {rpc}
task = {task}

[store]
uri = "local:store"

[node]
role = {role}
data = "data"
stake = 0.0  # whole tokens to join with; 0 if the node is registered by hand
"""


@app.command("init")
def init(
    home: Home,
    role: RoleName = "validator",
    task: TaskAddress = "",
    rpc: Rpc = LOCAL_RPC,
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Make a node's folder: a new key in an encrypted keystore and a pdfed.toml to edit."""
    from pdfed_sdk.chain.signers import LocalSigner

    roles(role)
    keystore, config = home / "keystore.json", home / "pdfed.toml"
    for path in (keystore, config):
        if path.exists():
            raise UsageError(f"{path} exists already", hint="choose another --home; nothing was changed")
    password = read_password(password_file, new=True)
    home.mkdir(parents=True, exist_ok=True)
    signer = LocalSigner.create_keystore(keystore, password)
    shown = {name: json.dumps(value) for name, value in (("rpc", rpc), ("task", task), ("role", role))}
    config.write_text(TEMPLATE.format(**shown), encoding="utf-8")
    data = {"address": signer.address, "keystore": str(keystore), "config": str(config)}
    then = f"next: send it the task's token and gas, edit {config}, then: pdfed node run --home {home}"
    emit(data, as_json, lambda: out.print(f"node {signer.address} in {home}\n{then}"))


@sends(app, "register")
def register(
    client: PdfedClient,
    token: Token,
    role: RoleName = "validator",
    stake: Annotated[str, typer.Option(help="Whole tokens to deposit at once.")] = "",
    voting_key: Annotated[str, typer.Option(help="Hot key that may vote for this node.")] = "",
) -> Any:
    """Register the keystore's address as a node of the task, and deposit its stake. Given again, it does the rest."""
    wanted = roles(role)
    amount = token.units(stake) if stake else 0
    account = client.account()
    registered = None if account.roles else client.register(wanted, voting_key=voting_key or None)
    simulated = registered is not None and not registered.tx_hash
    deposited = client.deposit(amount) if amount and not simulated else None
    return {"register": registered, "deposit": deposited}


@sends(app, "leave")
def leave(client: PdfedClient, token: Token) -> Any:
    """Take everything out: unbond the free stake, withdraw what is unbonded, claim the credit. Given again later, it
    takes what was still locked or unbonding then."""
    account = client.account()
    ripe = bool(account.unbonding) and client.now() >= account.unbonding_at
    free = bool(account.stake) and (ripe or not account.unbonding)  # one request at a time
    done = {
        "withdraw": client.withdraw() if ripe else None,
        "request": client.request_unstake(account.stake) if free else None,
        "claim": client.claim() if account.credit else None,
    }
    rest = client.account()
    if rest.unbonding:
        wait = max(0, rest.unbonding_at - client.now())
        err.print(f"{escape(token.show(rest.unbonding))} can be taken out in {wait:,} s: give this command again then")
    if rest.locked:
        err.print(f"{escape(token.show(rest.locked))} are behind votes or models that are not settled: again later")
    return done


@app.command("status")
def status(
    task: TaskAddress = "",
    rpc: HomeRpc = "",
    node: Annotated[str, typer.Option(help="Address of the node.")] = "",
    keystore: HomeKeystore = None,
    home: HomeOf = None,
    password_file: PasswordFile = None,
    last: Annotated[int, typer.Option(min=1, help="How many votes and results are listed, newest last.")] = 12,
    as_json: Json = False,
) -> None:
    """Wallet and stake, windows that are due, votes, and what was earned and lost and why. With a password also whether
    each sealed vote can be opened."""
    place = at_home(home, task=task, rpc=rpc, keystore=keystore, password_file=password_file)
    unlocked = place.keystore is not None and not node and (bool(place.password_file) or PASSWORD_ENV in os.environ)
    client = connect(
        place.rpc,
        place.task,
        keystore=place.keystore if unlocked else None,
        password_file=place.password_file,
        state=place.state,
        from_block=place.from_block,
    )
    address = client.voter or node or (address_in(place.keystore) if place.keystore else "")
    if not address:
        raise UsageError("no node named", hint="give --node ADDRESS, --keystore FILE or --home DIR")
    from pdfed_sdk.cli.status import show_status

    show_status(client, address, unlocked, last, as_json)


def address_in(keystore: Path) -> str:
    """The address a keystore names in clear."""
    try:
        return "0x" + str(json.loads(keystore.read_text(encoding="utf-8"))["address"]).removeprefix("0x")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeystoreError(
            f"{keystore} names no address: {error}", hint="give --node ADDRESS, or a password to open it"
        ) from error


@app.command("run")
def run(
    home: Home = Path(),
    role: Annotated[str, typer.Option(help="Instead of [node] role.")] = "",
    data: Annotated[str, typer.Option(help="Instead of [node] data: a folder of pictures, or a prepared split.")] = "",
    rpc: Annotated[str, typer.Option(help="Instead of [chain] rpc.")] = "",
    task: Annotated[str, typer.Option(help="Instead of [chain] task.")] = "",
    store: Annotated[str, typer.Option(help="Instead of [store] uri.")] = "",
    password_file: PasswordFile = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also tell training progress.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Run a node until Ctrl-C: vote on what is open, and as a trainer train and submit.

    Leaves with 0 when no vote is left sealed, else with 130 and the windows in which to run it again.
    """
    log_to_stderr(verbose)
    config = overridden(load_config(home / "pdfed.toml"), role=role, data=data, rpc=rpc, task=task, store=store)
    if password_file is None and config.chain.password_file:
        password_file = home / config.chain.password_file
    password = read_password(password_file)
    if not config.chain.task:
        raise UsageError(f"{home / 'pdfed.toml'} names no task", hint="set [chain] task, or give --task ADDRESS")
    err.print(f"starting: reading {config.node.data} and calibrating the scoring, which takes some seconds")
    from pdfed_sdk.node.assemble import build_node

    node = build_node(home, config, password)
    if dry_run:
        show_plan(node, as_json)
        return
    stop_on_signals(node)
    if config.node.metrics:
        expose(node, config.node.metrics)
    sealed = node.run()
    due = [{"id": e.id, "reveal_start": e.windows.reveal_start, "reveal_end": e.windows.reveal_end} for e in sealed]
    emit({"node": node.me, "stopped": node.stopping, "sealed": due}, as_json, lambda: None)
    if due:
        sys.exit(130)


def expose(node: Node, address: str) -> None:
    """Figures for Prometheus. UsageError."""
    try:
        from pdfed_sdk.node.metrics import serve_metrics
    except ImportError as error:
        raise UsageError("[node] metrics needs prometheus-client", hint="pip install 'pdfed-sdk[watch]'") from error
    port = serve_metrics(node, address)
    err.print(f"figures at http://{address.rpartition(':')[0]}:{port}/metrics")


def show_plan(node: Node, as_json: bool) -> None:
    from pdfed_sdk.chain.money import token_of

    joining, token = node.to_join(), token_of(node.client)
    data = {"node": node.me, "register": joining.register, "deposit": joining.deposit}

    def show() -> None:
        deposit = f"deposit {token.show(joining.deposit)}" if joining.deposit else ""
        sent = [text for text in ("register" if joining.register else "", deposit) if text]
        out.print(f"dry run: node {node.me} is ready; joining would {' and '.join(sent) or 'send nothing'}")

    emit(data, as_json, show)


def stop_on_signals(node: Node) -> None:
    """The first Ctrl-C (or SIGTERM) asks the node to end, the second ends it."""

    def on_signal(_signal: int, _frame: object) -> None:
        if node.stopping:
            raise KeyboardInterrupt
        err.print("stopping: due reveals are still made; once more to leave at once")
        node.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)


def absolute_uri(uri: str) -> str:
    """A store named on the command line: a relative folder lies where the command was typed, not in the home."""
    scheme, colon, rest = uri.partition(":")
    if not colon:
        scheme, rest = "local", uri
    return f"local:{Path(rest).expanduser().resolve()}" if scheme == "local" and rest else uri


def overridden(config: NodeConfig, *, role: str, data: str, rpc: str, task: str, store: str) -> NodeConfig:
    """The configuration with the command line's wishes on top; paths are taken as given."""
    if role:
        roles(role)
    place = str(Path(data).resolve()) if data else config.node.data
    node = dataclasses.replace(config.node, role=role or config.node.role, data=place)
    chain = dataclasses.replace(config.chain, rpc=rpc or config.chain.rpc, task=task or config.chain.task)
    kept = dataclasses.replace(config.store, uri=absolute_uri(store)) if store else config.store
    return dataclasses.replace(config, node=node, chain=chain, store=kept)
