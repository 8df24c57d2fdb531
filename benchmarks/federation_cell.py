"""One cell of the federation experiment: a federation of so many trainers under one rule, from one seed.

Everything is what a real node uses: contracts on anvil, signed packages in a store, the node's tick, author and voter,
commit and reveal. Only waiting is left out: a node trains at once, its submission waits until the moment at which a
node of its speed would be done, and the chain's clock is moved to that moment. What others submit meanwhile it does
not see when it chooses its parents, so the federation is asynchronous.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.provenance import build_package
from pdfed_sdk.artifacts.store import LocalStore
from pdfed_sdk.buckets import LOWEST
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.deploy import create_task, deploy_factory
from pdfed_sdk.chain.parameters import task_params
from pdfed_sdk.chain.rpc import Options
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.demo import processes
from pdfed_sdk.errors import DataError
from pdfed_sdk.family import load_model
from pdfed_sdk.ml.data import NodeSplit, PictureSet, partition, split_nodes
from pdfed_sdk.ml.diffusion.model import ModelConfig
from pdfed_sdk.ml.diffusion.training import TrainConfig, train
from pdfed_sdk.ml.quality.baselines import auth_pct, ct_score, fld
from pdfed_sdk.ml.quality.frechet import Frechet
from pdfed_sdk.ml.scoring.scorer import Scorer, ScoringSettings, improvement_of
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.node.dedup import DedupList
from pdfed_sdk.node.model_cache import ModelCache
from pdfed_sdk.node.model_card import write_card
from pdfed_sdk.node.packaging import SigningPackager
from pdfed_sdk.node.parts import Evaluation
from pdfed_sdk.node.picture_parts import PictureEvaluator, PictureTrainer
from pdfed_sdk.node.records import Records
from pdfed_sdk.node.runner import LoopSettings, Node
from pdfed_sdk.node.strategies import Blend, PessimisticThird
from pdfed_sdk.node.strategy import LocalStrategy
from pdfed_sdk.node.task_card import TaskCard
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.types import Role

log = logging.getLogger("pdfed.federation")

UNIT = 10**18
WINDOWS = {"submit_window": 250, "commit_window": 1_000, "reveal_gap": 10, "reveal_window": 500, "unbonding": 3_000}
TRAINING = 2_400
"""Seconds of chain time that the fastest trainer needs for a submission; trainer i is 1 + i / 2 times slower."""
CHEAP: dict[str, Any] = {"neighbours": 2, "mirrored": False, "least_threshold": 0.98, "copy_share": 0.03}
"""What the cards of `cheap` cells say beside: as the demo's; and a copy test of three blocks of samples at most, which
tells three copies in a hundred from none."""
VALIDATORS = 2
LAST = 8
"""The mean is over so many last submissions, as in the paper's Table 1."""


@dataclass(frozen=True)
class Rule:
    """What the nodes rank by, how they choose parents, and what they keep to themselves."""

    objective: str
    dedup: bool = False
    gate: bool = False
    pessimistic: bool = False
    own_run: int = 1_000_000


RULES = {
    "fld_fid": Rule("fld_fid"),
    "qn": Rule("qn"),
    "qn_dedup": Rule("qn", dedup=True),
    "normalised_dedup": Rule("qn-normalised", dedup=True),
    "protocol": Rule("qn-normalised", dedup=True, gate=True, pessimistic=True),
    "protocol_without_gate": Rule("qn-normalised", dedup=True, pessimistic=True),
    "protocol_without_dedup": Rule("qn-normalised", gate=True, pessimistic=True),
    "protocol_without_third": Rule("qn-normalised", dedup=True, gate=True),
    "protocol_not_my_own_twice": Rule("qn-normalised", dedup=True, gate=True, pessimistic=True, own_run=1),
}


@dataclass(frozen=True)
class Size:
    """How large a cell is. ``pictures`` are shared out among the trainers, 60/20/20; each validator holds ``validator``
    others. ``passes`` over a trainer's pictures make a submission. With
    ``judged``, each node has as many unseen pictures beside, half to test with and half held out, instead of its own:
    who trains on few has few to judge by. ``cheap`` cells score for less (`CHEAP`)."""

    data: str = "mnist"
    pictures: int = 1_200
    validator: int = 300
    network: ModelConfig = field(default_factory=lambda: ModelConfig(widths=(64, 128)))
    genesis: int = 4_000
    passes: int = 400
    batch: int = 256
    lr: float = 1e-3
    ema: float = 0.998
    samples: int = 500
    steps: int = 10
    trainings: int = 16
    seconds: float = 400.0
    unseen: int = 1_000
    judged: int = 0
    cheap: bool = False


class DrawingScorer(Scorer):
    """Keeps the last two sets of samples, those of the reference and of the candidate."""

    drawn: tuple[torch.Tensor, ...] = ()

    def sample(self, model: Any, seed: bytes, count: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = super().sample(model, seed, count)
        if count is None:  # not what the copy test draws besides
            self.drawn = (*self.drawn[-1:], images)
        return images, labels


class FldFidEvaluator(PictureEvaluator):
    """Improvements of FLD + FID instead of the task's objective; the report beside them stays."""

    def __init__(self, scorer: DrawingScorer) -> None:
        super().__init__(scorer, float("inf"))
        self._drawing = scorer
        self._known = [scorer.extractor(part.images) for part in (scorer.split.train, scorer.split.test)]
        self._test = Frechet(self._known[1].to(scorer.device))

    def compare(self, reference: Path, candidate: Path, seed: bytes, heartbeat: Any) -> Evaluation:
        found = super().compare(reference, candidate, seed, heartbeat)
        before, after = (self._value(images) for images in self._drawing.drawn)
        return dataclasses.replace(found, improvement=improvement_of(before, after))

    def _value(self, images: torch.Tensor) -> float:
        features = self._drawing.extractor(images)
        return max(1e-3, self._test.distance(features) + fld(features, *self._known))


class Cell:
    """A federation at work in ``folder``."""

    def __init__(self, folder: Path, nodes: int, rule: str, seed: int, size: Size, device: str) -> None:
        self.folder, self.count, self.rule, self.seed = folder, nodes, RULES[rule], seed
        self.size, self.device, self.started = size, device, time.monotonic()
        self.settings = self._settings()
        self._share_out()
        self.store = LocalStore(folder / "store")
        self._open_task()
        self.models = ModelCache(folder / "measured", self.store, TaskView(self.bank), self.signers[-1].address)
        self.nodes = [self._node(index) for index in range(nodes + VALIDATORS)]
        for node in self.nodes:
            node.join()
        self.to(self.bank.now() + 10)
        self.submitted: list[int] = []
        self.refused = 0

    def _settings(self) -> ScoringSettings:
        size, network = self.size, self.size.network
        objective = "qn" if self.rule.objective == "qn" else "qn-normalised"
        return ScoringSettings(
            samples=size.samples,
            size=network.size,
            channels=network.channels,
            objective=objective,
            sampler_steps=size.steps,
            resamples=0,
            **(CHEAP | {"copy_samples": 3 * size.samples} if size.cheap else {}),
        )

    def _share_out(self) -> None:
        size = self.size
        self.public, private = partition(load_pictures(size.data, size=size.network.size))
        order = np.random.default_rng(self.seed).permutation(len(private))
        judged = (self.count + VALIDATORS) * size.judged
        edges = np.cumsum([size.pictures, VALIDATORS * size.validator, size.unseen, judged])
        if edges[-1] > len(private):
            raise SystemExit(f"{size.data} has {len(private)} private pictures, the cell wants {edges[-1]}")
        dealt = [private.take(part.tolist()) for part in np.split(order, edges)[:3]]
        self.splits = split_nodes(dealt[0], self.count, seed=self.seed) + split_nodes(
            dealt[1], VALIDATORS, seed=self.seed
        )
        if size.judged:
            beside = iter(np.split(order[edges[2] : edges[3]], 2 * len(self.splits)))
            test, heldout = ([private.take(next(beside).tolist()) for _ in self.splits] for _ in range(2))
            self.splits = [
                NodeSplit(split.train, *unseen) for split, *unseen in zip(self.splits, test, heldout, strict=True)
            ]
        trained = [split.train for split in self.splits[: self.count]]
        every = PictureSet(
            torch.cat([part.images for part in trained]), torch.cat([part.labels for part in trained]), private.classes
        )
        half = size.unseen // 2
        unseen = dealt[2]
        self.measured_on = NodeSplit(every, unseen.take(range(half)), unseen.take(range(half, size.unseen)))

    def _open_task(self) -> None:
        root = Path(__file__).resolve().parents[1]
        _, self.rpc = processes.start_anvil(root, self.folder / "anvil.log")
        self.signers = [
            LocalSigner.from_key(secrets.token_bytes(32), lock_folder=self.folder / "locks")
            for _ in range(self.count + VALIDATORS + 1)
        ]
        self.ask("anvil_mine", "0x1")
        for signer in self.signers:
            self.ask("anvil_setBalance", signer.address, hex(1_000 * UNIT))
        sponsor = self.signers[-1]
        self.identity = SigningIdentity.create("federation experiment")
        digests = self._genesis(sponsor)
        card = self.store.put(TaskCard(self.settings).to_bytes())
        options = Options(poll=0.02)
        manifest = deploy_factory(self.rpc, sponsor, folder=self.folder, options=options)
        assert manifest.token is not None
        params = task_params(manifest.token, sponsor.address, card_digest=card.digest, **WINDOWS)
        self.entry = create_task(self.rpc, sponsor, params, digests, manifest, folder=self.folder, options=options)
        self.bank = self._client(len(self.signers) - 1)
        self.bank.mint(sponsor.address, 1_000_000 * UNIT)
        self.bank.fund(1_000_000 * UNIT)
        for signer in self.signers[:-1]:
            self.bank.mint(signer.address, 2_000 * UNIT)

    def _genesis(self, sponsor: LocalSigner) -> Any:
        size = self.size
        config = TrainConfig(
            pictures=size.genesis, batch=min(64, size.batch), lr=size.lr, seed=self.seed, device=self.device
        )
        made = train(config, self.public, model=size.network)
        folder = self.folder / "genesis"
        made.model.family.save(made.model, folder)
        facts = made.facts.to_dict()
        write_card(folder, family=made.model.family, title="genesis", wallet=sponsor.address, facts=facts)
        package = build_package(
            folder,
            self.folder / "genesis.zip",
            identity=self.identity,
            wallet=sponsor.address,
            training=facts,
            title="genesis",
        )
        self.store.put(package.path)
        return package.digests

    def _client(self, index: int) -> PdfedClient:
        return PdfedClient.connect(
            self.rpc,
            task=self.entry.registry,
            signer=self.signers[index],
            state=self.folder / f"node{index}" / "state",
            options=Options(poll=0.02),
        )

    def _strategy(self, budget: int) -> LocalStrategy:
        everything = LOWEST + 1  # whatever the gate lets pass is published, as in the paper
        if self.rule.pessimistic:
            return PessimisticThird(budget=budget, own_run=self.rule.own_run, least_own=everything)
        mean_of_all = 1 / (self.count + VALIDATORS)
        return Blend(budget=budget, own=mean_of_all, least_own=everything)

    def _node(self, index: int) -> Node:
        home, size, split = self.folder / f"node{index}", self.size, self.splits[index]
        home.mkdir(parents=True, exist_ok=True)
        client = self._client(index)
        view = TaskView(client)
        scorer = DrawingScorer(split, self.settings, device=self.device)
        fld_fid = self.rule.objective == "fld_fid"
        role = Role.TRAINER | Role.VALIDATOR if index < self.count else Role.VALIDATOR
        options = TrainConfig(
            batch=min(size.batch, len(split.train)), lr=size.lr, ema=size.ema, device=self.device, save_every=1 << 30
        )
        me = self.signers[index].address
        return Node(
            client=client,
            store=self.store,
            view=view,
            models=ModelCache(home / "models", self.store, view, view.params.sponsor),
            records=Records(home),
            evaluator=FldFidEvaluator(scorer) if fld_fid else PictureEvaluator(scorer, 2.0),
            trainer=PictureTrainer(split.train, options) if index < self.count else None,
            package=SigningPackager(self.identity, me),
            strategy=self._strategy(size.passes * len(split.train)),
            settings=LoopSettings(role=role, stake=1_500 * UNIT, poll=1e9, gate=self.rule.gate),
            dedup=DedupList(home / "dedup.json", 0.05 if self.rule.dedup else 0.0),
        )

    # --- time ---

    def ask(self, method: str, *params: Any) -> Any:
        from web3 import Web3
        from web3.types import RPCEndpoint

        return Web3(Web3.HTTPProvider(self.rpc)).provider.make_request(RPCEndpoint(method), list(params))

    def to(self, moment: int) -> None:
        """Move the chain's clock, never back."""
        if moment > self.bank.now():
            self.ask("evm_setNextBlockTimestamp", hex(moment))
            self.ask("anvil_mine", "0x1")

    def _tick_all(self, scoring: bool = False) -> None:
        for node in self.nodes:
            node.tick(scoring=scoring)

    def _due(self) -> tuple[int, str] | None:
        """The next moment at which a window opens or ends."""
        view = self.nodes[0].view
        view.refresh()
        moments = [(e.windows.reveal_start, "reveal") for e in view.entries.values() if not e.terminal and not e.votes]
        moments += [(e.windows.reveal_end + 20, "end") for e in view.entries.values() if not e.terminal and e.votes]
        return min(moments, default=None)

    def live(self) -> None:
        """Trainings, whether published or kept back by the gate, until there are enough, or the time is up; then the
        last windows."""
        done_at: dict[int, int] = {}
        for index in range(self.count):
            self._train(index, done_at)
        while self._trained() < self.size.trainings and time.monotonic() - self.started < self.size.seconds:
            index = min(done_at, key=lambda node: done_at[node])
            self._until(done_at[index])
            self._submit(index)
            self._train(index, done_at)
        self._until(1 << 40)

    def _trained(self) -> int:
        return len(self.submitted) + self.refused

    def _until(self, moment: int) -> None:
        """Go through all windows that open or end before the moment, and to it."""
        while (due := self._due()) is not None and due[0] <= moment:
            self.to(due[0])
            self._tick_all()
        if moment < 1 << 40:
            self.to(moment)

    def _train(self, index: int, done_at: dict[int, int]) -> None:
        """Choose parents and train on what is known now; it will be submitted later."""
        author = self.nodes[index].author
        assert author is not None
        author.between_steps = lambda done, wanted: True
        author.interrupted = lambda: True
        author.view.refresh()
        author.work()
        attempt = author.records.current()
        whole = self.size.passes * len(self.splits[index].train)
        share = attempt.pictures / whole if attempt else 1.0
        done_at[index] = self.bank.now() + int(TRAINING * share * (1 + index / 2))

    def _submit(self, index: int) -> None:
        author = self.nodes[index].author
        assert author is not None
        author.interrupted = lambda: False
        known = set(author.view.entries)
        author.work()
        author.view.refresh()
        fresh = set(author.view.entries) - known
        if not fresh:
            self.refused += 1
        self.submitted += sorted(fresh)
        self._tick_all(scoring=True)

    # --- what came of it ---

    def result(self) -> dict[str, Any]:
        """Means over the last submissions, measured on all trainers' pictures together."""
        scorer = Scorer(self.measured_on, self.settings, device=self.device)
        known = scorer.extractor(self.measured_on.train.images), scorer.extractor(self.measured_on.test.images)
        rows = []
        self.models._view.refresh()
        for submission in self.submitted[-LAST:]:
            model = load_model(self.models.get(submission).folder)
            images, labels = scorer.sample(model, b"measured")
            report, features = scorer.score(images, labels), scorer.extractor(images)
            rows.append(
                {
                    "novelty": report.novelty / self.settings.novelty_weight,
                    "r_c": report.r_c,
                    "fid": report.fid,
                    "auth_pct": auth_pct(features, known[0]),
                    "ct": measured_or_none(features, known),
                }
            )
        entries = self.nodes[0].view.entries
        return {
            "mean": {name: mean_of([row[name] for row in rows]) for name in rows[0]} if rows else {},
            "rows": rows,
            "submissions": len(self.submitted),
            "final": sum(entry.terminal for entry in entries.values()),
            "votes": sum(len(entry.votes) for entry in entries.values()),
            "refused": self.refused,
            "best": self.nodes[0].view.best,
            "seconds": time.monotonic() - self.started,
        }


def measured_or_none(features: torch.Tensor, known: tuple[torch.Tensor, torch.Tensor]) -> float | None:
    """C_T; None where no cell has samples enough."""
    try:
        return ct_score(features, *known)
    except DataError:
        return None


def mean_of(values: list[float | None]) -> float | None:
    """The mean of what was measured."""
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None


def run_cell(folder: Path, nodes: int, rule: str, seed: int, size: Size, device: str) -> dict[str, Any]:
    """Live through one cell; everything it leaves behind is in ``folder``."""
    try:
        cell = Cell(folder, nodes, rule, seed, size, device)
        cell.live()
        return {"nodes": nodes, "rule": rule, "seed": seed, **cell.result(), "size": json.loads(describe(size))}
    finally:
        processes.end_all()


def describe(size: Size) -> str:
    """The size as JSON."""
    return json.dumps(dataclasses.asdict(size))
