"""The real evaluator and trainer: pdfed_sdk.ml behind the node's protocols."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pdfed_sdk.config import NodeConfig
from pdfed_sdk.errors import DataError, MlError, StoreError
from pdfed_sdk.family import Model, load_model
from pdfed_sdk.ml.data import NodeSplit, PictureSet, split_nodes
from pdfed_sdk.ml.device import device_of
from pdfed_sdk.ml.diffusion.hidden_parents import PICTURES, Trace, relations, trace
from pdfed_sdk.ml.diffusion.mixing import LEAST_LOOKS, PARTS, affordable_looks, best_shares, in_parts
from pdfed_sdk.ml.diffusion.training import Progress, TrainConfig, train
from pdfed_sdk.ml.diffusion.validation import LEAST_HELDOUT, MOST, seldom
from pdfed_sdk.ml.scoring.gate import publication_gate
from pdfed_sdk.ml.scoring.scorer import QNReport, Scorer, ScoringSettings, improvement
from pdfed_sdk.ml.sources import AS_IT_IS, Reading, load_pictures
from pdfed_sdk.node.curve import Curve
from pdfed_sdk.node.parts import Evaluation, Evaluator, Heartbeat, StepHook, Trainer, out_of_memory
from pdfed_sdk.types import BPS

MAX_PAIR_LEAVES = 255
LOOKS = 20
"""Validation scores that a training takes, where it takes any."""
FOREIGN = (RuntimeError, ArithmeticError, ValueError, TypeError, LookupError, AttributeError)
"""Errors of libraries that a stranger's model can cause where the reference caused none."""


def load_with_heartbeat(folder: Path, heartbeat: Heartbeat) -> Model:
    """The model in ``folder``, with ``heartbeat`` called before each pass through its network."""
    model = load_model(folder)
    model.family.on_forward(model, heartbeat)
    return model


class PictureEvaluator:
    """Scores models on a node's split with the task's frozen settings (paper, section 3; eq. 6)."""

    def __init__(self, scorer: Scorer, gate_ceiling: float) -> None:
        self._scorer, self._ceiling = scorer, gate_ceiling

    def compare(self, reference: Path, candidate: Path, seed: bytes, heartbeat: Heartbeat) -> Evaluation:
        try:
            known = load_with_heartbeat(reference, heartbeat)
            before = self._scorer.evaluate(known, seed)
        except (MlError, *FOREIGN) as error:
            raise StoreError(f"the reference in {reference} cannot be scored: {error}") from error
        try:
            fresh = load_with_heartbeat(candidate, heartbeat)
            if fresh.family.name != known.family.name:
                raise MlError(f"the model is of the family {fresh.family.name}, the task's is {known.family.name}")
            fresh.family.check_beside(known, fresh)
            after = self._scorer.evaluate(fresh, seed)
            own = self._by_own_captions(fresh, seed)
        except FOREIGN as error:  # a configuration that passed every check, and still does not run as the reference did
            told = (str(error).splitlines() or [""])[0][:200]
            if out_of_memory(error):
                raise MemoryError(told) from error
            raise MlError(f"the model does not run: {type(error).__name__}: {told}") from error
        pairs = tuple(json.dumps(pair, sort_keys=True).encode() for pair in after.to_dict()["pairs"][:MAX_PAIR_LEAVES])
        reports = {"reference": before.to_dict(), "candidate": after.to_dict()}
        copied = after.train_counts
        if own is not None:
            reports["own captions"] = own.to_dict()
            copied = tuple(max(pair) for pair in zip(copied, own.train_counts, strict=True))
        return Evaluation(
            improvement=improvement(before, after),
            reference=before.public(),
            candidate=after.public(),
            report=json.dumps(reports, sort_keys=True).encode(),
            pairs=pairs,
            copied=copied,
        )

    def _by_own_captions(self, model: Model, seed: bytes) -> QNReport | None:
        """The model as an attacker who knows this node's captions would sample it; None without captions. Private."""
        attacked = model.family.captioned(model, self._scorer.split.train)
        try:
            return None if attacked is None else self._scorer.evaluate(attacked, seed)
        except DataError as error:  # a caption of this node: no fault of the model
            raise StoreError(f"this node's captions cannot be used: {error.message}") from error

    def hidden_parents(
        self,
        candidate: Path,
        reference: Path,
        suspects: Mapping[int, Path],
        others: Sequence[Path],
        seed: bytes,
        heartbeat: Heartbeat,
    ) -> list[int]:
        try:
            own, start = (self._trace(folder, seed, heartbeat) for folder in (candidate, reference))
        except MlError:
            return []  # unusable, or too few test pictures: that is the score's matter
        known: dict[int, Trace] = {}
        usual: list[Trace] = []
        for number, folder in [*suspects.items(), *((-1, folder) for folder in others)]:
            with suppress(MlError):
                seen = self._trace(folder, seed, heartbeat)
                if number < 0:
                    usual.append(seen)
                else:
                    known[number] = seen
        found = relations(own, known, usual, start)
        return sorted(number for number, relation in found.items() if relation.made_from_it)

    def _trace(self, folder: Path, seed: bytes, heartbeat: Heartbeat) -> Trace:
        """What a model computes on pictures of this node's test part. Raises MlError."""
        model, test = load_with_heartbeat(folder, heartbeat), self._scorer.split.test
        model.network.to(self._scorer.device)
        return trace(model, test.take(range(min(len(test), PICTURES))), seed)

    def gate(self, evaluation: Evaluation) -> None:
        """By the task's prompts and, where there are captions, by this node's own: the worse decides."""
        reports = json.loads(evaluation.report)
        for name in ("candidate", "own captions"):
            if name in reports:
                publication_gate(QNReport.from_dict(reports[name]), self._ceiling)


class PictureTrainer:
    """Trains on a node's pictures, whatever the parents' family; ``pace`` below 1 leaves the rest of the time idle.
    ``whole``: these are all of the split's training pictures, so that the dedup list's indices are theirs. By the loss
    on ``heldout`` pictures a training ends when it rises (``stop``), and parents are weighed (``weighs``)."""

    def __init__(
        self,
        pictures: PictureSet,
        config: TrainConfig,
        pace: float = 1.0,
        whole: bool = True,
        heldout: PictureSet | None = None,
        stop: bool = True,
        weighs: bool = True,
    ) -> None:
        self._heldout = heldout if stop else None
        self._scale = heldout if weighs else None
        self._pictures, self._config, self._pace, self._whole = pictures, config, pace, whole

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
        models = [load_model(folder) for folder, _ in parents]
        family = models[0].family
        start = models[0] if len(models) == 1 else family.average(models, [float(weight) for _, weight in parents])
        stepped = time.monotonic()
        curve = Curve(resume.parent)

        def between(progress: Progress) -> bool:
            nonlocal stepped
            curve.add(progress)
            if self._pace < 1.0:
                time.sleep((time.monotonic() - stepped) * (1.0 / self._pace - 1.0))
            if halfway and 2 * progress.pictures >= progress.total and not halfway.exists() and progress.averaged:
                fresh = halfway.with_name(".halfway.part")
                shutil.rmtree(fresh, ignore_errors=True)
                family.save(progress.averaged(), fresh)
                fresh.rename(halfway)
            go_on = on_step(progress.pictures, progress.total)
            stepped = time.monotonic()
            return go_on

        every = seldom(pictures // LOOKS, len(self._heldout) if self._heldout else 0)
        config = dataclasses.replace(self._config, pictures=pictures, seed=seed, check_every=every)
        left_out = excluded if self._whole else ()
        result = train(
            config,
            self._pictures,
            parent=start,
            excluded=left_out,
            on_step=between,
            state_file=resume,
            heldout=self._heldout,
            save=lambda model: family.save(model, out),
        )
        return result.facts.to_dict() if result.finished else None

    def weigh(self, parents: Sequence[tuple[Path, int]], *, pictures: int, heartbeat: Heartbeat) -> list[int]:
        shares = [share for _, share in parents]
        looks = affordable_looks(pictures, min(len(self._scale), MOST)) if self._scale else 0
        if self._scale is None or looks < LEAST_LOOKS or len(parents) < 2:
            return shares
        models = [load_with_heartbeat(folder, heartbeat) for folder, _ in parents]
        if any(model.family is not models[0].family for model in models):
            return shares
        losses = models[0].family.validation(models[0], self._scale, device_of(self._config.device))
        found = best_shares(models, losses, in_parts(shares), looks, heartbeat)
        return shares if found == in_parts(shares) else [BPS // PARTS * share for share in found]


# --- what [parts] of pdfed.toml names by default ----------------------------------------------------------------------


def load_split(path: Path, settings: ScoringSettings, reading: Reading = AS_IT_IS) -> NodeSplit:
    """A prepared split, or any folder of pictures, which is then split into train, test and held-out, balanced. Class
    names are matched to those of ``reading``: nodes with other folders end with the same labels."""
    if (path / "split.json").exists():
        split = NodeSplit.load(path)
        return split.named(reading.classes, reading.unknown) if reading.classes else split
    pictures = load_pictures(path, size=settings.size, channels=settings.channels, reading=reading)
    return split_nodes(pictures, 1)[0]


def make_evaluator(split: NodeSplit, settings: ScoringSettings, config: NodeConfig) -> Evaluator:
    """The Q-N score with the task's frozen settings. Takes seconds: fingerprints, thresholds and calibration."""
    return PictureEvaluator(Scorer(split, settings, device=config.node.device), config.node.gate_ceiling)


def make_trainer(split: NodeSplit, config: NodeConfig) -> Trainer:
    """The reference trainer on the split's training part."""
    wanted = config.training
    pictures = split.train.take(split.shared[: wanted.only]) if wanted.only else split.train
    settings = TrainConfig(
        batch=wanted.batch,
        lr=wanted.lr,
        ema=wanted.ema,
        label_dropout=wanted.label_dropout,
        device=config.node.device,
        ambient=wanted.ambient,
        time_spread=wanted.time_spread,
    )
    heldout = split.heldout if len(split.heldout) >= LEAST_HELDOUT else None
    return PictureTrainer(
        pictures,
        settings,
        config.node.pace,
        whole=not wanted.only,
        heldout=heldout,
        stop=wanted.stop,
        weighs=wanted.weigh,
    )
