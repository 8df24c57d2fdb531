"""The first model of a task, from which everything descends: barely trained on public pictures, or the model of an
earlier task, carried over."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.package import open_package
from pdfed_sdk.artifacts.provenance import BuiltPackage, ParentLink, build_package
from pdfed_sdk.family import Shape
from pdfed_sdk.ml.data import PictureSet, partition
from pdfed_sdk.ml.diffusion.model import ModelConfig
from pdfed_sdk.ml.diffusion.training import Progress, TrainConfig, train
from pdfed_sdk.ml.lora.setup import AdapterSetup
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.node.model_card import write_card
from pdfed_sdk.types import BPS, Address

ADAPTER_LR, ADAPTER_DROPOUT = 3e-4, 0.1
"""Learning rate and share of captions left out, for adapters: the rate of pixel models would undo their base, and
guidance needs the dropout."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """The package of a first model, the shape of the model in it, and the names of its classes in order."""

    package: BuiltPackage
    shape: Shape
    classes: tuple[str, ...]


def make_genesis(
    folder: Path,
    *,
    data: str,
    size: int,
    pictures: int,
    identity: SigningIdentity,
    wallet: Address,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _text: None,
) -> Genesis:
    """Train on the public part of ``data`` and save ``folder/model`` and the signed ``folder/package.zip``."""
    public, _ = partition(load_pictures(data, size=size))
    model = ModelConfig(size=size)
    return genesis_of(
        folder, public, model=model, pictures=pictures, identity=identity, wallet=wallet, seed=seed, tell=tell
    )


def genesis_of(
    folder: Path,
    public: PictureSet,
    *,
    model: ModelConfig | AdapterSetup,
    pictures: int,
    identity: SigningIdentity,
    wallet: Address,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _text: None,
) -> Genesis:
    """The same from pictures that are all public; size, channels and classes of a ``model`` of pixels follow them, an
    adapter keeps its setup. ``tell`` hears how far training is and how long it will take."""
    told = time.monotonic()

    def progress(now: Progress) -> None:
        nonlocal told
        if time.monotonic() - told >= 5.0:
            told = time.monotonic()
            left = now.seconds / max(now.pictures, 1) * (now.total - now.pictures)
            tell(f"genesis: {now.pictures} of {now.total} pictures, about {left:.0f} s left")

    config = TrainConfig(pictures=pictures, seed=seed)
    if isinstance(model, AdapterSetup):
        from pdfed_sdk.ml.lora.adapter import new_adapter

        config = dataclasses.replace(config, lr=ADAPTER_LR, label_dropout=ADAPTER_DROPOUT)
        result = train(config, public, parent=new_adapter(model, seed), on_step=progress)
    else:
        shape = dataclasses.replace(model, size=public.size, channels=public.channels, classes=len(public.classes))
        result = train(config, public, model=shape, on_step=progress)
    family = result.model.family
    family.save(result.model, folder / "model")
    write_card(folder / "model", family=family, title="genesis", wallet=wallet, facts=result.facts.to_dict())
    built = build_package(
        folder / "model",
        folder / "package.zip",
        identity=identity,
        wallet=wallet,
        training=result.facts.to_dict(),
        title="genesis",
    )
    return Genesis(built, result.model.config, public.classes)


@dataclass(frozen=True, slots=True)
class Origin:
    """A model of an earlier task: the chain, the registry of the task, and the model's number there."""

    chain_id: int
    task: Address
    id: int


def carry_over(
    folder: Path, package: Path, origin: Origin, *, identity: SigningIdentity, wallet: Address
) -> BuiltPackage:
    """The files of a model of an earlier task under a manifest of the sponsor, which nests the model's own as an
    ingredient and names ``origin``: ``folder/model`` and the signed ``folder/package.zip``. The weights, and so their
    digest, stay. Raises PackageInvalid or ProvenanceInvalid for a package that does not verify."""
    open_package(package, folder / "model")
    return build_package(
        folder / "model",
        folder / "package.zip",
        identity=identity,
        wallet=wallet,
        training={"carried_over_from": dataclasses.asdict(origin)},
        parents=[ParentLink(origin.id, BPS, package)],
        title="genesis",
    )
