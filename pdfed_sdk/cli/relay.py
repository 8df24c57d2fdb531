"""``pdfed relay key | run``: a second machine that opens a node's votes when the node is down."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from pdfed_sdk.cli.common import connect, read_password
from pdfed_sdk.cli.options import LOCAL_RPC, DryRun, Json, Keystore, PasswordFile, Rpc, TaskAddress
from pdfed_sdk.cli.output import emit, err, log_to_stderr, out, show_table

app = typer.Typer(help="Open a node's votes when it is down.", no_args_is_help=True)


@app.command("key")
def key(keystore: Keystore, password_file: PasswordFile = None, as_json: Json = False) -> None:
    """Print the public key of the relay that runs with this wallet: nodes name it as [relay] key."""
    from pdfed_sdk.chain.handover import relay_key
    from pdfed_sdk.chain.signers import LocalSigner

    signer = LocalSigner.from_keystore(keystore, password=read_password(password_file))
    shown = relay_key(signer).public_key().public_bytes_raw().hex()
    emit({"address": signer.address, "key": shown}, as_json, lambda: out.print(shown))


@app.command("run")
def run(
    task: TaskAddress,
    keystore: Keystore,
    home: Annotated[Path, typer.Option(help="Folder of the sealed openings.")] = Path("relay"),
    rpc: Rpc = LOCAL_RPC,
    host: Annotated[str, typer.Option(help="Address to listen on; loopback unless you say otherwise.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8650,
    patience: Annotated[float, typer.Option(help="Share of the reveal window that is left to the node.")] = 1 / 3,
    poll: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the chain.")] = 1.0,
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Keep openings that nodes entrust, and open the votes of nodes that are down, until Ctrl-C.

    The wallet needs gas, and neither stake nor registration. The relay can read the votes before they are opened.
    """
    from pdfed_sdk.chain.signers import LocalSigner
    from pdfed_sdk.node.relay import WARNING, Relay, listening

    log_to_stderr()
    password = read_password(password_file)
    signer = LocalSigner.from_keystore(keystore, password=password)
    client = connect(rpc, task, keystore=keystore, password_file=password_file, dry_run=dry_run, state=home / "state")
    relay = Relay(client, signer, home / "openings", patience)
    if dry_run:
        kept = [
            {"id": one.vote.submission_id, "voter": one.vote.voter, "from": one.reveal_start, "until": one.reveal_end}
            for one in relay.kept()
        ]
        emit(
            {"kept": kept},
            as_json,
            lambda: show_table((list(one.values()) for one in kept), ("id", "voter", "from", "until")),
        )
        return
    err.print(f"note: {WARNING}")
    if not client.native_balance():
        err.print(f"caution: {signer.address} has no coin for gas: it could open no vote")
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    with listening(relay, host, port) as url:
        emit({"url": url, "address": signer.address}, as_json, lambda: out.print(url))
        relay.run(ending, poll)
