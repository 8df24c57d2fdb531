"""The seam between a kind of model and the rest: one module and one entry make a family."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pdfed_sdk import family as seam
from pdfed_sdk.artifacts.package import open_package, pack_folder
from pdfed_sdk.errors import MlError, PackageInvalid
from pdfed_sdk.family import CARD, families, family_in, family_named, family_of, load_model
from pdfed_sdk.ml.copies import detector
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.diffusion import ddpm
from pdfed_sdk.ml.diffusion.hidden_parents import Relation, relations, trace
from tests.support.pipelines import folder_of

ROOT = Path(detector.__file__).parents[3]
SECOND = """
from pathlib import Path
from pdfed_sdk.errors import PackageInvalid
from pdfed_sdk.family import PackageRules


def check(configs, shapes):
    if configs["toy.json"].get("kind") != "toy":
        raise PackageInvalid("toy.json is of another kind", hint="write kind")


class Toy:
    name, usage = "toy", "open it"
    rules = PackageRules("toy.safetensors", ("toy.json",), check)

    def load(self, folder: Path):
        return ("loaded", folder.name)


FAMILY = Toy()
"""


def shown(model):
    """Eight pictures of the model's shape."""
    config = model.config
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, config.channels, config.size, config.size), generator=random, dtype=torch.uint8)
    return PictureSet(images, torch.zeros(8, dtype=torch.int64), ("cat",))


def test_every_entry_is_a_whole_family(tiny, adapter, tmp_path):
    """Each method of the protocol does its work on a model of the family."""
    models = {"ddpm": tiny, "latent-lora": adapter}
    for family in families():
        tiny = models[family.name]
        folder = family.save(tiny, tmp_path / family.name)
        loaded = load_model(folder)
        assert loaded.family is family is family_named(family.name) is family_in(folder)
        assert loaded.weights_digest() == tiny.weights_digest() == family.average([tiny], [1.0]).weights_digest()
        beats: list[int] = []
        family.on_forward(loaded, lambda seen=beats: seen.append(1))
        images, labels = family.sample(loaded, 3, b"seed", steps=2)
        assert (len(images), len(labels), len(beats)) == (3, 3, 2)
        assert family.usage
        family.check_beside(tiny, loaded)
        assert family.activations(loaded, shown(loaded), b"seed", [0.5])[0][0].shape[0] == 8
        assert len(family.validation(loaded, shown(loaded), torch.device("cpu"))(loaded)) == 8


def test_a_hidden_parent_is_judged_by_the_limits_of_its_family(tiny, adapter):
    """Hidden layers of honest adapters lie nearer to each other than those of pixel models, predictions farther."""
    for model, near_layers, near_predictions in ((tiny, True, False), (adapter, False, True)):
        seen = trace(model, shown(model), b"seed")
        limit = relations(seen, {1: seen}, [seen, seen], seen)[1].limit
        assert Relation(0.7, 0.5, limit).made_from_it is near_layers
        assert Relation(0.4, 0.9, limit).made_from_it is near_predictions
        assert not Relation(limit.prediction, limit.hidden, limit).made_from_it


def test_a_second_family_needs_one_module_and_one_entry(tmp_path, monkeypatch):
    (tmp_path / "toy_family.py").write_text(SECOND)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(seam, "FAMILIES", (*seam.FAMILIES, "toy_family:FAMILY"))
    families.cache_clear()
    try:
        import numpy as np
        import safetensors.numpy

        files = {
            CARD: b"# toy",
            "toy.json": b'{"kind": "toy"}',
            "toy.safetensors": safetensors.numpy.save({"w": np.ones(3, np.float32)}),
        }
        folder = folder_of(tmp_path / "model", files)
        assert pack_folder(folder, tmp_path / "toy.zip").family == "toy"
        open_package(tmp_path / "toy.zip", tmp_path / "again")
        assert load_model(tmp_path / "again") == ("loaded", "again")
        folder_of(tmp_path / "model", {"toy.json": b'{"kind": "other"}'})
        with pytest.raises(PackageInvalid, match="another kind"):
            pack_folder(folder, tmp_path / "bad.zip")
    finally:
        families.cache_clear()


def test_nothing_but_the_family_names_its_network():
    """`.unet` belongs to the modules of the family; trainer, sampler, scorer, package rules and node go through it."""
    own = {ROOT / f"pdfed_sdk/ml/diffusion/{name}.py" for name in ("ddpm", "model", "architecture")}
    own |= set((ROOT / "pdfed_sdk/ml/lora").glob("*.py"))
    named = [p for p in (ROOT / "pdfed_sdk").rglob("*.py") if p not in own and ".unet" in p.read_text()]
    assert named == []


def test_families_are_known_without_torch():
    code = "import sys; from pdfed_sdk.family import families; families(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_what_is_no_family_is_named(tmp_path):
    with pytest.raises(MlError, match='no model family "gan"'):
        family_named("gan")
    with pytest.raises(MlError, match="lacks unet/diffusion_pytorch_model"):
        load_model(folder_of(tmp_path / "part", dict.fromkeys(ddpm.FAMILY.rules.configs, b"{}")))
    with pytest.raises(MlError, match="is not a folder"):
        load_model(tmp_path / "nowhere")
    assert family_of({"README.md"}).name == "ddpm"
