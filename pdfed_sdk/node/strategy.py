"""Local strategy: whose votes a node listens to, which models it trains on, and for how long. Pure decisions.

A node keeps its own; nothing on chain depends on it (paper, section 4). Subclass ``LocalStrategy`` and name your
class in ``pdfed.toml`` (``[strategy] class = "package.module:Class"``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pdfed_sdk.buckets import WORST, grains_of
from pdfed_sdk.errors import UsageError
from pdfed_sdk.types import BPS, GENESIS, Address, Parent, Role, Status, SubmissionId


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model a trainer could go on from. Levels and improvements are in grains (buckets.py)."""

    id: SubmissionId
    author: Address
    status: Status
    reference_level: int
    level: int | None
    """On chain, once final."""
    own_improvement: int | None
    """What this node measured against the reference on its own pictures, WORST for what is unusable; None if it did not
    or could not."""
    votes: Mapping[Address, int]
    """Revealed improvements by voter; votes that say the bytes are missing are left out."""
    weights: Mapping[Address, int] = field(default_factory=dict)
    """Stake behind each vote, as it stood when the submission was reserved."""
    own_run: int = 0
    """How many models of this node stand in a row, this one last, along the parents of largest weight."""


class LocalStrategy(ABC):
    """Five questions a node answers for itself."""

    @abstractmethod
    def listens_to(self, voter: Address, role: Role) -> bool:
        """Whether this node takes ``voter``'s revealed votes into account."""

    @abstractmethod
    def merit(self, candidate: Candidate, heard: Sequence[int]) -> float:
        """Estimated level of ``candidate``; ``heard`` are the votes of voters listened to. -inf: never train on it."""

    @abstractmethod
    def parents(self, ranked: Sequence[tuple[Candidate, float]]) -> list[Parent]:
        """1 to 4 parents with weights that sum to 10,000, from candidates ranked best first (genesis included);
        none: wait for a better model."""

    @abstractmethod
    def pictures(self, attempt: int) -> int:
        """Training pictures of the ``attempt``-th submission (from 1); 0: no more submissions."""

    @abstractmethod
    def publishes(self, improvement: int, min_step: int) -> bool:
        """Whether a trained candidate is worth its fee. ``improvement`` is the own measurement against the best model,
        the index of a bucket; ``min_step`` the least gain that the task pays for, in grains."""


@dataclass(frozen=True, slots=True)
class TrainFromBest(LocalStrategy):
    """Train on from the best models known, averaging up to ``average`` that lie within ``within`` grains.

    ``listen``: "all", "validators" or "trainers". The node's own measurement counts like the median of the others';
    a model it found unusable on its own pictures is never trained on. ``least_level``: wait until a model of that level
    is there. A final model less than ``least_step`` grains above its own reference is left alone: a lucky no-op would
    take a share. ``submissions``: how many to make at most. ``least_own``: publish what the node's own measurement puts
    at this bucket or a higher one; the lowest, -8, publishes everything that the gate lets pass. Without it, what the
    measurement puts at the task's ``min_step`` or more: less is a fee for nothing.
    """

    budget: int = 14_000
    average: int = 1
    within: float = 32.0
    listen: str = "all"
    submissions: int = 1_000_000
    least_level: float = float("-inf")
    least_own: int | None = None
    least_step: int = 3

    def __post_init__(self) -> None:
        if self.listen not in ("all", "validators", "trainers"):
            raise UsageError(
                f"strategy.listen is {self.listen!r}", hint='use "all", "validators" or "trainers" in pdfed.toml'
            )
        if not 1 <= self.average <= 4:
            raise UsageError(f"strategy.average is {self.average}, not within 1 … 4", hint="a model has 1 to 4 parents")

    def listens_to(self, voter: Address, role: Role) -> bool:
        trains = Role.TRAINER in role  # every voter is a validator; only some train as well, and may be rivals
        return self.listen == "all" or trains == (self.listen == "trainers")

    def merit(self, candidate: Candidate, heard: Sequence[int]) -> float:
        if candidate.own_improvement == WORST:
            return float("-inf")
        if candidate.level is not None and candidate.level - candidate.reference_level < self.least_step:
            return float("-inf")
        if candidate.level is not None and candidate.own_improvement is None:
            return float(candidate.level)
        opinions = [float(sorted(heard)[(len(heard) - 1) // 2])] if heard else []
        if candidate.own_improvement is not None:
            opinions.append(float(candidate.own_improvement))
        if not opinions:
            return float("-inf")
        return candidate.reference_level + sum(opinions) / len(opinions)

    def parents(self, ranked: Sequence[tuple[Candidate, float]]) -> list[Parent]:
        best = ranked[0][1]
        if best < self.least_level:
            return []
        near = [c.id for c, merit in ranked if merit >= best - self.within]
        chosen = [near[0], *(i for i in near[1:] if i != GENESIS)][: self.average]
        share = BPS // len(chosen)
        weights = [share] * len(chosen)
        weights[0] += BPS - sum(weights)
        return [Parent(i, w) for i, w in zip(chosen, weights, strict=True)]

    def pictures(self, attempt: int) -> int:
        return self.budget if attempt <= self.submissions else 0

    def publishes(self, improvement: int, min_step: int) -> bool:
        if self.least_own is None:
            return grains_of(improvement) >= min_step
        return improvement >= self.least_own


def choose_parents(
    strategy: LocalStrategy, candidates: Sequence[Candidate], genesis: Candidate, roles: Mapping[Address, Role]
) -> list[Parent]:
    """Rank the candidates by the strategy's merit and let it choose; genesis (level 0) is always among them."""

    def as_heard(candidate: Candidate) -> Candidate:
        votes = {v: i for v, i in candidate.votes.items() if strategy.listens_to(v, roles.get(v, Role(0)))}
        return replace(candidate, votes=votes)

    known = [as_heard(candidate) for candidate in candidates]
    scored = [(c, strategy.merit(c, list(c.votes.values()))) for c in known]
    scored = [(c, m) for c, m in scored if m > float("-inf")] + [(genesis, 0.0)]
    scored.sort(key=lambda item: (-item[1], -item[0].id))
    return strategy.parents(scored)
