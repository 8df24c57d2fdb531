"""The publication gate: nobody publishes, unawares, a model that hands out their own pictures."""

from __future__ import annotations

from pdfed_sdk.errors import PublicationRefused
from pdfed_sdk.ml.scoring.reports import QNReport

DEFAULT_CEILING = 5.0
"""Novelty over its floor above which a candidate stays at home."""


def publication_gate(report: QNReport, ceiling: float = DEFAULT_CEILING) -> None:
    """Raise PublicationRefused if the candidate, scored on its author's own pictures, has a novelty ratio (novelty
    over that of held-out real pictures) above ``ceiling``."""
    ratio = report.novelty_ratio
    if ratio <= ceiling:
        return
    copied = len({pair.train for pair in report.pairs})
    raise PublicationRefused(
        f"the candidate copies {copied} of your pictures in {report.samples} samples: novelty is {ratio:.1f} times "
        f"that of real unseen pictures, ceiling {ceiling:g}",
        hint="train on more pictures, exclude the copied ones (dedup_exclusions), or train shorter",
    )
