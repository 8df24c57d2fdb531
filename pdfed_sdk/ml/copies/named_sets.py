"""Sets of pictures that the judge is trained and tested on, divided once and for all into a part for either.

Variants of one motif (skin tones of an emoji, files of one name, near twins) stand on one side of every division. What
lies in no installed wheel is found where packages put it, or where the caller says; it may be absent.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pdfed_sdk.ml.copies.corpus import PHOTOGRAPHS, photographs
from pdfed_sdk.ml.data import partition, reshape_images
from pdfed_sdk.ml.folders import decode
from pdfed_sdk.ml.neighbours import nearest
from pdfed_sdk.ml.sources import load_pictures

PLACES = {
    "fashion-mnist": "/usr/share/datasets/fashion-mnist",
    "clip-art": "/usr/share/openclipart/png",
    "emoji": "node_modules/emoji-datasource-google",
}
"""Where packages put sets: Debian's dataset-fashion-mnist and openclipart-png, npm's emoji-datasource-google."""
SETS = ("mnist", "mnist-16", "photographs", *PLACES)
TWIN = 0.05
"""Root mean square difference, of the range, below which two pictures are one."""
MOST = 1_600
"""Files read of a folder, for either purpose: decoding takes most of the time."""

Part = tuple[Tensor, np.ndarray]
"""Pictures (n, C, S, S) uint8 and the motif (n,) of each."""


def read(name: str, path: str | None = None, *, tests: bool) -> Part | None:
    """The pictures of a set that are for tests, or those to train on; None where it is not installed."""
    if name in ("mnist", "mnist-16"):
        digits = partition(load_pictures("mnist", size=28 if name == "mnist" else 16))[int(tests)].images
        return digits, np.arange(len(digits))
    if name == "photographs":
        pictures = photographs(names=PHOTOGRAPHS[int(tests) :: 2])
        return pictures, np.arange(len(pictures))
    found = Path(path or PLACES.get(name, ""))
    if not found.is_dir() or not (path or name in PLACES):
        return None
    if name == "fashion-mnist":
        clothes = load_pictures(found).images
        last = clothes[-10_000:] if tests else clothes[:-10_000]
        return last, np.arange(len(last))
    if name == "emoji":
        return _emoji(found, tests)
    if name == "clip-art":
        return _folder(found, tests)
    images = load_pictures(found).images
    return images, np.arange(len(images))


def _mine(motif: str, tests: bool) -> bool:
    """Whether a motif, by a hash of its name, belongs to the tests or to the training."""
    return hashlib.sha256(motif.encode()).digest()[0] % 2 == int(tests)


def _numbered(motifs: list[str]) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(motifs))}
    return np.array([numbers[name] for name in motifs])


def _emoji(path: Path, tests: bool) -> Part:
    """64 px in colour; skin tones of one emoji are one motif."""
    motifs = [
        entry["unified"]
        for entry in json.loads((path / "emoji.json").read_text())
        for one in [entry, *entry.get("skin_variations", {}).values()]
        if (path / "img" / "google" / "64" / one["image"]).is_file()
    ]
    mine = [_mine(motif, tests) for motif in motifs]
    pictures = load_pictures(path, size=64, channels=3).images[torch.tensor(mine)]
    return pictures, _numbered([motif for motif, own in zip(motifs, mine, strict=True) if own])


def _folder(path: Path, tests: bool) -> Part:
    """At most `MOST` files below a folder, 64 px in colour; files whose names begin alike are one motif. What cannot be
    read is passed over."""
    order = sorted(path.rglob("*.png"), key=lambda file: hashlib.sha256(file.name.encode()).digest())
    pictures, motifs = [], []
    for file in order:
        motif = re.sub(r"[\W\d_]+$", "", file.stem)[:14]
        if not _mine(motif, tests):
            continue
        try:
            pictures.append(decode(file, 64, 3))
        except Exception:  # Pillow raises many kinds
            continue
        motifs.append(motif)
        if len(motifs) == MOST:
            break
    return torch.cat(pictures), _numbered(motifs)


def grouped(images: Tensor, motifs: np.ndarray, limit: int, seed: int) -> Part:
    """At most ``limit`` lively pictures, none twice, near twins merged into one motif."""
    flat = images.reshape(len(images), -1).numpy()
    first = np.sort(np.unique(flat, axis=0, return_index=True)[1])
    first = first[flat[first].std(1) > 8]
    order = np.random.default_rng(seed).permutation(first)[:limit]
    kept, groups = images[torch.from_numpy(order)], motifs[order].copy()
    small = reshape_images(kept, 16, kept.shape[1]).flatten(1).float() / 255
    pixels = kept.flatten(1)
    distances, index = nearest(small, small, min(5, len(small) - 1), exclude_self=True)
    for row, column in (distances < TWIN * small.shape[1] ** 0.5).nonzero().tolist():
        other = int(index[row, column])
        gap = (pixels[row].float() - pixels[other].float()).square().mean().sqrt()
        if float(gap) < 255 * TWIN:
            groups[groups == groups[other]] = groups[row]
    return kept, groups


def divided(groups: np.ndarray, wanted: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows of whole motifs that make up about ``wanted`` pictures, and the other rows."""
    names, counts = np.unique(groups, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    inside = set(names[order][np.cumsum(counts[order]) <= wanted].tolist())
    mask = torch.tensor([group in inside for group in groups.tolist()])
    return mask.nonzero().squeeze(1), (~mask).nonzero().squeeze(1)
