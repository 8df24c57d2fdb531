"""Events → state, purely: every account, submission, vote and ledger of a task, rebuilt from its events alone.

Everything the events state that follows from earlier ones is computed again (rules.py): outcomes, levels, thresholds,
bonds, voters' pay and charges, shares of the lineage. What differs is collected as a fault. Only the size of a reward
is taken as stated: it depends on the time of its block, which not every endpoint tells.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pdfed_sdk.audit.rules import (
    WAD,
    add_to_history,
    majority_of_others,
    moved,
    own_rate,
    payment,
    poured,
    quantile,
    shares,
    vote_bond,
)
from pdfed_sdk.chain import event_types
from pdfed_sdk.chain.calls import ZERO_ADDRESS, TaskParams
from pdfed_sdk.errors import AuditFailed
from pdfed_sdk.types import BPS, GENESIS, LOWEST, Address, ModelDigests, ModelRecord, Status


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
class ModelState:
    """One submission as the events tell it."""

    author: Address
    reservation: bytes
    reference_id: int
    tau: int
    q: int
    eligible: int
    reserved_at: int
    status: Status = Status.RESERVED
    record: ModelRecord | None = None
    outcome: int = 0
    median: int = 0
    level: int = 0
    gain: int = 0
    revealed_weight: int = 0
    yes_weight: int = 0
    votes: dict[Address, VoteRecord] = field(default_factory=dict)
    pending: int = 0
    owed: int = 0
    sharing: list[tuple[int, int]] = field(default_factory=list)
    """(id, amount) still to be announced of a reward that is being shared out."""


@dataclass(slots=True)
class TaskState:
    """Everything the events tell about a task. Amounts in token units."""

    nodes: dict[Address, NodeState] = field(default_factory=dict)
    models: dict[int, ModelState] = field(default_factory=dict)
    escrow: int = 0
    pool: int = 0
    """The allowance and all that is owed or pending included."""
    histories: dict[Address, tuple[int, int]] = field(default_factory=dict)
    """Votes above τ, and votes, of each voter: what its own rate is made of."""
    tau: int = 0
    q: int = WAD // 2
    best: int = 0
    closed: bool = False
    paused_until: int = 0
    received: int = 0
    paid_out: int = 0
    faults: list[str] = field(default_factory=list)
    """What no correct contract would have emitted."""

    def node(self, address: Address) -> NodeState:
        return self.nodes.setdefault(address, NodeState())

    @property
    def pending_total(self) -> int:
        return sum(model.pending + model.owed for model in self.models.values())

    @property
    def held(self) -> int:
        """What the vault must hold: the sum of all ledgers (invariant solvency)."""
        own = sum(node.stake + node.locked + node.unbonding + node.credit for node in self.nodes.values())
        return own + self.escrow + self.pool

    def ledgers(self) -> dict[str, int]:
        """Every ledger by name, to find one below zero."""
        found = {"escrow": self.escrow, "pool": self.pool}
        for address, node in self.nodes.items():
            for name in ("stake", "locked", "unbonding", "credit"):
                found[f"{name} of {address}"] = getattr(node, name)
        for number, model in self.models.items():
            found[f"pending of {number}"], found[f"owed by {number}"] = model.pending, model.owed
        return found


class Reducer:
    """Events → state. ``apply`` them in order; what contradicts the rules is collected in ``state.faults``."""

    def __init__(self, params: TaskParams, genesis: ModelDigests) -> None:
        self.params = params
        first = ModelState(ZERO_ADDRESS, bytes(32), 0, 0, 0, 0, 0, Status.FINAL, ModelRecord(genesis, ()))
        self.state = TaskState(models={0: first}, tau=params.start_tau)

    def apply(self, event: event_types.Event) -> None:
        """One event; an unknown class raises AuditFailed, so that none is ever passed over."""
        match event:
            case event_types.NodeRegistered():
                node = self.state.node(event.node)
                node.roles, node.voting_key = event.roles, event.voting_key
            case event_types.VotingKeyChanged():
                self.state.node(event.node).voting_key = event.voting_key
            case (
                event_types.Deposited()
                | event_types.UnstakeRequested()
                | event_types.Withdrawn()
                | event_types.Claimed()
            ):
                self._moved(event)
            case event_types.Reserved():
                self._reserved(event)
            case event_types.Submitted():
                self._submitted(event)
            case event_types.Committed():
                self._committed(event)
            case event_types.Revealed():
                self._revealed(event)
            case event_types.Finalized():
                self._finalized(event)
            case event_types.BestChanged():
                self._best_changed(event)
            case event_types.SubmissionSettled():
                self._submission_settled(event)
            case event_types.VoteSettled():
                self._vote_settled(event)
            case event_types.Funded() | event_types.Reclaimed():
                self._sponsored(event)
            case (
                event_types.RoyaltyPaid()
                | event_types.Rewarded()
                | event_types.RewardShared()
                | event_types.LineageShared()
                | event_types.Poured()
            ):
                self._shared(event)
            case event_types.Closed():
                self.state.closed = True
            case event_types.Paused():
                self.state.paused_until = event.until
            case event_types.MetadataChanged() | event_types.CommitSkipped() | event_types.RevealSkipped():
                pass
            case event_types.SettleSkipped() | event_types.PourSkipped():
                pass
            case event_types.Initialized() | event_types.EIP712DomainChanged() | event_types.TaskCreated():
                pass
            case _:
                raise AuditFailed(f"the audit does not know the event {type(event).__name__}", hint="upgrade the SDK")

    def _fault(self, event: event_types.Event, what: str) -> None:
        self.state.faults.append(f"{type(event).__name__} in block {event.where.block}: {what}")

    def _expect(self, event: event_types.Event, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self._fault(event, f"{what} is {found}, should be {wanted}")

    def _model(self, number: int) -> ModelState:
        if number not in self.state.models:
            raise AuditFailed(f"an event names submission {number}, which was never reserved")
        return self.state.models[number]

    # --- accounts ---

    def _moved(
        self, event: event_types.Deposited | event_types.UnstakeRequested | event_types.Withdrawn | event_types.Claimed
    ) -> None:
        node = self.state.node(event.node)
        match event:
            case event_types.Deposited():
                node.stake += event.amount
                self.state.received += event.amount
            case event_types.UnstakeRequested():
                node.stake -= event.amount
                node.unbonding += event.amount
            case event_types.Withdrawn():
                node.unbonding -= event.amount
                self.state.paid_out += event.amount
            case event_types.Claimed():
                node.credit -= event.amount
                self.state.paid_out += event.amount

    # --- submissions and votes ---

    def _reserved(self, event: event_types.Reserved) -> None:
        self._expect(event, "id", event.id, len(self.state.models))
        self._expect(event, "reference", event.reference_id, self.state.best)
        self._expect(event, "threshold and rate", (event.tau, event.q), (self.state.tau, self.state.q))
        author = self.state.node(event.author)
        author.stake -= self.params.submission_bond + self.params.scoring_fee
        author.locked += self.params.submission_bond
        self.state.escrow += self.params.scoring_fee
        self.state.models[event.id] = ModelState(
            event.author, event.reservation, event.reference_id, event.tau, event.q, event.eligible, event.reserved_at
        )

    def _submitted(self, event: event_types.Submitted) -> None:
        model, parents = self._model(event.id), event.record.parents
        self._expect(event, "author", event.author, model.author)
        self._expect(event, "status", model.status, Status.RESERVED)
        self._expect(event, "parents' weights", sum(parent.weight_bps for parent in parents), BPS)
        for parent in parents:
            if parent.id >= event.id or self._model(parent.id).status not in (Status.OPEN, Status.FINAL):
                self._fault(event, f"parent {parent.id} of {event.id} is not an earlier open or final id")
        model.status, model.record = Status.OPEN, event.record

    def _committed(self, event: event_types.Committed) -> None:
        model, voter = self._model(event.id), self.state.node(event.voter)
        self._expect(event, "status", model.status, Status.OPEN)
        if event.voter in model.votes or event.voter == model.author:
            self._fault(event, f"{event.voter} may not vote on {event.id} (again)")
        wanted = vote_bond(event.weight, self.params.min_stake, self.params.vote_bond_bps)
        self._expect(event, "bond", event.bond, wanted)
        yes, seen = self.state.histories.get(event.voter, (0, 0))
        self._expect(event, f"own rate of {event.voter}", event.rate, own_rate(yes, seen, model.q))
        voter.stake -= event.bond
        voter.locked += event.bond
        model.votes[event.voter] = VoteRecord(event.commitment, event.weight, event.rate, event.bond)

    def _revealed(self, event: event_types.Revealed) -> None:
        model = self._model(event.id)
        vote = model.votes.get(event.voter)
        if vote is None or vote.improvement is not None:
            self._fault(event, f"{event.voter} has nothing to reveal on {event.id}")
            return
        vote.improvement = event.improvement
        if event.improvement > LOWEST:
            yes, seen = self.state.histories.get(event.voter, (0, 0))
            self.state.histories[event.voter] = add_to_history(yes, seen, event.improvement > model.tau)

    def _finalized(self, event: event_types.Finalized) -> None:
        model = self._model(event.id)
        seen = outcome_of(model, self.params)
        found = (event.status, event.revealed_weight, event.yes_weight, event.outcome, event.median)
        self._expect(event, f"result of {event.id}", found, seen)
        level = self._model(model.reference_id).level + event.outcome if event.status is Status.FINAL else 0
        delta = level - self._model(self.state.best).level
        gain = delta if event.status is Status.FINAL and delta >= self.params.min_step else 0
        self._expect(event, f"level and gain of {event.id}", (event.level, event.gain), (level, gain))
        model.status, model.outcome, model.median = event.status, event.outcome, event.median
        model.level, model.gain = event.level, event.gain
        model.revealed_weight, model.yes_weight = event.revealed_weight, event.yes_weight
        if model.status is Status.FINAL:
            now = self.state
            now.tau, now.q = moved(now.tau, now.q, model.median, model.yes_weight, model.revealed_weight)

    def _best_changed(self, event: event_types.BestChanged) -> None:
        self._expect(event, "previous best", event.previous, self.state.best)
        self._expect(event, "gain", self._model(event.id).gain > 0, True)
        self.state.best = event.id

    def _submission_settled(self, event: event_types.SubmissionSettled) -> None:
        model, bond, fee = self._model(event.id), self.params.submission_bond, self.params.scoring_fee
        forfeited = 0 if model.record is not None else bond
        returned = fee if model.revealed_weight == 0 else 0
        to_pool = 0 if returned else fee % model.revealed_weight if model.status is Status.FINAL else fee
        self._settled(event, event.author, event.fee_returned, (bond - forfeited, forfeited, returned, to_pool))

    def _vote_settled(self, event: event_types.VoteSettled) -> None:
        model = self._model(event.id)
        vote = model.votes.get(event.voter, VoteRecord(b"", 0, 0, 0))
        self._expect(event, f"settled before ({event.voter})", vote.settled, False)
        vote.settled = True
        self._settled(event, event.voter, event.paid, pay_of(model, vote, self.params))

    def _settled(
        self,
        event: event_types.SubmissionSettled | event_types.VoteSettled,
        address: Address,
        credited: int,
        wanted: tuple[int, int, int, int],
    ) -> None:
        """Bond and fee of one act end; ``wanted``: released, forfeited, to the node, to the pool."""
        found = (event.bond_released, event.bond_forfeited, credited, event.fee_to_pool)
        self._expect(event, f"bond and pay of {address} for {event.id}", found, wanted)
        node = self.state.node(address)
        node.locked -= event.bond_released + event.bond_forfeited
        node.stake += event.bond_released
        node.credit += credited
        self.state.escrow -= credited + event.fee_to_pool
        self.state.pool += event.bond_forfeited + event.fee_to_pool

    # --- pool and lineage ---

    def _sponsored(self, event: event_types.Funded | event_types.Reclaimed) -> None:
        if isinstance(event, event_types.Funded):
            self.state.pool += event.amount
            self.state.received += event.amount
        else:
            self.state.pool -= event.amount
            self.state.paid_out += event.amount

    def _shared(
        self,
        event: event_types.RoyaltyPaid
        | event_types.Rewarded
        | event_types.RewardShared
        | event_types.LineageShared
        | event_types.Poured,
    ) -> None:
        match event:
            case event_types.RoyaltyPaid():
                self.state.pool += event.amount
                self.state.received += event.amount
                self._model(event.id).owed += event.amount
            case event_types.Rewarded():
                self._expect(event, "author", event.author, self._model(event.id).author)
                self._model(event.id).owed += event.reward
            case event_types.RewardShared():
                self._reward_shared(event)
            case event_types.LineageShared():
                model = self._model(event.from_)
                wanted = model.sharing.pop(0) if model.sharing else None
                self._expect(event, f"share of {event.from_}", (event.to, event.amount), wanted)
                model.owed -= event.amount
                self._give(event.to, event.amount)
            case event_types.Poured():
                model = self._model(event.id)
                mine = poured(model.pending, self.params.decay_bps, model.gain)
                found, wanted = (event.to_author, event.passed), (mine, model.pending - mine)
                self._expect(event, f"pour of {event.id}", (*found, event.reference_id), (*wanted, model.reference_id))
                model.pending -= event.to_author + event.passed
                self._credit(event.author, event.to_author)
                self._give(event.reference_id, event.passed)

    def _reward_shared(self, event: event_types.RewardShared) -> None:
        model = self._model(event.id)
        final = [
            (parent.id, parent.weight_bps)
            for parent in (() if model.record is None else model.record.parents)
            if self._model(parent.id).status is Status.FINAL
        ]
        kept, model.sharing = shares(model.owed, self.params.lineage_bps, final, model.reference_id)
        found, wanted = (event.to_author, event.to_lineage), (kept, model.owed - kept)
        self._expect(event, f"what {event.id} earned", found, wanted)
        model.owed -= event.to_author
        self._credit(event.author, event.to_author)

    def _credit(self, author: Address, amount: int) -> None:
        self.state.pool -= amount
        if amount:
            self.state.node(author).credit += amount

    def _give(self, number: int, amount: int) -> None:
        """To a model's pending share; what reaches genesis is the pool's again."""
        if number != GENESIS:
            self._model(number).pending += amount


def outcome_of(model: ModelState, params: TaskParams) -> tuple[Status, int, int, int, int]:
    """(status, revealed weight, weight above tau, outcome, median) of the revealed votes (rules 6, 7)."""
    revealed = [(vote.improvement, vote.weight) for vote in model.votes.values() if vote.improvement is not None]
    weight = sum(w for _, w in revealed)
    yes = sum(w for improvement, w in revealed if improvement > model.tau)
    quorum = weight >= params.quorum_floor and weight * BPS >= params.quorum_bps * model.eligible
    if model.status is not Status.OPEN or len(revealed) < params.min_voters or not quorum:
        return Status.VOID, weight, yes, 0, 0
    return (
        Status.FINAL,
        weight,
        yes,
        quantile(revealed, params.kappa_bps),
        quantile(revealed, BPS // 2),
    )


def pay_of(model: ModelState, vote: VoteRecord, params: TaskParams) -> tuple[int, int, int, int]:
    """(bond released, forfeited, paid, slice left for the pool) of a vote on a terminal id (rules 11, 12)."""
    if vote.improvement is None:
        return 0, vote.bond, 0, 0
    if model.status is not Status.FINAL:
        return vote.bond, 0, 0, 0
    slice_ = params.scoring_fee // model.revealed_weight * vote.weight
    if model.median == LOWEST:
        return vote.bond, 0, 0, slice_
    bit = vote.improvement > model.tau
    others = majority_of_others(model.revealed_weight, model.yes_weight, vote.weight, bit)
    paid, charged = payment(bit, others, vote.rate, model.q, slice_, vote.bond)
    return vote.bond - charged, charged, paid, slice_ - paid
