"""What a scoring run returns: settings, matched pairs, the Q-N report, and the part of it that may leave the node."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pdfed_sdk.errors import MlError
from pdfed_sdk.family import SOLVERS

VERSION = 4
"""Counts the rules of scoring: figures of different rules never mix, settings of others are refused."""
OBJECTIVES = ("qn-normalised", "qn")
FINGERPRINTS = ("shipped", "own")


@dataclass(frozen=True)
class ScoringSettings:
    """Everything that a score depends on beside pictures and model; a task's card freezes it.

    samples: generated pictures an evaluation (n). neighbours: K of the search. mirrored: mirrored samples are searched
    for too. class_threshold: only pairs within the class threshold (eq. 5) are verified. extractor: name in the ladder,
    for FID. sampler_steps, solver: how samples are drawn. fingerprint: "shipped", or "own" for one that every node
    trains on its own pictures. novelty_weight: factor of V_C V_A R_C in eq. 6. fpr: held-out pictures the verifier may
    confirm wrongly. resamples: bootstrap resamples behind the intervals and behind "cannot be told apart" (0: none).
    epsilon_quality: added to both parts of the quality ratio, in units of the FID floor. copy_*: the copy test
    (`copy_test`): share of false alarms that is assumed, share of copies to be told from it, probabilities of a wrong
    alarm and of a miss, most samples, copies in a thousand that double the objective.
    """

    samples: int = 128
    neighbours: int = 5
    mirrored: bool = True
    class_threshold: bool = False
    size: int = 16
    channels: int = 1
    extractor: str = "efficientnet-lite0"
    extractor_sha256: str = ""
    fingerprint: str = "shipped"
    fingerprint_sha256: str = ""
    sampler_steps: int = 10
    solver: str = SOLVERS[0]
    objective: str = "qn-normalised"
    novelty_weight: float = 1000.0
    fpr: float = 0.01
    least_threshold: float = 0.2  # `verifier.LEAST_ODDS`; this module does without torch
    resamples: int = 48
    epsilon_quality: float = 0.0
    copy_false_alarms: float = 0.002
    copy_share: float = 0.008
    copy_alpha: float = 0.01
    copy_beta: float = 0.02
    copy_samples: int = 2_000
    copy_doubling: float = 5.0
    version: int = VERSION

    def __post_init__(self) -> None:
        limits = {"samples": (2, 1_000_000), "neighbours": (1, 1_000), "resamples": (0, 10_000)}
        limits |= {"sampler_steps": (1, 10_000), "size": (4, 1_024), "channels": (1, 3), "copy_samples": (2, 1_000_000)}
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise MlError(f"{name} is {getattr(self, name)}, limits {least} and {most}")
        if self.solver not in SOLVERS:
            raise MlError(f"solver is {self.solver!r}, expected one of {', '.join(SOLVERS)}")
        if self.objective not in OBJECTIVES:
            raise MlError(f"objective is {self.objective!r}, expected one of {', '.join(OBJECTIVES)}")
        if self.fingerprint not in FINGERPRINTS or (self.fingerprint == "own" and self.fingerprint_sha256):
            raise MlError(
                f"fingerprint is {self.fingerprint!r} with hash {self.fingerprint_sha256!r}, expected one of "
                f"{', '.join(FINGERPRINTS)}, and no hash for own: every node has another"
            )
        if not 0 < self.fpr < 1 or not 0 < self.least_threshold <= 1:
            raise MlError(f"fpr {self.fpr} and least_threshold {self.least_threshold} must lie in (0, 1)")
        numbers = (self.novelty_weight, self.epsilon_quality)
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise MlError(f"novelty_weight and epsilon_quality are {numbers}, expected finite and non-negative")
        shares = (self.copy_false_alarms, self.copy_share, self.copy_alpha, self.copy_beta)
        if not all(0 < share < 0.5 for share in shares):
            raise MlError(f"copy_false_alarms, _share, _alpha and _beta are {shares}, limits 0 and 0.5, both excluded")
        if not 0 < self.copy_doubling <= 1_000:
            raise MlError(f"copy_doubling is {self.copy_doubling} in a thousand, limits 0, excluded, and 1000")
        if self.version != VERSION:
            raise MlError(
                f"the settings are of version {self.version}, this release scores by version {VERSION}",
                hint="score with the release that wrote them, or write a new card",
            )

    def to_json(self) -> str:
        """JSON of all fields, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> ScoringSettings:
        """Inverse of `to_json`; unknown keys are refused."""
        try:
            values = json.loads(text)
            unknown = set(values) - {f.name for f in fields(ScoringSettings)}
            if "epsilon_novelty" in unknown:  # of version 1, which did not say so
                return ScoringSettings(version=1)
            if unknown:
                raise MlError(f"unknown key in scoring settings: {', '.join(sorted(unknown))}")
            return ScoringSettings(**values)
        except (ValueError, TypeError) as error:
            raise MlError(f"scoring settings cannot be read: {error}") from error


@dataclass(frozen=True)
class MatchedPair:
    """A generated sample that the verifier confirmed as a copy of a training picture. Private: never published."""

    sample: int
    train: int
    score: float


@dataclass(frozen=True)
class Neighbour:
    """The training picture a sample resembles most, the distance of their fingerprints, and the verifier's score (0 if
    the pair was not verified). Private: never published."""

    train: int
    distance: float
    score: float


@dataclass(frozen=True)
class CopyTest:
    """Are there more copies among the samples than false alarms explain? (`copy_test`)

    ``found`` of ``samples`` pictures are copies at ``threshold``, which is stricter than the verifier's: in a thousand
    that is ``per_thousand``, with the exact 95 % interval (``low``, ``high``). ``assumed`` is the share of false alarms
    they are tested against, ``p_value`` the probability of so many under it, ``alarm`` the verdict.
    """

    samples: int
    found: int
    per_thousand: float
    low: float
    high: float
    assumed: float
    threshold: float
    p_value: float
    alarm: bool

    @property
    def excess(self) -> float:
        """Copies in a thousand above the assumed false alarms; 0 without an alarm."""
        return max(0.0, self.per_thousand - 1_000 * self.assumed) if self.alarm else 0.0


@dataclass(frozen=True)
class QNReport:
    """One evaluation (paper 3.3.1). Lower ``objective`` is better.

    fid against the node's test pictures and its floor (held-out real pictures against the same); V_A over all pairs
    sent to the verifier, V_C over matched ones, R_C matched / samples, novelty = weight V_C V_A R_C and its floor on
    held-out real pictures; qn = (fid + novelty) / 2 (eq. 6). ``copies`` is what the objective knows of copying.
    ``nearness`` (z, p) says whether the samples as a whole crowd around the training pictures (`copy_test.nearness`).
    ``twins`` pictures of the held-out and test parts are near twins of training pictures, which calibration passes
    over. ``fid_infinity`` is FID without the bias of few samples
    (None below 16). ``intervals`` are 95 % bootstrap intervals, ``replicates`` the objective of each resample, the same
    resamples for every report of n samples. ``false_positive_rate`` is (rate, low, high) of the verifier per held-out
    picture at ``threshold``. ``pairs``, ``nearest`` (one a sample) and ``train_counts`` are private.
    """

    fid: float
    fid_floor: float
    v_a: float
    v_c: float
    r_c: float
    novelty: float
    novelty_floor: float
    qn: float
    objective: float
    samples: int
    checked_pairs: int
    confirmed_samples: int
    threshold: float
    false_positive_rate: tuple[float, float, float]
    pairs: tuple[MatchedPair, ...]
    train_counts: tuple[int, ...]
    settings: ScoringSettings
    extractor_id: str
    extractor_sha256: str
    fingerprint_sha256: str
    timings: dict[str, float]
    copies: CopyTest
    nearness: tuple[float, float] = (0.0, 1.0)
    twins: int = 0
    fid_infinity: float | None = None
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    replicates: tuple[float, ...] = ()
    calibration_curve: tuple[tuple[float, float], ...] = ()
    nearest: tuple[Neighbour, ...] = ()

    @property
    def quality_ratio(self) -> float:
        """First half of the normalised objective: FID over its floor; 1 for real pictures."""
        epsilon = self.settings.epsilon_quality * self.fid_floor + TINY
        return (self.fid + epsilon) / (self.fid_floor + epsilon)

    @property
    def copy_ratio(self) -> float:
        """Second factor of the normalised objective: 1 unless the copy test raised an alarm, see `copy_ratio`."""
        return copy_ratio(self.copies.excess, self.settings)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, everything, private parts included."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> QNReport:
        """Inverse of `to_dict`."""
        try:
            return QNReport(
                **{
                    **values,
                    "false_positive_rate": tuple(values["false_positive_rate"]),
                    "pairs": tuple(MatchedPair(**pair) for pair in values["pairs"]),
                    "train_counts": tuple(values["train_counts"]),
                    "intervals": {name: tuple(pair) for name, pair in values["intervals"].items()},
                    "replicates": tuple(values["replicates"]),
                    "calibration_curve": tuple(tuple(point) for point in values["calibration_curve"]),
                    "nearest": tuple(Neighbour(**one) for one in values.get("nearest", ())),
                    "copies": CopyTest(**values["copies"]),
                    "nearness": tuple(values["nearness"]),
                    "settings": ScoringSettings(**values["settings"]),
                }
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise MlError(f"not a Q-N report: {error}") from error

    def public(self) -> dict[str, Any]:
        """The numbers alone: no pair, no training index, no count per picture. For logs and for people the node
        trusts; what may go to everybody is `Publication`, since a novelty score is a membership oracle."""
        private = {"pairs", "nearest", "train_counts", "timings", "replicates", "calibration_curve"}
        return {name: value for name, value in asdict(self).items() if name not in private}


@dataclass(frozen=True)
class Publication:
    """All that a node tells the world about a score: the bucket, the root that commits to the report, and what it was
    measured with. No FID, no novelty, no pair."""

    improvement: int
    evidence_root: str
    settings: ScoringSettings
    extractor_sha256: str
    fingerprint_sha256: str

    @staticmethod
    def of(report: QNReport, improvement: int, evidence_root: bytes) -> Publication:
        """From a private report."""
        return Publication(
            improvement, evidence_root.hex(), report.settings, report.extractor_sha256, report.fingerprint_sha256
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


TINY = 1e-9


def copy_ratio(excess: float, settings: ScoringSettings) -> float:
    """1 + ``excess`` / copy_doubling: what copies in a thousand samples, above false alarms, multiply J by."""
    return 1 + excess / settings.copy_doubling


def objective_value(
    name: str, fid: tuple[float, float], novelty: float, excess: float, settings: ScoringSettings
) -> float:
    """J from FID and its floor, the novelty term and copies in a thousand above false alarms: FID over its floor times
    `copy_ratio`, or eq. 6."""
    if name == "qn":
        return (fid[0] + novelty) / 2
    quality = settings.epsilon_quality * fid[1] + TINY
    return (fid[0] + quality) / (fid[1] + quality) * copy_ratio(excess, settings)
