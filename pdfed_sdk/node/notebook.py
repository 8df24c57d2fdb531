"""A node's private notes: its evaluations and its current attempt, on disk, atomic. They never leave the node."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdfed_sdk.chain.journal import write_durably
from pdfed_sdk.errors import JournalError
from pdfed_sdk.node.ports import Evaluation
from pdfed_sdk.types import Parent, SubmissionId


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise JournalError(f"cannot read {path}: {error}", hint="move the file away; the node makes it anew") from error


@dataclass(frozen=True, slots=True)
class Attempt:
    """One model in the making. ``folder`` holds its snapshot, its pipeline, its package and its publishing state."""

    number: int
    folder: Path
    parents: tuple[Parent, ...]
    pictures: int
    seed: int
    stage: str = "training"
    """training → trained → packaged → (published: the attempt is closed)."""
    facts: dict[str, Any] | None = None
    improvement: int | None = None

    @property
    def snapshot(self) -> Path:
        return self.folder / "training.safetensors"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def package(self) -> Path:
        return self.folder / "package.zip"


class Notebook:
    """Evaluations by submission id, and attempts in order."""

    def __init__(self, root: Path) -> None:
        self._evaluations = root / "evaluations"
        self._attempts = root / "attempts"

    def evaluation(self, submission: SubmissionId) -> Evaluation | None:
        return self._evaluation(self._evaluations / f"{submission}.json")

    def _evaluation(self, path: Path) -> Evaluation | None:
        if not path.exists():
            return None
        note = _read(path)
        return Evaluation(
            improvement=note["improvement"],
            reference=note["reference"],
            candidate=note["candidate"],
            report=bytes.fromhex(note["report"]),
            pairs=tuple(bytes.fromhex(pair) for pair in note["pairs"]),
        )

    def keep_evaluation(self, submission: SubmissionId, evaluation: Evaluation, seed: bytes) -> None:
        self._keep(self._evaluations / f"{submission}.json", evaluation, seed)

    def keep_gate(self, attempt: Attempt, evaluation: Evaluation) -> None:
        """A trainer's own measurement of its candidate, before it has an id."""
        self._keep(attempt.folder / "gate.json", evaluation, attempt.seed.to_bytes(32, "big"))

    def adopt_gate(self, attempt: Attempt, submission: SubmissionId) -> None:
        """The candidate got its id: its own measurement becomes the evaluation of that submission."""
        evaluation = self._evaluation(attempt.folder / "gate.json")
        if evaluation is not None:
            self.keep_evaluation(submission, evaluation, attempt.seed.to_bytes(32, "big"))

    @staticmethod
    def _keep(path: Path, evaluation: Evaluation, seed: bytes) -> None:
        note = {
            "improvement": evaluation.improvement,
            "seed": seed.hex(),
            "reference": dict(evaluation.reference),
            "candidate": dict(evaluation.candidate),
            "report": evaluation.report.hex(),
            "pairs": [pair.hex() for pair in evaluation.pairs],
        }
        write_durably(path, json.dumps(note).encode())

    def own_improvement(self, submission: SubmissionId) -> int | None:
        evaluation = self.evaluation(submission)
        return None if evaluation is None else evaluation.improvement

    def attempts(self) -> list[Attempt]:
        return [
            self._attempt(p) for p in sorted(self._attempts.glob("*/attempt.json"), key=lambda p: int(p.parent.name))
        ]

    def current(self) -> Attempt | None:
        """The attempt that was interrupted, if any."""
        unfinished = [a for a in self.attempts() if a.stage not in ("published", "refused", "abandoned")]
        return unfinished[-1] if unfinished else None

    def open_attempt(self, parents: list[Parent], pictures: int, seed: int) -> Attempt:
        number = len(self.attempts()) + 1
        attempt = Attempt(number, self._attempts / str(number), tuple(parents), pictures, seed)
        return self.keep_attempt(attempt)

    def keep_attempt(self, attempt: Attempt) -> Attempt:
        note = {
            "parents": [[p.id, p.weight_bps] for p in attempt.parents],
            "pictures": attempt.pictures,
            "seed": attempt.seed,
            "stage": attempt.stage,
            "facts": attempt.facts,
            "improvement": attempt.improvement,
        }
        write_durably(attempt.folder / "attempt.json", json.dumps(note).encode())
        return attempt

    def _attempt(self, path: Path) -> Attempt:
        note = _read(path)
        parents = tuple(Parent(SubmissionId(i), w) for i, w in note["parents"])
        return Attempt(
            number=int(path.parent.name),
            folder=path.parent,
            parents=parents,
            pictures=note["pictures"],
            seed=note["seed"],
            stage=note["stage"],
            facts=note["facts"],
            improvement=note["improvement"],
        )
