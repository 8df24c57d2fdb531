"""CIDs against golden vectors of another implementation, a known published CID, and libipld's codec."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import libipld
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdfed_sdk.artifacts.cid import CHUNK, DAG_PB, LINKS, RAW, Cid, blocks, chunks, cid_of, dag, root_of
from pdfed_sdk.errors import UsageError
from tests.support.cids import content, version_0

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "cid.json").read_text())["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: str(v["size"]))
def test_golden_vectors(vector: dict, tmp_path: Path) -> None:
    data = content(vector["size"])
    assert sha256(data).hexdigest() == vector["sha256"]
    path = tmp_path / "file"
    path.write_bytes(data)
    assert str(cid_of(path)) == vector["cid"]
    *_, (root, _) = dag(chunks(data), version=0)
    assert version_0(root) == vector["cid_v0"]


def test_vectors_reach_a_third_level() -> None:
    assert max(v["size"] for v in VECTORS) > 2 * LINKS * CHUNK
    assert {"size": LINKS * CHUNK + 1}.items() <= next(v for v in VECTORS if v["size"] == LINKS * CHUNK + 1).items()


def test_a_published_cid() -> None:
    assert str(cid_of(b"hello world")) == "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


def test_blocks_rebuild_the_file_and_hash_to_their_names() -> None:
    data = content(3 * CHUNK + 17)
    found = list(blocks(data))
    assert b"".join(block for cid, block in found if cid.codec == RAW) == data
    assert all(sha256(block).digest() == cid.digest for cid, block in found)
    assert found[-1][0] == cid_of(data)
    assert found[-1][0].codec == DAG_PB


def test_bytes_and_file_agree(tmp_path: Path) -> None:
    data = content(2 * CHUNK + 1)
    (tmp_path / "f").write_bytes(data)
    assert cid_of(data) == cid_of(tmp_path / "f") == root_of(chunks(data))


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([RAW, DAG_PB]), st.binary(min_size=32, max_size=32))
def test_text_form_agrees_with_libipld(codec: int, digest: bytes) -> None:
    cid = Cid(codec, digest)
    assert Cid.parse(str(cid)) == cid
    assert str(cid) == libipld.encode_cid(bytes(cid))
    decoded = libipld.decode_cid(str(cid))
    assert (decoded["version"], decoded["codec"], decoded["hash"]["digest"]) == (1, codec, digest)


GOOD = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        GOOD.upper(),
        GOOD[:-1],
        GOOD + "a",
        GOOD[:-1] + "f",  # bits beyond the last byte: not canonical
        "../" + GOOD,
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",  # dag-cbor
        "zdj7WhuEjrB52m1BisYCtmjH1hSKa7yZ3jEZ9JcXaFRD51wVz",
    ],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Cid.parse(text)


@pytest.mark.parametrize(("codec", "digest"), [(0x71, b"0" * 32), (RAW, b"0" * 31), (RAW, b"")])
def test_impossible_parts_are_refused(codec: int, digest: bytes) -> None:
    with pytest.raises(UsageError):
        Cid(codec, digest)
