"""Events → state, purely: every account, submission, vote and ledger of a task, rebuilt from its events alone.

Everything the events state that follows from earlier ones is computed again (rules.py, contribution.py): fees and
bonds, outcomes, levels, gains, thresholds, the running weight, voters' pay and charges, the draw on the commons, every
share of every reward. What differs is collected as a fault. Only the draw on the allowance is taken as stated: it
depends on the time of its block and on stake that is not in the events.
"""

from __future__ import annotations

from pdfed_sdk.audit.rules import (
    activity_after,
    add_to_history,
    fee_of,
    gain_of,
    majority_of_others,
    measured,
    moved,
    own_rate,
    payment,
    quantile,
    quorum,
    upper_median,
    vote_bond,
)
from pdfed_sdk.audit.state import ModelState, TaskState, VoteRecord
from pdfed_sdk.audit.treasury import TREASURY, Treasury
from pdfed_sdk.buckets import LOWEST, grains_of
from pdfed_sdk.chain import event_types as types
from pdfed_sdk.chain.calls import ZERO_ADDRESS, Result, Standing, TaskParams, Trend
from pdfed_sdk.errors import AuditFailed
from pdfed_sdk.types import BPS, Address, ModelDigests, ModelRecord, Status

Bonded = types.SubmissionBonded | types.VoteBonded
Moved = types.Deposited | types.UnstakeRequested | types.Withdrawn | types.Claimed | types.Credited


class Reducer:
    """Events → state. ``apply`` them in order; what contradicts the rules is collected in ``state.faults``.

    ``state`` goes on from what an earlier reducer had made of all events up to the end of a block.
    """

    def __init__(self, params: TaskParams, genesis: ModelDigests, state: TaskState | None = None) -> None:
        self.params = params
        first = ModelState(ZERO_ADDRESS, bytes(32), 0, 0, 0, 0, 0, status=Status.FINAL, record=ModelRecord(genesis, ()))
        self.state = state or TaskState(models={0: first}, tau=params.start_tau)
        self.treasury = Treasury(params, self.state, self.expect)
        self._bonded: dict[tuple[int, Address], Bonded] = {}
        """Bonds whose act is announced by the next event."""

    def apply(self, event: types.Event) -> None:
        """One event; an unknown class raises AuditFailed, so that none is ever passed over."""
        match event:
            case types.NodeRegistered():
                node = self.state.node(event.node)
                node.roles, node.voting_key = event.roles, event.voting_key
            case types.VotingKeyChanged():
                self.state.node(event.node).voting_key = event.voting_key
            case types.Deposited() | types.UnstakeRequested() | types.Withdrawn() | types.Claimed() | types.Credited():
                self._moved(event)
            case types.SubmissionBonded() | types.VoteBonded():
                self._bond(event)
            case types.Reserved():
                self._reserved(event)
            case types.Submitted():
                self._submitted(event)
            case types.Committed():
                self._committed(event)
            case types.Revealed():
                self._revealed(event)
            case types.Finalized():
                self._finalized(event)
            case types.BestChanged():
                self._best_changed(event)
            case types.Settled():
                self._settled(event)
            case types.Closed():
                self.state.closed = True
            case types.Paused():
                self.state.paused_until = event.until
            case _ if isinstance(event, TREASURY):
                self.treasury.apply(event)
            case _ if not isinstance(event, SILENT):
                raise AuditFailed(f"the audit does not know the event {type(event).__name__}", hint="upgrade the SDK")

    def fault(self, event: types.Event, what: str) -> None:
        self.state.faults.append(f"{type(event).__name__} in block {event.where.block}: {what}")

    def expect(self, event: types.Event, what: str, found: object, wanted: object) -> None:
        """Collect a fault unless what the event says is what follows from the events before it."""
        if found != wanted:
            self.fault(event, f"{what} is {found}, should be {wanted}")

    # --- accounts ---

    def _moved(self, event: Moved) -> None:
        state = self.state
        match event:
            case types.Deposited():
                state.node(event.node).stake += event.amount
                state.received += event.amount
            case types.UnstakeRequested():
                state.node(event.node).stake -= event.amount
                state.node(event.node).unbonding += event.amount
            case types.Withdrawn():
                state.node(event.node).unbonding -= event.amount
                state.paid_out += event.amount
            case types.Claimed():
                state.node(event.node).credit -= event.amount
                state.paid_out += event.amount
            case types.Credited():
                state.node(event.author).credit += event.amount
                state.treasury -= event.amount

    def _bond(self, event: Bonded) -> None:
        who = event.author if isinstance(event, types.SubmissionBonded) else event.voter
        node = self.state.node(who)
        node.stake -= event.bond
        node.locked += event.bond
        if isinstance(event, types.SubmissionBonded):
            node.stake -= event.fee + event.surcharge
            self.state.escrow += event.fee
            self.state.treasury += event.surcharge
            self.state.commons += event.surcharge
        self._bonded[event.id, who] = event

    # --- submissions ---

    def _reserved(self, event: types.Reserved) -> None:
        state, params = self.state, self.params
        self.expect(event, "id", event.id, len(state.models))
        self.expect(event, "reference", event.reference_id, state.best)
        self.expect(event, "threshold and rate", (event.tau, event.q), (state.tau, state.q))
        model = ModelState(
            event.author, event.reservation, event.reference_id, event.tau, event.q, event.eligible, event.reserved_at
        )
        bonded = self._bonded.pop((event.id, event.author), None)
        if isinstance(bonded, types.SubmissionBonded):
            model.bond, model.fee, model.surcharge = bonded.bond, bonded.fee, bonded.surcharge
        fee = fee_of(params.scoring_fee, open_ids(state, params, event.reserved_at), params.slots)
        wanted = params.submission_bond, params.scoring_fee, fee - params.scoring_fee
        self.expect(event, "bond, fee and surcharge", (model.bond, model.fee, model.surcharge), wanted)
        state.models[event.id] = model

    def _submitted(self, event: types.Submitted) -> None:
        model, parents = self._model(event.id), event.record.parents
        self.expect(event, "author", event.author, model.author)
        self.expect(event, "status", model.status, Status.RESERVED)
        self.expect(event, "parents' weights", sum(parent.weight_bps for parent in parents), BPS)
        for parent in parents:
            if parent.id >= event.id or self._model(parent.id).record is None:
                self.fault(event, f"parent {parent.id} of {event.id} is not an earlier id that was submitted")
        model.status, model.record = Status.OPEN, event.record

    def _model(self, number: int) -> ModelState:
        if number not in self.state.models:
            raise AuditFailed(f"an event names submission {number}, which was never reserved")
        return self.state.models[number]

    # --- votes ---

    def _committed(self, event: types.Committed) -> None:
        model = self._model(event.id)
        self.expect(event, "status", model.status, Status.OPEN)
        if event.voter in model.votes or event.voter == model.author:
            self.fault(event, f"{event.voter} may not vote on {event.id} (again)")
        bonded = self._bonded.pop((event.id, event.voter), None)
        bond = 0 if bonded is None else bonded.bond
        self.expect(event, "bond", bond, vote_bond(event.weight, self.params.min_stake, self.params.vote_bond_bps))
        yes, seen = self.state.histories.get(event.voter, (0, 0))
        self.expect(event, f"own rate of {event.voter}", event.rate, own_rate(yes, seen, model.q))
        model.votes[event.voter] = VoteRecord(event.commitment, event.weight, event.rate, bond)

    def _revealed(self, event: types.Revealed) -> None:
        model = self._model(event.id)
        vote = model.votes.get(event.voter)
        if vote is None or vote.improvement is not None:
            self.fault(event, f"{event.voter} has nothing to reveal on {event.id}")
            return
        vote.improvement = event.improvement

    def _finalized(self, event: types.Finalized) -> None:
        state, model = self.state, self._model(event.id)
        status, result = outcome_of(model, self.params, state.activity)
        self.expect(event, f"result of {event.id}", (event.status, event.result), (status, result))
        self.expect(
            event, f"standing of {event.id}", event.standing, standing_of(state, model, result, status, self.params)
        )
        tau, q, activity = state.tau, state.q, state.activity
        if status is Status.FINAL:
            tau, q = moved(tau, q, result.median, result.yes_weight, result.revealed_weight)
        if model.status is Status.OPEN:
            activity = activity_after(activity, result.revealed_weight, model.eligible)
        self.expect(event, f"what the task learnt from {event.id}", event.next, Trend(tau, q, activity))
        model.status, found, standing = event.status, event.result, event.standing
        model.outcome, model.median = found.outcome, found.median
        model.revealed_weight, model.yes_weight = found.revealed_weight, found.yes_weight
        model.level, model.measured = standing.level, standing.measured
        model.gain, model.previous_id = standing.gain, standing.previous_id
        state.tau, state.q, state.activity = event.next.tau, event.next.q, event.next.activity

    def _best_changed(self, event: types.BestChanged) -> None:
        self.expect(event, "previous best", event.previous, self.state.best)
        self.expect(event, "gain", self._model(event.id).gain > 0, True)
        self.state.best = event.id

    def _settled(self, event: types.Settled) -> None:
        model, state = self._model(event.id), self.state
        if event.node == model.author:
            self.expect(event, f"settled before ({event.id})", model.settled, False)
            model.settled, wanted = True, end_of_submission(model, self.params)
        else:
            vote = model.votes.get(event.node, VoteRecord(b"", 0, 0, 0))
            self.expect(event, f"settled before ({event.node})", vote.settled, False)
            vote.settled, wanted = True, end_of_vote(model, vote, self.params)
            if vote.improvement is not None and measured(vote.improvement):
                yes, seen = state.histories.get(event.node, (0, 0))
                state.histories[event.node] = add_to_history(yes, seen, vote.improvement > model.tau)
        found = (event.released, event.forfeited, event.paid, event.to_commons)
        self.expect(event, f"bond and pay of {event.node} for {event.id}", found, wanted)
        node = state.node(event.node)
        node.locked -= event.released + event.forfeited
        node.stake += event.released
        node.credit += event.paid
        state.escrow -= event.paid + event.to_commons
        state.treasury += event.forfeited + event.to_commons
        state.commons += event.forfeited + event.to_commons


SILENT = (
    *(types.MetadataChanged, types.CommitSkipped, types.RevealSkipped, types.SettleSkipped, types.PourSkipped),
    *(types.Initialized, types.EIP712DomainChanged, types.TaskCreated),
)
"""Events that move nothing."""


def open_ids(state: TaskState, params: TaskParams, now: int) -> int:
    """Ids whose reveal window has not ended at ``now``, genesis left out."""
    life = params.commit_window + params.reveal_gap + params.reveal_window
    return sum(model.reserved_at + life > now for number, model in state.models.items() if number)


def outcome_of(model: ModelState, params: TaskParams, activity: int) -> tuple[Status, Result]:
    """What the revealed votes say (rules 6, 7, 13)."""
    revealed = [(vote.improvement, vote.weight) for vote in model.votes.values() if vote.improvement is not None]
    weight = sum(w for _, w in revealed)
    yes = sum(w for improvement, w in revealed if improvement > model.tau)
    enough = quorum(weight, model.eligible, activity, params.quorum_floor)
    if model.status is not Status.OPEN or len(revealed) < params.min_voters or not enough:
        return Status.VOID, Result(0, 0, weight, yes)
    return Status.FINAL, Result(quantile(revealed, params.kappa_bps), upper_median(revealed), weight, yes)


def standing_of(state: TaskState, model: ModelState, result: Result, status: Status, params: TaskParams) -> Standing:
    """What becomes of a model (rule 8); all zero unless it is Final."""
    if status is not Status.FINAL:
        return Standing(0, 0, 0, 0)
    reference, best = state.models[model.reference_id], state.models[state.best]
    level = reference.level + grains_of(result.outcome)
    newest = model.reference_id == state.best
    gain = gain_of(level, best.level, result.outcome, params.min_step, reference_is_best=newest)
    previous = state.best if gain else model.reference_id
    return Standing(level, reference.measured + grains_of(result.median), gain, previous)


def end_of_submission(model: ModelState, params: TaskParams) -> tuple[int, int, int, int]:
    """(bond released, forfeited, fee back, rest of the fee to the commons) of a terminal id (rules 7, 12, 13)."""
    lost = model.median == LOWEST if model.status is Status.FINAL else model.record is None
    bond = params.submission_bond
    released, forfeited = (0, bond) if lost else (bond, 0)
    if model.status is not Status.FINAL:
        return released, forfeited, params.scoring_fee, 0
    return released, forfeited, 0, params.scoring_fee % model.revealed_weight


def end_of_vote(model: ModelState, vote: VoteRecord, params: TaskParams) -> tuple[int, int, int, int]:
    """(bond released, forfeited, paid, slice left for the commons) of a vote on a terminal id (rules 11, 12)."""
    if vote.improvement is None:
        return 0, vote.bond, 0, 0
    if model.status is not Status.FINAL:
        return vote.bond, 0, 0, 0
    slice_ = params.scoring_fee // model.revealed_weight * vote.weight
    if not measured(model.median):
        return vote.bond, 0, 0, slice_
    bit = vote.improvement > model.tau
    others = majority_of_others(model.revealed_weight, model.yes_weight, vote.weight, bit)
    paid, charged = payment(bit, others, vote.rate, model.q, slice_, vote.bond)
    return vote.bond - charged, charged, paid, slice_ - paid
