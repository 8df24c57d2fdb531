"""Is this a copy? Small nets over what was measured of a pair, one for each look at it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pdfed_sdk.ml.copies.candidates import FOUND_CUES
from pdfed_sdk.ml.copies.fine import FINE_CUES
from pdfed_sdk.ml.copies.laid import LAID_CUES, WHOLE_CUES

LAID = LAID_CUES + WHOLE_CUES + 1
CUES = (FOUND_CUES, LAID, LAID + 1 + FINE_CUES)
"""What the looks see: what the searches say of a pair; the pair laid on each other, as wholes, and what the fingerprint
says; all that, what the verifier says, and the pair laid on each other at the pictures' own size."""
MEMBERS = 3
"""Nets of a look, whose logits are averaged."""
WIDTH = 64
LIMIT = 4.0
"""Deviations beyond which a cue counts no more."""


class Look(nn.Module):
    """Cues (..., C) -> logits (...)."""

    centre: Tensor
    spread: Tensor

    def __init__(self, cues: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(cues))
        self.register_buffer("spread", torch.ones(cues))
        self.nets = nn.ModuleList(
            nn.Sequential(
                nn.Linear(cues, WIDTH),
                nn.ReLU(inplace=True),
                nn.Linear(WIDTH, WIDTH),
                nn.ReLU(inplace=True),
                nn.Linear(WIDTH, 1),
            )
            for _ in range(MEMBERS)
        )

    def members(self, cues: Tensor, noise: float = 0.0) -> Tensor:
        """Logits (MEMBERS, ...) of each net; ``noise`` of that many deviations is added in training."""
        scaled = ((cues - self.centre) / self.spread).clamp(-LIMIT, LIMIT)
        inputs = (scaled + noise * torch.randn_like(scaled) if noise else scaled for _ in self.nets)
        return torch.stack([net(seen).squeeze(-1) for net, seen in zip(self.nets, inputs, strict=True)])

    def forward(self, cues: Tensor) -> Tensor:
        """Their mean."""
        return self.members(cues).mean(0)


class Judge(nn.Module):
    """A look for each width of `CUES`."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (Look(cues) for cues in CUES)

    def forward(self, cues: Tensor) -> Tensor:
        """Cues (..., C), C of `CUES` -> logits (...)."""
        look = (self.first, self.second, self.third)[CUES.index(cues.shape[-1])]
        logits: Tensor = look(cues)
        return logits
