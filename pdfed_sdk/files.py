"""Files that survive a power cut, no more of a stranger's file than is allowed, and amounts of bytes."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Final

from pdfed_sdk.errors import ConfigError, UsageError

UNITS: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file atomically; it and its name are on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_bounded(path: Path, most: int, what: str) -> bytes:
    """A file's bytes. ConfigError if it cannot be read or has more than ``most``; ``what`` it should be is named."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=f"name {what}") from error
    if len(data) > most:
        raise ConfigError(f"{path} is longer than {most:,} bytes", hint=f"name {what}")
    return data


def in_bytes(text: str) -> int:
    """``20GB`` in bytes. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?) ?([KMGT]?B)?", text.strip().upper())
    if not found:
        raise UsageError(f'"{text}" is no amount of bytes', hint="as in 500MB or 20GB")
    return int(float(found[1]) * UNITS[found[2] or ""])
