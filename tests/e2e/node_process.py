"""``python node_process.py URL REGISTRY INDEX HOME STORE``: one voting node as a process of its own.

The loop, the chain, the store, the journal and the signals are the real ones; scoring is a stand-in that always says
+4, so that the process starts without torch. For the tests of faults.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

from anvil_federation import FAST, KEYS
from node_world import Opinion

from pdfed_sdk.artifacts.store import LocalStore
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.cli.node import stop_on_signals
from pdfed_sdk.node.board import Board
from pdfed_sdk.node.notebook import Notebook
from pdfed_sdk.node.runner import LoopSettings, Node
from pdfed_sdk.node.shelf import Shelf
from pdfed_sdk.node.strategy import TrainFromBest
from pdfed_sdk.types import Role

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
    board = Board(client)
    node = Node(
        client=client,
        store=LocalStore(store),
        board=board,
        shelf=Shelf(home / "models", LocalStore(store), board, board.params.sponsor),
        notebook=Notebook(home),
        evaluator=Opinion(4),
        trainer=None,
        package=lambda _attempt, _shelf: None,
        strategy=TrainFromBest(),
        settings=LoopSettings(role=Role.TRAINER | Role.VALIDATOR, poll=0.1, linger=30.0, stake=1),
    )
    stop_on_signals(node)
    sys.exit(130 if node.run() else 0)
