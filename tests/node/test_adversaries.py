"""Adversaries in a federation of real nodes: a vetoer that steals, a junk flooder, a copier that hides its parent.

Contracts, packages, manifests, stores and node loops are real; a model's true quality and who made it stand in its
weights, and every honest evaluator reads them there (what it takes to see them has tests of its own: tests/ml).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from pdfed_sdk.audit import audit
from pdfed_sdk.buckets import LOWEST, nearest
from pdfed_sdk.demo.summary import CREDITS, LOSSES, earnings
from pdfed_sdk.errors import MlError
from pdfed_sdk.ml.diffusion.ddpm import WEIGHTS
from pdfed_sdk.node.parts import Evaluation, Heartbeat, StepHook
from pdfed_sdk.node.strategy import TrainFromBest
from pdfed_sdk.types import GENESIS, Parent, Status, SubmissionId
from tests.support.anvil import Anvil
from tests.support.federation import Federation
from tests.support.node_world import Opinion, World, build_world
from tests.support.pipelines import folder_of, parts, weights

ANN, BOB, CAROL, DAVE, THIEF, FLOODER, COPIER = range(1, 8)
HONEST, ADVERSARIES = (ANN, BOB, CAROL, DAVE), (THIEF, FLOODER, COPIER)
JUNK = -1_000.0


def truth(folder: Path) -> tuple[float, float]:
    """(grains above genesis, who made it first), as they stand in the weights; genesis has neither."""
    made = safetensors.numpy.load_file(folder / WEIGHTS).get("w")
    return (0.0, 0.0) if made is None else (float(made[0]), float(made[1]))


@dataclass
class Honest(Opinion):
    """Measures what is true, and notices who made a model first."""

    def compare(self, reference: Path, candidate: Path, seed: bytes, heartbeat: Heartbeat) -> Evaluation:
        quality = truth(candidate)[0]
        if quality == JUNK:
            raise MlError("the model holds values that are not finite numbers")
        return Evaluation(nearest(quality - truth(reference)[0]), {}, {}, b'{"copies": false}', ())

    def hidden_parents(
        self,
        candidate: Path,
        reference: Path,
        suspects: Mapping[int, Path],
        others: Sequence[Path],
        seed: bytes,
        heartbeat: Heartbeat,
    ) -> list[int]:
        maker = truth(candidate)[1]
        return [number for number, folder in suspects.items() if maker and truth(folder)[1] == maker]


@dataclass
class Vetoer(Honest):
    """Votes the models of its victim down, to submit their bytes itself."""

    victim: float = 0.0

    def compare(self, reference: Path, candidate: Path, seed: bytes, heartbeat: Heartbeat) -> Evaluation:
        if truth(candidate)[1] == self.victim or truth(candidate)[0] == JUNK:
            return Evaluation(LOWEST, {}, {}, b'{"copies": false}', ())
        return super().compare(reference, candidate, seed, heartbeat)

    def hidden_parents(self, *_: Any) -> list[int]:
        return []


@dataclass(frozen=True, slots=True)
class Publishes(TrainFromBest):
    """One submission that declares what it is told to."""

    declares: int = int(GENESIS)

    def parents(self, ranked: Any) -> list[Parent]:
        return [Parent(SubmissionId(self.declares), 10_000)]


@dataclass
class Writes:
    """A trainer whose model has a given quality and maker."""

    quality: float
    maker: float

    def train(
        self,
        parents: Any,
        out: Path,
        *,
        pictures: int,
        seed: int,
        resume: Path,
        on_step: StepHook,
        excluded: Sequence[int] = (),
        halfway: Path | None = None,
    ) -> Mapping[str, Any] | None:
        made = np.zeros(128, np.float32)
        made[:3] = self.quality, self.maker, seed % 997
        folder_of(out, parts(**{WEIGHTS: weights(w=made)}))
        return {"pictures": pictures, "seed": str(seed), "steps": 1}


class Federated:
    """The nodes of one task by index."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.submissions = 0

    def evaluator(self, index: int) -> Opinion:
        return Vetoer(victim=ANN) if index in ADVERSARIES else Honest()

    def publish(self, index: int, quality: float, maker: float, declares: int = 0) -> int:
        self.submissions += 1
        node = self.world.node(
            index,
            opinion=self.evaluator(index),
            trainer=Writes(quality, maker),
            strategy=Publishes(declares=declares, submissions=self.submissions, least_own=LOWEST),
            gate=False,
        )
        node.join()
        assert node.author is not None
        node.author.work()
        node.view.refresh()
        mine = [e.id for e in node.view.entries.values() if e.author == node.me]
        assert mine, (index, node.author.failures, self.world.client(index).fee())
        return max(mine)

    def vote_and_end(self, last: int) -> None:
        for act in (None, self.world.to_reveal, self.world.to_end):
            if act is not None:
                act(last)
            for index in range(1, 8):
                self.world.node(index, opinion=self.evaluator(index)).tick()
        for index in range(1, 8):
            self.world.node(index, opinion=self.evaluator(index)).tick()

    def net(self) -> dict[int, int]:
        earned = earnings(list(self.world.client(0).events.replay()))
        mine = {index: earned.get(self.world.signers[index].address, {}) for index in range(1, 8)}
        return {
            index: sum(by.get(why, 0) for why in CREDITS) - sum(by.get(why, 0) for why in LOSSES)
            for index, by in mine.items()
        }


@pytest.fixture
def federated(anvil: Anvil, deployed: Federation, tmp_path: Path) -> Iterator[Federated]:
    snapshot = anvil.ask("evm_snapshot")
    windows = {"submit_window": 40, "commit_window": 160, "reveal_window": 120, "unbonding": 300}  # for a busy machine
    world = build_world(anvil, deployed.manifest, deployed.signers, tmp_path, nodes=7, **windows)
    for index in range(1, 8):  # so that no fee or charge costs a unit of weight, at whatever second it is paid
        world.client(0).mint(world.signers[index].address, 90 * 10**18)
        world.client(index).deposit(90 * 10**18)
    anvil.warp(world.client(0).now() + 5)
    yield Federated(world)
    anvil.ask("evm_revert", snapshot)


def test_vetoer_thief_junk_flooder_and_hidden_copier_end_poorer_than_every_honest_node(federated: Federated) -> None:
    """κ of the weight presses Ann's model to the bottom; the thief submits its bytes and declares it, the copier
    submits them and declares nothing, the flooder submits junk. Bob builds on the best."""
    world = federated.world
    ann = federated.publish(ANN, 24, ANN)
    stolen = federated.publish(THIEF, 24, ANN, declares=ann)
    hidden = federated.publish(COPIER, 24, ANN)
    junk = [federated.publish(FLOODER, JUNK, 0) for _ in range(2)]
    federated.vote_and_end(junk[-1])

    client = world.client(0)
    views = client.submissions()
    assert all(view.submission.status is Status.FINAL for view in views)
    pressed, copied = views[ann].submission, views[stolen].submission
    assert (pressed.standing.level, pressed.standing.measured) == (-96, 24), "the veto pressed L, not M"
    assert pressed.standing.gain == 0
    assert client.best().id == stolen, "the copy became best"
    assert copied.standing.gain == 24
    assert views[hidden].submission.result.median == -1, "what hides its parent earns nothing and burns no bond"
    assert all(views[number].submission.result.median == LOWEST for number in junk)

    built = federated.publish(BOB, 32, BOB, declares=stolen)
    federated.vote_and_end(built)
    while client.pour():
        pass
    net = federated.net()
    told = {index: round(amount / 1e18, 2) for index, amount in net.items()}
    assert max(net[index] for index in ADVERSARIES) < min(net[index] for index in HONEST), told
    assert all(net[index] < 0 for index in ADVERSARIES), told
    report = audit(client)
    assert report.ok, [check for check in report.checks if not check.ok]
