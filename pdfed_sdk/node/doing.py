"""What a node does now, as one small file in its home, for whoever shows it: ``now.json``. It steers nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pdfed_sdk.files import write_durably

ALIVE_EVERY: Final = 5.0
"""Seconds between two signs of life: the file's time of change."""
STILL: Final = 60.0
"""Seconds without a sign of life after which a node is taken for stopped, or stuck."""


class Doing:
    """Written when it changes. What cannot be written is left out."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._stack: list[tuple[str, int]] = []
        self._told_at = 0.0

    @property
    def now(self) -> tuple[str, int]:
        """What is done, and on which submission or attempt (0: none)."""
        return self._stack[-1] if self._stack else ("waiting", 0)

    @contextmanager
    def during(self, what: str, number: int = 0) -> Iterator[None]:
        """It does this for as long as the block lasts, and afterwards again what it did before."""
        self._stack.append((what, number))
        self._tell(*self.now)
        try:
            yield
        finally:
            self._stack.pop()
            self._tell(*self.now)

    def alive(self) -> None:
        """A sign of life, at most every few seconds."""
        if self._path is None or time.monotonic() - self._told_at < ALIVE_EVERY:
            return
        if self._path.exists():
            with suppress(OSError):
                os.utime(self._path)
            self._told_at = time.monotonic()
        else:
            self._tell(*self.now)

    def stopped(self) -> None:
        self._tell("stopped", 0)

    def _tell(self, what: str, number: int) -> None:
        if self._path is None:
            return
        with suppress(OSError):
            write_durably(self._path, json.dumps({"doing": what, "number": number, "since": time.time()}).encode())
        self._told_at = time.monotonic()
