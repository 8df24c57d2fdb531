"""The join file of a task, ``task.pdfed``: all that a node needs to find it, in one small JSON file without secrets.

Nothing in it is believed: the chain's id, the task's code and the card's digest are checked against the chain.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pdfed_sdk.errors import ConfigError
from pdfed_sdk.files import read_bounded

VERSION = 1
MOST_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class JoinFile:
    """``task`` is the registry's address on chain ``chain_id`` at ``rpc``, made in block ``from_block``. ``store`` is
    where the sponsor publishes: for "ipfs:" the node keeps a repository of its own and connects to ``peers``."""

    rpc: str
    chain_id: int
    task: str
    from_block: int
    card: str
    store: str
    peers: tuple[str, ...] = ()
    title: str = ""

    def write(self, path: Path) -> Path:
        text = json.dumps({"pdfed": VERSION, **asdict(self)}, indent=1) + "\n"
        path.write_text(text, encoding="utf-8")
        return path

    @staticmethod
    def read(path: Path) -> JoinFile:
        """Raises ConfigError naming the file and what is wrong with it."""
        read = read_bounded(path, MOST_BYTES, "the sponsor's task.pdfed")
        try:
            data = json.loads(read)
            version = data.pop("pdfed")
            if version != VERSION:
                raise ValueError(f"it is of version {version}, this SDK reads version {VERSION}")
            wanted = {field.name: field.type for field in fields(JoinFile)}
            kinds = {"chain_id": int, "from_block": int, "peers": list}
            for name, value in data.items():
                if name not in wanted or type(value) is not kinds.get(name, str):
                    raise ValueError(f"{name} is {value!r:.80}")
            if not all(isinstance(peer, str) for peer in data.get("peers", [])):
                raise ValueError("peers are not texts")
            return JoinFile(**{**data, "peers": tuple(data.get("peers", ()))})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(f"{path} is no join file: {error}", hint="ask the sponsor for task.pdfed") from error

    def store_of_node(self) -> str:
        """The store's address for a node's pdfed.toml."""
        if self.store.startswith("ipfs:"):
            return "ipfs:ipfs" + "".join(f"{'&' if i else '?'}peer={peer}" for i, peer in enumerate(self.peers))
        return self.store
