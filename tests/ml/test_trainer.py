"""The trainer under trouble and in company: memory, divergence, a full disk, accumulation, two processes, a GPU."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pdfed_sdk.config import NodeConfig, TrainingSection
from pdfed_sdk.errors import DataError, MlError
from pdfed_sdk.family import SOLVERS
from pdfed_sdk.ml.data import NodeSplit, PictureSet
from pdfed_sdk.ml.diffusion.ddpm import Ddpm
from pdfed_sdk.ml.diffusion.execution import Execution
from pdfed_sdk.ml.diffusion.model import (
    Ambient,
    ModelConfig,
    _forward_process,
    ambient_squares,
    load_pipeline,
    new_model,
    save_pipeline,
    squares,
    training_scheduler,
)
from pdfed_sdk.ml.diffusion.noise import drawn_times, normal_block
from pdfed_sdk.ml.diffusion.sampling import sample
from pdfed_sdk.ml.diffusion.training import TrainConfig, train
from pdfed_sdk.ml.diffusion.validation import Validation
from pdfed_sdk.ml.quality.frechet import Frechet
from pdfed_sdk.ml.snapshots import write_snapshot
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.node.picture_parts import make_trainer

SMALL = ModelConfig(size=8, classes=0, widths=(8, 16))
SEED = bytes(range(32))
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def pictures(count: int = 48) -> PictureSet:
    random = torch.Generator().manual_seed(0)
    shape = (count, 1, 8, 8)
    return PictureSet(torch.randint(0, 256, shape, generator=random, dtype=torch.uint8), torch.full((count,), -1))


def weights(model):
    return torch.cat([tensor.flatten() for tensor in model.network.state_dict().values()])


def with_loss(monkeypatch, change):
    """Pass the loss through ``change(value, batch, calls so far)``; for memory and divergence, which cannot be had at
    will on this machine."""
    plain, calls = Ddpm.loss, []

    def loss(self, model, forward, images, *others):
        calls.append(len(images))
        return change(plain(self, model, forward, images, *others), len(images), len(calls))

    monkeypatch.setattr(Ddpm, "loss", loss)


def test_out_of_memory_halves_the_batch_says_so_and_resumes_with_it(monkeypatch, caplog, tmp_path):
    def full(value, batch, calls):
        if batch > 12:
            raise torch.OutOfMemoryError("out of memory (made up by the test)")
        return value

    with_loss(monkeypatch, full)
    config, state = TrainConfig(pictures=48, batch=48, save_every=12), tmp_path / "state"
    whole = train(config, pictures(), model=SMALL)
    assert whole.facts.batch == 12
    assert whole.facts.pictures == 48
    assert "halved to 24" in caplog.text
    assert "halved to 12" in caplog.text
    train(config, pictures(), model=SMALL, state_file=state, on_step=lambda p: p.pictures < 24)
    assert weights(train(config, pictures(), model=SMALL, state_file=state).model).equal(weights(whole.model))
    with_loss(monkeypatch, lambda value, batch, calls: full(value, 99, calls))
    with pytest.raises(MlError, match="out of memory at a batch of 1"):
        train(config, pictures(), model=SMALL)


def test_divergence_is_told_and_the_state_file_keeps_the_last_good_state(monkeypatch, tmp_path):
    with_loss(monkeypatch, lambda value, batch, calls: value * float("nan") if calls == 4 else value)
    config, state = TrainConfig(pictures=96, batch=16, save_every=16), tmp_path / "state"
    with pytest.raises(MlError, match="diverged by step 4: loss nan"):
        train(config, pictures(), model=SMALL, state_file=state)
    monkeypatch.undo()
    seen = []
    train(config, pictures(), model=SMALL, state_file=state, on_step=lambda p: seen.append(p.pictures))
    assert seen[0] == 64  # three steps were good


def test_a_full_disk_leaves_the_state_that_was_there(tmp_path):
    path, random = tmp_path / "state", torch.Generator()
    network = torch.nn.Linear(64, 64)
    optimiser = torch.optim.SGD(network.parameters())
    arguments = {"weights": network.state_dict(), "averages": {}, "optimiser": optimiser, "random": random}
    write_snapshot(path, "run", {}, **arguments)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        with pytest.raises(OSError, match="state cannot be written, the one before it stays"):
            write_snapshot(path, "run", {}, **arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_gpu_that_disappears_is_told_and_the_run_goes_on_from_its_last_state(monkeypatch, tmp_path):
    """Made up: no GPU can be pulled out here. What the library raises then is a RuntimeError that names CUDA."""
    plain, config, state = Execution.step, TrainConfig(pictures=96, batch=16, save_every=16), tmp_path / "state"

    def step(execution):
        if execution.learner.steps == 3:
            execution.learner.device = torch.device("cuda:0")
            raise RuntimeError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")
        plain(execution)

    monkeypatch.setattr(Execution, "step", step)
    with pytest.raises(MlError, match="cuda:0 failed at step 3: CUDA error: unspecified launch failure") as caught:
        train(config, pictures(), model=SMALL, state_file=state)
    assert "start again" in caught.value.hint
    monkeypatch.undo()
    seen = []
    resumed = train(config, pictures(), model=SMALL, state_file=state, on_step=lambda p: seen.append(p.pictures))
    assert seen[0] == 64
    assert weights(resumed.model).equal(weights(train(config, pictures(), model=SMALL).model))


TWO = """
import sys, torch
trainer = __import__('runpy').run_path({path!r})
SMALL, pictures, weights = (trainer[name] for name in ('SMALL', 'pictures', 'weights'))
from pdfed_sdk.ml.diffusion.training import TrainConfig, train
torch.set_num_threads(1)
found = train(TrainConfig(**{options!r}), pictures(), model=SMALL, on_step=lambda p: p.pictures < 80)
assert not found.finished
torch.save((weights(found.model), found.facts.loss), {out!r} + __import__("os").environ["RANK"])
"""


def test_two_processes_train_as_one_does(tmp_path):
    """With accumulation and an odd batch, so that the processes' shares differ."""
    options = {"pictures": 107, "batch": 27, "accumulate": 2, "lr": 1e-3}
    alone = train(TrainConfig(**options), pictures(), model=SMALL, on_step=lambda p: p.pictures < 80)
    script = tmp_path / "two.py"
    script.write_text(TWO.format(path=__file__, options=options, out=str(tmp_path / "w")))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    subprocess.run(command, check=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})
    (first, loss), (second, other) = (torch.load(tmp_path / f"w{rank}", weights_only=True) for rank in (0, 1))
    assert first.equal(second)
    assert loss == other == pytest.approx(alone.facts.loss, rel=1e-4)
    moved = (weights(alone.model) - weights(new_model(SMALL))).norm()
    assert (first - weights(alone.model)).norm() < 0.01 * moved  # Adam makes much of the rounding of small gradients


def steps_of(config, state=None, until=10**9, heldout=None):
    """A run on six pictures, which it soon overfits; its result and the pictures at each step."""
    seen = []

    def step(now):
        seen.append(now.pictures)
        return now.pictures < until

    few = pictures().take(range(6))
    return train(config, few, model=SMALL, on_step=step, state_file=state, heldout=heldout), seen


def test_a_run_ends_when_the_loss_on_unseen_pictures_rises_and_keeps_its_lowest_point(tmp_path):
    """And a killed run stops at the same place with the same weights, whatever was on disk when it was killed."""
    unseen = PictureSet(pictures(96).images[48:], torch.full((48,), -1))
    config = TrainConfig(pictures=100_000, lr=2e-2, final_lr=1.0, check_every=320, save_every=10_000)
    whole, seen = steps_of(config, heldout=unseen)
    assert whole.finished
    assert seen[-1] < config.pictures
    assert whole.facts.kept == seen[-1] - 640  # two looks after the lowest point
    score = Validation(unseen).losses(whole.model).mean()
    assert whole.facts.validation == pytest.approx(float(score), abs=1e-5)
    state = tmp_path / "state"
    assert not steps_of(config, state, until=whole.facts.kept + 352, heldout=unseen)[0].finished
    again, rest = steps_of(config, state, heldout=unseen)
    assert rest[0] == whole.facts.kept + 352
    assert weights(again.model).equal(weights(whole.model))
    assert again.facts.kept == whole.facts.kept
    assert list(tmp_path.iterdir()) == []


def test_a_node_keeps_a_validation_score_and_its_state_at_half_the_pictures(tmp_path):
    """What ``[training] stop``, ``ambient`` and ``time_spread`` reach, and the state that the gate may go back to."""
    start = save_pipeline(new_model(SMALL), tmp_path / "start")
    settings = NodeConfig(training=TrainingSection(batch=16, stop=True, ambient=0.3, time_spread=0.8))
    split = NodeSplit(pictures(), pictures(), PictureSet(pictures(72).images[48:], torch.full((24,), -1)))
    facts = make_trainer(split, settings).train(
        [(start, 10_000)],
        tmp_path / "out",
        pictures=64,
        seed=0,
        resume=tmp_path / "state",
        on_step=lambda *_: True,
        halfway=tmp_path / "half",
    )
    assert 0 < facts["validation"] < 10
    assert (facts["ambient"], facts["time_spread"]) == (0.3, 0.8)
    score = Validation(split.heldout).losses(load_pipeline(tmp_path / "out")).mean()
    assert facts["validation"] == pytest.approx(float(score), abs=1e-5)
    folders = [load_pipeline(tmp_path / name).weights_digest() for name in ("start", "half", "out")]
    assert len(set(folders)) == 3
    assert not list(tmp_path.glob("state*"))


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_the_ambient_loss_is_the_plain_one_at_low_noise_and_right_for_a_perfect_network(prediction):
    """A network that knows the mean of one picture with fixed noise: above the level its loss is what noise alone
    makes, and that has no part that the network could take away by moving its answer."""
    config = ModelConfig(size=8, classes=0, widths=(8, 16), prediction=prediction)
    model = new_model(config)
    random = torch.Generator().manual_seed(0)
    images, noise, fixed = (torch.randn(64, 1, 8, 8, generator=random) for _ in range(3))
    low, high, labels = torch.full((64,), 200), torch.full((64,), 800), torch.full((64,), -1)
    plain = squares(config, model.network, images, labels, noise, low)
    ambient = ambient_squares(config, model.network, images, labels, noise, low, Ambient(fixed, 300))
    assert torch.allclose(plain, ambient, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(
        squares(config, model.network, images, labels, noise, high),
        ambient_squares(config, model.network, images, labels, noise, high, Ambient(fixed, 300)),
    )

    def through(offset):
        """All pictures are zero; the network answers that the clean picture is ``offset`` everywhere."""

        def forward(state, times, class_labels=None):
            share = training_scheduler(config).alphas_cumprod[times].view(-1, 1, 1, 1)
            answers = {
                "sample": torch.full_like(state, offset),
                "epsilon": (state - share.sqrt() * offset) / (1 - share).sqrt(),
                "v_prediction": (share.sqrt() * state - offset) / (1 - share).sqrt(),
            }
            return SimpleNamespace(sample=answers[prediction])

        zero = torch.zeros(4096, 1, 8, 8)
        kept, drawn = (torch.randn(zero.shape, generator=random) for _ in range(2))
        times = torch.full((4096,), 600)
        return float(ambient_squares(config, forward, zero, labels, drawn, times, Ambient(kept, 300)).mean())

    assert through(0.0) < min(through(0.1), through(-0.1))


@pytest.mark.parametrize(("option", "value"), [("ambient", 0.3), ("time_spread", 0.8)])
def test_what_changes_the_loss_resumes_to_the_same_weights_and_stands_in_the_facts(tmp_path, option, value):
    config, state = TrainConfig(pictures=160, save_every=32, **{option: value}), tmp_path / "state"
    train(config, pictures(), model=SMALL, state_file=state, on_step=lambda p: p.pictures < 96)
    whole = train(config, pictures(), model=SMALL)
    assert weights(train(config, pictures(), model=SMALL, state_file=state).model).equal(weights(whole.model))
    assert whole.facts.to_dict()[option] == value
    plain = train(TrainConfig(pictures=160), pictures(), model=SMALL)
    assert option not in plain.facts.to_dict()
    assert not weights(plain.model).equal(weights(whole.model))


@pytest.mark.parametrize("batch", [1, 7, 32])
def test_times_gather_in_the_middle_and_every_batch_sees_all_strata(batch):
    """Uniform times are what they always were; others lie one in each stratum of the logit-normal distribution."""
    even = drawn_times(batch, 1_000, 0.0, torch.Generator().manual_seed(1))
    assert even.equal(torch.randint(0, 1_000, (batch,), generator=torch.Generator().manual_seed(1)))
    random, drawn = torch.Generator().manual_seed(2), []
    for _ in range(2_000 // batch):
        times = drawn_times(batch, 1_000, 0.8, random)
        assert 0 <= int(times.min()) <= int(times.max()) < 1_000
        strata = torch.special.ndtr(torch.logit((times.double() + 0.5) / 1_000) / 0.8) * batch
        assert (strata - torch.arange(batch) - 0.5).abs().max() < 0.5 + batch * 0.002  # a time is a whole number
        drawn.append(times)
    logits = torch.logit((torch.cat(drawn).double() + 0.5) / 1_000)
    assert abs(float(logits.mean())) < 0.08
    assert float(logits.std()) == pytest.approx(0.8, abs=0.06)


def test_the_noise_is_numpys_philox_whatever_the_block():
    def word_by_word(index: int, count: int) -> np.ndarray:
        key = np.frombuffer(hashlib.sha256(SEED + index.to_bytes(8, "big")).digest()[:16], dtype="<u8")
        words = np.random.Philox(key=key.astype(np.uint64)).random_raw(count + count % 2)
        uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) / (1 << 53)
        radius, angle = np.sqrt(-2 * np.log(uniform[::2])), 2 * np.pi * uniform[1::2]
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)[:count]

    block = normal_block(SEED, 5, 7, (3, 5, 5), torch.device("cpu")).flatten(1).numpy()
    assert np.allclose(block, [word_by_word(index, 75) for index in range(5, 12)], atol=1e-6)


def test_the_solver_is_chosen_and_a_pure_function(tiny):
    found = {solver: sample(tiny, 3, SEED, steps=4, solver=solver)[0] for solver in SOLVERS}
    assert found["dpm++"].equal(sample(tiny, 3, SEED, steps=4, solver="dpm++")[0])
    assert not found["dpm++"].equal(found["ddim"])
    with pytest.raises(DataError, match="solver is 'euler'"):
        sample(tiny, 4, SEED, solver="euler")


def test_a_loss_on_another_device_leaves_the_constants_of_the_forward_process_where_a_graph_reads_them():
    own = torch.device("cpu")
    before = _forward_process(SMALL, own).alphas_cumprod.data_ptr()
    images = torch.zeros(2, 1, 8, 8, device="meta")
    times = torch.zeros(2, dtype=torch.int64, device="meta")
    found = squares(SMALL, lambda noisy, *_, **__: SimpleNamespace(sample=noisy), images, times, images, times)
    assert found.is_meta
    after = _forward_process(SMALL, own).alphas_cumprod
    assert (after.device, after.data_ptr()) == (own, before)


# --- on a GPU --------------------------------------------------------------------------------------------------------


@gpu
@pytest.mark.parametrize("mode", ["graph", "eager"])
@pytest.mark.parametrize("bf16", [False, True])
def test_a_run_on_a_gpu_resumes_to_the_same_bits(tmp_path, mode, bf16):
    config = TrainConfig(pictures=400, batch=32, save_every=96, device="cuda", mode=mode, bf16=bf16)
    state = tmp_path / "state"
    assert not train(config, pictures(), model=SMALL, state_file=state, on_step=lambda p: p.pictures < 224).finished
    seen = []
    resumed = train(config, pictures(), model=SMALL, state_file=state, on_step=lambda p: seen.append(p.pictures))
    assert seen[0] == 224
    assert resumed.facts.mode == mode
    assert weights(resumed.model).equal(weights(train(config, pictures(), model=SMALL).model))


@gpu
@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_a_run_that_is_sampled_from_again_and_again_trains_as_an_undisturbed_one(mode):
    """The sampler captures a graph of its own at the second look, while that of the training step is in use, and the
    loss of the same family is taken on the CPU."""
    config = TrainConfig(pictures=4_000, batch=32, device="cuda", mode=mode)

    def look(now):
        if now.pictures % 320 == 0:
            model = now.averaged()
            Validation(pictures(24)).losses(model)
            model.network.cuda()
            sample(model, 700, SEED)
        return True

    disturbed, plain = (train(config, pictures(), model=SMALL, on_step=act) for act in (look, None))
    assert weights(disturbed.model).equal(weights(plain.model))


@gpu
def test_a_graph_computes_what_eager_steps_compute():
    found = [
        train(TrainConfig(pictures=400, device="cuda", mode=m), pictures(), model=SMALL) for m in ("graph", "eager")
    ]
    assert torch.allclose(*(weights(result.model) for result in found), atol=1e-6)
    json.dumps(found[0].facts.to_dict())


@gpu
@pytest.mark.parametrize("solver", ["ddim", "dpm++"])
def test_pictures_of_a_gpu_are_those_of_a_cpu_but_for_a_grey_level(solver):
    digits = load_pictures("mnist", size=16)
    model = train(TrainConfig(pictures=30_000, device="cuda"), digits, model=ModelConfig()).model
    expected = sample(model, 100, SEED, solver=solver)[0].int()
    model.network.cuda()
    for count in (100, 700, 100, 100, 700, 700):  # eager, then captured, then replayed
        apart = (sample(model, count, SEED, solver=solver)[0][:100].int() - expected).abs()
        assert apart.max() <= 1
        assert (apart > 0).float().mean() <= 0.02


@gpu
def test_the_frechet_distance_of_a_gpu_is_that_of_a_cpu():
    random = torch.Generator().manual_seed(0)
    mix = torch.randn(300, 300, generator=random) * torch.arange(1, 301) ** -1.0
    x, y = (torch.randn(count, 300, generator=random) @ mix for count in (200, 260))
    draws = torch.randint(0, 200, (3, 200), generator=random)
    pairs = [Frechet(y.to(device)).pair(x) for device in ("cpu", "cuda")]
    assert pairs[0].distance() == pytest.approx(pairs[1].distance(), rel=1e-8)
    assert pairs[0].resampled(draws) == pytest.approx(pairs[1].resampled(draws), rel=1e-8)
    assert pairs[0].infinity() == pytest.approx(pairs[1].infinity(), rel=1e-6)
