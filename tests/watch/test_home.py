"""The private view: what a node's home says, drawn again where it must be, and only to who has the token."""

from __future__ import annotations

import base64
import io
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pdfed_sdk.errors import UsageError
from pdfed_sdk.family import load_model
from pdfed_sdk.ml.data import NodeSplit
from pdfed_sdk.types import Address
from pdfed_sdk.watch import home as homes
from pdfed_sdk.watch.evidence import pairs_of
from pdfed_sdk.watch.home import Home, gpus
from tests.support.own_home import PAIRS, SEED, SETTINGS, make_home

ME = "0x" + "ab" * 20


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NodeSplit]:
    folder = tmp_path_factory.mktemp("home")
    return folder, make_home(folder, ME)


def pixels(url: str) -> np.ndarray:
    kind, _, data = url.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_pairs_are_the_very_sample_and_the_very_picture(made: tuple[Path, NodeSplit]) -> None:
    folder, split = made
    found = pairs_of(folder, 2, None, bytes(32))
    assert [(pair["sample"], pair["train"], pair["score"]) for pair in found["pairs"]] == list(PAIRS)
    assert found["seed"] == SEED.hex()
    model = load_model(folder / "models" / "2" / "model")
    images, _ = model.family.sample(model, SETTINGS.samples, SEED, steps=SETTINGS.sampler_steps, solver=SETTINGS.solver)
    for pair in found["pairs"]:
        for shown, picture in (
            (pair["made"], images[pair["sample"]]),
            (pair["own"], split.train.images[pair["train"]]),
        ):
            assert (pixels(shown)[::6, ::6] == picture[0].numpy()).all(), "enlarged by a whole factor, nothing else"


def test_what_cannot_be_drawn_says_why(made: tuple[Path, NodeSplit], tmp_path: Path) -> None:
    folder, _ = made
    with pytest.raises(KeyError):
        pairs_of(folder, 3, None, bytes(32))
    (folder / "models" / "2").rename(folder / "models" / "away")
    try:
        with pytest.raises(UsageError, match="keeps model 2 no more"):
            pairs_of(folder, 2, None, bytes(32))
    finally:
        (folder / "models" / "away").rename(folder / "models" / "2")


def test_training_is_shown_as_it_goes(made: tuple[Path, NodeSplit]) -> None:
    view = Home(made[0], Address(ME)).read()
    training = view["training"]
    assert training["total"] == 640
    assert training["curve"][-1][0] == 640
    assert len(training["curve"]) == 20, "a run of twenty steps has a point for each"
    assert training["curve"][-1][1] < training["curve"][0][1], "it learns"
    assert 1 <= len(training["samples"]) <= homes.STRIPS
    assert pixels(training["samples"][-1]["picture"]).shape == (48, 6 * 17 * 3)
    assert view["evaluations"][0]["copies"] == 2


def test_what_it_does_now_and_a_node_that_is_silent(made: tuple[Path, NodeSplit]) -> None:
    folder, _ = made
    doing = Home(folder, Address(ME)).read()["doing"]
    assert (doing["doing"], doing["number"], doing["still"]) == ("scoring", 2, False)
    before = time.time() - 600
    os.utime(folder / "now.json", (before, before))
    assert Home(folder, Address(ME)).read()["doing"]["still"]


@pytest.mark.parametrize(
    "note", ["", "[]", "{}", '{"doing": [], "number": "x"}', '{"doing": 1, "number": 1e999}', "\x00"]
)
def test_notes_that_are_damaged_are_left_out(tmp_path: Path, note: str) -> None:
    for place in ("now.json", "evaluations/1.json", "attempts/1/attempt.json", "attempts/1/curve.jsonl"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(note)
    json.dumps(Home(tmp_path, Address(ME)).read(), allow_nan=False)


def test_gpus_are_read_as_nvidia_smi_tells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "NVIDIA H100 80GB HBM3, 1024, 81559, 37\nodd, name, [N/A], 5, 6\nOther, 1, 2, 3\n"
    monkeypatch.setattr(homes.subprocess, "run", lambda *_a, **_k: SimpleNamespace(stdout=said))
    assert [gpu["name"] for gpu in gpus()] == ["NVIDIA H100 80GB HBM3", "Other"]
    assert gpus()[0] == {"name": "NVIDIA H100 80GB HBM3", "used": 1024 << 20, "total": 81559 << 20, "busy": 37.0}
