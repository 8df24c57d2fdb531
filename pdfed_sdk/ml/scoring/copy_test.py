"""Are there more copies among a model's samples than false alarms explain? A sequential test, fixed in the settings.

Wald's sequential probability ratio test (1945) of "a share p0 of the samples is confirmed, by false alarm" against "p0
and the share of copies that matters". Samples come in blocks; after each the log-likelihood ratio is compared with two
bounds, and more are drawn while it lies between them. At the last sample the exact binomial tail decides. Half of the
probability of a wrong alarm is spent on the walk, half on its end, so it holds for both together.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy.special import betainc, betaincinv, ndtr
from torch import Tensor

from pdfed_sdk.ml.scoring.reports import CopyTest, ScoringSettings

STRICTER = 4
"""The threshold is set for a share of false alarms so many times smaller than the assumed one: calibration on a few
hundred pictures does not know it better."""
Draw = Callable[[int], int]
"""Draws so many further samples and tells how many of them are copies."""


def exact_interval(found: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a share, ``found`` of ``count``."""
    tail = (1 - level) / 2
    low = float(betaincinv(found, count - found + 1, tail)) if found else 0.0
    high = float(betaincinv(found + 1, count - found, 1 - tail)) if found < count else 1.0
    return low, high


def copy_test(
    found: int, count: int, assumed: float, threshold: float, settings: ScoringSettings, draw: Draw | None = None
) -> CopyTest:
    """Test ``found`` copies of ``count`` samples against the share ``assumed`` of false alarms, drawing blocks of
    settings.samples by ``draw`` while in doubt, up to settings.copy_samples. Without ``draw`` what is there decides."""
    verdict = _walk(found, count, assumed, settings)
    while verdict is None and draw is not None and count < settings.copy_samples:
        more = min(settings.samples, settings.copy_samples - count)
        found, count = found + draw(more), count + more
        verdict = _walk(found, count, assumed, settings)
    tail = float(betainc(found, count - found + 1, assumed)) if found else 1.0  # of so many or more
    low, high = exact_interval(found, count)
    alarm = verdict if verdict is not None else tail <= settings.copy_alpha / 2
    return CopyTest(count, found, 1e3 * found / count, 1e3 * low, 1e3 * high, assumed, threshold, tail, alarm)


def nearness(generated: Tensor, unseen: Tensor) -> tuple[float, float]:
    """Do samples as a whole lie nearer to the training pictures than unseen pictures do? (z, p), small where they do.

    ``generated`` (n,) and ``unseen`` (m,) are distances to the nearest training picture. z is that of Mann and Whitney,
    C_T of Meehan 2020 with one cell, on fingerprints. A model whose samples each pass for no copy can still crowd
    around the training pictures, as students of a copier do; blurred samples stay away from them, which hides it.
    """
    n, m = len(generated), len(unseen)
    others = unseen.sort().values
    below, upto = (torch.searchsorted(others, generated.contiguous(), right=side) for side in (False, True))
    above = float((below + upto).sum()) / 2  # pairs in which the sample is the farther one, ties one half
    z = (above - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return z, float(ndtr(z))


def _walk(found: int, count: int, assumed: float, settings: ScoringSettings) -> bool | None:
    """True above the upper bound (copies), False below the lower one (none that matter), None between them."""
    alpha, beta, copied = settings.copy_alpha / 2, settings.copy_beta, assumed + settings.copy_share
    ratio = found * math.log(copied / assumed) + (count - found) * math.log((1 - copied) / (1 - assumed))
    if ratio >= math.log((1 - beta) / alpha):
        return True
    return False if ratio <= math.log(beta / (1 - alpha)) else None
