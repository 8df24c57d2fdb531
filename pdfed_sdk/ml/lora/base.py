"""A base pipeline in memory: networks that never change, shared by all adapters of a process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from pdfed_sdk.errors import DataError, MlError
from pdfed_sdk.ml.lora.base_files import base_digest, find_base

ADAPTER = "default"
"""PEFT's name of the adapter in the shared UNet."""
ENCODED = 64
"""Pictures or texts that pass an encoder at a time."""


class Base:
    """Tokenizer, text encoder, VAE, and a UNet a device into which LoRA layers are injected. In bfloat16 on a GPU."""

    def __init__(self, folder: Path) -> None:
        from transformers import CLIPTextModel, CLIPTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()

        self.folder, self.digest = folder, base_digest(folder)
        try:
            self.tokenizer = CLIPTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)
            self._text = _frozen(CLIPTextModel, folder / "text_encoder", dtype=torch.float32)
            self._vae = _frozen(AutoencoderKL, folder / "vae", torch_dtype=torch.float32)
            self.schedule = dict(DDPMScheduler.load_config(str(folder / "scheduler"), local_files_only=True))
            self._processes = {torch.device("cpu"): DDPMScheduler.from_config(self.schedule)}
            self.linears = _linears(folder / "unet")
            """Outputs and inputs of the UNet's linear layers, by name; what an adapter fits is known before one is
            made."""
        except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            told = (str(error).splitlines() or [""])[0][:200]
            raise MlError(f"the base {folder} cannot be loaded: {told}", hint="fetch the base again") from error
        self._empty: dict[torch.device, Tensor] = {}
        self._unets: dict[tuple[int, tuple[str, ...], torch.device], UNet2DConditionModel] = {}

    def __deepcopy__(self, memo: object) -> Base:
        return self

    @property
    def latent_channels(self) -> int:
        return int(self._vae.config.latent_channels)

    @property
    def shrinkage(self) -> int:
        """Pixels a latent stands for, along a side."""
        return int(2 ** (len(self._vae.config.block_out_channels) - 1))

    @property
    def tokens(self) -> int:
        """Longest text, in tokens, its two ends included."""
        return min(int(self.tokenizer.model_max_length), int(self._text.config.max_position_embeddings))

    def process(self, device: torch.device) -> DDPMScheduler:
        """The forward process with its constants on ``device``, one a device for good: a captured graph reads them."""
        if device not in self._processes:
            self._processes[device] = DDPMScheduler.from_config(self.schedule)
            self._processes[device].alphas_cumprod = self._processes[device].alphas_cumprod.to(device)
        return self._processes[device]

    @property
    def timesteps(self) -> int:
        """Steps of the forward process."""
        return int(self._processes[torch.device("cpu")].config.num_train_timesteps)

    def unet(self, rank: int, targets: tuple[str, ...], device: torch.device) -> UNet2DConditionModel:
        """The frozen UNet with LoRA layers of scale 1, whose matrices every forward pass brings along."""
        from peft import LoraConfig, inject_adapter_in_model

        key = (rank, targets, device)
        if key not in self._unets:
            dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
            unet = _frozen(UNet2DConditionModel, self.folder / "unet", torch_dtype=dtype)
            config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(targets), init_lora_weights=False)
            inject_adapter_in_model(config, unet, ADAPTER)
            self._unets[key] = unet.to(device).requires_grad_(False).eval()
        return self._unets[key]

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """(n, L, D) float32 on ``device``. DataError names a text that is longer than the encoder reads."""
        encoder, rows = self._text.to(device), self.check_texts(texts)
        parts = [encoder(torch.tensor(part, device=device))[0] for part in _blocks(rows)]
        return torch.cat(parts).float()

    def check_texts(self, texts: Sequence[str], what: str = "text") -> list[list[int]]:
        """Tokens of each, all equally many. DataError names ``what`` of them is longer than the encoder reads."""
        rows = []
        for number, text in enumerate(texts):
            ids = self.tokenizer(text, padding="max_length", max_length=self.tokens, truncation=False)["input_ids"]
            if len(ids) > self.tokens:
                raise DataError(
                    f"{what} {number}, {text[:60]!r}…, has {len(ids)} tokens with its ends, the base reads "
                    f"{self.tokens}",
                    hint="write it shorter",
                )
            rows.append(ids)
        return rows

    def empty_text(self, device: torch.device) -> Tensor:
        """What the encoder makes of no text (1, L, D); kept, since every training step may ask."""
        if device not in self._empty:
            self._empty[device] = self.encode_text([""], device)
        return self._empty[device]

    @torch.no_grad()
    def encode_pictures(self, images: Tensor, device: torch.device) -> Tensor:
        """Means and standard deviations (n, 2 C, h, w) float32, scaled, of pictures (n, 3, S, S) uint8."""
        vae, found = self._vae.to(device), []
        for part in _blocks(images):
            posterior = vae.encode(part.to(device).float().div(127.5).sub(1)).latent_dist
            found.append(torch.cat([posterior.mean, posterior.std], 1) * vae.config.scaling_factor)
        return torch.cat(found)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (n, 3, S, S) uint8 of scaled latents, on their device."""
        vae = self._vae.to(latents.device)
        pixels = vae.decode(latents.float() / vae.config.scaling_factor).sample
        return torch.nan_to_num(pixels, nan=0.0).clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)


def base_named(digest: str) -> Base:
    """The base with ``digest``, loaded once a process. Raises MlError."""
    return _loaded(find_base(digest), digest)


@lru_cache(maxsize=2)
def _loaded(folder: Path, digest: str) -> Base:
    return Base(folder)


def _linears(folder: Path) -> dict[str, tuple[int, int]]:
    with torch.device("meta"):  # shapes without memory
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(str(folder), local_files_only=True))
    return {
        name: (part.out_features, part.in_features)
        for name, part in unet.named_modules()
        if isinstance(part, nn.Linear)
    }


def _frozen(kind: Any, folder: Path, **options: Any) -> Any:
    found: nn.Module = kind.from_pretrained(str(folder), use_safetensors=True, local_files_only=True, **options)
    return found.requires_grad_(False).eval()


def _blocks(rows: Any) -> list[Any]:
    return [rows[start : start + ENCODED] for start in range(0, len(rows), ENCODED)]
