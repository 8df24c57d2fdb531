"""Train the encoder of the fingerprint (eq. 1) on pictures: seeded, resumable, on CPU or GPU.

Every step takes a batch of pictures twice, nearly clean and degraded as diffusion degrades, and pulls the two together
against all others in the batch. Pictures are degraded at the size that models emit and only then padded or resized for
the encoder. What is kept is the moving average of the weights, its last layer set in closed form (`whitening`).
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from pdfed_sdk.errors import DataError, MlError
from pdfed_sdk.ml.copies.augment import degrade
from pdfed_sdk.ml.copies.encoders import INPUT, Encoder, encoder_input, new_encoder, normalised, sized, thumbnails
from pdfed_sdk.ml.copies.losses import contrastive_loss, spread_loss
from pdfed_sdk.ml.copies.whitening import whiten_head
from pdfed_sdk.ml.neighbours import nearest
from pdfed_sdk.ml.snapshots import read_snapshot, write_snapshot

RECIPE = 3
"""Counts changes of this training that its config does not show: other recipes' snapshots and results are not taken."""
GROUPS = 4
"""Groups of look-alikes in a batch."""

OnStep = Callable[[int, int, float], bool | None]
"""Called with (step, steps, loss); False stops, the snapshot stays."""


@dataclass(frozen=True)
class FingerprintConfig:
    """How a fingerprinter is trained.

    architecture: small, resnet50, or auto (by device). steps of ``batch`` pictures, two views each. temperature: lambda
    of eq. 1. spread: weight of the KoLeo term. strength: of the strongest degradation. ema: decay of the averaged
    weights. whiten: degraded copies, each picture in turn, that set the last layer in closed form, 0 keeps the
    layer as trained. verifier_rounds, verifier_epochs: see `matching.train_verifier`. bf16: None takes it where the
    processor has it. compile: torch.compile.
    """

    architecture: str = "auto"
    steps: int = 360
    batch: int = 128
    lr: float = 1e-3
    temperature: float = 0.08
    spread: float = 0.1
    strength: float = 0.7
    ema: float = 0.98
    whiten: int = 16_000
    verifier_rounds: int = 4
    verifier_epochs: int = 6
    seed: int = 0
    device: str = "cpu"
    bf16: bool | None = None
    compile: bool = False
    save_every: int = 50

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 4 or self.save_every < 1:
            raise MlError(f"steps {self.steps}, batch {self.batch}, save_every {self.save_every}: limits 1, 4 and 1")
        if not 0 < self.temperature <= 1 or not 0 < self.strength <= 1 or not 0 <= self.ema < 1:
            raise MlError(f"temperature {self.temperature}, strength {self.strength}, ema {self.ema} are out of range")
        if self.whiten < 0:
            raise MlError(f"whiten is {self.whiten}, at least 0")

    @property
    def half(self) -> bool:
        """Whether convolutions run in bf16."""
        return has_bf16(self.device) if self.bf16 is None else self.bf16


def has_bf16(device: str) -> bool:
    """Whether bf16 is fast there: on GPUs that have it and CPUs with AVX512-BF16 or AMX."""
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())


class EncoderRun:
    """The state of one training run: everything that a snapshot holds. ``seconds``: CPU time spent, stops included."""

    def __init__(self, images: Tensor, config: FingerprintConfig, start: Encoder | None = None) -> None:
        if len(images) < config.batch // 2:
            raise DataError(
                f"{len(images)} pictures, a batch of {config.batch} wants at least {config.batch // 2}",
                hint="use the shipped fingerprinter for so few pictures",
            )
        self.config, self.step = config, 0
        self.images = images if images.shape[-1] <= INPUT else thumbnails(images)
        self.seconds = 0.0
        self.alike = look_alikes(images, config.batch // (2 * GROUPS))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.net = new_encoder(config.architecture, config.device)
            self.average = new_encoder(config.architecture, config.device)
        if start is not None:
            self.net.load_state_dict(start.state_dict())
        self.average.load_state_dict(self.net.state_dict())
        self._start = weights_hash(self.net)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=config.lr, weight_decay=0.02)
        self.random = Generator().manual_seed(config.seed)
        self.forward = torch.compile(self.net) if config.compile else self.net

    def run(self, snapshot: Path | None = None, on_step: OnStep | None = None) -> Encoder | None:
        """Train to the end: the averaged and whitened encoder, or None if ``on_step`` stopped it. Takes up ``snapshot``
        if it is of the same run, writes it every ``save_every`` steps, and leaves it for the caller to delete."""
        config = self.config
        if snapshot is not None:
            self._load(snapshot)
        self.net.train()
        while self.step < config.steps:
            loss = self._advance()
            if snapshot is not None and self.step % config.save_every == 0:
                self._save(snapshot)
            if on_step is not None and on_step(self.step, config.steps, loss) is False:
                return None
        if config.whiten:
            started = time.process_time()
            whiten_head(self.average, self._views(), half=config.half)
            self.seconds += time.process_time() - started
        return self.average.eval().requires_grad_(False)

    def learning_rate(self) -> float:
        """Rate of the step to come: a short rise, then a cosine to zero."""
        share = self.step / self.config.steps
        rise = 0.15
        if share < rise:
            return self.config.lr * (0.04 + 0.96 * share / rise)
        return self.config.lr * 0.5 * (1 + math.cos(math.pi * (share - rise) / (1 - rise)))

    def _batch(self) -> Tensor:
        """The next pictures, none twice: half of them groups of look-alikes, half at random."""
        size = min(self.config.batch, len(self.images))
        seeds = torch.randint(0, len(self.images), (GROUPS,), generator=self.random)
        chosen = self.alike[seeds].flatten().tolist() + torch.randperm(len(self.images), generator=self.random).tolist()
        return self._pixels(torch.tensor(list(dict.fromkeys(chosen))[:size]))

    def _pixels(self, rows: Tensor) -> Tensor:
        """Pictures (n, C, S, S) in [0, 1], S at most 32."""
        return self.images[rows].float() / 255

    def _harsh(self, pixels: Tensor) -> Tensor:
        strength = self.config.strength * torch.rand(len(pixels), generator=self.random)
        return degrade(pixels, self.random, strength=strength, jpeg=0.1)

    def _views(self) -> Iterator[tuple[Tensor, Tensor]]:
        """``config.whiten`` pictures, each in turn, in blocks, with a degraded copy each."""
        left = self.config.whiten
        while left > 0:
            for rows in torch.split(torch.randperm(len(self.images), generator=self.random)[:left], 250):
                pixels = self._pixels(rows)
                yield pixels, self._harsh(pixels)
                left -= len(rows)

    def _advance(self) -> float:
        """One optimiser step."""
        started = time.process_time()
        config, pixels, random = self.config, self._batch(), self.random
        calm = degrade(pixels, random, strength=0.15 * torch.rand(len(pixels), generator=random), jpeg=0.0)
        views = normalised(sized(torch.cat([self._harsh(pixels), calm]))).to(config.device)
        with torch.autocast(torch.device(config.device).type, dtype=torch.bfloat16, enabled=config.half):
            vectors, _ = self.forward(views.contiguous(memory_format=torch.channels_last))
        degraded, anchors = F.normalize(vectors.float(), dim=1).chunk(2)
        loss = contrastive_loss(anchors, degraded, config.temperature) + config.spread * spread_loss(anchors)
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.step += 1
        self._average()
        self.seconds += time.process_time() - started
        value = float(loss.detach())
        if not math.isfinite(value):
            raise MlError(f"training of the fingerprinter diverged at step {self.step}", hint="lower the lr")
        return value

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.config.ema, self.step / (self.step + 10))
        for mean, now in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)

    def _key(self) -> str:
        own = replace(self.config, verifier_rounds=0, verifier_epochs=0, save_every=1, bf16=self.config.half)
        facts = json.dumps(asdict(own), sort_keys=True)
        return hashlib.sha256(f"{RECIPE} {facts} {picture_hash(self.images)} {self._start}".encode()).hexdigest()

    def _save(self, path: Path) -> None:
        write_snapshot(
            path,
            self._key(),
            {"step": str(self.step), "seconds": repr(self.seconds)},
            weights=self.net.state_dict(),
            averages=self.average.state_dict(),
            optimiser=self.optimiser,
            random=self.random,
        )

    def _load(self, path: Path) -> None:
        """Take up a snapshot of the same run, if there is one."""
        found = read_snapshot(path, self._key())
        if found is None:
            return
        self.net.load_state_dict(found.weights)
        self.average.load_state_dict(found.averages)
        found.restore(self.optimiser, self.random)
        self.step, self.seconds = int(found.facts["step"]), float(found.facts["seconds"])


def look_alikes(images: Tensor, count: int) -> Tensor:
    """(N, count): each picture's nearest others by its 8x8 thumbnail, itself first."""
    thumbs = F.interpolate(encoder_input(images), (8, 8), mode="bilinear", antialias=True, align_corners=False)
    others = nearest(thumbs.flatten(1), thumbs.flatten(1), max(1, count - 1), exclude_self=True)[1]
    return torch.cat([torch.arange(len(images))[:, None], others], 1)


def picture_hash(images: Tensor) -> str:
    """SHA-256 over shape and pixels of (N, C, S, S) uint8."""
    return hashlib.sha256(f"{tuple(images.shape)}".encode() + images.contiguous().numpy().tobytes()).hexdigest()


def weights_hash(network: torch.nn.Module) -> str:
    """SHA-256 over the names and values of a network's tensors."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
