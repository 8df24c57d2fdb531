"""A task of one's own, from a folder of public pictures: genesis, card, windows, contracts, join file.

What cannot work is refused before anything is sent: too few pictures, a network that the trainer cannot load, fewer
nodes than a vote needs, windows that no scoring fits into.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.ipfs import IpfsStore
from pdfed_sdk.artifacts.open_store import open_store
from pdfed_sdk.artifacts.store import LocalStore, Store
from pdfed_sdk.chain import deploy
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.parameters import PARAMETERS, task_params
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.errors import ConfigError, DataError, UsageError
from pdfed_sdk.family import load_model
from pdfed_sdk.ml.data import NodeSplit, PictureSet
from pdfed_sdk.ml.diffusion.model import ModelConfig
from pdfed_sdk.ml.lora.setup import AdapterSetup
from pdfed_sdk.ml.scoring.reports import ScoringSettings
from pdfed_sdk.ml.scoring.scorer import Scorer, pinned
from pdfed_sdk.node.genesis import Genesis, genesis_of
from pdfed_sdk.node.join_file import JoinFile
from pdfed_sdk.node.task_card import TaskCard

Tell = Callable[[str], None]
SLOWER = 8
"""How much slower than this machine the slowest node may be."""
LEAST_PICTURES = 40
_SOMEBODY = "0x" + "11" * 20
"""Stands for token and sponsor where parameters are checked before they are known."""


@dataclass(frozen=True)
class Wishes:
    """What a sponsor chooses. ``model`` is a network of pixels, or the setup of adapters over a base at hand; ``nodes``
    is how many are expected; ``pictures`` is the genesis' training budget; ``scoring`` are further fields of
    ScoringSettings; ``parameters`` are those of the task that are not the profile's."""

    title: str = ""
    model: ModelConfig | AdapterSetup = field(default_factory=ModelConfig)
    pictures: int = 1_500
    samples: int = 128
    extractor: str = ScoringSettings.extractor
    nodes: int = 4
    profile: str = "development"
    seed: int = 0
    scoring: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Founded:
    """What is ready to be deployed: genesis, card with its file, seconds one scoring takes, proposed parameters."""

    genesis: Genesis
    card: TaskCard
    card_file: Path
    seconds: float
    windows: dict[str, int]


def prepare(
    folder: Path, public: PictureSet, wishes: Wishes, signer: LocalSigner, password: str, tell: Tell
) -> Founded:
    """Train and sign the genesis, write the card, measure a scoring. Nothing is sent. Errors: UsageError, DataError."""
    check(public, wishes)
    shape = {"size": public.size, "channels": public.channels}
    frozen: dict[str, Any] = {"samples": wishes.samples, "extractor": wishes.extractor, **shape, **wishes.scoring}
    scoring = ScoringSettings(**frozen)
    identity = SigningIdentity.load_or_create(folder / "identity.json", password)
    tell(f"training the genesis on {len(public)} pictures of {len(public.classes)} classes")
    genesis = genesis_of(
        folder,
        public,
        model=wishes.model,
        pictures=wishes.pictures,
        identity=identity,
        wallet=signer.address,
        seed=wishes.seed,
        tell=tell,
    )
    adapter = wishes.model if isinstance(wishes.model, AdapterSetup) else None
    family = load_model(folder / "model").family.name
    card = TaskCard(pinned(scoring), wishes.title, family=family, classes=genesis.classes, adapter=adapter)
    card_file = card.write(folder / "card.json")
    seconds = seconds_to_score(folder / "model", NodeSplit.whole(public), card.scoring)
    windows = propose_windows(seconds, wishes.profile, wishes.parameters)
    tell(f"one scoring takes {seconds:.1f} s here: a commit window of {windows['commit_window']} s")
    return Founded(genesis, card, card_file, seconds, windows)


def check(public: PictureSet, wishes: Wishes) -> None:
    """Refuse what cannot work: DataError or UsageError. Also a parameter that the factory would refuse."""
    if len(public) < LEAST_PICTURES:
        raise DataError(
            f"there are {len(public)} public pictures, at least {LEAST_PICTURES} are needed",
            hint="they train the first model and pin how everybody scores; add some, or repeat none",
        )
    windows = propose_windows(0.0, wishes.profile, wishes.parameters)
    chosen: dict[str, Any] = {**windows, **wishes.parameters, "profile": wishes.profile}
    params = task_params(_SOMEBODY, _SOMEBODY, card_digest=bytes([1]) * 32, **chosen)
    least = params.min_voters + 1
    if wishes.nodes < least:
        raise UsageError(
            f"{wishes.nodes} nodes are expected, a model needs the votes of {least - 1} besides its author",
            hint=f"find {least} nodes or more; no vote would ever count",
        )


def seconds_to_score(model: Path, split: NodeSplit, scoring: ScoringSettings) -> float:
    """Seconds of one vote: candidate and reference, sampled and scored, and the candidate once more by the node's own
    captions, if it has any; after the node's one-time preparation."""
    scorer = Scorer(split, scoring)
    loaded = load_model(model)  # refuses a network that the trainer cannot load
    looks = [loaded, loaded, loaded.family.captioned(loaded, split.train)]
    started = time.perf_counter()
    for number, look in enumerate(looks):
        if look is not None:
            scorer.evaluate(look, bytes([number]) * 32)
    return time.perf_counter() - started


def propose_windows(seconds: float, profile: str, chosen: Mapping[str, int] | None = None) -> dict[str, int]:
    """Windows that a node eight times slower holds; never below the profile's. All in whole seconds. What is ``chosen``
    stays, and the others fit it; UsageError for a commit window into which no scoring fits twice."""
    default = {row.name: row.development if profile == "development" else row.public for row in PARAMETERS}
    given = dict(chosen or {})
    commit = given.get("commit_window", max(default["commit_window"], math.ceil(SLOWER * seconds) + 10))
    if commit < 2 * seconds:
        raise UsageError(
            f"commit_window is {commit} s, one scoring takes {seconds:.1f} s here",
            hint=f"at least {math.ceil(2 * seconds)} s, or {math.ceil(SLOWER * seconds) + 10} s for slower machines",
        )
    gap, reveal = (given.get(name, default[name]) for name in ("reveal_gap", "reveal_window"))
    proposed = {
        "commit_window": commit,
        "submit_window": max(1, commit // 4),
        "reveal_window": reveal,
        "reveal_gap": gap,
        "unbonding": max(default["unbonding"], commit + gap + reveal),
    }
    return {name: given.get(name, value) for name, value in proposed.items()}


def found(
    folder: Path,
    made: Founded,
    wishes: Wishes,
    *,
    rpc: str,
    signer: LocalSigner,
    store_uri: str,
    token: str = "",
    unit: int = 10**18,
    fund: int = 0,
    deployments: Path | None = None,
    tell: Tell,
) -> JoinFile:
    """Publish, deploy what is missing, create, fund and verify; returns the join file, written to
    ``folder/task.pdfed``. ``unit`` is one token, ``fund`` counts in units. Raises ChainError, ProtocolRevert,
    StoreError, ConfigError."""
    store = open_store(store_uri, folder)
    card = store.put(made.card_file)
    for cid in (card, store.put(made.genesis.package.path)):
        store.pin(cid)  # whatever quota the store has: without these nobody can begin
    tell(f"published the genesis as {made.genesis.package.cid} and the card as {card}")
    manifest = deploy.deploy_factory(rpc, signer, token=not token, folder=deployments)
    chosen: dict[str, Any] = {**made.windows, **wishes.parameters, "profile": wishes.profile, "unit": unit}
    params = task_params(token or manifest.token or "", signer.address, card_digest=card.digest, **chosen)
    entry = deploy.create_task(rpc, signer, params, made.genesis.package.digests, manifest, folder=deployments)
    tell(f"task {entry.registry} created in block {entry.block}")
    client = PdfedClient.connect(rpc, task=entry.registry, signer=signer, state=folder / "state")
    if fund:
        _fund(client, fund, mint=not token)
        tell("funded")
    bad = [check for check in deploy.verify_task(rpc, manifest, entry.registry) if not check.ok]
    if bad:
        raise ConfigError(f"the task does not stand as it should: {bad[0].name}: {bad[0].detail}", hint="deploy again")
    join = JoinFile(
        rpc=rpc,
        chain_id=client.chain_id,
        task=entry.registry,
        from_block=entry.block,
        card=str(card),
        title=wishes.title,
        **_reached(store, store_uri),
    )
    join.write(folder / "task.pdfed")
    return join


def _fund(client: PdfedClient, amount: int, *, mint: bool) -> None:
    missing = amount - client.token_balance()
    if missing > 0 and mint:
        client.mint(client.address, missing)
    client.fund(amount)


def _reached(store: Store, uri: str) -> dict[str, Any]:
    """Where the nodes find the sponsor's store."""
    if isinstance(store, IpfsStore):
        address = store.address
        store.close()
        return {"store": "ipfs:", "peers": (address,)}
    return {"store": f"local:{store.root}" if isinstance(store, LocalStore) else uri}
