"""Encoders, their training, registration, the verifier's training, calibration beyond resolution, the benchmarks."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import scipy
import torch

from benchmarks import fingerprint as fingerprint_benchmark
from benchmarks import replacement
from pdfed_sdk.errors import DataError, MlError
from pdfed_sdk.ml.copies import node_detector
from pdfed_sdk.ml.copies.augment import degrade
from pdfed_sdk.ml.copies.corpus import public_pictures
from pdfed_sdk.ml.copies.detector import DEFAULT_WEIGHTS, Detector, save_detector
from pdfed_sdk.ml.copies.encoders import encoder_input, new_encoder, normalised, sized, thumbnails
from pdfed_sdk.ml.copies.judge import Judge
from pdfed_sdk.ml.copies.node_detector import detector_name, train_fingerprinter
from pdfed_sdk.ml.copies.registration import CUES, registration
from pdfed_sdk.ml.copies.train_encoder import EncoderRun, has_bf16, picture_hash, weights_hash
from pdfed_sdk.ml.copies.train_verifier import rivals, train_verifier
from pdfed_sdk.ml.copies.verifier import Verifier, calibrate, stricter
from pdfed_sdk.ml.copies.whitening import RIDGE, whiten_head
from pdfed_sdk.ml.data import PictureSet, partition, reshape_images
from pdfed_sdk.ml.scoring.reports import ScoringSettings
from pdfed_sdk.ml.scoring.scorer import Scorer, pinned
from pdfed_sdk.ml.sources import load_pictures
from tests.support.tiny_detector import TINY


@pytest.fixture(scope="module")
def few(mnist):
    """Twenty-four digits."""
    return partition(mnist)[1].take(range(24))


@pytest.fixture(scope="module")
def digits28():
    """Private digits at 28 px."""
    return partition(load_pictures("mnist"))[1]


# --- encoders ---


@pytest.mark.parametrize(("name", "channels", "weights"), [("small", 128, 1.1e6), ("resnet50", 1024, 24e6)])
def test_encoders_give_unit_fingerprints_and_8x8_maps(name, channels, weights):
    encoder = new_encoder(name).eval()
    with torch.no_grad():
        vectors, maps = encoder(torch.rand(2, 3, 32, 32))
    assert vectors.shape == (2, 256)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    assert maps.shape == (2, channels, 8, 8)
    assert maps.min() >= 0
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(weights, rel=0.05)


def test_resnet50_has_its_blocks_and_takes_64_px():
    encoder = new_encoder("resnet50").eval()
    assert [len(stage) for stage in (*encoder.body, encoder.head[0])] == [3, 4, 6, 3]
    assert sum(isinstance(m, torch.nn.Conv2d) for m in encoder.modules()) == 1 + 3 * 16 + 4  # stem, bottlenecks, cuts
    with torch.no_grad():
        assert encoder.maps(torch.rand(1, 3, 64, 64)).shape == (1, 1024, 8, 8)


def test_the_architecture_follows_the_device():
    assert new_encoder("auto", "cpu").name == "small"
    with torch.device("meta"):
        assert new_encoder("auto", "meta").name == "resnet50"
    with pytest.raises(MlError, match="'vgg' is unknown"):
        new_encoder("vgg")


def test_resnet50_trains_saves_and_scores(few, tmp_path):
    config = dataclasses.replace(TINY, architecture="resnet50", steps=1)
    run = EncoderRun(few.images, config)
    before = weights_hash(run.net)
    encoder = run.run()
    assert weights_hash(run.net) != before
    verifier = train_verifier(encoder_input(few.images)[:, :1], encoder, rounds=1, epochs=1)
    save_detector(encoder, verifier, Judge(), tmp_path / "r.safetensors")
    detector = Detector.load(tmp_path / "r.safetensors")
    assert detector.encoder.name == "resnet50"
    prints = detector.prints(few.images[:4])
    assert prints.descriptors.shape == (4, 55, 256)
    assert torch.isfinite(detector.score(prints, prints)).all()


# --- training on a node's own pictures ---


@pytest.mark.parametrize("whiten", [0, 30])
def test_training_goes_on_where_it_stopped(few, tmp_path, whiten):
    config = dataclasses.replace(TINY, whiten=whiten)
    whole = EncoderRun(few.images, config).run()
    snapshot = tmp_path / "s.snapshot"
    stopped = EncoderRun(few.images, config).run(snapshot, lambda step, steps, loss: step < 5)  # last snapshot: step 4
    assert stopped is None
    assert snapshot.is_file()
    steps = []
    resumed = EncoderRun(few.images, config).run(snapshot, lambda step, steps_, loss: steps.append(step))
    assert steps == [5, 6]
    assert weights_hash(resumed) == weights_hash(whole)


def test_a_snapshot_of_another_run_or_a_damaged_one_is_not_taken_up(few, tmp_path):
    snapshot = tmp_path / "s.snapshot"
    EncoderRun(few.images, TINY).run(snapshot, lambda step, steps, loss: step < 5)
    for content, config in ((snapshot.read_bytes(), dataclasses.replace(TINY, seed=1)), (b"rubbish", TINY)):
        snapshot.write_bytes(content)
        first = []
        EncoderRun(few.images, config).run(snapshot, lambda step, steps, loss, seen=first: seen.append(step))
        assert first[0] == 1


CHILD = """
import sys
from pathlib import Path
from pdfed_sdk.ml.device import set_threads
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.copies.node_detector import train_fingerprinter
from tests.support.tiny_detector import TINY
set_threads(1)
folder = Path(sys.argv[1])
train_fingerprinter(PictureSet.load(folder / "p.npz"), folder, TINY, on_step=lambda step, *_: print(step, flush=True))
"""


def test_sigkill_in_the_middle_changes_nothing(few, tmp_path):
    few.save(tmp_path / "p.npz")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": "."},
    )
    while child.stdout.readline().strip() not in ("3", ""):
        pass
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert list(tmp_path.glob("*.snapshot"))
    assert not list(tmp_path.glob("*.safetensors"))
    killed = train_fingerprinter(few, tmp_path, TINY)
    assert not list(tmp_path.glob("*.snapshot"))
    assert killed.sha256 == train_fingerprinter(few, tmp_path / "again", TINY).sha256


def test_own_fingerprinters_are_cached_by_pictures_and_settings(few, tmp_path, monkeypatch):
    first = train_fingerprinter(few, tmp_path, TINY)

    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(node_detector, "EncoderRun", refuse)
    assert train_fingerprinter(few, tmp_path, TINY).sha256 == first.sha256
    for pictures, config in ((few.take(range(23)), TINY), (few, dataclasses.replace(TINY, seed=1))):
        with pytest.raises(AssertionError, match="trained again"):
            train_fingerprinter(pictures, tmp_path, config)
    with pytest.raises(AssertionError, match="trained again"):
        train_fingerprinter(few, tmp_path, TINY, pretrained=False)
    name = detector_name(few, TINY)
    assert name == detector_name(few, dataclasses.replace(TINY, save_every=9))
    assert name != detector_name(few, dataclasses.replace(TINY, whiten=1))
    monkeypatch.setattr(node_detector, "RECIPE", node_detector.RECIPE + 1)
    assert name != detector_name(few, TINY)


def test_the_last_layer_is_fishers_discriminant(few):
    """Against scipy: copies move by one in all kept directions, pictures by the generalised eigenvalues."""
    torch.manual_seed(0)
    encoder = new_encoder("small").eval()
    encoder.head = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(512, 256))
    pixels = few.images.float() / 255
    copies = degrade(pixels, torch.Generator().manual_seed(1))
    front = torch.nn.Sequential(*list(encoder.head)[:-1])
    with torch.no_grad():
        clean, moved = (front(encoder.maps(normalised(sized(part)))).double() for part in (pixels, copies))
    within = (moved - clean).T @ (moved - clean) / len(clean)
    within += (RIDGE * within.diagonal().mean() + 1e-8) * torch.eye(512)
    values = scipy.linalg.eigh(np.cov(clean.T.numpy(), bias=True), within.numpy(), eigvals_only=True)
    whiten_head(encoder, [(pixels[:10], copies[:10]), (pixels[10:], copies[10:])])
    weight = encoder.head[-1].weight.detach().double()
    scale = float((weight @ within @ weight.T).diagonal()[-1])
    spread = (weight @ torch.from_numpy(np.cov(clean.T.numpy(), bias=True)) @ weight.T).diagonal() / scale
    assert torch.allclose(spread.flip(0)[:10], torch.from_numpy(values[::-1].copy())[:10], rtol=1e-2)
    with torch.no_grad():
        assert float((encoder.head(encoder.maps(normalised(sized(pixels))))).mean(0).abs().max()) < 1e-4
    assert encoder(normalised(sized(pixels)))[0].shape == (len(pixels), 256)


def test_a_head_without_a_linear_end_and_no_pictures_are_refused(few):
    encoder = new_encoder("small")
    with pytest.raises(MlError, match="no pictures"):
        whiten_head(encoder, [])
    encoder.head = torch.nn.Flatten()
    with pytest.raises(MlError, match="ends in Flatten"):
        whiten_head(encoder, [])


def test_pictures_are_degraded_at_the_size_that_models_emit(few):
    for size, wanted in ((28, 28), (16, 16), (32, 32), (64, 32)):
        run = EncoderRun(reshape_images(few.images, size, 1), TINY)
        assert run._batch().shape[2:] == (wanted, wanted)


@pytest.mark.parametrize("whiten", [0, 10, 30, 48])
def test_so_many_copies_set_the_last_layer(few, whiten):
    run = EncoderRun(few.images, dataclasses.replace(TINY, whiten=whiten))
    pairs = list(run._views())
    assert sum(len(pixels) for pixels, _ in pairs) == whiten
    assert all(pixels.shape == copies.shape and not pixels.equal(copies) for pixels, copies in pairs)


def test_pretraining_starts_from_the_shipped_weights(few):
    shipped = Detector.load()
    run = EncoderRun(few.images, TINY, shipped.encoder)
    assert weights_hash(run.net) == weights_hash(shipped.encoder)
    assert weights_hash(EncoderRun(few.images, TINY).net) != weights_hash(shipped.encoder)


def test_impossible_training_is_refused(few):
    with pytest.raises(DataError, match="3 pictures, a batch of 8 wants at least 4"):
        EncoderRun(few.images[:3], TINY)
    for change in ({"steps": 0}, {"batch": 2}, {"temperature": 0.0}, {"strength": 2.0}, {"ema": 1.0}, {"whiten": -1}):
        with pytest.raises(MlError):
            dataclasses.replace(TINY, **change)
    assert isinstance(has_bf16("cpu"), bool)


def test_a_few_seconds_of_training_find_more_originals_than_pixels(digits28):
    """The CI figure; the full one, and the AUC, are benchmarks.fingerprint's."""
    images = digits28.images[:400]
    index = PictureSet(images, torch.full((400,), -1))
    copies = degrade(images.float() / 255, torch.Generator().manual_seed(1), strength=0.7, jpeg=0)
    copies = copies.mul(255).round().to(torch.uint8)
    features, seconds = fingerprint_benchmark.train_own(index, steps=30, seed=0, whiten=4_000)
    heldout = digits28.images[400:800]
    learnt = fingerprint_benchmark.measure(features, images, copies, heldout)
    pixels = fingerprint_benchmark.measure(lambda x: x.flatten(1).float(), images, copies, heldout)
    print(f"own {learnt}, pixels {pixels}, {seconds:.0f} CPU s")
    assert learnt["top1"] > pixels["top1"] + 0.2


# --- registration ---


def test_registration_forgives_what_copies_suffer_and_not_what_strangers_have(digits28):
    pictures = thumbnails(digits28.images[:100]).float() / 255
    copies = degrade(pictures, torch.Generator().manual_seed(0), strength=0.5, jpeg=0)
    same, copied, other = (registration(query, pictures) for query in (pictures, copies, pictures.roll(1, 0)))
    assert same.shape == (100, CUES)
    assert float(same[:, 0].max()) < -6
    for cue in range(6):
        assert copied[:, cue].median() < other[:, cue].median() - 1


def test_registration_finds_a_shift_exactly():
    square = torch.zeros(1, 1, 32, 32)
    square[..., 10:20, 12:22] = 1
    smooth = torch.nn.functional.avg_pool2d(square, 5, 1, 2)
    moved = smooth.roll(1, 3)
    there = registration(moved, smooth)[0]
    assert float(there[2]) < -5  # hardly anything remains
    assert float(there[-1]) == pytest.approx(1, abs=0.15)  # one pixel


def test_registration_overlooks_the_noise_that_padding_repeats(digits28):
    pictures = digits28.images[:100]
    copies = replacement.jpeg_noise(pictures, torch.Generator().manual_seed(0))
    query, item = (thumbnails(images).float() / 255 for images in (copies, pictures))
    worst = registration(query, item)[:, 5]
    bare = query.clone()
    bare[:, :, 2:-2, 2:-2] = item[:, :, 2:-2, 2:-2]  # only the rim is noisy
    assert float(worst.max()) < -4
    assert float(registration(bare, item)[:, 1].max()) < -6


def test_registration_of_flat_pictures_is_finite_and_does_not_depend_on_the_batch():
    pictures = torch.cat([torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32), torch.rand(3, 3, 32, 32)])
    every = registration(pictures, pictures.roll(1, 0))
    assert torch.isfinite(every).all()
    for row in range(5):
        one = registration(pictures[row : row + 1], pictures.roll(1, 0)[row : row + 1])
        assert torch.allclose(one[0], every[row], atol=1e-2)


# --- corpus, verifier, calibration ---


def test_the_corpus_is_public_and_has_no_twins(digits28):
    corpus = public_pictures()
    assert len(corpus) > 9_000
    assert corpus.shape[1:] == (3, 32, 32)
    assert len({picture.numpy().tobytes() for picture in corpus}) == len(corpus)
    private = {picture.numpy().tobytes() for picture in thumbnails(digits28.images).expand(-1, 3, -1, -1)}
    assert not private & {picture.numpy().tobytes() for picture in corpus}
    card = json.loads(DEFAULT_WEIGHTS.with_suffix(".json").read_text())
    assert card["weights_sha256"] == Detector.load().sha256
    assert card["corpus_sha256"] == picture_hash(corpus)


def test_rivals_are_near_and_neither_the_picture_nor_its_twin():
    vectors = torch.nn.functional.normalize(torch.randn(40, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    vectors[1] = vectors[0]
    found = rivals(vectors, vectors, torch.arange(40))
    assert found.shape == (40, 10)
    assert not (found == torch.arange(40)[:, None]).any()
    assert 1 not in found[0]
    distances = torch.cdist(vectors, vectors)[5]
    assert distances[found[5][0]] == distances[torch.arange(40) != 5].min()


def test_a_verifier_learns_copies_and_is_seeded(digits28):
    pixels = encoder_input(digits28.images[:150])[:, :1]
    encoder = Detector.load().encoder
    losses = []
    verifier = train_verifier(pixels, encoder, rounds=1, epochs=8, on_step=lambda step, loss: losses.append(loss))
    assert sum(losses[-2:]) < 0.7 * sum(losses[:2])
    again = train_verifier(pixels, encoder, rounds=1, epochs=8)
    assert weights_hash(again) == weights_hash(verifier)


def test_symmetry_to_the_bit_in_colour_and_for_every_architecture_of_maps():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8)
    prints = Detector.load().prints(images)
    there, back = prints.take(torch.arange(12)), prints.take(torch.arange(12).roll(1))
    shipped = Detector.load()
    assert shipped.score(there, back).equal(shipped.score(back, there))
    fresh = Verifier().eval()
    assert fresh.logits(there, back).equal(fresh.logits(back, there))


def test_rates_finer_than_the_pictures_are_extrapolated_and_kept():
    random = torch.Generator().manual_seed(0)
    logits = -torch.rand(200_000, generator=random, dtype=torch.float64).log() - 6  # exponential tail, mean 1
    scores = logits.sigmoid()
    result = calibrate(scores[:1_000], 1e-4, floor=0.01)
    assert result.threshold > float(scores[:1_000].max())
    rate = float((scores >= result.threshold).double().mean())
    assert 1e-5 < rate < 5e-4
    assert result.rate == 0 < result.high
    assert calibrate(scores[:5], 1e-4, floor=0.01).threshold >= float(scores[:5].max())
    for most in (0.01, float(result.threshold) / 2, 0.95):
        held = calibrate(scores[:1_000], 1e-4, floor=0.01, most=most).threshold
        assert float(scores[:1_000].max()) < held <= result.threshold  # never below what was seen
        assert held == result.threshold or held <= max(most, float(scores[:1_000].max())) + 1e-12


def test_fewer_false_alarms_ask_for_better_odds():
    assert stricter(0.8, 0.01) == stricter(0.8, 0.05) == 0.8
    assert stricter(0.8, 0.001) == pytest.approx(40 / 41)  # odds of 4 become 40
    assert stricter(1.0, 0.001) == 1


# --- the benchmarks ---


def test_planted_copies_are_found_and_strangers_left_alone():
    options = argparse.Namespace(fpr=0.001, own=None, no_baselines=True)
    _, private = replacement.pictures("mnist", 28, None)
    result = replacement.run(private, options, seed=11, public=None)
    assert result["exact"]["balanced_accuracy"] >= 0.999
    assert result["exact"]["right_pair"] == 1
    assert result["jpeg_noise"]["balanced_accuracy"] >= 0.99
    assert result["degraded"]["balanced_accuracy"] >= 0.8
    assert result["degraded"]["right_pair"] >= 0.98


def test_the_replacement_benchmark_prints_json_only(capsys, monkeypatch):
    for name, value in (("SHARES", (0.0, 0.1)), ("POOL", 100), ("MOST", 800)):
        monkeypatch.setattr(replacement, name, value)
    monkeypatch.setattr(sys, "argv", ["replacement", "--json", "--no-baselines", "--size", "16"])
    replacement.main()
    result = json.loads(capsys.readouterr().out)
    for name in ("exact", "jpeg_noise", "degraded"):
        assert {"balanced_accuracy", "recall", "fpr", "right_pair"} <= set(result[name])


def test_an_absent_data_set_is_skipped_with_its_reason(capsys, monkeypatch):
    monkeypatch.setattr(fingerprint_benchmark, "PLACES", [])
    monkeypatch.setattr(sys, "argv", ["fingerprint", "--json"])
    fingerprint_benchmark.main()
    assert "apt install dataset-fashion-mnist" in json.loads(capsys.readouterr().out)["skipped"]


def test_a_pair_is_verified_in_a_millisecond_or_so(splits):
    detector = Detector.load()
    prints = detector.prints(splits[0].train.images[:128])
    detector.score(prints, prints)
    started = time.process_time()
    detector.score(prints, prints)
    assert (time.process_time() - started) / 128 < 5e-3


def test_the_setting_own_trains_a_detector_for_the_node_and_pins_nothing(splits, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(node_detector, "FingerprintConfig", lambda: TINY)
    settings = ScoringSettings(samples=40, extractor="pixels", fingerprint="own")
    scorer = Scorer(splits[0], settings)
    assert scorer.detector.sha256 != Detector.load().sha256
    assert scorer.score(splits[0].train.images[:40]).r_c == 1
    assert list((tmp_path / "pdfed" / "fingerprints").glob("*.safetensors"))
    assert pinned(settings).fingerprint_sha256 == ""
    with pytest.raises(MlError, match="no hash for own"):
        dataclasses.replace(settings, fingerprint_sha256="00")
    with pytest.raises(MlError, match="'ours'"):
        dataclasses.replace(settings, fingerprint="ours")
