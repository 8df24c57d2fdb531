"""What a node's own folder tells its owner: what it does now, its votes' reasons, whose models copy its pictures, its
training as it goes, its disk and GPU.

Private: it is shown only to who has the watcher's token, and nothing of it goes into a report. Read only.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final

from pdfed_sdk.chain.reads import address
from pdfed_sdk.config import load_config
from pdfed_sdk.errors import ConfigError
from pdfed_sdk.node.doing import STILL
from pdfed_sdk.types import Address
from pdfed_sdk.watch.text import clean

NEWEST: Final = 50
MOST_BYTES: Final = 4 << 20
"""Notes that are shown, and the size of one that is read."""
STRIPS: Final = 6
"""Newest strips of samples of the attempt that is shown."""
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
        """What it does, evaluations, attempts, the newest run, disk and GPU, as they are now."""
        usage = shutil.disk_usage(self.folder)
        return {
            "doing": self._doing(),
            "training": self._training(),
            "evaluations": self._evaluations(),
            "attempts": self._attempts(),
            "disk": {"free": usage.free, "total": usage.total},
            "gpus": gpus(),
        }

    def _doing(self) -> dict[str, Any] | None:
        """What the node does, since when, and for how long it has shown no sign of life; None if it never ran."""
        path = self.folder / "now.json"
        note = _note(path)
        try:
            if note is None:
                return None
            silent = max(0.0, time.time() - path.stat().st_mtime)
            return {
                "doing": clean(note["doing"], 40),
                "number": int(note["number"]),
                "since": float(note["since"]),
                "silent": silent,
                "still": silent > STILL and note["doing"] != "stopped",
            }
        except (OSError, LookupError, TypeError, ValueError, OverflowError):
            return None

    def _training(self) -> dict[str, Any] | None:
        """The newest attempt that has a curve: loss over pictures shown, and its samples as they came."""
        found = sorted((self.folder / "attempts").glob("*/curve.jsonl"), key=lambda path: _number(path.parent.name))
        if not found:
            return None
        points = _curve(found[-1])
        strips = sorted((found[-1].parent / "samples").glob("*.png"), key=lambda path: _number(path.stem))[-STRIPS:]
        return {
            "number": _number(found[-1].parent.name),
            "total": max((total for *_, total in points), default=0),
            "curve": [[pictures, loss] for pictures, loss, _ in points],
            "samples": [
                {"pictures": _number(path.stem), "picture": picture}
                for path in strips
                if (picture := _picture(path)) is not None
            ],
        }

    def _evaluations(self) -> list[dict[str, Any]]:
        paths = sorted((self.folder / "evaluations").glob("*.json"), key=lambda path: -_number(path.stem))
        notes = [(path, _note(path)) for path in paths[:NEWEST]]
        found = (_evaluation(_number(path.stem), note) for path, note in notes if note is not None)
        return [evaluation for evaluation in found if evaluation is not None]

    def _attempts(self) -> list[dict[str, Any]]:
        paths = sorted((self.folder / "attempts").glob("*/attempt.json"), key=lambda path: -_number(path.parent.name))
        notes = [(path, _note(path)) for path in paths[:NEWEST]]
        return [
            {
                "number": _number(path.parent.name),
                "stage": clean(note.get("stage", ""), 40),
                "pictures": _count(note.get("pictures")),
                "improvement": _count(note.get("improvement")),
            }
            for path, note in notes
            if note is not None
        ]


def _evaluation(number: int, note: dict[str, Any]) -> dict[str, Any] | None:
    """One evaluation: the vote, the parts of the objective, and how surely which own pictures were found again. None
    for a note that is damaged."""
    try:
        candidate = dict(note.get("candidate") or {})
        pairs = [json.loads(bytes.fromhex(pair)) for pair in note.get("pairs", ())]
        shown = sorted(pairs, key=lambda pair: -pair["score"])[:NEWEST]
        return {
            "id": number,
            "improvement": None if note.get("improvement") is None else int(note["improvement"]),
            "parts": {part: _figure(candidate.get(part)) for part in PARTS},
            "pairs": [
                {"sample": int(p["sample"]), "train": int(p["train"]), "score": float(p["score"])} for p in shown
            ],
            "copies": len(pairs),
        }
    except (ValueError, TypeError, LookupError, OverflowError, AttributeError):
        return None


def _figure(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and isfinite(value) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _note(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    except (OSError, ValueError):
        return None


def _curve(path: Path) -> list[tuple[int, float, int]]:
    """Pictures shown, loss, pictures of the whole run; in order, the last word where a run went on from a snapshot."""
    points: dict[int, tuple[float, int]] = {}
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file.read(MOST_BYTES).splitlines():
                with suppress(ValueError, LookupError, TypeError, OverflowError):
                    point = json.loads(line)
                    loss = float(point["loss"])
                    if isfinite(loss):
                        points[int(point["pictures"])] = loss, int(point["total"])
    except OSError:
        return []
    return [(at, *points[at]) for at in sorted(points)]


def _picture(path: Path) -> str | None:
    """A picture of the node's own as a data URL: it is private, so it has no address."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return None


def gpus() -> list[dict[str, Any]]:
    """What nvidia-smi says of this machine's GPUs (memory in bytes, use in percent); none where it is not there."""
    asked = "name,memory.used,memory.total,utilization.gpu"
    try:
        said = subprocess.run(
            ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=3,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    found = []
    for line in said.splitlines():
        name, *figures = (part.strip() for part in line.rsplit(",", 3))
        with suppress(ValueError):
            used, total, busy = (float(figure) for figure in figures)
            found.append(
                {"name": clean(name, 60), "used": int(used * 2**20), "total": int(total * 2**20), "busy": busy}
            )
    return found


def _number(stem: str) -> int:
    return int(stem) if stem.isdigit() else -1
