"""The copy test under its rule, the search for mirrored and twin pictures, an objective copying cannot please, and
`find_copies` for people with two folders."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pdfed_sdk.errors import DataError, MlError
from pdfed_sdk.ml import find_copies
from pdfed_sdk.ml.scoring.copy_test import copy_test, exact_interval, nearness
from pdfed_sdk.ml.scoring.reports import ScoringSettings, copy_ratio, objective_value
from pdfed_sdk.ml.scoring.scorer import Scorer, fid_floor

SETTINGS = ScoringSettings()


def verdicts(share: float, assumed: float, evaluations: int = 400) -> list[tuple[bool, int]]:
    """(alarm, samples drawn) of models that copy a share of their samples."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(evaluations):
        first = int(rng.binomial(SETTINGS.samples, share))
        test = copy_test(first, SETTINGS.samples, assumed, 0.99, SETTINGS, lambda n: int(rng.binomial(n, share)))
        found.append((test.alarm, test.samples))
    return found


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0.01), (0.001, 0, 0.01), (0.01, 0.95, 1), (0.05, 1, 1)])
def test_one_copy_in_a_hundred_is_found_and_false_alarms_are_not_copies(share, least, most):
    found = verdicts(share, 0.002)
    alarms = np.mean([alarm for alarm, _ in found])
    assert least <= alarms <= most
    assert max(samples for _, samples in found) <= SETTINGS.copy_samples


def test_clear_cases_need_few_samples():
    assert np.mean([samples for _, samples in verdicts(0.0, 0.002)]) < 600
    assert np.mean([samples for _, samples in verdicts(0.1, 0.002)]) < 150


def test_samples_that_crowd_around_the_training_pictures_are_seen_as_a_whole():
    random = torch.Generator().manual_seed(0)
    unseen = torch.rand(500, generator=random)
    levels = [nearness(torch.rand(200, generator=random), unseen)[1] for _ in range(100)]
    assert 0.3 < np.mean(levels) < 0.7
    assert nearness(0.8 * torch.rand(200, generator=random), unseen)[1] < 0.01


def test_without_more_samples_the_exact_tail_decides():
    few = copy_test(2, 40, 0.01, 0.9, SETTINGS)
    assert not few.alarm
    assert few.excess == 0
    many = copy_test(20, 40, 0.01, 0.9, SETTINGS)
    assert many.alarm
    assert many.p_value < 1e-9
    assert many.excess == pytest.approx(500 - 10)
    assert many.low < 500 < many.high


@pytest.mark.parametrize(
    ("found", "count", "low", "high"), [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (1, 20, 0.0013, 0.2487)]
)
def test_intervals_are_those_of_clopper_and_pearson(found, count, low, high):
    assert exact_interval(found, count) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_copies_cannot_be_hidden_behind_ordinary_pairs_nor_be_paid_for_by_quality():
    """V_A is no part of the normalised objective: pairs that are no copies change nothing. Two copies in a hundred
    outweigh a FID half as high; eq. 6 stays as printed."""
    fid = (2.0, 1.0)
    assert objective_value("qn-normalised", fid, 78.0, 80.0, SETTINGS) == objective_value(
        "qn-normalised", fid, 2.9, 80.0, SETTINGS
    )
    copier = objective_value("qn-normalised", (1.0, 1.0), 0.0, 1_000 * (0.02 - SETTINGS.copy_false_alarms), SETTINGS)
    assert copier > objective_value("qn-normalised", fid, 0.0, 0.0, SETTINGS)
    assert objective_value("qn", (10.0, 1.0), 4.0, 80.0, SETTINGS) == 7
    assert copy_ratio(0.0, SETTINGS) == 1


def test_settings_of_other_rules_are_refused():
    for text in ('{"version": 1}', '{"samples": 128, "epsilon_novelty": 5.0}', '{"version": 3}', '{"version": 5}'):
        with pytest.raises(MlError, match="version"):
            ScoringSettings.from_json(text)
    for change in ({"copy_share": 0.0}, {"copy_alpha": 0.6}, {"copy_samples": 1}, {"copy_doubling": 0.0}):
        with pytest.raises(MlError, match="copy_"):
            ScoringSettings(**change)


def test_mirrored_copies_are_found(scorer, splits):
    mirrored = scorer.score(splits[0].train.images[:40].flip(3))
    blind = Scorer(splits[0], dataclasses.replace(scorer.settings, mirrored=False), extractor=scorer.extractor)
    assert mirrored.confirmed_samples == 40
    assert mirrored.copies.alarm
    assert blind.score(splits[0].train.images[:40].flip(3)).confirmed_samples < 20


def test_all_neighbours_are_verified_unless_the_class_threshold_is_asked_for(scorer, splits, noise):
    report = scorer.score(noise)
    assert report.checked_pairs == 40 * scorer.settings.neighbours
    strict = Scorer(splits[0], dataclasses.replace(scorer.settings, class_threshold=True), extractor=scorer.extractor)
    assert strict.score(splits[1].train.images[:40]).checked_pairs < report.checked_pairs


def test_near_twins_are_counted_and_do_not_raise_the_threshold(scorer, splits):
    train = splits[0].train.images
    near = (train[:10].int() + torch.randint(-6, 7, (10, 1, 16, 16))).clamp(0, 255).to(torch.uint8)
    heldout = splits[0].heldout
    images = torch.cat([near, heldout.images[10:]])
    split = dataclasses.replace(splits[0], heldout=dataclasses.replace(heldout, images=images))
    found = Scorer(split, scorer.settings, extractor=scorer.extractor)
    assert found.twins >= scorer.twins + 10 - 1
    assert found.copy_threshold < 1


@pytest.mark.parametrize("width", [24, 200])
def test_the_fid_floor_does_not_depend_on_how_many_pictures_are_held_out(width):
    """Raw, half the pictures give 1.5 times the floor, an eighth more than four times."""
    random = torch.Generator().manual_seed(0)
    scale = torch.arange(1, width + 1) ** -0.8
    heldout, test = (torch.randn(400, width, generator=random) * scale for _ in range(2))
    full = fid_floor(heldout, test, 400)
    for count, slack in ((200, 0.2), (100, 0.2), (50, 0.5)):
        values = [fid_floor(heldout[start : start + count], test, 400) for start in range(0, 400, count)]
        assert np.mean(values) == pytest.approx(full, rel=slack)
    assert fid_floor(heldout[:3], test, 400) > 0
    assert fid_floor(torch.zeros(8, width), torch.zeros(9, width), 400) == 0


# --- two folders and one call ---


def test_find_copies_names_the_originals_and_writes_a_page_with_the_pairs_first(splits, tmp_path):
    train = splits[0].train.images
    generated = torch.cat([splits[1].train.images[:60], train[5:8].flip(3), train[9:11]])
    found = find_copies(generated, train)
    named = {pair.sample: pair.train for pair in found.pairs}
    assert {sample: named.get(sample) for sample in range(60, 65)} == {60: 5, 61: 6, 62: 7, 63: 9, 64: 10}
    assert len(named) <= 8
    assert found.copies.found >= 5
    page = found.write(tmp_path).read_text()
    assert page.index('alt="pairs"') < page.index("Do not publish")
    assert str(found).startswith(f"{len(found.pairs)} of 65 pictures are copies of")


@pytest.mark.parametrize("count", [12, 30, 60])
def test_a_few_pictures_are_enough_to_find_changed_copies_of_them(count):
    """A rate of 1 % is finer than they can show; what the tail of their scores says must not hide clear copies."""
    random = torch.Generator().manual_seed(count)
    rough = torch.rand(count + 100, 3, 4, 4, generator=random)
    images = torch.nn.functional.interpolate(rough, (32, 32), mode="nearest").mul(255).to(torch.uint8)
    known, strangers = images[:count], images[count:]
    changed = torch.cat([(known[:4].float() * 0.7).to(torch.uint8), known[4:8].flip(3), known[8:12]])
    found = find_copies(torch.cat([changed, strangers]), known)
    assert {(pair.sample, pair.train) for pair in found.pairs} >= {(i, i) for i in range(12)}
    assert len(found.pairs) <= 12 + 10  # the highest of so few promises one stranger in ten or so


def test_find_copies_takes_features_and_arrays(tmp_path):
    rng = np.random.default_rng(0)
    train, other = rng.normal(size=(300, 16)).astype(np.float32), rng.normal(size=(50, 16)).astype(np.float32)
    found = find_copies(np.concatenate([other, train[:7] + 0.01]), train)
    assert {(pair.sample, pair.train) for pair in found.pairs} >= {(50 + i, i) for i in range(7)}
    assert len(found.pairs) <= 10
    with pytest.raises(DataError, match="no pictures to show"):
        found.write(tmp_path)
    with pytest.raises(DataError, match="both times"):
        find_copies(torch.zeros(5, 1, 16, 16, dtype=torch.uint8), train)
    with pytest.raises(DataError, match="at least 3"):
        find_copies(train, train[:2])
