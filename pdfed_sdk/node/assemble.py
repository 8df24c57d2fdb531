"""Build a node from its home folder: the one place that wires the three wings."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

from pdfed_sdk.artifacts.cid import RAW, Cid
from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.kubo import KuboStore
from pdfed_sdk.artifacts.store import LocalStore, Store
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.config import NodeConfig, load_class
from pdfed_sdk.errors import ConfigError
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.data import NodeSplit, split_nodes
from pdfed_sdk.ml.scoring import Scorer, ScoringSettings
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.ml.training import TrainConfig
from pdfed_sdk.node.board import Board
from pdfed_sdk.node.notebook import Notebook
from pdfed_sdk.node.runner import LoopSettings, Node
from pdfed_sdk.node.shelf import Shelf
from pdfed_sdk.node.strategy import LocalStrategy
from pdfed_sdk.node.workbench import PictureEvaluator, PictureTrainer, SigningPackager
from pdfed_sdk.types import Role

log = logging.getLogger("pdfed.node")

ROLES = {"trainer": Role.TRAINER, "validator": Role.VALIDATOR, "both": Role.TRAINER | Role.VALIDATOR}
CARD_BYTES = 1 << 20


def task_card(store: Store, digest: bytes) -> str:
    """The task's card: JSON text whose sha2-256 stands on chain. Its "scoring" part freezes the settings."""
    card = store.get(Cid(RAW, digest), max_bytes=CARD_BYTES)
    assert hashlib.sha256(card).digest() == digest
    return card.decode()


def open_store(home: Path, config: NodeConfig) -> Store:
    return KuboStore(config.store.kubo) if config.store.kubo else LocalStore(home / config.store.path)


def role_of(config: NodeConfig) -> Role:
    if config.node.role not in ROLES:
        raise ConfigError(f'node.role is "{config.node.role}"', hint=f"use one of {', '.join(ROLES)}")
    return ROLES[config.node.role]


def load_split(path: Path, settings: ScoringSettings) -> NodeSplit:
    """A prepared split, or any folder of pictures, which is then split into train, test and held-out, balanced."""
    if (path / "split.json").exists():
        return NodeSplit.load(path)
    pictures = load_pictures(path, size=settings.size, channels=settings.channels)
    return split_nodes(pictures, 1)[0]


def build_node(home: Path, config: NodeConfig, password: str) -> Node:
    """Everything a node needs, ready to ``run``. Takes a few seconds: fingerprints, thresholds and calibration."""
    set_threads(config.node.threads)
    signer = LocalSigner.from_keystore(home / config.chain.keystore, password=password)
    client = PdfedClient.connect(config.chain.rpc, task=config.chain.task, signer=signer, state=home / "state")
    store = open_store(home, config)
    board = Board(client)
    shelf = Shelf(home / "models", store, board, board.params.sponsor)
    settings = ScoringSettings.from_json(json.dumps(json.loads(task_card(store, board.params.card_digest))["scoring"]))
    split = load_split(home / config.node.data, settings)
    scorer = Scorer(split, settings)
    role = role_of(config)
    trainer = None
    if Role.TRAINER in role:
        pictures = split.train if not config.training.only else split.train.take(split.shared[: config.training.only])
        trainer = PictureTrainer(
            pictures,
            TrainConfig(
                batch=config.training.batch, lr=config.training.lr, ema=config.training.ema, device=config.node.device
            ),
            config.node.pace,
        )
    identity = SigningIdentity.load_or_create(home / "identity.json", password)
    strategy = load_class(config.strategy.class_)(**config.strategy.options)
    if not isinstance(strategy, LocalStrategy):
        raise ConfigError(
            f"strategy {config.strategy.class_} is not a LocalStrategy", hint="subclass pdfed_sdk.node.LocalStrategy"
        )
    return Node(
        client=client,
        store=store,
        board=board,
        shelf=shelf,
        notebook=Notebook(home),
        evaluator=PictureEvaluator(scorer, config.node.gate_ceiling),
        trainer=trainer,
        package=SigningPackager(identity, signer.address),
        strategy=strategy,
        settings=LoopSettings(
            role=role,
            stake=int(config.node.stake * 10**18),
            poll=config.node.poll,
            gate=config.node.gate,
            until_closed=config.node.until_closed,
        ),
    )
