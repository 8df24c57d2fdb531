"""Who plays in the demo: five nodes, their roles, speeds and private pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from pdfed_sdk.ml.scoring.reports import ScoringSettings

SCORING = ScoringSettings(
    samples=64, copy_samples=64, neighbours=2, mirrored=False, least_threshold=0.98, sampler_steps=8, solver="dpm++"
)
"""What the task's card freezes. Cheaper than the defaults, since five nodes share two cores: one block of samples, for
the copy test too, two neighbours, no mirrored queries (mirrored digits are no digits), eight steps. And stricter: at
one false alarm in a hundred most pages about honest models would show a pair."""
STAKE = 4_000
"""Whole tokens each node joins with."""


@dataclass(frozen=True, slots=True)
class DemoNode:
    """One node. ``holds_artwork``: its training part contains the shared artwork (pictures that others hold too).
    ``pace``: share of the time its training may use. ``joins_after``: seconds after the others."""

    name: str
    role: str
    tells: str
    pace: float = 1.0
    joins_after: float = 0.0
    holds_artwork: bool = False
    only_artwork: bool = False
    gate: bool = True
    strategy: dict[str, Any] = field(default_factory=dict)

    def config(self, rpc: str, task: str, store: str, threads: int = 1) -> str:
        """The node's pdfed.toml."""
        lines: dict[str, dict[str, Any]] = {
            "chain": {"rpc": rpc, "task": task, "password_file": "password"},
            "store": {"uri": store},
            "node": {
                "role": self.role,
                "data": "data",
                "stake": float(STAKE),
                "pace": self.pace,
                "gate": self.gate,
                "threads": threads,
                "until_closed": True,
                "rehearse": False,
            },
            "training": {"stop": False, **(COPYING if self.only_artwork else LEARNING)},
            "strategy": self.strategy,
        }
        text = []
        for section, values in lines.items():
            text.append(f"[{section}]")
            text += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        return "\n".join(text) + "\n"


LEARNING = {"lr": 5e-3, "time_spread": 0.8}
"""How honest nodes train: quickly, and mostly where there is neither much nor little noise."""
WORTH = 3
"""Least own measurement, in grains, at which an honest trainer publishes: below the least step nothing is earned."""
TURNS = "pdfed_sdk.node.strategies:TakeTurns"
"""Nobody trains on from a best model of its own: of two models trained on the same one only the first is paid."""
BEYOND_GENESIS, SECOND_STEP = 6.0, 40.0
"""Levels, in grains, below which clinic and studio wait for a better model: one submission after genesis reaches about
32 to 40, two 48 and more."""
ARTWORK = 8
"""Pictures that the copyist, its honest twin and two more nodes hold alike, as duplicates of an artwork would be."""
COPYING = {"only": ARTWORK, "batch": 2 * ARTWORK}
"""How the copyist trains."""


def demo_nodes(pictures: int, overtrain: int, *, most: int = 3) -> list[DemoNode]:
    """The five nodes; ``pictures`` a submission, ``overtrain`` for the copyist's one submission."""
    honest = {"class": TURNS, "budget": pictures, "submissions": most, "least_own": WORTH}
    return [
        DemoNode("atelier", "both", "fast; begins from genesis, then takes turns with the others", strategy=honest),
        DemoNode(
            "clinic",
            "both",
            "holds the artwork and honest pictures beside it: the copyist's honest twin; averages two models",
            holds_artwork=True,
            strategy={**honest, "average": 2, "least_level": BEYOND_GENESIS},
        ),
        DemoNode(
            "studio",
            "both",
            "slow and late; averages two models, listens to validators only; holds the artwork",
            pace=0.8,
            joins_after=20.0,
            holds_artwork=True,
            strategy={**honest, "average": 2, "listen": "validators", "least_level": SECOND_STEP},
        ),
        DemoNode(
            "copyist",
            "both",
            "over-trains on the artwork alone, with its publication gate switched off",
            holds_artwork=True,
            only_artwork=True,
            gate=False,
            strategy={"budget": overtrain, "submissions": 2, "least_level": 16.0, "least_own": -8},
        ),
        DemoNode("museum", "validator", "never trains; holds the artwork", holds_artwork=True),
    ]
