"""The model card that goes into every package: what the model is, from what, and how to load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pdfed_sdk.family import ModelFamily
from pdfed_sdk.types import Address, Parent

CARD = """---
library_name: diffusers
tags: [pdfed, {family}, federated-learning]
---
# {title}

A diffusion model of the family {family}, trained by one node of a PDFed task on its own pictures.

- author's wallet: `{wallet}`
- parents: {parents}
- training pictures shown: {pictures}, optimiser {optimiser}, learning rate {lr}, batch {batch}, seed {seed}
- data set: {size} pictures, Merkle root `{digest}` (the pictures themselves stay with the author)

{usage}

The C2PA manifest at `META-INF/content_credential.c2pa` states the same, signed, with the parents as ingredients.
"""


def write_card(
    folder: Path,
    *,
    family: ModelFamily,
    title: str,
    wallet: Address,
    facts: Mapping[str, Any],
    parents: Sequence[Parent] = (),
) -> None:
    """Write ``README.md`` into a pipeline folder; ``facts`` are those of the training run."""
    told = ", ".join(f"#{p.id} ({p.weight_bps / 100:g} %)" for p in parents) or "none (genesis)"
    text = CARD.format(
        family=family.name,
        usage=family.usage,
        title=title,
        wallet=wallet,
        parents=told,
        size=facts.get("dataset_size", "unknown"),
        digest=facts.get("dataset_digest", "unknown"),
        **{name: facts.get(name, "unknown") for name in ("pictures", "optimiser", "lr", "batch", "seed")},
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
