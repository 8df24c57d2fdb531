"""Train the verifier (eq. 4): binary cross-entropy on degraded copies and on the hardest wrong originals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from pdfed_sdk.ml.copies.augment import degrade, jpeg_roundtrip
from pdfed_sdk.ml.copies.encoders import Encoder, encoder_input, normalised
from pdfed_sdk.ml.copies.registration import registration
from pdfed_sdk.ml.copies.verifier import Prints, Verifier
from pdfed_sdk.ml.neighbours import nearest

HARD = 10
"""Wrong originals are drawn from so many nearest ones."""
TWIN = 1e-3
"""Fingerprints nearer than this are of the same picture."""
BATCH = 384
SIZES = (16, 28, 32)
"""Sides of pictures at which copies are made."""
NOISE = 0.1
"""Deviation of the noise on the cues in training, in deviations of the cues: they must not be read too finely."""
RIGHT = 0.01
"""What a right pair counts against a wrong one in the last step. In a node's search copies are rare: 0.8 must be out of
reach of almost all strangers, not just of most."""


@dataclass(frozen=True)
class _Pairs:
    """Queries (fingerprints, maps) and pairs of them: query and item index, registration both ways, label."""

    vectors: Tensor
    maps: Tensor
    query: Tensor
    item: Tensor
    there: Tensor
    back: Tensor
    label: Tensor


def train_verifier(
    pixels: Tensor,
    encoder: Encoder,
    *,
    queries: Tensor | None = None,
    rounds: int = 4,
    epochs: int = 6,
    steps: int = 3000,
    seed: int = 0,
    on_step: Callable[[int, float], None] | None = None,
) -> Verifier:
    """Learn which of two pictures near to each other are copies, from pictures (N, 3, 32, 32) in [0, 1].

    ``queries`` (M,) are the indices of the pictures that are copied (default: all; best those the encoder has not been
    trained on). Every round copies them anew and pairs each copy with its original and two of the nearest others;
    pictures as they are with the two nearest to them are further wrong pairs. One half of the queries trains the MLP of
    eq. 4 (``epochs``), the other half, new to it, the net that weighs it beside registration (``steps``). The encoder
    is frozen. Seeded.
    """
    random = Generator().manual_seed(seed)
    vectors, maps = encode(encoder, pixels)
    chosen = torch.arange(len(pixels)) if queries is None else queries
    halves = []
    for half in (chosen[::2], chosen[1::2]):
        parts = [_copied(pixels, encoder, vectors, half, random) for _ in range(rounds)]
        halves.append([*parts, _strangers(pixels, vectors, maps, half)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Verifier(maps.shape[1])
        _train_correlations(net, halves[0], vectors, maps, epochs, random, on_step)
        _train_weighing(net.eval(), halves[1], vectors, maps, steps, random, on_step)
    return net


def _train_correlations(
    net: Verifier,
    parts: list[_Pairs],
    vectors: Tensor,
    maps: Tensor,
    epochs: int,
    random: Generator,
    on_step: Callable[[int, float], None] | None,
) -> None:
    """Eqs. 2-4 alone: 1x1 convolution, GeM power and MLP."""
    weights = [*net.reduce.parameters(), net.power, *net.mlp.parameters()]
    batches = epochs * sum(-(-len(part.label) // BATCH) for part in parts)
    descend = _descent(weights, batches, lr=2e-3, decay=0.05, right=2.0)  # two wrong pairs or more come with each
    net.train()
    for step, (part, rows) in enumerate(_batches(parts, epochs, random), start=1):
        logits = net.correlations(*_sides(net, part, rows, vectors, maps))
        loss = descend(logits, part.label[rows])
        if on_step is not None:
            on_step(step, loss)


def _train_weighing(
    net: Verifier,
    parts: list[_Pairs],
    vectors: Tensor,
    maps: Tensor,
    steps: int,
    random: Generator,
    on_step: Callable[[int, float], None] | None,
) -> None:
    """The small net over the cues, everything else frozen."""
    with torch.no_grad():
        both = [
            net.cues(*_sides(net, part, rows, vectors, maps), (part.there[rows], part.back[rows]))
            for part in parts
            for rows in torch.split(torch.arange(len(part.label)), BATCH)
        ]
    there, back = torch.cat([a for a, _ in both]), torch.cat([b for _, b in both])
    labels, every = torch.cat([part.label for part in parts]), torch.cat([there, back])
    net.scale.running_mean, net.scale.running_var = every.mean(0), every.var(0)
    descend = _descent(list(net.weigh.parameters()), steps, lr=1e-2, decay=0.01, right=RIGHT)
    for step in range(1, steps + 1):
        rows = torch.randint(0, len(labels), (min(4_096, len(labels)),), generator=random)
        loss = descend(net.weighed(there[rows], back[rows], NOISE), labels[rows])
        if on_step is not None:
            on_step(step, loss)


def _descent(
    weights: Sequence[Tensor], steps: int, lr: float, decay: float, right: float
) -> Callable[[Tensor, Tensor], float]:
    """AdamW under a one-cycle rate as a function: one step on binary cross-entropy of (logits, labels), its value.
    ``right``: what a right pair counts, a wrong one counts 1."""
    optimiser = torch.optim.AdamW(weights, lr=lr, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps + 1)
    factor = torch.tensor(right)

    def descend(logits: Tensor, labels: Tensor) -> float:
        loss = F.binary_cross_entropy_with_logits(logits, labels, pos_weight=factor)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        return float(loss.detach())

    return descend


def _sides(net: Verifier, part: _Pairs, rows: Tensor, vectors: Tensor, maps: Tensor) -> tuple[Prints, Prints]:
    """Both pictures of each pair as prints."""
    asked, place = torch.unique(part.query[rows], return_inverse=True)
    query = _prints(net, part.vectors[asked], part.maps[asked]).take(place)
    return query, _prints(net, vectors[part.item[rows]], maps[part.item[rows]])


def _batches(parts: list[_Pairs], epochs: int, random: Generator) -> Iterator[tuple[_Pairs, Tensor]]:
    """(part, rows) in random order, every pair once an epoch."""
    for _ in range(epochs):
        every = [
            (p, rows) for p in parts for rows in torch.split(torch.randperm(len(p.label), generator=random), BATCH)
        ]
        for index in torch.randperm(len(every), generator=random).tolist():
            yield every[index]


def copies(pixels: Tensor, random: Generator) -> Tensor:
    """What a memorising model might make of pictures (N, C, 32, 32) in [0, 1], each at one of SIZES and brought back
    to 32: noise that was enlarged, or repeated in the padding, is not the noise of 32 pixels."""
    result, which = torch.empty_like(pixels), torch.randint(0, len(SIZES), (len(pixels),), generator=random)
    for index, size in enumerate(SIZES):
        rows = (which == index).nonzero().squeeze(1)
        if len(rows):
            made = damaged(_emitted(pixels[rows], size), random).mul(255).round().to(torch.uint8)
            result[rows] = encoder_input(made)[:, : pixels.shape[1]]
    return result


def _emitted(pixels: Tensor, size: int) -> Tensor:
    """Pictures of 32 pixels before `encoder_input` padded them from 28 or enlarged them from 16."""
    if size == 28:
        return pixels[:, :, 2:-2, 2:-2]
    return F.interpolate(pixels, (size, size), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


def damaged(pixels: Tensor, random: Generator) -> Tensor:
    """Pictures (N, C, S, S) in [0, 1]: a tenth as they are, a quarter through JPEG and noise, the others degraded by up
    to two thirds of the range."""
    kind = torch.rand(len(pixels), generator=random)
    result = pixels.clone()
    warped, lossy = (kind >= 0.35).nonzero().squeeze(1), ((kind >= 0.1) & (kind < 0.35)).nonzero().squeeze(1)
    if len(warped):
        result[warped] = degrade(pixels[warped], random, strength=0.65 * torch.rand(len(warped), generator=random))
    if len(lossy):
        quality = torch.randint(50, 95, (len(lossy),), generator=random)
        values = jpeg_roundtrip(pixels[lossy], quality.tolist())
        sigma = 0.06 * torch.rand(len(lossy), 1, 1, 1, generator=random)
        result[lossy] = (values + sigma * torch.randn(values.shape, generator=random)).clamp(0, 1)
    return result


@torch.no_grad()
def encode(encoder: Encoder, pixels: Tensor, block: int = 128) -> tuple[Tensor, Tensor]:
    """Fingerprints (N, 256) and maps (N, D, 8, 8, half precision) of grey or colour pixels in [0, 1], on the CPU."""
    device = next(encoder.parameters()).device
    pixels = pixels.expand(-1, 3, -1, -1)
    parts = [encoder(normalised(pixels[i : i + block].to(device))) for i in range(0, len(pixels), block)]
    return torch.cat([part[0].cpu() for part in parts]), torch.cat([part[1].half().cpu() for part in parts])


@torch.no_grad()
def _copied(pixels: Tensor, encoder: Encoder, vectors: Tensor, chosen: Tensor, random: Generator) -> _Pairs:
    """A copy of each chosen picture with its original, the nearest other picture and one of the ten nearest."""
    copied = copies(pixels[chosen], random)
    found, maps = encode(encoder, copied)
    wrong = rivals(found, vectors, chosen)
    count = len(chosen)
    one_of = wrong[torch.arange(count), torch.randint(1, wrong.shape[1], (count,), generator=random)]
    item, query = torch.cat([chosen, wrong[:, 0], one_of]), torch.arange(count).repeat(3)
    laid = _laid(copied, query, pixels, item)
    return _Pairs(found, maps, query, item, *laid, (query == torch.arange(3 * count)).float())


@torch.no_grad()
def _strangers(pixels: Tensor, vectors: Tensor, maps: Tensor, chosen: Tensor) -> _Pairs:
    """Each chosen picture as it is with the two nearest others: what held-out real pictures look like."""
    item = rivals(vectors[chosen], vectors, chosen)[:, :2].flatten()
    query = torch.arange(len(chosen)).repeat_interleave(2)
    laid = _laid(pixels[chosen], query, pixels, item)
    return _Pairs(vectors[chosen], maps[chosen], query, item, *laid, torch.zeros(len(item)))


def _laid(queries: Tensor, query: Tensor, items: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
    """Registration of pairs, both ways."""
    both = [
        (registration(queries[q], items[i]), registration(items[i], queries[q]))
        for q, i in zip(torch.split(query, 256), torch.split(item, 256), strict=True)
    ]
    return torch.cat([there for there, _ in both]), torch.cat([back for _, back in both])


def rivals(queries: Tensor, vectors: Tensor, own: Tensor) -> Tensor:
    """For each query (M, D) the HARD nearest rows of ``vectors`` other than its ``own`` (M,) and exact twins of it."""
    kept = min(HARD + 4, len(vectors))
    index = nearest(queries, vectors, kept)[1]
    same = (index == own[:, None]) | ((vectors[index] - vectors[own][:, None]).norm(dim=2) < TWIN)
    rank = torch.where(same, kept, torch.arange(kept))
    return index.gather(1, rank.argsort(dim=1, stable=True)[:, : min(HARD, kept - 1)])


def _prints(net: Verifier, vectors: Tensor, maps: Tensor) -> Prints:
    return Prints(vectors, net.descriptors(maps), torch.empty(len(vectors), 0), torch.empty(len(vectors), 0))
