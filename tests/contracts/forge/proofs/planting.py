"""Bugs on purpose: a copy of the sources with one wrong line, to see that proofs and handlers notice."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
FORGE = Path("tests", "contracts", "forge")
COPY = ROOT / "build" / "planted"


def plant(bug: dict[str, str]) -> Path:
    """Forge project of a copy in which `find` of `file` is `replace`; what the copy built before is kept."""
    for folder in ("contracts", "interfaces", str(FORGE)):
        for source in (ROOT / folder).rglob("*"):
            copy = COPY / source.relative_to(ROOT)
            if source.is_file() and not (copy.exists() and copy.read_bytes() == source.read_bytes()):
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)
    if not (COPY / "node_modules").exists():
        (COPY / "node_modules").symlink_to(ROOT / "node_modules")
    source = COPY / bug["file"]
    text = source.read_text()
    if text.count(bug["find"]) != 1:
        raise SystemExit(f"{bug['file']} has {bug['find']!r} {text.count(bug['find'])} times, not once")
    source.write_text(text.replace(bug["find"], bug["replace"]))
    return COPY / FORGE
