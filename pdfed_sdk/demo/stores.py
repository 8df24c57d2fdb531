"""Where the demo's nodes keep models: each a Kubo node of its own, where the library loads; else one shared folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pdfed_sdk.artifacts.cid import Cid
from pdfed_sdk.artifacts.ipfs import IpfsOptions, IpfsStore, library
from pdfed_sdk.artifacts.store import MAX_BYTES, LocalStore, Store
from pdfed_sdk.errors import ContentMissing, PdfedError

WAIT = 5.0
"""Seconds a node waits for content before it looks at the chain again."""


@dataclass(frozen=True)
class DemoStores:
    """``uris`` by home's name, as pdfed.toml takes them; ``sponsor`` serves genesis and card while the demo plays."""

    kind: str
    uris: Mapping[str, str]
    sponsor: Store
    homes: Sequence[Path]

    def close(self) -> None:
        if isinstance(self.sponsor, IpfsStore):
            self.sponsor.close()

    @cached_property
    def everything(self) -> Store:
        """What all homes hold together, once their nodes have left: for the audit."""
        return Together([self.sponsor, *(IpfsStore(home) for home in self.homes)])


def prepare_stores(folder: Path, homes: Mapping[str, Path], say: Callable[[str], None]) -> DemoStores:
    """Stores for the sponsor (in ``folder/sponsor``) and every home; each node knows the addresses of all others."""
    try:
        return _embedded(folder, homes, say)
    except PdfedError as error:
        say(f"no IPFS here ({error.message}): all nodes share one folder")
        return DemoStores("local", dict.fromkeys(homes, f"local:{folder / 'store'}"), LocalStore(folder / "store"), ())


def _embedded(folder: Path, homes: Mapping[str, Path], say: Callable[[str], None]) -> DemoStores:
    repos = {"sponsor": folder / "sponsor" / "ipfs", **{name: home / "ipfs" for name, home in homes.items()}}
    addresses = {}
    for name, repo in repos.items():
        store = IpfsStore(repo)
        store.start()
        addresses[name] = store.address
        store.close()
    others = {name: tuple(a for other, a in addresses.items() if other != name) for name in repos}
    uris = {name: f"ipfs:ipfs?timeout={WAIT:g}" + "".join(f"&peer={a}" for a in others[name]) for name in homes}
    sponsor = IpfsStore(repos["sponsor"], IpfsOptions(peers=others["sponsor"], timeout=WAIT))
    sponsor.start()
    say(f"{len(repos)} embedded IPFS nodes on loopback, {library()}")
    return DemoStores("ipfs", uris, sponsor, [repos[name] for name in homes])


class Together:
    """Reads what any of several stores holds; the audit's view of a demo whose nodes have left."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = stores

    def _holder(self, cid: Cid) -> Store:
        for store in self._stores:
            if store.has(cid):
                return store
        raise ContentMissing(f"none of {len(self._stores)} stores holds {cid}")

    def put(self, source: bytes | Path) -> Cid:
        return self._stores[0].put(source)

    def get(self, cid: Cid, max_bytes: int = MAX_BYTES) -> bytes:
        return self._holder(cid).get(cid, max_bytes)

    def fetch(self, cid: Cid, into: Path, max_bytes: int = MAX_BYTES) -> Path:
        return self._holder(cid).fetch(cid, into, max_bytes)

    def has(self, cid: Cid) -> bool:
        return any(store.has(cid) for store in self._stores)

    def pin(self, cid: Cid) -> None:
        self._holder(cid).pin(cid)

    def unpin(self, cid: Cid) -> None:
        self._holder(cid).unpin(cid)
