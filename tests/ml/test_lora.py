"""Adapters of latent text-to-image models: files, the shared base, averaging, training, sampling by captions."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pdfed_sdk.artifacts.package import pack_folder
from pdfed_sdk.errors import DataError, MlError, PackageInvalid
from pdfed_sdk.family import CARD
from pdfed_sdk.ml.folders import load_folder
from pdfed_sdk.ml.lora.adapter import AdapterModel, load_adapter, new_adapter, save_adapter, with_matrices
from pdfed_sdk.ml.lora.averaging import average
from pdfed_sdk.ml.lora.base_files import VARIABLE, BaseMissing, base_digest, find_base, use_base
from pdfed_sdk.ml.lora.family import FAMILY, SETUP, WEIGHTS
from pdfed_sdk.ml.lora.learning import captions_of, repeated
from pdfed_sdk.ml.lora.new_base import vocabulary_of
from pdfed_sdk.ml.lora.prompts import prompts_from, read_prompts, setup_for
from pdfed_sdk.ml.lora.setup import AdapterSetup
from pdfed_sdk.ml.training import TrainConfig, train
from tests.support.tiny_base import TEXTS, tiny_adapter, tiny_pictures, tiny_setup


def changes(model: AdapterModel) -> dict[str, torch.Tensor]:
    """ΔW of every layer."""
    found = model.network.matrices()
    return {
        name: found[name.replace("lora_A", "lora_B")].detach().double() @ matrix.detach().double()
        for name, matrix in found.items()
        if "lora_A" in name
    }


# --- base ------------------------------------------------------------------------------------------------------------


def test_a_base_of_other_bytes_is_another_base(base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    other = Path(shutil.copytree(base_folder, tmp_path / "other"))
    assert base_digest(other) == base_digest(base_folder)
    (other / "README.md").write_text("what loading does not read does not count")
    assert base_digest(other) == base_digest(base_folder)
    config = other / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.013"))
    digest = base_digest(other)
    assert digest != base_digest(base_folder)
    with pytest.raises(BaseMissing, match=digest):
        find_base(digest)
    monkeypatch.setenv(VARIABLE, f"{tmp_path / 'nowhere'}:{other}")
    assert find_base(digest) == other


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}, "SDXL"),
        ({"transformer": ["diffusers", "SD3Transformer2DModel"]}, "flow matching"),
        ({}, "names no unet"),
    ],
)
def test_other_layouts_are_refused_in_words(index: dict[str, Any], words: str, tmp_path: Path):
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(MlError, match=words):
        use_base(tmp_path)


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (("tokenizer/tokenizer.json", "tokenizer/vocab.json"), "lacks its tokenizer"),
        (("vae/diffusion_pytorch_model.safetensors",), "lacks vae/diffusion_pytorch_model.safetensors"),
    ],
)
def test_what_a_base_lacks_is_named(gone: tuple[str, ...], words: str, base_folder: Path, tmp_path: Path):
    other = Path(shutil.copytree(base_folder, tmp_path / "other"))
    for name in gone:
        (other / name).unlink()
    with pytest.raises(MlError, match=words):
        base_digest(other)


def test_the_tokenizer_of_a_new_base_reads_back_what_it_was_made_from(adapter: AdapterModel):
    vocabulary, merges = vocabulary_of(TEXTS, 160)
    assert (vocabulary, merges) == vocabulary_of(TEXTS, 160)
    assert list(vocabulary.values()) == list(range(len(vocabulary)))
    tokenizer = adapter.base.tokenizer
    ids = tokenizer("a red cat")["input_ids"]
    assert len(ids) == 5, "frequent words are single tokens, between the two ends"
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == "a red cat"


def test_both_layouts_of_a_tokenizer_load_alike(adapter: AdapterModel, tmp_path: Path):
    """Older folders hold vocab.json and merges.txt alone."""
    from transformers import CLIPTokenizer

    old = Path(shutil.copytree(adapter.base.folder / "tokenizer", tmp_path / "tokenizer"))
    (old / "tokenizer.json").unlink()
    again = CLIPTokenizer.from_pretrained(str(old))
    assert again(list(TEXTS))["input_ids"] == adapter.base.tokenizer(list(TEXTS))["input_ids"]


# --- files -----------------------------------------------------------------------------------------------------------


def test_diffusers_loads_what_is_published_and_computes_the_same(adapter: AdapterModel, tmp_path: Path):
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(str(adapter.base.folder), local_files_only=True)
    random = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 4, 8, 8, generator=random)
    text = adapter.base.encode_text(TEXTS[:2], torch.device("cpu"))
    times = torch.tensor([10, 700])
    with torch.no_grad():
        plain = pipeline.unet(latents, times, text).sample
        pipeline.load_lora_weights(str(save_adapter(adapter, tmp_path)), weight_name=WEIGHTS)
        found, own = pipeline.unet(latents, times, text).sample, adapter.network(latents, times, text)
    torch.testing.assert_close(own, found, atol=1e-5, rtol=1e-4)
    assert float((own - plain).abs().max()) > 1e-2, "the adapter changes something"


def change(folder: Path, what: str) -> None:
    """Spoil a published adapter in one way."""
    matrices, setup = load_file(folder / WEIGHTS), json.loads((folder / SETUP).read_text())
    first = next(name for name in sorted(matrices) if "lora_A" in name)
    if what == "a tensor of the base":
        matrices["unet.conv_in.weight"] = torch.zeros(4, 4)
    elif what == "another module":
        matrices[first.replace("to_k", "to_x")] = matrices.pop(first)
    elif what == "another rank":
        setup["rank"] = 3
    elif what == "one half":
        del matrices[first]
    elif what == "another width":
        matrices[first] = torch.zeros(2, 5)
    elif what == "a layer less":
        for half in "AB":
            del matrices[first.replace("lora_A", f"lora_{half}")]
    elif what == "NaN":
        matrices[first][0, 0] = float("nan")
    elif what == "a prompt of a megabyte":
        setup["prompts"][0] = "x" * 10_000
    elif what == "a control character":
        setup["prompts"][0] = "a\x1b[2Jcat"
    elif what == "a key too many":
        setup["code"] = "run me"
    save_file(matrices, folder / WEIGHTS)
    (folder / SETUP).write_text(json.dumps(setup))


@pytest.mark.parametrize(
    ("what", "words", "packs"),
    [
        ("a tensor of the base", "no LoRA matrix", False),
        ("another module", "the setup names", False),
        ("another rank", "the setup says rank 3", False),
        ("one half", "one half only", False),
        ("another width", "the base wants", True),
        ("a layer less", "the adapter lacks", True),
        ("NaN", "NaN|not finite", False),
        ("a prompt of a megabyte", "10000 letters, the limit is 2000", False),
        ("a control character", "control character", False),
        ("a key too many", "another set of keys", False),
    ],
)
def test_what_is_no_adapter_of_the_task_is_refused(
    what: str, words: str, packs: bool, adapter: AdapterModel, tmp_path: Path
):
    """By the rules of packages where they can see it, by the loader always."""
    folder = save_adapter(adapter, tmp_path / "model")
    (folder / CARD).write_text("# adapter")
    pack_folder(folder, tmp_path / "good.zip")
    change(folder, what)
    with pytest.raises(MlError, match=words):
        load_adapter(folder)
    if packs:
        pack_folder(folder, tmp_path / "bad.zip")
    else:
        with pytest.raises(PackageInvalid, match=words):
            pack_folder(folder, tmp_path / "bad.zip")


def test_a_candidate_with_another_setup_is_told_apart(adapter: AdapterModel):
    other = dataclasses.replace(adapter, setup=dataclasses.replace(adapter.setup, prompts=TEXTS[2:]))
    with pytest.raises(MlError, match="prompts of the adapter is"):
        FAMILY.check_beside(adapter, other)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"base": "main"}, "sha-256"),
        ({"rank": 0}, "rank is 0"),
        ({"targets": ("conv1",)}, "targets"),
        ({"resolution": 30}, "resolution is 30"),
        ({"guidance": float("nan")}, "guidance"),
        ({"prompts": TEXTS[:3]}, "3 prompts cannot be spread evenly over 2 classes"),
        ({"template": "no place"}, "expected one {}"),
    ],
)
def test_impossible_setups(changed: dict[str, Any], words: str):
    with pytest.raises(MlError, match=words):
        tiny_setup(**{"digest": "0" * 64, **{("digest" if k == "base" else k): v for k, v in changed.items()}})


def test_a_setup_comes_back(adapter: AdapterModel):
    assert AdapterSetup.from_dict(json.loads(adapter.setup.to_json())) == adapter.setup


# --- average ---------------------------------------------------------------------------------------------------------


def test_the_average_is_the_nearest_adapter_to_the_mean_of_the_changes(base_folder: Path):
    """Against the definition, computed from ΔW itself; averaging A and B on their own is further away everywhere."""
    models, weights = [tiny_adapter(base_folder, seed) for seed in (1, 2, 3)], [3.0, 2.0, 1.0]
    found = average(models, weights)
    lost = total = naive_lost = 0.0
    mixed = [model.network.matrices() for model in models]
    for name, own in changes(found.model).items():
        mean = sum(w / 6 * changes(model)[name] for w, model in zip(weights, models, strict=True))
        values = torch.linalg.svdvals(mean)
        left = float((mean - own).norm())
        assert left == pytest.approx(float(values[2:].norm()), rel=1e-3, abs=1e-6), "Eckart and Young's bound"
        up, down = (
            sum(w / 6 * one[n].detach().double() for w, one in zip(weights, mixed, strict=True))
            for n in (name.replace("lora_A", "lora_B"), name)
        )
        naive = float((mean - up @ down).norm())
        assert left < naive
        lost, total, naive_lost = lost + left**2, total + float(mean.norm()) ** 2, naive_lost + naive**2
    assert found.residual == pytest.approx((lost / total) ** 0.5, rel=1e-3)
    assert found.residual < found.worst < 1
    assert (naive_lost / total) ** 0.5 > 1.15 * found.residual


def test_averaging_equals_or_commuting_adapters_loses_nothing(base_folder: Path):
    one, two = tiny_adapter(base_folder, 1), tiny_adapter(base_folder, 1)
    found = average([one, two], [0.5, 0.5])
    assert found.residual < 1e-6
    for name, change_ in changes(one).items():
        torch.testing.assert_close(changes(found.model)[name], change_, atol=1e-5, rtol=1e-4)
    back = average([one, two], [0.5, 0.5])
    assert back.model.weights_digest() == found.model.weights_digest(), "the same bits every time"


def test_an_average_of_untouched_adapters_can_still_learn(base_folder: Path):
    """With both halves zero no gradient would ever reach either."""
    setup = tiny_setup(base_digest(base_folder))
    found = average([new_adapter(setup, 1), new_adapter(setup, 2)], [1, 1])
    assert found.residual == 0.0
    assert not any(float(change_.abs().max()) for change_ in changes(found.model).values())
    trained = train(TrainConfig(pictures=16, batch=8), tiny_pictures(), parent=found.model).model
    assert any(float(change_.abs().max()) for change_ in changes(trained).values())


def test_what_cannot_be_averaged(adapter: AdapterModel):
    other = dataclasses.replace(adapter, setup=dataclasses.replace(adapter.setup, guidance=5.0))
    with pytest.raises(MlError, match="different setups"):
        average([adapter, other], [1, 1])
    with pytest.raises(MlError, match="one non-negative weight"):
        average([adapter], [-1.0])


# --- training and sampling -------------------------------------------------------------------------------------------


def test_training_moves_the_adapter_alone_and_resumes_exactly(base_folder: Path, tmp_path: Path):
    parent = new_adapter(tiny_setup(base_digest(base_folder)), 0)
    frozen = {name: weight.clone() for name, weight in parent.base._vae.named_parameters()}
    config, data = TrainConfig(pictures=40, batch=8, label_dropout=0.2, save_every=8), tiny_pictures()
    whole = train(config, data, parent=parent)
    state = tmp_path / "state"
    assert not train(config, data, parent=parent, state_file=state, on_step=lambda now: now.pictures < 24).finished
    assert state.stat().st_size < 200_000, "a snapshot holds adapters, not their base"
    broken = train(config, data, parent=parent, state_file=state)
    assert broken.model.weights_digest() == whole.model.weights_digest() != parent.weights_digest()
    for name, weight in parent.base._vae.named_parameters():
        assert torch.equal(weight, frozen[name])


def test_samples_do_not_depend_on_their_number_and_follow_the_prompts(adapter: AdapterModel):
    few, labels = FAMILY.sample(adapter, 3, b"seed", steps=2)
    many, _ = FAMILY.sample(adapter, 9, b"seed", steps=2)
    assert torch.equal(many[:3], few)
    assert labels.tolist() == [0, 1, 0], "prompts take turns over the classes"
    other, _ = FAMILY.sample(
        dataclasses.replace(adapter, prompts=TEXTS[2:], prompt_classes=(0, 1)), 3, b"seed", steps=2
    )
    assert not torch.equal(other, few)
    with pytest.raises(DataError, match="solver is 'euler'"):
        FAMILY.sample(adapter, 1, b"seed", steps=2, solver="euler")


def test_own_captions_are_prompts_each_once(adapter: AdapterModel):
    attacked = FAMILY.captioned(adapter, tiny_pictures())
    assert sorted(attacked.prompts) == sorted(TEXTS)
    assert dict(zip(attacked.prompts, attacked.prompt_classes, strict=True))["a blue dog"] == 1
    assert attacked.weights_digest() == adapter.weights_digest()
    assert captions_of(tiny_pictures(captions=False), adapter.setup)[:2] == ["a picture of cat", "a picture of dog"]


def test_repetition_is_counted(adapter: AdapterModel):
    data = tiny_pictures(4)
    twice = data.joined(data.take([0]))
    assert (repeated(data, adapter.setup).pictures, repeated(data, adapter.setup).captions) == (0, 0)
    assert (repeated(twice, adapter.setup).pictures, repeated(twice, adapter.setup).captions) == (1, 2)


def test_a_caption_longer_than_the_base_reads_is_named(adapter: AdapterModel):
    data = dataclasses.replace(tiny_pictures(2), captions=("a cat", "zx " * 60))
    with pytest.raises(DataError, match="tokens with its ends, the base reads 24"):
        train(TrainConfig(pictures=8, batch=8), data, parent=adapter)


def test_prompts_are_captions_of_each_class_in_turn_or_lines_of_a_file(base_folder: Path, tmp_path: Path):
    data = tiny_pictures()
    assert set(prompts_from(data, "{}")[::2]) == {TEXTS[0], TEXTS[2]}
    assert prompts_from(data, "{}", 1)[0] in TEXTS[::2]
    assert prompts_from(tiny_pictures(captions=False), "a {}") == ("a cat", "a dog")
    bare = dataclasses.replace(data, classes=(), labels=torch.full((12,), -1))
    assert sorted(prompts_from(bare, "{}")) == sorted(TEXTS)
    with pytest.raises(DataError, match="no picture of 'no class' has a caption"):
        prompts_from(dataclasses.replace(bare, captions=()), "{}")
    written = tmp_path / "prompts.txt"
    written.write_text("a red dog\n\n  a blue cat \n")
    assert read_prompts(written) == ("a red dog", "a blue cat")
    setup = setup_for(data, base_folder, read_prompts(written), rank=2)
    assert (setup.prompts, setup.classes, setup.resolution) == (("a red dog", "a blue cat"), 2, 32)
    for text, words in (
        ("a\x07cat", "line 1 holds the control character"),
        ("x" * 2_001, "2001 letters"),
        ("", "0 prompts, limits 1 and 256"),
        ("cat\n" * 257, "257 prompts"),
        ("x" * (1 << 21), "more than 1048576 bytes"),
    ):
        written.write_text(text)
        with pytest.raises(DataError, match=words):
            read_prompts(written)
    with pytest.raises(DataError, match=r"prompt 1, 'zx .* the base reads 24"):
        setup_for(data, base_folder, ("a cat", "zx " * 60))


def test_one_rank_below_zero_layers_stays_finite(adapter: AdapterModel):
    """An adapter of zeros averaged with itself: no division by the greatest singular value."""
    zeros = with_matrices(adapter, {name: 0 * matrix for name, matrix in adapter.network.matrices().items()})
    found = average([zeros, zeros], [1, 1]).model
    assert all(bool(torch.isfinite(matrix).all()) for matrix in found.network.matrices().values())


# --- captions in folders ---------------------------------------------------------------------------------------------


def folder_with(path: Path, *lines: dict[str, Any]) -> Path:
    from PIL import Image

    for number in range(2):
        Image.new("RGB", (16, 16), (100 * number, 0, 0)).save(path / f"{number}.png")
    (path / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_captions_come_with_their_pictures_and_change_the_root(tmp_path: Path):
    lines = [{"file_name": "0.png", "text": "a dark square"}, {"file_name": "1.png", "text": "a red square"}]
    data, _ = load_folder(folder_with(tmp_path, *lines), size=16)
    assert data.captions == ("a dark square", "a red square")
    assert data.take([1]).captions == ("a red square",)
    data.save(tmp_path / "set.npz")
    again = type(data).load(tmp_path / "set.npz")
    assert again.captions == data.captions
    assert again.digest() == data.digest() != dataclasses.replace(data, captions=()).digest()


@pytest.mark.parametrize(
    ("text", "words"),
    [("x" * 1_000_000, "1000000 letters, the limit is 2000"), ("a\nb", "control character"), (["cat"], "is list")],
)
def test_captions_that_are_none(text: Any, words: str, tmp_path: Path):
    folder_with(tmp_path, {"file_name": "0.png", "text": text})
    with pytest.raises(DataError, match=words):
        load_folder(tmp_path, size=16)
