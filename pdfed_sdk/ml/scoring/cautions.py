"""When a score's figures mean little: sets that are too small or too uniform for what is asked of them, in words."""

from __future__ import annotations

import hashlib
import math

from torch import Tensor

from pdfed_sdk.ml.data import NodeSplit
from pdfed_sdk.ml.scoring.reports import ScoringSettings


def cautions(split: NodeSplit, settings: ScoringSettings, generated: Tensor | None = None) -> list[str]:
    """Sentences for people, none where the sets are large enough. ``generated`` (n, C, S, S) was scored."""
    found = list[str]()
    count, unseen = len(split.train), len(split.test) + len(split.heldout)
    if count < settings.samples:
        found.append(
            f"there are {count} of your pictures against {settings.samples} samples: each counts once, so at most "
            f"{count / settings.samples:.0%} of the samples can be told as copies"
        )
    for name, part in (("test", split.test), ("held-out", split.heldout)):
        if len(part) < settings.samples:
            found.append(
                f"the {name} part has {len(part)} pictures, fewer than the {settings.samples} samples: FID and its "
                "floor are measured on different counts, and FID rises as counts fall"
            )
    least = math.ceil(3 / settings.fpr)
    if unseen < least:
        found.append(
            f"the verifier is calibrated on {unseen} pictures: {least} are needed to tell whether it confirms fewer "
            f"than {settings.fpr:.1%} of unseen ones wrongly"
        )
    sets = {"your": split.train.images} | ({} if generated is None else {"the generated": generated})
    for name, images in sets.items():
        distinct = _distinct(images)
        if distinct <= len(images) // 2:
            found.append(
                f"only {distinct} of {name} {len(images)} pictures are distinct: measures of spread mean little"
            )
    return found


def _distinct(images: Tensor) -> int:
    return len({hashlib.sha256(one.numpy().tobytes()).digest() for one in images})
