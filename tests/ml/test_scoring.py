"""Fingerprints, verifier, thresholds, matching, the Q-N score, improvements, the gate."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch

from pdfed_sdk.errors import DataError, ExtractorMismatch, MlError, PublicationRefused
from pdfed_sdk.ml.copies.augment import degrade
from pdfed_sdk.ml.copies.detector import DEFAULT_WEIGHTS, Detector
from pdfed_sdk.ml.copies.encoders import encoder_input
from pdfed_sdk.ml.copies.losses import contrastive_loss
from pdfed_sdk.ml.copies.search import LEAST_THRESHOLD, class_thresholds, deduplicated
from pdfed_sdk.ml.copies.verifier import Verifier, calibrate, windows
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.device import device_of
from pdfed_sdk.ml.quality.features import LADDER, Pixels, load_extractor
from pdfed_sdk.ml.scoring.gate import publication_gate
from pdfed_sdk.ml.scoring.improvements import deviation
from pdfed_sdk.ml.scoring.reports import Publication, QNReport, ScoringSettings
from pdfed_sdk.ml.scoring.scorer import (
    Scorer,
    dedup_exclusions,
    improvement,
    improvement_of,
    match_once,
    pinned,
    qn_score,
)


def finite(report):
    return all(
        math.isfinite(getattr(report, name))
        for name in ("fid", "fid_floor", "v_a", "v_c", "r_c", "novelty", "novelty_floor", "qn", "objective")
    )


# --- fingerprint and verifier ---


def test_fingerprints_are_unit_vectors_and_do_not_depend_on_the_batch(scorer, splits):
    images = splits[0].test.images[:20]
    prints = scorer.detector.prints(images)
    assert prints.vectors.shape == (20, 256)
    assert prints.descriptors.shape == (20, 55, 32)
    assert torch.allclose(prints.vectors.norm(dim=1), torch.ones(20), atol=1e-5)
    one = scorer.detector.prints(images[7:8])
    assert torch.allclose(one.vectors[0], prints.vectors[7], atol=1e-4)


def test_there_are_55_distinct_windows():
    pooling = windows()
    assert pooling.shape == (55, 64)
    assert len(pooling.unique(dim=0)) == 55
    assert torch.allclose(pooling.sum(1), torch.ones(55))


def test_the_verifier_is_symmetric_to_the_bit(scorer, splits):
    a = scorer.detector.prints(splits[0].test.images[:48])
    b = scorer.detector.prints(splits[1].train.images[:48])
    assert scorer.detector.score(a, b).equal(scorer.detector.score(b, a))
    torch.manual_seed(0)
    fresh = Verifier().eval()
    for count in (1, 3, 48):
        few = torch.arange(count)
        assert fresh(a.take(few), b.take(few)).equal(fresh(b.take(few), a.take(few)))


def test_copies_score_above_strangers(scorer, splits):
    images = splits[0].train.images[:60]
    prints = scorer.detector.prints(images)
    own = scorer.detector.score(prints, prints)
    other = scorer.detector.score(prints, prints.take(torch.arange(60).roll(1)))
    assert (own >= 0.8).double().mean() > 0.95
    assert (other >= 0.8).double().mean() < 0.05


@pytest.mark.parametrize("size", [8, 16, 28, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_sizes_become_32_px_colour(size, channels):
    pixels = encoder_input(torch.zeros(2, channels, size, size, dtype=torch.uint8))
    assert pixels.shape == (2, 3, 32, 32)


def test_contrastive_loss_by_hand():
    anchors = torch.eye(3)
    perfect = contrastive_loss(anchors, anchors, 0.1)
    assert float(perfect) == pytest.approx(math.log(1 + 4 * math.exp(-10)), rel=1e-3)
    assert contrastive_loss(anchors, anchors.roll(1, 0), 0.1) > perfect


def test_degradations_are_seeded_and_stay_in_range():
    images = torch.rand(6, 3, 32, 32)
    first, again = (degrade(images, torch.Generator().manual_seed(1)) for _ in range(2))
    assert first.equal(again)
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.allclose(degrade(images, torch.Generator().manual_seed(1), strength=0), images, atol=1e-5)


# --- thresholds (eq. 5) ---


def test_threshold_by_hand():
    vectors = torch.tensor([[0.0, 0], [1, 0], [3, 0], [10, 10]])
    limits = class_thresholds(vectors, torch.tensor([0, 0, 0, 1]))
    distances = torch.tensor([1.0, 1.0, 2.0]).double()  # to the nearest of class 0
    expected = float(distances.mean() - 0.5 * distances.std(correction=0))
    assert limits.tolist() == pytest.approx([expected] * 4)  # the one-picture class takes the pooled threshold


def test_duplicates_do_not_move_the_threshold():
    vectors = torch.randn(30, 16, generator=torch.Generator().manual_seed(0))
    twins = torch.cat([vectors, vectors, vectors[:5]])
    assert len(deduplicated(twins)) == 30
    limits = class_thresholds(twins, torch.zeros(65, dtype=torch.int64))
    assert limits[0] == pytest.approx(float(class_thresholds(vectors, torch.zeros(30, dtype=torch.int64))[0]))


def test_thresholds_are_never_zero():
    same = torch.ones(4, 8)
    assert class_thresholds(same, torch.tensor([0, 0, 1, -1])).tolist() == pytest.approx([LEAST_THRESHOLD] * 4)
    apart = torch.tensor([[0.0], [0.001], [0.0011], [50], [100.0]])
    assert (class_thresholds(apart, torch.zeros(5, dtype=torch.int64)) >= LEAST_THRESHOLD).all()


# --- calibration and matching ---


def test_calibration_keeps_its_promise():
    scores = torch.linspace(0, 1, 1000, dtype=torch.float64)
    result = calibrate(scores, 0.01)
    assert int((scores >= result.threshold).sum()) == 9  # a further one is among the ten highest of 1,001 by 0.999 %
    assert result.low < 0.009 == result.rate < 0.01 < result.high
    assert result.pictures == 1000
    rates = [rate for _, rate in result.curve]
    assert rates == sorted(rates, reverse=True)


def test_a_further_picture_is_a_false_alarm_as_seldom_as_promised():
    """Over many draws of 400 pictures and one more: exactly k / (N + 1), never above the rate (conformal)."""
    random = torch.Generator().manual_seed(0)
    for count, promised in ((400, 4 / 401), (150, 1 / 151)):
        draws = torch.rand(4_000, count + 1, generator=random, dtype=torch.float64)
        alarms = [float(row[-1]) >= calibrate(row[:-1], 0.01, floor=1e-9).threshold for row in draws]
        assert promised <= 0.01
        assert sum(alarms) / len(alarms) == pytest.approx(promised, abs=4 * (promised / len(alarms)) ** 0.5)


def test_calibration_with_ties_and_small_sets():
    tied = calibrate(torch.full((50,), 0.93, dtype=torch.float64), 0.01)
    assert tied.threshold > 0.93
    assert tied.rate == 0
    assert tied.high > 0.05  # fifty pictures cannot show one per cent
    assert calibrate(torch.zeros(5), 0.01).threshold == ScoringSettings().least_threshold == 0.2
    for bad in (torch.zeros(0), torch.tensor([torch.nan]), torch.zeros(2, 2)):
        with pytest.raises(DataError):
            calibrate(bad)
    with pytest.raises(DataError, match="fpr is 0"):
        calibrate(torch.zeros(3), 0)


def test_each_sample_and_each_picture_counts_once():
    pairs = match_once([0, 0, 1, 2, 2], [5, 6, 5, 5, 6], [0.9, 0.85, 0.95, 0.9, 0.85])
    assert [(p.sample, p.train, p.score) for p in pairs] == [(1, 5, 0.95), (0, 6, 0.85)]
    assert match_once([], [], []) == ()
    ties = match_once([3, 1, 1], [0, 1, 0], [0.9, 0.9, 0.9])
    assert [(p.sample, p.train) for p in ties] == [(1, 0)]  # ties by (sample, training index)


def test_dedup_takes_at_most_a_share_most_copied_first():
    counts = [0] * 100
    counts[7], counts[3], counts[50] = 9, 1, 1
    assert dedup_exclusions(counts) == [3, 7, 50]
    assert dedup_exclusions([1] * 40) == [0, 1]
    assert dedup_exclusions([0] * 40) == []


# --- the score ---


def test_strangers_do_not_match_and_nothing_is_nan(scorer, noise):
    report = scorer.score(noise)
    assert (report.r_c, report.v_c, report.novelty, report.pairs) == (0, 0, 0, ())
    assert finite(report)
    assert report.objective > 5


def test_copies_are_found_with_their_originals(scorer, splits):
    images = splits[0].train.images[:40]
    report = scorer.score(images)
    assert report.r_c > 0.7
    assert sum(pair.sample == pair.train for pair in report.pairs) >= 0.95 * len(report.pairs)
    assert len({p.train for p in report.pairs}) == len({p.sample for p in report.pairs}) == len(report.pairs)
    assert report.novelty == pytest.approx(1000 * report.v_a * report.v_c * report.r_c)
    assert report.qn == pytest.approx((report.fid + report.novelty) / 2)
    assert report.train_counts[:40] > (0,) * 40
    assert sum(report.train_counts[40:]) <= 4


def test_one_picture_handed_out_again_and_again_counts_once(scorer, splits):
    report = scorer.score(splits[0].train.images[:1].expand(40, -1, -1, -1).contiguous())
    assert report.r_c <= 1 / 40 + 5 / 40
    assert report.confirmed_samples in (0, 40)
    assert finite(report)


def test_unseen_real_pictures_score_near_one(scorer, splits):
    images = torch.cat([splits[1].heldout.images, splits[1].test.images])[:40]
    report = scorer.score(images)
    assert report.objective < 2.2
    assert report.copy_ratio == 1


def test_evaluate_samples_and_is_reproducible(scorer, tiny):
    first, again = scorer.evaluate(tiny, b"x" * 32), scorer.evaluate(tiny, b"x" * 32)
    assert first.objective == again.objective
    assert first.timings["sampling"] > 0
    assert improvement(first, again) == 0


def test_a_report_survives_json_and_its_public_part_is_numbers_only(scorer, splits):
    report = scorer.score(splits[0].train.images[:40])
    assert QNReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    assert not {"pairs", "nearest", "train_counts", "timings"} & set(report.public())
    with pytest.raises(MlError, match="Q-N report"):
        QNReport.from_dict({"fid": 1})


def test_a_publication_holds_the_bucket_the_root_and_the_settings_and_nothing_else(scorer, splits):
    report = scorer.score(splits[0].train.images[:40])
    published = Publication.of(report, -8, b"\x07" * 32).to_dict()
    settings = published.pop("settings")
    assert published == {
        "improvement": -8,
        "evidence_root": "07" * 32,
        "extractor_sha256": report.extractor_sha256,
        "fingerprint_sha256": report.fingerprint_sha256,
    }
    assert ScoringSettings(**settings) == scorer.settings
    text = json.dumps([published, settings])
    for secret in (report.fid, report.novelty, report.v_a, report.objective, report.fid_floor):
        assert str(secret) not in text


def test_intervals_hold_the_value_and_replicates_are_paired(scorer, splits, noise):
    copies, strangers = scorer.score(splits[0].train.images[:40]), scorer.score(noise)
    low, high = copies.intervals["novelty"]
    assert low < copies.novelty < high
    assert len(copies.replicates) == len(strangers.replicates) == scorer.settings.resamples
    assert deviation(copies, copies) == 0
    assert deviation(copies, strangers) > 0
    assert copies.fid_infinity is not None
    assert copies.fid_infinity < copies.fid


def test_models_that_cannot_be_told_apart_score_zero(scorer, splits, noise):
    report = scorer.score(noise)
    wobble = tuple(value * (1 + 0.2 * (-1) ** i) for i, value in enumerate(report.replicates))
    better = dataclasses.replace(report, objective=report.objective / 2**0.25)
    assert improvement(report, better) == 8
    assert improvement(report, dataclasses.replace(better, replicates=wobble)) == 0
    assert improvement(report, dataclasses.replace(better, objective=report.objective / 4, replicates=wobble)) == 20


def test_settings_round_trip_and_refuse_unknown_keys():
    settings = ScoringSettings(samples=64, extractor="pixels")
    assert ScoringSettings.from_json(settings.to_json()) == settings
    with pytest.raises(MlError, match="unknown key in scoring settings: temperature"):
        ScoringSettings.from_json('{"temperature": 1}')
    for change in ({"samples": 1}, {"objective": "best"}, {"fpr": 1.0}, {"novelty_weight": -1.0}, {"neighbours": 0}):
        with pytest.raises(MlError):
            ScoringSettings(**change)


def test_wrong_pictures_are_refused(scorer, splits, noise):
    with pytest.raises(DataError, match="settings say 40"):
        scorer.score(noise[:10])
    with pytest.raises(DataError, match=r"generated is torch.float32"):
        scorer.score(noise.float())
    with pytest.raises(DataError, match="1, 16, 16"):
        scorer.score(torch.zeros(40, 3, 16, 16, dtype=torch.uint8))
    one = dataclasses.replace(splits[0], test=splits[0].test.take([0]))
    with pytest.raises(DataError, match="test has 1 pictures"):
        Scorer(one, scorer.settings)


@pytest.mark.parametrize(("device", "what"), [("cuda", "no GPU can be used"), ("abacus", "abacus")])
def test_a_device_that_is_not_there_is_refused_before_any_work(splits, device, what, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MlError, match=what) as caught:
        Scorer(splits[0], ScoringSettings(extractor="pixels"), device=device)
    assert "cpu" in str(caught.value.hint)
    assert device_of("auto") == torch.device("cpu")


def test_hashes_are_checked(scorer, splits):
    wrong = dataclasses.replace(scorer.settings, fingerprint_sha256="00")
    with pytest.raises(ExtractorMismatch, match="sha-256"):
        Scorer(splits[0], wrong)
    with pytest.raises(ExtractorMismatch):
        Scorer(splits[0], dataclasses.replace(scorer.settings, extractor_sha256="00"))
    exact = pinned(scorer.settings)
    assert exact.fingerprint_sha256 == scorer.detector.sha256
    Scorer(splits[0], exact)


@pytest.mark.parametrize("labels", [None, "classes", "one picture a class"])
def test_qn_score_on_odd_sets(splits, noise, labels):
    train = splits[0].train
    given = {None: None, "classes": train.labels, "one picture a class": torch.arange(len(train))}[labels]
    settings = ScoringSettings(extractor="pixels")
    assert finite(qn_score(noise, train.images, splits[0].test.images, train_labels=given, settings=settings))


def test_duplicated_and_constant_training_sets(splits, noise):
    settings = ScoringSettings(extractor="pixels")
    twins = splits[0].train.images[:10].repeat(4, 1, 1, 1)
    assert finite(qn_score(noise, twins, splits[0].test.images, settings=settings))
    flat = torch.zeros(20, 1, 16, 16, dtype=torch.uint8)
    assert finite(qn_score(noise, flat, splits[0].test.images, settings=settings))
    copier = qn_score(flat, flat, splits[0].test.images, settings=settings)
    assert finite(copier)
    assert copier.r_c == 0.25  # five neighbours of each sample are looked at, each counts once
    with pytest.raises(DataError, match="nothing is left to calibrate on"):
        qn_score(flat, flat, flat, settings=settings)


def test_exact_copies_are_always_found_and_twins_in_heldout_do_not_spoil_the_calibration(splits, scorer):
    train = splits[0].train.images
    heldout = splits[0].heldout.images.clone()
    heldout[:10] = train[:10]
    settings = ScoringSettings(extractor="pixels")
    report = qn_score(train[:40], train, splits[0].test.images, heldout=heldout, settings=settings)
    assert report.confirmed_samples == 40
    assert report.r_c == 1
    assert report.threshold <= 1
    assert report.novelty_floor < 10


def test_colour_and_larger_pictures():
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 3, 64, 64), generator=random, dtype=torch.uint8)
    report = qn_score(images[:20], images[20:40], images[40:], settings=ScoringSettings(extractor="fingerprint"))
    assert finite(report)
    assert report.settings.size == 64


# --- improvement and gate ---


@pytest.mark.parametrize(
    ("reference", "candidate", "bucket"),
    [(4, 2, 16), (2, 4, -6), (1, 1, 0), (2, 2**0.5, 12), (1, 100, -8), (100, 1, 23), (1.0, 1.04, -2), (1.05, 1, 2)],
)
def test_improvement_buckets(reference, candidate, bucket):
    assert improvement_of(reference, candidate) == bucket


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_impossible_objectives_are_refused(value):
    for arguments in ((value, 1.0), (1.0, value)):
        with pytest.raises(MlError, match="finite positive"):
            improvement_of(*arguments)


def test_reports_of_different_scorers_are_not_compared(scorer, splits, noise):
    report = scorer.score(noise)
    other = dataclasses.replace(report, fid_floor=report.fid_floor + 1)
    with pytest.raises(ExtractorMismatch, match="fid_floor differs"):
        improvement(report, other)


def test_the_gate_stops_copiers_only(scorer, splits, noise):
    publication_gate(scorer.score(noise))
    with pytest.raises(PublicationRefused, match=r"copies \d+ of your pictures in 40 samples"):
        publication_gate(scorer.score(splits[0].train.images[:40]))


# --- extractors ---


def test_pixels_are_pixels(noise):
    assert Pixels(16, 1)(noise).equal(noise.flatten(1).float() / 255)
    with pytest.raises(ExtractorMismatch):
        Pixels(8, 1)(noise)


@pytest.mark.parametrize("name", ["efficientnet-lite0", "fingerprint"])
def test_networks_give_their_width_whatever_the_batch(name, noise):
    extractor = load_extractor(name)
    features = extractor(noise[:3])
    assert features.shape == (3, extractor.dim)
    assert torch.allclose(extractor(noise[1:2])[0], features[1], atol=1e-3)
    assert len(extractor.weights_sha256) == 64


def test_the_ladder_takes_the_first_that_loads(monkeypatch):
    monkeypatch.setenv("TORCH_HOME", "/nonexistent")
    monkeypatch.delenv("PDFED_ALLOW_HUB", raising=False)
    assert LADDER[0] == "dinov2-vitl14"
    with pytest.raises(MlError, match="DINOv2"):
        load_extractor("dinov2-vitl14")
    assert load_extractor("ladder").id == "efficientnet-lite0"
    with pytest.raises(MlError, match="unknown"):
        load_extractor("resnet")


HUB = """
import torch

class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(3, 1024)

    def forward(self, x):
        return self.head(x.mean((2, 3)))

def dinov2_vitl14(pretrained=True):
    assert not pretrained, "weights would be downloaded"
    return Small()
"""


def test_dinov2_loads_from_a_hub_checkout_and_a_weights_file(monkeypatch, tmp_path, noise):
    checkout = tmp_path / "hub" / "facebookresearch_dinov2_main"
    checkout.mkdir(parents=True)
    (checkout / "hubconf.py").write_text(HUB)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = {"head.weight": torch.randn(1024, 3), "head.bias": torch.randn(1024)}
    torch.save(weights, tmp_path / "w.pth")
    monkeypatch.setenv("PDFED_DINOV2_WEIGHTS", str(tmp_path / "w.pth"))
    extractor = load_extractor("dinov2-vitl14")
    assert extractor(noise[:2]).shape == (2, 1024)
    assert load_extractor("ladder").id == "dinov2-vitl14"
    assert load_extractor("dinov2-vitl14", sha256=extractor.weights_sha256).id == extractor.id
    with pytest.raises(ExtractorMismatch):
        load_extractor("dinov2-vitl14", sha256="00")
    torch.save({"head.bias": weights["head.bias"]}, tmp_path / "w.pth")
    with pytest.raises(MlError, match="DINOv2 cannot be loaded"):
        load_extractor("dinov2-vitl14")


def test_the_cache_gives_the_same_scores_and_survives_damage(splits, scorer, noise, tmp_path, monkeypatch):
    cold = Scorer(splits[0], scorer.settings, cache=tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5
    warm = Scorer(splits[0], scorer.settings, cache=tmp_path)
    files[0].write_bytes(b"rubbish")
    mended = Scorer(splits[0], scorer.settings, cache=tmp_path)
    expected = scorer.score(noise).objective
    assert cold.score(noise).objective == warm.score(noise).objective == mended.score(noise).objective == expected


def test_detector_weights_are_checked(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"rubbish")
    with pytest.raises(MlError, match="cannot be read"):
        Detector.load(path)
    assert DEFAULT_WEIGHTS.stat().st_size <= 4 << 20


def test_unlabelled_training_sets_work(splits, noise):
    train = splits[0].train
    blank = PictureSet(train.images, torch.full((len(train),), -1))
    split = dataclasses.replace(splits[0], train=blank)
    assert finite(Scorer(split, ScoringSettings(samples=40, extractor="pixels")).score(noise))
