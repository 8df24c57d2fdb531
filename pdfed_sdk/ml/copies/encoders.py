"""Networks behind the fingerprint (3.1.1): a small residual net for CPUs and small pictures, ResNet-50 for GPUs.

Both take pixels (N, 3, 32, 32) (ResNet-50 64x64 too) and give fingerprints (N, 256) of unit length and a feature map
(N, D, 8, 8) for the verifier.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pdfed_sdk.errors import MlError
from pdfed_sdk.ml.data import check_images

INPUT = 32
DIM = 256


class Encoder(nn.Module):
    """``stem`` and ``body`` give the map, ``tail`` and ``head`` the fingerprint."""

    name: str
    map_channels: int
    stem: nn.Module
    body: nn.Module
    head: nn.Module

    def maps(self, pixels: Tensor) -> Tensor:
        """Feature map F (N, D, 8, 8), non-negative."""
        features: Tensor = self.body(self.stem(pixels))
        return features

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(fingerprints (N, 256) of unit length, maps)."""
        maps = self.maps(pixels)
        return F.normalize(self.head(maps).float(), dim=1), maps


def _conv(before: int, after: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(after)]


class Residual(nn.Module):
    """``body`` beside a short cut, which is a 1x1 convolution where shapes change."""

    def __init__(self, body: list[nn.Module], before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.skip: nn.Module = nn.Identity()
        if before != after or stride != 1:
            self.skip = nn.Sequential(*_conv(before, after, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, S, S) -> (N, after, S / stride, S / stride)."""
        return F.relu(self.skip(x) + self.body(x))


def _basic(before: int, after: int, stride: int) -> Residual:
    """Two 3x3 convolutions."""
    body = [*_conv(before, after, 3, stride), nn.ReLU(inplace=True), *_conv(after, after, 3)]
    return Residual(body, before, after, stride)


def _bottleneck(before: int, width: int, stride: int) -> Residual:
    """1x1, 3x3 and 1x1 to four times the width."""
    relu = nn.ReLU(inplace=True)
    body = [*_conv(before, width, 1), relu, *_conv(width, width, 3, stride), relu, *_conv(width, 4 * width, 1)]
    return Residual(body, before, 4 * width, stride)


class SmallEncoder(Encoder):
    """Residual net of 1.1 M weights with a 3x3 stem of stride 1; the fingerprint reads the map on a 4x4 grid."""

    name, map_channels = "small", 128

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv(3, 32, 3), nn.ReLU(inplace=True))
        self.body = nn.Sequential(_basic(32, 64, 2), _basic(64, 128, 2), _basic(128, 128, 1))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128 * 16, DIM))


class ResNet50Encoder(Encoder):
    """ResNet-50 (bottlenecks 3-4-6-3, 24 M weights) with a 3x3 stem for small pictures, stride 1 at 32 px and 2 at
    64 px. The map is that of the third stage; the fourth gives the fingerprint."""

    name, map_channels = "resnet50", 1024

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv(3, 64, 3), nn.ReLU(inplace=True))
        self.body = nn.Sequential(_stage(64, 64, 3, 1), _stage(256, 128, 4, 2), _stage(512, 256, 6, 2))
        last = _stage(1024, 512, 3, 2)
        self.head = nn.Sequential(last, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, DIM))

    def maps(self, pixels: Tensor) -> Tensor:
        """Feature map F (N, 1024, 8, 8)."""
        features = self.stem(pixels)
        if features.shape[-1] == 2 * INPUT:
            features = F.max_pool2d(features, 3, 2, 1)
        result: Tensor = self.body(features)
        return result


def _stage(before: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        _bottleneck(before, width, stride), *(_bottleneck(4 * width, width, 1) for _ in range(blocks - 1))
    )


ARCHITECTURES: dict[str, type[Encoder]] = {kind.name: kind for kind in (SmallEncoder, ResNet50Encoder)}


def architecture(name: str, device: str | torch.device = "cpu") -> type[Encoder]:
    """The network of that name; "auto" is ResNet-50 on a GPU and the small net on a CPU. Errors: MlError."""
    if name == "auto":
        name = "small" if torch.device(device).type == "cpu" else "resnet50"
    if name not in ARCHITECTURES:
        raise MlError(f"architecture {name!r} is unknown", hint=f"one of auto, {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def new_encoder(name: str, device: str | torch.device = "cpu") -> Encoder:
    """An untrained encoder, see `architecture`. Errors: MlError."""
    encoder = architecture(name, device)()
    encoder.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return encoder


def encoder_input(images: Tensor) -> Tensor:
    """uint8 pictures (N, C, S, S) -> float (N, 3, 32, 32) in [0, 1], see `sized`."""
    check_images(images, "images")
    return sized(images.float() / 255)


def sized(values: Tensor) -> Tensor:
    """Float pictures (N, C, S, S) as the encoder takes them, (N, 3, 32, 32): 28 px are padded, other sizes resized."""
    if values.shape[-1] == 28:
        values = F.pad(values, (2, 2, 2, 2), mode="replicate")
    if values.shape[-1] != INPUT:
        values = F.interpolate(values, (INPUT, INPUT), mode="bilinear", antialias=True, align_corners=False)
    return values.expand(-1, 3, -1, -1)


def thumbnails(images: Tensor) -> Tensor:
    """What the encoder sees of pictures (N, C, S, S) uint8, as uint8 (N, C, 32, 32)."""
    return stored(encoder_input(images)[:, : images.shape[1]])


def detailed(images: Tensor) -> Tensor:
    """Pictures (N, C, S, S) uint8 at their size, as uint8 (N, C, 32, 32) up to 32 px and (N, C, 64, 64) above."""
    if images.shape[-1] <= INPUT:
        return thumbnails(images)
    values = images.float() / 255
    if images.shape[-1] != 2 * INPUT:
        size = (2 * INPUT, 2 * INPUT)
        values = F.interpolate(values, size, mode="bilinear", antialias=True, align_corners=False)
    return stored(values)


def stored(pixels: Tensor) -> Tensor:
    """Pixels in [0, 1] as uint8."""
    return pixels.mul(255).round().to(torch.uint8)


def normalised(pixels: Tensor) -> Tensor:
    """Pixels in [0, 1] centred for the encoder."""
    return (pixels - 0.5) / 0.5
