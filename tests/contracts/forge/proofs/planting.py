"""A copy of the sources with lines replaced: by bugs that tests must notice, or by what a proof assumes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
FORGE = Path("tests", "contracts", "forge")
COPY = ROOT / "build" / "planted"
PROOFS = FORGE / "test" / "proofs"


def plant(*edits: dict[str, str], copy: Path = COPY, tests: Collection[str] | None = None) -> Path:
    """Forge project of a copy in which `find` of `file` is `replace`, for each edit; what was built there is kept.

    Of the proofs the copy has only those of `tests`, if given: the fewer, the sooner it is compiled.
    """
    for folder in ("contracts", "interfaces", str(FORGE)):
        for source in (ROOT / folder).rglob("*"):
            target = copy / source.relative_to(ROOT)
            if source.is_file() and not (target.exists() and target.read_bytes() == source.read_bytes()):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
    if not (copy / "node_modules").exists():
        (copy / "node_modules").symlink_to(ROOT / "node_modules")
    for edit in edits:
        replace(copy, **edit)
    if tests is not None:
        for test in (copy / PROOFS).glob("*.t.sol"):
            if test.name not in tests:
                test.unlink()
    return copy / FORGE


def replace(copy: Path, file: str, find: str, replace: str) -> None:
    source = copy / file
    text = source.read_text()
    if text.count(find) != 1:
        raise SystemExit(f"{file} has {find!r} {text.count(find)} times, not once")
    text = text.replace(find, replace)
    assumed = f'import {{Assumed}} from "{os.path.relpath(PROOFS / "Assumed.sol", Path(file).parent)}";\n'
    if "Assumed." in replace and assumed not in text:
        text += assumed
    source.write_text(text)
