"""What is legal in a task: the error that an act is refused with, read from the ghost model; None if it is legal.

The order of the checks is the order of the contracts, so the error is the exact one.
"""

from __future__ import annotations

from typing import Any

from .ghost import Ghost, Node
from .reference import DAY
from .task import FINAL, HIGHEST, LOWEST, OPEN, RESERVED, TRAINER, VALIDATOR, VOID

Error = str | None


class Law:
    def __init__(self, ghost: Ghost) -> None:
        self.g = ghost
        self.listed: set[Any] = set()  # accounts that the token refuses

    def node(self, who: Any) -> Node:
        return self.g.nodes.get(who) or Node()

    def known(self, id: int) -> bool:
        return 0 <= id < len(self.g.models)

    def dry(self, hop: tuple[int, int]) -> bool:
        """Nothing to pour."""
        return not self.g.held(hop)

    def _token(self, *accounts: Any) -> Error:
        return "Blacklisted" if self.listed.intersection(accounts) else None

    # --- stake ---

    def register(self, who: Any, roles: int) -> Error:
        if self.node(who).roles:
            return "VaultAlreadyRegistered"
        return None if 0 < roles <= 3 else "VaultBadRoles"

    def registered(self, who: Any) -> Error:
        return None if self.node(who).roles else "VaultNotRegistered"

    def deposit(self, who: Any, amount: int, registered: bool = False) -> Error:
        if not (registered or self.node(who).roles):
            return "VaultNotRegistered"
        return self._token(who) if amount else "VaultZeroAmount"

    def unstake(self, who: Any, amount: int) -> Error:
        node = self.node(who)
        if not node.roles:
            return "VaultNotRegistered"
        if not amount:
            return "VaultZeroAmount"
        if node.unbonding:
            return "VaultUnbondingPending"
        return "VaultInsufficientStake" if amount > node.free else None

    def withdraw(self, who: Any, to: Any, now: int, nowhere: Any) -> Error:
        node = self.node(who)
        if not node.unbonding:
            return "VaultNothingToWithdraw"
        if now < node.unbonding_at:
            return "VaultStillUnbonding"
        return "VaultBadRecipient" if to in nowhere else self._token(to)

    def claim(self, who: Any, to: Any, nowhere: Any) -> Error:
        if not self.node(who).credit:
            return "VaultNothingToClaim"
        return "VaultBadRecipient" if to in nowhere else self._token(to)

    # --- models ---

    def reserve(self, who: Any, now: int, most: int = 2**256 - 1) -> Error:
        p, node = self.g.p, self.node(who)
        if self.g.closed_at:
            return "RegistryClosed"
        if now < self.g.paused_until:
            return "RegistryPaused"
        fee = self.g.fee(now)
        if fee > most:
            return "RegistryFeeTooHigh"
        if not node.roles & TRAINER:
            return "VaultNotTrainer"
        return "VaultInsufficientStake" if node.free < p["submissionBond"] + fee else None

    def submit(self, who: Any, id: int, parents: Any, now: int, opens: bool = True, digests: bool = True) -> Error:
        if not self.known(id):
            return "RegistryUnknownId"
        model = self.g.models[id]
        if model.status != RESERVED:
            return "RegistryWrongStatus"
        if model.author != who:
            return "RegistryNotAuthor"
        if now >= self.g.window(id)[0]:
            return "RegistrySubmitWindowOver"
        if not opens:
            return "RegistryReservationMismatch"
        return self._parents(id, parents) if digests else "RegistryZeroDigest"

    def _parents(self, id: int, parents: Any) -> Error:
        if not 0 < len(parents) <= 4:
            return "RegistryBadParentCount"
        for i, (parent, bps) in enumerate(parents):
            if parent >= id or not self._submitted(parent):
                return "RegistryBadParent"
            if parent in [p for p, _ in parents[:i]]:
                return "RegistryDuplicateParent"
            if not bps:
                return "RegistryBadParentWeights"
        return None if sum(bps for _, bps in parents) == 10_000 else "RegistryBadParentWeights"

    def _submitted(self, id: int) -> bool:
        """Open, Final, or Void after it was Open: only a submission has parents, but for genesis."""
        model = self.g.models[id]
        return model.status in (OPEN, FINAL) or (model.status == VOID and bool(model.parents))

    def pause(self, who: Any, duration: int, now: int) -> Error:
        if who != self.g.p["guardian"]:
            return "RegistryNotGuardian"
        if duration > 14 * DAY:
            return "RegistryPauseTooLong"
        return "RegistryPauseTooSoon" if now < self.g.may_pause_at else None

    # --- votes ---

    def commit(
        self,
        sender: Any,
        voter: Any,
        id: int,
        now: int,
        zero: bool = False,
        right_record: bool = True,
        deadline: int = 0,
    ) -> Error:
        if zero:
            return "BookZeroCommitment"
        if not self.known(id):
            return "RegistryUnknownId"
        model, node = self.g.models[id], self.node(voter)
        if voter in model.votes and not model.votes[voter].settled:
            return "BookAlreadyCommitted"
        if model.status != OPEN:
            return "BookNotOpen"
        if not right_record:
            return "BookRecordMismatch"
        if model.author == voter:
            return "BookAuthorCannotVote"
        if deadline > self.g.window(id)[1]:
            return "BookDeadlineTooLate"
        if now >= self.g.window(id)[1]:
            return "BookCommitOver"
        if sender not in (voter, node.key):
            return "VaultNotVoter"
        if not node.roles & VALIDATOR:
            return "VaultNotValidator"
        weight = self.g.may_weigh(voter, id) if node.roles else 0
        if node.free < self.g.bond(weight):
            return "VaultInsufficientStake"
        return None if weight else "BookNoWeight"

    def commit_by_sig(self, voter: Any, id: int, deadline: int, now: int, valid: bool, zero: bool = False) -> Error:
        if now > deadline:
            return "BookSignatureExpired"
        return self.commit(voter, voter, id, now, zero, deadline=deadline) if valid else "BookBadSignature"

    def reveal(
        self, voter: Any, id: int, now: int, improvement: int, evidence: bool = True, opens: bool = True
    ) -> Error:
        vote = self.g.models[id].votes.get(voter) if self.known(id) else None
        if vote is None or vote.settled:
            return "BookNoCommitment"
        if vote.revealed:
            return "BookAlreadyRevealed"
        if not LOWEST <= improvement <= HIGHEST:
            return "BookImprovementOutOfRange"
        if not evidence:
            return "BookZeroEvidence"
        _, _, start, end = self.g.window(id)
        if not start <= now < end:
            return "BookNotRevealTime"
        return None if opens else "BookCommitmentMismatch"

    def finalize(self, id: int, now: int) -> Error:
        if id != self.g.next:
            return "BookNotNext"
        if not self.known(id):
            return "BookUnknownId"
        return "BookTooEarly" if now < self.g.window(id)[3] else None

    def settle(self, id: int) -> Error:
        if not self.known(id):
            return "RegistryUnknownId"
        return None if self.g.models[id].status in (FINAL, VOID) else "BookNotTerminal"

    # --- money ---

    def royalty(self, who: Any, id: int, amount: int) -> Error:
        if id and not self.known(id):
            return "RegistryUnknownId"
        if not id or self.g.models[id].status != FINAL:
            return "PoolNotPayable"
        return self._token(who) if amount else "VaultZeroAmount"

    def fund(self, who: Any, amount: int) -> Error:
        if who != self.g.p["sponsor"]:
            return "PoolNotSponsor"
        if self.g.closed_at:
            return "PoolClosed"
        return self._token(who) if amount else "VaultZeroAmount"

    def close(self, who: Any) -> Error:
        if who != self.g.p["sponsor"]:
            return "PoolNotSponsor"
        return "RegistryClosed" if self.g.closed_at else None

    def reclaim(self, who: Any, to: Any, now: int, nowhere: Any) -> Error:
        if who != self.g.p["sponsor"]:
            return "PoolNotSponsor"
        if error := self.ended(now):
            return error
        if not self.g.funds:
            return "PoolNothingToReclaim"
        return "VaultBadRecipient" if to in nowhere else self._token(to)

    def ended(self, now: int) -> Error:
        """Closed, every id terminal, grace over."""
        if not self.g.closed_at:
            return "PoolNotClosed"
        if self.g.next < len(self.g.models):
            return "PoolUnfinished"
        over = max(self.g.closed_at, self.g.last_final) + self.g.p["grace"]
        return "PoolGraceRunning" if now < over else None

    def divide(self, id: int, now: int) -> Error:
        return self.ended(now) or (None if self.known(id) else "RegistryUnknownId")
