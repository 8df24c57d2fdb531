"""The fingerprint of a picture: encoder, contrastive training (eq. 1), class thresholds (eq. 5).

A fingerprint is a unit vector of 256 numbers. The encoder's 8x8 feature map feeds the verifier (`verifier`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.augment import degrade
from pdfed_sdk.ml.data import check_images
from pdfed_sdk.ml.neighbours import nearest

INPUT = 32
DIM = 256
MAP_CHANNELS = 128
LEAST_THRESHOLD = 1e-6


class Residual(nn.Module):
    """Two 3x3 convolutions and a short cut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.skip: nn.Module = nn.Identity()
        if before != after or stride != 1:
            self.skip = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, S, S) -> (N, after, S / stride, S / stride)."""
        return F.relu(self.skip(x) + self.body(x))


class SmallEncoder(nn.Module):
    """Residual net for CPUs and small pictures: 32x32x3 -> map (128, 8, 8) -> fingerprint (256)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True))
        self.body = nn.Sequential(Residual(32, 64, 2), Residual(64, 128, 2), Residual(128, MAP_CHANNELS, 1))
        self.head = nn.Linear(MAP_CHANNELS * 4, DIM)

    def maps(self, pixels: Tensor) -> Tensor:
        """Feature map F (N, 128, 8, 8), non-negative."""
        features: Tensor = self.body(self.stem(pixels))
        return features

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(fingerprints (N, 256) of unit length, maps)."""
        maps = self.maps(pixels)
        pooled = F.adaptive_avg_pool2d(maps, 2).flatten(1)
        return F.normalize(self.head(pooled), dim=1), maps


def encoder_input(images: Tensor) -> Tensor:
    """uint8 pictures (N, C, S, S) -> float (N, 3, 32, 32) in [0, 1]; 28 px are padded, other sizes resized."""
    check_images(images, "images")
    values = images.float() / 255
    if values.shape[-1] == 28:
        values = F.pad(values, (2, 2, 2, 2), mode="replicate")
    if values.shape[-1] != INPUT:
        values = F.interpolate(values, (INPUT, INPUT), mode="bilinear", antialias=True, align_corners=False)
    return values.expand(-1, 3, -1, -1)


def normalised(pixels: Tensor) -> Tensor:
    """Pixels in [0, 1] centred for the encoder."""
    return (pixels - 0.5) / 0.5


def contrastive_loss(anchors: Tensor, views: Tensor, temperature: float = 0.1) -> Tensor:
    """Eq. 1: -sum_i log(d(a_i, v_i) / (d(a_i, v_i) + sum_{j != i} d(a_i, a_j))), d = exp(cos / temperature), as a
    mean; anchors and views (N, D) of unit length. The other views count as negatives too (the paper's d(a_i, v_j),
    j != i, is left out there; with it the degraded copies of two pictures are pushed apart as well)."""
    own = (anchors * views).sum(1, keepdim=True)
    others = anchors @ anchors.T
    mask = torch.eye(len(anchors), dtype=torch.bool)
    crossed = (anchors @ views.T).masked_fill(mask, -torch.inf)
    logits = torch.cat([own, others.masked_fill(mask, -torch.inf), crossed], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(anchors), dtype=torch.long))


def spread_loss(vectors: Tensor) -> Tensor:
    """KoLeo: -mean log distance to the nearest other vector; spreads fingerprints over the sphere."""
    cosines = (vectors @ vectors.T).fill_diagonal_(-1.0)
    return -(2 - 2 * cosines.max(1).values).clamp_min(1e-6).sqrt().log().mean()


def train_encoder(
    images: Tensor,
    *,
    steps: int,
    batch: int = 96,
    lr: float = 2e-3,
    temperature: float = 0.1,
    spread: float = 0.1,
    seed: int = 0,
    encoder: SmallEncoder | None = None,
    bf16: bool = False,
    seconds: float = float("inf"),
    on_step: Callable[[int, float], None] | None = None,
) -> SmallEncoder:
    """Contrastive training on pictures (N, C, S, S) uint8, degraded as in `augment`; stops after ``steps`` or
    ``seconds``. Half of every batch are look-alikes of a few pictures (hard negatives). Starts from ``encoder`` if
    given. Seeded; ``bf16`` is faster where the processor has it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = encoder or SmallEncoder()
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    random = Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.2)
    net.train()
    alike = _look_alikes(images, count=batch // 8)
    started = time.monotonic()
    for step in range(steps):
        pixels = encoder_input(images[_hard_batch(alike, batch, random)])
        clean = degrade(pixels, random, strength=0.2 * torch.rand(len(pixels), generator=random), jpeg=0.0)
        views = degrade(pixels, random, strength=torch.rand(len(pixels), generator=random))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            vectors, _ = net(normalised(torch.cat([clean, views])))
        anchors, others = F.normalize(vectors.float(), dim=1).chunk(2)
        loss = contrastive_loss(anchors, others, temperature) + spread * spread_loss(anchors)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if on_step is not None:
            on_step(step, float(loss.detach()))
        if time.monotonic() - started > seconds:
            break
    net.eval()
    return net


def _look_alikes(images: Tensor, count: int) -> Tensor:
    """(N, count): each picture's nearest others by its 8x8 thumbnail, itself first."""
    thumbs = F.interpolate(encoder_input(images), (8, 8), mode="bilinear", antialias=True, align_corners=False)
    others = nearest(thumbs.flatten(1), thumbs.flatten(1), count - 1, exclude_self=True)[1]
    return torch.cat([torch.arange(len(images))[:, None], others], 1)


def _hard_batch(alike: Tensor, batch: int, random: Generator) -> Tensor:
    """Indices without repetition: four groups of look-alikes, filled up with pictures at random."""
    seeds = torch.randint(0, len(alike), (4,), generator=random)
    chosen = alike[seeds].flatten().tolist() + torch.randperm(len(alike), generator=random)[:batch].tolist()
    return torch.tensor(list(dict.fromkeys(chosen))[:batch])


def class_thresholds(vectors: Tensor, labels: Tensor) -> Tensor:
    """Eq. 5: for every training picture the threshold T of its class, T = mean - 0.5 std of the distances to the
    nearest neighbour in the class, (N,).

    On de-duplicated fingerprints, population std, T >= 1e-6; a class with fewer than two distinct pictures takes the
    threshold pooled over all. ``vectors`` (N, D), ``labels`` (N,), -1 being a class of its own. Errors: DataError.
    """
    if len(vectors) != len(labels):
        raise DataError(f"vectors has {len(vectors)} rows and labels {len(labels)}")
    pooled: list[Tensor] = []
    found: dict[int, float] = {}
    for label in sorted(set(labels.tolist())):
        distinct = deduplicated(vectors[labels == label])
        if len(distinct) > 1:
            distances = nearest(distinct, distinct, 1, exclude_self=True)[0].squeeze(1)
            pooled.append(distances)
            found[label] = _threshold(distances)
    if pooled:
        fallback = _threshold(torch.cat(pooled))
    else:
        distinct = deduplicated(vectors)
        fallback = LEAST_THRESHOLD
        if len(distinct) > 1:
            fallback = _threshold(nearest(distinct, distinct, 1, exclude_self=True)[0].squeeze(1))
    return torch.tensor([found.get(label, fallback) for label in labels.tolist()])


def deduplicated(vectors: Tensor, tolerance: float = 1e-4) -> Tensor:
    """Rows without those that lie within ``tolerance`` of an earlier row."""
    if len(vectors) < 2:
        return vectors
    keep = torch.ones(len(vectors), dtype=torch.bool)
    distances = nearest(vectors, vectors, 1, exclude_self=True)[0]
    for row in (distances.squeeze(1) <= tolerance).nonzero().squeeze(1).tolist():
        earlier = (vectors[:row] - vectors[row]).norm(dim=1) <= tolerance
        keep[row] = not bool((earlier & keep[:row]).any())
    return vectors[keep]


def _threshold(distances: Tensor) -> float:
    values = distances.double()
    return max(LEAST_THRESHOLD, float(values.mean() - 0.5 * values.std(correction=0)))
