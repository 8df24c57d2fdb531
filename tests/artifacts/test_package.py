"""Packages: what is packed comes back and loads; what a stranger might send instead is refused."""

from __future__ import annotations

import io
import json
import pickle
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pdfed_sdk.artifacts import package as package_module
from pdfed_sdk.artifacts.package import (
    Limits,
    digests_of,
    open_package,
    pack_folder,
    read_package,
    weights_digest,
)
from pdfed_sdk.errors import PackageInvalid, StoreError
from pdfed_sdk.family import CARD
from pdfed_sdk.ml.diffusion.ddpm import MODEL_INDEX, SCHEDULER_CONFIG, UNET_CONFIG, WEIGHTS
from tests.support.pipelines import INDEX, SCHEDULER, UNET, folder_of, parts, weights


def zip_of(entries: list[tuple[str, bytes]], **info: Any) -> bytes:
    """A ZIP by Python's writer, in the form packages have; ``info`` sets fields of every entry."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, value in entries:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            for key, item in info.items():
                setattr(entry, key, item)
            archive.writestr(entry, value)
    return out.getvalue()


def refused(data: bytes, words: str, tmp_path: Path) -> None:
    """Refused by the reader and by the unpacker, which leaves nothing behind."""
    with pytest.raises(PackageInvalid, match=words):
        read_package(data)
    with pytest.raises(PackageInvalid, match=words):
        open_package(data, tmp_path / "into")
    assert not (tmp_path / "into").exists()
    assert not list(tmp_path.glob(".part-*"))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    pack_folder(folder_of(tmp_path / "model", parts()), tmp_path / "good.zip")
    return tmp_path / "good.zip"


# --- good packages ---------------------------------------------------------------------------------------------------


def test_round_trip(good: Path, tmp_path: Path) -> None:
    contents = open_package(good, tmp_path / "out")
    assert contents == read_package(good) == read_package(good.read_bytes())
    found = {p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*.*")}
    assert found == parts()
    assert contents.weights_digest == weights_digest(tmp_path / "out") == weights_digest(tmp_path / "out" / WEIGHTS)
    assert contents.parameters == 64 + 12
    assert contents.manifest == b""


def test_equal_folders_give_equal_bytes(good: Path, tmp_path: Path) -> None:
    other = folder_of(tmp_path / "again", dict(reversed(parts().items())))
    (other / CARD).chmod(0o600)
    pack_folder(other, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == good.read_bytes()


def test_other_readers_agree(good: Path) -> None:
    with zipfile.ZipFile(good) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted(parts())
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        assert {name: archive.read(name) for name in archive.namelist()} == parts()


def test_our_reader_takes_what_python_writes() -> None:
    assert read_package(zip_of(sorted(parts().items()))).files == {n: len(v) for n, v in sorted(parts().items())}


def test_a_manifest_of_an_unpacked_parent_is_left_out(good: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "child", parts() | {"META-INF/content_credential.c2pa": b"of the parent"})
    pack_folder(folder, tmp_path / "child.zip")
    assert (tmp_path / "child.zip").read_bytes() == good.read_bytes()


def test_unsigned_packages_have_no_digests(good: Path) -> None:
    with pytest.raises(PackageInvalid, match="no manifest"):
        digests_of(good)


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32", "F64"])
def test_bfloat16_and_the_others_are_read(dtype: str) -> None:
    width = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}[dtype]
    assert read_package(zip_of(sorted(parts(**{WEIGHTS: raw(dtype, b"\0" * 128 * width, [128])}).items())))


def test_a_diffusers_pipeline_survives(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        num_class_embeds=10,
    )
    pipeline = diffusers.DDPMPipeline(unet=unet, scheduler=diffusers.DDPMScheduler(num_train_timesteps=10))
    pipeline.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / CARD).write_text("# Tiny\n")
    contents = pack_folder(tmp_path / "model", tmp_path / "model.zip")
    assert contents.parameters == sum(p.numel() for p in unet.parameters())
    open_package(tmp_path / "model.zip", tmp_path / "loaded")
    loaded = diffusers.DDPMPipeline.from_pretrained(tmp_path / "loaded")
    assert loaded.scheduler.config.num_train_timesteps == 10
    for name, tensor in unet.state_dict().items():
        assert torch.equal(loaded.unet.state_dict()[name], tensor), name


# --- the container ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/passwd", "unet/../../evil", "C:\\evil", "unet\\config.json", "unet/diffusion_pytorch_model.bin"],
)
def test_names_outside_the_list(tmp_path: Path, name: str) -> None:
    refused(zip_of(sorted([*parts().items(), (name, b"x")])), "no place in a package", tmp_path)


@pytest.mark.parametrize("name", ["unet/model\0.bin", "mod\u00e8le", "a\nb"])
def test_names_of_strange_letters(tmp_path: Path, name: str) -> None:
    data = zip_of(sorted([*parts().items(), (name.replace("\0", "?"), b"x")]))
    refused(data.replace(b"model?.bin", b"model\0.bin"), "cannot be used|not ASCII|compressed", tmp_path)


@pytest.mark.parametrize("name", sorted(parts()))
def test_missing_files(tmp_path: Path, name: str) -> None:
    refused(zip_of(sorted(parts(**{name: None}).items())), f"{name}.* is missing", tmp_path)


def test_compression_bomb(tmp_path: Path) -> None:
    bomb = zip_of(sorted(parts(**{CARD: b"\0" * 50_000_000}).items()), compress_type=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    refused(bomb, "compressed", tmp_path)


def test_overlapping_entries_bomb(tmp_path: Path) -> None:
    """Many directory records that share one file's bytes."""
    data = zip_of([("README.md", b"x" * 1000)])
    end = data.rindex(b"PK\x05\x06")
    start = data.index(b"PK\x01\x02")
    records = data[start:end] * 30
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 30, 30, len(records), start, 0)
    refused(data[:start] + records + tail, "contradicts", tmp_path)


def test_symbolic_link(tmp_path: Path) -> None:
    refused(zip_of(sorted(parts().items()), external_attr=(stat.S_IFLNK | 0o777) << 16), "link", tmp_path)


def test_twins_and_disorder(tmp_path: Path) -> None:
    entries = sorted(parts().items())
    with pytest.warns(UserWarning, match="Duplicate"):
        twins = zip_of([entries[0], *entries])
    refused(twins, "stands twice", tmp_path)
    refused(zip_of(entries[::-1]), "not sorted", tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: b"#!/bin/sh\n" + d,
        lambda d: d + b"trailing",
        lambda d: d[:-1],
        lambda d: d[: len(d) // 2],
        lambda d: b"",
        lambda d: b"not a zip at all, but long enough",
        lambda d: d[:-2] + b"\x05\0hello",
    ],
)
def test_bytes_around_the_archive(good: Path, tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    refused(change(good.read_bytes()), ".", tmp_path)


@pytest.mark.parametrize("where", ["between entries", "before the directory", "behind the directory"])
def test_hidden_bytes(good: Path, tmp_path: Path, where: str) -> None:
    """Offsets put right: Python's reader takes each of these."""
    data, hidden = good.read_bytes(), b"hidden!!"
    start, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    body, directory, tail = data[:start], data[start:end], list(struct.unpack("<4s4H2IH", data[end:]))
    if where == "between entries":
        cut = body.rindex(b"PK\x03\x04")
        body = body[:cut] + hidden + body[cut:]
        at = directory.rindex(b"PK\x01\x02") + 42
        directory = directory[:at] + struct.pack("<I", cut + len(hidden)) + directory[at + 4 :]
    elif where == "before the directory":
        body += hidden
    else:
        directory += hidden
        tail[5] += len(hidden)
    tail[6] = len(body)
    changed = body + directory + struct.pack("<4s4H2IH", *tail)
    if where != "behind the directory":
        with zipfile.ZipFile(io.BytesIO(changed)) as archive:
            assert archive.testzip() is None
    refused(changed, "contradicts|belong to no entry", tmp_path)


def test_every_flipped_bit_of_the_container_is_seen(good: Path) -> None:
    """Without a signature: every byte that is not the directory's record of attributes is covered."""
    data = good.read_bytes()
    unseen = []
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 0x10
        try:
            read_package(bytes(broken))
        except PackageInvalid:
            continue
        unseen.append(at)
    start = data.index(b"PK\x01\x02")
    assert all(at >= start for at in unseen)
    assert len(unseen) <= 10 * len(parts())  # version made by, attributes: signed packages cover these too


def test_too_many_entries(tmp_path: Path) -> None:
    refused(zip_of([(f"f{i:03}", b"") for i in range(65)]), "65 entries, the limit is 64", tmp_path)


def test_limits(good: Path, tmp_path: Path) -> None:
    size = good.stat().st_size
    assert read_package(good, Limits(package=size))
    with pytest.raises(PackageInvalid, match=f"{size} bytes, the limit is {size - 1}"):
        open_package(good, tmp_path / "x", Limits(package=size - 1))
    with pytest.raises(PackageInvalid, match="limit is 5"):
        read_package(good, Limits(text=5))


# --- weights ---------------------------------------------------------------------------------------------------------


def raw(dtype: Any, data: bytes, shape: Any, offsets: Any = None) -> bytes:
    """A safetensors file by hand: one tensor w."""
    item = {"dtype": dtype, "shape": shape, "data_offsets": offsets or [0, len(data)]}
    header = json.dumps({"w": item}).encode()
    return len(header).to_bytes(8, "little") + header + data


def with_weights(data: bytes) -> bytes:
    return zip_of(sorted(parts(**{WEIGHTS: data}).items()))


def test_a_pickle_under_the_name_of_weights(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "owned",))

    refused(with_weights(pickle.dumps(Trap())), "not safetensors", tmp_path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_values_that_are_not_numbers(tmp_path: Path, dtype: Any, bad: float) -> None:
    values = np.zeros(100, dtype)
    values[57] = bad
    refused(with_weights(weights(layer=values)), "'layer' holds NaN or infinity at element 57", tmp_path)


@pytest.mark.parametrize("bits", [0x7F80, 0xFF80, 0x7FC0])
def test_bfloat16_values_that_are_not_numbers(tmp_path: Path, bits: int) -> None:
    data = np.zeros(100, "<u2")
    data[99] = bits
    refused(with_weights(raw("BF16", data.tobytes(), [100])), "element 99", tmp_path)


def test_largest_finite_values_pass() -> None:
    read_package(with_weights(weights(w=np.full(100, np.finfo(np.float32).max))))
    read_package(with_weights(weights(w=np.full(100, -np.finfo(np.float16).max, np.float16))))


D = b"\0" * 400
TWICE = (16).to_bytes(8, "little") + b'{"w": 1, "w": 2}'


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not safetensors"),
        (b"\xff" * 8, "not safetensors"),
        ((2 << 20).to_bytes(8, "little") + b"{}", "not safetensors"),
        ((2).to_bytes(8, "little") + b"{}", "0 tensors"),
        ((2).to_bytes(8, "little") + b"[]", "not an object"),
        ((5).to_bytes(8, "little") + b"{nope", "not JSON"),
        ((10**5).to_bytes(8, "little") + b"[" * 10**5, "not JSON"),
        (raw("F32", D, [99]), "does not fill"),
        (raw("F32", D, [101]), "does not fill"),
        (raw("F32", D, [100]) + b"\0", "the data at 401"),
        (raw("F32", D, [100], [4, 400]), "does not fill"),
        (raw("F32", D, [100], [0, 404]), "does not fill"),
        (raw("F32", D, [-100]), "impossible shape"),
        (raw("F32", D, [100.0]), "impossible shape"),
        (raw("F32", D, [True] * 3), "impossible shape"),
        (raw("F32", D, [1] * 9), "impossible shape"),
        (raw("F32", D, [1 << 60, 1 << 60]), "impossible shape"),
        (raw("F32", D, [100], [0]), "not described"),
        (raw("F32", D, None), "not described"),
        (raw("I64", D, [50]), "type 'I64'"),
        (raw("F8_E4M3", D, [400]), "type 'F8_E4M3'"),
        (raw(["F32"], D, [100]), "type"),
        (TWICE, "stands twice"),
    ],
    ids=lambda value: value[:16] if isinstance(value, str) else "header",
)
def test_headers_of_weights(tmp_path: Path, data: bytes, words: str) -> None:
    refused(with_weights(data), words, tmp_path)


def test_overlapping_tensors(tmp_path: Path) -> None:
    header = {n: {"dtype": "F32", "shape": [100], "data_offsets": [0, 400]} for n in "ab"}
    text = json.dumps(header).encode()
    refused(with_weights(len(text).to_bytes(8, "little") + text + D), "does not fill", tmp_path)


# --- configurations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (MODEL_INDEX, INDEX | {"_class_name": ["evil_pipeline", "Evil"]}, "names"),
        (MODEL_INDEX, INDEX | {"_class_name": "StableDiffusionPipeline"}, "names"),
        (MODEL_INDEX, INDEX | {"unet": ["os", "system"]}, "names"),
        (MODEL_INDEX, INDEX | {"unet": ["diffusers", "UNet2DConditionModel"]}, "names"),
        (MODEL_INDEX, INDEX | {"scheduler": ["subprocess", "PopenScheduler"]}, "names scheduler"),
        (MODEL_INDEX, INDEX | {"scheduler": ["diffusers", "os.systemScheduler"]}, "names scheduler"),
        (MODEL_INDEX, INDEX | {"extra": ["os", "system"]}, "names"),
        (MODEL_INDEX, {k: v for k, v in INDEX.items() if k != "unet"}, "names"),
        (MODEL_INDEX, b"{", "not JSON"),
        (MODEL_INDEX, b"[" * 60_000, "not JSON"),
        (MODEL_INDEX, b"[]", "not a JSON object"),
        (UNET_CONFIG, UNET | {"_class_name": "Other"}, "is of 'Other'"),
        (UNET_CONFIG, UNET | {"quantization_config": {"load": "code"}}, "nested"),
        (UNET_CONFIG, UNET | {"sample_size": 10**9}, "above"),
        (UNET_CONFIG, UNET | {"block_out_channels": [4096, 4096]}, "asks for at least 301989888 parameters"),
        (UNET_CONFIG, UNET | {"layers_per_block": 1000}, "asks for at least"),
        (UNET_CONFIG, UNET | {"num_class_embeds": 900_000}, "asks for at least 900000"),
        (UNET_CONFIG, UNET | {"block_out_channels": "many"}, "cannot be"),
        (UNET_CONFIG, UNET | {"block_out_channels": [True]}, "cannot be"),
        (UNET_CONFIG, b'{"_class_name": "UNet2DModel", "block_out_channels": [2], "x": NaN}', "NaN"),
        (UNET_CONFIG, b'{"_class_name": "UNet2DModel", "block_out_channels": [2], "x": 1e999}', "above"),
        (UNET_CONFIG, b"{" + b" " * 70_000 + b"}", "limit is 65536"),
        (SCHEDULER_CONFIG, SCHEDULER | {"_class_name": "DDIMScheduler"}, "is of 'DDIMScheduler'"),
        (SCHEDULER_CONFIG, SCHEDULER | {"num_train_timesteps": 10**12}, "above"),
        (SCHEDULER_CONFIG, b"\xff\xfe", "not JSON"),
    ],
)
def test_configurations(tmp_path: Path, name: str, value: Any, words: str) -> None:
    refused(zip_of(sorted(parts(**{name: value}).items())), words, tmp_path)


# --- folders and faults ----------------------------------------------------------------------------------------------


def test_folders_that_cannot_be_packed(tmp_path: Path) -> None:
    for name, change in {
        "no folder": None,
        "empty": {},
        "pickle": parts() | {"unet/diffusion_pytorch_model.bin": b"x"},
        "diverged": parts(**{WEIGHTS: weights(w=np.full(100, np.nan))}),
    }.items():
        if change is not None:
            (tmp_path / name).mkdir()
            folder_of(tmp_path / name, change)
        with pytest.raises(PackageInvalid):
            pack_folder(tmp_path / name, tmp_path / "out.zip")
    linked = folder_of(tmp_path / "linked", parts(LICENSE=None))
    (linked / "LICENSE").symlink_to("/etc/passwd")
    with pytest.raises(PackageInvalid, match="link"):
        pack_folder(linked, tmp_path / "out.zip")
    assert not [p for p in tmp_path.iterdir() if p.is_file()]


def test_unpacking_into_a_folder_in_use(good: Path, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    open_package(good, tmp_path / "used")
    with pytest.raises(StoreError, match="not empty"):
        open_package(good, tmp_path / "used")
    assert weights_digest(tmp_path / "used") == read_package(good).weights_digest


def test_a_full_disk_leaves_nothing(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def write(self: Path, data: Any) -> int:
        written.append(self)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        return len(data)

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(package_module.Path, "write_bytes", write)
    with pytest.raises(StoreError, match="no space left"):
        open_package(good, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_a_package_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"gone\.zip"):
        read_package(tmp_path / "gone.zip")
    (tmp_path / "empty.zip").touch()
    with pytest.raises(PackageInvalid, match="empty"):
        read_package(tmp_path / "empty.zip")
