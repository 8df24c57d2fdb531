"""``pdfed node withdraw``: an owner takes back the consent to train on pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdfed_sdk.cli.common import at_home, read_password
from pdfed_sdk.cli.options import DryRun, Json, PasswordFile
from pdfed_sdk.cli.output import emit, out, show_table
from pdfed_sdk.cli.sending import receipt_data
from pdfed_sdk.config import load_class, load_config


def withdraw(
    files: Annotated[list[Path], typer.Argument(help="Picture files of the node's data, or folders of them.")],
    home: Annotated[Path, typer.Option(help="The node's folder.")] = Path("node"),
    password_file: PasswordFile = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Withdraw pictures from training: sign their list, keep it in the home, announce its digest on chain."""
    from pdfed_sdk.artifacts.ipfs import IpfsStore
    from pdfed_sdk.artifacts.open_store import open_store
    from pdfed_sdk.chain.client import PdfedClient
    from pdfed_sdk.chain.rpc import Options
    from pdfed_sdk.chain.signers import LocalSigner
    from pdfed_sdk.ml.sources import Reading
    from pdfed_sdk.node.home import HomeLock
    from pdfed_sdk.node.task_card import TaskCard
    from pdfed_sdk.node.withdrawing import LIST, data_root, extended, leaves_of

    config, place = load_config(home / "pdfed.toml"), at_home(home, task="", rpc="", keystore=None)
    assert place.keystore is not None
    signer = LocalSigner.from_keystore(place.keystore, password=read_password(password_file or place.password_file))
    options = Options(dry_run=dry_run, confirmations=place.confirmations)
    client = PdfedClient.connect(place.rpc, task=place.task, signer=signer, state=place.state, options=options)
    held, store = HomeLock(home), open_store(config.store.uri, home)
    try:
        card = TaskCard.fetch(store, client.params().card_digest)
    finally:
        if isinstance(store, IpfsStore):
            store.close()
    reading = Reading(config.node.fit, card.classes, config.node.unknown_classes)
    split = load_class(config.parts.dataset)(home / config.node.data, card.scoring, reading)
    leaves = leaves_of(files, split, config.node.fit)
    made = extended(home, signer, client.chain_id, client.task.registry, leaves)
    if not dry_run:
        made.write(home / LIST)  # before it is announced: a node that is killed now honours it all the same
    receipt = client.set_metadata(made.digest())
    held.release()
    result = {
        "withdrawn": len(made.leaves),
        "training": len(made.places(split.train.leaves())),
        "list": None if dry_run else str(home / LIST),
        "digest": made.digest().hex(),
        "data_root": data_root(split.train),
        "receipt": receipt_data(receipt),
    }

    def show() -> None:
        show_table([(name, value) for name, value in result.items() if name != "receipt"])
        out.print("dry run: nothing was sent" if dry_run else "start the node again: it leaves them out from then on")

    emit(result, as_json, show)


def add_to(node: typer.Typer) -> None:
    node.command("withdraw")(withdraw)
