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
from pdfed_sdk.errors import ConfigError, PdfedError
from pdfed_sdk.files import in_bytes
from pdfed_sdk.ml.device import set_threads
from pdfed_sdk.ml.sources import Reading
from pdfed_sdk.node.base_check import check_base, check_own_captions
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
from pdfed_sdk.node.withdrawing import in_force
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
    models = ModelCache(home / "models", store, view, view.params.sponsor, most=in_bytes(config.node.quota))
    card = TaskCard.fetch(store, view.params.card_digest)
    check_base(card, home, config.node.base)
    settings = card.scoring
    reading = Reading(config.node.fit, card.classes, config.node.unknown_classes)
    load = load_class(config.parts.dataset)
    open_due(client)
    split = load(home / config.node.data, settings, reading)
    check_own_captions(card, split)
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
        dedup=DedupList(home / "dedup.json", config.training.dedup, in_force(split, home, config)),
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
