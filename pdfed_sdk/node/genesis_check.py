"""Whether nodes can begin with a genesis: who signed it, whether it loads, and whether the card is about such models.

A task that was made with another genesis is funded and useless: nobody can train from it, and nothing can change it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pdfed_sdk.artifacts.package import open_package
from pdfed_sdk.artifacts.provenance import Expected, verify_package
from pdfed_sdk.errors import ConfigError, UsageError
from pdfed_sdk.family import load_model
from pdfed_sdk.node.task_card import TaskCard
from pdfed_sdk.types import Address, ModelDigests

PACKAGE = "package.zip"
"""What ``pdfed model init`` and ``pdfed task init`` call the package that lies beside the digests."""


def check_genesis(package: Path, digests: ModelDigests, sponsor: Address, card: TaskCard) -> None:
    """Raises UsageError for a missing package; DigestMismatch, PackageInvalid or ProvenanceInvalid for one that is not
    the one of ``digests`` signed by ``sponsor``; MlError for a network that does not load; ConfigError for a card about
    other models."""
    if not package.is_file():
        raise UsageError(
            f"the genesis package {package} is not there: who signed it and whether it loads cannot be checked",
            hint="name it (--package FILE); make one with: pdfed model init",
        )
    verify_package(package, Expected(author=sponsor, digests=digests, first=True))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        open_package(package, folder)
        model = load_model(folder)
    shape, scoring = model.config, card.scoring
    found = (model.family.name, shape.size, shape.channels)
    if found != (card.family, scoring.size, scoring.channels):
        raise ConfigError(
            f"the genesis is {found[0]} of {found[1]} pixels and {found[2]} channels, the card says {card.family} of "
            f"{scoring.size} and {scoring.channels}",
            hint="use the card that was made with this genesis",
        )
    if card.adapter is not None and card.adapter.to_json() != shape.to_json():
        raise ConfigError(
            "the genesis has another setup than the adapter of the card", hint="use the card that was made with it"
        )
    if card.adapter is not None:
        from pdfed_sdk.ml.lora.prompts import check_prompts

        check_prompts(card.adapter)
    if card.classes and card.adapter is None and len(card.classes) != shape.classes:
        raise ConfigError(
            f"the genesis has {shape.classes} classes, the card names {len(card.classes)}",
            hint="use the card that was made with this genesis",
        )
