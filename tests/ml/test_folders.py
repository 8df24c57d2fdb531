"""Pictures as people have them: shapes, depths, orientation, data sets of Hugging Face; classes by name."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.folders import decode, load_folder
from pdfed_sdk.ml.sources import Reading, load_pictures, read_pictures


def save(path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def halves(width, height):
    """Left half red, right half blue."""
    picture = Image.new("RGB", (width, height), (255, 0, 0))
    picture.paste((0, 0, 255), (width // 2, 0, width, height))
    return picture


def flat(colour):
    return Image.new("RGB", (12, 12), colour)


def test_large_and_oblong_pictures_are_padded_or_cropped(tmp_path):
    file = save(tmp_path / "wide.png", halves(4000, 2000))
    padded = decode(file, 16, 3, "pad")[0]
    assert padded[:, 0, 0].tolist() == padded[:, 15, 15].tolist() == [255, 255, 255]
    assert padded[:, 8, 0].tolist() == [255, 0, 0]
    assert padded[:, 8, 15].tolist() == [0, 0, 255]
    cropped = decode(file, 16, 3, "crop")[0]
    assert cropped[:, 0, 0].tolist() == [255, 0, 0]
    assert cropped[:, 15, 15].tolist() == [0, 0, 255]
    with pytest.raises(DataError, match='fit is "stretch"'):
        load_folder(tmp_path, size=16, fit="stretch")


def test_a_picture_of_one_long_row_takes_no_square_of_memory(tmp_path):
    file = save(tmp_path / "row.png", Image.new("L", (30_000_000, 1)))
    assert decode(file, 16, 1).shape == (1, 1, 16, 16)


def test_every_depth_and_colour_space_is_read(tmp_path):
    ramp = np.linspace(0, 65_535, 64 * 64).reshape(64, 64)
    deep = decode(save(tmp_path / "deep.png", Image.fromarray(ramp.astype(np.uint16))), 64, 1)[0, 0]
    assert (deep[0, 0], deep[63, 63]) == (0, 255)
    assert abs(int(deep[32, 0]) - 128) <= 1  # not clipped at 255 of 65,535
    cmyk = decode(save(tmp_path / "print.jpg", flat((0, 200, 0)).convert("CMYK"), quality=95), 16, 3)[0, :, 8, 8]
    assert torch.allclose(cmyk.float(), torch.tensor([0.0, 200.0, 0.0]), atol=12)
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert decode(save(tmp_path / "clear.webp", clear), 8, 3).unique().tolist() == [255]
    assert decode(save(tmp_path / "two.png", Image.new("1", (8, 8), 1)), 8, 1).unique().tolist() == [255]


def test_a_camera_held_upright_gives_an_upright_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    file = save(tmp_path / "turned.jpg", halves(64, 64), exif=exif, quality=95)
    upright = decode(file, 16, 3)[0]
    assert upright[0, 1, 8] > 200 > 60 > upright[2, 1, 8]  # the left half is on top
    assert upright[2, 14, 8] > 200 > 60 > upright[0, 14, 8]


def test_what_is_skipped_is_listed_and_no_foreign_program_is_started(tmp_path):
    save(tmp_path / "a.png", flat("red"))
    (tmp_path / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    save(tmp_path / "float.tif", Image.fromarray(np.ones((8, 8), np.float32)))
    save(tmp_path / "far.tif", Image.fromarray(np.full((8, 8), 70_000, np.int32)))
    (tmp_path / "ward").mkdir()
    for name in ("phone.HEIC", "ward/scan.dcm", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    pictures, skipped = read_pictures(tmp_path, size=8)
    assert len(pictures) == 1
    reasons = {one.file: one.reason for one in skipped}
    assert set(reasons) == {"script.png", "float.tif", "far.tif", "phone.HEIC", "ward/scan.dcm"}
    assert reasons["ward/scan.dcm"] == ".dcm is not read: save it as PNG"
    assert reasons["script.png"] == "cannot identify image file 'script.png'"
    assert "floating-point" in reasons["float.tif"]
    assert "70000" in reasons["far.tif"]


def image_folder(root, *, labels=True):
    """Hugging Face's ImageFolder: splits, and a metadata file that names classes."""
    lines = []
    for number, (name, colour) in enumerate([("cat", "red"), ("dog", "blue"), ("cat", "orange")]):
        save(root / "train" / f"{number}.png", flat(colour))
        lines.append({"file_name": f"{number}.png", "text": "a picture"} | ({"label": name} if labels else {}))
    (root / "train" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return root


def test_metadata_of_an_image_folder_names_the_classes(tmp_path):
    pictures = load_pictures(image_folder(tmp_path / "named"), size=8)
    assert (pictures.classes, pictures.labels.tolist()) == (("cat", "dog"), [0, 1, 0])
    plain = load_pictures(image_folder(tmp_path / "plain", labels=False), size=8)
    assert (plain.classes, plain.labels.tolist()) == ((), [-1, -1, -1])


def test_splits_stand_above_the_classes(tmp_path):
    for split in ("train", "validation"):
        for name in ("cat", "dog"):
            save(tmp_path / split / name / "0.png", flat("red"))
    pictures = load_pictures(tmp_path, size=8)
    assert (len(pictures), pictures.classes) == (4, ("cat", "dog"))
    save(tmp_path / "aeroplane" / "0.png", flat("red"))  # now "train" is a railway
    assert load_pictures(tmp_path, size=8).classes == ("aeroplane", "train", "validation")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"file_name": "../../secret.png"}', "file_name is"),
        ('{"label": "cat"}', "file_name is None"),
        ('{"file_name": "0.png", "label": {"x": 1}}', "label is"),
        ("[[[", "cannot be read"),
    ],
)
def test_bad_metadata_is_named(tmp_path, line, message):
    folder = image_folder(tmp_path)
    (folder / "train" / "metadata.jsonl").write_text(line)
    with pytest.raises(DataError, match=message):
        load_pictures(folder, size=8)


def test_a_file_the_metadata_names_and_nobody_has_is_listed(tmp_path):
    folder = image_folder(tmp_path)
    (folder / "train" / "1.png").unlink()
    _, skipped = read_pictures(folder, size=8)
    assert [(one.file, one.reason) for one in skipped] == [("train/1.png", "named in the metadata, no picture there")]


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_data_sets_of_hugging_face(tmp_path, kind):
    datasets = pytest.importorskip("datasets")
    pictures = [flat(colour) for colour in ("red", "blue", "green")]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "cat"])})
    made = datasets.Dataset.from_dict({"image": pictures, "label": [1, 0, -1]}, features=features)
    folder = tmp_path / "set"
    if kind == "arrow":
        made.save_to_disk(folder)
    else:
        (folder / "data").mkdir(parents=True)
        made.to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    pictures = load_pictures(folder, size=8)
    assert (pictures.classes, pictures.labels.tolist()) == (("cat", "dog"), [0, 1, -1])
    assert pictures.images[0, :, 4, 4].tolist() == [255, 0, 0]
    next(folder.rglob("*.parquet" if kind == "parquet" else "*.arrow")).write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match="cannot be read"):
        load_pictures(folder, size=8)


# --- classes by name -------------------------------------------------------------------------------------------------

CARD = ("zebra", "Cat", "dog", "Käfer")


def test_three_nodes_with_other_subsets_in_other_order_end_with_the_same_labels(tmp_path):
    colours = {"zebra": "black", "cat": "red", "DOG": "blue", "Ka\u0308fer": "green"}
    for node, names in enumerate([["cat", "zebra"], ["DOG", "Ka\u0308fer", "cat"], ["Ka\u0308fer", "zebra", "DOG"]]):
        for name in names:
            save(tmp_path / str(node) / name / "0.png", flat(colours[name]))
    seen = {}
    for node in range(3):
        pictures = load_pictures(tmp_path / str(node), size=8, reading=Reading(classes=CARD))
        assert pictures.classes == CARD
        for image, label in zip(pictures.images, pictures.labels.tolist(), strict=True):
            assert seen.setdefault(tuple(image[:, 4, 4].tolist()), label) == label
    assert seen == {(0, 0, 0): 0, (255, 0, 0): 1, (0, 0, 255): 2, (0, 128, 0): 3}


def test_unknown_classes_are_refused_or_ignored(tmp_path):
    save(tmp_path / "cat" / "0.png", flat("red"))
    save(tmp_path / "dgo" / "0.png", flat("blue"))
    with pytest.raises(DataError, match="knows no class 'dgo'; it has zebra, Cat") as refused:
        load_pictures(tmp_path, size=8, reading=Reading(classes=CARD))
    assert 'did you mean "dog"' in refused.value.hint
    kept = load_pictures(tmp_path, size=8, reading=Reading(classes=CARD, unknown="ignore"))
    assert (len(kept), kept.labels.tolist()) == (1, [1])
    shutil.rmtree(tmp_path / "cat")
    with pytest.raises(DataError, match="no picture is of a class"):
        load_pictures(tmp_path, size=8, reading=Reading(classes=CARD, unknown="ignore"))


def test_pictures_without_labels_stay_without():
    bare = PictureSet(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([-1, -1]))
    assert bare.named(CARD).labels.tolist() == [-1, -1]
    with pytest.raises(DataError, match="twice"):
        bare.named(("a", "A"))
