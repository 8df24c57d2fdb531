"""Was a model made from another that it does not declare? Compared by what two networks compute, not by their weights.

Distances of weights see nothing: permuting channels takes seconds and changes no prediction. So two models get equal
noised pictures, and two distances are taken: of their predictions, and of their hidden layers by linear CKA (Kornblith
et al. 2019), which no permutation or rotation of channels changes. Each is divided by what is usual: the candidate's
distance to the others that went from the same reference, or to that reference if it is nearer (protocol, rule 10,
hidden parents). Which submissions are compared is the node's matter, not this module's.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from pdfed_sdk.errors import DataError, MlError
from pdfed_sdk.family import Model, Nearness
from pdfed_sdk.ml.data import PictureSet

PICTURES: Final = 64
"""Pictures on which models are compared."""
LEAST_PICTURES: Final = 8
"""Fewer tell too little."""
LEAST_OTHERS: Final = 2
"""Models to compare with, beside suspect and reference: one alone may be the odd one."""
TIMES: Final = (0.1, 0.3, 0.5, 0.7)
"""Parts of the noise schedule at which models are compared."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What a model computes on the shared noised pictures: predictions (n, D), and the centred Gram matrix (n, n) of
    each hidden block, of norm one; and what is too near in its family."""

    predictions: Tensor
    grams: tuple[Tensor, ...]
    too_near: Nearness


@dataclass(frozen=True)
class Distances:
    """``prediction``: root mean square difference of the outputs. ``hidden``: 1 − CKA, mean over the blocks."""

    prediction: float
    hidden: float


@dataclass(frozen=True)
class Relation:
    """A candidate beside one earlier submission: its distances over the usual ones, and whether they are too near."""

    prediction: float
    hidden: float
    limit: Nearness

    @property
    def made_from_it(self) -> bool:
        return self.prediction < self.limit.prediction or self.hidden < self.limit.hidden


@torch.no_grad()
def trace(model: Model, pictures: PictureSet, seed: bytes) -> Trace:
    """Run a model on pictures noised with ``seed`` at every time of ``TIMES``.

    DataError for pictures of another shape or fewer than 8, MlError if the model does not run or gives no numbers.
    """
    config = model.config
    if (pictures.channels, pictures.size) != (config.channels, config.size) or len(pictures) < LEAST_PICTURES:
        raise DataError(
            f"pictures of shape {tuple(pictures.images.shape)} cannot be compared on a model of {config.size}"
        )
    try:
        seen = model.family.activations(model, pictures, seed, TIMES)
    except RuntimeError as error:
        raise MlError(f"the model does not run: {str(error).splitlines()[0][:200]}") from error
    predictions = torch.cat([predicted for predicted, _ in seen], 1)
    if not bool(torch.isfinite(predictions).all()):
        raise MlError("the model predicts values that are not finite numbers")
    return Trace(predictions, tuple(_gram(layer) for _, layers in seen for layer in layers), model.family.too_near)


def _gram(features: Tensor) -> Tensor:
    """Centred Gram matrix over the pictures, of Frobenius norm one (zero if all pictures look alike to the block)."""
    centred = features.double() - features.double().mean(0)
    gram = centred @ centred.T
    norm = gram.norm()
    return gram / norm if norm > 0 else gram


def distances(first: Trace, second: Trace) -> Distances:
    """Of two traces of one seed. MlError if the models differ in their blocks."""
    if len(first.grams) != len(second.grams) or first.predictions.shape != second.predictions.shape:
        raise MlError("models of different configurations cannot be compared")
    apart = (first.predictions - second.predictions).square().mean().sqrt().item()
    kept = [1 - float((a * b).sum()) for a, b in zip(first.grams, second.grams, strict=True)]
    return Distances(apart, max(0.0, statistics.fmean(kept)))


def relations(
    candidate: Trace, suspects: Mapping[int, Trace], others: Sequence[Trace], reference: Trace
) -> dict[int, Relation]:
    """Each suspect by id, beside the usual distance: the lower median of those to the other suspects and to ``others``,
    and no more than the distance to the ``reference``.

    The median, not the nearest: two copies of one model must not hide each other. The reference, because models far
    from everything (a copier's, junk) would make honest siblings look near. With fewer than ``LEAST_OTHERS`` to compare
    with, nothing is said of a suspect.
    """
    near = {number: distances(candidate, suspect) for number, suspect in suspects.items()}
    rest = [distances(candidate, other) for other in others]
    most = distances(candidate, reference)
    found: dict[int, Relation] = {}
    for number, own in near.items():
        usual = [*rest, *(one for other, one in near.items() if other != number)]
        if len(usual) >= LEAST_OTHERS:
            prediction = statistics.median_low(one.prediction for one in usual)
            hidden = statistics.median_low(one.hidden for one in usual)
            found[number] = Relation(
                _ratio(own.prediction, min(prediction, most.prediction)),
                _ratio(own.hidden, min(hidden, most.hidden)),
                candidate.too_near,
            )
    return found


def _ratio(own: float, usual: float) -> float:
    return own / usual if usual > 0 else 1.0
