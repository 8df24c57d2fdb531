"""One file of what a node cannot make again: its wallet, the key that signs its manifests, its settings.

Both keys stay encrypted as they are. Votes need no backup: with the key they come back from the chain.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from pdfed_sdk.artifacts.store import storage_errors
from pdfed_sdk.errors import KeystoreError, UsageError
from pdfed_sdk.files import write_durably

NAMES = ("keystore.json", "identity.json", "pdfed.toml")
MOST_BYTES = 1 << 20


def back_up(home: Path, to: Path) -> list[str]:
    """Write the files of ``NAMES`` that ``home`` has into ``to``; returns their names.

    UsageError if there is no keystore, or ``to`` exists.
    """
    found = [name for name in NAMES if (home / name).is_file()]
    if NAMES[0] not in found:
        raise UsageError(f"{home} holds no {NAMES[0]}: there is nothing to back up", hint="name the node's folder")
    if to.exists():
        raise UsageError(f"{to} exists already", hint="choose another name; nothing was changed")
    packed = io.BytesIO()
    with storage_errors("reading the home", home), zipfile.ZipFile(packed, "w") as archive:
        for name in found:
            archive.writestr(name, (home / name).read_bytes())
    with storage_errors("writing the backup", to):
        write_durably(to, packed.getvalue())
    return found


def restore(backup: Path, home: Path, try_password: Callable[[Path], object]) -> list[str]:
    """Put the files of a backup into ``home``; returns their names.

    ``try_password`` gets a keystore and raises if its password is wrong; before that nothing is written. UsageError if
    one of the files is there; KeystoreError for what is no backup.
    """
    files = _read(backup)
    there = [name for name in files if (home / name).exists()]
    if there:
        raise UsageError(f"{home / there[0]} exists already", hint="choose another --home; nothing was changed")
    with tempfile.TemporaryDirectory() as scratch:
        keystore = Path(scratch) / NAMES[0]
        keystore.write_bytes(files[NAMES[0]])
        try:
            try_password(keystore)
        except KeystoreError as error:
            raise KeystoreError(error.message.replace(str(keystore), str(backup)), hint=error.hint) from error
    with storage_errors("restoring the home", home):
        for name, data in files.items():
            write_durably(home / name, data)
    return list(files)


def _read(backup: Path) -> dict[str, bytes]:
    hint = "name a file made by: pdfed keys backup"
    try:
        with zipfile.ZipFile(backup) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if not set(names) <= set(NAMES) or NAMES[0] not in names or len(names) != len(set(names)):
                raise KeystoreError(f"{backup} is no backup: it holds {', '.join(names)[:200]}", hint=hint)
            large = [entry.filename for entry in entries if entry.file_size > MOST_BYTES]
            if large:
                raise KeystoreError(f"{backup}: {large[0]} is larger than {MOST_BYTES} bytes", hint=hint)
            return {name: archive.read(name) for name in names}
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise KeystoreError(f"{backup} cannot be read: {error}", hint=hint) from error
