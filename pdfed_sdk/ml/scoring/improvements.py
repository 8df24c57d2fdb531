"""The improvement between two Q-N reports of one scorer, in grains of the objective (buckets.py), and its noise."""

from __future__ import annotations

import numpy as np

from pdfed_sdk.buckets import OCTAVE, grains_between, nearest
from pdfed_sdk.buckets import improvement_of as improvement_of
from pdfed_sdk.errors import ExtractorMismatch
from pdfed_sdk.ml.scoring.reports import TINY, QNReport

YARDSTICK = ("settings", "extractor_sha256", "fingerprint_sha256", "fid_floor", "novelty_floor", "threshold")
"""What two reports must have in common to be compared."""


def improvement(reference: QNReport, candidate: QNReport) -> int:
    """How much better the candidate is than the reference: the index of a bucket of grains; 0 if the bootstrap cannot
    tell them apart (`deviation`). Both reports must come from the same scorer: ExtractorMismatch otherwise."""
    for name in YARDSTICK:
        if getattr(reference, name) != getattr(candidate, name):
            raise ExtractorMismatch(
                f"{name} differs: {getattr(reference, name)} and {getattr(candidate, name)}",
                hint="score both models with one Scorer",
            )
    grains = grains_between(reference.objective, candidate.objective)
    return 0 if abs(grains) < 1.96 * deviation(reference, candidate) else nearest(grains)


def deviation(reference: QNReport, candidate: QNReport) -> float:
    """Standard deviation of the improvement, in grains, over paired bootstrap resamples of the samples; 0 without
    resamples. Pairing takes out what both models share when they were sampled with the same seed."""
    pairs = list(zip(reference.replicates, candidate.replicates, strict=True))
    if len(pairs) < 2:
        return 0.0
    logs = np.log2(np.maximum(np.array(pairs, dtype=float), TINY))
    return float(np.std(OCTAVE * (logs[:, 0] - logs[:, 1]), ddof=1))
