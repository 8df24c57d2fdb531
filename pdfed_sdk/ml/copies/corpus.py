"""Public pictures for the shipped weights, all out of installed wheels: digits, photographs, glyphs of type.

None of them is in any node's split: of MNIST only the public part of `data.partition` is used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.copies.encoders import encoder_input
from pdfed_sdk.ml.data import partition, reshape_images
from pdfed_sdk.ml.sources import load_pictures

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "cat", "cell", "chelsea", "clock", "coffee", "coins", "grass", "gravel", "horse",
    "hubble_deep_field", "immunohistochemistry", "logo", "moon", "page", "retina", "rocket", "text",
)  # fmt: skip
"""Pictures inside the wheel of scikit-image."""
FACES = ("DejaVuSans", "DejaVuSans-BoldOblique", "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Italic",
         "STIXGeneral", "STIXGeneralBolIta", "cmr10", "cmmi10", "cmss10")  # fmt: skip
"""Fonts inside the wheel of matplotlib."""
CHARACTERS = [*range(0x21, 0x7F), *range(0xA1, 0x250), *range(0x391, 0x3C9), *range(0x410, 0x44F),
              *range(0x2190, 0x21FF), *range(0x2200, 0x22FF), *range(0x25A0, 0x27BF)]  # fmt: skip


def public_pictures(seed: int = 0) -> Tensor:
    """The corpus (N, 3, 32, 32) uint8, in random order, no picture twice. Seeded; the same on every machine with the
    same wheels."""
    rng = np.random.default_rng(seed)
    corpus = torch.cat([_mnist(rng), _digits(), _photographs(rng), _glyphs(rng)])
    first = np.unique(corpus.numpy().reshape(len(corpus), -1), axis=0, return_index=True)[1]
    return corpus[torch.from_numpy(rng.permutation(np.sort(first)))]


def at32(images: Tensor) -> Tensor:
    """As the encoder sees them, uint8 (N, 3, 32, 32)."""
    return encoder_input(images).mul(255).round().to(torch.uint8)


def _mnist(rng: np.random.Generator) -> Tensor:
    """Public digits at 16 and 28 px; mirrored and turned ones are pictures of their own."""
    mnist = partition(load_pictures("mnist"))[0].images
    parts = []
    for images in (mnist, mnist.flip(3), mnist.transpose(2, 3)):
        small = torch.from_numpy(rng.random(len(images)) < 0.5)
        parts += [at32(reshape_images(images[small], 16, 1)), at32(images[~small])]
    return torch.cat(parts)


def _digits() -> Tensor:
    from sklearn.datasets import load_digits

    pixels = torch.from_numpy(load_digits().images * (255 / 16)).clamp(0, 255).to(torch.uint8)
    return at32(pixels[:, None])


def photographs(side: int = 64, names: Sequence[str] = PHOTOGRAPHS) -> Tensor:
    """All lively squares (n, 3, side, side) of the photographs ``names``, disjoint. Errors: DataError without
    scikit-image."""
    try:
        from skimage import data
    except ImportError as error:
        raise DataError("the photographs need scikit-image", hint="pip install scikit-image") from error
    tiles = [_tiles(np.asarray(getattr(data, name)()), side) for name in names]
    return torch.cat(tiles)


def _tiles(picture: np.ndarray, side: int) -> Tensor:
    """Disjoint squares of a picture that are not flat: flat sky is one picture many times."""
    if picture.dtype == bool:
        picture = picture.astype(np.uint8) * 255
    if picture.ndim == 2:
        picture = picture[..., None].repeat(3, 2)
    pixels = torch.from_numpy(np.ascontiguousarray(picture[..., :3]))
    tiles = pixels.unfold(0, side, side).unfold(1, side, side).reshape(-1, 3, side, side)
    return tiles[tiles.float().std((1, 2, 3)) > 12]


def _photographs(rng: np.random.Generator, count: int = 2_400) -> Tensor:
    """Squares of 32 and 64 px out of photographs, a quarter of them grey."""
    try:
        from skimage import data
    except ImportError:
        print("scikit-image is absent: no photographs in the corpus", file=sys.stderr)
        return torch.empty(0, 3, 32, 32, dtype=torch.uint8)
    patches = []
    for name in PHOTOGRAPHS:
        picture = np.asarray(getattr(data, name)())
        for side in (32, 64):
            lively = _tiles(picture, side)
            chosen = lively[torch.from_numpy(rng.permutation(len(lively))[: count // 12])]
            if len(chosen):
                patches.append(at32(chosen))
    every = torch.cat(patches)
    every = every[torch.from_numpy(rng.permutation(len(every))[:count])]
    grey = torch.from_numpy(rng.random(len(every)) < 0.25)
    every[grey] = reshape_images(every[grey], 32, 1).expand(-1, 3, -1, -1)
    return every


def _glyphs(rng: np.random.Generator, count: int = 2_400) -> Tensor:
    """Characters in ten faces, half of them in two colours; neighbours among the faces are hard to tell apart."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    faces = [ImageFont.truetype(str(folder / f"{name}.ttf"), 52) for name in FACES]

    def drawn(text: str, face: ImageFont.FreeTypeFont) -> Tensor:
        canvas = Image.new("L", (64, 64))
        ImageDraw.Draw(canvas).text((32, 32), text, fill=255, font=face, anchor="mm")
        return torch.from_numpy(np.array(canvas))[None].float() / 255

    missing = [drawn("\U0010ffff", face) for face in faces]  # what a face shows for characters it lacks
    pictures: list[Tensor] = []
    while len(pictures) < count:
        which, text = int(rng.integers(len(faces))), chr(CHARACTERS[rng.integers(len(CHARACTERS))])
        ink = drawn(text, faces[which])
        if float(ink.mean()) > 0.02 and not ink.equal(missing[which]):
            paper, colour = _colours(rng)
            pictures.append(paper + (colour - paper) * ink)
    values = F.interpolate(torch.stack(pictures), (32, 32), mode="bilinear", antialias=True, align_corners=False)
    return values.round().clamp(0, 255).to(torch.uint8)


def _colours(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Paper and ink (3, 1, 1): white on black, black on white, or two colours well apart."""
    kind = rng.integers(4)
    if kind < 2:
        black, white = torch.zeros(3, 1, 1), torch.full((3, 1, 1), 255.0)
        return (black, white) if kind else (white, black)
    while True:
        pair = torch.from_numpy(rng.uniform(0, 255, (2, 3, 1, 1))).float()
        if float((pair[0] - pair[1]).abs().mean()) > 70:
            return pair[0], pair[1]
