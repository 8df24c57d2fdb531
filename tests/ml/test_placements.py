"""Where a picture lies in another: windows, refinement, cues, what the judge learns from, and its sets."""

from __future__ import annotations

import colorsys
import json

import numpy as np
import pytest
import torch

from pdfed_sdk.ml.copies import augment, detector, placements, search
from pdfed_sdk.ml.copies.alterations import ALTERATIONS, _hue_turned, altered
from pdfed_sdk.ml.copies.candidates import IDENTICAL, Candidates
from pdfed_sdk.ml.copies.corpus import photographs
from pdfed_sdk.ml.copies.fine import FINE_CUES, fine_cues
from pdfed_sdk.ml.copies.judge import CUES, Look
from pdfed_sdk.ml.copies.laid import LAID_CUES, agreement, cut, laid_cues, refined, searched
from pdfed_sdk.ml.copies.named_sets import divided, grouped, read
from pdfed_sdk.ml.copies.placements import PlacedIndex, Placements, all_windows, layers
from pdfed_sdk.ml.copies.registration import blurred
from pdfed_sdk.ml.copies.train_judge import learn
from pdfed_sdk.ml.data import reshape_images

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="module")
def pictures():
    """Forty squares of photographs, (40, 3, 32, 32) in [0, 1]."""
    tiles = photographs(names=("astronaut", "coffee", "chelsea"))
    return reshape_images(tiles[:: len(tiles) // 40][:40], 32, 3).float() / 255


def placed(scale, right, down, mirrored=False, count=1):
    """The same placement ``count`` times."""
    numbers = (torch.full((count,), float(value)) for value in (scale, right, down))
    return Placements(*numbers, torch.full((count,), mirrored))


def pasted(small, ground, scale, right, down):
    """``small`` in the frame of ``ground``, as a copier pastes it."""
    size = ground.shape[-1]
    theta = torch.tensor([[[1 / scale, 0, -right / scale], [0, 1 / scale, -down / scale]]]).expand(len(small), -1, -1)
    grid = torch.nn.functional.affine_grid(theta, [len(small), 3, size, size], align_corners=False)
    inside = (grid.abs() <= 1).all(3)[:, None]
    return torch.where(inside, torch.nn.functional.grid_sample(small, grid, align_corners=False), ground)


def test_the_best_window_names_the_picture_and_its_place_and_refinement_comes_nearer(pictures):
    truth = (0.74, 0.17, -0.12)
    query = pasted(pictures[:20], pictures[20:40], *truth)
    index, both = PlacedIndex(layers(pictures[:20]), True), layers(query)
    vectors = index.windows(both)
    first = index.nearest(vectors, 0, 1).squeeze(1)
    assert float((first == torch.arange(20)).double().mean()) >= 0.8
    like = index.likeness(vectors, torch.arange(20)[:, None])
    place = all_windows(True).take(like.window[:, 0])
    better, _ = refined(both[:, 0], layers(pictures[:20])[:, 0], place)

    def error(found):
        parts = torch.stack([found.scale - truth[0], found.right - truth[1], found.down - truth[2]])
        return parts.abs().amax(0).median()

    assert error(better) < 0.03 < error(place)


@pytest.mark.parametrize("method", [lambda *pair: refined(*pair)[0], searched], ids=["refined", "searched"])
def test_no_step_leads_to_a_worse_place_even_where_the_ground_misleads(pictures, method):
    small, ground = pictures[:20], 1 - pictures[20:40]
    query = layers(pasted(small, ground, 0.62, 0.3, -0.3))[:, 0]
    item = layers(small)[:, 0]
    start = placed(0.6, 0.24, -0.24, count=20)
    before, after = (agreement(query, blurred(item, 1), place) for place in (start, method(query, item, start)))
    assert (after >= before).all()
    assert after.median() > before.median() + 0.05


def test_what_is_nearly_symmetric_is_laid_the_right_way_round(pictures):
    """Cut and shifted, it may look more like its mirror image through the best window."""
    near = 0.95 * (pictures + pictures.flip(3)) / 2 + 0.05 * pictures
    one = torch.ones(len(near), 1, 1, 1)
    moved = augment.placed(near, 0.9 * one, 0.1 * one, -0.1 * one)
    known, ours = (part.clamp(0, 1).mul(255).round().to(torch.uint8) for part in (near, moved))
    shipped = detector.Detector.load()
    index = search.CopyIndex(shipped, shipped.prints(known), 5)
    for turned, images in ((False, ours), (True, ours.flip(3))):
        queries = index.queries(images)
        found = index.candidates(queries)
        pairs = (found.valid & (found.index == torch.arange(len(near))[:, None])).nonzero(as_tuple=True)
        at_first = all_windows(True).take(found.window[pairs]).mirrored != turned
        laid = index.laid(queries, found, *pairs).place.mirrored != turned
        assert len(laid) >= 38
        assert at_first.sum() >= 6
        assert 2 * laid.sum() <= at_first.sum()


def test_the_rough_windows_are_some_of_all_and_in_their_order():
    for mirrored in (False, True):
        every, chosen = all_windows(mirrored), placements._rough(mirrored, torch.device("cpu"))
        rough = every.take(chosen)
        assert len(chosen.unique()) == len(chosen) < len(every.scale) / 3
        image = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0))
        seen = [
            torch.cat(list(placements._seen(image, grids, mirrored)), 1)
            for grids in (placements.GRIDS, placements.ROUGH)
        ]
        assert torch.allclose(seen[0][:, chosen], seen[1])
        assert rough.mirrored.any() == mirrored


def test_a_cut_is_the_inverse_of_pasting_and_says_what_was_outside(pictures):
    seen, mask = cut(pictures[:2], placed(1, 0, 0, count=2))
    assert torch.allclose(seen, pictures[:2], atol=1e-5)
    assert mask.min() == 1
    flipped, _ = cut(pictures[:2], placed(1, 0, 0, mirrored=True, count=2))
    assert torch.allclose(flipped, pictures[:2].flip(3), atol=1e-5)
    _, beyond = cut(pictures[:1], placed(1, 0.5, 0))
    assert beyond.mean() == pytest.approx(0.75)


def test_cues_do_not_see_brightness_contrast_nor_a_linear_change_of_colours(pictures):
    still = placed(1, 0, 0, count=40)

    def laid(query, item):
        return laid_cues(query, item, still, layers(item))

    same = laid(pictures, pictures)
    assert same.shape == (40, LAID_CUES)
    faint = laid(0.6 * pictures + 0.1, pictures)
    other = laid(pictures.roll(1, 0), pictures)
    moved, apart = ((cues - same)[:, :5].abs().median() for cues in (faint, other))
    assert moved < 0.5 < 4 < apart  # log distances of the correlations from 1
    swapped = laid(pictures[:, [2, 0, 1]], pictures)
    assert swapped[:, 11].median() < -6 < -1 < other[:, 11].median()  # what the best map of colours leaves


def test_light_and_hue_leave_nothing_unexplained_between_pictures_that_lie_on_each_other(pictures):
    """The unmoved cues: after gain and offset whole, after the bent map of colours, between the brightest channels."""
    still, other = placed(1, 0, 0, count=40), pictures.roll(1, 0)
    lit, hued = (1.4 * pictures).clamp(0, 1), _hue_turned(pictures, *(torch.full((40, 1, 1, 1), v) for v in (0.7, 0.8)))
    cues = {name: fine_cues(query, pictures, still) for name, query in (("lit", lit), ("hued", hued), ("other", other))}
    assert cues["lit"].shape == (40, FINE_CUES)
    gained, bent, tops = (-7, -3, -1)
    assert cues["lit"][:, gained].median() < -8 < -2 < cues["other"][:, gained].median()
    assert cues["hued"][:, bent].median() < -5 < -2 < cues["other"][:, bent].median()
    assert cues["hued"][:, tops].max() < -9 < -2 < cues["other"][:, tops].median()


def test_hues_turn_as_those_of_the_standard_library(pictures):
    turned = _hue_turned(pictures[:1], torch.full((1, 1, 1, 1), 0.8), torch.full((1, 1, 1, 1), 0.7))
    for row, column in ((3, 5), (17, 9), (30, 30)):
        hue, rich, value = colorsys.rgb_to_hsv(*pictures[0, :, row, column].tolist())
        wanted = colorsys.hsv_to_rgb((hue + 0.8 / 6) % 1, rich * 0.7, value)
        assert turned[0, :, row, column].tolist() == pytest.approx(wanted, abs=1e-5)


def test_edges_stay_where_they_are_when_a_picture_is_made_negative(pictures):
    assert torch.allclose(layers(pictures)[:, 1], layers(1 - pictures)[:, 1], atol=1e-4)


def test_flat_pictures_and_few_of_them_give_finite_cues(scorer):
    for count in (1, 2, 3):
        flat = torch.full((count, 2, 32, 32), 0.5)
        index = PlacedIndex(flat, True)
        found = index.likeness(index.windows(flat), torch.zeros(count, 1, dtype=torch.long))
        assert torch.isfinite(found.cosines).all()
    images = torch.zeros(3, 1, 16, 16, dtype=torch.uint8)
    queries = scorer.index.queries(images)
    found = scorer.index.candidates(queries)
    laid = scorer.index.laid(queries, found, *found.valid.nonzero(as_tuple=True))
    for seen, width in (
        (found.cues[found.valid], CUES[0]),
        (laid.cues, CUES[1]),
        (scorer.index.fine(queries, laid), CUES[2]),
    ):
        assert seen.shape == (3 * 2 * scorer.settings.neighbours, width)
        assert torch.isfinite(seen).all()


def test_the_likeliest_of_what_is_proposed_are_the_candidates(scorer, splits):
    """Each once, the first look's best first, and never a near twin where these are passed over."""
    images = splits[0].train.images[:30]
    shifted = torch.cat([images[:, :, 1:], images[:, :, -1:]], 2)
    queries = scorer.index.queries(torch.cat([shifted, images]))
    every = Candidates.joined(scorer.index.proposals(queries))
    found = scorer.index.candidates(queries)
    likely = (
        scorer.detector.judged(every.cues).masked_fill(every.distances <= IDENTICAL, 1).masked_fill(~every.valid, -1)
    )
    assert torch.allclose(scorer.detector.judged(found.cues)[:30, 0], likely[:30].max(1).values)
    assert every.index.shape[1] > 2 * scorer.settings.neighbours == found.index.shape[1]
    for row in found.index.tolist():
        assert len(set(row)) == len(row)
    assert (found.index[:30, 0] == torch.arange(30)).sum() >= 28
    assert found.index[30:, 0].equal(torch.arange(30))
    strangers = scorer.index.candidates(queries, twins=False)
    own = strangers.index[30:] == torch.arange(30)[:, None]
    assert not (own & strangers.valid[30:]).any()
    assert strangers.gaps[30:].min() > 0
    assert found.gaps[30:].max() <= IDENTICAL


def test_a_closer_look_is_taken_only_at_what_may_be_a_copy(scorer, splits, monkeypatch):
    seen = []
    fine = scorer.index.fine
    monkeypatch.setattr(
        scorer.index, "fine", lambda queries, pairs: seen.append(len(pairs.rows)) or fine(queries, pairs)
    )
    strangers = splits[1].test.images
    found = scorer.index.search(scorer.index.queries(strangers))
    assert seen[0] < 0.15 * 2 * len(found.rows)  # twice as many were looked at as are kept
    known = splits[0].train.images[:20]
    found = scorer.index.search(scorer.index.queries(torch.cat([known[:, :, 1:], known[:, :, -1:]], 2)))
    assert seen[1] >= 18
    assert (found.best > 0.5).sum() >= 18


def test_cut_shifted_and_pasted_copies_are_found(scorer, splits):
    train = splits[0].train.images[:40]
    ground = splits[1].train.images[:40]
    shifted = torch.cat([train[:, :, 1:], train[:, :, -1:]], 2)
    small = torch.nn.functional.interpolate(train[:, :, 1:-1, 1:-1].float(), (16, 16), mode="bilinear")
    paste = ground.clone()
    paste[:, :, 2:15, 3:16] = torch.nn.functional.interpolate(train.float(), (13, 13), mode="bilinear", antialias=True)
    for copies, least in ((shifted, 36), (small, 36), (paste, 20)):
        found = scorer.score(copies.round().clamp(0, 255).to(torch.uint8))
        assert sum(pair.sample == pair.train for pair in found.pairs) >= least


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=gpu)])
def test_few_at_a_time_find_what_many_find(splits, monkeypatch, device):
    known = splits[0].train.images[:60]
    shifted = torch.cat([known[:10, :, 1:], known[:10, :, -1:]], 2)
    asked, found = torch.cat([shifted, known[:2], splits[1].train.images[:12]]), []
    for factor in (1 / 32, 32):
        for module in (detector, placements, search):
            monkeypatch.setattr(module, "at_a_time", lambda there, few, each, factor=factor: max(1, int(few * factor)))
        shipped = detector.Detector.load().to(torch.device(device))
        index = search.CopyIndex(shipped, shipped.prints(known), 5)
        queries = index.queries(asked)
        found.append(index.search(queries))
    few, many = found
    assert few.rows.equal(many.rows)
    assert few.columns.equal(many.columns)
    assert few.twins.equal(many.twins)
    assert torch.allclose(few.scores, many.scores, atol=1e-5)
    assert few.best.device == torch.device("cpu")
    assert (few.best[:12] > 0.8).sum() >= 10


# --- what the judge learns from ---


@pytest.mark.parametrize("channels", [1, 3])
def test_every_alteration_gives_a_picture_and_is_seeded(pictures, channels):
    images = pictures[:, :channels]
    others = images.roll(1, 0)
    for alter in ALTERATIONS:
        made = alter(images, others, torch.Generator().manual_seed(1)).clamp(0, 1)
        assert made.shape == images.shape
        assert torch.isfinite(made).all()
    first, second = (altered(images, others, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.equal(second)
    assert not first.equal(images)


def test_the_parts_to_train_on_and_to_test_on_share_no_motif(tmp_path):
    folder = tmp_path / "emoji"
    (folder / "img" / "google" / "64").mkdir(parents=True)
    from PIL import Image

    entries = []
    for number in range(12):
        names = [f"{number:x}.png", f"{number:x}-tone.png"]
        for tone, name in enumerate(names):
            Image.new("RGB", (64, 64), (20 * number, 90 * tone, 7)).save(folder / "img" / "google" / "64" / name)
        tones = {"1F3FB": {"image": names[1]}}
        entries.append({"unified": str(number), "category": "c", "image": names[0], "skin_variations": tones})
    (folder / "emoji.json").write_text(json.dumps(entries))
    parts = [read("emoji", str(folder), tests=side) for side in (False, True)]
    assert sum(len(images) for images, _ in parts) == 24
    colours = [{int(picture[0, 0, 0]) for picture in images} for images, _ in parts]
    assert not colours[0] & colours[1]
    assert all(np.bincount(motifs[motifs >= 0]).max() == 2 for _, motifs in parts)
    assert read("clip-art", str(tmp_path / "absent"), tests=True) is None


def test_near_twins_and_variants_stand_on_one_side():
    images = torch.randint(0, 256, (30, 1, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images[1] = (images[0].int() + 2).clamp(0, 255).to(torch.uint8)
    kept, groups = grouped(images, np.arange(30), 30, 0)
    assert len(np.unique(groups)) == 29
    for seed in range(5):
        inside, outside = divided(groups, 15, seed)
        assert len(inside) + len(outside) == len(kept)
        assert not set(groups[inside.numpy()]) & set(groups[outside.numpy()])


def test_the_judge_learns_what_a_lesson_shows_and_nothing_of_a_sets_own_offset():
    random = torch.Generator().manual_seed(0)

    def taught(offset):
        cues, copies = torch.randn(600, CUES[1], generator=random), torch.arange(600) % 4 == 0
        cues[:, 0] += offset - 4 * copies
        return cues, copies, torch.ones(600)

    look = Look(CUES[1])
    learn(look, [taught(0.0), taught(0.5)], [0, 1], steps=120)
    cues, copies, _ = taught(0.0)
    scores = look(cues)
    assert scores[copies].quantile(0.1) > scores[~copies].quantile(0.9)
