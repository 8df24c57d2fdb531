"""The text-to-image examples, at a size of seconds: a base trained from nothing, and three artists over it."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pdfed_sdk.family import load_model
from pdfed_sdk.ml.lora.new_base import TINY, new_base, token_ids
from tests.support.anvil import ROOT

EXAMPLE = ROOT / "examples" / "lora"


@pytest.fixture(scope="module")
def scripts() -> Any:
    sys.path.insert(0, str(EXAMPLE))
    try:
        yield importlib.import_module("train_base"), importlib.import_module("three_artists")
    finally:
        sys.path.remove(str(EXAMPLE))


@pytest.fixture(scope="module")
def emoji(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the npm package has it: 14 pictures of each of four categories, one with a skin tone."""
    root = tmp_path_factory.mktemp("emoji")
    (root / "img" / "google" / "64").mkdir(parents=True)
    random, entries = np.random.default_rng(0), []
    for kind, category in enumerate(("Animals & Nature", "Food & Drink", "Travel & Places", "Symbols")):
        for number in range(14):
            image = f"{kind}-{number}.png"
            pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            pixels[..., kind % 3] //= 4
            Image.fromarray(pixels).resize((64, 64), Image.Resampling.BILINEAR).save(
                root / "img" / "google" / "64" / image
            )
            entries.append({"category": category, "image": image, "name": f"{category[:4].strip()} NUMBER {number}"})
    entries[0]["skin_variations"] = {"1F3FB": {"image": "0-1.png"}}
    (root / "emoji.json").write_text(json.dumps(entries))
    return root


@pytest.fixture(scope="module")
def base(scripts: Any, emoji: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    train_base, _ = scripts
    out = tmp_path_factory.mktemp("trained") / "base"
    options = train_base.parser().parse_args(
        ["--emoji", str(emoji), "--out", str(out), "--vae-steps", "6", "--steps", "6", "--batch", "4"]
    )
    data = train_base.emoji(emoji, size=32, without=train_base.ARTISTS)
    assert len(data) == 14
    digest = train_base.train_base(data, out, TINY, options)
    again = train_base.train_base(data, out.with_name("again"), TINY, options)
    assert digest == again, "the same options give the same bytes"
    return out


def test_the_networks_of_a_base_learn(scripts: Any, emoji: Path) -> None:
    """Both losses fall: a step in the wrong direction, or on other weights, would be seen."""
    train_base, _ = scripts
    data = train_base.emoji(emoji, size=32, without=train_base.ARTISTS)
    made, random = new_base(data.captions, TINY), torch.Generator().manual_seed(0)
    first = train_base.train_vae(made, data.images, 5, 4, 3e-3, random)
    assert train_base.train_vae(made, data.images, 30, 4, 3e-3, random) < 0.8 * first
    latents = train_base.latents_of(made, data.images)
    assert float(latents.std()) == pytest.approx(1.0, abs=1e-3)
    ids = token_ids(made, data.captions)
    first = train_base.train_denoiser(made, latents, ids, 5, 4, 3e-3, random)
    assert train_base.train_denoiser(made, latents, ids, 30, 4, 3e-3, random) < 0.95 * first


def test_three_artists(scripts: Any, emoji: Path, base: Path, tmp_path: Path) -> None:
    """Every number is measured, the adapter loads as a stranger's would, and the grid shows a row an adapter."""
    train_base, three = scripts
    small = {"own": 8, "heldout": 6, "prompts": 2, "rank": 2, "resolution": 32, "batch": 4, "pictures": 8}
    small |= {"rounds": 2, "samples": 4, "evaluations": 2, "steps": 2, "over": 8}
    given = [text for name, value in small.items() for text in (f"--{name}", str(value))]
    options = three.parser().parse_args(
        ["--emoji", str(emoji), "--base", str(base), "--out", str(tmp_path), "--extractor", "pixels", *given]
    )
    found = three.play(train_base.emoji(emoji, size=32, only=three.ARTISTS).named(three.ARTISTS), options)
    table = found["distances"]
    assert list(table) == ["base alone", *(f"{name} alone" for name in three.ARTISTS), "federation"]
    values = [tuple(row) for squares in table.values() for square in squares for row in square]
    assert len(set(values)) == len(values) == 3 * 2 * 5, "every evaluation of every adapter has noise of its own"
    assert min(map(min, values)) > 0
    assert len(found["gate"]) == 3
    assert all(found["gate"].values())
    assert found["bytes"] < 4_000_000
    assert load_model(tmp_path / "adapter").config.size == 32
    assert Image.open(tmp_path / "grid.png").size == (12 * 32, 5 * 32)


def test_the_claims_of_the_three_artists(scripts: Any) -> None:
    """Each claim is judged by the worst category of every evaluation, and each can fail on its own."""
    _, three = scripts
    own, base = [[50.0, 300.0], [250.0, 100.0]], [[100.0, 200.0], [100.0, 200.0]]
    table = {
        "base alone": base,
        "a alone": [[60.0, 210.0], [60.0, 210.0]],
        "federation": [[70.0, 150.0], [80.0, 160.0]],
    }
    shares = three.ways(table, three.diagonal(own))
    assert shares["federation"] == [[pytest.approx(0.6), 0.5], [pytest.approx(0.4), pytest.approx(0.4)]]
    told = three.contrasts([[[70.0, 200.0], [110.0, 150.0]], [[70.0, 250.0], [90.0, 150.0]]], own)
    assert told == [[pytest.approx(0.2), pytest.approx(0.25)], [pytest.approx(0.1), pytest.approx(0.5)]]
    apart = {"a alone": [[0.1, 0.3], [0.0, 0.1]], "federation": told}
    reached = three.drawn({**table, "a alone": [[60.0, 310.0], [60.0, 300.0]]}, own)
    assert reached["federation"] == [[pytest.approx(0.9), pytest.approx(0.75)], [pytest.approx(0.85), 0.7]]
    assert reached["a alone"] == [[pytest.approx(0.95), pytest.approx(-0.05)], [pytest.approx(0.95), 0.0]]
    open_, refused = {three.OVER: "refused", three.SHARED: "open"}, {three.OVER: "open", three.SHARED: "open"}
    assert list(three.claims(shares, reached, apart, open_, 1).values()) == [True] * 9
    behind = three.ways({**table, "federation": [[70.0, 150.0], [80.0, 211.0]]}, three.diagonal(own))
    assert failing(three.claims(behind, reached, apart, open_, 1)) == [2, 4]
    undrawn = {**reached, "federation": [[0.9, 0.1], [0.0, 0.1]]}
    assert failing(three.claims(shares, undrawn, apart, open_, 1)) == [0]
    assert failing(three.claims(shares, {**reached, "a alone": [[0.9, 0.1], [0.9, -0.1]]}, apart, open_, 1)) == [1]
    better = three.ways({**table, "a alone": [[60.0, 210.0], [60.0, 199.0]]}, three.diagonal(own))
    deaf = {**apart, "federation": [[0.2, 0.2], [-0.1, 0.2]]}
    assert failing(three.claims(better, reached, deaf, refused, 4_000_001)) == [3, 5, 6, 7, 8]


def failing(claims: dict[str, bool]) -> list[int]:
    return [number for number, holds in enumerate(claims.values()) if not holds]
