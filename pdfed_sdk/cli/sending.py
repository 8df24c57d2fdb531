"""Commands that send one transaction, declared once: what they do is a function of a client, the options are ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

import typer
from rich.markup import escape

from pdfed_sdk.cli.common import at_home, connect
from pdfed_sdk.cli.options import Confirmations, DryRun, Home, HomeKeystore, HomeRpc, Json, PasswordFile, TaskAddress
from pdfed_sdk.cli.output import emit, out, text
from pdfed_sdk.errors import UsageError
from pdfed_sdk.types import role_words

if TYPE_CHECKING:
    from pdfed_sdk.chain.actions import Receipt
    from pdfed_sdk.chain.money import Token

MONEY = "amount paid from_allowance from_commons to_author to_reference to_parents above held passed bond fee surcharge"
MONEY += " released forfeited to_commons stake locked unbonding credit escrow treasury"
AMOUNTS = frozenset(MONEY.split())
"""Fields of events and accounts that are token units."""

Act = Callable[..., "Receipt | Mapping[str, Receipt | None] | None"]
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
COMMON = [
    inspect.Parameter("home", _KEYWORD, annotation=Home, default=None),
    inspect.Parameter("task", _KEYWORD, annotation=TaskAddress, default=""),
    inspect.Parameter("keystore", _KEYWORD, annotation=HomeKeystore, default=None),
    inspect.Parameter("rpc", _KEYWORD, annotation=HomeRpc, default=""),
    inspect.Parameter("password_file", _KEYWORD, annotation=PasswordFile, default=None),
    inspect.Parameter("confirmations", _KEYWORD, annotation=Confirmations, default=0),
    inspect.Parameter("dry_run", _KEYWORD, annotation=DryRun, default=False),
    inspect.Parameter("as_json", _KEYWORD, annotation=Json, default=False),
]


def sends(app: typer.Typer, name: str) -> Callable[[Act], Act]:
    """Make ``act(client, token, …)`` a command that sends as the keystore's address, with --dry-run and --json."""

    def declare(act: Act) -> Act:
        hints = get_type_hints(act, localns={"PdfedClient": Any, "Token": Any}, include_extras=True)
        asked = list(inspect.signature(act).parameters.values())[2:]
        own = [p.replace(kind=_KEYWORD, annotation=hints[p.name]) for p in asked]

        def command(**given: Any) -> None:
            from pdfed_sdk.chain.money import token_of

            as_json, dry_run, confirmations = (given.pop(key) for key in ("as_json", "dry_run", "confirmations"))
            named = {key: given.pop(key) for key in ("task", "rpc", "keystore", "password_file")}
            place = at_home(given.pop("home"), **named)
            if place.keystore is None:
                raise UsageError("no keystore named: who signs?", hint="give --keystore FILE or --home DIR")
            client = connect(
                place.rpc,
                place.task,
                keystore=place.keystore,
                password_file=place.password_file,
                confirmations=confirmations or place.confirmations,
                dry_run=dry_run,
                state=place.state,
                from_block=place.from_block,
            )
            token = token_of(client)
            done = act(client, token, **given)
            if isinstance(done, Mapping):
                show_receipts(done, token, as_json)
            else:
                emit(receipt_data(done), as_json, lambda: show_receipt(done, token))

        signature = inspect.Signature([*own, *COMMON])
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        command.__doc__ = act.__doc__
        app.command(name)(command)
        return act

    return declare


def receipt_data(receipt: Receipt | None) -> dict[str, Any]:
    """A transaction as JSON; the keys are always there. ``sent`` is false after a dry run and when nothing was due."""
    from pdfed_sdk.chain.event_types import event_to_dict

    return {
        "sent": bool(receipt and receipt.tx_hash),
        "due": receipt is not None,
        "tx_hash": (receipt.tx_hash or None) if receipt else None,
        "block": receipt.block if receipt else None,
        "gas_used": receipt.gas_used if receipt else 0,
        "events": [event_to_dict(event) for event in receipt.events] if receipt else [],
    }


def show_receipt(receipt: Receipt | None, token: Token) -> None:
    """The same for people."""
    data = receipt_data(receipt)
    if not data["due"]:
        out.print("nothing to do")
    elif not data["sent"]:
        out.print(f"dry run: would succeed with about {data['gas_used']:,} gas; nothing was sent")
    else:
        out.print(f"sent {data['tx_hash']} in block {data['block']}, gas {data['gas_used']:,}")
        for event in data["events"]:
            out.print("  " + event_text(event, token))


def show_receipts(done: Mapping[str, Receipt | None], token: Token, as_json: bool) -> None:
    """Several transactions of one command, by what they did."""

    def show() -> None:
        for name, receipt in done.items():
            out.print(f"{name}: ", end="")
            show_receipt(receipt, token)

    emit({name: receipt_data(receipt) for name, receipt in done.items()}, as_json, show)


def event_text(event: Mapping[str, Any], token: Token) -> str:
    """An event's name and fields in one line, amounts in whole tokens."""
    fields = {k: v for k, v in event.items() if k not in ("where", "event")}
    return escape(f"{event['event']:<14} {told(fields, token)}")


def told(fields: Mapping[str, Any], token: Token) -> str:
    """Names and values in words: amounts in whole tokens, roles by name, what holds other values in brackets."""
    return ", ".join(f"{name.replace('_', ' ')} {value_text(name, value, token)}" for name, value in fields.items())


def value_text(name: str, value: Any, token: Token) -> str:
    if isinstance(value, Mapping):
        return f"({told(value, token)})"
    if isinstance(value, list):
        return "[" + "; ".join(value_text(name, item, token) for item in value) + "]"
    if name == "roles":
        return role_words(int(value))
    return token.show(value) if name in AMOUNTS and isinstance(value, int) else text(value)
