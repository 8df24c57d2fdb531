"""What a node's own folder tells its owner: its votes' reasons, whose models copy its pictures, its attempts, its disk.

Private: it is shown only to who has the watcher's token, and nothing of it goes into a report. Read only.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pdfed_sdk.chain.reads import address
from pdfed_sdk.config import load_config
from pdfed_sdk.errors import ConfigError
from pdfed_sdk.types import Address
from pdfed_sdk.watch.text import clean

NEWEST: Final = 50
MOST_BYTES: Final = 4 << 20
"""Notes that are shown, and the size of one that is read."""
PARTS: Final = ("fid", "novelty", "novelty_floor", "objective")


@dataclass(frozen=True, slots=True)
class Home:
    """A node's folder."""

    folder: Path
    address: Address

    @staticmethod
    def open(folder: Path) -> Home:
        """ConfigError if it is no home, or its keystore names no address."""
        keystore = folder / load_config(folder / "pdfed.toml").chain.keystore
        try:
            found = json.loads(keystore.read_text(encoding="utf-8"))["address"]
            return Home(folder, address("0x" + str(found).removeprefix("0x")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{keystore} names no address: {error}", hint="point --home at a node's folder"
            ) from error

    def read(self) -> dict[str, Any]:
        """Evaluations, attempts and disk, as they are now."""
        usage = shutil.disk_usage(self.folder)
        return {
            "evaluations": self._evaluations(),
            "attempts": self._attempts(),
            "disk": {"free": usage.free, "total": usage.total},
        }

    def _evaluations(self) -> list[dict[str, Any]]:
        paths = sorted((self.folder / "evaluations").glob("*.json"), key=lambda path: -_number(path.stem))
        notes = [(path, _note(path)) for path in paths[:NEWEST]]
        return [_evaluation(_number(path.stem), note) for path, note in notes if note is not None]

    def _attempts(self) -> list[dict[str, Any]]:
        paths = sorted((self.folder / "attempts").glob("*/attempt.json"), key=lambda path: -_number(path.parent.name))
        notes = [(path, _note(path)) for path in paths[:NEWEST]]
        return [
            {
                "number": _number(path.parent.name),
                "stage": clean(note.get("stage", ""), 40),
                "pictures": note.get("pictures"),
                "improvement": note.get("improvement"),
            }
            for path, note in notes
            if note is not None
        ]


def _evaluation(number: int, note: dict[str, Any]) -> dict[str, Any]:
    """One evaluation: the vote, the parts of the objective, and how surely which own pictures were found again."""
    candidate = note.get("candidate") or {}
    pairs = [json.loads(bytes.fromhex(pair)) for pair in note.get("pairs", ())]
    return {
        "id": number,
        "improvement": note.get("improvement"),
        "parts": {part: candidate.get(part) for part in PARTS},
        "pairs": [
            {"sample": int(p["sample"]), "train": int(p["train"]), "score": float(p["score"])} for p in pairs[:NEWEST]
        ],
        "copies": len(pairs),
    }


def _note(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    except (OSError, ValueError):
        return None


def _number(stem: str) -> int:
    return int(stem) if stem.isdigit() else -1
