"""The parts that ``[parts]`` of pdfed.toml named before they moved to `picture_parts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdfed_sdk.lazy import exports

if TYPE_CHECKING:
    from pdfed_sdk.node.picture_parts import (
        PictureEvaluator as PictureEvaluator,
    )
    from pdfed_sdk.node.picture_parts import (
        PictureTrainer as PictureTrainer,
    )
    from pdfed_sdk.node.picture_parts import (
        load_split as load_split,
    )
    from pdfed_sdk.node.picture_parts import (
        make_evaluator as make_evaluator,
    )
    from pdfed_sdk.node.picture_parts import (
        make_trainer as make_trainer,
    )

_HOMES = {
    "pdfed_sdk.node.picture_parts": (
        "PictureEvaluator",
        "PictureTrainer",
        "load_split",
        "make_evaluator",
        "make_trainer",
    ),
}
__all__ = [
    "PictureEvaluator",
    "PictureTrainer",
    "load_split",
    "make_evaluator",
    "make_trainer",
]

__getattr__, __dir__ = exports(__name__, _HOMES)
