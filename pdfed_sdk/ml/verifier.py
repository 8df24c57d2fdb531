"""Match verification (3.1.2): is this picture a copy of that one? R-MAC windows, GeM, correlation, MLP; calibration.

Symmetric to the bit: score(q, i) == score(i, q) for the same batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.special import betaincinv
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.augment import degrade
from pdfed_sdk.ml.fingerprint import MAP_CHANNELS, SmallEncoder, encoder_input, normalised
from pdfed_sdk.ml.neighbours import nearest

SIDE = 8
SCALES = (8, 6, 4, 3, 2)
"""Window side at R-MAC scale l = 1..5; l x l windows each, 55 in all, distinct on an 8x8 map."""
WINDOWS = 55
REDUCED = MAP_CHANNELS // 4
FUSION = (0.3, 10.0, 20.0, -24.5)
"""Weights of the trained sum, of the mean similarity of equal windows, of the fingerprints' cosine, and the bias. With
a thousand digits to learn from, the MLP alone is sure of many copies but not of all (decision 0302)."""
PUBLISHED_THRESHOLD = 0.8
"""The paper's threshold; the least one that calibration gives."""


def windows() -> Tensor:
    """Pooling matrix (55, 64): row w averages the cells of window w."""
    rows = []
    for scale, side in enumerate(SCALES, start=1):
        offsets = [round(i * (SIDE - side) / max(1, scale - 1)) for i in range(scale)]
        for top in offsets:
            for left in offsets:
                mask = torch.zeros(SIDE, SIDE)
                mask[top : top + side, left : left + side] = 1 / side**2
                rows.append(mask.flatten())
    return torch.stack(rows)


@dataclass(frozen=True)
class Maps:
    """Fingerprints (N, 256) and feature maps (N, 128, 8, 8) as the encoder gives them."""

    vectors: Tensor
    maps: Tensor

    def take(self, index: Tensor) -> Maps:
        """The rows at ``index``."""
        return Maps(self.vectors[index], self.maps[index])


@dataclass(frozen=True)
class Prints:
    """What is kept of a picture: fingerprints (N, 256) of unit length and window descriptors (N, 55, 32)."""

    vectors: Tensor
    descriptors: Tensor

    def take(self, index: Tensor) -> Prints:
        """The rows at ``index``."""
        return Prints(self.vectors[index], self.descriptors[index])


class Verifier(nn.Module):
    """Eqs. 2-4 on maps (N, 128, 8, 8)."""

    pooling: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(MAP_CHANNELS, REDUCED, 1)
        self.power = nn.Parameter(torch.tensor(3.0))
        self.centre = nn.BatchNorm1d(REDUCED, affine=False)
        self.mlp = nn.Sequential(
            nn.Linear(WINDOWS * WINDOWS, 256),
            nn.ReLU(inplace=True),
            nn.Linear(256, 64),
            nn.ReLU(inplace=True),
            nn.Linear(64, 1),
        )
        self.register_buffer("pooling", windows(), persistent=False)

    def descriptors(self, maps: Tensor) -> Tensor:
        """Eq. 2: unit vectors (N, 55, 32), one a window: 1x1 convolution, GeM, centred."""
        power = self.power.clamp(1, 8)
        cells = F.softplus(self.reduce(maps)).flatten(2).clamp_min(1e-4)
        pooled = (cells.pow(power) @ self.pooling.T).pow(1 / power)
        centred = self.centre(pooled).transpose(1, 2)
        return F.normalize(centred, dim=2)

    def prints(self, maps: Maps) -> Prints:
        """Fingerprints as they are, maps as descriptors."""
        return Prints(maps.vectors, self.descriptors(maps.maps.float()))

    def _matrices(self, query: Prints, item: Prints) -> tuple[Tensor, Tensor]:
        """Eq. 3 both ways, C_qi and C_iq (N, 55, 55); swapping the arguments swaps them to the bit."""
        there = torch.bmm(query.descriptors, item.descriptors.transpose(1, 2))
        back = torch.bmm(item.descriptors, query.descriptors.transpose(1, 2))
        return (there + back.transpose(1, 2)) * 0.5, (back + there.transpose(1, 2)) * 0.5

    def raw(self, query: Prints, item: Prints) -> Tensor:
        """MLP(C_qi) + MLP(C_iq), (N,): eq. 4 before the sigmoid, what is trained."""
        matrix, swapped = self._matrices(query, item)
        total: Tensor = self.mlp(matrix.flatten(1)) + self.mlp(swapped.flatten(1))
        return total.squeeze(1)

    def logits(self, query: Prints, item: Prints) -> Tensor:
        """`FUSION` of eq. 4's sum, the mean similarity of equal windows and the cosine of the fingerprints, (N,)."""
        equal = self._matrices(query, item)[0].diagonal(dim1=1, dim2=2).mean(1)
        cosine = (query.vectors * item.vectors).sum(1)
        learnt, windows_, global_, bias = FUSION
        return learnt * self.raw(query, item) + windows_ * equal + global_ * cosine + bias

    def forward(self, query: Prints, item: Prints) -> Tensor:
        """Eq. 4: similarity in [0, 1], (N,) float64 so that near-certain scores keep their order."""
        return self.logits(query, item).double().sigmoid()


def train_verifier(
    images: Tensor,
    encoder: SmallEncoder,
    *,
    steps: int,
    batch: int = 128,
    lr: float = 1e-3,
    seed: int = 0,
    rounds: int = 6,
    hard: int = 10,
    seconds: float = float("inf"),
    on_step: Callable[[int, float], None] | None = None,
) -> Verifier:
    """Binary cross-entropy on degraded copies (positive) and hard negatives: the pictures nearest to the query by
    fingerprint that are not its original. The encoder is frozen; queries are drawn anew ``rounds`` times. Seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Verifier()
    random = Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.1)
    answers = Maps(*encode(encoder, encoder_input(images)))
    truth = torch.cat([torch.ones(batch), torch.zeros(batch)])
    started, step = time.monotonic(), 0
    net.train()
    for _ in range(rounds):
        strength = torch.rand(len(images), generator=random) * 0.9
        strength *= torch.rand(len(images), generator=random) > 0.15  # some exact copies every round
        questions = Maps(*encode(encoder, degrade(encoder_input(images), random, strength=strength)))
        rivals = _rivals(questions.vectors, answers.vectors, hard)
        for _ in range(steps // rounds):
            own = torch.randint(0, len(images), (batch,), generator=random)
            wrong = rivals[own, torch.randint(0, hard, (batch,), generator=random)]
            query = net.prints(questions.take(own)).take(torch.arange(batch).repeat(2))
            logits = net.raw(query, net.prints(answers.take(torch.cat([own, wrong]))))
            loss = F.binary_cross_entropy_with_logits(logits, truth)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            step += 1
            if on_step is not None:
                on_step(step, float(loss.detach()))
            if time.monotonic() - started > seconds:
                return net.eval()
    return net.eval()


@torch.no_grad()
def encode(encoder: SmallEncoder, pixels: Tensor, block: int = 128) -> tuple[Tensor, Tensor]:
    """Fingerprints (N, 256) and maps (N, 128, 8, 8, half precision) of pixels in [0, 1]."""
    parts = [encoder(normalised(pixels[i : i + block])) for i in range(0, len(pixels), block)]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1].half() for part in parts])


def _rivals(queries: Tensor, vectors: Tensor, hard: int) -> Tensor:
    """For each query i the ``hard`` nearest pictures other than i and its exact duplicates."""
    index = nearest(queries, vectors, hard + 4)[1]
    truth = torch.arange(len(queries))[:, None]
    twin = (vectors[index] - vectors[:, None]).norm(dim=2) < 1e-3
    rank = torch.where((index == truth) | twin, hard + 4, torch.arange(hard + 4))
    return index.gather(1, rank.argsort(1)[:, :hard])


@dataclass(frozen=True)
class Calibration:
    """The threshold chosen on held-out real pictures, its false-positive rate per picture with the 95 %
    Clopper-Pearson interval, and the curve (threshold, rate) it was read from."""

    threshold: float
    target: float
    rate: float
    low: float
    high: float
    pictures: int
    curve: tuple[tuple[float, float], ...]


def calibrate(best_scores: Tensor, fpr: float = 0.01, floor: float = PUBLISHED_THRESHOLD) -> Calibration:
    """Least threshold in [``floor``, 1] at which at most a share ``fpr`` of held-out pictures is confirmed.

    ``best_scores`` (N,): each held-out picture's highest verifier score over its candidates, 0 without any. Errors:
    DataError for an empty set or a rate outside (0, 1).
    """
    if best_scores.ndim != 1 or not len(best_scores) or not bool(torch.isfinite(best_scores).all()):
        raise DataError("best_scores must be finite numbers, one a held-out picture, and at least one")
    if not 0 < fpr < 1:
        raise DataError(f"fpr is {fpr}, limits 0 and 1, both excluded")
    scores = best_scores.double().sort(descending=True).values
    count = len(scores)
    allowed = int(fpr * count)
    above = float(scores[allowed]) if allowed < count else 0.0
    threshold = min(1.0, max(floor, math.nextafter(above, 2.0)))  # 1 is reserved for identical pictures
    hits = int((scores >= threshold).sum())
    low = float(betaincinv(hits, count - hits + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, count - hits, 0.975)) if hits < count else 1.0
    grid = [0.05 * i for i in range(1, 20)] + [0.975, 0.99, 0.999, 0.9999]
    curve = tuple((round(t, 6), float((scores >= t).double().mean())) for t in grid)
    return Calibration(threshold, fpr, hits / count, low, high, count, curve)
