"""The last layer of an encoder in closed form: Fisher's linear discriminant between pictures, blind to degradation.

Every picture is a class of its own, its degraded copies are the members. What copies move inside their class is scaled
to one in all directions, and the directions along which pictures differ most beside it are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from pdfed_sdk.errors import MlError
from pdfed_sdk.ml.copies.encoders import DIM, Encoder, normalised, sized

RIDGE = 1e-2
"""Of the mean variance inside a class, added to all directions."""

Views = Iterable[tuple[Tensor, Tensor]]
"""Blocks of pictures (N, C, S, S) in [0, 1] and their degraded copies."""


@torch.no_grad()
def whiten_head(encoder: Encoder, views: Views, *, half: bool = False) -> Encoder:
    """Set the last linear layer of ``encoder`` so that fingerprints tell the pictures of ``views`` apart however they
    are degraded; the encoder itself is returned, in evaluation mode. ``half``: convolutions in bf16. Errors: MlError.
    """
    encoder.eval()
    *front, last = encoder.head if isinstance(encoder.head, nn.Sequential) else [encoder.head]
    if not isinstance(last, nn.Linear):
        raise MlError(f"the head of {encoder.name} ends in {type(last).__name__}, not in a linear layer")
    mean, within, between = _moments(_features(encoder, nn.Sequential(*front), views, half), last.in_features)
    ridge = RIDGE * within.diagonal().mean() + 1e-8
    root = torch.linalg.cholesky(within + ridge * torch.eye(len(within)))
    inner = torch.linalg.solve_triangular(root, between, upper=False)
    inner = torch.linalg.solve_triangular(root, inner.T, upper=False)
    values, vectors = torch.linalg.eigh((inner + inner.T) / 2)
    kept = vectors[:, -DIM:] * (values[-DIM:] > 1e-6 * values[-1])
    weight = torch.linalg.solve_triangular(root.T, kept, upper=True).T
    weight = weight / values[-DIM:].clamp_min(0).sum().sqrt().clamp_min(1e-8)  # fingerprints near length one
    last.weight.copy_(weight)
    last.bias.copy_(-(weight @ mean))
    return encoder


def _features(encoder: Encoder, front: nn.Module, views: Views, half: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """What the last layer reads of pictures and of copies, (N, D) each."""
    device = next(encoder.parameters()).device
    for pictures, copies in views:
        pixels = normalised(sized(torch.cat([pictures, copies]))).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            read = front(encoder.maps(pixels.contiguous(memory_format=torch.channels_last)))
        clean, degraded = read.float().cpu().chunk(2)
        yield clean, degraded


def _moments(features: Iterator[tuple[Tensor, Tensor]], width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (D,) of pictures, second moment (D, D) of what copies differ by, covariance (D, D) of pictures."""
    total, within, between = torch.zeros(width), torch.zeros(width, width), torch.zeros(width, width)
    count = 0
    for clean, degraded in features:
        moved = degraded - clean
        within.addmm_(moved.T, moved)
        between.addmm_(clean.T, clean)
        total += clean.sum(0)
        count += len(clean)
    if not count:
        raise MlError("no pictures to fit the last layer of the encoder to")
    mean = total / count
    return mean, within / count, between / count - mean[:, None] * mean
