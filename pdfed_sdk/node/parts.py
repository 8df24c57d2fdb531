"""What a node needs of training and scoring, as protocols: an integrator swaps either by a dotted path.

The real ones live in ``picture_parts.py`` and are wired by the command line; nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One node's private comparison of a candidate with a reference, both sampled from one seed (protocol, rule 4).

    ``improvement`` is the index of a bucket of grains of the objective, within [-8, 23]; positive is better.
    ``reference`` and ``candidate`` are publishable numbers (FID, V_A, V_C, R_C, objective, …). ``report`` and
    ``pairs`` are private: they become salted leaves of the evidence tree and never leave the node in clear.
    """

    improvement: int
    reference: Mapping[str, Any]
    candidate: Mapping[str, Any]
    report: bytes
    pairs: tuple[bytes, ...]
    copied: tuple[int, ...] = ()
    """How often the candidate's samples copied each training picture; private, for the node's dedup list."""


Heartbeat = Callable[[], None]
"""Called in the middle of long work, so that a vote is opened in its window; returns at once most of the time."""


class Evaluator(Protocol):
    """Scores models on the node's own pictures."""

    def compare(self, reference: Path, candidate: Path, seed: bytes, heartbeat: Heartbeat) -> Evaluation:
        """Compare two diffusers folders; ``seed`` is 32 bytes. Calls ``heartbeat`` at least once a second or so.

        Raises MlError when the *candidate* cannot be used (the vote is then -8); what is not its fault is another
        error, and no vote.
        """
        ...

    def hidden_parents(
        self,
        candidate: Path,
        reference: Path,
        suspects: Mapping[int, Path],
        others: Sequence[Path],
        seed: bytes,
        heartbeat: Heartbeat,
    ) -> list[int]:
        """Ids of ``suspects`` that the candidate was made from, as far as its own computations tell; none if nothing
        can be said. ``others`` went from the same ``reference`` and show, as it does, what distance is usual. Never
        raises for a model that cannot be compared."""
        ...

    def gate(self, evaluation: Evaluation) -> None:
        """Raise PublicationRefused when the candidate hands out this node's own pictures."""
        ...


StepHook = Callable[[int, int], bool]
"""Called between training steps with (pictures done, pictures wanted); False stops the training early."""


class Trainer(Protocol):
    """Trains on the node's own pictures."""

    def train(
        self,
        parents: Sequence[tuple[Path, int]],
        out: Path,
        *,
        pictures: int,
        seed: int,
        resume: Path,
        on_step: StepHook,
        excluded: Sequence[int] = (),
        halfway: Path | None = None,
    ) -> Mapping[str, Any] | None:
        """Train from the weighted average of ``parents`` (diffusers folders, basis points) and save to ``out``.

        ``resume`` is a snapshot file: training killed half-way goes on from it. ``excluded`` are training
        pictures that are left out (dedup list). ``halfway`` is a folder to save the model to as it stands after
        half of the pictures, for the gate; a trainer that cannot leaves it out. Returns the training facts for the
        manifest, JSON-ready; None if ``on_step`` ended it before the last picture. MlError abandons the attempt.
        """
        ...


@runtime_checkable
class Weighing(Protocol):
    """A trainer that can also say how several parents are best averaged; what it says is declared on chain."""

    def weigh(self, parents: Sequence[tuple[Path, int]], *, pictures: int, heartbeat: Heartbeat) -> list[int]:
        """Shares of ``parents`` (diffusers folders, basis points) for a training with so many ``pictures``, in basis
        points that sum to 10,000; 0 for a parent that is better left out. MlError if they cannot be averaged."""
        ...


def out_of_memory(error: Exception) -> bool:
    """Whether a part ran out of memory, of a device's too. Torch's errors are known by name and text: parts may come
    without it."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return "OutOfMemoryError" in names or "allocate memory" in str(error)
