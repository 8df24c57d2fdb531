"""Who copied me, picture by picture: a sample of another model beside the own picture that the verifier found in it.

The sample is drawn again as it was for the vote: the same model, seed and settings. Private, like everything of a home.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final

from pdfed_sdk.artifacts.store import Store
from pdfed_sdk.config import load_class, load_config
from pdfed_sdk.errors import PdfedError, UsageError
from pdfed_sdk.node.records import Records
from pdfed_sdk.node.task_card import TaskCard
from pdfed_sdk.types import SubmissionId

PAIRS: Final = 24
"""Surest pairs that are shown."""
HEIGHT: Final = 96
"""Pixels of a shown picture, at least."""


def pairs_of(folder: Path, number: int, store: Store | None, card_digest: bytes) -> dict[str, Any]:
    """The surest pairs that a node's evaluation of a submission found, each as two pictures (data URLs of PNG) with
    the verifier's score, and what is needed to draw the sample again.

    KeyError if there is no such evaluation, or it found no pair; UsageError if model or pictures are gone.
    """
    evaluation = Records(folder).evaluation(SubmissionId(number))
    note = _note(folder, number)
    if evaluation is None or note is None or not evaluation.pairs:
        raise KeyError(number)
    try:
        from pdfed_sdk.family import load_model
        from pdfed_sdk.ml.scoring.scorer import QNReport
        from pdfed_sdk.ml.sources import Reading
        from pdfed_sdk.ml.strip import png_strip
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed here", hint="pip install 'pdfed-sdk[node]'") from error
    config = load_config(folder / "pdfed.toml")
    settings = QNReport.from_dict(json.loads(evaluation.report)["candidate"]).settings
    kept = folder / "models" / str(number) / "model"
    if not kept.is_dir():
        raise UsageError(
            f"this node keeps model {number} no more", hint="its evaluation, with the scores, is still there"
        )
    reading = Reading(config.node.fit, _classes(store, card_digest), config.node.unknown_classes)
    split = load_class(config.parts.dataset)(folder / config.node.data, settings, reading)
    model = load_model(kept)
    seed = bytes.fromhex(note["seed"])
    made, _ = model.family.sample(model, settings.samples, seed, steps=settings.sampler_steps, solver=settings.solver)
    found = sorted((json.loads(pair) for pair in evaluation.pairs), key=lambda pair: -pair["score"])[:PAIRS]
    return {
        "id": number,
        "record": note["record"],
        "seed": note["seed"],
        "steps": settings.sampler_steps,
        "solver": settings.solver,
        "samples": settings.samples,
        "found": len(evaluation.pairs),
        "pairs": [
            {
                "sample": pair["sample"],
                "train": pair["train"],
                "score": pair["score"],
                "made": _url(png_strip(made[pair["sample"]][None], HEIGHT)),
                "own": _url(png_strip(split.train.images[pair["train"]][None], HEIGHT)),
            }
            for pair in found
        ],
    }


def _note(folder: Path, number: int) -> dict[str, Any] | None:
    try:
        return dict(json.loads((folder / "evaluations" / f"{number}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _classes(store: Store | None, digest: bytes) -> tuple[str, ...]:
    """Class names of the task's card, as the node read its pictures by; none where the card cannot be had."""
    try:
        return () if store is None else TaskCard.fetch(store, digest).classes
    except PdfedError:
        return ()


def _url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
