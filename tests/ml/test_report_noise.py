"""The private HTML report, the noise of a no-op retrain, the benchmarks' plumbing."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.replacement import POOL, SHARES, STRENGTHS, summary
from pdfed_sdk.errors import DataError, MlError
from pdfed_sdk.ml.diffusion.model import ModelConfig, new_model
from pdfed_sdk.ml.diffusion.training import TrainConfig
from pdfed_sdk.ml.scoring.noop_retrain import noop_noise, samples_needed, summarise, twins
from pdfed_sdk.ml.scoring.page import grid_png, resemblances_png, write_report


def test_the_report_is_one_private_page_with_its_pictures_inside(scorer, splits, noise, tmp_path):
    copies = splits[0].train.images[:40]
    report = scorer.score(copies)
    path = write_report(report, copies, splits[0].train, tmp_path, history=[scorer.score(noise)], title="<model 3>")
    page = path.read_text()
    assert "&lt;model 3&gt;" in page
    assert "<model 3>" not in page
    assert "Do not publish" in page
    assert f"{report.confirmed_samples} of 40 samples are copies of {len(report.pairs)} of your pictures" in page
    assert "http" not in page  # nothing is fetched from anywhere
    assert "Most copied pictures" in page
    for name in ("samples", "resemblances", "most_copied", "scores", "distances", "calibration", "history"):
        assert Image.open(tmp_path / f"{name}.png").width > 100
        assert f'alt="{name}"' in page


def test_a_report_without_copies_has_no_pairs(scorer, splits, noise, tmp_path):
    page = write_report(scorer.score(noise), noise, splits[0].train, tmp_path).read_text()
    assert "none of 40 samples is a confirmed copy" in page
    assert "Most copied" not in page


def test_the_grid_shows_each_copy_beside_its_original_in_a_frame(scorer, splits):
    train = splits[0].train
    report = scorer.score(train.images[:40])
    grid = np.array(Image.open(io.BytesIO(resemblances_png(report, train.images[:40], train, limit=1))))
    first = max(report.pairs, key=lambda pair: (pair.score, -pair.sample))
    expected = np.array(Image.fromarray(train.images[first.train][0].numpy()).resize((72, 72), Image.NEAREST))
    for left in (3, 3 + 74):
        assert (grid[3:75, left : left + 72] == expected[:, :, None]).all()
    assert tuple(grid[2, 20]) == (181, 83, 43)


def test_every_sample_names_the_picture_it_resembles_most(scorer, splits):
    train = splits[0].train
    report = scorer.score(train.images[:40])
    assert len(report.nearest) == 40
    assert all(report.nearest[pair.sample].score >= pair.score for pair in report.pairs)
    assert sum(near.train == i for i, near in enumerate(report.nearest)) >= 38
    assert all(0 <= near.score <= 1 and near.distance >= 0 for near in report.nearest)


def test_the_wrong_pictures_make_no_report(scorer, splits, noise, tmp_path):
    with pytest.raises(DataError, match="samples has 10 pictures"):
        write_report(scorer.score(noise), noise[:10], splits[0].train, tmp_path)


@pytest.mark.parametrize("channels", [1, 3])
def test_grids_place_every_picture(channels):
    images = torch.arange(5 * channels * 16, dtype=torch.uint8).view(5, channels, 4, 4)
    picture = Image.open(io.BytesIO(grid_png(images, columns=3)))
    assert picture.size == (18, 12)


def test_min_step_is_three_deviations_of_the_outcome():
    quiet = summarise([[0.1, -0.1, 0.0], [0.2, 0.0, 0.1]])
    assert quiet.min_step == 2
    loud = summarise([[2.0, 1.0, 1.5], [-1.5, -2.0, -1.0]])
    assert loud.outcome_deviation == pytest.approx(1.5)
    assert loud.min_step == 5


def test_noop_noise_trains_twins_and_scores_them(scorer, splits):
    parent = new_model(ModelConfig(widths=(8, 16)), 1)
    equals = list(twins(parent, splits[1].train, TrainConfig(pictures=64), pairs=1))
    found = noop_noise(equals, [scorer])
    assert len(found.values) == len(found.values[0]) == 1
    assert found.min_step >= 2
    with pytest.raises(MlError, match="at least one"):
        noop_noise(equals, [])


@pytest.mark.parametrize(("fixed", "drawn", "needed"), [(0.25, 300.0, 400), (0.0, 90.0, 90), (1.1, 50.0, None)])
def test_samples_needed_tells_what_twins_differ_by_from_what_draws_do(fixed, drawn, needed):
    def noise(count):
        return summarise([[(fixed + drawn / count) ** 0.5]])

    found = {count: noise(count) for count in (128, 512, 1_000)}
    assert samples_needed(found) in (needed, needed and needed + 1)
    assert samples_needed({128: noise(128)}) is None


def test_replacement_sums_up_counts():
    none = {"planted": 0, "found": 0, "false_alarms": 5, "paired": 3, "right": 0}
    half = {"planted": 250, "found": 245, "false_alarms": 4, "paired": 200, "right": 190}
    every = {"planted": 500, "found": 480, "false_alarms": 0, "paired": 400, "right": 380}
    assert summary([none, half, every]) == {  # half holds no picture that the others do not
        "balanced_accuracy": pytest.approx((0.96 + 1 - 5 / POOL) / 2),
        "recall": 0.96,
        "fpr": 5 / POOL,
        "right_pair": 0.95,
    }
    assert SHARES[0] == 0
    assert SHARES[-1] == 1


@pytest.mark.parametrize("name", sorted(STRENGTHS))
def test_strengths_are_seeded_and_keep_the_shape(name, noise):
    first, again = (STRENGTHS[name](noise, torch.Generator().manual_seed(1)) for _ in range(2))
    assert first.equal(again)
    assert first.dtype == torch.uint8
    assert first.shape == noise.shape
    assert (name == "exact") == first.equal(noise)


def test_a_large_search_reports_memory_and_exactness():
    speed = pytest.importorskip("benchmarks.scoring_speed")
    found = speed.large_search(3_000, 30, 16 << 20, dim=32)
    assert found["rows_confirmed"] == 1
    assert found["largest_relative_error"] < 1e-6
    assert found["memory_cap_mb"] == 16
    times, values = speed.in_turns([lambda: 1, lambda: 2], 3)
    assert (len(times), values) == (2, [1, 2])


def test_sensitivity_measures_everything_and_draws_it(tmp_path):
    from benchmarks.sensitivity import Bench, plot

    bench = Bench(16, 0, "pixels")
    rows = [bench.measure(share, 60) for share in (0.0, 0.5)]
    assert {"share", "samples", "novelty", "auth_pct", "ct", "fld", "fld_gap", "fid", "coverage"} <= set(rows[0])
    assert rows[1]["r_c"] > rows[0]["r_c"] + 0.2
    plot(rows, rows, tmp_path / "s.png")
    assert Image.open(tmp_path / "s.png").width > 500
