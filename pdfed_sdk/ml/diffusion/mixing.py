"""Shares of an average that a node's own held-out pictures favour, instead of equal ones.

A linear combination of checkpoints is often better than any of them, and its coefficients can be searched for without a
single training step (LCSC, arXiv 2404.02241). The score here is the validation loss, under the same noise for every
combination; shares are multiples of 1/``PARTS``, since they are declared on chain as the weights of a model's parents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.family import Losses, Model
from pdfed_sdk.ml.diffusion.validation import DRAWS, difference

PARTS = 20
"""A share is so many twentieths."""
STEPS = (8, 4, 2, 1)
"""Twentieths that a move takes from one model and gives to another; a smaller step once no larger one helps."""
WORTH = 0.001
"""Share of the loss that a change of shares must save: less is nothing, however sure it is."""
LEAST_LOOKS = 6
"""Fewer looks than these find nothing."""
TIME = 0.1
"""Share of a training's time that the search may take."""


def affordable_looks(pictures: int, heldout: int) -> int:
    """Looks that take at most ``TIME`` of a training with so many pictures: a look is ``DRAWS`` passes forward over the
    held-out pictures, and a training step costs three."""
    return int(TIME * pictures * 3 / (DRAWS * max(heldout, 1)))


def in_parts(shares: Sequence[int]) -> tuple[int, ...]:
    """Shares of any positive sum in twentieths that sum to ``PARTS``: each rounded down, the largest rests up."""
    total = sum(shares)
    parts = [share * PARTS // total for share in shares]
    rests = sorted(range(len(shares)), key=lambda place: (-(shares[place] * PARTS % total), place))
    for place in rests[: PARTS - sum(parts)]:
        parts[place] += 1
    return tuple(parts)


def best_shares(
    models: Sequence[Model],
    measure: Losses,
    start: Sequence[int],
    looks: int,
    heartbeat: Callable[[], None] = lambda: None,
) -> tuple[int, ...]:
    """Shares of 2 to 4 models in twentieths, 0 included, with the lowest loss by ``measure`` that at most ``looks``
    found, by moving share between two models; ``start`` itself unless the found ones are better beyond doubt.

    Deterministic. DataError for other numbers of models or shares that do not sum to ``PARTS``; MlError for models of
    different configurations. ``heartbeat`` is called before every look.
    """
    first = tuple(start)
    if not 2 <= len(models) <= 4 or len(first) != len(models) or sum(first) != PARTS or min(first) < 0:
        raise DataError(f"shares are {first} of {len(models)} models, expected 2 to 4 that sum to {PARTS}")
    average = models[0].family.average
    known: dict[tuple[int, ...], Tensor] = {}

    def losses(shares: tuple[int, ...]) -> Tensor:
        if shares not in known:
            heartbeat()
            known[shares] = measure(average(models, [float(share) for share in shares]))
        return known[shares]

    best = first
    losses(best)
    for step in STEPS:
        moved = True
        while moved and len(known) < looks:
            moved = False
            for shares in _moves(best, step):
                if len(known) >= looks:
                    break
                if losses(shares).mean() < losses(best).mean():
                    best, moved = shares, True
                    break
    change = difference(known[best], known[first])
    return best if change.is_fall and -change.mean >= WORTH * float(known[first].mean()) else first


def _moves(shares: tuple[int, ...], step: int) -> Iterator[tuple[int, ...]]:
    """Every way to give ``step`` of one model's share, or all of it, to another one."""
    for giver, held in enumerate(shares):
        given = min(step, held)
        for taker in range(len(shares)):
            if given and taker != giver:
                moved = list(shares)
                moved[giver], moved[taker] = held - given, moved[taker] + given
                yield tuple(moved)
