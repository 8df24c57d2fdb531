"""Train the judge: altered copies and their candidates, pictures nobody copied and theirs, from several sets.

Each set is searched as a node's is: a part of it is the training pictures, copies are altered anew each round, the
other part are strangers, as they are and altered in the same ways: samples of a model are no clean pictures, and a
stranger must not pass for a copy because both are damaged alike. A few training pictures and many make different
rivals, so each set is searched as either. Variants of one motif stand on the same side. Next to a copy, a variant of
its original, such as an emoji with another skin, counts little as a wrong answer: taught to tell them apart at any
price, the judge names neither. The first look is trained on all that is proposed, the others on what it lets through.

Sets count alike, and each gets an offset of its own that is thrown away: a node's calibration finds the threshold for
its pictures, the judge need only rank them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from pdfed_sdk.ml.copies.alterations import altered
from pdfed_sdk.ml.copies.candidates import Candidates, Queries
from pdfed_sdk.ml.copies.detector import Detector
from pdfed_sdk.ml.copies.judge import Judge, Look
from pdfed_sdk.ml.copies.named_sets import Part, divided, grouped
from pdfed_sdk.ml.copies.search import CopyIndex, Laid

KNOWN = {200: 4, 800: 2, 2_400: 1}
"""Training pictures of a search, as far as a set has so many, and how often copies of them are altered."""
LET_THROUGH = 0.001
"""Probability by the first look from which on a pair is shown to the others: the less likely ones among these teach
them what a scorer will not ask, but without them they are too sure of themselves."""
STRANGERS = 800
NEIGHBOURS = 5
VARIANT = 0.2
"""How much a pair of a copy and a variant of its original counts, beside other pairs."""
NOISE = 0.2
"""Deviation of the noise on the cues in training, in deviations of the cues."""
DECAY = 0.3
BATCH = 2_048


Lesson = tuple[Tensor, Tensor, Tensor]
"""Cues (m, C) of pairs, which of these are copies (m,), and how much each counts (m,)."""


@dataclass(frozen=True)
class Question:
    """Queries put to an index, which training picture (n,) each is a copy of (-1: of none), how much they count, and of
    which motif each training picture is."""

    index: CopyIndex
    queries: Queries
    truth: Tensor
    weight: float
    motifs: Tensor

    @property
    def copies(self) -> bool:
        """Whether these are copies: those of near twins are."""
        return bool(self.truth[0] >= 0)

    def lesson(self, rows: Tensor, columns: Tensor, cues: Tensor) -> Lesson:
        """What pairs of queries ``rows`` and training pictures ``columns`` teach, on the CPU."""
        rows, columns, cues = rows.cpu(), columns.cpu(), cues.cpu()
        truth = self.truth[rows]
        variant = (truth >= 0) & (columns != truth) & (self.motifs[columns] == self.motifs[truth])
        return cues, columns == truth, self.weight * torch.where(variant, VARIANT, 1.0)


def questions(detector: Detector, part: Part, seed: int) -> list[Question]:
    """What a set asks."""
    images, groups = grouped(*part, max(KNOWN) + STRANGERS, seed)
    most = min(max(KNOWN), max(len(images) // 2, len(images) - STRANGERS))
    inside, outside = divided(groups, most, seed)
    known, strangers, motifs = images[inside], images[outside], torch.from_numpy(groups[inside.numpy()])
    random = Generator().manual_seed(seed)
    ask = CopyIndex(detector, detector.prints(known[:2]), NEIGHBOURS).queries
    nobody = torch.full((len(strangers),), -1)
    clean, changed = ask(strangers), ask(_altered(strangers, strangers, random))
    found = []
    for count, rounds in KNOWN.items():
        some = known[:count]
        index = CopyIndex(detector, detector.prints(some), NEIGHBOURS)
        for _ in range(rounds):
            copies = ask(_altered(some, strangers, random))
            found.append(Question(index, copies, torch.arange(len(some)), 1.0, motifs))
        found += [Question(index, *asked, motifs) for asked in ((clean, nobody, 2.0), (changed, nobody, 1.0))]
        if len(some) < count:
            break
    return found


def _altered(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    chosen = torch.randint(0, len(others), (len(images),), generator=random)
    result = altered(images.float() / 255, others[chosen].float() / 255, random)
    return result.mul(255).round().to(torch.uint8)


def train_judge(
    judge: Judge, sets: Sequence[Sequence[Question]], *, steps: int = 4_000, seed: int = 0
) -> list[list[Lesson]]:
    """Teach the ``judge`` that the indices of the questions of several sets judge by; seeded. The lessons of each look,
    one a question, in order."""
    every = list(chain.from_iterable(sets))
    where = [number for number, asked in enumerate(sets) for _ in asked]
    first = [_proposed(one) for one in every]
    learn(judge.first, first, where, steps, seed)
    laid = [_laid(one) for one in every]
    second = [one.lesson(pairs.rows, pairs.columns, pairs.cues) for one, pairs in zip(every, laid, strict=True)]
    learn(judge.second, second, where, steps, seed)
    third = [
        one.lesson(pairs.rows, pairs.columns, one.index.fine(one.queries, pairs))
        for one, pairs in zip(every, laid, strict=True)
    ]
    learn(judge.third, third, where, steps, seed)
    return [first, second, third]


def _proposed(one: Question) -> Lesson:
    found = Candidates.joined(one.index.proposals(one.queries, twins=one.copies))
    rows, ranks = found.valid.nonzero(as_tuple=True)
    return one.lesson(rows, found.index[rows, ranks], found.cues[rows, ranks])


def _laid(one: Question) -> Laid:
    found = one.index.candidates(one.queries, twins=one.copies)
    wanted = found.valid & (one.index.detector.judged(found.cues) >= LET_THROUGH)
    return one.index.laid(one.queries, found, *wanted.nonzero(as_tuple=True))


def learn(
    look: Look, lessons: Sequence[Lesson], where: Sequence[int], steps: int = 4_000, seed: int = 0, lr: float = 5e-3
) -> None:
    """Train a look, on the CPU, on lessons of the sets ``where``."""
    cues, copies, weights = (torch.cat(parts) for parts in zip(*lessons, strict=True))
    place = torch.repeat_interleave(torch.tensor(where), torch.tensor([len(part) for part, _, _ in lessons]))
    weights = weights / torch.zeros(max(where) + 1).index_add_(0, place, weights)[place]
    random, truth = Generator().manual_seed(seed), copies.float()
    there = look.centre.device
    look.cpu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for net in look.nets.modules():
            if isinstance(net, nn.Linear):
                net.reset_parameters()
        offsets = nn.Parameter(torch.zeros(max(where) + 1))
        look.centre, look.spread = cues.mean(0), cues.std(0) + 1e-3
        look.requires_grad_(True).train()
        optimiser = torch.optim.AdamW([*look.parameters(), offsets], lr=lr, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps + 1)
        for _ in range(steps):
            rows = torch.multinomial(weights, BATCH, replacement=True, generator=random)
            logits = look.members(cues[rows], NOISE) + offsets[place[rows]]
            loss = F.binary_cross_entropy_with_logits(logits, truth[rows].expand_as(logits))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    look.requires_grad_(False).eval().to(there)
