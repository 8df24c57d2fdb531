"""The card of a task: JSON whose sha2-256 stands on chain. It freezes what every node must do alike.

One writer and one reader, for files, stores and the demo. Keys: "title", "scoring" (``ScoringSettings``), "model" (what
the genesis is, in words), "family" (the kind of model), "classes" (their names, in the order of the model's labels). A
card without "family" is one of the class-conditional DDPMs; without "classes" every node counts its own. "adapter"
(``AdapterSetup``) stands on cards of the family latent-lora only: base, rank, modules, prompts, guidance, resolution.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from pdfed_sdk.artifacts.cid import RAW, Cid
from pdfed_sdk.artifacts.store import Store
from pdfed_sdk.errors import ConfigError, ContentMissing, DigestMismatch, MlError
from pdfed_sdk.family import family_named
from pdfed_sdk.files import read_bounded
from pdfed_sdk.ml.class_names import check_names
from pdfed_sdk.ml.lora.setup import AdapterSetup
from pdfed_sdk.ml.scoring import ScoringSettings

MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class TaskCard:
    """What a card says. ``family`` names a model family that this version knows."""

    scoring: ScoringSettings
    title: str = ""
    model: str = "genesis"
    family: str = "ddpm"
    classes: tuple[str, ...] = ()
    adapter: AdapterSetup | None = None

    def __post_init__(self) -> None:
        if (self.adapter is not None) != (self.family == "latent-lora"):
            raise ConfigError(
                f"the card is of the family {self.family} and {'has an' if self.adapter else 'lacks its'} adapter",
                hint='"adapter" belongs to the family latent-lora, and to no other',
            )
        wanted = (self.scoring.size, self.scoring.channels)
        if self.adapter is not None and wanted != (self.adapter.resolution, 3):
            raise ConfigError(
                f"the card scores {wanted[0]} px in {wanted[1]} channels, its adapters draw "
                f"{self.adapter.resolution} px in 3",
                hint="give both the same size, and colour",
            )

    def to_bytes(self) -> bytes:
        """The card's bytes; their sha2-256 is what the task names."""
        card = {
            "title": self.title,
            "scoring": json.loads(self.scoring.to_json()),
            "model": self.model,
            "family": self.family,
            "classes": list(self.classes),
        }
        if self.adapter is not None:
            card["adapter"] = self.adapter.to_dict()
        return json.dumps(card, indent=1, sort_keys=True).encode()

    def write(self, path: Path) -> Path:
        path.write_bytes(self.to_bytes())
        return path

    @staticmethod
    def from_bytes(data: bytes, subject: str) -> TaskCard:
        """Read a card; ``subject`` names it in errors. Raises ConfigError."""
        try:
            if len(data) > MOST_BYTES:
                raise ValueError(f"it has {len(data)} bytes, the limit is {MOST_BYTES}")
            card = json.loads(data)
            found = TaskCard(
                scoring=ScoringSettings.from_json(json.dumps(card["scoring"])),
                title=str(card.get("title", "")),
                model=str(card.get("model", "genesis")),
                family=str(card.get("family", "ddpm")),
                classes=check_names(card.get("classes", ())),
                adapter=AdapterSetup.from_dict(card["adapter"]) if "adapter" in card else None,
            )
            family_named(found.family)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MlError, ConfigError) as error:
            raise ConfigError(f"{subject} has no readable scoring settings: {error}", hint="ask the sponsor") from error
        return found

    @staticmethod
    def read(path: Path) -> TaskCard:
        """Read a card from a file. Raises ConfigError."""
        return TaskCard.from_bytes(read_bounded(path, MOST_BYTES, "a task card"), str(path))

    @staticmethod
    def fetch(store: Store, digest: bytes) -> TaskCard:
        """The card that a task names by ``digest``. Raises ContentMissing, DigestMismatch, ConfigError, StoreError."""
        cid = Cid(RAW, digest)
        try:
            data = store.get(cid, max_bytes=MOST_BYTES)
        except ContentMissing as error:
            raise ContentMissing(
                f"the store does not hold the task's card {cid}",
                hint="use the store the sponsor published to: [store] uri in pdfed.toml",
            ) from error
        if hashlib.sha256(data).digest() != digest:
            raise DigestMismatch("the task's card is not the one named on chain", hint="use another store")
        return TaskCard.from_bytes(data, f"the task's card {cid}")
