"""Match verification (3.1.2): is this picture a copy of that one? R-MAC windows, GeM, correlation, MLP; calibration.

Symmetric to the bit: score(q, i) == score(i, q) for the same batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.special import betaincinv
from torch import Tensor, nn
from torch.nn import functional as F

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.copies.registration import CUES, registration

SIDE = 8
SCALES = (8, 6, 4, 3, 2)
"""Window side at R-MAC scale l = 1..5; l x l windows each, 55 in all, distinct on an 8x8 map."""
WINDOWS = 55
PUBLISHED_THRESHOLD = 0.8
"""The paper's threshold, which the copy test's odds are counted from."""
LEAST_ODDS = 0.2
"""The least threshold that calibration gives, so low that it decides only where pictures are very unlike each other."""
MOST_ODDS = 0.99
"""The highest threshold that a tail may ask for at 1 % of false alarms, where there are too few pictures to count."""


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
class Prints:
    """What is kept of a picture: fingerprints (N, 256) of unit length, window descriptors (N, 55, D / 4) and the
    thumbnail (N, 1 or 3, 32, 32) uint8 that the encoder saw, and the picture at its size, `detailed`."""

    vectors: Tensor
    descriptors: Tensor
    thumbs: Tensor
    details: Tensor

    def take(self, index: Tensor | slice) -> Prints:
        """The rows at ``index``."""
        return Prints(self.vectors[index], self.descriptors[index], self.thumbs[index], self.details[index])

    def part(self, start: int, count: int) -> Prints:
        """Up to ``count`` rows from ``start`` on."""
        return self.take(slice(start, start + count))

    def to(self, device: torch.device) -> Prints:
        """The same on a device."""
        return Prints(*(part.to(device) for part in (self.vectors, self.descriptors, self.thumbs, self.details)))

    @staticmethod
    def joined(parts: list[Prints]) -> Prints:
        """All rows of ``parts``, in order."""
        names = ("vectors", "descriptors", "thumbs", "details")
        return Prints(*(torch.cat([getattr(p, name) for p in parts]) for name in names))


class Verifier(nn.Module):
    """Eqs. 2-4 on maps (N, D, 8, 8). What the MLP says of C_qi is weighed by a small net, which also sees how the two
    pictures lie on each other."""

    pooling: Tensor

    def __init__(self, map_channels: int = 128) -> None:
        super().__init__()
        reduced = map_channels // 4
        self.reduce = nn.Conv2d(map_channels, reduced, 1)
        self.power = nn.Parameter(torch.tensor(3.0))
        self.centre = nn.BatchNorm1d(reduced, affine=False)
        self.mlp = nn.Sequential(
            nn.Linear(WINDOWS * WINDOWS, 256),
            nn.ReLU(inplace=True),
            nn.Linear(256, 64),
            nn.ReLU(inplace=True),
            nn.Linear(64, 1),
        )
        self.scale = nn.BatchNorm1d(CUES + 4, affine=False)
        self.weigh = nn.Sequential(
            nn.Linear(CUES + 4, 128),
            nn.ReLU(inplace=True),
            nn.Linear(128, 128),
            nn.ReLU(inplace=True),
            nn.Linear(128, 1),
        )
        self.register_buffer("pooling", windows(), persistent=False)

    def descriptors(self, maps: Tensor) -> Tensor:
        """Eq. 2: unit vectors (N, 55, D / 4), one a window: 1x1 convolution, GeM, centred."""
        power = self.power.clamp(1, 8)
        cells = F.softplus(self.reduce(maps.float())).flatten(2).clamp_min(1e-4)
        pooled = (cells.pow(power) @ self.pooling.T).pow(1 / power)
        centred = self.centre(pooled).transpose(1, 2)
        return F.normalize(centred, dim=2)

    def _matrices(self, query: Prints, item: Prints) -> tuple[Tensor, Tensor]:
        """Eq. 3 both ways, C_qi and C_iq (N, 55, 55); swapping the arguments swaps them to the bit."""
        there = torch.bmm(query.descriptors, item.descriptors.transpose(1, 2))
        back = torch.bmm(item.descriptors, query.descriptors.transpose(1, 2))
        return (there + back.transpose(1, 2)) * 0.5, (back + there.transpose(1, 2)) * 0.5

    def correlations(self, query: Prints, item: Prints) -> Tensor:
        """MLP(C_qi) + MLP(C_iq), (N,): eq. 4 by itself is the sigmoid of it."""
        there, back = self._matrices(query, item)
        total: Tensor = self.mlp(there.flatten(1)) + self.mlp(back.flatten(1))
        return total.squeeze(1)

    def cues(self, query: Prints, item: Prints, laid: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """What is weighed in either direction, (N, CUES + 4) each: registration, mean and least similarity of equal
        windows and cosine of the fingerprints, as log distances from 1, the MLP of that direction. ``laid``:
        registration both ways."""
        matrices = self._matrices(query, item)
        equal = matrices[0].diagonal(dim1=1, dim2=2)
        cosine = (query.vectors * item.vectors).sum(1)
        alike = torch.stack([equal.mean(1), equal.amin(1), cosine], 1)
        common = ((1 - alike).clamp_min(0) + 1e-3).log()
        there, back = (
            torch.cat([cues, common, self.mlp(matrix.flatten(1))], 1)
            for cues, matrix in zip(laid, matrices, strict=True)
        )
        return there, back

    def weighed(self, there: Tensor, back: Tensor, noise: float = 0.0) -> Tensor:
        """h(q, i) + h(i, q) of both directions' cues, (N,). ``noise`` of that deviation is added in training."""
        weights = []
        for cues in (there, back):
            scaled = self.scale(cues).clamp(-3, 3)
            if noise:
                scaled = scaled + noise * torch.randn_like(scaled)
            weights.append(self.weigh(scaled).squeeze(1))
        total: Tensor = weights[0] + weights[1]
        return total

    def logits(self, query: Prints, item: Prints) -> Tensor:
        """h(q, i) + h(i, q), (N,): eq. 4 before the sigmoid."""
        q, i = (part.thumbs.float() / 255 for part in (query, item))
        return self.weighed(*self.cues(query, item, (registration(q, i), registration(i, q))))

    def forward(self, query: Prints, item: Prints) -> Tensor:
        """Eq. 4: similarity in [0, 1], (N,) float64 so that near-certain scores keep their order."""
        return self.logits(query, item).double().sigmoid()


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


def calibrate(best_scores: Tensor, fpr: float = 0.01, floor: float = LEAST_ODDS, *, most: float = 1.0) -> Calibration:
    """Least threshold in [``floor``, 1] at which a further picture of their kind is confirmed with a probability of at
    most ``fpr``: that of N + 1 pictures it is among those above the k-th highest, k = fpr (N + 1) rounded down
    (conformal prediction; Vovk, Gammerman, Shafer 2005).

    ``best_scores`` (N,): each held-out picture's highest verifier score over its candidates, 0 without any. A rate
    below 1 / (N + 1) is finer than the pictures can show: the threshold then lies above all of them, as far as an
    exponential tail through the highest logits says, but by the tail alone not above ``most``. Errors: DataError for an
    empty set or a rate outside (0, 1).
    """
    if best_scores.ndim != 1 or not len(best_scores) or not bool(torch.isfinite(best_scores).all()):
        raise DataError("best_scores must be finite numbers, one a held-out picture, and at least one")
    if not 0 < fpr < 1:
        raise DataError(f"fpr is {fpr}, limits 0 and 1, both excluded")
    scores = best_scores.double().sort(descending=True).values
    count = len(scores)
    place = int(fpr * (count + 1) + 1e-9)
    above = float(scores[place - 1]) if place else max(float(scores[0]), min(most, _tail(scores, fpr)))
    threshold = min(1.0, max(floor, math.nextafter(above, 2.0)))  # 1 is reserved for identical pictures
    hits = int((scores >= threshold).sum())
    low = float(betaincinv(hits, count - hits + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, count - hits, 0.975)) if hits < count else 1.0
    grid = [0.05 * i for i in range(1, 20)] + [0.975, 0.99, 0.999, 0.9999]
    curve = tuple((round(t, 6), float((scores >= t).double().mean())) for t in grid)
    return Calibration(threshold, fpr, hits / count, low, high, count, curve)


def stricter(least: float, fpr: float, usual: float = 0.01) -> float:
    """The least threshold at a rate ``fpr`` of false alarms: ``least`` down to the ``usual`` one, below it with odds as
    many times as high as the rate is lower. Held-out pictures are clean and few: at one in a thousand they say too
    little of strangers that are damaged as samples of a model are."""
    return least / (least + (1 - least) * min(1.0, fpr / usual))


def _tail(scores: Tensor, fpr: float, share: float = 0.02) -> float:
    """Where an exponential tail, fitted to the excess of the top ``share`` of the logits over the next one, falls to
    ``fpr``; 0 with fewer than ten scores to fit."""
    logits = scores.clamp(1e-12, 1 - 1e-12).logit()
    top = max(10, int(share * len(scores)))
    if len(scores) <= top:
        return 0.0
    start, mean = float(logits[top]), float((logits[:top] - logits[top]).mean())
    return float(torch.tensor(start + mean * math.log(top / (len(scores) * fpr)), dtype=torch.float64).sigmoid())
