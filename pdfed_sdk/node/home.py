"""A node's home folder belongs to one process at a time, and to the versions that read its form."""

from __future__ import annotations

import os
from pathlib import Path

from pdfed_sdk.artifacts.store import storage_errors
from pdfed_sdk.errors import UsageError

FORM = "1"
"""Of what lies in a home; `version` in the home names it. Another form is never read as if it were this one."""


class HomeLock:
    """Held as long as the object lives; the system lets go of it whatever ends the process."""

    def __init__(self, home: Path) -> None:
        import fcntl

        with storage_errors("opening the home", home):
            self._file = (home / "node.lock").open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            owner = self._file.read(32).decode(errors="replace").strip() or "unknown"
            self._file.close()
            raise UsageError(
                f"process {owner} works in {home} already", hint="stop it, or give each node a home of its own"
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n".encode())
        self._file.flush()
        self._check_form(home / "version")

    def _check_form(self, path: Path) -> None:
        with storage_errors("opening the home", path):
            if not path.exists():
                path.write_text(f"{FORM}\n", encoding="utf-8")
            found = path.read_text(encoding="utf-8", errors="replace").strip()
        if found != FORM:
            self.release()
            raise UsageError(
                f'{path} says form "{found[:20]}", this version of the SDK reads form {FORM}',
                hint="let the version that made this home open its votes; keys and settings move by: pdfed keys backup",
            )

    def release(self) -> None:
        self._file.close()
