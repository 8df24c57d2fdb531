"""Build a node from its home folder: the one place that wires the three wings."""

from __future__ import annotations

import logging
from pathlib import Path

from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.ipfs import IpfsStore
from pdfed_sdk.artifacts.open_store import open_store
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.money import token_of
from pdfed_sdk.chain.rpc import Options
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.config import ROLES, NodeConfig, load_class
from pdfed_sdk.errors import ConfigError, MlError, PdfedError
from pdfed_sdk.ml.data import NodeSplit
from pdfed_sdk.ml.device import set_threads
from pdfed_sdk.ml.lora.base_files import use_base
from pdfed_sdk.ml.sources import Reading
from pdfed_sdk.node.dedup import DedupList
from pdfed_sdk.node.entrusting import Entrusting
from pdfed_sdk.node.home import HomeLock
from pdfed_sdk.node.model_cache import ModelCache
from pdfed_sdk.node.packaging import SigningPackager
from pdfed_sdk.node.records import Records
from pdfed_sdk.node.runner import LoopSettings, Node
from pdfed_sdk.node.strategy import LocalStrategy
from pdfed_sdk.node.task_card import TaskCard
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.node.withdrawal import Withdrawal
from pdfed_sdk.types import Role

log = logging.getLogger("pdfed.node")


def make_strategy(config: NodeConfig) -> LocalStrategy:
    """The strategy named in ``[strategy]``, made with its options. ConfigError names what does not fit."""
    name, options = config.strategy.class_, config.strategy.options
    try:
        strategy = load_class(name)(**options)
    except TypeError as error:
        raise ConfigError(f"[strategy] {name}: {error}", hint="the options beside class are its arguments") from error
    if not isinstance(strategy, LocalStrategy):
        raise ConfigError(f"[strategy] {name} is no LocalStrategy", hint="subclass node.strategy.LocalStrategy")
    return strategy


def check_base(card: TaskCard, home: Path, config: NodeConfig) -> None:
    """Let this process find the base that the card's adapters are applied to. ConfigError: missing, or other bytes."""
    if card.adapter is None:
        return
    if not config.node.base:
        raise ConfigError(
            f"the task's adapters need the base {card.adapter.base}",
            hint='fetch it, and name its folder: base = "…" in [node] of pdfed.toml',
        )
    try:
        found = use_base(home / config.node.base)
    except MlError as error:
        raise ConfigError(f"[node] base: {error.message}", hint=error.hint) from error
    if found != card.adapter.base:
        raise ConfigError(
            f"[node] base {config.node.base} has the digest {found}, the task's card says {card.adapter.base}",
            hint="fetch the very base that the card names; equal names are not equal bytes",
        )


def withdrawn_places(split: NodeSplit, home: Path, config: NodeConfig) -> list[int]:
    """Where the training pictures stand whose owner withdrew consent. Raises ConfigError."""
    if not config.training.withdrawn:
        return []
    path = home / config.training.withdrawn
    found = Withdrawal.read(path).places(split.train.leaves())
    log.info("%d of %d training pictures are withdrawn and left out", len(found), len(split.train))
    if not found:
        raise ConfigError(
            f"[training] withdrawn {path} names no training picture of this node",
            hint="leaves depend on the task's size and class names: sign a list for this task",
        )
    return found


def open_due(client: PdfedClient) -> None:
    """Open the sealed votes whose window is there: a node that starts again may see it close before it has loaded its
    pictures. What fails is told, and tried again."""
    try:
        for receipt in client.reveal_due():
            log.info("revealed in block %d, gas %d", receipt.block, receipt.gas_used)
    except PdfedError as error:
        log.warning("reveal: %s", error)


def build_node(home: Path, config: NodeConfig, password: str, *, dry_run: bool = False) -> Node:
    """Everything a node needs, ready to ``run``; with ``dry_run`` its client sends nothing. Takes a few seconds
    (fingerprints, thresholds and calibration), between which votes are opened that are due."""
    lock = None if dry_run else HomeLock(home)
    set_threads(config.node.threads)
    signer = LocalSigner.from_keystore(home / config.chain.keystore, password=password)
    client = PdfedClient.connect(
        config.chain.rpc,
        task=config.chain.task,
        signer=signer,
        state=home / "state",
        from_block=config.chain.from_block,
        options=Options(dry_run=dry_run, confirmations=config.chain.confirmations),
    )
    open_due(client)
    store = open_store(config.store.uri, home)
    if isinstance(store, IpfsStore) and not dry_run:
        store.start()
    view = TaskView(client)
    models = ModelCache(home / "models", store, view, view.params.sponsor)
    card = TaskCard.fetch(store, view.params.card_digest)
    check_base(card, home, config)
    settings = card.scoring
    reading = Reading(config.node.fit, card.classes, config.node.unknown_classes)
    load = load_class(config.parts.dataset)
    open_due(client)
    split = load(home / config.node.data, settings, reading)
    role = ROLES[config.node.role]
    trainer = load_class(config.parts.trainer)(split, config) if Role.TRAINER in role else None
    identity = SigningIdentity.load_or_create(home / "identity.json", password)
    open_due(client)
    node = Node(
        client=client,
        store=store,
        view=view,
        models=models,
        records=Records(home),
        evaluator=load_class(config.parts.evaluator)(split, settings, config),
        trainer=trainer,
        package=SigningPackager(identity, signer.address),
        strategy=make_strategy(config),
        dedup=DedupList(home / "dedup.json", config.training.dedup, withdrawn_places(split, home, config)),
        entrusting=Entrusting(client, config.relay.url, config.relay.key) if config.relay.url else None,
        settings=LoopSettings(
            role=role,
            stake=token_of(client).units(config.node.stake) if config.node.stake else 0,
            max_fee=token_of(client).units(config.node.max_fee) if config.node.max_fee else 0,
            poll=config.node.poll,
            gate=config.node.gate,
            until_closed=config.node.until_closed,
            rehearse=config.node.rehearse,
        ),
    )
    node.holds(lock)
    return node
