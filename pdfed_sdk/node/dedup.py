"""The dedup list of a node: how often each of its training pictures was copied, over all models it has scored (paper,
section 5). Private, on disk, kept by evaluation, so that any of them can be taken back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pdfed_sdk.errors import ConfigError
from pdfed_sdk.files import write_durably
from pdfed_sdk.node.withdrawing import NO_LIST, InForce

DEFAULT_SHARE = 0.05
"""At most this share of the training pictures is left out."""


class DedupList:
    """Counts by the name of the evaluation they come from. ``share`` 0 leaves no picture out for being copied.
    Pictures whose owner withdrew consent are always left out and do not count towards the share; ``list_digest`` is the
    digest, in hex, of their list."""

    def __init__(self, path: Path, share: float = DEFAULT_SHARE, withdrawal: InForce = NO_LIST) -> None:
        if not 0 <= share <= 1:
            raise ConfigError(f"[training] dedup is {share}, not within 0 … 1", hint="0 leaves no picture out")
        self._path, self._share = path, share
        self.withdrawn, self.list_digest = frozenset(withdrawal.places), withdrawal.digest

    def keep(self, evaluation: str, counts: Sequence[int]) -> None:
        """Remember the copies of one evaluation, instead of what it had before; none at all is not written."""
        found = {str(index): count for index, count in enumerate(counts) if count}
        kept = self._read()
        if found or evaluation in kept["evaluations"]:
            kept["evaluations"][evaluation] = found
            kept["pictures"] = len(counts)
            write_durably(self._path, json.dumps(kept, sort_keys=True).encode())

    def forget(self, evaluation: str) -> None:
        """Take the counts of one evaluation back."""
        kept = self._read()
        if kept["evaluations"].pop(evaluation, None) is not None:
            write_durably(self._path, json.dumps(kept, sort_keys=True).encode())

    def excluded(self) -> list[int]:
        """Training pictures to leave out now: those withdrawn, and of the others the most copied, ties by index, at
        most the share of all."""
        kept = self._read()
        total: Counter[int] = Counter()
        for counts in kept["evaluations"].values():
            total.update({int(index): count for index, count in counts.items()})
        ranked = sorted(set(total) - self.withdrawn, key=lambda index: (-total[index], index))
        return sorted({*ranked[: int(self._share * kept["pictures"])], *self.withdrawn})

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {"evaluations": {}, "pictures": 0}
