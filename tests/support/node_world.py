"""A small task on a real anvil for in-process nodes: real contracts, packages, manifests and stores.

Training and scoring are stand-ins (a model is a few numbers, an opinion is given), so that what is tested is the loop.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pdfed_sdk.artifacts.cid import Cid
from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.provenance import build_package
from pdfed_sdk.artifacts.store import LocalStore
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.deploy import Manifest, TaskEntry, create_task
from pdfed_sdk.chain.event_types import Revealed
from pdfed_sdk.chain.parameters import task_params
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.errors import PublicationRefused
from pdfed_sdk.ml.diffusion.ddpm import WEIGHTS
from pdfed_sdk.node.model_cache import ModelCache
from pdfed_sdk.node.packaging import SigningPackager
from pdfed_sdk.node.parts import Evaluation, Heartbeat, StepHook
from pdfed_sdk.node.records import Attempt, Records
from pdfed_sdk.node.runner import LoopSettings, Node
from pdfed_sdk.node.strategy import TrainFromBest
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.types import Address, Role
from tests.support.anvil import Anvil
from tests.support.federation import FAST, UNIT
from tests.support.pipelines import folder_of, parts, weights

BOTH = Role.TRAINER | Role.VALIDATOR
STAKE = 500 * UNIT


class Killed(BaseException):
    """Stands for SIGKILL at a given point: nothing of ours catches it."""


class PowerCut:
    """Raises ``Killed`` the first time the wrapped method has done its work (or before, with ``before=True``)."""

    def __init__(self, owner: Any, name: str, *, before: bool = False) -> None:
        self.owner, self.name, self.real = owner, name, getattr(owner, name)
        self.before = before
        setattr(owner, name, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.before:
            self.real(*args, **kwargs)
        raise Killed(self.name)


@dataclass
class Opinion:
    """An evaluator with a given opinion of every model; remembers what it was asked."""

    improvement: int = 3
    copies: bool = False
    asked: list[tuple[Path, Path, bytes]] = field(default_factory=list)
    raises: Exception | None = None
    hidden: tuple[int, ...] = ()
    """Submissions that every later one is said to be made from."""
    suspected: list[tuple[list[int], int]] = field(default_factory=list)

    def compare(self, reference: Path, candidate: Path, seed: bytes, heartbeat: Heartbeat) -> Evaluation:
        assert (reference / WEIGHTS).is_file()
        assert (candidate / WEIGHTS).is_file()
        self.asked.append((reference, candidate, seed))
        if self.raises:
            raise self.raises
        numbers = {"objective": 2.0}
        report = json.dumps({"seed": seed.hex(), "copies": self.copies}).encode()
        return Evaluation(self.improvement, numbers, numbers, report, (b"pair",) if self.copies else ())

    def hidden_parents(
        self,
        candidate: Path,
        reference: Path,
        suspects: Mapping[int, Path],
        others: Sequence[Path],
        seed: bytes,
        heartbeat: Heartbeat,
    ) -> list[int]:
        self.suspected.append((sorted(suspects), len(others)))
        return [number for number in suspects if number in self.hidden]

    def gate(self, evaluation: Evaluation) -> None:
        if json.loads(evaluation.report)["copies"]:
            raise PublicationRefused("novelty 30 is above the ceiling 5", hint="train on more pictures")


@dataclass
class Stepper:
    """A trainer whose model is its seed; ten steps, a snapshot after each."""

    steps: int = 10
    shown: list[int] = field(default_factory=list)
    started: list[Path] = field(default_factory=list)
    """The first folder each training began with."""

    def train(
        self,
        parents: Sequence[tuple[Path, int]],
        out: Path,
        *,
        pictures: int,
        seed: int,
        resume: Path,
        on_step: StepHook,
        excluded: Sequence[int] = (),
        halfway: Path | None = None,
    ) -> Mapping[str, Any] | None:
        self.started.append(parents[0][0])
        done = int(resume.read_text()) if resume.exists() else 0
        while done < self.steps:
            done += 1
            self.shown.append(done)
            resume.parent.mkdir(parents=True, exist_ok=True)
            resume.write_text(str(done))
            if halfway and done == self.steps // 2:
                folder_of(halfway, parts(**{WEIGHTS: weights(w=np.full(128, 0.5, np.float32))}))
            if not on_step(done, self.steps) and done < self.steps:
                return None
        folder_of(out, parts(**{WEIGHTS: weights(w=np.full(128, float(seed % 997), np.float32))}))
        resume.unlink()
        return {"pictures": pictures, "seed": str(seed), "steps": self.steps}


@dataclass
class World:
    """A task whose genesis is a real signed package. Index 0 is the sponsor; time moves only by ``to``."""

    anvil: Anvil
    manifest: Manifest
    entry: TaskEntry
    signers: list[LocalSigner]
    folder: Path
    identities: dict[Address, SigningIdentity]

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.folder / "store")

    def client(self, index: int, **options: Any) -> PdfedClient:
        state = self.folder / f"node{index}" / "state"
        settings = replace(FAST, **options)
        return PdfedClient.connect(
            self.anvil.url, task=self.entry.registry, signer=self.signers[index], state=state, options=settings
        )

    def node(
        self,
        index: int,
        *,
        opinion: Opinion | None = None,
        trainer: Any = None,
        role: Role = BOTH,
        strategy: Any = None,
        client: PdfedClient | None = None,
        **settings: Any,
    ) -> Node:
        """A node of its own home folder: made twice, it is the same node started again."""
        home = self.folder / f"node{index}"
        home.mkdir(exist_ok=True)
        client = client or self.client(index)
        view = TaskView(client)
        models = ModelCache(home / "models", self.store, view, view.params.sponsor)
        me = self.signers[index].address
        return Node(
            client=client,
            store=self.store,
            view=view,
            models=models,
            records=Records(home),
            evaluator=opinion or Opinion(),
            trainer=trainer,
            package=SigningPackager(self.identities[me], me),
            strategy=strategy or TrainFromBest(budget=10, submissions=1),
            settings=LoopSettings(role=role, **{"stake": STAKE, "poll": 0.01, "linger": 0.0, **settings}),
        )

    def submit(self, index: int = 1) -> int:
        """A node trains and submits one model; returns its id."""
        author = self.node(index, trainer=Stepper())
        author.join()
        assert author.author is not None
        author.author.work()
        author.view.refresh()
        return max(author.view.entries)

    def attempt(self, index: int, number: int = 1) -> Attempt:
        return Records(self.folder / f"node{index}").attempts()[number - 1]

    def to(self, moment: int) -> None:
        self.anvil.warp(moment)

    def to_reveal(self, submission: int) -> None:
        self.to(self.client(0).windows(submission).reveal_start)

    def to_end(self, submission: int, later: int = 10) -> None:
        """``later``: seconds after the reveals, when everybody's turn has come to keep house."""
        self.to(self.client(0).windows(submission).reveal_end + later)


def build_world(
    anvil: Anvil, manifest: Manifest, signers: list[LocalSigner], folder: Path, nodes: int = 5, **parameters: int
) -> World:
    """Genesis package, task, and ``nodes`` registered and staked nodes, past their warm-up."""
    identities = {signer.address: SigningIdentity.create("test") for signer in signers[: nodes + 3]}
    sponsor = signers[0]
    made = build_package(
        folder_of(folder / "genesis", parts()),
        folder / "genesis.zip",
        identity=identities[sponsor.address],
        wallet=sponsor.address,
        training={"pictures": 0},
        title="genesis",
    )
    LocalStore(folder / "store").put(made.path)
    assert manifest.token is not None
    card = LocalStore(folder / "store").put(b'{"scoring": {}}')
    params = task_params(manifest.token, sponsor.address, card_digest=card.digest, **parameters)
    nonce = hashlib.sha256(str(folder).encode()).digest()  # a world each, on whatever chain
    entry = create_task(anvil.url, sponsor, params, made.digests, manifest, nonce=nonce, folder=folder, options=FAST)
    world = World(anvil, manifest, entry, signers, folder, identities)
    bank = world.client(0)
    bank.mint(bank.address, 1_000_000 * UNIT)
    bank.fund(1_000_000 * UNIT)
    for signer in signers[1 : nodes + 2]:
        bank.mint(signer.address, STAKE)
    for index in range(1, nodes + 1):
        world.node(index).join()
    anvil.warp(bank.now() + 5)
    return world


def copy_of(world: World, folder: Path) -> World:
    """The same task with fresh node folders and an own copy of the store."""
    shutil.copytree(world.folder / "store", folder / "store")
    return replace(world, folder=folder)


def damage(world: World, submission: int) -> None:
    """Flip one byte of a submission's package in the store."""
    digests = world.client(0).record(submission).digests
    path = world.store.path(Cid(digests.package_codec, digests.package_digest))
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    target = max(files, key=lambda p: p.stat().st_size)
    target.chmod(0o644)
    data = bytearray(target.read_bytes())
    data[len(data) // 2] ^= 1
    target.write_bytes(bytes(data))


PARTS = """
from tests.support.node_world import Opinion, Stepper

def data(path, settings, reading):
    assert reading.fit == "pad"
    assert settings.samples == 128
    return str(path)

def evaluator(split, settings, config):
    assert split.endswith("data")
    return Opinion(6)

def trainer(split, config):
    return Stepper()
"""
"""A module with parts of a node's own, as ``[parts]`` names them."""


def vote_of(world: World, index: int, submission: int) -> int | None:
    """From the event: settling forgets a vote."""
    for event in world.client(0).events.replay():
        if isinstance(event, Revealed) and (event.id, event.voter) == (submission, world.signers[index].address):
            return event.improvement
    return None
