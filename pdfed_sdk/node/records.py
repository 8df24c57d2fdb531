"""A node's private notes: its evaluations and its current attempt, on disk, atomic. They never leave the node."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdfed_sdk.files import write_durably
from pdfed_sdk.node.parts import Evaluation
from pdfed_sdk.types import Parent, SubmissionId

log = logging.getLogger("pdfed.node")


def _read(path: Path) -> dict[str, Any] | None:
    """A note; None if there is none. A damaged one is put aside, so that the node makes it anew."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        aside = path.with_suffix(".damaged")
        log.warning("%s is damaged (%s): put aside as %s", path, error, aside.name)
        path.replace(aside)
        return None


ENDS = ("published", "refused", "abandoned")
"""Stages after which nothing is done to an attempt."""
KEPT = 3
"""Attempts that have ended and whose models stay: to look at, and the last to go on from if the gate refused it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One model in the making. ``folder`` holds its snapshot, its pipeline, its package and its publishing state."""

    number: int
    folder: Path
    parents: tuple[Parent, ...]
    pictures: int
    seed: int
    stage: str = "training"
    """training → trained → packaged → published; or refused (by the gate), or abandoned. The last three are ends."""
    facts: dict[str, Any] | None = None
    improvement: int | None = None
    excluded: tuple[int, ...] = ()
    """Training pictures left out, as the dedup list stood when the attempt began."""
    start: str = ""
    """Folder of the own state it goes on from, below the records; empty: the parents themselves."""
    before: int = 0
    """Pictures that this state had been shown since the parents."""
    clean: str = ""
    """Of a refused attempt: the folder of its last state that passed the gate; empty: there is none."""

    @property
    def halfway(self) -> Path:
        """The model as it stood after half of the pictures."""
        return self.folder / "halfway"

    @property
    def snapshot(self) -> Path:
        return self.folder / "training.safetensors"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def package(self) -> Path:
        return self.folder / "package.zip"


class Records:
    """Evaluations by submission id, and attempts in order."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._evaluations = root / "evaluations"
        self._attempts = root / "attempts"

    def evaluation(self, submission: SubmissionId, record_hash: bytes | None = None) -> Evaluation | None:
        """What was measured of a submission; of exactly this record, if its hash is given: after a reorganisation
        another model may stand at the same id."""
        return self._evaluation(self._evaluations / f"{submission}.json", record_hash)

    def _evaluation(self, path: Path, record_hash: bytes | None = None) -> Evaluation | None:
        note = _read(path)
        if note is None or (record_hash is not None and note["record"] != record_hash.hex()):
            return None
        return Evaluation(
            improvement=note["improvement"],
            reference=note["reference"],
            candidate=note["candidate"],
            report=bytes.fromhex(note["report"]),
            pairs=tuple(bytes.fromhex(pair) for pair in note["pairs"]),
            copied=tuple(note.get("copied", ())),
        )

    def keep_evaluation(
        self, submission: SubmissionId, evaluation: Evaluation, seed: bytes, record_hash: bytes = b""
    ) -> None:
        self._keep(self._evaluations / f"{submission}.json", evaluation, seed, record_hash)

    def keep_gate(self, attempt: Attempt, evaluation: Evaluation) -> None:
        """A trainer's own measurement of its candidate, before it has an id."""
        self._keep(attempt.folder / "gate.json", evaluation, attempt.seed.to_bytes(32, "big"))

    def adopt_gate(self, attempt: Attempt, submission: SubmissionId) -> None:
        """The candidate got its id: its own measurement becomes the evaluation of that submission."""
        evaluation = self._evaluation(attempt.folder / "gate.json")
        if evaluation is not None:
            self.keep_evaluation(submission, evaluation, attempt.seed.to_bytes(32, "big"))

    @staticmethod
    def _keep(path: Path, evaluation: Evaluation, seed: bytes, record_hash: bytes = b"") -> None:
        note = {
            "record": record_hash.hex(),
            "improvement": evaluation.improvement,
            "seed": seed.hex(),
            "reference": dict(evaluation.reference),
            "candidate": dict(evaluation.candidate),
            "report": evaluation.report.hex(),
            "pairs": [pair.hex() for pair in evaluation.pairs],
            "copied": list(evaluation.copied),
        }
        write_durably(path, json.dumps(note).encode())

    def own_improvement(self, submission: SubmissionId) -> int | None:
        evaluation = self.evaluation(submission)
        return None if evaluation is None else evaluation.improvement

    def attempts(self) -> list[Attempt]:
        """All attempts, oldest first."""
        read = (self._attempt(self._attempts / str(number)) for number in self._numbers())
        return [attempt for attempt in read if attempt is not None]

    def _numbers(self) -> list[int]:
        return sorted(int(place.name) for place in self._attempts.glob("*") if place.name.isdigit())

    def next_number(self) -> int:
        return max(self._numbers(), default=0) + 1

    def current(self) -> Attempt | None:
        """The attempt that was interrupted, if any."""
        unfinished = [a for a in self.attempts() if a.stage not in ENDS]
        return unfinished[-1] if unfinished else None

    def tidy(self) -> None:
        """Drop models, packages and snapshots of attempts that have ended, but the last few: what was published is in
        the store. Notes, curves and samples stay."""
        ended = [attempt for attempt in self.attempts() if attempt.stage in ENDS]
        for attempt in ended[:-KEPT]:
            for folder in (attempt.model, attempt.halfway):
                shutil.rmtree(folder, ignore_errors=True)
            for file in (attempt.package, attempt.snapshot):
                file.unlink(missing_ok=True)

    def open_attempt(
        self, parents: Sequence[Parent], pictures: int, seed: int, excluded: Sequence[int] = (), **others: Any
    ) -> Attempt:
        number = self.next_number()
        folder = self._attempts / str(number)
        attempt = Attempt(number, folder, tuple(parents), pictures, seed, excluded=tuple(excluded), **others)
        return self.keep_attempt(attempt)

    def keep_attempt(self, attempt: Attempt) -> Attempt:
        note = {
            "parents": [[p.id, p.weight_bps] for p in attempt.parents],
            "pictures": attempt.pictures,
            "seed": attempt.seed,
            "stage": attempt.stage,
            "facts": attempt.facts,
            "improvement": attempt.improvement,
            "excluded": list(attempt.excluded),
            "start": attempt.start,
            "before": attempt.before,
            "clean": attempt.clean,
        }
        write_durably(attempt.folder / "attempt.json", json.dumps(note).encode())
        return attempt

    @staticmethod
    def _attempt(folder: Path) -> Attempt | None:
        note = _read(folder / "attempt.json")
        if note is None:
            return None
        return Attempt(
            number=int(folder.name),
            folder=folder,
            parents=tuple(Parent(SubmissionId(i), w) for i, w in note["parents"]),
            pictures=note["pictures"],
            seed=note["seed"],
            stage=note["stage"],
            facts=note["facts"],
            improvement=note["improvement"],
            excluded=tuple(note.get("excluded", ())),
            start=note.get("start", ""),
            before=note.get("before", 0),
            clean=note.get("clean", ""),
        )
