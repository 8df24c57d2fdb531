"""Adapters: our trainer against the loop of diffusers' example `train_text_to_image_lora`, on one base, in one run.

The peer encodes every batch with the VAE and the text encoder, as the example does; ours has latents and embeddings
from before the first step. Called by `benchmarks.training --family latent-lora`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch.nn import functional as F

from pdfed_sdk.ml import device_of
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.diffusion.execution import Execution
from pdfed_sdk.ml.diffusion.learner import Learner
from pdfed_sdk.ml.diffusion.processes import Processes
from pdfed_sdk.ml.diffusion.training import TrainConfig
from pdfed_sdk.ml.lora.adapter import new_adapter
from pdfed_sdk.ml.lora.base_files import use_base
from pdfed_sdk.ml.lora.new_base import BaseShape, new_base, save_base
from pdfed_sdk.ml.lora.setup import AdapterSetup

PICTURES, BATCH, RANK = 256, 16, 8
ENDLESS = 1 << 40
WORDS = ("red", "blue", "green", "yellow", "cat", "dog", "bird", "fish")


def pictures(size: int) -> PictureSet:
    """Noise as pictures, with captions: speed does not depend on what they show."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (PICTURES, 3, size, size), generator=random, dtype=torch.uint8)
    texts = tuple(f"a {WORDS[i % 4]} {WORDS[4 + i // 4 % 4]}" for i in range(PICTURES))
    return PictureSet(images, torch.full((PICTURES,), -1), (), texts)


def peer(base: Path, setup: AdapterSetup, data: PictureSet, options: TrainConfig) -> Callable[[], None]:
    """A step of the example's loop."""
    from peft import LoraConfig
    from transformers import CLIPTextModel, CLIPTokenizer

    device = device_of(options.device)
    frozen = torch.bfloat16 if device.type == "cuda" else torch.float32
    unet = UNet2DConditionModel.from_pretrained(base / "unet").requires_grad_(False).to(device, frozen)
    vae = AutoencoderKL.from_pretrained(base / "vae").requires_grad_(False).to(device, frozen)
    text = CLIPTextModel.from_pretrained(base / "text_encoder").requires_grad_(False).to(device, frozen)
    tokenizer = CLIPTokenizer.from_pretrained(str(base / "tokenizer"))
    schedule = DDPMScheduler.from_pretrained(base / "scheduler")
    unet.add_adapter(LoraConfig(r=setup.rank, lora_alpha=setup.rank, target_modules=list(setup.targets)))
    weights = [weight for weight in unet.parameters() if weight.requires_grad]
    for weight in weights:
        weight.data = weight.data.float()
    optimiser = torch.optim.AdamW(weights, lr=options.lr, betas=(0.9, 0.99), weight_decay=0.0)
    ids = torch.tensor(tokenizer(list(data.captions), padding="max_length")["input_ids"])
    dataset = torch.utils.data.TensorDataset(data.images.float().div(127.5).sub(1), ids)
    loader = torch.utils.data.DataLoader(dataset, batch_size=options.batch, shuffle=True, drop_last=True)

    def batches() -> Iterator[list[torch.Tensor]]:
        while True:
            yield from loader

    endless = batches()

    def step() -> None:
        images, words = (tensor.to(device) for tensor in next(endless))
        latents = vae.encode(images.to(frozen)).latent_dist.sample() * vae.config.scaling_factor
        noise = torch.randn_like(latents)
        times = torch.randint(0, schedule.config.num_train_timesteps, (len(latents),), device=device)
        noisy = schedule.add_noise(latents, noise, times)
        predicted = unet(noisy, times, text(words, return_dict=False)[0], return_dict=False)[0]
        loss = F.mse_loss(predicted.float(), noise.float())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        loss.detach().item()

    return step


def measure(
    device: str, seconds: float, turns: int, rate: Callable[..., float], ours: Callable[..., Callable[[], None]]
) -> dict[str, object]:
    """The base of `BaseShape` at 64 px; keys as `benchmarks.training` has them."""
    place, size = device_of(device), BaseShape().resolution
    data = pictures(size)
    with tempfile.TemporaryDirectory() as folder:
        base = save_base(new_base(data.captions), Path(folder) / "base")
        setup = AdapterSetup(use_base(base), rank=RANK, resolution=size)
        options = TrainConfig(pictures=ENDLESS, batch=BATCH, lr=1e-4, ema=0.0, device=device)
        started = time.perf_counter()
        model = new_adapter(setup)
        learner = Learner(options, model, data, torch.arange(len(data)), Processes(device))
        execution = Execution(learner)
        step = ours(execution)
        prepared = time.perf_counter() - started
        theirs = peer(base, setup, data, options)
        for warm in (step, theirs):
            rate(warm, BATCH, 0.5, place)
        table = [(rate(step, BATCH, seconds, place), rate(theirs, BATCH, seconds, place)) for _ in range(turns)]
    mine, other = (statistics.median(column) for column in zip(*table, strict=True))
    return {
        "net": "adapter",
        "parameters": sum(weight.numel() for weight in model.network.parameters()),
        "batch": learner.batch,
        "mode": execution.mode,
        "precision": "bf16 base" if place.type == "cuda" else "fp32",
        "pictures_per_second": mine,
        "peer_pictures_per_second": other,
        "ratio": mine / other,
        "seconds_before_the_first_step": prepared,
    }
