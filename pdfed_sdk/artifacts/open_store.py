"""Stores by address: one line for the node's configuration and for every command alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote

from pdfed_sdk.artifacts.ipfs import IpfsOptions, IpfsStore
from pdfed_sdk.artifacts.kubo import KuboStore
from pdfed_sdk.artifacts.objects import ObjectStore
from pdfed_sdk.artifacts.store import LocalStore, Store
from pdfed_sdk.errors import UsageError
from pdfed_sdk.files import in_bytes


def open_ipfs(rest: str, base: Path) -> IpfsStore:
    """``DIR?peer=…&peer=…&listen=…&swarm-key=FILE&routing=dht&quota=20GB&timeout=30``, all but DIR by choice."""
    folder, _, query = rest.partition("?")
    options = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query))
    known = {"peer", "listen", "swarm-key", "routing", "quota", "timeout"}
    if unknown := sorted(options.keys() - known):
        raise UsageError(f'an ipfs: store has no option "{unknown[0]}"', hint=f"known: {', '.join(sorted(known))}")
    last = {name: values[-1] for name, values in options.items()}
    key = last.get("swarm-key")
    return IpfsStore(
        base / Path(unquote(folder)).expanduser(),
        IpfsOptions(
            listen=last.get("listen", ""),
            peers=tuple(options.get("peer", ())),
            swarm_key=base / Path(key).expanduser() if key else None,
            routing=last.get("routing", "none"),
            quota=in_bytes(last.get("quota", "0")),
            timeout=float(last.get("timeout", "30")),
        ),
    )


SCHEMES: Final[dict[str, Callable[[str, Path], Store]]] = {
    "local": lambda rest, base: LocalStore(base / Path(rest).expanduser()),
    "ipfs": open_ipfs,
    "kubo": lambda rest, _: KuboStore(rest),
    "s3": lambda rest, _: ObjectStore(f"s3:{rest}"),
    "gs": lambda rest, _: ObjectStore(f"gs:{rest}"),
    "http": lambda rest, _: ObjectStore(f"http:{rest}"),
    "https": lambda rest, _: ObjectStore(f"https:{rest}"),
}
"""What stands before the colon, and how the rest is opened; relative folders lie in ``base``."""

FORMS: Final = (
    "local:DIR, ipfs:DIR?peer=/ip4/HOST/tcp/PORT/p2p/ID, kubo:http://HOST:PORT, s3://BUCKET/PREFIX, "
    "gs://BUCKET/PREFIX, https://HOST/PREFIX"
)


def open_store(uri: str, base: Path | None = None) -> Store:
    """The store at ``uri``: ``local:DIR`` (a bare path means the same), ``ipfs:DIR?OPTIONS`` (a Kubo node in a process
    of its own, see `open_ipfs`), ``kubo:http://HOST:PORT``, or the address of an object store.

    Relative folders lie in ``base``, by default the working folder. Raises UsageError for an unknown scheme or option,
    StoreError if a folder cannot be used, EnvironmentProblem without the library that a scheme needs.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon:
        scheme, rest = "local", uri
    if scheme not in SCHEMES or not rest:
        raise UsageError(f'the store "{uri}" cannot be opened', hint=f"write one of: {FORMS}")
    try:
        return SCHEMES[scheme](rest, base or Path.cwd())
    except ValueError as error:
        raise UsageError(f'the store "{uri}" cannot be opened: {error}', hint=f"write one of: {FORMS}") from error
