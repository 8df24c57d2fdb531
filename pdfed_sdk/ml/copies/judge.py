"""Is this a copy? A small net over everything that was measured of a pair."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pdfed_sdk.ml.copies.fine import FINE_CUES
from pdfed_sdk.ml.copies.laid import LAID_CUES, WHOLE_CUES

CUES = LAID_CUES + WHOLE_CUES + 2 + FINE_CUES
"""Laid on each other, as wholes, what fingerprint and verifier say, and laid on each other at the pictures' size."""
WIDTH = 64
LIMIT = 4.0
"""Deviations beyond which a cue counts no more."""


class Judge(nn.Module):
    """Cues (n, CUES) -> logits (n,)."""

    centre: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(CUES))
        self.register_buffer("spread", torch.ones(CUES))
        self.net = nn.Sequential(
            nn.Linear(CUES, WIDTH),
            nn.ReLU(inplace=True),
            nn.Linear(WIDTH, WIDTH),
            nn.ReLU(inplace=True),
            nn.Linear(WIDTH, 1),
        )

    def forward(self, cues: Tensor, noise: float = 0.0) -> Tensor:
        """``noise`` of that many deviations is added in training."""
        scaled = ((cues - self.centre) / self.spread).clamp(-LIMIT, LIMIT)
        if noise:
            scaled = scaled + noise * torch.randn_like(scaled)
        logits: Tensor = self.net(scaled).squeeze(-1)
        return logits
