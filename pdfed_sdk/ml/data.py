"""Pictures in memory, their digest, the public/private partition, and splits over nodes. Reading files: `sources`.

Partition: `partition` fixes a class-balanced *public* part of a picture set. The shipped fingerprinter and the genesis
model see only that part; node splits are made from the rest, so no node's pictures are in any shipped weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.captions import check_caption
from pdfed_sdk.ml.class_names import check_names, meant, plain_name

MAX_SIDE = 1024
PUBLIC_SEED = 20_240_918
"""Seed of the public/private partition; changing it invalidates the shipped fingerprinter weights."""
PUBLIC_PICTURES = 1_000


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Pictures ``images`` (N, C, H, W) uint8 with C in {1, 3} and H = W, ``labels`` (N,) int64 in
    [0, len(classes)) or -1 for unlabelled, and ``captions``, one a picture ("": none) or none at all."""

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_images(self.images, "images")
        check_labels(self.labels, len(self.images), len(self.classes), "labels")
        if self.captions and len(self.captions) != len(self.images):
            raise DataError(f"there are {len(self.captions)} captions for {len(self.images)} pictures")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Side of a picture in pixels."""
        return int(self.images.shape[-1])

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (colour)."""
        return int(self.images.shape[1])

    def digest(self) -> bytes:
        """Data-set root: a SHA-256 Merkle root over `leaves` under shape and class names (32 bytes)."""
        header = json.dumps([list(self.images.shape), list(self.classes)]).encode()
        return hashlib.sha256(header + merkle_root(self.leaves())).digest()

    def leaves(self) -> list[bytes]:
        """SHA-256 (32 bytes) over label, pixels and caption of each picture: what an owner names to withdraw it."""
        pixels, labels = self.images.numpy(), self.labels.numpy().astype("<i8")
        texts = self.captions or ("",) * len(self)
        return [
            hashlib.sha256(
                b"\0" + labels[i].tobytes() + np.ascontiguousarray(pixels[i]).tobytes() + texts[i].encode()
            ).digest()
            for i in range(len(self))
        ]

    def take(self, indices: Sequence[int] | Tensor) -> PictureSet:
        """The pictures at ``indices``, in that order."""
        index = torch.as_tensor(indices, dtype=torch.long)
        captions = tuple(self.captions[i] for i in index.tolist()) if self.captions else ()
        return PictureSet(self.images[index], self.labels[index], self.classes, captions)

    def joined(self, other: PictureSet) -> PictureSet:
        """This set followed by ``other`` (same size, channels and classes)."""
        if self.classes != other.classes:
            raise DataError(f"other.classes is {other.classes}, expected {self.classes}")
        if self.images.shape[1:] != other.images.shape[1:]:
            raise DataError(f"other holds {tuple(other.images.shape[1:])}, expected {tuple(self.images.shape[1:])}")
        captions: tuple[str, ...] = ()
        if self.captions or other.captions:
            captions = (self.captions or ("",) * len(self)) + (other.captions or ("",) * len(other))
        images, labels = torch.cat([self.images, other.images]), torch.cat([self.labels, other.labels])
        return PictureSet(images, labels, self.classes, captions)

    def shaped(self, size: int, channels: int) -> PictureSet:
        """The same pictures at ``size`` pixels a side and ``channels`` colours."""
        return PictureSet(reshape_images(self.images, size, channels), self.labels, self.classes, self.captions)

    def named(self, classes: Sequence[str], unknown: str = "refuse") -> PictureSet:
        """The same pictures with labels that count in ``classes``, found by name whatever the case; unlabelled ones
        stay so. Pictures of other classes are an error, or left out with ``unknown="ignore"``. Errors: DataError."""
        if unknown not in ("refuse", "ignore"):
            raise DataError(f'unknown is "{unknown}"', hint='use "refuse" or "ignore"')
        place = {plain_name(name): number for number, name in enumerate(check_names(classes))}
        used = set(self.labels.tolist()) - {-1}
        strange = [name for number, name in enumerate(self.classes) if number in used and plain_name(name) not in place]
        if strange and unknown == "refuse":
            raise DataError(
                f"the task knows no class {', '.join(map(repr, strange))}; it has {', '.join(classes)}",
                hint=f"{meant(strange[0], classes)}rename the folder, or ignore unknown classes",
            )
        table = torch.tensor([place.get(plain_name(name), -2) for name in self.classes] + [-1])
        labels = table[self.labels]  # -1 takes the last entry
        keep = (labels > -2).nonzero().flatten()
        if not len(keep):
            raise DataError(f"no picture is of a class of the task: {', '.join(classes)}")
        kept = self.take(keep)
        return PictureSet(kept.images, labels[keep], tuple(classes), kept.captions)

    def save(self, path: Path) -> None:
        """Write an .npz without pickled objects."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            words: dict[str, Any] = {"classes": np.array(self.classes, dtype=str)}
            if self.captions:
                words["captions"] = np.array(self.captions, dtype=str)
            np.savez_compressed(file, images=self.images.numpy(), labels=self.labels.numpy(), **words)

    @staticmethod
    def load(path: Path) -> PictureSet:
        """Read an .npz written by `save`; anything else is a DataError. Nothing is unpickled."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                images, labels = torch.from_numpy(archive["images"]), torch.from_numpy(archive["labels"])
                classes = tuple(str(name) for name in archive["classes"])
                texts = archive["captions"] if "captions" in archive.files else ()
                captions = tuple(check_caption(str(text), f"caption {i}") for i, text in enumerate(texts))
        except DataError:
            raise
        except (OSError, ValueError, KeyError, EOFError, TypeError) as error:
            raise DataError(
                f"{path} is not a picture archive: {error}", hint="write it with PictureSet.save"
            ) from error
        except Exception as error:  # zipfile and zlib raise their own
            raise DataError(f"{path} is damaged: {error}", hint="make the split again") from error
        return PictureSet(images, labels, classes, captions)


@dataclass(frozen=True, eq=False)
class NodeSplit:
    """One node's private pictures: ``train`` (trained on, looked up), ``test`` (quality), ``heldout`` (calibration
    and floors). ``shared`` are the indices in ``train`` of pictures that other nodes hold too."""

    train: PictureSet
    test: PictureSet
    heldout: PictureSet
    shared: tuple[int, ...] = field(default=())

    @staticmethod
    def whole(pictures: PictureSet, seed: int = 0) -> NodeSplit:
        """A split that searches all of ``pictures``: ``train`` is the whole set, ``test`` and ``heldout`` are its
        balanced halves, which a scorer calibrates on without their own entries. Errors: DataError."""
        if len(pictures) < 4:
            raise DataError(f"there are {len(pictures)} pictures, at least 4 are needed")
        order = _balanced_order(pictures.labels, np.random.default_rng(seed))
        return NodeSplit(pictures, pictures.take(sorted(order[::2])), pictures.take(sorted(order[1::2])))

    def named(self, classes: Sequence[str], unknown: str = "refuse") -> NodeSplit:
        """`PictureSet.named` of all three parts; ``shared`` pictures must all be of classes that are known."""
        train = self.train.named(classes, unknown)
        if self.shared and len(train) < len(self.train):
            raise DataError("a split with shared pictures cannot ignore classes", hint="make the split without them")
        return NodeSplit(train, self.test.named(classes, unknown), self.heldout.named(classes, unknown), self.shared)

    def save(self, folder: Path) -> None:
        """Write train.npz, test.npz, heldout.npz and split.json (digests, shared indices)."""
        folder.mkdir(parents=True, exist_ok=True)
        parts = {"train": self.train, "test": self.test, "heldout": self.heldout}
        for name, part in parts.items():
            part.save(folder / f"{name}.npz")
        facts = {"digests": {name: part.digest().hex() for name, part in parts.items()}, "shared": list(self.shared)}
        (folder / "split.json").write_text(json.dumps(facts, indent=1))

    @staticmethod
    def load(folder: Path) -> NodeSplit:
        """Read what `save` wrote; a picture that changed since is a DataError."""
        try:
            facts = json.loads((folder / "split.json").read_text())
            digests, shared = dict(facts["digests"]), tuple(int(i) for i in facts["shared"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{folder} holds no node split: {error}", hint="make one with split_nodes(...).save"
            ) from error
        parts = {name: PictureSet.load(folder / f"{name}.npz") for name in ("train", "test", "heldout")}
        for name, part in parts.items():
            if digests.get(name) != part.digest().hex():
                raise DataError(f"{folder / name}.npz does not have the digest in split.json")
        return NodeSplit(parts["train"], parts["test"], parts["heldout"], shared)


def check_images(images: Tensor, name: str) -> None:
    """Raise DataError unless ``images`` is (N, C, S, S) uint8 with N >= 1, C in {1, 3}, 4 <= S <= MAX_SIDE."""
    if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.ndim != 4:
        what = f"{images.dtype} of shape {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise DataError(f"{name} is {what}, expected a uint8 tensor (N, C, H, W)")
    count, channels, height, width = images.shape
    if count < 1:
        raise DataError(f"{name} is empty, expected at least one picture")
    if channels not in (1, 3):
        raise DataError(f"{name} has {channels} channels, expected 1 or 3")
    if height != width or not 4 <= height <= MAX_SIDE:
        raise DataError(f"{name} is {height}x{width} pixels, expected squares of 4 to {MAX_SIDE}")


def check_labels(labels: Tensor, count: int, classes: int, name: str) -> None:
    """Raise DataError unless ``labels`` is (count,) int64 within [0, classes), or -1 for unlabelled."""
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or tuple(labels.shape) != (count,):
        what = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise DataError(f"{name} is {what}, expected an int64 tensor of shape ({count},)")
    low, high = int(labels.min()), int(labels.max())
    if low < -1 or high >= max(classes, 0):
        if high == -1 == low:
            return
        raise DataError(f"{name} runs from {low} to {high}, limits -1 and {classes - 1}")


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Binary SHA-256 Merkle root; an odd node moves up unchanged."""
    level = list(leaves)
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0]


def reshape_images(images: Tensor, size: int, channels: int) -> Tensor:
    """Resize (bilinear, antialiased) and convert between grey and colour; uint8 in and out."""
    check_images(images, "images")
    if channels not in (1, 3) or not 4 <= size <= MAX_SIDE:
        raise DataError(f"size is {size} and channels {channels}, expected 4 to {MAX_SIDE} and 1 or 3")
    values = images
    if channels != values.shape[1]:
        if channels == 3:
            values = values.expand(-1, 3, -1, -1)
        else:
            weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
            values = (values.float() * weights).sum(1, keepdim=True).round().to(torch.uint8)
    if size != values.shape[-1]:
        resized = F.interpolate(values.float(), (size, size), mode="bilinear", antialias=True, align_corners=False)
        values = resized.round().clamp(0, 255).to(torch.uint8)
    return values.contiguous()


def partition(
    pictures: PictureSet, *, public: int = PUBLIC_PICTURES, seed: int = PUBLIC_SEED
) -> tuple[PictureSet, PictureSet]:
    """(public, private): a fixed class-balanced public part, and the rest that node splits are made from."""
    if not 0 < public < len(pictures):
        raise DataError(f"public is {public}, limits 1 and {len(pictures) - 1}")
    order = _balanced_order(pictures.labels, np.random.default_rng(seed))
    return pictures.take(sorted(order[:public])), pictures.take(sorted(order[public:]))


def split_nodes(
    private: PictureSet,
    nodes: int,
    *,
    seed: int = 0,
    per_node: int | None = None,
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2),
    shared: int = 0,
    holders: Sequence[int] = (),
) -> list[NodeSplit]:
    """Disjoint class-balanced splits, each in train, test and heldout by ``shares``.

    ``shared`` pictures are set apart first and put at the front of the train part of every node in ``holders``, as
    duplicates of one artwork would be. ``per_node`` caps a node's own pictures. Seeded; errors: DataError.
    """
    if nodes < 1 or any(not 0 <= holder < nodes for holder in holders):
        raise DataError(f"nodes is {nodes} and holders {tuple(holders)}, expected holders in 0..{nodes - 1}")
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise DataError(f"shares is {shares}, expected three non-negative numbers that sum to 1")
    rng = np.random.default_rng(seed)
    order = _balanced_order(private.labels, rng)
    common, rest = order[:shared], order[shared:]
    count = min(per_node or len(rest), len(rest) // nodes)
    if count < 3:
        raise DataError(f"{len(private)} pictures over {nodes} nodes leave {count} a node, at least 3 are needed")
    dealt: list[list[int]] = [[] for _ in range(nodes)]
    for turn, index in enumerate(sorted(rest, key=lambda i: int(private.labels[i]))):  # deal class by class, in turn
        dealt[turn % nodes].append(index)
    splits = []
    for node, hand in enumerate(dealt):
        own = [hand[i] for i in _balanced_order(private.labels[hand], rng)][:count]
        first, second = round(count * shares[0]), round(count * (shares[0] + shares[1]))
        train, test, heldout = own[:first], own[first:second], own[second:]
        front = common if node in holders else []
        splits.append(
            NodeSplit(private.take(front + train), private.take(test), private.take(heldout), tuple(range(len(front))))
        )
    return splits


def _balanced_order(labels: Tensor, rng: np.random.Generator) -> list[int]:
    """All indices in a random order that cycles through the classes, so that every prefix is balanced."""
    values = labels.numpy()
    rank = np.empty(len(values))
    for label in np.unique(values):
        members = rng.permutation(np.flatnonzero(values == label))
        rank[members] = np.arange(len(members))
    return [int(index) for index in np.lexsort((rng.random(len(values)), rank))]
