"""``python node_process.py URL REGISTRY INDEX HOME STORE [RELAY KEY]``: one voting node as a process of its own.

The loop, the chain, the store, the journal and the signals are the real ones; scoring is a stand-in that always says
+4, so that the process starts without torch. For the tests of faults.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

from pdfed_sdk.artifacts.store import LocalStore
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.cli.node import stop_on_signals
from pdfed_sdk.node.entrusting import Entrusting
from pdfed_sdk.node.model_cache import ModelCache
from pdfed_sdk.node.records import Records
from pdfed_sdk.node.runner import LoopSettings, Node
from pdfed_sdk.node.strategy import TrainFromBest
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.types import Role
from tests.support.federation import FAST, KEYS
from tests.support.node_world import Opinion

if __name__ == "__main__":
    url, registry, index, home, store = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), sys.argv[5]
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    client = PdfedClient.connect(
        url,
        task=registry,
        signer=LocalSigner.from_key(KEYS[index], lock_folder=home),
        state=home / "state",
        options=replace(FAST, request_timeout=1.0, retries=1, poll=0.1),
    )
    view = TaskView(client)
    node = Node(
        client=client,
        store=LocalStore(store),
        view=view,
        models=ModelCache(home / "models", LocalStore(store), view, view.params.sponsor),
        records=Records(home),
        evaluator=Opinion(4),
        trainer=None,
        package=lambda _attempt, _models: None,
        strategy=TrainFromBest(),
        entrusting=Entrusting(client, *sys.argv[6:8]) if sys.argv[6:] else None,
        settings=LoopSettings(role=Role.TRAINER | Role.VALIDATOR, poll=0.1, linger=30.0, stake=1),
    )
    stop_on_signals(node)
    sys.exit(130 if node.run() else 0)
