"""Options that may also come from a file, or be asked for on a terminal."""

from __future__ import annotations

import difflib
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import typer

from pdfed_sdk.errors import UsageError

T = TypeVar("T", str, int)


class Answers:
    """What the command line says, else the file, else whoever sits at the terminal, else the default.

    ``known`` are the names that a file may hold. Nothing is asked if ``asking`` is false or there is no terminal.
    Raises UsageError for a file that cannot be read or holds another name.
    """

    def __init__(self, file: Path | None, known: Iterable[str], *, asking: bool) -> None:
        self._file, self._held = file, _read(file, sorted(known))
        self._asking = asking and sys.stdin.isatty()

    def of(self, name: str, given: T | None, question: str, default: T) -> T:
        """An answer of the default's type; asked for as ``question``. An empty text is an answer too."""
        if given is not None:
            return given
        if name in self._held:
            return self._kept(name, default)
        if not self._asking:
            return default
        answer: T = typer.prompt(question, default=default, type=type(default), err=True)
        return answer

    def required(self, name: str, given: Any, question: str) -> str:
        """The same for what has no default. UsageError names the option where nobody can be asked."""
        if given is not None:
            return str(given)
        if name in self._held:
            return self._kept(name, "")
        if not self._asking:
            raise UsageError(f"--{name} is missing", hint=f"give --{name}, or {name} = … in a file named by --answers")
        return str(typer.prompt(question, err=True))

    def _kept(self, name: str, default: T) -> T:
        value = self._held[name]
        if type(value) is not type(default):
            kind = "text" if isinstance(default, str) else "a whole number"
            raise UsageError(f"{self._file}: {name} is {value!r}, not {kind}", hint="correct it")
        kept: T = value
        return kept


def _read(file: Path | None, known: list[str]) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        held = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}", hint='write TOML, e.g. title = "…"') from error
    for name in held:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(known)}"
            raise UsageError(f'{file}: unknown answer "{name}"', hint=hint)
    return held
