"""Train and score: data, diffusion models, copy detection, quality measures, the Q-N score. Knows no chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdfed_sdk.lazy import exports

if TYPE_CHECKING:
    from pdfed_sdk.ml.device import (
        device_of as device_of,
    )
    from pdfed_sdk.ml.device import (
        set_threads as set_threads,
    )
    from pdfed_sdk.ml.scoring.find_copies import (
        CopyReport as CopyReport,
    )
    from pdfed_sdk.ml.scoring.find_copies import (
        find_copies as find_copies,
    )

_HOMES = {
    "pdfed_sdk.ml.device": (
        "device_of",
        "set_threads",
    ),
    "pdfed_sdk.ml.scoring.find_copies": (
        "CopyReport",
        "find_copies",
    ),
}
__all__ = [
    "CopyReport",
    "device_of",
    "find_copies",
    "set_threads",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
