"""Bugs on purpose: a copy of the sources with one wrong line, to see that proofs and handlers notice."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
FORGE = Path("tests", "contracts", "forge")
COPY = ROOT / "build" / "planted"
PROOFS = FORGE / "test" / "proofs"


def plant(bug: dict[str, str], tests: Collection[str] | None = None) -> Path:
    """Forge project of a copy in which `find` of `file` is `replace`; what the copy built before is kept.

    Of the proofs the copy has only those of `tests`, if given: the fewer, the sooner it is compiled.
    """
    for folder in ("contracts", "interfaces", str(FORGE)):
        for source in (ROOT / folder).rglob("*"):
            target = COPY / source.relative_to(ROOT)
            if source.is_file() and not (target.exists() and target.read_bytes() == source.read_bytes()):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
    if not (COPY / "node_modules").exists():
        (COPY / "node_modules").symlink_to(ROOT / "node_modules")
    replace(**bug)
    if tests is not None:
        for test in (COPY / PROOFS).glob("*.t.sol"):
            if test.name not in tests:
                test.unlink()
    return COPY / FORGE


def replace(file: str, find: str, replace: str) -> None:
    source = COPY / file
    text = source.read_text()
    if text.count(find) != 1:
        raise SystemExit(f"{file} has {find!r} {text.count(find)} times, not once")
    source.write_text(text.replace(find, replace))
