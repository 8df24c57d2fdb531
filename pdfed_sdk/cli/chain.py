"""``pdfed task | stake | reward | events | audit``: what concerns the contracts."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from pdfed_sdk.artifacts.store import LocalStore
from pdfed_sdk.chain import deploy
from pdfed_sdk.chain.actions import Receipt
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.events import Rewound
from pdfed_sdk.chain.logs import event_to_dict
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.cli.common import (
    LOCAL_RPC,
    DryRun,
    Json,
    Keystore,
    PasswordFile,
    Rpc,
    StorePath,
    TaskAddress,
    connect,
    emit,
    err,
    out,
    read_password,
    tokens,
)
from pdfed_sdk.errors import AuditFailed, UsageError


class Profile(StrEnum):
    """Which defaults a task starts from."""

    DEVELOPMENT = "development"
    PUBLIC = "public"


task = typer.Typer(help="Create, show, fund and close tasks.", no_args_is_help=True)
stake = typer.Typer(help="A node's stake: add, request, withdraw.", no_args_is_help=True)
reward = typer.Typer(help="Rewards: settle votes, pour lineage shares, claim credit.", no_args_is_help=True)
events = typer.Typer(help="The event log.", no_args_is_help=True)


def show_receipt(receipt: Receipt | None, as_json: bool) -> None:
    """Print what a transaction did."""
    if receipt is None:
        emit({"sent": False}, as_json, lambda: out.print("nothing to do"))
        return
    data = {
        "sent": bool(receipt.tx_hash),
        "tx_hash": receipt.tx_hash,
        "block": receipt.block,
        "gas_used": receipt.gas_used,
        "events": [event_to_dict(event) for event in receipt.events],
    }
    word = f"block {receipt.block}, {receipt.tx_hash}" if receipt.tx_hash else "dry run: would succeed"
    emit(data, as_json, lambda: out.print(f"{word}, gas {receipt.gas_used:,}"))


def units(amount: float) -> int:
    """Whole tokens to units."""
    if amount <= 0:
        raise UsageError(f"amount is {amount}, not above 0", hint="give whole tokens, e.g. 100 or 0.5")
    return round(amount * 10**18)


@task.command("create")
def task_create(
    genesis: Annotated[Path, typer.Option(help="Genesis digests JSON, from: pdfed model init")],
    card: Annotated[Path, typer.Option(help="Task card JSON: the frozen scoring settings.")],
    keystore: Keystore,
    rpc: Rpc = LOCAL_RPC,
    store: StorePath = Path("store"),
    token: Annotated[str, typer.Option(help="ERC-20 of the task (default: the manifest's test token).")] = "",
    profile: Annotated[Profile, typer.Option(help="Parameter defaults.")] = Profile.DEVELOPMENT,
    param: Annotated[list[str] | None, typer.Option(help="Override, NAME=VALUE, may be repeated.")] = None,
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Deploy the contracts where they are missing, publish the card, and create a task."""
    signer = LocalSigner.from_keystore(keystore, password=read_password(password_file))
    manifest = deploy.deploy_factory(rpc, signer, token=not token)
    cid = LocalStore(store).put(card)
    overrides: dict[str, Any] = {"card_digest": cid.digest}
    for item in param or []:
        name, _, value = item.partition("=")
        overrides[name] = int(value, 0)
    params = deploy.task_params(token or str(manifest.token), signer.address, profile=profile.value, **overrides)
    made = deploy.create_task(rpc, signer, params, deploy.read_genesis(genesis), manifest=manifest)
    emit(
        asdict(made),
        as_json,
        lambda: out.print(f"task {made.registry}\n  vault {made.vault}\n  book  {made.book}\n  pool  {made.pool}"),
    )


@task.command("show")
def task_show(task: TaskAddress, rpc: Rpc = LOCAL_RPC, as_json: Json = False) -> None:
    """Parameters, best model, money."""
    client = connect(rpc, task)
    best, totals, (pool, allowance) = client.best(), client.totals(), client.balances()
    data = {
        "task": asdict(client.task),
        "params": asdict(client.params()),
        "count": client.count(),
        "best": asdict(best),
        "closed": client.closed(),
        "next_to_finalize": client.next_to_finalize(),
        "pool": pool,
        "allowance": allowance,
        "totals": asdict(totals),
    }

    def show() -> None:
        table = Table(title=f"task {task}", show_header=False)
        rows = {k: v for k, v in data.items() if k not in ("task", "params", "totals")}
        for name, value in {**rows, **asdict(client.params())}.items():
            table.add_row(name, tokens(value) if name in ("pool", "allowance") else _short(value))
        out.print(table)

    emit(data, as_json, show)


def _short(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


@task.command("fund")
def task_fund(
    amount: Annotated[float, typer.Argument(help="Whole tokens.")],
    task: TaskAddress,
    keystore: Keystore,
    rpc: Rpc = LOCAL_RPC,
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Add to the pool (sponsor only)."""
    client = connect(rpc, task, keystore=keystore, password_file=password_file, dry_run=dry_run)
    show_receipt(client.fund(units(amount)), as_json)


@task.command("close")
def task_close(
    task: TaskAddress,
    keystore: Keystore,
    rpc: Rpc = LOCAL_RPC,
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """No new reservations (sponsor only); what is open is voted on, finalised and paid."""
    show_receipt(connect(rpc, task, keystore=keystore, password_file=password_file, dry_run=dry_run).close(), as_json)


@stake.command("add")
def stake_add(
    amount: Annotated[float, typer.Argument(help="Whole tokens.")],
    task: TaskAddress,
    keystore: Keystore,
    rpc: Rpc = LOCAL_RPC,
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Deposit stake; it counts for submissions reserved a warm-up later."""
    client = connect(rpc, task, keystore=keystore, password_file=password_file, dry_run=dry_run)
    show_receipt(client.deposit(units(amount)), as_json)


@stake.command("request")
def stake_request(
    amount: Annotated[float, typer.Argument(help="Whole tokens.")],
    task: TaskAddress,
    keystore: Keystore,
    rpc: Rpc = LOCAL_RPC,
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Start unbonding free stake."""
    client = connect(rpc, task, keystore=keystore, password_file=password_file, dry_run=dry_run)
    show_receipt(client.request_unstake(units(amount)), as_json)


@stake.command("withdraw")
def stake_withdraw(
    task: TaskAddress,
    keystore: Keystore,
    rpc: Rpc = LOCAL_RPC,
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Take unbonded stake out."""
    show_receipt(
        connect(rpc, task, keystore=keystore, password_file=password_file, dry_run=dry_run).withdraw(), as_json
    )


@reward.command("settle")
def reward_settle(
    submission: Annotated[int, typer.Argument(help="Number of a finalised submission.")],
    task: TaskAddress,
    keystore: Keystore,
    rpc: Rpc = LOCAL_RPC,
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Finalise what is due and settle every vote on a submission."""
    client = connect(rpc, task, keystore=keystore, password_file=password_file, dry_run=dry_run)
    client.finalize_due()
    show_receipt(client.settle(submission), as_json)


@reward.command("pour")
def reward_pour(
    task: TaskAddress,
    keystore: Keystore,
    rpc: Rpc = LOCAL_RPC,
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Pour all pending lineage shares, descendants first."""
    show_receipt(connect(rpc, task, keystore=keystore, password_file=password_file, dry_run=dry_run).pour(), as_json)


@reward.command("claim")
def reward_claim(
    task: TaskAddress,
    keystore: Keystore,
    rpc: Rpc = LOCAL_RPC,
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Pay your credit to your wallet."""
    show_receipt(connect(rpc, task, keystore=keystore, password_file=password_file, dry_run=dry_run).claim(), as_json)


@events.command("tail")
def events_tail(
    task: TaskAddress,
    rpc: Rpc = LOCAL_RPC,
    from_block: Annotated[int, typer.Option(help="First block.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for new events until interrupted.")] = False,
    as_json: Json = False,
) -> None:
    """Print the task's events; with --json one JSON object a line."""
    client = connect(rpc, task)
    source = client.events.follow(from_block=from_block) if follow else client.events.replay(from_block=from_block)
    for event in source:
        if isinstance(event, Rewound):
            err.print(f"the chain was reorganised: forget the events above block {event.block}")
            continue
        data = event_to_dict(event)
        if as_json:
            sys.stdout.write(json.dumps(data) + "\n")
            sys.stdout.flush()
        else:
            where = data.pop("where", {})
            name = data.pop("event", type(event).__name__)
            out.print(
                f"{where.get('block', ''):>7} {name:<16} " + " ".join(f"{k}={_short(v)}" for k, v in data.items())
            )


def run_audit(client: PdfedClient, store: Path | None, as_json: bool) -> None:
    """Shared by ``pdfed audit`` and its tests: events -> state -> money, packages -> digests -> manifests."""
    from pdfed_sdk.node.auditing import audit_task

    report = audit_task(client, LocalStore(store) if store else None)
    data = {"ok": report.ok, "checks": [asdict(check) for check in report.checks]}

    def show() -> None:
        for check in report.checks:
            out.print(f"{'ok ' if check.ok else 'BAD'} {check.name}: {check.detail}")

    emit(data, as_json, show)
    if not report.ok:
        bad = [check.name for check in report.checks if not check.ok]
        raise AuditFailed(f"{len(bad)} checks failed: {', '.join(bad)}", hint="read the lines marked BAD")
    err.print(f"all {len(report.checks)} checks hold")


def add_to(app: typer.Typer) -> None:
    @app.command("audit")
    def audit_command(
        task: TaskAddress,
        rpc: Rpc = LOCAL_RPC,
        store: Annotated[Path | None, typer.Option(help="Local store: also verify every package.")] = None,
        as_json: Json = False,
    ) -> None:
        """Rebuild state and money from events alone, compare with the chain; with --store verify the packages."""
        run_audit(connect(rpc, task), store, as_json)
