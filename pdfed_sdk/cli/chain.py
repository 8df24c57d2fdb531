"""``pdfed task | stake | reward | events | audit``: what concerns the contracts."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pdfed_sdk.cli.common import connect, read_password
from pdfed_sdk.cli.options import (
    LOCAL_RPC,
    Deployments,
    DryRun,
    Json,
    Keystore,
    PasswordFile,
    Rpc,
    StoreUri,
    TaskAddress,
)
from pdfed_sdk.cli.output import emit, err, out, show_table
from pdfed_sdk.cli.sending import event_text, sends
from pdfed_sdk.errors import AuditFailed, UsageError

if TYPE_CHECKING:
    from pdfed_sdk.chain.calls import TaskParams
    from pdfed_sdk.chain.client import PdfedClient
    from pdfed_sdk.chain.money import Token

Amount = Annotated[str, typer.Argument(help="Whole tokens, e.g. 100 or 0.5.")]


class Profile(StrEnum):
    """Which defaults a task starts from."""

    DEVELOPMENT = "development"
    PUBLIC = "public"


task = typer.Typer(help="Create, show, fund and close tasks.", no_args_is_help=True)
stake = typer.Typer(help="A node's stake: add, request, withdraw.", no_args_is_help=True)
reward = typer.Typer(help="Rewards: settle votes, pour lineage shares, claim credit.", no_args_is_help=True)
events = typer.Typer(help="The event log.", no_args_is_help=True)


# --- task ------------------------------------------------------------------------------------------------------------


@task.command("create")
def task_create(
    genesis: Annotated[Path, typer.Option(help="Genesis digests JSON, from: pdfed model init")],
    card: Annotated[Path, typer.Option(help="Task card JSON: the frozen scoring settings.")],
    keystore: Keystore,
    rpc: Rpc = LOCAL_RPC,
    store: StoreUri = "local:store",
    token: Annotated[str, typer.Option(help="ERC-20 of the task (default: the manifest's test token).")] = "",
    profile: Annotated[Profile, typer.Option(help="Parameter defaults.")] = Profile.DEVELOPMENT,
    settings: Annotated[list[str] | None, typer.Option("--set", help="One parameter, NAME=VALUE; repeatable.")] = None,
    former: Annotated[list[str] | None, typer.Option("--param", hidden=True, help="The former name of --set.")] = None,
    package: Annotated[Path | None, typer.Option(help="The genesis (default: package.zip beside --genesis).")] = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Take digests and card as they are: the genesis is not opened.")
    ] = False,
    deployments: Deployments = Path("deployments"),
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Deploy the contracts where they are missing, publish the card, and create a task. A genesis that another key has
    signed, that does not load, or that the card is not about, is refused: no node could begin with it."""
    from pdfed_sdk.artifacts.cid import cid_of
    from pdfed_sdk.artifacts.open_store import open_store
    from pdfed_sdk.chain import deploy
    from pdfed_sdk.chain.calls import ZERO_ADDRESS
    from pdfed_sdk.chain.signers import LocalSigner

    signer = LocalSigner.from_keystore(keystore, password=read_password(password_file))
    digests = deploy.read_genesis(genesis)
    if not unchecked:
        from pdfed_sdk.node.genesis_check import PACKAGE, check_genesis
        from pdfed_sdk.node.task_card import TaskCard

        check_genesis(package or genesis.with_name(PACKAGE), digests, signer.address, TaskCard.read(card))
    changed = overrides_of([*(settings or []), *(former or [])])
    currency = deploy.check_sponsor(rpc, signer.address, token, 0)
    overrides: dict[str, Any] = {"card_digest": cid_of(card).digest, "unit": 10**currency.decimals, **changed}
    if dry_run:
        test_token = token or "0x" + "11" * 20
        params = deploy.task_params(test_token, signer.address, profile=profile.value, **overrides)
        steps = [step.contract for step in deploy.plan_factory(token=not token)]
        _show_plan(steps, params, currency, as_json)
        return
    manifest = deploy.deploy_factory(rpc, signer, token=not token, folder=deployments)
    open_store(store).put(card)
    address = token or manifest.token or ZERO_ADDRESS
    params = deploy.task_params(address, signer.address, profile=profile.value, **overrides)
    made = deploy.create_task(rpc, signer, params, digests, manifest, folder=deployments)
    rows = [(name, getattr(made, name)) for name in ("registry", "vault", "book", "pool", "token", "sponsor", "block")]
    emit(
        {"created": True, **dict(rows)}, as_json, lambda: show_table(rows, title="task created; its registry is --task")
    )


def overrides_of(items: list[str]) -> dict[str, int]:
    """Parameters of a task from ``--set NAME=VALUE``. UsageError: none of that name, or not a number."""
    from pdfed_sdk.chain.parameters import PARAMETERS, check_name

    found = {}
    for item in items:
        name, _, value = item.partition("=")
        check_name(name, [row.name for row in PARAMETERS])
        try:
            found[name] = int(value, 0)
        except ValueError as error:
            raise UsageError(f'--set is "{item}"', hint="write NAME=WHOLE NUMBER, e.g. commit_window=60") from error
    return found


def _show_plan(steps: list[str], params: TaskParams, token: Token, as_json: bool) -> None:
    from pdfed_sdk.chain.parameters import params_table

    data = {"created": False, "deploys_if_missing": steps, "params": asdict(params)}

    def show() -> None:
        out.print("dry run: nothing is sent; deploys where missing: " + ", ".join(steps))
        show_table(params_table(params, token), ("parameter", "value", "bounds", "meaning"))

    emit(data, as_json, show)


@task.command("show")
def task_show(task: TaskAddress, rpc: Rpc = LOCAL_RPC, as_json: Json = False) -> None:
    """Parameters, best model, money."""
    from pdfed_sdk.chain.money import token_of
    from pdfed_sdk.chain.parameters import params_table

    client = connect(rpc, task)
    best, totals, params, token = client.best(), client.totals(), client.params(), token_of(client)
    owners, fee = client.balances(), client.fee()
    data = {
        "task": asdict(client.task),
        "chain_id": client.chain_id,
        "token": {"address": params.token, "symbol": token.symbol, "decimals": token.decimals},
        "params": asdict(params),
        "count": client.count(),
        "best": asdict(best),
        "closed": client.closed(),
        "next_to_finalize": client.next_to_finalize(),
        "fee": fee.fee,
        "open": fee.open,
        "balances": asdict(owners),
        "totals": asdict(totals),
    }

    def show() -> None:
        rows: list[tuple[str, Any]] = [(f"{name} contract", place) for name, place in asdict(client.task).items()]
        rows += [("token", f"{token.symbol} at {params.token}"), ("sponsor", params.sponsor)]
        rows += [("state", "closed" if data["closed"] else "open"), ("models", f"{data['count']}, genesis included")]
        rows += [
            ("best model", f"#{best.id}, level {best.level} grains"),
            ("next to finalise", f"#{data['next_to_finalize']}"),
            ("scoring fee now", f"{token.show(fee.fee)} with {fee.open} ids open"),
            ("sponsor's funds", token.show(owners.unreleased + owners.allowance)),
            ("allowance now", token.show(owners.allowance)),
            ("commons", token.show(owners.commons)),
            ("on its way to authors", token.show(owners.committed)),
            ("in escrow", token.show(totals.escrow)),
        ]
        show_table(rows, title=f"task {client.task.registry} on chain {client.chain_id}")
        head = ("parameter", "value", "bounds", "meaning")
        show_table(params_table(params, token), head, "\nparameters, fixed for good")

    emit(data, as_json, show)


@sends(task, "fund")
def task_fund(client: PdfedClient, token: Token, amount: Amount) -> Any:
    """Add to the pool (sponsor only)."""
    return client.fund(token.units(amount))


@sends(task, "close")
def task_close(client: PdfedClient, token: Token) -> Any:
    """No new reservations (sponsor only); what is open is voted on, finalised and paid."""
    return client.close()


@sends(task, "pause")
def task_pause(
    client: PdfedClient, token: Token, seconds: Annotated[int, typer.Argument(help="At most 1,209,600: 14 days.")]
) -> Any:
    """No new reservations for a while (guardian only, once in 60 days); what is open goes on."""
    return client.pause(seconds)


# --- stake and reward ------------------------------------------------------------------------------------------------


@sends(stake, "add")
def stake_add(client: PdfedClient, token: Token, amount: Amount) -> Any:
    """Deposit stake; it counts for submissions reserved a warm-up later."""
    return client.deposit(token.units(amount))


@sends(stake, "request")
def stake_request(client: PdfedClient, token: Token, amount: Amount) -> Any:
    """Start unbonding free stake."""
    return client.request_unstake(token.units(amount))


@sends(stake, "withdraw")
def stake_withdraw(client: PdfedClient, token: Token) -> Any:
    """Take unbonded stake out."""
    return client.withdraw()


@sends(reward, "settle")
def reward_settle(
    client: PdfedClient,
    token: Token,
    submission: Annotated[int, typer.Argument(help="Number of a submission past its reveal window.")],
) -> Any:
    """Finalise what is due and settle every vote on a submission."""
    if not 0 < submission < client.count():
        last = client.count() - 1
        known = f"the task has ids 1 … {last}" if last else "the task has no submission yet"
        raise UsageError(f"no submission {submission}", hint=known)
    finalized = client.finalize_due()
    simulated = finalized is not None and not finalized.tx_hash
    return {"finalize": finalized, "settle": None if simulated else client.settle(submission)}


@sends(reward, "pour")
def reward_pour(client: PdfedClient, token: Token) -> Any:
    """Split what models hold among authors, parents and references, descendants first."""
    return client.pour()


@sends(reward, "divide")
def reward_divide(
    client: PdfedClient,
    token: Token,
    submission: Annotated[int, typer.Argument(help="Number of a model that became best.")],
) -> Any:
    """After the end of a task: give a model its part of the commons; pour it afterwards."""
    return client.divide_commons(submission)


@reward.command("explain")
def reward_explain(
    submission: Annotated[int, typer.Argument(help="Number of a submission.")],
    task: TaskAddress,
    rpc: Rpc = LOCAL_RPC,
    from_block: Annotated[int, typer.Option(help="First block of the task.")] = 0,
    as_json: Json = False,
) -> None:
    """Why each fee, bond, vote, reward and share of a submission is what it is, from the events alone."""
    from pdfed_sdk.audit.explain import explain
    from pdfed_sdk.chain.event_types import jsonable
    from pdfed_sdk.chain.money import token_of

    client = connect(rpc, task)
    token = token_of(client)
    found = explain(client, submission, from_block=from_block)

    def show() -> None:
        for line in found:
            amount = "" if line.amount is None else f" {token.show(line.amount)}"
            out.print(escape(f"{line.subject}:{amount} {line.told}"))

    emit({"submission": submission, "lines": [jsonable(line) for line in found]}, as_json, show)


@sends(reward, "royalty")
def reward_royalty(
    client: PdfedClient,
    token: Token,
    submission: Annotated[int, typer.Argument(help="Number of a final model.")],
    amount: Amount,
) -> Any:
    """Pay for the use of a model: its author and lineage share it with the next pour."""
    return client.pay_royalty(submission, token.units(amount))


@sends(reward, "claim")
def reward_claim(client: PdfedClient, token: Token) -> Any:
    """Pay your credit to your wallet."""
    return client.claim() if client.account().credit else None


# --- events and audit ------------------------------------------------------------------------------------------------


@events.command("tail")
def events_tail(
    task: TaskAddress,
    rpc: Rpc = LOCAL_RPC,
    from_block: Annotated[int, typer.Option(help="First block.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for new events until interrupted.")] = False,
    as_json: Json = False,
) -> None:
    """Print the task's events; with --json one JSON object a line."""
    from pdfed_sdk.chain.event_types import event_to_dict
    from pdfed_sdk.chain.money import token_of
    from pdfed_sdk.chain.replay import Rewound

    client = connect(rpc, task)
    token = token_of(client)
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
            out.print(f"{event.where.block:>7} {event_text(data, token)}")


def run_audit(client: PdfedClient, store: str, as_json: bool) -> None:
    """Shared by ``pdfed audit`` and its tests: events -> state -> money, packages -> digests -> manifests."""
    from pdfed_sdk.artifacts.open_store import open_store
    from pdfed_sdk.node.auditing import audit_task

    report = audit_task(client, open_store(store) if store else None)
    data = {"ok": report.ok, "checks": [asdict(check) for check in report.checks]}

    def show() -> None:
        for check in report.checks:
            out.print(escape(f"{'ok ' if check.ok else 'BAD'} {check.name}: {check.detail}"))

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
        store: Annotated[str, typer.Option(help="Store (local:DIR, kubo:URL): also verify every package.")] = "",
        as_json: Json = False,
    ) -> None:
        """Rebuild state and money from events alone, compare with the chain; with --store verify the packages."""
        run_audit(connect(rpc, task), store, as_json)
