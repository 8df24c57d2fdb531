"""What a training run leaves for its owner to look at: the loss over the pictures shown, and samples as they come.

Private, in the folder of the attempt: ``curve.jsonl`` and ``samples/N.png``, N pictures into the run.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from pdfed_sdk.errors import PdfedError
from pdfed_sdk.files import write_durably
from pdfed_sdk.ml.diffusion.training import Progress
from pdfed_sdk.ml.strip import png_strip

POINTS: Final = 200
"""Points of the curve of one run."""
STRIPS: Final = 6
"""Newest strips of samples that are kept."""
SAMPLES: Final = 6
STEPS: Final = 15
SEED: Final = bytes(range(32))
"""Samples of a strip, denoising steps of each, and the seed from which all are drawn: strips can be compared."""
LEAST_PAUSE: Final = 5.0
SHARE: Final = 50
"""Seconds from one strip to the next: so many at least, and so many times what drawing took."""


class Curve:
    """Written while a run goes on; a run that goes on from a snapshot writes on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = 0
        self._draw_at = time.monotonic() + LEAST_PAUSE

    def add(self, progress: Progress) -> None:
        """After a step. What cannot be drawn or written is left out: nothing here may stop a run."""
        with suppress(PdfedError, OSError):
            if progress.pictures >= self._next or progress.pictures >= progress.total:
                self._next = progress.pictures + max(1, progress.total // POINTS)
                point = {"pictures": progress.pictures, "total": progress.total, "loss": round(progress.loss, 6)}
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                with (self._folder / "curve.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(point) + "\n")
            if time.monotonic() >= self._draw_at and progress.averaged is not None:
                self._draw(progress)

    def _draw(self, progress: Progress) -> None:
        assert progress.averaged is not None
        started = time.monotonic()
        model = progress.averaged()
        images, _ = model.family.sample(model, SAMPLES, SEED, steps=STEPS)
        place = self._folder / "samples"
        write_durably(place / f"{progress.pictures}.png", png_strip(images))
        kept = sorted(place.glob("*.png"), key=lambda path: int(path.stem))
        for path in kept[:-STRIPS]:
            path.unlink()
        spent = time.monotonic() - started
        self._draw_at = time.monotonic() + max(LEAST_PAUSE, SHARE * spent)
