"""What commands take from a task: a model's package, checked against the chain, and what another task begins with."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pdfed_sdk.cli.output import err
from pdfed_sdk.errors import UsageError
from pdfed_sdk.types import GENESIS, SubmissionId

if TYPE_CHECKING:
    from pdfed_sdk.artifacts.cid import Cid
    from pdfed_sdk.artifacts.identity import SigningIdentity
    from pdfed_sdk.artifacts.provenance import BuiltPackage
    from pdfed_sdk.chain.client import PdfedClient
    from pdfed_sdk.node.task_card import TaskCard
    from pdfed_sdk.types import Address


def number_of(client: PdfedClient, model: str) -> int:
    """``best`` or a number. UsageError."""
    if not (model == "best" or model.isdecimal()):
        raise UsageError(f'there is no model "{model}"', hint='write "best" or a number, see: pdfed model list')
    return int(client.best().id) if model == "best" else int(model)


def fetched(client: PdfedClient, submission: int, store: str, to: Path) -> Cid:
    """Fetch a model's package to ``to`` and check it against the chain. Raises UsageError and what a store raises."""
    from pdfed_sdk.artifacts.cid import Cid
    from pdfed_sdk.artifacts.open_store import open_store
    from pdfed_sdk.artifacts.provenance import verify_package
    from pdfed_sdk.node.model_cache import ModelCache
    from pdfed_sdk.node.task_view import TaskView

    view = TaskView(client)
    view.refresh()
    if submission != GENESIS and submission not in view.entries:
        raise UsageError(f"no submission {submission}", hint=f"the task has ids 0 … {len(view.entries)}")
    digests = view.digests_of(SubmissionId(submission))
    if digests is None:
        raise UsageError(f"submission {submission} is reserved, not submitted", hint="wait, or see: pdfed model list")
    cid = Cid(digests.package_codec, digests.package_digest)
    kept = open_store(store)
    kept.fetch(cid, to)
    verify_package(
        to, ModelCache(to.parent, kept, view, view.params.sponsor).expected(SubmissionId(submission), digests)
    )
    err.print("verified against the chain")
    return cid


def carried(
    client: PdfedClient, model: str, store: str, to: Path, identity: SigningIdentity, wallet: Address
) -> tuple[BuiltPackage, TaskCard]:
    """A model of an earlier task, signed anew in ``to``, and that task's card."""
    from pdfed_sdk.artifacts.open_store import open_store
    from pdfed_sdk.node.genesis import Origin, carry_over
    from pdfed_sdk.node.task_card import TaskCard

    number = number_of(client, model)
    card = TaskCard.fetch(open_store(store), client.params().card_digest)
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / "package.zip"
        fetched(client, number, store, package)
        origin = Origin(client.chain_id, client.task.registry, number)
        return carry_over(to, package, origin, identity=identity, wallet=wallet), card
