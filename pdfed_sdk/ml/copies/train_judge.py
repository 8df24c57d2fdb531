"""Train the judge: altered copies and their candidates, pictures nobody copied and theirs, from several sets.

Each set is searched as a node's is: a part of it is the training pictures, copies are altered anew each round, the
other part are strangers, as they are and altered in the same ways: samples of a model are no clean pictures, and a
stranger must not pass for a copy because both are damaged alike. Sets count alike, and each gets an offset of its own
that is thrown away: a node's calibration finds the threshold for its pictures, the judge need only rank them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from pdfed_sdk.ml.copies.alterations import altered
from pdfed_sdk.ml.copies.detector import Detector
from pdfed_sdk.ml.copies.judge import Judge
from pdfed_sdk.ml.copies.named_sets import Part, divided, grouped
from pdfed_sdk.ml.copies.search import CopyIndex

KNOWN, STRANGERS = 400, 800
NEIGHBOURS = (5, 5, 2)
"""Candidates of a copy in each round."""
NOISE = 0.2
"""Deviation of the noise on the cues in training, in deviations of the cues."""
BATCH = 2_048


@dataclass(frozen=True)
class Lesson:
    """Pairs of one set: cues (n, CUES), which are copies (n,), and how much each counts (n,)."""

    cues: Tensor
    copies: Tensor
    weights: Tensor


def lesson(detector: Detector, part: Part, seed: int) -> Lesson:
    """What a set teaches."""
    images, groups = grouped(*part, KNOWN + STRANGERS, seed)
    inside, outside = divided(groups, min(KNOWN, len(images) // 2), seed)
    known, strangers = images[inside], images[outside]
    random, rng = Generator().manual_seed(seed), np.random.default_rng(seed)
    prints, found = detector.prints(known), []
    truth = torch.arange(len(known))
    for neighbours in NEIGHBOURS:
        others = strangers[torch.from_numpy(rng.integers(0, len(strangers), len(known)))].float() / 255
        copies = altered(known.float() / 255, others, random).mul(255).round().to(torch.uint8)
        found.append(_pairs(CopyIndex(detector, prints, neighbours), copies, truth, 1.0))
    index = CopyIndex(detector, prints, NEIGHBOURS[0])
    nobody = torch.full((len(strangers),), -1)
    found.append(_pairs(index, strangers, nobody, 2.0))
    others = strangers.roll(1, 0).float() / 255
    changed = altered(strangers.float() / 255, others, random).mul(255).round().to(torch.uint8)
    found.append(_pairs(index, changed, nobody, 1.0))
    return Lesson(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _pairs(index: CopyIndex, images: Tensor, truth: Tensor, weight: float) -> tuple[Tensor, Tensor, Tensor]:
    queries = index.queries(images)
    found = index.candidates(queries, twins=bool(truth[0] >= 0))
    rows, ranks = found.valid.nonzero(as_tuple=True)
    cues = index.cues(queries, found, rows, ranks)
    copies = found.index[rows, ranks] == truth[rows]
    return cues, copies, torch.full((len(rows),), weight)


def train_judge(lessons: Sequence[Lesson], *, steps: int = 2_000, lr: float = 5e-3, seed: int = 0) -> Judge:
    """Learn from the lessons of several sets; seeded."""
    cues = torch.cat([one.cues for one in lessons])
    copies = torch.cat([one.copies for one in lessons]).float()
    weights = torch.cat([one.weights / one.weights.sum() for one in lessons])
    where = torch.repeat_interleave(torch.arange(len(lessons)), torch.tensor([len(one.cues) for one in lessons]))
    random = Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge, offsets = Judge(), nn.Parameter(torch.zeros(len(lessons)))
        judge.centre, judge.spread = cues.mean(0), cues.std(0) + 1e-3
        optimiser = torch.optim.AdamW([*judge.parameters(), offsets], lr=lr, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps + 1)
        for _ in range(steps):
            rows = torch.multinomial(weights, BATCH, replacement=True, generator=random)
            logits = judge(cues[rows], NOISE) + offsets[where[rows]]
            loss = F.binary_cross_entropy_with_logits(logits, copies[rows])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return judge.eval()
