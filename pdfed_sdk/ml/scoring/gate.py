"""The publication gate: nobody publishes, unawares, a model that hands out their own pictures."""

from __future__ import annotations

from pdfed_sdk.errors import PublicationRefused
from pdfed_sdk.ml.scoring.reports import QNReport

DEFAULT_CEILING = 5.0
"""Factor by which copying may multiply a candidate's objective before it stays at home: 20 copies in 1,000."""


def publication_gate(report: QNReport, ceiling: float = DEFAULT_CEILING) -> None:
    """Raise PublicationRefused if the candidate, scored on its author's own pictures, has a `copy_ratio` above
    ``ceiling``."""
    ratio = report.copy_ratio
    if ratio <= ceiling:
        return
    copied = len({pair.train for pair in report.pairs})
    raise PublicationRefused(
        f"the candidate copies {copied} of your pictures in {report.samples} samples: {report.copies.per_thousand:.1f} "
        f"copies in 1,000 make its objective {ratio:.1f} times worse, ceiling {ceiling:g}",
        hint="train on more pictures, exclude the copied ones (dedup_exclusions), or train shorter",
    )
