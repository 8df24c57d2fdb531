"""The improvement between two Q-N reports of one scorer, in eighths of an octave of the objective, and its noise."""

from __future__ import annotations

import math

import numpy as np

from pdfed_sdk.errors import ExtractorMismatch, MlError
from pdfed_sdk.ml.scoring.reports import TINY, QNReport
from pdfed_sdk.types import HIGHEST, LOWEST

YARDSTICK = ("settings", "extractor_sha256", "fingerprint_sha256", "fid_floor", "novelty_floor", "threshold")
"""What two reports must have in common to be compared."""


def improvement_of(reference: float, candidate: float) -> int:
    """round(8 log2(J_reference / J_candidate)) in [-8, 23], halves up; J must be finite and positive (MlError)."""
    for name, value in (("reference", reference), ("candidate", candidate)):
        if not math.isfinite(value) or value <= 0:
            raise MlError(f"the {name}'s objective is {value}, expected a finite positive number")
    octaves = math.log2(reference) - math.log2(candidate)
    return max(LOWEST, min(HIGHEST, math.floor(8 * octaves + 0.5)))


def improvement(reference: QNReport, candidate: QNReport) -> int:
    """How much better the candidate is than the reference, in eighths of an octave of the objective; 0 if the
    bootstrap cannot tell them apart (`deviation`). Both reports must come from the same scorer: ExtractorMismatch
    otherwise."""
    for name in YARDSTICK:
        if getattr(reference, name) != getattr(candidate, name):
            raise ExtractorMismatch(
                f"{name} differs: {getattr(reference, name)} and {getattr(candidate, name)}",
                hint="score both models with one Scorer",
            )
    bucket = improvement_of(reference.objective, candidate.objective)
    octaves = 8 * abs(math.log2(reference.objective) - math.log2(candidate.objective))
    return 0 if octaves < 1.96 * deviation(reference, candidate) else bucket


def deviation(reference: QNReport, candidate: QNReport) -> float:
    """Standard deviation of the improvement, in buckets, over paired bootstrap resamples of the samples; 0 without
    resamples. Pairing takes out what both models share when they were sampled with the same seed."""
    pairs = list(zip(reference.replicates, candidate.replicates, strict=True))
    if len(pairs) < 2:
        return 0.0
    return float(np.std([8 * math.log2(max(before, TINY) / max(after, TINY)) for before, after in pairs], ddof=1))
