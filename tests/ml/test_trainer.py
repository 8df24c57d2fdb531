"""The trainer under trouble and in company: memory, divergence, a full disk, accumulation, two processes, a GPU."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

from pdfed_sdk.errors import DataError, MlError
from pdfed_sdk.family import SOLVERS
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.diffusion.ddpm import Ddpm
from pdfed_sdk.ml.diffusion.model import ModelConfig, new_model
from pdfed_sdk.ml.diffusion.noise import normal_block
from pdfed_sdk.ml.diffusion.sampling import sample
from pdfed_sdk.ml.diffusion.training import TrainConfig, train
from pdfed_sdk.ml.quality.frechet import Frechet
from pdfed_sdk.ml.snapshots import write_snapshot
from pdfed_sdk.ml.sources import load_pictures

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
