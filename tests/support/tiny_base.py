"""A random base pipeline of a few thousand weights, made on the spot, and pictures with captions for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.lora.base_files import base_digest, use_base
from pdfed_sdk.ml.lora.setup import AdapterSetup

KINDS = ("cat", "dog")
TEXTS = ("a red cat", "a blue dog", "the green bird", "a yellow fish")


def tiny_base(folder: Path, seed: int = 0) -> Path:
    """A base in ``folder``, found by this process."""
    from pdfed_sdk.ml.lora.new_base import TINY, new_base, save_base

    use_base(save_base(new_base(TEXTS, TINY, seed), folder))
    return folder


def tiny_adapter(folder: Path, seed: int = 0, strength: float = 0.3) -> Any:
    """An adapter whose B are drawn too, so that it changes something."""
    from pdfed_sdk.ml.lora.adapter import new_adapter, with_matrices

    fresh = new_adapter(tiny_setup(base_digest(folder)), seed)
    random = torch.Generator().manual_seed(seed)
    matrices = fresh.network.matrices()
    for name, matrix in matrices.items():
        if ".lora_B." in name:
            matrices[name] = strength * torch.randn(matrix.shape, generator=random)
    return with_matrices(fresh, matrices)


def tiny_setup(digest: str, **changes: object) -> AdapterSetup:
    """Rank 2 at 32 px, one prompt for each of two classes."""
    values = {"rank": 2, "resolution": 32, "prompts": TEXTS[:2], "classes": 2, **changes}
    return AdapterSetup(digest, **values)  # type: ignore[arg-type]


def tiny_pictures(count: int = 12, captions: bool = True) -> PictureSet:
    """Random colours, 32 px, of two classes."""
    random = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 3, 32, 32), generator=random, dtype=torch.uint8)
    texts = tuple(TEXTS[i % 4] for i in range(count)) if captions else ()
    return PictureSet(images, torch.arange(count) % 2, ("cat", "dog"), texts)


def captioned_folder(folder: Path, count: int, seed: int) -> Path:
    """Random colours under captions that take turns; the last picture repeats the first under another name."""
    folder.mkdir()
    random, lines = np.random.default_rng(seed), []
    for number in range(count):
        pixels = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST)
        if number == count - 1:
            picture = Image.open(folder / "0.png")
        picture.save(folder / f"{number}.png")
        lines.append({"file_name": f"{number}.png", "text": TEXTS[number % 4], "label": KINDS[number % 2]})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
