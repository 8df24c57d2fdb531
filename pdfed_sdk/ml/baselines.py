"""Baseline measures of quality and memorisation (paper 5.2); they live in `quality.baselines`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdfed_sdk.lazy import exports

if TYPE_CHECKING:
    from pdfed_sdk.ml.quality.baselines import (
        Measures as Measures,
    )
    from pdfed_sdk.ml.quality.baselines import (
        Prdc as Prdc,
    )
    from pdfed_sdk.ml.quality.baselines import (
        auth_pct as auth_pct,
    )
    from pdfed_sdk.ml.quality.baselines import (
        carlini_ratio as carlini_ratio,
    )
    from pdfed_sdk.ml.quality.baselines import (
        ct_score as ct_score,
    )
    from pdfed_sdk.ml.quality.baselines import (
        fid as fid,
    )
    from pdfed_sdk.ml.quality.baselines import (
        fid_infinity as fid_infinity,
    )
    from pdfed_sdk.ml.quality.baselines import (
        fld as fld,
    )
    from pdfed_sdk.ml.quality.baselines import (
        fld_gap as fld_gap,
    )
    from pdfed_sdk.ml.quality.baselines import (
        measure_all as measure_all,
    )
    from pdfed_sdk.ml.quality.baselines import (
        pog as pog,
    )
    from pdfed_sdk.ml.quality.baselines import (
        prdc as prdc,
    )

_HOMES = {
    "pdfed_sdk.ml.quality.baselines": (
        "Measures",
        "Prdc",
        "auth_pct",
        "carlini_ratio",
        "ct_score",
        "fid",
        "fid_infinity",
        "fld",
        "fld_gap",
        "measure_all",
        "pog",
        "prdc",
    ),
}
__all__ = [
    "Measures",
    "Prdc",
    "auth_pct",
    "carlini_ratio",
    "ct_score",
    "fid",
    "fid_infinity",
    "fld",
    "fld_gap",
    "measure_all",
    "pog",
    "prdc",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
