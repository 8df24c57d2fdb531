"""Picture sets, the public/private partition, node splits, their files."""

from __future__ import annotations

import json

import pytest
import torch

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.data import NodeSplit, PictureSet, merkle_root, partition, reshape_images, split_nodes


def keys(pictures):
    return {bytes(image.numpy().tobytes()) for image in pictures.images}


def test_the_partition_is_fixed_balanced_and_disjoint(mnist):
    public, private = partition(mnist)
    assert (len(public), len(private)) == (1000, 4000)
    assert torch.bincount(public.labels).tolist() == [100] * 10
    assert public.digest().hex() == "4f4ae7f37edbead61dd209a6729c611044a01432e5fc4272060729c562c2297d"
    assert not keys(public) & keys(private)


def test_node_splits_are_disjoint_but_for_the_shared_pictures(splits):
    for a in range(3):
        for b in range(a):
            first, second = splits[a], splits[b]
            common = {k for p in (first.train, first.test, first.heldout) for k in keys(p)} & {
                k for p in (second.train, second.test, second.heldout) for k in keys(p)
            }
            assert len(common) == (8 if (a, b) == (2, 0) else 0)
    assert splits[0].shared == splits[2].shared == tuple(range(8))
    assert splits[1].shared == ()
    assert keys(splits[0].train.take(splits[0].shared)) == keys(splits[2].train.take(splits[2].shared))


def test_every_part_of_a_split_is_class_balanced(splits):
    for split in splits:
        for part in (split.train, split.test, split.heldout):
            counts = torch.bincount(part.labels, minlength=10)
            assert counts.max() - counts.min() <= 3


def test_splits_are_seeded(mnist):
    private = partition(mnist)[1]
    first, again, other = (split_nodes(private, 2, seed=s, per_node=60)[1].train.digest() for s in (1, 1, 2))
    assert first == again != other


def test_a_split_survives_its_folder(splits, tmp_path):
    splits[0].save(tmp_path / "node")
    loaded = NodeSplit.load(tmp_path / "node")
    assert loaded.train.digest() == splits[0].train.digest()
    assert loaded.shared == splits[0].shared
    assert loaded.train.classes == splits[0].train.classes


def test_a_changed_picture_is_found(splits, tmp_path):
    splits[0].save(tmp_path)
    images = splits[0].test.images.clone()
    images[0, 0, 0, 0] += 1
    PictureSet(images, splits[0].test.labels, splits[0].test.classes).save(tmp_path / "test.npz")
    with pytest.raises(DataError, match="digest"):
        NodeSplit.load(tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "text", "pickled", "missing", "json"])
def test_damaged_splits_are_refused(splits, tmp_path, damage):
    import numpy as np

    splits[0].save(tmp_path)
    path = tmp_path / "train.npz"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "text":
        path.write_text("no archive")
    elif damage == "pickled":
        np.savez(path, images=np.array([{"a": 1}], dtype=object), labels=np.zeros(1), classes=np.zeros(1))
    elif damage == "missing":
        path.unlink()
    else:
        (tmp_path / "split.json").write_text(json.dumps([1]))
    with pytest.raises(DataError):
        NodeSplit.load(tmp_path)


def test_the_digest_sees_pixels_labels_order_and_classes(splits):
    part = splits[0].test
    digests = {
        part.digest(),
        part.take(list(range(len(part)))[::-1]).digest(),
        PictureSet(part.images, part.labels.roll(1), part.classes).digest(),
        PictureSet(part.images, part.labels, (*part.classes, "x")).digest(),
        PictureSet(part.images.bitwise_xor(torch.tensor(1, dtype=torch.uint8)), part.labels, part.classes).digest(),
    }
    assert len(digests) == 5
    assert merkle_root([b"a" * 32]) == b"a" * 32


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 1, 16, 16), "uint8"),
        (torch.zeros(0, 1, 16, 16, dtype=torch.uint8), "empty"),
        (torch.zeros(2, 2, 16, 16, dtype=torch.uint8), "2 channels"),
        (torch.zeros(2, 1, 16, 17, dtype=torch.uint8), "16x17"),
        (torch.zeros(2, 1, 2, 2, dtype=torch.uint8), "2x2"),
        (torch.zeros(2, 16, 16, dtype=torch.uint8), "shape"),
    ],
)
def test_bad_pictures_are_named(images, message):
    with pytest.raises(DataError, match=message):
        PictureSet(images, torch.zeros(len(images), dtype=torch.int64), ("a",))


@pytest.mark.parametrize("labels", [[0, 3], [-2, 0], [0]])
def test_labels_out_of_range(labels):
    with pytest.raises(DataError, match="labels"):
        PictureSet(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor(labels), ("a", "b"))


def test_grey_colour_and_size_conversions():
    images = torch.full((3, 1, 28, 28), 200, dtype=torch.uint8)
    colour = reshape_images(images, 16, 3)
    assert colour.shape == (3, 3, 16, 16)
    assert colour.unique().tolist() == [200]
    assert reshape_images(colour, 16, 1).unique().tolist() == [200]


def test_impossible_splits(mnist):
    with pytest.raises(DataError, match="holders"):
        split_nodes(mnist, 2, holders=(2,))
    with pytest.raises(DataError, match="shares"):
        split_nodes(mnist, 2, shares=(0.5, 0.1, 0.1))
    with pytest.raises(DataError, match="at least 3"):
        split_nodes(mnist.take(range(5)), 2)
