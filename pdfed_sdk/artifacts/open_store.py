"""Stores by address: one line for the node's configuration and for every command alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pdfed_sdk.artifacts.kubo import KuboStore
from pdfed_sdk.artifacts.store import LocalStore, Store
from pdfed_sdk.errors import UsageError

SCHEMES: Final[dict[str, Callable[[str, Path], Store]]] = {
    "local": lambda rest, base: LocalStore(base / Path(rest).expanduser()),
    "kubo": lambda rest, _: KuboStore(rest),
}
"""What stands before the colon, and how the rest is opened; relative folders lie in ``base``."""

FORMS: Final = "local:DIR, kubo:http://HOST:PORT"


def open_store(uri: str, base: Path | None = None) -> Store:
    """The store at ``uri``: ``local:DIR`` (a bare path means the same) or ``kubo:http://HOST:PORT``.

    Relative folders lie in ``base``, by default the working folder. Raises UsageError for an unknown scheme, StoreError
    if a folder cannot be used.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon:
        scheme, rest = "local", uri
    if scheme not in SCHEMES or not rest:
        raise UsageError(f'the store "{uri}" cannot be opened', hint=f"write one of: {FORMS}")
    return SCHEMES[scheme](rest, base or Path.cwd())
