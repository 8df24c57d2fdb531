"""The copy detector a node scores with: fingerprinter and verifier under one weights hash, loaded from safetensors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from pdfed_sdk.errors import ExtractorMismatch, MlError
from pdfed_sdk.ml.fingerprint import SmallEncoder, encoder_input
from pdfed_sdk.ml.verifier import Maps, Prints, Verifier, encode

__all__ = ["DEFAULT_WEIGHTS", "Detector", "Prints", "save_detector"]

DEFAULT_WEIGHTS = Path(__file__).parent / "weights" / "fingerprint-small.safetensors"


@dataclass(frozen=True, eq=False)
class Detector:
    """Frozen encoder and verifier; ``sha256`` is the hash of the weights file they came from."""

    encoder: SmallEncoder
    verifier: Verifier
    sha256: str

    @staticmethod
    def load(path: Path = DEFAULT_WEIGHTS, *, sha256: str | None = None) -> Detector:
        """Read weights; ExtractorMismatch if the file does not have the wanted hash."""
        try:
            content = path.read_bytes()
            tensors = load(content)
        except (OSError, SafetensorError) as error:
            raise MlError(f"{path} cannot be read: {error}", hint="run make fingerprint") from error
        found = hashlib.sha256(content).hexdigest()
        if sha256 and found != sha256:
            raise ExtractorMismatch(f"{path.name} has sha-256 {found}, expected {sha256}")
        encoder, verifier = SmallEncoder().eval(), Verifier().eval()
        for prefix, module in (("encoder.", encoder), ("verifier.", verifier)):
            part = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
            try:
                module.load_state_dict({n: t.float() if t.is_floating_point() else t for n, t in part.items()})
            except RuntimeError as error:
                raise MlError(f"{path.name} does not hold a fingerprinter of this version: {error}") from error
        encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Detector(encoder.requires_grad_(False), verifier.requires_grad_(False), found)

    @torch.no_grad()
    def prints(self, images: Tensor, block: int = 512) -> Prints:
        """Fingerprint pictures (N, C, S, S) uint8."""
        parts = [
            self.verifier.prints(Maps(*encode(self.encoder, encoder_input(images[i : i + block]))))
            for i in range(0, len(images), block)
        ]
        return Prints(torch.cat([p.vectors for p in parts]), torch.cat([p.descriptors for p in parts]))

    @torch.no_grad()
    def score(self, query: Prints, item: Prints, block: int = 1024) -> Tensor:
        """Similarity (N,) float64 in [0, 1] of N pairs."""
        rows = torch.split(torch.arange(len(query.vectors)), block)
        parts = [self.verifier(query.take(part), item.take(part)) for part in rows if len(part)]
        return torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64)


def save_detector(encoder: SmallEncoder, verifier: Verifier, path: Path) -> None:
    """Write both in half precision as one safetensors file."""
    tensors = {}
    for prefix, module in (("encoder.", encoder), ("verifier.", verifier)):
        for name, tensor in module.state_dict().items():
            tensors[prefix + name] = tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
