"""A node's own list of withdrawn pictures: made from picture files, kept in its home, honoured at every start."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pdfed_sdk.chain.signers import Signer
from pdfed_sdk.config import NodeConfig
from pdfed_sdk.errors import ConfigError, DataError, UsageError
from pdfed_sdk.ml.data import NodeSplit, PictureSet
from pdfed_sdk.ml.folders import PICTURE_SUFFIXES, decode, reason_of
from pdfed_sdk.node.withdrawal import Withdrawal
from pdfed_sdk.types import Address

log = logging.getLogger("pdfed.node")

LIST: Final = "withdrawn.json"
"""Where a home keeps its list, unless pdfed.toml names another file."""


@dataclass(frozen=True, slots=True)
class InForce:
    """What a list means to a node: ``places`` of withdrawn pictures in its training part, and the list's ``digest`` in
    hex ("": there is no list)."""

    places: tuple[int, ...] = ()
    digest: str = ""


NO_LIST: Final = InForce()


def list_file(home: Path, config: NodeConfig) -> Path | None:
    """The list that a node honours: the one that its settings name, or that of its home if there is one."""
    if config.training.withdrawn:
        return home / config.training.withdrawn
    return home / LIST if (home / LIST).exists() else None


def in_force(split: NodeSplit, home: Path, config: NodeConfig) -> InForce:
    """Read the node's list. ConfigError: no readable list, a list for another task, or training on a chosen few."""
    path = list_file(home, config)
    if path is None:
        return NO_LIST
    found = Withdrawal.read(path)
    if found.task.lower() != config.chain.task.lower():
        raise ConfigError(
            f"{path} withdraws pictures from the task {found.task}, this node's is {config.chain.task}",
            hint="leaves depend on the task's size and class names: sign a list for this task",
        )
    if config.training.only:
        raise ConfigError(
            f"[training] only is set, and {path} withdraws pictures; only leaves no picture out",
            hint="train on all pictures but the withdrawn ones: remove only",
        )
    places = found.places(split.train.leaves())
    here = len(places) + sum(len(found.places(part.leaves())) for part in (split.test, split.heldout))
    log.info("%d of %d training pictures are withdrawn and left out", len(places), len(split.train))
    if here < len(found.leaves):
        log.warning("%d of the %d withdrawn pictures are not here", len(found.leaves) - here, len(found.leaves))
    return InForce(tuple(places), found.digest().hex())


def leaves_of(files: Iterable[Path], split: NodeSplit, fit: str) -> list[bytes]:
    """Leaves of all pictures of a node that look as these files do once they are read for the task: repeated pictures
    are withdrawn together. A folder stands for the picture files in it. UsageError names a file that shows none."""
    known: dict[bytes, list[bytes]] = {}
    for part in (split.train, split.test, split.heldout):
        for picture, leaf in zip(part.images, part.leaves(), strict=True):
            known.setdefault(picture.numpy().tobytes(), []).append(leaf)
    found: list[bytes] = []
    for file in _files(files):
        try:
            pixels = decode(file, split.train.size, split.train.channels, fit)
        except (OSError, ValueError, DataError) as error:
            raise UsageError(f"{file} is no picture: {reason_of(error, file.parent)}", hint="name its file") from error
        own = known.get(pixels[0].numpy().tobytes())
        if own is None:
            raise UsageError(f"{file} shows none of this node's pictures", hint="name files of its data; none was sent")
        found += own
    return found


def _files(named: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in named:
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES)
        if not path.exists() or (path.is_dir() and not inside):
            raise UsageError(f"{path} holds no picture file", hint="name files of the node's data; none was sent")
        found += inside if path.is_dir() else [path]
    return found


def extended(home: Path, signer: Signer, chain_id: int, task: Address, leaves: Sequence[bytes]) -> Withdrawal:
    """The home's list with ``leaves`` too, signed anew; nothing is written. What was withdrawn stays so. ConfigError:
    the list that is there is another's, or for another task."""
    before: tuple[bytes, ...] = ()
    if (home / LIST).exists():
        old = Withdrawal.read(home / LIST)
        if (old.owner.lower(), old.task.lower()) != (signer.address.lower(), task.lower()):
            raise ConfigError(
                f"{home / LIST} is a list of {old.owner} for the task {old.task}", hint="keep it elsewhere, and name it"
            )
        before = old.leaves
    return Withdrawal.signed(signer, chain_id, task, [*before, *leaves])


def data_root(pictures: PictureSet) -> str:
    """The root, in hex, by which manifests name a training set."""
    return pictures.digest().hex()
