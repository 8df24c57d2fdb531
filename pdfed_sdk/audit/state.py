"""What the events of a task tell: accounts, submissions, votes, ledgers. Amounts in token units, levels in grains."""

from __future__ import annotations

from dataclasses import dataclass, field

from pdfed_sdk.audit.contribution import Measured, carried
from pdfed_sdk.audit.rules import FIRST_Q
from pdfed_sdk.chain.calls import ZERO_ADDRESS
from pdfed_sdk.types import GENESIS, Address, ModelRecord, Status


@dataclass(slots=True)
class NodeState:
    """One account as the events tell it."""

    stake: int = 0
    locked: int = 0
    unbonding: int = 0
    credit: int = 0
    roles: int = 0
    voting_key: Address = ZERO_ADDRESS


@dataclass(slots=True)
class VoteRecord:
    """One vote as the events tell it."""

    commitment: bytes
    weight: int
    rate: int
    bond: int
    improvement: int | None = None
    settled: bool = False


@dataclass(slots=True)
class ShareState:
    """What a model holds of what a descendant earned, see contribution.py."""

    above: int = 0
    held: int = 0


@dataclass(slots=True)
class ModelState:
    """One submission as the events tell it. ``level`` L and ``measured`` M in grains, 0 unless Final."""

    author: Address
    reservation: bytes
    reference_id: int
    tau: int
    q: int
    eligible: int
    reserved_at: int
    bond: int = 0
    fee: int = 0
    surcharge: int = 0
    status: Status = Status.RESERVED
    record: ModelRecord | None = None
    outcome: int = 0
    median: int = 0
    level: int = 0
    measured: int = 0
    gain: int = 0
    previous_id: int = 0
    revealed_weight: int = 0
    yes_weight: int = 0
    votes: dict[Address, VoteRecord] = field(default_factory=dict)
    settled: bool = False
    """Whether bond and fee of the author have found their end."""
    owed: int = 0
    pending: int = 0
    shares: dict[int, ShareState] = field(default_factory=dict)
    """By the id of the model that earned it."""
    divided: int = 0
    """What it got of the commons at the end."""


@dataclass(slots=True)
class TaskState:
    """Everything the events tell about a task."""

    nodes: dict[Address, NodeState] = field(default_factory=dict)
    models: dict[int, ModelState] = field(default_factory=dict)
    escrow: int = 0
    treasury: int = 0
    """By the vault's events; it must be ``funds`` + ``commons`` + ``committed``."""
    funds: int = 0
    commons: int = 0
    histories: dict[Address, tuple[int, int]] = field(default_factory=dict)
    """Settled votes above τ, and settled votes, of each voter: what its own rate is made of."""
    tau: int = 0
    q: int = FIRST_Q
    activity: int = 0
    best: int = 0
    closed: bool = False
    paused_until: int = 0
    received: int = 0
    paid_out: int = 0
    faults: list[str] = field(default_factory=list)
    """What no correct contract would have emitted."""

    def node(self, address: Address) -> NodeState:
        return self.nodes.setdefault(address, NodeState())

    def final_parents(self, number: int) -> list[int]:
        """Declared parents that are Final, in order. Ids finalise in order, so this never changes afterwards."""
        record = self.models[number].record
        parents = () if record is None else record.parents
        return [int(parent.id) for parent in parents if self.models[int(parent.id)].status is Status.FINAL]

    def lineage(self, number: int) -> Measured:
        """A model as splitting sees it."""
        parents, own = self.final_parents(number), self.models[number].measured
        return Measured(own, carried(own, [self.models[parent].measured for parent in parents]), tuple(parents))

    def bases(self, source: int) -> tuple[int, int]:
        """M of the best that ``source`` took the place of, and M of its reference."""
        model = self.models[source]
        return self.models[model.previous_id].measured, self.models[model.reference_id].measured

    @property
    def committed(self) -> int:
        """Owed to models, pending, and on its way along declared parents."""
        waiting = sum(share.above + share.held for model in self.models.values() for share in model.shares.values())
        return waiting + sum(model.owed + model.pending for model in self.models.values())

    @property
    def held(self) -> int:
        """What the vault must hold: the sum of all ledgers (invariant solvency)."""
        own = sum(node.stake + node.locked + node.unbonding + node.credit for node in self.nodes.values())
        return own + self.escrow + self.treasury

    def ledgers(self) -> dict[str, int]:
        """Every ledger by name, to find one below zero."""
        found = {"escrow": self.escrow, "treasury": self.treasury, "funds": self.funds, "commons": self.commons}
        for address, node in self.nodes.items():
            for name in ("stake", "locked", "unbonding", "credit"):
                found[f"{name} of {address}"] = getattr(node, name)
        for number, model in self.models.items():
            found[f"pending of {number}"], found[f"owed by {number}"] = model.pending, model.owed
            for source, share in model.shares.items():
                found[f"share of {number} in {source}"] = min(share.above, share.held)
        return found

    def flow_to(self, number: int, amount: int) -> None:
        """Make an amount pending for a model; what reaches genesis is the commons'."""
        if number == GENESIS:
            self.commons += amount
        else:
            self.models[number].pending += amount
