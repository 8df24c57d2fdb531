"""``python -m tests.support.node_process --help``: one node as a process of its own, without torch.

The loop, the chain, the store, the journal and the signals are the real ones; scoring is a stand-in that always says
+4, and the model of an author is a few numbers. For the tests of faults, and of several hosts.
"""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path

from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.ipfs import IpfsStore
from pdfed_sdk.artifacts.open_store import open_store
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.cli.node import stop_on_signals
from pdfed_sdk.node.entrusting import Entrusting
from pdfed_sdk.node.model_cache import ModelCache
from pdfed_sdk.node.packaging import SigningPackager
from pdfed_sdk.node.records import Records
from pdfed_sdk.node.runner import LoopSettings, Node
from pdfed_sdk.node.strategy import TrainFromBest
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.types import Role
from tests.support.federation import FAST, KEYS
from tests.support.node_world import Opinion, Stepper


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("registry")
    parser.add_argument("index", type=int, help="of the key")
    parser.add_argument("home", type=Path)
    parser.add_argument("store", help="as in [store] uri")
    parser.add_argument("--relay", nargs=2, metavar=("URL", "KEY"))
    parser.add_argument("--author", action="store_true", help="also train and submit one model")
    parser.add_argument("--patience", type=float, default=1.0, help="seconds for an answer of the chain")
    given = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    signer = LocalSigner.from_key(KEYS[given.index], lock_folder=given.home)
    client = PdfedClient.connect(
        given.url,
        task=given.registry,
        signer=signer,
        state=given.home / "state",
        options=replace(FAST, request_timeout=given.patience, retries=1, poll=0.1),
    )
    store = open_store(given.store, given.home)
    if isinstance(store, IpfsStore):
        store.start()
    view = TaskView(client)
    node = Node(
        client=client,
        store=store,
        view=view,
        models=ModelCache(given.home / "models", store, view, view.params.sponsor),
        records=Records(given.home),
        evaluator=Opinion(4),
        trainer=Stepper() if given.author else None,
        package=SigningPackager(SigningIdentity.load_or_create(given.home / "identity.json", "test"), signer.address),
        strategy=TrainFromBest(budget=10, submissions=1),
        entrusting=Entrusting(client, *given.relay) if given.relay else None,
        settings=LoopSettings(role=Role.TRAINER | Role.VALIDATOR, poll=0.1, linger=30.0, stake=1),
    )
    stop_on_signals(node)
    sealed = node.run()
    if isinstance(store, IpfsStore):
        store.close()
    return 130 if sealed else 0


if __name__ == "__main__":
    sys.exit(main())
