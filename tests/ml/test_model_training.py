"""Training, averaging, the pipeline folder, hostile folders, sampling."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

from pdfed_sdk.errors import DataError, MlError
from pdfed_sdk.ml.diffusion.model import ModelConfig, average, load_pipeline, new_model, save_pipeline, weights_file
from pdfed_sdk.ml.diffusion.sampling import BLOCK, sample, seeded_normal
from pdfed_sdk.ml.diffusion.training import TrainConfig, train

SMALL = ModelConfig(widths=(8, 16))
SEED = bytes(range(32))


def same(a, b):
    return all(
        x.equal(y) for x, y in zip(a.network.state_dict().values(), b.network.state_dict().values(), strict=True)
    )


def test_training_spends_its_budget_learns_and_leaves_the_parent(splits):
    parent = new_model(SMALL, 1)
    before = parent.weights_digest()
    losses = []
    config = TrainConfig(pictures=1000, batch=48, seed=2)
    result = train(config, splits[0].train, parent=parent, on_step=lambda p: losses.append(p.loss))
    assert result.finished
    assert result.facts.pictures == 1000
    assert result.facts.steps == len(losses) == 21
    assert losses[-1] < losses[0]
    assert parent.weights_digest() == before != result.model.weights_digest()
    assert result.facts.dataset_digest == splits[0].train.digest().hex()
    json.dumps(result.facts.to_dict())


def test_training_is_seeded_and_leaves_the_global_random_state(splits):
    config = TrainConfig(pictures=128, batch=64, seed=5)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first = train(config, splits[0].train, model=SMALL)
    assert torch.rand(1).equal(expected)
    again = train(config, splits[0].train, model=SMALL)
    assert same(first.model, again.model)


def test_a_killed_run_resumes_to_the_same_weights(splits, tmp_path):
    config = TrainConfig(pictures=384, batch=64, seed=5, save_every=128)
    state = tmp_path / "run.safetensors"

    class Killed(Exception):
        pass

    def kill(progress):
        if progress.pictures >= 320:
            raise Killed

    with pytest.raises(Killed):
        train(config, splits[0].train, model=SMALL, state_file=state, on_step=kill)
    assert state.exists()
    seen = []
    resumed = train(config, splits[0].train, model=SMALL, state_file=state, on_step=lambda p: seen.append(p.pictures))
    assert seen[0] == 320  # 256 were saved
    assert same(resumed.model, train(config, splits[0].train, model=SMALL).model)
    assert not state.exists()


def test_a_damaged_or_foreign_state_starts_anew(splits, tmp_path):
    config = TrainConfig(pictures=64, batch=64, seed=5)
    state = tmp_path / "run.safetensors"
    state.write_bytes(b"rubbish")
    assert train(config, splits[0].train, model=SMALL, state_file=state).finished
    train(
        TrainConfig(pictures=256, save_every=64),
        splits[1].train,
        model=SMALL,
        state_file=state,
        on_step=lambda p: False,
    )
    steps = []
    train(config, splits[0].train, model=SMALL, state_file=state, on_step=lambda p: steps.append(p.pictures))
    assert steps == [64]


def test_on_step_stops_early(splits):
    result = train(TrainConfig(pictures=10_000), splits[0].train, model=SMALL, on_step=lambda p: p.pictures < 128)
    assert not result.finished
    assert result.facts.pictures == 128


def test_excluded_pictures_are_never_shown(splits):
    keep = [3, 7]
    excluded = [i for i in range(len(splits[0].train)) if i not in keep]
    config = TrainConfig(pictures=64, batch=32, ema=0)
    shown = splits[0].train
    first = train(config, shown, model=SMALL, excluded=excluded)
    blanked = shown.images.clone()
    blanked[excluded] = 0  # if any of these were shown, the weights would differ
    other = type(shown)(blanked, shown.labels, shown.classes)
    assert same(first.model, train(config, other, model=SMALL, excluded=excluded).model)
    with pytest.raises(DataError, match="excluded"):
        train(config, shown, model=SMALL, excluded=range(len(shown)))
    with pytest.raises(DataError, match="excluded holds -1"):
        train(config, shown, model=SMALL, excluded=[-1])


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_predictions_dropout_and_unconditional(splits, prediction):
    config = ModelConfig(widths=(8, 16), prediction=prediction)
    assert train(TrainConfig(pictures=64, label_dropout=0.5), splits[0].train, model=config).finished
    free = ModelConfig(widths=(8, 16), classes=0, prediction=prediction)
    result = train(TrainConfig(pictures=64, bf16=True), splits[0].train, model=free)
    assert sample(result.model, 3, SEED, steps=2)[1].tolist() == [-1, -1, -1]


def test_data_that_do_not_fit_the_model(splits):
    with pytest.raises(DataError, match="16 px"):
        train(TrainConfig(pictures=64), splits[0].train, model=ModelConfig(size=32))
    with pytest.raises(DataError, match="labels"):
        train(TrainConfig(pictures=64), splits[0].train, model=ModelConfig(classes=5))


@pytest.mark.parametrize(
    "change",
    [
        {"pictures": 0},
        {"lr": 0.0},
        {"ema": 1.0},
        {"batch": -1},
        {"label_dropout": 1.0},
        {"time_spread": 0.05},
        {"time_spread": 5.0},
        {"time_spread": float("nan")},
    ],
)
def test_impossible_training(change):
    with pytest.raises(MlError):
        TrainConfig(**change)


def test_average_is_linear_and_checked(tiny):
    other = new_model(tiny.config, 4)
    mean = average([tiny, other], [3, 1])
    name = "conv_in.weight"
    expected = 0.75 * tiny.network.state_dict()[name] + 0.25 * other.network.state_dict()[name]
    assert torch.allclose(mean.network.state_dict()[name], expected, atol=1e-7)
    assert same(average([tiny, other], [1, 0]), tiny)
    for weights in ([1], [1, -1], [0, 0], [float("nan"), 1]):
        with pytest.raises(MlError):
            average([tiny, other], weights)
    with pytest.raises(MlError, match="different configurations"):
        average([tiny, new_model(ModelConfig())], [1, 1])


def test_diffusers_loads_what_we_save_and_so_do_we(tiny, tmp_path):
    folder = save_pipeline(tiny, tmp_path / "m")
    assert (folder / "model_index.json").is_file()
    theirs = DDPMPipeline.from_pretrained(str(folder))
    ours = load_pipeline(folder, expect=tiny.config)
    assert ours.config == tiny.config
    assert same(ours, tiny)
    assert all(theirs.unet.state_dict()[k].equal(v) for k, v in tiny.network.state_dict().items())
    images, _ = sample(ours, 2, SEED, steps=2)
    assert images.equal(sample(tiny, 2, SEED, steps=2)[0])


@pytest.mark.parametrize("heads", [4, None])
def test_a_folder_that_diffusers_wrote_is_trained_on_with_attention_and_its_own_options(splits, tmp_path, heads):
    """The options change what the network computes: a loader that passed over one would not give the same output."""
    unet = UNet2DModel(
        sample_size=16,
        in_channels=1,
        out_channels=1,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=16,
        attention_head_dim=heads,
        flip_sin_to_cos=False,
        freq_shift=1,
        downsample_padding=0,
        norm_eps=1e-6,
    )
    DDPMPipeline(unet, DDPMScheduler(beta_schedule="linear")).save_pretrained(tmp_path / "theirs")
    model = load_pipeline(tmp_path / "theirs")
    assert model.config.attention == (1,)
    assert ModelConfig.from_json(model.config.to_json()) == model.config
    noise, time = torch.randn(2, 1, 16, 16), torch.tensor([3, 700])
    assert model.network(noise, time).sample.equal(unet.eval()(noise, time).sample)
    trained = train(TrainConfig(pictures=64), splits[0].train, parent=model).model
    again = load_pipeline(save_pipeline(trained, tmp_path / "ours"), expect=model.config)
    assert same(again, trained)
    assert not same(trained, model)


def break_weights(folder, change):
    path = weights_file(folder)
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["conv_in.bias"].fill_(torch.nan), "conv_in.bias"),
        (lambda t: t["conv_in.bias"].fill_(torch.inf), "conv_in.bias"),
        (lambda t: t.pop("conv_in.bias"), "differ"),
        (lambda t: t.update(extra=torch.zeros(1)), "extra"),
        (lambda t: t.update({"conv_in.bias": torch.zeros(9)}), "shape"),
        (lambda t: t.update({"conv_in.bias": torch.zeros(8, dtype=torch.int32)}), "conv_in.bias"),
    ],
)
def test_bad_tensors_are_refused(tiny, tmp_path, change, message):
    folder = save_pipeline(tiny, tmp_path / "m")
    break_weights(folder, change)
    with pytest.raises(MlError, match=message):
        load_pipeline(folder)


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("unet/config.json", {"_class_name": "Evil"}, "UNet2DModel"),
        ("unet/config.json", {"block_out_channels": [8, 1_000_000]}, "widths"),
        ("unet/config.json", {"layers_per_block": 10**9}, "layers"),
        ("unet/config.json", {"down_block_types": ["AttnDownBlock2D"] * 2}, "up_block_types"),
        ("unet/config.json", {"down_block_types": ["CrossAttnDownBlock2D"] * 2}, "down_block_types"),
        ("unet/config.json", {"norm_num_groups": 32}, "norm_num_groups"),
        ("unet/config.json", {"norm_eps": "small"}, "norm_eps of the network is 'small'"),
        ("unet/config.json", {"attention_head_dim": 0}, "attention_head_dim"),
        ("unet/config.json", {"time_embedding_type": "fourier"}, "time_embedding_type"),
        ("unet/config.json", {"sample_size": 128, "down_block_types": ["AttnDownBlock2D"] * 2}, "over 128 px"),
        ("unet/config.json", {"sample_size": "many"}, "cannot be used"),
        ("unet/config.json", {"in_channels": 4}, "channels"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "none"}, "cannot be used"),
        ("scheduler/scheduler_config.json", {"trained_betas": [0.1]}, "trained_betas"),
        ("scheduler/scheduler_config.json", {"beta_start": 0.01}, "beta_start"),
    ],
)
def test_bad_configurations_are_refused(tiny, tmp_path, file, values, message):
    folder = save_pipeline(tiny, tmp_path / "m")
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    with pytest.raises(MlError, match=message):
        load_pipeline(folder)


@pytest.mark.parametrize("damage", ["rubbish", "header", "big", "missing", "pickle", "config", "list"])
def test_damaged_folders_are_refused(tiny, tmp_path, damage):
    folder = save_pipeline(tiny, tmp_path / "m")
    path = weights_file(folder)
    limit = 64 << 20
    if damage == "rubbish":
        path.write_bytes(b"rubbish")
    elif damage == "header":
        path.write_bytes(struct.pack("<Q", 2**62) + path.read_bytes()[8:])
    elif damage == "big":
        limit = 1000
    elif damage == "missing":
        path.unlink()
    elif damage == "pickle":
        path.unlink()
        torch.save(tiny.network.state_dict(), folder / "unet" / "diffusion_pytorch_model.bin")
    elif damage == "config":
        (folder / "unet" / "config.json").write_text("{")
    else:
        (folder / "unet" / "config.json").write_text("[]")
    with pytest.raises(MlError):
        load_pipeline(folder, max_bytes=limit)


def test_another_architecture_than_the_tasks_is_refused(tiny, tmp_path):
    with pytest.raises(MlError, match="the task wants"):
        load_pipeline(save_pipeline(tiny, tmp_path / "m"), expect=ModelConfig())


def test_model_configuration_round_trip():
    config = ModelConfig(size=32, widths=(8, 16, 24))
    assert ModelConfig.from_json(config.to_json()) == config
    with pytest.raises(MlError, match="unknown key"):
        ModelConfig.from_json('{"colour": 1}')


def test_sampling_is_a_pure_function_with_prefixes(tiny):
    images, labels = sample(tiny, BLOCK + 6, SEED, steps=2)
    assert images.dtype == torch.uint8
    assert images.shape == (BLOCK + 6, 1, 16, 16)
    assert labels[:12].tolist() == [*range(10), 0, 1]
    torch.manual_seed(9)
    again, _ = sample(tiny, 5, SEED, steps=2)
    assert images[:5].equal(again)
    assert not images[:5].equal(sample(tiny, 5, SEED[::-1], steps=2)[0])
    assert sample(tiny, 3, SEED, steps=2, classes=[4])[1].tolist() == [4, 4, 4]


def test_the_noise_is_specified_normal_and_golden():
    noise = seeded_normal(SEED, 7, (1, 100, 100))
    assert abs(float(noise.mean())) < 0.03
    assert float(noise.std()) == pytest.approx(1, abs=0.02)
    assert seeded_normal(SEED, 0, (1, 2, 2)).flatten().tolist() == pytest.approx(GOLDEN, abs=1e-6)
    assert noise.flatten()[:4].equal(seeded_normal(SEED, 7, (1, 2, 2)).flatten())


GOLDEN = [-0.4215934, 1.1896573, 0.886472, -0.4008771]


@pytest.mark.parametrize("arguments", [{"n": 0}, {"seed": b""}, {"steps": 0}, {"classes": [10]}, {"classes": []}])
def test_impossible_sampling(tiny, arguments):
    with pytest.raises(DataError):
        sample(**{"model": tiny, "n": 2, "seed": SEED, **arguments})
