"""Lay the query on a training picture where it seems to lie, refine the place, and measure how well they agree.

The place found by `placements` is refined by Gauss-Newton steps on the blurred layer, shift and zoom, each kept whole
or by half if the two agree better after it: what surrounds a pasted picture leads many a step astray. Then the query is
cut out and brought to the training picture's frame, and cues are measured there: correlation of grey and of edges,
whole and in squares, what is left after the best linear map of colours. All of them are free of brightness and
contrast; squares outside the query do not count.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pdfed_sdk.ml.copies.placements import FAINT, Placements, layers
from pdfed_sdk.ml.copies.registration import _centred, _tangents, blurred, coefficients, in_blocks

ROUNDS = (3, 3, 1)
"""Blur of the layer in each step of refinement."""
LAID_CUES, WHOLE_CUES = 20, 6
RIDGE = 1e-2


def refined(
    query: Tensor, item: Tensor, place: Placements, rounds: tuple[int, ...] = ROUNDS
) -> tuple[Placements, Tensor]:
    """Better places of items (n, S, S) in queries (n, S, S), layers of both, by steps of Gauss-Newton, one a blur, and
    how well the two agree there (n,)."""
    tangents = {times: _tangents(blurred(item[:, None], times)) for times in sorted(set(rounds))}
    soft = blurred(item, 1)
    seen = agreement(query, soft, place)
    for times in rounds:
        step = _step(blurred(cut(query[:, None], place)[0], times), tangents[times]) * (2 / query.shape[-1])
        whole = [-place.scale * step[:, 2], -place.scale * step[:, 0], -place.scale * step[:, 1]]
        place, seen = _better(query, soft, place, seen, [[share * part for part in whole] for share in (1.0, 0.5)])
    return place, seen


def searched(
    query: Tensor, item: Tensor, place: Placements, steps: tuple[float, ...] = (0.03, 0.02, 0.01)
) -> Placements:
    """Better places by trying: for each of ``steps`` the best of a little larger, smaller, to either side, up, down."""
    still, soft = torch.zeros_like(place.scale), blurred(item, 1)
    seen = agreement(query, soft, place)
    for size in steps:
        moves = [
            [still + sign * size if i == axis else still for i in range(3)] for axis in range(3) for sign in (1, -1)
        ]
        place, seen = _better(query, soft, place, seen, moves)
    return place


def agreement(query: Tensor, soft: Tensor, place: Placements) -> Tensor:
    """Correlation (n,) of layers (n, S, S) where they overlap, blurred once; that of the item, ``soft``, already is."""
    part, mask = cut(query[:, None], place)
    return correlation(blurred(part.squeeze(1), 1), soft, mask)


def _better(
    query: Tensor, soft: Tensor, place: Placements, seen: Tensor, moves: list[list[Tensor]]
) -> tuple[Placements, Tensor]:
    """The best of ``place``, of agreement ``seen``, and of what each of ``moves`` (scale, right, down) makes of it."""
    best = place
    for scale, right, down in moves:
        moved = Placements(
            (place.scale + scale).clamp(0.5, 1.25),
            (place.right + right).clamp(-0.6, 0.6),
            (place.down + down).clamp(-0.6, 0.6),
            place.mirrored,
        )
        there = agreement(query, soft, moved)
        best, seen = best.where(there <= seen, moved), torch.maximum(seen, there)
    return best, seen


def _step(query: Tensor, tangents: Tensor) -> Tensor:
    """Pixels (n, 3) that items must be moved right, down and outward to explain the queries, from their tangents."""
    share = coefficients(tangents, _centred(query).flatten(1))
    gain = share[:, :1]
    step: Tensor = (share[:, 1:4] / gain.abs().clamp_min(0.1) * gain.sign()).clamp(-2, 2)
    return step


def cut(query: Tensor, place: Placements) -> tuple[Tensor, Tensor]:
    """The queries (n, C, S, S) in the frames of the items (edges repeated), and which pixels (n, S, S) were there."""
    size = query.shape[-1]
    pixels = torch.arange(size, device=query.device)
    line = (2 * pixels + 1) / size - 1
    image = torch.where(place.mirrored[:, None, None, None], query.flip(3), query)

    def along(shift: Tensor) -> tuple[Tensor, Tensor]:
        source = ((place.scale[:, None] * line + shift[:, None] + 1) * size - 1) / 2
        inside = ((source >= -0.5) & (source <= size - 0.5)).to(query.dtype)
        source = source.clamp(0, size - 1)
        return (1 - (source[:, :, None] - pixels).abs()).clamp_min(0), inside

    (right, columns), (down, rows) = along(place.right), along(place.down)
    return down[:, None] @ image @ right[:, None].transpose(2, 3), rows[:, :, None] * columns[:, None, :]


def laid_cues(query: Tensor, item: Tensor, place: Placements, theirs: Tensor) -> Tensor:
    """(n, LAID_CUES) of queries and items (n, C, S, S) in [0, 1]; ``theirs`` (n, 2, S, S) are the items' `layers`."""
    seen, mask = cut(query, place)
    soft, still = blurred(seen, 1), blurred(item, 1)
    ours, cues = layers(seen), []
    for layer, times in ((0, 0), (0, 1), (0, 3), (1, 0), (1, 2)):
        a, b = (blurred(part[:, layer : layer + 1], times).squeeze(1) for part in (ours, theirs))
        cues.append(log_distance(correlation(a, b, mask)))
    a, b = soft.mean(1), still.mean(1)
    cues += in_squares(a, b, mask)
    cues += in_squares(blurred(ours[:, 1:], 1).squeeze(1), blurred(theirs[:, 1:], 1).squeeze(1), mask)
    cues += unexplained(soft, still, mask)[2]
    spreads = [_spread(part, mask) for part in (a, b)]
    cues += [(part + FAINT).log() for part in spreads]
    cues.append(((spreads[0] + FAINT) / (spreads[1] + FAINT)).log().abs())
    cues += [place.scale.log(), torch.maximum(place.right.abs(), place.down.abs())]
    cues += [place.mirrored.to(seen.dtype), mask.mean((1, 2))]
    return torch.stack(cues, 1)


def whole_cues(query: Tensor, item: Tensor, context: Tensor) -> Tensor:
    """(n, WHOLE_CUES) of queries and items (n, C, S, S) as wholes, unmoved: blurred correlation, root mean square
    difference; and of ``context`` (n, 4), likeness in both layers of the item and of the best other one."""
    small = [
        F.interpolate(part.mean(1, keepdim=True), (16, 16), mode="bilinear", antialias=True, align_corners=False)
        for part in (query, item)
    ]
    first, second = (part.squeeze(1) for part in small)
    alike = correlation(first, second, torch.ones_like(first))
    apart = (query - item).square().mean((1, 2, 3)).sqrt()
    return torch.cat([torch.stack([log_distance(alike), (apart + 1e-2).log()], 1), log_distance(context)], 1)


def log_distance(correlation: Tensor) -> Tensor:
    """Log distance of a correlation from 1."""
    return ((1 - correlation).clamp_min(0) + 2e-3).log()


def _spread(values: Tensor, mask: Tensor) -> Tensor:
    """Variance (n,) of (n, S, S) where the mask is 1."""
    weight = mask.flatten(1)[:, None]
    total = weight.sum(2, keepdim=True).clamp_min(1)
    return weighted(values[:, None], weight, total).square().sum((1, 2)) / total[:, 0, 0]


def correlation(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Correlation (n,) of (n, S, S) where the mask is 1."""
    weight = mask.flatten(1)[:, None]
    total = weight.sum(2, keepdim=True).clamp_min(1)
    both = weighted(torch.stack([a, b], 1), weight, total)
    products = both @ both.transpose(1, 2) / total
    norms = products.diagonal(dim1=1, dim2=2) + FAINT / 10
    return products[:, 0, 1] / norms.prod(1).sqrt()


def weighted(values: Tensor, weight: Tensor, total: Tensor) -> Tensor:
    """Pictures (n, C, S, S), flat, less their means where the weight (n, 1, S * S) of sum ``total`` (n, 1, 1) is 1, and
    0 where it is 0."""
    flat = values.flatten(2)
    return (flat - flat @ weight.transpose(1, 2) / total).mul_(weight)


def in_squares(a: Tensor, b: Tensor, mask: Tensor) -> list[Tensor]:
    """Correlations in squares, weighed by how lively the item is there: mean, share above 0.7, and the lower tenth."""
    seen, known = a * mask, b * mask
    stack = torch.stack([mask, seen, known, seen * a, known * b, seen * b], 1)
    weight, x, y, xx, yy, xy = in_blocks(stack).flatten(2).unbind(1)
    safe = weight.clamp_min(1e-3)
    x, y, xx, yy, xy = (part / safe for part in (x, y, xx, yy, xy))
    varied = [(xx - x * x).clamp_min(0), (yy - y * y).clamp_min(0)]
    local = (xy - x * y) / ((varied[0] + FAINT / 4) * (varied[1] + FAINT / 4)).sqrt()
    lively = torch.maximum(*varied).sqrt() * (weight > 0.5)
    total = lively.sum(1).clamp_min(1e-6)
    mean, share = (local * lively).sum(1) / total, ((local > 0.7) * lively).sum(1) / total
    order = local.argsort(dim=1)
    reached = lively.gather(1, order).cumsum(1) >= 0.1 * total[:, None]
    low = local.gather(1, order).gather(1, reached.to(torch.uint8).argmax(1, keepdim=True)).squeeze(1)
    return [log_distance(mean), share, low]


def unexplained(seen: Tensor, terms: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """What is left of queries (n, C, S, S) after the best linear map of ``terms`` (n, T, S, S): its squares
    (n, 1, S, S), the queries' variance (n,), and as log shares of that the whole and the worst square."""
    weight = mask.flatten(1)[:, None]
    total = weight.sum(2, keepdim=True).clamp_min(1)
    target, source = weighted(seen, weight, total), weighted(terms, weight, total)
    products = source @ source.transpose(1, 2)
    ridge = torch.eye(products.shape[1], device=seen.device) * RIDGE
    mixed, _ = torch.linalg.solve_ex(products + ridge, source @ target.transpose(1, 2))
    rest = torch.baddbmm(target, mixed.transpose(1, 2), source, alpha=-1)
    left = rest.square_().mean(1).view(len(seen), 1, *seen.shape[2:])
    varied = target.square_().sum((1, 2)) / target.shape[1] / total[:, 0, 0] + FAINT
    whole = left.sum((1, 2, 3)) / total[:, 0, 0] / varied
    worst = in_blocks(left).flatten(1).amax(1) / varied
    return left, varied, [(share + 1e-4).log() for share in (whole, worst)]
