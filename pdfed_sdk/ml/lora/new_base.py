"""A base pipeline from nothing, in the layout of Stable Diffusion, with a tokenizer of its own in CLIP's layout.

For people without a hub, for toys and for tests: real work starts from a real base. The vocabulary is made from the
texts given: single letters, joined by the pairs that are most frequent in them (Sennrich et al. 2016), up to a size.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

START, END, STOP = "<|startoftext|>", "<|endoftext|>", "</w>"
WORDS = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]+")


@dataclass(frozen=True)
class BaseShape:
    """Sizes of a new base. The VAE halves the side once for each of its widths but the first. The default has 1.6 M
    parameters."""

    resolution: int = 64
    vae_widths: tuple[int, ...] = (16, 32, 64)
    latent_channels: int = 4
    unet_widths: tuple[int, ...] = (32, 64)
    text_width: int = 64
    text_layers: int = 2
    tokens: int = 32
    vocabulary: int = 512
    norm_groups: int = 8


TINY = BaseShape(32, (8, 16, 16), 4, (8, 16), 16, 1, 24, 160, 4)
"""Random weights of this size load and run in milliseconds: for tests."""


SCHEDULE: dict[str, Any] = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "clip_sample": False,
    "steps_offset": 1,
}
"""The noise schedule of Stable Diffusion, as arguments of DDPMScheduler; the network predicts noise."""


@dataclass(frozen=True)
class NewBase:
    """The networks of a base in the making, and the files of its tokenizer."""

    vae: AutoencoderKL
    unet: UNet2DConditionModel
    text_encoder: Any
    vocabulary: dict[str, int]
    merges: tuple[tuple[str, str], ...]
    shape: BaseShape


def vocabulary_of(texts: Iterable[str], size: int) -> tuple[dict[str, int], tuple[tuple[str, str], ...]]:
    """A byte-pair vocabulary of at most ``size`` tokens from ``texts``, and its merges in order. Deterministic."""
    words = Counter(word for text in texts for word in WORDS.findall(text.lower()))
    parts = {word: (*word[:-1], word[-1] + STOP) for word in words}
    letters = sorted({letter for word in [*words, *"abcdefghijklmnopqrstuvwxyz0123456789"] for letter in word})
    tokens = [*letters, *(letter + STOP for letter in letters)]
    merges: list[tuple[str, str]] = []
    while len(tokens) + 2 < size:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, count in words.items():
            for pair in zip(parts[word], parts[word][1:], strict=False):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        tokens.append("".join(best))
        parts = {word: _merged(found, best) for word, found in parts.items()}
    return {token: number for number, token in enumerate([*dict.fromkeys(tokens), START, END])}, tuple(merges)


def _merged(parts: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    found: list[str] = []
    for part in parts:
        if found and (found[-1], part) == pair:
            found[-1] += part
        else:
            found.append(part)
    return tuple(found)


def new_base(texts: Iterable[str], shape: BaseShape = BaseShape(), seed: int = 0) -> NewBase:
    """Random networks and a vocabulary; the global random state is left as it was."""
    from transformers import CLIPTextConfig, CLIPTextModel

    vocabulary, merges = vocabulary_of(texts, shape.vocabulary)
    text = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=shape.text_width,
        intermediate_size=2 * shape.text_width,
        num_hidden_layers=shape.text_layers,
        num_attention_heads=max(1, shape.text_width // 16),
        max_position_embeddings=shape.tokens,
        projection_dim=shape.text_width,
        bos_token_id=vocabulary[START],
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[END],
    )
    levels, blocks = len(shape.vae_widths), len(shape.unet_widths)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = AutoencoderKL(
            block_out_channels=shape.vae_widths,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            latent_channels=shape.latent_channels,
            norm_num_groups=shape.norm_groups,
            sample_size=shape.resolution,
        )
        unet = UNet2DConditionModel(
            sample_size=shape.resolution >> (levels - 1),
            in_channels=shape.latent_channels,
            out_channels=shape.latent_channels,
            block_out_channels=shape.unet_widths,
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D",) * blocks,
            up_block_types=("CrossAttnUpBlock2D",) * blocks,
            cross_attention_dim=shape.text_width,
            attention_head_dim=max(1, shape.unet_widths[0] // 8),
            norm_num_groups=shape.norm_groups,
        )
        return NewBase(vae, unet, CLIPTextModel(text), vocabulary, merges, shape)


def tokenizer_of(base: NewBase) -> Any:
    """CLIP's tokenizer over the vocabulary of this base."""
    from transformers import CLIPTokenizer

    merges = list(base.merges)
    return CLIPTokenizer(vocab=base.vocabulary, merges=merges, model_max_length=base.shape.tokens, pad_token=END)


def token_ids(base: NewBase, texts: Sequence[str]) -> torch.Tensor:
    """(n, tokens) int64; what is longer than the encoder reads is cut."""
    found = tokenizer_of(base)(list(texts), padding="max_length", truncation=True, max_length=base.shape.tokens)
    return torch.tensor(found["input_ids"])


def save_base(base: NewBase, folder: Path) -> Path:
    """Write the pipeline folder, each part by its own library; returns ``folder``."""
    base.vae.save_pretrained(folder / "vae")
    base.unet.save_pretrained(folder / "unet")
    base.text_encoder.save_pretrained(folder / "text_encoder")
    merges = [" ".join(pair) for pair in base.merges]
    tokenizer = tokenizer_of(base)
    tokenizer.save_pretrained(str(folder / "tokenizer"))
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(base.vocabulary), encoding="utf-8")
    (folder / "tokenizer" / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    DDPMScheduler(**SCHEDULE).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": base.unet.config["_diffusers_version"],
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
    return folder
