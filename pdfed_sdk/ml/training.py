"""Training a diffusion model on private pictures; the loop lives in `diffusion.training`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdfed_sdk.lazy import exports

if TYPE_CHECKING:
    from pdfed_sdk.ml.diffusion.training import (
        Progress as Progress,
    )
    from pdfed_sdk.ml.diffusion.training import (
        TrainConfig as TrainConfig,
    )
    from pdfed_sdk.ml.diffusion.training import (
        TrainFacts as TrainFacts,
    )
    from pdfed_sdk.ml.diffusion.training import (
        TrainResult as TrainResult,
    )
    from pdfed_sdk.ml.diffusion.training import (
        train as train,
    )

_HOMES = {
    "pdfed_sdk.ml.diffusion.training": (
        "Progress",
        "TrainConfig",
        "TrainFacts",
        "TrainResult",
        "train",
    ),
}
__all__ = [
    "Progress",
    "TrainConfig",
    "TrainFacts",
    "TrainResult",
    "train",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
