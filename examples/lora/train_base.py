"""Train a small latent text-to-image pipeline from nothing, on emoji and their names: a base where no hub is at hand.

    npm install emoji-datasource-google
    python train_base.py --emoji node_modules/emoji-datasource-google --out base

First the VAE learns to draw its own latents, then text encoder and UNet learn to denoise them. Categories of artists
who will bring them along later are left out (--without). The same options give the same base on the same machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from diffusers import DDPMScheduler
from torch import Tensor
from torch.nn import functional as F

from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.device import device_of, set_threads
from pdfed_sdk.ml.lora.base_files import base_digest
from pdfed_sdk.ml.lora.new_base import SCHEDULE, BaseShape, NewBase, new_base, save_base, token_ids
from pdfed_sdk.ml.sources import load_pictures

ARTISTS = ("Animals & Nature", "Food & Drink", "Travel & Places")
"""Categories that the three artists of `three_artists.py` bring along."""
KL = 1e-6
"""Weight of the divergence of the VAE's posterior from a standard normal, as in Rombach et al. (2022)."""


def emoji(folder: Path, *, size: int, without: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> PictureSet:
    """Emoji in colour with their names as captions; skin tones, which share a name, once."""
    found = load_pictures(folder, size=size, channels=3)
    seen: set[str] = set()
    keep = []
    for place, (label, text) in enumerate(zip(found.labels.tolist(), found.captions, strict=True)):
        name = found.classes[label]
        if text not in seen and name not in without and (not only or name in only):
            seen.add(text)
            keep.append(place)
    return found.take(keep)


def batches(count: int, size: int, steps: int, random: torch.Generator) -> Iterator[Tensor]:
    for _ in range(steps):
        yield torch.randint(0, count, (size,), generator=random)


def train_vae(base: NewBase, images: Tensor, steps: int, batch: int, lr: float, random: torch.Generator) -> float:
    """Reconstruction in pixels; returns the mean squared error of the last tenth of the steps, pixels in [-1, 1]."""
    device, losses = images.device, []
    vae = base.vae.to(device).train()
    optimiser = torch.optim.AdamW(vae.parameters(), lr=lr)
    for rows in batches(len(images), batch, steps, random):
        shown = images[rows.to(device)].float() / 127.5 - 1
        posterior = vae.encode(shown).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=random).to(device)
        error = F.mse_loss(vae.decode(posterior.mean + posterior.std * noise).sample, shown)
        optimiser.zero_grad()
        (error + KL * posterior.kl().mean()).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        losses.append(float(error.detach()))
    vae.eval()
    tail = losses[-max(1, steps // 10) :]
    return sum(tail) / len(tail)


@torch.no_grad()
def latents_of(base: NewBase, images: Tensor) -> Tensor:
    """Means of the posteriors, scaled to a standard deviation of 1: the factor goes into the VAE's configuration."""
    parts = [base.vae.encode(part.float() / 127.5 - 1).latent_dist.mean for part in images.split(64)]
    latents = torch.cat(parts)
    base.vae.register_to_config(scaling_factor=float(1 / latents.std()))
    return latents * base.vae.config.scaling_factor


def train_denoiser(
    base: NewBase, latents: Tensor, ids: Tensor, steps: int, batch: int, lr: float, random: torch.Generator
) -> float:
    """Noise prediction under the captions, a tenth of them dropped; returns the loss of the last tenth of the steps."""
    device, losses = latents.device, []
    text, unet = base.text_encoder.to(device).train(), base.unet.to(device).train()
    weights = [*text.parameters(), *unet.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=lr)
    schedule = DDPMScheduler(**SCHEDULE)
    empty = token_ids(base, [""]).to(device)
    for number, rows in enumerate(batches(len(latents), batch, steps, random)):
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1.0, (number + 1) / (1 + min(100, steps // 10))) * max(0.05, 1 - number / steps)
        clean = latents[rows.to(device)]
        noise = torch.randn(clean.shape, generator=random).to(device)
        times = torch.randint(0, schedule.config.num_train_timesteps, (batch,), generator=random).to(device)
        dropped = torch.rand(batch, generator=random).to(device) < 0.1
        words = torch.where(dropped[:, None], empty, ids[rows.to(device)])
        found = unet(schedule.add_noise(clean, noise, times), times, text(words)[0]).sample
        loss = F.mse_loss(found, noise)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
    text.eval(), unet.eval()
    tail = losses[-max(1, steps // 10) :]
    return sum(tail) / len(tail)


def train_base(data: PictureSet, out: Path, shape: BaseShape, options: argparse.Namespace) -> str:
    """Train and save; returns the digest of the base."""
    device, random = device_of(options.device), torch.Generator().manual_seed(options.seed)
    base = new_base(data.captions, shape, options.seed)
    images = data.images.to(device)
    parts = (base.vae, base.unet, base.text_encoder)
    print(
        f"{len(data)} pictures, {sum(p.numel() for part in parts for p in part.parameters()):,} parameters", flush=True
    )
    started = time.monotonic()
    error = train_vae(base, images, options.vae_steps, options.batch, options.lr, random)
    print(f"VAE: mean squared error {error:.4f} after {time.monotonic() - started:.0f} s", flush=True)
    latents, ids = latents_of(base, images), token_ids(base, data.captions).to(device)
    loss = train_denoiser(base, latents, ids, options.steps, options.batch, options.lr, random)
    print(f"denoiser: loss {loss:.4f} after {time.monotonic() - started:.0f} s", flush=True)
    for part in parts:
        part.cpu()
    save_base(base, out)
    return base_digest(out)


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--emoji", type=Path, required=True, help="folder of the npm package emoji-datasource-google")
    found.add_argument("--out", type=Path, required=True, help="new folder for the base")
    found.add_argument("--without", action="append", help="a category to leave out (default: those of the artists)")
    found.add_argument("--resolution", type=int, default=32)
    found.add_argument("--vae-steps", type=int, default=700)
    found.add_argument("--steps", type=int, default=4_000)
    found.add_argument("--batch", type=int, default=16)
    found.add_argument("--lr", type=float, default=1e-3)
    found.add_argument("--seed", type=int, default=0)
    found.add_argument("--device", default="cpu")
    return found


def main() -> None:
    options = parser().parse_args()
    if options.out.exists() and any(options.out.iterdir()):
        raise SystemExit(f"{options.out} is not empty: name a new folder for the base")
    set_threads(1)
    data = emoji(options.emoji, size=options.resolution, without=tuple(options.without or ARTISTS))
    shape = dataclasses.replace(BaseShape(), resolution=options.resolution)
    print(train_base(data, options.out, shape, options))


if __name__ == "__main__":
    main()
