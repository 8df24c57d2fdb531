"""Readers of picture files meet what users have: broken, huge, empty and hostile files."""

from __future__ import annotations

import gzip
import json
import pickle
import struct

import numpy as np
import pytest
from PIL import Image

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.sources import load_folder, load_pictures


def write(path, size=(20, 30), colour=(200, 10, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "cats" / "a.png")
    write(tmp_path / "dogs" / "b.jpg", colour=(0, 0, 250))
    return tmp_path


def test_a_folder_gives_classes_and_squares(folder):
    pictures = load_pictures(folder, size=16, channels=3)
    assert pictures.images.shape == (2, 3, 16, 16)
    assert pictures.classes == ("cats", "dogs")
    assert pictures.labels.tolist() == [0, 1]


def test_pictures_without_folders_are_unlabelled(tmp_path):
    write(tmp_path / "a.png")
    pictures, skipped = load_folder(tmp_path, size=8)
    assert (pictures.labels.tolist(), pictures.classes, skipped) == ([-1], (), [])


def test_dirty_files_are_skipped_and_named(folder):
    (folder / "cats" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (folder / "cats" / "empty.jpg").write_bytes(b"")
    (folder / "cats" / "notes.txt").write_text("not a picture")
    (folder / "dogs" / "cut.png").write_bytes((folder / "cats" / "a.png").read_bytes()[:60])
    Image.new("L", (8000, 8000)).save(folder / "dogs" / "bomb.png")
    write(folder / "loose.png")
    pictures, skipped = load_folder(folder, size=16)
    assert len(pictures) == 2
    assert {s.file for s in skipped} == {
        "cats/broken.png",
        "cats/empty.jpg",
        "dogs/bomb.png",
        "dogs/cut.png",
        "loose.png",
    }
    assert next(s for s in skipped if "bomb" in s.file).reason.startswith("8000x8000 pixels, limit")
    with pytest.warns(UserWarning, match=r"5 files skipped, first: cats/broken.png"):
        load_pictures(folder, size=16)


def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(DataError, match="no usable picture"):
        load_pictures(tmp_path)
    with pytest.raises(DataError, match="neither"):
        load_pictures(tmp_path / "absent")


def idx(path, array, magic):
    head = struct.pack(">II", magic, len(array)) + b"".join(struct.pack(">I", n) for n in array.shape[1:])
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.write(head + array.tobytes())


def test_idx_files(tmp_path):
    images = np.arange(3 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
    idx(tmp_path / "train-images-idx3-ubyte.gz", images, 2051)
    idx(tmp_path / "train-labels-idx1-ubyte.gz", np.array([2, 0, 1], dtype=np.uint8), 2049)
    pictures = load_pictures(tmp_path)
    assert pictures.images.squeeze(1).numpy().tolist() == images.tolist()
    assert pictures.labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize("damage", ["short", "magic", "huge", "labels"])
def test_damaged_idx_files(tmp_path, damage):
    images = np.zeros((3, 28, 28), dtype=np.uint8)
    labels = np.zeros(2 if damage == "labels" else 3, dtype=np.uint8)
    idx(tmp_path / "train-images-idx3-ubyte", images, 2050 if damage == "magic" else 2051)
    idx(tmp_path / "train-labels-idx1-ubyte", labels, 2049)
    path = tmp_path / "train-images-idx3-ubyte"
    if damage == "short":
        path.write_bytes(path.read_bytes()[:-1])
    if damage == "huge":
        path.write_bytes(struct.pack(">IIII", 2051, 2**31, 2**15, 2**15))
    with pytest.raises(DataError, match=r"train-images|labels"):
        load_pictures(tmp_path)


def cifar(path, **changes):
    batch = {
        b"data": np.arange(2 * 3072, dtype=np.uint32).astype(np.uint8).reshape(2, 3072),
        b"labels": [3, 9],
        b"batch_label": b"one",
        **changes,
    }
    path.write_bytes(pickle.dumps(batch, protocol=2))


def test_cifar_batches_without_running_pickles(tmp_path):
    cifar(tmp_path / "data_batch_1")
    pictures = load_pictures(tmp_path)
    assert pictures.images.shape == (2, 3, 32, 32)
    assert pictures.images.flatten()[:5].tolist() == [0, 1, 2, 3, 4]
    assert pictures.labels.tolist() == [3, 9]


class Exploit:
    def __reduce__(self):
        return (__import__("os").system, ("touch hacked",))


@pytest.mark.parametrize("content", [Exploit(), np.array([Exploit()], dtype=object)])
def test_hostile_pickles_are_refused(tmp_path, content, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cifar(tmp_path / "data_batch_1", **{"x": content})
    with pytest.raises(DataError, match=r"refused to load the global \w+.system"):
        load_pictures(tmp_path)
    assert not (tmp_path / "hacked").exists()


def test_a_broken_cifar_batch_is_named(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"rubbish")
    with pytest.raises(DataError, match="data_batch_1"):
        load_pictures(tmp_path)


def test_emoji_folder(tmp_path):
    write(tmp_path / "img" / "google" / "64" / "1.png", (64, 64))
    write(tmp_path / "img" / "google" / "64" / "2.png", (64, 64))
    entries = [
        {"category": "Smileys", "image": "1.png", "name": "GRINNING FACE"},
        {"category": "Hands", "image": "absent.png", "skin_variations": {"x": {"image": "2.png"}}},
    ]
    (tmp_path / "emoji.json").write_text(json.dumps(entries))
    pictures = load_pictures(tmp_path)
    assert pictures.classes == ("Hands", "Smileys")
    assert sorted(pictures.labels.tolist()) == [0, 1]
    assert pictures.captions == ("grinning face", "")
    (tmp_path / "emoji.json").write_text("{")
    with pytest.raises(DataError, match=r"emoji\.json"):
        load_pictures(tmp_path)
