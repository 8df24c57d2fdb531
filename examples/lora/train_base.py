"""Train a small latent text-to-image pipeline from nothing, on emoji and their names: a base where no hub is at hand.

    npm install emoji-datasource-google
    python train_base.py --emoji node_modules/emoji-datasource-google --out base

First the VAE learns to draw its own latents, then text encoder and UNet learn to denoise them. Categories of artists
who will bring them along later are left out (--without). The same options give the same base on the same machine.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.device import device_of, set_threads
from pdfed_sdk.ml.lora.base_files import base_digest
from pdfed_sdk.ml.lora.new_base import SCHEDULE, BaseShape, NewBase, new_base, save_base, token_ids
from pdfed_sdk.ml.sources import load_pictures

ARTISTS = ("Animals & Nature", "Food & Drink", "Travel & Places")
"""Categories that the three artists of `three_artists.py` bring along."""
KINDS = {
    "Activities": "activity",
    "Animals & Nature": "animal",
    "Flags": "flag",
    "Food & Drink": "food",
    "Objects": "object",
    "People & Body": "person",
    "Smileys & Emotion": "face",
    "Symbols": "symbol",
    "Travel & Places": "place",
}
"""The first word of the captions of a category."""
KL = 1e-6
"""Weight of the divergence of the VAE's posterior from a standard normal, as in Rombach et al. (2022)."""


def emoji(folder: Path, *, size: int, without: tuple[str, ...] = (), only: tuple[str, ...] = ()) -> PictureSet:
    """Emoji in colour; skin tones, which share a name, once. Captions say the kind before the name, so that an unseen
    name tells it as well: "food, red apple"."""
    found = load_pictures(folder, size=size, channels=3)
    seen: set[str] = set()
    keep = []
    for place, (label, text) in enumerate(zip(found.labels.tolist(), found.captions, strict=True)):
        name = found.classes[label]
        if text not in seen and name not in without and (not only or name in only):
            seen.add(text)
            keep.append(place)
    kept = found.take(keep)
    kinds = [KINDS.get(found.classes[label], "thing") for label in kept.labels.tolist()]
    return replace(kept, captions=tuple(f"{kind}, {text}" for kind, text in zip(kinds, kept.captions, strict=True)))


class Step:
    """A training step. On a GPU the small kernels of such a small network wait for the host, so the step is captured
    as one CUDA graph after a few eager ones, where that can be done."""

    def __init__(self, compute: Callable[[], Tensor], device: torch.device) -> None:
        self._compute, self._waits = compute, 3
        self._capture = device.type == "cuda"
        self._graph: torch.cuda.CUDAGraph | None = None
        self._loss = torch.empty(0)

    def __call__(self) -> Tensor:
        """The loss, on its device; the next call may write over it."""
        if self._graph is not None:
            self._graph.replay()
            return self._loss
        if not self._capture:
            return self._compute()
        if self._waits:
            self._waits -= 1
            return self._aside()
        self._try_graph()
        return self()

    def _aside(self) -> Tensor:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            loss = self._compute()
        torch.cuda.current_stream().wait_stream(stream)
        return loss

    def _try_graph(self) -> None:
        self._capture = False
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._loss = self._compute()
        except RuntimeError as error:
            print(f"steps stay eager: {str(error).splitlines()[0][:100]}", flush=True)
        else:
            self._graph = graph


class Optimiser:
    """AdamW with clipped gradients; its rate lies on the device, so that a captured step reads it."""

    def __init__(self, networks: Sequence[nn.Module], lr: float, device: torch.device) -> None:
        self._weights = [weight for network in networks for weight in network.parameters()]
        self.rate = torch.tensor(lr, device=device)
        self._adam = torch.optim.AdamW(self._weights, lr=self.rate, fused=True, capturable=device.type == "cuda")

    def step(self, loss: Tensor) -> Tensor:
        """Take the step down; the loss, without its graph."""
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._weights, 1.0)
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        return loss.detach()


class Tail:
    """The mean loss of the last tenth of ``steps``; nothing is read from the device before the end."""

    def __init__(self, steps: int) -> None:
        self._from, self._count = steps - max(1, steps // 10), max(1, steps // 10)
        self._total: Tensor | None = None

    def add(self, number: int, loss: Tensor) -> None:
        if number >= self._from:
            self._total = loss.clone() if self._total is None else self._total + loss

    def mean(self) -> float:
        return math.nan if self._total is None else float(self._total) / self._count


def train_vae(base: NewBase, images: Tensor, steps: int, batch: int, lr: float, random: torch.Generator) -> float:
    """Reconstruction in pixels; returns the mean squared error of the last tenth of the steps, pixels in [-1, 1]."""
    device, vae = images.device, base.vae.to(images.device).train()
    optimiser, tail = Optimiser([vae], lr, device), Tail(steps)
    rows = torch.zeros(batch, dtype=torch.int64, device=device)
    with torch.no_grad():
        noise = torch.zeros_like(vae.encode(images[rows].float()).latent_dist.mean)

    def compute() -> Tensor:
        shown = images[rows].float() / 127.5 - 1
        posterior = vae.encode(shown).latent_dist
        error = F.mse_loss(vae.decode(posterior.mean + posterior.std * noise).sample, shown)
        optimiser.step(error + KL * posterior.kl().mean())
        return error.detach()

    step = Step(compute, device)
    for number in range(steps):
        rows.copy_(torch.randint(0, len(images), (batch,), generator=random))
        noise.copy_(torch.randn(noise.shape, generator=random))
        tail.add(number, step())
    vae.eval()
    return tail.mean()


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
    device = latents.device
    text, unet = base.text_encoder.to(device).train(), base.unet.to(device).train()
    optimiser, tail, schedule = Optimiser([text, unet], lr, device), Tail(steps), DDPMScheduler(**SCHEDULE)
    schedule.alphas_cumprod = schedule.alphas_cumprod.to(device)
    last, empty = schedule.config.num_train_timesteps, token_ids(base, [""]).to(device)
    rows, times = (torch.zeros(batch, dtype=torch.int64, device=device) for _ in range(2))
    noise, drawn = torch.zeros_like(latents[rows]), torch.zeros(batch, device=device)

    def compute() -> Tensor:
        words = torch.where((drawn < 0.1)[:, None], empty, ids[rows])
        found = unet(schedule.add_noise(latents[rows], noise, times), times, text(words)[0]).sample
        return optimiser.step(F.mse_loss(found, noise))

    step = Step(compute, device)
    for number in range(steps):
        optimiser.rate.fill_(lr * min(1.0, (number + 1) / (1 + min(100, steps // 10))) * max(0.05, 1 - number / steps))
        rows.copy_(torch.randint(0, len(latents), (batch,), generator=random))
        noise.copy_(torch.randn(noise.shape, generator=random))
        times.copy_(torch.randint(0, last, (batch,), generator=random))
        drawn.copy_(torch.rand(batch, generator=random))
        tail.add(number, step())
    text.eval(), unet.eval()
    return tail.mean()


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
    found.add_argument("--vae-steps", type=int, default=2_500)
    found.add_argument("--steps", type=int, default=12_000)
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
    shape = replace(BaseShape(), resolution=options.resolution)
    print(train_base(data, options.out, shape, options))


if __name__ == "__main__":
    main()
