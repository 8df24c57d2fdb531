"""How well a query agrees with a training picture at the size of the pictures, where one was laid on the other.

What `laid` measures at 32 pixels a side is measured again at up to 64, and beside it what is left after the best linear
and the best bent map of colours, square by square, and after the best gain and offset of each channel over the values
that are not at an end of the range: a brightened picture loses the rest. Smaller pictures are measured at 32 pixels, as
the encoder sees them. Last, the two are compared as they are, unmoved and not blurred: where only light or colours were
changed, nothing at all is left then, which even a variant of the same motif does not reach.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pdfed_sdk.ml.copies.laid import RIDGE, correlation, cut, in_squares, log_distance, unexplained
from pdfed_sdk.ml.copies.placements import FAINT, Placements, layers
from pdfed_sdk.ml.copies.registration import blurred, in_blocks

FINE_CUES = 34
ROUNDS = (3, 2)
"""Blur of the layer in each step that refines the place at this size."""
ENDS = (0.02, 0.98)
"""Values beyond these count as lost at an end of the range."""


def fine_cues(query: Tensor, item: Tensor, place: Placements) -> Tensor:
    """(n, FINE_CUES) of queries and items (n, C, S, S) in [0, 1]."""
    seen, mask = cut(query, place)
    soft, still = blurred(seen, 1), blurred(item, 1)
    ours, theirs = layers(seen), layers(item)
    cues = []
    for layer, times in ((0, 0), (0, 1), (0, 3), (1, 0), (1, 2)):
        a, b = (blurred(part[:, layer : layer + 1], times).squeeze(1) for part in (ours, theirs))
        cues.append(log_distance(correlation(a, b, mask)))
    cues += in_squares(soft.mean(1), still.mean(1), mask)
    cues += in_squares(blurred(ours[:, 1:], 1).squeeze(1), blurred(theirs[:, 1:], 1).squeeze(1), mask)
    for terms in (still, _bent(still)):
        cues += _unexplained(soft, terms, still, mask)
    cues += _lit(soft, still, mask)
    return torch.stack(cues + _unmoved(torch.where(place.mirrored[:, None, None, None], query.flip(3), query), item), 1)


def _unmoved(query: Tensor, item: Tensor) -> list[Tensor]:
    """Light and colours of the two as they are: what the best gain and offset leave, what the best bent map of colours
    leaves, and how far the brightest channels are apart, which a turn of hue in HSV does not move."""
    every = torch.ones_like(query[:, 0])
    tops = [part.amax(1) for part in (query, item)]
    apart = (tops[0] - tops[1]).square().mean((1, 2)) / (tops[0].var((1, 2)) + FAINT / 10)
    return [*_lit(query, item, every), *unexplained(query, _bent(item), every)[2], (apart + 1e-4).log()]


def _bent(images: Tensor) -> Tensor:
    """Channels, their products and how far they are apart, (n, C (C + 1), S, S): what gamma, hue and saturation make of
    colours is nearly a linear map of these."""
    centred, count = images - 0.5, images.shape[1]
    products = [centred[:, i : i + 1] * centred[:, j : j + 1] for i in range(count) for j in range(i, count)]
    gaps = [(images[:, i : i + 1] - images[:, j : j + 1]).abs() for i in range(count) for j in range(i)]
    return torch.cat([centred, *products, *gaps], 1)


def _unexplained(seen: Tensor, terms: Tensor, item: Tensor, mask: Tensor) -> list[Tensor]:
    """The log shares of `unexplained`, and in squares weighed by how lively the item is there their mean and upper
    tenth."""
    left, varied, shares = unexplained(seen, terms, mask)
    squares = in_blocks(left).flatten(1)
    return shares + _by_liveliness(squares / varied[:, None], item, mask)


def _by_liveliness(squares: Tensor, item: Tensor, mask: Tensor) -> list[Tensor]:
    """Mean and upper tenth of what is left in squares (n, K), each counting as the item varies in it."""
    stack = torch.stack([mask, item.mean(1) * mask, item.square().mean(1) * mask], 1)
    weight, mean, square = in_blocks(stack).flatten(2).unbind(1)
    safe = weight.clamp_min(1e-3)
    lively = (square / safe - (mean / safe).square()).clamp_min(0).sqrt() * (weight > 0.5)
    total = lively.sum(1).clamp_min(1e-6)
    logs = (squares / safe + 1e-4).log()
    order = logs.argsort(dim=1, descending=True)
    reached = lively.gather(1, order).cumsum(1) >= 0.1 * total[:, None]
    first = reached.to(torch.uint8).argmax(1, keepdim=True)
    return [(logs * lively).sum(1) / total, logs.gather(1, order).gather(1, first).squeeze(1)]


def _lit(seen: Tensor, item: Tensor, mask: Tensor) -> list[Tensor]:
    """After the best gain and offset of each channel over the values that are not at an end: what is left of these, and
    of all once the fit was cut off too, whole and in the worst square, as log shares; how many there are; the gain."""
    kept = ((seen > ENDS[0]) & (seen < ENDS[1])).float() * mask[:, None]
    weight, a, b = (part.flatten(2) for part in (kept, seen, item))
    count = weight.sum(2, keepdim=True).clamp_min(1)
    means = [(part * weight).sum(2, keepdim=True) / count for part in (a, b)]
    target, source = (a - means[0]) * weight, (b - means[1]) * weight
    gain = (target * source).sum(2, keepdim=True) / (source.square().sum(2, keepdim=True) + RIDGE)
    left, entries = (target - gain * source).square(), weight.sum((1, 2)).clamp_min(1)
    varied = target.square().sum((1, 2)) / entries + FAINT / 10
    fit = (gain * (b - means[1]) + means[0]).view_as(seen).clamp(0, 1)
    apart = ((seen - fit).square() * mask[:, None]).mean(1, keepdim=True)
    spread = (a - a.mean(2, keepdim=True)).square().mean((1, 2)) + FAINT / 10
    near = left.mean(1).view(len(seen), 1, *seen.shape[2:])
    shares = [left.sum((1, 2)) / entries / varied, in_blocks(near).flatten(1).amax(1) / varied]
    shares += [apart.mean((1, 2, 3)) / spread, in_blocks(apart).flatten(1).amax(1) / spread]
    gains = gain.abs().clamp(0.05, 20).log().squeeze(2).mean(1)
    return [(share + 1e-4).log() for share in shares] + [weight.mean((1, 2)), gains]
