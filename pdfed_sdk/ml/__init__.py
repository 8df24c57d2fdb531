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

_HOMES = {
    "pdfed_sdk.ml.device": (
        "device_of",
        "set_threads",
    ),
}
__all__ = [
    "device_of",
    "set_threads",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
