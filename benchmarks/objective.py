"""Can a model gain by copying? Who is ranked before whom, and how often is copying noticed?

misranked: stand-ins for models emit digits nobody copied, blurred and noisy by degrees, and with them a share of exact
copies of training pictures. Each is scored as a model is, drawing more samples while the copy test is in doubt. A pair
counts if an honest one, whose FID is up to twice as high, does not score better than one that copies at least 2 %.

detection: the share of evaluations that raise an alarm, by share of exact copies; 400 evaluations a share, over five
divisions of the pictures with a calibration each. Samples that are no copies are pictures the scorer has never seen.

dilution: 13 exact copies in 128 beside pictures that resemble no training picture, and beside pictures that do.

--quick: three grades, two shares of copies, two calibrations, fewer spare pictures; minutes on one core.

    python -m benchmarks.objective [--json] [--quick] [--evaluations 400] [--seed 0]
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from benchmarks.machine import processor
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.copies.augment import degrade
from pdfed_sdk.ml.data import NodeSplit, PictureSet, partition
from pdfed_sdk.ml.scoring.copy_test import copy_test
from pdfed_sdk.ml.scoring.scorer import Scorer, ScoringSettings
from pdfed_sdk.ml.sources import load_pictures

SHARES = (0.0, 0.01, 0.05)
COPIERS = (0.02, 0.05, 0.10, 0.25)
GRADES = (0.0, 0.25, 0.4, 0.55, 0.7, 0.85)
"""Strength of `augment.degrade` of the stand-ins' pictures."""
BESIDE = 13


@dataclass(frozen=True)
class Size:
    """How much is done: grades of the stand-ins, shares of copies, calibrations, pictures that show false alarms."""

    grades: tuple[float, ...] = GRADES
    copiers: tuple[float, ...] = COPIERS
    calibrations: int = 5
    spare: int = 2_000


QUICK = Size(GRADES[::2], COPIERS[:2], 2, 600)


def divided(private: PictureSet, seed: int) -> tuple[NodeSplit, Tensor]:
    """A node's split and the pictures it never sees."""
    order = np.random.default_rng(seed).permutation(len(private))
    train, test, heldout, spare = np.split(order, [1_200, 1_600, 2_200])
    parts = [private.take(part.tolist()) for part in (train, test, heldout)]
    return NodeSplit(*parts), private.images[torch.from_numpy(spare)]


class StandIn:
    """Emits unseen pictures of one grade and, with a probability, exact copies of training pictures."""

    def __init__(self, spare: Tensor, train: Tensor, grade: float, share: float, seed: int) -> None:
        self._random, self._train, self._share = Generator().manual_seed(seed), train, share
        values = spare.float() / 255
        made = degrade(values, self._random, strength=grade, jpeg=0) if grade else values
        self._pool = made.mul(255).round().to(torch.uint8)

    def draw(self, count: int) -> Tensor:
        """``count`` pictures."""
        random = self._random
        images = self._pool[torch.randint(0, len(self._pool), (count,), generator=random)]
        copied = self._train[torch.randint(0, len(self._train), (count,), generator=random)]
        mine = torch.rand(count, generator=random) < self._share
        return torch.where(mine[:, None, None, None], copied, images)


def ranking(scorer: Scorer, spare: Tensor, seed: int, size: Size) -> dict[str, object]:
    """Scores of all stand-ins and the pairs that are ranked wrongly."""
    rows = []
    for number, (grade, share) in enumerate(itertools.product(size.grades, (0.0, *size.copiers))):
        model = StandIn(spare, scorer.split.train.images, grade, share, seed + number)
        report = scorer.score(model.draw(scorer.settings.samples), more=model.draw)
        row = {"grade": grade, "share": share, "fid": report.fid, "objective": report.objective, "qn": report.qn}
        rows.append({**row, "alarm": report.copies.alarm, "samples": report.copies.samples})
        print(f"grade {grade}, {share:.0%} copies: J {report.objective:.2f}", file=sys.stderr)
    honest, copiers = ([row for row in rows if bool(row["share"]) == kind] for kind in (False, True))
    pairs = [(good, bad) for good, bad in itertools.product(honest, copiers) if good["fid"] <= 2 * bad["fid"]]
    wrong = [pair for pair in pairs if pair[0]["objective"] >= pair[1]["objective"]]
    by_qn = sum(good["qn"] >= bad["qn"] for good, bad in pairs)
    return {"misranked": len(wrong), "pairs": len(pairs), "misranked_by_eq6": by_qn, "models": rows}


def detection(
    private: PictureSet, settings: ScoringSettings, evaluations: int, seed: int, size: Size
) -> dict[str, object]:
    """Shares of evaluations with an alarm, mean samples drawn, by share of copies. How often copies and others are
    confirmed is measured for each calibration; evaluations are drawn with these probabilities."""
    alarms: dict[str, list[bool]] = {f"{share:g}": [] for share in SHARES}
    drawn: dict[str, list[int]] = {name: [] for name in alarms}
    rng = np.random.default_rng(seed)
    for turn in range(size.calibrations):
        split, spare = divided(private, seed + turn)
        scorer = Scorer(split, settings)
        index = scorer.index
        known = (index.search(index.queries(split.train.images[:200])).best >= scorer.copy_threshold).double().mean()
        false = (index.search(index.queries(spare[: size.spare])).best >= scorer.copy_threshold).double().mean()
        for share in SHARES:
            rate = share * float(known) + (1 - share) * float(false)
            for _ in range(evaluations // size.calibrations):
                first, draw = int(rng.binomial(settings.samples, rate)), lambda n, p=rate: int(rng.binomial(n, p))
                test = copy_test(first, settings.samples, scorer.assumed, scorer.copy_threshold, settings, draw)
                alarms[f"{share:g}"].append(test.alarm)
                drawn[f"{share:g}"].append(test.samples)
        print(f"calibration {turn}: {float(known):.3f} of copies, {float(false):.4f} of others", file=sys.stderr)
    return {
        "detection": {name: float(np.mean(found)) for name, found in alarms.items()},
        "mean_samples": {name: float(np.mean(found)) for name, found in drawn.items()},
        "evaluations": len(alarms["0"]),
    }


def dilution(scorer: Scorer, spare: Tensor) -> dict[str, dict[str, float]]:
    """The same copies beside flat pictures and beside digits."""
    count = scorer.settings.samples - BESIDE
    copies = scorer.split.train.images[:BESIDE]
    near = spare[:count]
    far = F.interpolate(torch.rand(count, 1, 4, 4, generator=Generator().manual_seed(0)), near.shape[-2:])
    found = {}
    for name, beside in (("far", far.mul(255).to(torch.uint8)), ("near", near)):
        report = scorer.score(torch.cat([copies, beside]))
        found[name] = {"copy_ratio": report.copy_ratio, "v_a": report.v_a, "novelty": report.novelty}
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    parser.add_argument("--quick", action="store_true", help=f"smaller: {QUICK}")
    parser.add_argument("--evaluations", type=int, default=400, help="a share of copies")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    set_threads(options.threads)
    size = QUICK if options.quick else Size()
    private = partition(load_pictures("mnist", size=16))[1]
    settings = ScoringSettings(extractor="pixels", resamples=0)
    result = detection(private, settings, options.evaluations, options.seed, size)
    split, spare = divided(private, options.seed)
    scorer = Scorer(split, dataclasses.replace(settings, extractor="efficientnet-lite0"))
    result |= ranking(scorer, spare, options.seed, size) | {"dilution": dilution(scorer, spare)}
    result |= {"weights_sha256": scorer.detector.sha256, "processor": processor()}
    if options.json:
        print(json.dumps(result))
        return
    print(f"misranked pairs: {result['misranked']} of {result['pairs']} (eq. 6: {result['misranked_by_eq6']})")
    for share, alarms in result["detection"].items():
        print(f"{float(share):.0%} copies: alarm in {alarms:.1%}, {result['mean_samples'][share]:.0f} samples")
    for name, row in result["dilution"].items():
        print(
            f"13 copies beside {name} pictures: factor {row['copy_ratio']:.2f}, novelty of eq. 6 {row['novelty']:.1f}"
        )


if __name__ == "__main__":
    main()
