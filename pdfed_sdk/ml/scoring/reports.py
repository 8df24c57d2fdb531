"""What a scoring run returns: settings, matched pairs, the Q-N report, and the part of it that may leave the node."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pdfed_sdk.errors import MlError

OBJECTIVES = ("qn-normalised", "qn")
FINGERPRINTS = ("shipped", "own")


@dataclass(frozen=True)
class ScoringSettings:
    """Everything that a score depends on beside pictures and model; a task's card freezes it.

    samples: generated pictures an evaluation (n). neighbours: K of the search. extractor: name in the ladder, for FID.
    fingerprint: "shipped", or "own" for one that every node trains on its own pictures.
    novelty_weight: factor of V_C V_A R_C in eq. 6. fpr: held-out pictures the verifier may confirm wrongly.
    resamples: bootstrap resamples behind the intervals and behind "cannot be told apart" (0: none).
    epsilon_*: added to both halves of the normalised objective (quality in units of the FID floor).
    """

    samples: int = 128
    neighbours: int = 5
    size: int = 16
    channels: int = 1
    extractor: str = "efficientnet-lite0"
    extractor_sha256: str = ""
    fingerprint: str = "shipped"
    fingerprint_sha256: str = ""
    sampler_steps: int = 10
    objective: str = "qn-normalised"
    novelty_weight: float = 1000.0
    fpr: float = 0.01
    least_threshold: float = 0.8
    resamples: int = 48
    epsilon_quality: float = 0.0
    epsilon_novelty: float = 5.0

    def __post_init__(self) -> None:
        limits = {"samples": (2, 1_000_000), "neighbours": (1, 1_000), "resamples": (0, 10_000)}
        limits |= {"sampler_steps": (1, 10_000), "size": (4, 1_024), "channels": (1, 3)}
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise MlError(f"{name} is {getattr(self, name)}, limits {least} and {most}")
        if self.objective not in OBJECTIVES:
            raise MlError(f"objective is {self.objective!r}, expected one of {', '.join(OBJECTIVES)}")
        if self.fingerprint not in FINGERPRINTS or (self.fingerprint == "own" and self.fingerprint_sha256):
            raise MlError(
                f"fingerprint is {self.fingerprint!r} with hash {self.fingerprint_sha256!r}, expected one of "
                f"{', '.join(FINGERPRINTS)}, and no hash for own: every node has another"
            )
        if not 0 < self.fpr < 1 or not 0 < self.least_threshold <= 1:
            raise MlError(f"fpr {self.fpr} and least_threshold {self.least_threshold} must lie in (0, 1)")
        numbers = (self.novelty_weight, self.epsilon_quality, self.epsilon_novelty)
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise MlError(f"novelty_weight and epsilons are {numbers}, expected finite and non-negative")

    def to_json(self) -> str:
        """JSON of all fields, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> ScoringSettings:
        """Inverse of `to_json`; unknown keys are refused."""
        try:
            values = json.loads(text)
            unknown = set(values) - {f.name for f in fields(ScoringSettings)}
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
class QNReport:
    """One evaluation (paper 3.3.1). Lower ``objective`` is better.

    fid against the node's test pictures and its floor (held-out real pictures against the same); V_A over all pairs
    sent to the verifier, V_C over matched ones, R_C matched / samples, novelty = weight V_C V_A R_C and its floor on
    held-out real pictures; qn = (fid + novelty) / 2 (eq. 6). ``fid_infinity`` is FID without the bias of few samples
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
    def novelty_ratio(self) -> float:
        """Second half: novelty over its floor; 1 for pictures nobody copied (a little less without false alarms)."""
        epsilon = self.settings.epsilon_novelty + TINY
        return (self.novelty + epsilon) / (self.novelty_floor + epsilon)

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


def objective_value(
    name: str, fid: tuple[float, float], novelty: tuple[float, float], settings: ScoringSettings
) -> float:
    """J from (value, floor) of FID and novelty: the sum of both halves over their floors, or eq. 6."""
    if name == "qn":
        return (fid[0] + novelty[0]) / 2
    quality = settings.epsilon_quality * fid[1] + TINY
    copies = settings.epsilon_novelty + TINY
    return (fid[0] + quality) / (fid[1] + quality) + (novelty[0] + copies) / (novelty[1] + copies)
