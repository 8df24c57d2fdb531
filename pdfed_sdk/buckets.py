"""The 32 improvements a vote can name: their index on chain, their size in grains, and the rounding between two.

A grain is 1/32 octave of the objective (2.2 %): an improvement is 32·log2(J_reference / J_submission) grains. Buckets
are fine near zero and coarse far away; a vote is the *index* of its bucket (protocol, words and rule 3). The table is
the same as in the contracts; ``tests/vectors/buckets.json`` holds both.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Final

from pdfed_sdk.errors import MlError, UsageError

LOWEST: Final = -8
"""Index of the worst improvement; it also means "unusable"."""
MISSING: Final = -7
"""Index that says "the bytes never came" (rule 15). No measurement rounds to it."""
HIDDEN_PARENT: Final = -1
"""Index for a model whose parent is not declared (rule 10): low enough to earn nothing, too high to burn a bond."""
HIGHEST: Final = 23
GRAINS: Final = (
    *(-96, -48, -24, -12, -6, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16),
    *(20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128),
)
"""Grains of the buckets, LOWEST first."""
WORST: Final = GRAINS[0]
"""Grains of the lowest bucket, which also means "unusable"."""
OCTAVE: Final = 32
"""Grains of an octave."""
_MEASURED: Final = tuple(grains for index, grains in enumerate(GRAINS, LOWEST) if index != MISSING)


def grains_of(index: int) -> int:
    """Grains of a bucket; UsageError if there is no bucket of this index."""
    if isinstance(index, bool) or not isinstance(index, int) or not LOWEST <= index <= HIGHEST:
        raise UsageError(f"bucket {index!r} is not a whole number from {LOWEST} to {HIGHEST}")
    return GRAINS[index - LOWEST]


def width_of(index: int) -> int:
    """Grains between a bucket and the next lower one: how far rounding to it may have lifted a measurement; 0 at the
    lowest (rule 8)."""
    return 0 if index == LOWEST else grains_of(index) - grains_of(index - 1)


def nearest(grains: float) -> int:
    """Index of the nearest bucket, ties towards zero, MISSING left out. Infinities go to the ends; MlError for NaN."""
    if math.isnan(grains):
        raise MlError("an improvement is not a number", hint="the objective of one of the models is not finite")
    at = bisect_left(_MEASURED, grains)
    near = _MEASURED[max(0, at - 1) : at + 1]
    return GRAINS.index(min(near, key=lambda value: (abs(value - grains), abs(value)))) + LOWEST


def grains_between(reference: float, candidate: float) -> float:
    """32·log2(J_reference / J_candidate): grains by which a candidate is better, from two objectives, lower is better.

    MlError unless both are finite and above zero.
    """
    for name, value in (("reference", reference), ("candidate", candidate)):
        if not (math.isfinite(value) and value > 0):
            raise MlError(f"the {name}'s objective is {value}, expected a finite positive number")
    return OCTAVE * (math.log2(reference) - math.log2(candidate))


def improvement_of(reference: float, candidate: float) -> int:
    """Index of the bucket of ``grains_between``."""
    return nearest(grains_between(reference, candidate))
