"""Semantic bugs to plant in the contracts, one at a time: tests/contracts/planted/<class>.toml.

A bug is one piece of one source replaced by another, and the sentence that says what goes wrong. The piece must stand
in the source exactly once: a bug whose place has changed or gone is stale, and no run counts it.
"""

from __future__ import annotations

import hashlib
import random
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compiler import ROOT

FOLDER = ROOT / "tests" / "contracts" / "planted"
CLASSES = ("time", "ledger", "authority", "arithmetic", "lineage", "batch", "signature", "lifecycle")


class StaleBug(ValueError):
    """A bug that cannot be planted in the sources as they are."""


@dataclass(frozen=True)
class Bug:
    """`find` in `file` becomes `replace`; `says` is what then goes wrong."""

    name: str
    kind: str  # one of CLASSES
    file: str
    find: str
    replace: str
    says: str

    @property
    def key(self) -> str:
        """Changes with what is planted, not with how it is described."""
        return hashlib.sha256("\0".join((self.file, self.find, self.replace)).encode()).hexdigest()[:12]

    def plant(self) -> str:
        """The source with the bug in it."""
        path = ROOT / self.file
        if not path.exists():
            raise StaleBug(f"{self._who}: {self.file} does not exist; name the file that has this code now")
        text = path.read_text()
        found = text.count(self.find)
        if found != 1:
            raise StaleBug(
                f"{self._who}: {self.file} has {self.find!r} {found} times, not once; "
                "write `find` after the source as it is now"
            )
        return text.replace(self.find, self.replace)

    @property
    def _who(self) -> str:
        return f"planted bug {self.name!r} in {self.kind}.toml"


def load(folder: Path = FOLDER) -> list[Bug]:
    """All bugs, by class and in the order of their files."""
    bugs = []
    for kind in CLASSES:
        path = folder / f"{kind}.toml"
        for entry in tomllib.loads(path.read_text())["bug"] if path.exists() else []:
            wrong = set(entry) ^ {"name", "file", "find", "replace", "says"}
            if wrong:
                raise StaleBug(f"planted bug {entry.get('name')!r} in {kind}.toml: missing or unknown {sorted(wrong)}")
            bugs.append(Bug(kind=kind, **entry))
    return bugs


def shuffled(bugs: Sequence[Bug], seed: int) -> list[Bug]:
    """In the order in which a run takes them: a run that is cut short has tried a part that the seed chose."""
    return random.Random(f"{seed} planted").sample(list(bugs), len(bugs))
