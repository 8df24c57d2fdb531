"""Folders of pictures as people have them: any size, shape and depth, classes as sub-folders or in a metadata file.

Every file is treated as hostile: only the formats below are tried, sizes are capped before memory is taken, and what
cannot be used is named. Layouts: sub-folders as classes; loose files; those of Hugging Face's ImageFolder (splits
``train``, ``test``, … above the classes, ``metadata.jsonl`` or ``metadata.csv`` beside the files). Tables: `tables`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.captions import check_caption
from pdfed_sdk.ml.data import PictureSet, reshape_images

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
OTHER_SUFFIXES = {
    *(".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".svg", ".psd", ".tga", ".ppm", ".pgm", ".exr", ".dds"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".dcm", ".nii", ".nrrd", ".mha", ".pdf", ".eps"),
}
"""Pictures that are not read: cameras, telephones and clinics leave them, and nobody should think that they count."""
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
"""Pillow knows more, one of which starts a foreign program."""
MAX_PIXELS = 32_000_000
"""A picture file with more pixels is skipped: nobody trains on it here, and decoding it is how a bomb works."""
MAX_METADATA = 256 << 20
SPLITS = {"train", "training", "test", "testing", "eval", "evaluation", "valid", "validation", "val", "dev"}
"""Folders that name a part of a data set, not a class (those of Hugging Face's ImageFolder)."""
METADATA = ("metadata.jsonl", "metadata.csv")
FITS = ("pad", "crop")


@dataclass(frozen=True)
class Skipped:
    """A picture file that was not used, and why."""

    file: str
    reason: str


Labelled = tuple[PictureSet, list[Skipped]]


def load_folder(path: Path, *, size: int, channels: int = 3, fit: str = "pad") -> Labelled:
    """Every picture below ``path`` at ``size`` pixels a side: the class is what a metadata file says under "label", or
    else the first sub-folder; loose pictures are unlabelled if there are no classes. The caption of a picture is what a
    metadata file says under "text". ``fit``: "pad" (on white) or "crop" (the middle). Files that are broken, oversized,
    empty or of a kind that is not read are skipped and listed; no usable one: DataError."""
    check_fit(fit)
    images, labels, texts, skipped = list[Tensor](), list[str | None](), list[str](), list[Skipped]()
    told = {file: (label, text) for file, label, text in _metadata(path)}
    named = {file: label for file, (label, _) in told.items()}
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file())
    kinds = {file: named.get(file) or _folder_class(file, path) for file in files}
    classes = tuple(sorted({kind for kind in kinds.values() if kind}))
    for file, kind in kinds.items():
        try:
            if classes and kind is None:
                raise DataError("lies beside the class folders")
            images.append(decode(file, size, channels, fit))
            labels.append(kind)
            texts.append(told.get(file, (None, ""))[1])
        except Exception as error:  # Pillow raises many kinds
            skipped.append(Skipped(str(file.relative_to(path)), reason_of(error, path)))
    unread = {file for file in path.rglob("*") if file.suffix.lower() in OTHER_SUFFIXES and file.is_file()}
    missing = [Skipped(str(one.relative_to(path)), f"{one.suffix} is not read: save it as PNG") for one in unread]
    missing += [
        Skipped(str(file.relative_to(path)), "named in the metadata, no picture there")
        for file in named.keys() - files - unread
    ]
    return gathered(path, images, labels, skipped + sorted(missing, key=lambda one: one.file), texts)


def gathered(
    path: Path, images: list[Tensor], kinds: list[str | None], skipped: list[Skipped], texts: list[str] | None = None
) -> Labelled:
    """One set out of pictures, the names of their classes, which are numbered in order of name, and their captions."""
    if not images:
        detail = f"; first: {skipped[0].file}: {skipped[0].reason}" if skipped else ""
        raise DataError(
            f"{path} holds no usable picture ({len(skipped)} skipped{detail})",
            hint="put PNG or JPEG files there, each class in a folder of its name",
        )
    classes = sorted({kind for kind in kinds if kind is not None})
    place = {name: number for number, name in enumerate(classes)}
    labels = torch.tensor([-1 if kind is None else place[kind] for kind in kinds], dtype=torch.int64)
    captions = tuple(texts) if texts and any(texts) else ()
    return PictureSet(torch.cat(images), labels, tuple(classes), captions), skipped


def check_fit(fit: str) -> None:
    if fit not in FITS:
        raise DataError(f'fit is "{fit}"', hint='use "pad" (whole pictures on white) or "crop" (their middle)')


def reason_of(error: Exception, path: Path) -> str:
    """Why a file was skipped, in one line and without the folder's name."""
    message = error.message if isinstance(error, DataError) else str(error)
    return message.replace(f"{path}{os.sep}", "").replace(str(path), "") or type(error).__name__


# --- classes ---------------------------------------------------------------------------------------------------------


def _folder_class(file: Path, root: Path) -> str | None:
    """The class a picture's place tells: the first sub-folder below the data set or below one of its splits."""
    parts = list(file.relative_to(root).parts[:-1])
    if parts and _is_split(root, parts[0]):
        del parts[0]
    return parts[0] if parts else None


def _is_split(root: Path, name: str) -> bool:
    """Whether ``root/name`` is a part of the data set: all of its sub-folders are named so."""
    if name.lower() not in SPLITS:
        return False
    return all(place.name.lower() in SPLITS for place in root.iterdir() if place.is_dir() and place.name[0] not in "._")


def _metadata(root: Path) -> Iterator[tuple[Path, str | None, str]]:
    """(file, label or None, caption or "") of every line of the metadata files below ``root``."""
    for name in METADATA:
        for table in sorted(root.rglob(name)):
            if table.stat().st_size > MAX_METADATA:
                raise DataError(f"{table} has {table.stat().st_size} bytes, limit {MAX_METADATA}")
            for number, row in enumerate(_rows(table), 1):
                file, label = row.get("file_name"), row.get("label")
                place = Path(os.path.normpath(table.parent / str(file)))
                if not isinstance(file, str) or not place.resolve().is_relative_to(root.resolve()):
                    raise DataError(
                        f"{table}, entry {number}: file_name is {file!r}", hint="name a file below this folder"
                    )
                if label is not None and not isinstance(label, str | int):
                    raise DataError(f"{table}, entry {number}: label is {label!r}, expected a name or a number")
                text = check_caption(row.get("text") or "", f"{table}, entry {number}: text")
                yield place, None if label in (None, "") else str(label), text


def _rows(table: Path) -> Iterator[dict[str, Any]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
        if table.suffix == ".csv":
            yield from csv.DictReader(io.StringIO(text))
            return
        for line in text.splitlines():
            if line.strip():
                yield dict(json.loads(line))
    except (OSError, ValueError, TypeError, RecursionError, csv.Error) as error:
        raise DataError(f"{table} cannot be read: {error}", hint='one {"file_name": …, "label": …} a line') from error


# --- one picture -----------------------------------------------------------------------------------------------------


def decode(file: Path | IO[bytes], size: int, channels: int, fit: str = "pad") -> Tensor:
    """One picture (1, channels, size, size) uint8: upright (EXIF), in 8 bits, on white where it is transparent."""
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is stricter
        with Image.open(file, formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise DataError(f"{width}x{height} pixels, limit {MAX_PIXELS} in all")
            picture.draft(picture.mode, (2 * size, 2 * size))  # JPEG files decode smaller, and faster
            upright = ImageOps.exif_transpose(picture)
            plain = _eight_bits(upright).convert("RGBA")
    square = _squared(plain, size, fit)
    canvas = Image.new("RGBA", (size, size), "white")
    canvas.alpha_composite(square, ((size - square.width) // 2, (size - square.height) // 2))
    pixels = torch.from_numpy(np.array(canvas.convert("RGB"))).permute(2, 0, 1)[None]
    return reshape_images(pixels, size, channels)


def _squared(picture: Picture, size: int, fit: str) -> Picture:
    """Scaled to lie in a square of ``size`` pixels, or its middle scaled to fill one. Before any canvas is made, so
    that a picture of one long row takes no more memory than its pixels."""
    from PIL.Image import Resampling

    width, height = picture.size
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
        width = height = side
    scale = size / max(width, height)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    return picture if shape == picture.size else picture.resize(shape, Resampling.BILINEAR)


def _eight_bits(picture: Picture) -> Picture:
    """16-bit grey as 8 bits: its whole range, not the range in use, so that equal pictures stay equal."""
    from PIL import Image

    if picture.mode == "F":
        raise DataError("its pixels are floating-point numbers of no stated range", hint="save it in 8 or 16 bits")
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65_535:
        raise DataError(f"its pixels run from {low} to {high}, expected 0 to 65535", hint="save it in 8 or 16 bits")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))
