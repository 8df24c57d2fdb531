"""``pdfed train``: a run in a folder, what it leaves there, how it goes on, and what it refuses."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pdfed_sdk.errors import DataError, MlError, UsageError
from pdfed_sdk.ml import runs
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.diffusion.model import ModelConfig, load_pipeline, new_model, save_pipeline
from pdfed_sdk.ml.runs import PRESETS, RunOptions, plan, run
from tests.support.cli_runner import Cli, runner


@pytest.fixture(autouse=True)
def few_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "GRIDS", 2)
    monkeypatch.setattr(runs, "GRID_STEPS", 2)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return runner(monkeypatch, capsys)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures of 8 px in two classes."""
    path = tmp_path_factory.mktemp("data") / "few.npz"
    images = torch.randint(0, 256, (40, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    PictureSet(images, torch.arange(40) % 2, ("a", "b")).save(path)
    return path


def options(data: Path, **changes: object) -> RunOptions:
    plain = {"data": str(data), "widths": (8, 16), "pictures": 320, "batch": 16, "device": "cpu"}
    return RunOptions(**{**plain, **changes})  # type: ignore[arg-type]


def lines_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


def quiet(text: str) -> None:
    pass


def test_a_killed_run_goes_on_and_leaves_what_an_unbroken_one_leaves(data: Path, tmp_path: Path, monkeypatch):
    run(tmp_path / "whole", options(data), quiet)
    plain = runs._Record._line

    def killed(self: runs._Record, now: runs.Progress, rate: float) -> None:
        plain(self, now, rate)
        if now.pictures == 208:
            raise KeyboardInterrupt

    monkeypatch.setattr(runs._Record, "_line", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", options(data), quiet)
    assert not (tmp_path / "killed" / "model").exists()
    monkeypatch.undo()
    said: list[str] = []
    run(tmp_path / "killed", options(data), said.append)
    whole, again = (load_pipeline(tmp_path / name / "model") for name in ("whole", "killed"))
    assert whole.weights_digest() == again.weights_digest()
    stats = [[(line["pictures"], line["loss"]) for line in lines_of(tmp_path / name)] for name in ("whole", "killed")]
    assert stats[0] == stats[1]
    assert stats[0][-1][0] == 320
    found = {path.name for path in (tmp_path / "killed").iterdir()}
    assert found == {"options.json", "train.log", "stats.jsonl", "samples", "model", "facts.json"}
    assert (tmp_path / "killed" / "samples" / "final.png").read_bytes()[:4] == b"\x89PNG"
    assert "going on at" in (tmp_path / "killed" / "train.log").read_text()


def test_a_folder_holds_one_run_and_says_what_differs(data: Path, tmp_path: Path):
    run(tmp_path / "run", options(data, pictures=32), quiet)
    with pytest.raises(UsageError, match="came to its end"):
        run(tmp_path / "run", options(data, pictures=32), quiet)
    (tmp_path / "run" / "facts.json").unlink()
    with pytest.raises(UsageError, match=r"with seed 0, not 1"):
        run(tmp_path / "run", options(data, pictures=32, seed=1), quiet)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="is no run"):
        run(tmp_path / "mine", options(data), quiet)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_a_full_disk_ends_a_run_in_words_and_it_goes_on_when_there_is_room(data: Path, tmp_path: Path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        with pytest.raises(MlError, match="cannot be written") as caught:
            run(tmp_path / "run", options(data), quiet)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "the same command again" in caught.value.hint
    assert not list((tmp_path / "run").rglob("*part*"))
    assert not (tmp_path / "run" / "model").exists()
    assert run(tmp_path / "run", options(data), quiet).facts.pictures == 320


def test_a_model_that_cannot_be_saved_costs_no_training(data: Path, tmp_path: Path, monkeypatch):
    def full(self: object, model: object, folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pdfed_sdk.ml.diffusion.ddpm.Ddpm.save", full)
    with pytest.raises(MlError, match="the disk is full"):
        run(tmp_path / "run", options(data), quiet)
    monkeypatch.undo()
    assert (tmp_path / "run" / "state.safetensors").exists()
    run(tmp_path / "run", options(data), quiet)
    assert lines_of(tmp_path / "run")[-1]["pictures"] == 320
    assert "going on at 320 of 320" in (tmp_path / "run" / "train.log").read_text()


def test_a_place_that_cannot_be_written(data: Path):
    with pytest.raises(MlError, match="cannot be written") as caught:
        run(Path("/proc/pdfed-run"), options(data), quiet)
    assert "name a folder that can be written" in caught.value.hint


def test_a_parent_decides_the_shape_and_one_of_other_classes_is_refused(data: Path, tmp_path: Path):
    for name, config in (("two", ModelConfig(size=16, classes=2, widths=(8, 16))), ("one", ModelConfig(classes=1))):
        save_pipeline(new_model(config), tmp_path / name)
    ready = plan(options(data, start=str(tmp_path / "two")))
    assert (ready.pictures.size, ready.network.size) == (16, 16)
    with pytest.raises(UsageError, match="is for 16 px, the preset for 32"):
        plan(options(data, start=str(tmp_path / "two"), preset=32))
    with pytest.raises(DataError, match=r"labels outside 0\.\.0"):
        run(tmp_path / "run", options(data, start=str(tmp_path / "one")), quiet)


@pytest.mark.parametrize("size", sorted(PRESETS))
def test_presets_make_networks_that_run(data: Path, size: int):
    ready = plan(options(data, preset=size, widths=None, batch=0, pictures=0))
    assert ready.network.attention == PRESETS[size].attention
    assert ready.config.pictures == 36 * 250
    with torch.device("meta"):
        model = new_model(ready.network)
        shown = torch.zeros(1, 1, size, size)
        assert model.network(shown, torch.zeros(1), torch.zeros(1, dtype=torch.int64)).sample.shape == shown.shape


def folder_of(path: Path, classes: int, broken: int = 0) -> Path:
    for name in range(classes):
        (path / str(name)).mkdir(parents=True)
        for index in range(6):
            pixels = np.full((8, 8), 40 * index, dtype=np.uint8)
            Image.fromarray(pixels).save(path / str(name) / f"{index}.png")
    for index in range(broken):
        (path / "0" / f"broken{index}.png").write_bytes(b"\x89PNG rubbish")
    return path


def test_what_the_command_refuses_and_what_it_says(tmp_path: Path, cli: Cli):
    (tmp_path / "empty").mkdir()
    done = cli("train", tmp_path / "empty", "--out", tmp_path / "run")
    assert done.code == 41
    assert "next:" in done.err
    done = cli("train", tmp_path / "nothing", "--out", tmp_path / "run2")
    assert done.code == 41
    done = cli("train", "mnist", "--out", tmp_path / "run3", "--picturs", "10")
    assert done.code == 2
    assert "--pictures" in done.err
    done = cli("train", "mnist", "--out", tmp_path / "run4", "--attention", "deep")
    assert (done.code, '--attention is "deep"' in done.err) == (2, True)
    assert not list(tmp_path.glob("run*"))


@pytest.mark.filterwarnings("ignore:2 files skipped")
def test_one_class_and_corrupt_files_are_said_and_the_rest_is_trained_on(tmp_path: Path, cli: Cli):
    data = folder_of(tmp_path / "data", classes=1, broken=2)
    small = ("--preset", 16, "--channels", 1, "--widths", "8,16", "--pictures", 32, "--heldout", 0.34, "--json")
    done = cli("train", data, "--out", tmp_path / "run", *small)
    assert done.code == 0, done.err
    assert "all pictures are of one class" in done.err
    assert set(done.json) == {"folder", "model", "facts"}
    assert load_pipeline(tmp_path / "run" / "model").config.classes == 1
