"""The protocols of a node's parts under this module's former name; they live in `parts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdfed_sdk.lazy import exports

if TYPE_CHECKING:
    from pdfed_sdk.node.parts import (
        Evaluation as Evaluation,
    )
    from pdfed_sdk.node.parts import (
        Evaluator as Evaluator,
    )
    from pdfed_sdk.node.parts import (
        StepHook as StepHook,
    )
    from pdfed_sdk.node.parts import (
        Trainer as Trainer,
    )

_HOMES = {"pdfed_sdk.node.parts": ("Evaluation", "Evaluator", "StepHook", "Trainer")}
__all__ = ["Evaluation", "Evaluator", "StepHook", "Trainer"]

__getattr__, __dir__ = exports(__name__, _HOMES)
