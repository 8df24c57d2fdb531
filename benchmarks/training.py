"""How fast does the trainer train? Ours against the loop of diffusers' training example, in one run.

Both train the same network from the same weights on the same pictures, in the same precision and batch, one after the
other in turns. The peer is that loop as its users run it: a DataLoader that shuffles, AdamW, EMAModel, a cosine
schedule, clipping, and the loss read every step. Rates are of the steady state (medians over the turns); what ours
takes before its first step, where it chooses how to run, is told apart.

    python -m benchmarks.training [--json] [--net small|medium|large|all] [--device auto] [--bf16] [--seconds 6]
    python -m benchmarks.training --family latent-lora [--json] [--device auto] [--seconds 6]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from torch.nn import functional as F

from benchmarks.machine import processor
from pdfed_sdk.ml import device_of, set_threads
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.diffusion.execution import Execution
from pdfed_sdk.ml.diffusion.learner import Learner
from pdfed_sdk.ml.diffusion.model import ModelConfig, new_model
from pdfed_sdk.ml.diffusion.processes import Processes
from pdfed_sdk.ml.diffusion.training import READ_EVERY, TrainConfig

PICTURES = 5_000
ENDLESS = 1 << 40


@dataclass(frozen=True)
class Net:
    """A network and the batch it is trained with."""

    config: ModelConfig
    batch: int


NETS = {
    "small": Net(ModelConfig(), 32),
    "medium": Net(ModelConfig(size=32, channels=3, widths=(64, 128, 256), layers=2), 64),
    "large": Net(ModelConfig(size=32, channels=3, widths=(128, 256, 256, 256), layers=2), 128),
}


def pictures(config: ModelConfig) -> PictureSet:
    """Noise as pictures: speed does not depend on what they show."""
    random = torch.Generator().manual_seed(0)
    shape = (PICTURES, config.channels, config.size, config.size)
    images = torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)
    return PictureSet(images, torch.arange(PICTURES) % config.classes, tuple(map(str, range(config.classes))))


def ours(net: Net, data: PictureSet, options: TrainConfig) -> tuple[Callable[[], None], Execution]:
    """A step of ours, and how it runs."""
    learner = Learner(options, new_model(net.config), data, torch.arange(len(data)), Processes(options.device))
    execution = Execution(learner)
    return stepping(execution), execution


def stepping(execution: Execution) -> Callable[[], None]:
    """A step, and the statistics read as `train` reads them."""
    learner = execution.learner
    every = 1 if learner.device.type == "cpu" else READ_EVERY

    def step() -> None:
        execution.step()
        if learner.steps % every == 0:
            learner.read()

    return step


def peer(net: Net, data: PictureSet, options: TrainConfig) -> Callable[[], None]:
    """A step of the example's loop."""
    device = device_of(options.device)
    unet = new_model(net.config).network.to(device).train()
    scheduler = DDPMScheduler(
        net.config.timesteps, beta_schedule=net.config.schedule, prediction_type=net.config.prediction
    )
    optimiser = torch.optim.AdamW(unet.parameters(), lr=options.lr, betas=(0.9, 0.99), weight_decay=0.0)
    rates = get_cosine_schedule_with_warmup(optimiser, options.warmup, 100_000)
    average = EMAModel(unet.parameters(), decay=options.ema)
    average.to(device)
    images = data.images.float().div(127.5).sub(1)
    dataset = torch.utils.data.TensorDataset(images, data.labels)
    loader = torch.utils.data.DataLoader(dataset, batch_size=net.batch, shuffle=True, drop_last=True)

    def batches() -> Iterator[list[torch.Tensor]]:
        while True:
            yield from loader

    endless = batches()

    def step() -> None:
        clean, labels = (tensor.to(device) for tensor in next(endless))
        noise = torch.randn(clean.shape, device=device)
        times = torch.randint(0, net.config.timesteps, (len(clean),), device=device)
        noisy = scheduler.add_noise(clean, noise, times)
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16):
            predicted = unet(noisy, times, class_labels=labels).sample
        loss = F.mse_loss(predicted.float(), scheduler.get_velocity(clean, noise, times))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimiser.step()
        rates.step()
        optimiser.zero_grad()
        average.step(unet.parameters())
        loss.detach().item()

    return step


def rate(step: Callable[[], None], batch: int, seconds: float, device: torch.device) -> float:
    """Pictures a second over about ``seconds``."""
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(READ_EVERY if device.type == "cuda" else 4):
            step()
            count += batch
        if device.type == "cuda":
            torch.cuda.synchronize()
    return count / (time.perf_counter() - started)


def measure(name: str, device: str, bf16: bool, seconds: float, turns: int) -> dict[str, object]:
    """One network; keys as in docs/gpu.md."""
    net, place = NETS[name], device_of(device)
    data = pictures(net.config)
    options = TrainConfig(pictures=ENDLESS, batch=net.batch, lr=1e-4, device=device, bf16=bf16)
    started = time.perf_counter()
    step, execution = ours(net, data, options)
    prepared = time.perf_counter() - started
    theirs = peer(net, data, options)
    for warm in (step, theirs):
        rate(warm, net.batch, 0.5, place)
    table = [(rate(step, net.batch, seconds, place), rate(theirs, net.batch, seconds, place)) for _ in range(turns)]
    mine, other = (statistics.median(column) for column in zip(*table, strict=True))
    return {
        "net": name,
        "parameters": execution.learner.model.parameter_count,
        "batch": execution.learner.batch,
        "mode": execution.mode,
        "precision": "bf16" if bf16 else "fp32",
        "pictures_per_second": mine,
        "peer_pictures_per_second": other,
        "ratio": mine / other,
        "seconds_before_the_first_step": prepared,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    parser.add_argument("--net", choices=[*NETS, "all"], default="small")
    parser.add_argument("--family", choices=["ddpm", "latent-lora"], default="ddpm")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    set_threads(options.threads)
    chosen = list(NETS) if options.net == "all" else [options.net]
    if options.family == "latent-lora":
        from benchmarks import training_lora

        found = [training_lora.measure(options.device, options.seconds, options.turns, rate, stepping)]
    else:
        found = [measure(name, options.device, options.bf16, options.seconds, options.turns) for name in chosen]
    place = device_of(options.device)
    device = torch.cuda.get_device_name(place) if place.type == "cuda" else processor()
    if options.json:
        print(json.dumps({**found[0], "device": device, "torch": torch.__version__, "nets": found}))
        return
    print(f"{device}, torch {torch.__version__}, {'bf16' if options.bf16 else 'fp32'}")
    print(f"{'net':8} {'parameters':>11} {'batch':>6} {'mode':>8} {'ours /s':>9} {'peer /s':>9} {'ratio':>6}")
    for row in found:
        rates = f"{row['pictures_per_second']:9.0f} {row['peer_pictures_per_second']:9.0f} {row['ratio']:5.2f}x"
        print(f"{row['net']:8} {row['parameters']:11,} {row['batch']:6} {row['mode']:>8} {rates}")


if __name__ == "__main__":
    main()
