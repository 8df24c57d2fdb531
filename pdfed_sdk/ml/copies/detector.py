"""The copy detector a node scores with: fingerprinter and verifier under one weights hash, loaded from safetensors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save_file
from torch import Tensor

from pdfed_sdk.errors import ExtractorMismatch, MlError
from pdfed_sdk.ml.copies.encoders import Encoder, detailed, encoder_input, new_encoder, normalised, stored
from pdfed_sdk.ml.copies.judge import Judge
from pdfed_sdk.ml.copies.verifier import Prints, Verifier
from pdfed_sdk.ml.device import at_a_time

__all__ = ["DEFAULT_WEIGHTS", "Detector", "Prints", "save_detector"]

DEFAULT_WEIGHTS = Path(__file__).parents[1] / "weights" / "fingerprint-small.safetensors"
PICTURE = 1 << 20
"""Bytes that the encoder needs for a picture."""


@dataclass(frozen=True, eq=False)
class Detector:
    """Frozen encoder, verifier and judge; ``sha256`` is the hash of the weights file they came from."""

    encoder: Encoder
    verifier: Verifier
    judge: Judge
    sha256: str

    @staticmethod
    def load(path: Path = DEFAULT_WEIGHTS, *, sha256: str | None = None, judge: Judge | None = None) -> Detector:
        """Read weights, but those of the judge if one is given; ExtractorMismatch if the file does not have the wanted
        hash."""
        try:
            content = path.read_bytes()
            tensors = load(content)
            with safe_open(str(path), framework="pt") as file:
                architecture = (file.metadata() or {}).get("architecture", "small")
        except (OSError, SafetensorError) as error:
            raise MlError(f"{path} cannot be read: {error}", hint="run make fingerprint") from error
        found = hashlib.sha256(content).hexdigest()
        if sha256 and found != sha256:
            raise ExtractorMismatch(f"{path.name} has sha-256 {found}, expected {sha256}")
        encoder = new_encoder(architecture).eval()
        verifier, judging = Verifier(encoder.map_channels).eval(), (judge or Judge()).eval()
        for prefix, module in (("encoder.", encoder), ("verifier.", verifier), ("judge.", judging)):
            if module is judge:
                continue
            part = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
            try:
                module.load_state_dict({n: t.float() if t.is_floating_point() else t for n, t in part.items()})
            except RuntimeError as error:
                raise MlError(f"{path.name} does not hold a fingerprinter of this version: {error}") from error
        return Detector(
            encoder.requires_grad_(False), verifier.requires_grad_(False), judging.requires_grad_(False), found
        )

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.encoder.parameters()).device

    def to(self, device: torch.device) -> Detector:
        """Compute there from now on; itself. Prints and scores lie there too."""
        self.encoder.to(device)
        self.verifier.to(device)
        self.judge.to(device)
        return self

    @torch.no_grad()
    def prints(self, images: Tensor) -> Prints:
        """Fingerprint pictures (N, C, S, S) uint8, in blocks of at most 64 pictures or 32 million values on a CPU."""
        parts = []
        most = at_a_time(self.device, 64, PICTURE), at_a_time(self.device, 1 << 25, 8) // max(1, images[:1].numel())
        for some in torch.split(images, max(1, min(most))):
            here = some.to(self.device)
            seen = encoder_input(here)
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                vectors, maps = self.encoder(normalised(seen))
            thumbs = stored(seen[:, : images.shape[1]])
            parts.append(Prints(vectors, self.verifier.descriptors(maps), thumbs, detailed(here)))
        return Prints.joined(parts)

    @torch.no_grad()
    def score(self, query: Prints, item: Prints, block: int = 512) -> Tensor:
        """Similarity of eq. 4 (N,) float64 in [0, 1] of N pairs."""
        return self.logits(query, item, block).double().sigmoid()

    @torch.no_grad()
    def logits(self, query: Prints, item: Prints, block: int = 512) -> Tensor:
        """Eq. 4 before its sigmoid (N,)."""
        count, there = len(query.vectors), self.device
        parts = [
            self.verifier.logits(query.part(start, block).to(there), item.part(start, block).to(there))
            for start in range(0, count, block)
        ]
        return torch.cat(parts) if parts else torch.empty(0, device=there)

    @torch.no_grad()
    def judged(self, cues: Tensor) -> Tensor:
        """Probability (N,) float64 that pairs are copies, from their cues (N, CUES)."""
        probability: Tensor = self.judge(cues).double().sigmoid()
        return probability


def save_detector(encoder: Encoder, verifier: Verifier, judge: Judge, path: Path) -> None:
    """Write all three in half precision as one safetensors file."""
    tensors = {}
    for prefix, module in (("encoder.", encoder), ("verifier.", verifier), ("judge.", judge)):
        for name, tensor in module.state_dict().items():
            tensors[prefix + name] = (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    save_file(tensors, fresh, {"architecture": encoder.name})
    fresh.replace(path)
