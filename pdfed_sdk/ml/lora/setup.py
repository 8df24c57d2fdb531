"""What all adapters of a task have in common, frozen by its card and repeated in every package. Needs no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from pdfed_sdk.errors import DataError, MlError
from pdfed_sdk.ml.captions import check_caption, check_template

TARGETS: Final = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")
"""Linear layers of a UNet2DConditionModel that an adapter may change: those of attention and of the feed-forward."""
MOST_PROMPTS: Final = 256
MOST_RANK: Final = 128
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class AdapterSetup:
    """A flat JSON object.

    base: digest of the base pipeline in hex (`base_digest`). rank, targets: of the adapters; their scale is 1.
    resolution: pixels a side. prompts: what is drawn when a model is scored; prompt i is of class i mod ``classes``, so
    that samples are spread evenly. guidance: weight of classifier-free guidance (1: none). template: the caption of a
    picture that has none of its own. The number of steps and the solver are settings of scoring. Errors: MlError."""

    base: str
    rank: int = 8
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    resolution: int = 64
    prompts: tuple[str, ...] = ("",)
    classes: int = 0
    guidance: float = 3.0
    template: str = "a picture of {}"

    def __post_init__(self) -> None:
        numbers = (self.rank, self.resolution, self.classes)
        if any(type(number) is not int for number in numbers) or type(self.guidance) not in (int, float):
            raise MlError(f"rank, resolution, classes {numbers} and guidance {self.guidance!r} must be numbers")
        if not isinstance(self.base, str) or not _DIGEST.fullmatch(self.base):
            raise MlError(f"base is {self.base!r:.80}, expected a sha-256 in hex", hint="base_digest(folder) gives it")
        if not 1 <= self.rank <= MOST_RANK:
            raise MlError(f"rank is {self.rank}, limits 1 and {MOST_RANK}")
        if not self.targets or len(set(self.targets)) != len(self.targets) or set(self.targets) - set(TARGETS):
            raise MlError(f"targets is {self.targets!r:.200}, expected some of {', '.join(TARGETS)}, each once")
        if not 16 <= self.resolution <= 1_024 or self.resolution % 8:
            raise MlError(f"resolution is {self.resolution}, expected a multiple of 8 from 16 to 1024")
        if not 1.0 <= self.guidance <= 30.0:
            raise MlError(f"guidance is {self.guidance}, limits 1 and 30")
        if not 1 <= len(self.prompts) <= MOST_PROMPTS or not 0 <= self.classes <= len(self.prompts):
            raise MlError(
                f"there are {len(self.prompts)} prompts for {self.classes} classes, limits 1 and {MOST_PROMPTS}, and "
                "at least one a class"
            )
        if self.classes and len(self.prompts) % self.classes:
            raise MlError(
                f"{len(self.prompts)} prompts cannot be spread evenly over {self.classes} classes",
                hint="write equally many for each class, in turn",
            )
        try:
            for number, prompt in enumerate(self.prompts):
                check_caption(prompt, f"prompt {number}")
            check_template(self.template)
        except DataError as error:
            raise MlError(error.message, hint=error.hint) from error

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, flat."""
        return {**asdict(self), "targets": list(self.targets), "prompts": list(self.prompts)}

    def to_json(self) -> str:
        """JSON of all fields, keys sorted."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> AdapterSetup:
        """Inverse of `to_dict`. MlError: unknown or missing keys, values that cannot be."""
        known = {field.name for field in fields(AdapterSetup)}
        if odd := sorted(set(values).symmetric_difference(known)):
            raise MlError(f"an adapter's setup has another set of keys than {', '.join(sorted(known))}: {odd[0]!r}")
        lists = {name: values[name] for name in ("targets", "prompts")}
        for name, value in lists.items():
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise MlError(f"{name} is {value!r:.80}, expected a list of words")
        return AdapterSetup(**{**values, **{name: tuple(value) for name, value in lists.items()}})
