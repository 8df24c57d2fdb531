"""What a vote says: the Q-N score, its reports, improvements, the publication gate, and their noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdfed_sdk.lazy import exports

if TYPE_CHECKING:
    from pdfed_sdk.ml.scoring.gate import (
        publication_gate as publication_gate,
    )
    from pdfed_sdk.ml.scoring.improvements import (
        improvement as improvement,
    )
    from pdfed_sdk.ml.scoring.improvements import (
        improvement_of as improvement_of,
    )
    from pdfed_sdk.ml.scoring.reports import (
        QNReport as QNReport,
    )
    from pdfed_sdk.ml.scoring.reports import (
        ScoringSettings as ScoringSettings,
    )
    from pdfed_sdk.ml.scoring.scorer import (
        Scorer as Scorer,
    )
    from pdfed_sdk.ml.scoring.scorer import (
        dedup_exclusions as dedup_exclusions,
    )
    from pdfed_sdk.ml.scoring.scorer import (
        pinned as pinned,
    )
    from pdfed_sdk.ml.scoring.scorer import (
        qn_score as qn_score,
    )

_HOMES = {
    "pdfed_sdk.ml.scoring.gate": ("publication_gate",),
    "pdfed_sdk.ml.scoring.improvements": (
        "improvement",
        "improvement_of",
    ),
    "pdfed_sdk.ml.scoring.reports": (
        "QNReport",
        "ScoringSettings",
    ),
    "pdfed_sdk.ml.scoring.scorer": (
        "Scorer",
        "dedup_exclusions",
        "pinned",
        "qn_score",
    ),
}
__all__ = [
    "QNReport",
    "Scorer",
    "ScoringSettings",
    "dedup_exclusions",
    "improvement",
    "improvement_of",
    "pinned",
    "publication_gate",
    "qn_score",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
