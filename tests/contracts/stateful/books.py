"""Invariants that compare what the contracts say with the ghost model and with the events: no call is made for them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis.stateful import invariant
from support.reference import BPS, WAD, poured, quantile, reward
from support.task import FINAL, LOWEST, OPEN, RESERVED, VOID

from pdfed_sdk.chain import event_types

from .base import Plumbing, Side
from .reading import Reading, watched, word, words
from .world import content

ONE = 1 << 24
TERMINAL = (FINAL, VOID)
# gas of an act: so much, and so much for each item of a batch. Those of protocol.md where they hold in any state; a
# little more room where an act may be the first to write a ledger, a past weight or a share (`tests/contracts/gas`
# holds the ordinary cases to the protocol's)
CEILINGS = {
    "vault.register": (75_000, 0),
    "vault.registerAndDeposit": (210_000, 0),
    "vault.deposit": (150_000, 0),
    "vault.requestUnstake": (140_000, 0),
    "vault.withdraw": (80_000, 0),
    "vault.claim": (75_000, 0),
    "registry.reserve": (195_000, 0),
    "registry.submit": (115_000, 0),
    "book.commit": (90_000, 0),
    "book.commitMany": (40_000, 60_000),
    "book.commitBySig": (105_000, 0),
    "book.reveal": (85_000, 0),
    "book.revealMany": (40_000, 60_000),
    "book.finalize": (160_000, 0),
    "book.finalizeMany": (45_000, 160_000),
    "book.settle": (95_000, 75_000),
    "pool.pour": (195_000, 0),
    "pool.pourMany": (140_000, 90_000),
    "pool.payRoyalty": (120_000, 0),
}


def events(side: Side, kind: type[Any]) -> list[Any]:
    return [e for e in side.events if isinstance(e, kind)]


def low(address: Any) -> str:
    return str(address).lower()


class Money(Plumbing):
    """Who owns what."""

    @invariant()
    def invariant_solvency(self) -> None:
        """The vault holds the sum of all ledgers, each as the contracts tell it, and plain gifts."""
        for side, r in self.seen():
            own = sum(sum(r["account", p.address][:4]) for p in self.people)
            escrow, pool = r["totals",]
            free, allowance, committed = r["balances",]
            held = r["held", side.scene.address["vault"]][0]
            assert held - side.g.donated == own + escrow + pool
            assert pool == free + allowance + committed
            assert (escrow, pool) == (side.g.escrow, side.g.pool)
            assert allowance == side.g.meter(self.now) <= free + allowance

    @invariant()
    def invariant_locked_is_exposure(self) -> None:
        """What is locked is the bonds of open acts, no more and no less."""
        for side, r in self.seen():
            exposed = {p.address: 0 for p in self.people}
            for model in side.g.models[side.g.next :]:
                exposed[model.author] += side.p["submissionBond"]
            for model in side.g.models:
                for voter, vote in model.votes.items():
                    exposed[voter] += 0 if vote.settled else vote.bond
            assert exposed == {p.address: r["account", p.address][1] for p in self.people}

    @invariant()
    def invariant_no_theft(self) -> None:
        """Accounts are what their own acts and the rules make them. Calls of others lower no stake and no credit, and
        all that a node has by no more than the bonds that it had at stake."""
        for side, r in self.seen():
            for p in self.people:
                now, node = r["account", p.address], side.law.node(p.address)
                assert now[:4] == [node.free, node.locked, node.unbonding, node.credit]
                if side.before is None or p.address in side.actors:
                    continue
                was = side.before["account", p.address]
                assert now[0] >= was[0], f"{p.name} lost stake by the acts of {side.actors}"
                assert now[3] >= was[3], f"{p.name} lost credit by the acts of {side.actors}"
                assert sum(now[:4]) >= sum(was[:4]) - was[1], f"{p.name} lost more than its open bonds"

    @invariant()
    def invariant_bounded_loss(self) -> None:
        """A vote loses at most the bond that was locked for it, the voters of an id get at most its fee, a reward is at
        most the allowance; a submission costs its author at most bond and fee. Told by the events alone."""
        for side, _ in self.seen():
            for e in events(side, event_types.Committed):
                side.bonds[e.id, low(e.voter)] = e.bond
            for e in events(side, event_types.VoteSettled):
                assert e.bond_released + e.bond_forfeited == side.bonds[e.id, low(e.voter)]
                side.paid[e.id] += e.paid
                assert side.paid[e.id] <= side.p["scoringFee"]
            for e in events(side, event_types.SubmissionSettled):
                assert e.bond_released + e.bond_forfeited == side.p["submissionBond"]
                assert e.fee_returned + e.fee_to_pool <= side.p["scoringFee"]
            for e in events(side, event_types.Rewarded):
                assert e.reward <= side.g.models[e.id].rewarded[1]

    @invariant()
    def invariant_rounding(self) -> None:
        """Beside the exact rational value payouts are rounded down and forfeits up, by less than one unit; powers of
        a share lose at most one part in 10^16 of what they multiply."""
        for side, _ in self.seen():
            for e in events(side, event_types.Committed):
                self._up(e.bond, Fraction(e.weight * side.p["minStake"] * side.p["voteBondBps"], BPS))
            for e in events(side, event_types.VoteSettled):
                self._vote_rounding(side, e)
            for e in events(side, event_types.Rewarded):
                _, allowance = side.g.models[e.id].rewarded
                share = 1 - Fraction(BPS - side.p["stepRateBps"], BPS) ** side.g.models[e.id].gain
                self._down(e.reward, allowance * share, allowance)
            for e in events(side, event_types.Poured):
                share = 1 - Fraction(side.p["decayBps"], BPS) ** side.g.models[e.id].gain
                self._down(e.to_author, (e.to_author + e.passed) * share, e.to_author + e.passed)
            for e in events(side, event_types.RewardShared):
                self._down(e.to_lineage, Fraction((e.to_author + e.to_lineage) * side.p["lineageBps"], BPS))

    def _vote_rounding(self, side: Side, e: Any) -> None:
        model, vote = side.g.models[e.id], side.g.models[e.id].votes[low(e.voter)]
        if not vote.revealed or model.status != FINAL or model.median == LOWEST:
            assert e.paid == 0
            return
        slice_ = side.p["scoringFee"] // model.weight * vote.weight
        self._down(slice_, Fraction(side.p["scoringFee"] * vote.weight, model.weight), model.weight * WAD)
        x = vote.improvement > model.tau
        surprise = Fraction(ONE - vote.rate if x else vote.rate, ONE)
        others = 2 * (model.above - (vote.weight if x else 0)) > model.weight - vote.weight
        surprise *= Fraction(WAD - model.q if others else model.q, WAD)
        exact = min(slice_, side.bonds[e.id, low(e.voter)]) * surprise
        if x == others:
            self._down(e.paid, exact)
            assert e.bond_forfeited == 0
        else:
            self._up(e.bond_forfeited, exact)
            assert e.paid == 0

    @staticmethod
    def _down(got: int, exact: Fraction | int, of: int = 0) -> None:
        assert 0 <= exact - got < 1 + Fraction(of, 10**16)

    @staticmethod
    def _up(got: int, exact: Fraction) -> None:
        assert 0 <= got - exact < 1

    @invariant()
    def invariant_gas(self) -> None:
        """Ceilings of each act, an item in a batch, at any number of voters and nodes."""
        for side, _ in self.seen():
            for act, items, gas in side.spent:
                base, each = CEILINGS.get(act, (gas, 0))
                assert gas <= base + each * items, f"{act} of {items} cost {gas}"

    @invariant()
    def invariant_lineage(self) -> None:
        """Ancestors are earlier. What came in is what went out and what is still pending, to the unit."""
        for side, r in self.seen():
            for id in watched(self, side):
                model = side.g.models[id]
                listed = r["parents", id][2:]
                assert listed == words(*(part for parent in model.parents for part in parent))
                assert all(parent < id for parent in listed[::2])
                assert id == 0 or r["submission", id][7] < id
                assert (r["owed", id], r["pending", id]) == ([model.owed], [model.pending])
            flows = side.flows
            flows["in"] += sum(e.reward for e in events(side, event_types.Rewarded))
            flows["in"] += sum(e.amount for e in events(side, event_types.RoyaltyPaid))
            flows["authors"] += sum(e.to_author for e in events(side, event_types.RewardShared))
            flows["authors"] += sum(e.to_author for e in events(side, event_types.Poured))
            flows["pool"] += sum(e.passed for e in events(side, event_types.Poured) if e.reference_id == 0)
            flows["pool"] += sum(e.amount for e in events(side, event_types.LineageShared) if e.to == 0)
            left = r["balances",][2]
            assert flows["in"] == flows["authors"] + flows["pool"] + left
            assert left == side.g.committed == sum(m.owed + m.pending for m in side.g.models)

    @invariant()
    def invariant_split_proof(self) -> None:
        """What a gain was paid, two gains that make it up are paid too, of the reward and of a pour, whatever the
        split. At most the rounding of the powers lies between."""
        for side, _ in self.seen():
            for e in events(side, event_types.Rewarded):
                gain, allowance = side.g.models[e.id].gain, side.g.models[e.id].rewarded[1]
                for a in range(1, gain):
                    first = reward(allowance, side.p["stepRateBps"], a)
                    both = first + reward(allowance - first, side.p["stepRateBps"], gain - a)
                    assert abs(both - e.reward) <= 2 + allowance // 10**16
            for e in events(side, event_types.Poured):
                gain, pot = side.g.models[e.id].gain, e.to_author + e.passed
                for a in range(1, gain):
                    first = poured(pot, side.p["decayBps"], a)
                    both = first + poured(pot - first, side.p["decayBps"], gain - a)
                    assert abs(both - e.to_author) <= 2 + pot // 10**16


class Facts(Plumbing):
    """What is on record."""

    @invariant()
    def invariant_one_way_status(self) -> None:
        """Reserved, Open, then Final or Void; nothing goes back. (A step may make several moves.)"""
        ways = {RESERVED: (RESERVED, OPEN, FINAL, VOID), OPEN: (OPEN, FINAL, VOID), FINAL: (FINAL,), VOID: (VOID,)}
        for side, r in self.seen():
            for id in watched(self, side):
                status = r["submission", id][2]
                before = side.status.get(id, RESERVED)
                assert status in ways[before]
                assert status == side.g.models[id].status
                side.status[id] = status
            assert (r["count",], r["next",]) == ([len(side.g.models)], [side.g.next])
            assert all(m.status in TERMINAL for m in side.g.models[: side.g.next])

    @invariant()
    def invariant_frozen(self) -> None:
        """What reserve and commit froze never changes, nor do the parameters."""
        for side, r in self.seen():
            for id in watched(self, side):
                m, s = side.g.models[id], r["submission", id]
                author, at, _, _, _, tau, _, reference, _, eligible, q, _, _, _, weights = s
                frozen = (author, at, tau, reference, eligible, q, *r["windows", id])
                if id:
                    assert list(frozen[:6]) == words(m.author, m.reserved_at, m.tau, m.reference, m.eligible, m.q)
                    assert list(frozen[6:]) == list(side.g.window(id))
                    assert side.first.setdefault(id, frozen) == frozen
                    assert weights == (word(content(m.name)[2]) if m.parents else 0)
                for voter, vote in m.votes.items():
                    kept = word(side.commitments[id, voter][:24])
                    assert r["voteOf", id, voter][:3] == [kept, vote.weight, vote.rate]
            assert tuple(r["params",]) == side.first.setdefault(-1, tuple(r["params",]))

    @invariant()
    def invariant_outcome(self) -> None:
        """Quantile and median are those of the revealed votes; a higher vote never lowers them; and whoever holds less
        than 1 - kappa of the revealed weight cannot lift the outcome above the honest range, nor press it below with
        less than kappa: shown for every subset of the voters as the attackers."""
        for side, r in self.seen():
            id, kappa = side.g.next - 1, side.p["kappaBps"]
            if not id or not events(side, event_types.Finalized):
                continue
            m, s = side.g.models[id], r["submission", id]
            found = (s[2], s[3], s[4], s[6], s[8], s[11], s[12])
            assert list(found) == words(m.status, m.outcome, m.median, m.gain, m.level, m.weight, m.above)
            assert r["best",] == words(side.g.best, side.g.best_level)
            assert r["tauAndRate",] == words(side.g.tau, side.g.q)
            shown = [(v.improvement, v.weight) for v in m.votes.values() if v.revealed]
            histogram = [sum(w for v, w in shown if v == bucket - 8) for bucket in range(32)]
            assert r["histogram", id] == histogram
            assert r["tally", id] == [sum(histogram), m.above, len(shown)]
            if m.status == FINAL:
                self._robust(shown, s[3] if s[3] < 128 else s[3] - (1 << 256), kappa)

    @staticmethod
    def _robust(shown: list[tuple[int, int]], outcome: int, kappa: int) -> None:
        values, weights = [v for v, _ in shown], [w for _, w in shown]
        total, n = sum(weights), min(len(shown), 8)
        for i in range(n):
            lifted = [min(v + 3, 23) if j == i else v for j, v in enumerate(values)]
            assert quantile(lifted, weights, kappa) >= outcome
        for mask in range(1 << n):
            held = sum(w for i, w in enumerate(weights) if mask >> i & 1)
            honest = [v for i, v in enumerate(values) if not mask >> i & 1]
            if honest and held * BPS < (BPS - kappa) * total:
                assert outcome <= max(honest)
            if honest and held * BPS < kappa * total:
                assert outcome >= min(honest)

    @invariant()
    def invariant_sybil_split(self) -> None:
        """Had any voter come as two, with any split of its weight, the outcome would be the same, its slices of the fee
        the same, and its bonds at most the rounding higher."""
        for side, _ in self.seen():
            for e in events(side, event_types.VoteSettled):
                m, vote = side.g.models[e.id], side.g.models[e.id].votes[low(e.voter)]
                if vote.weight < 2 or not vote.revealed or m.status != FINAL:
                    continue
                part = 1 + self.step % (vote.weight - 1)
                shown = [(v.improvement, v.weight) for v in m.votes.values() if v.revealed and v is not vote]
                shown += [(vote.improvement, part), (vote.improvement, vote.weight - part)]
                values, weights = [v for v, _ in shown], [w for _, w in shown]
                assert quantile(values, weights, side.p["kappaBps"]) == m.outcome
                each = side.p["scoringFee"] // m.weight
                assert e.paid + e.fee_to_pool == each * part + each * (vote.weight - part)
                bonds = side.g.bond(part) + side.g.bond(vote.weight - part)
                assert 0 <= bonds - e.bond_released - e.bond_forfeited <= 1

    @invariant()
    def invariant_idempotent(self) -> None:
        """Settling, pouring and claiming again moves nothing: nobody is settled twice, and all that is emitted is that
        something was skipped. The other invariants see that the ledgers stand still: the ghost model did not move."""
        for side, _ in self.seen():
            assert all(isinstance(e, event_types.SettleSkipped | event_types.PourSkipped) for e in side.repeated)
            settled = [(e.id, e.voter) for e in events(side, event_types.VoteSettled)]
            assert len(set(settled)) == len(settled)

    @invariant()
    def invariant_replay(self) -> None:
        """The SDK's reducer, fed with nothing but events, has the state of the contracts, and no rule was broken."""
        for side, r in self.seen():
            state = side.reducer.state
            assert not state.faults, state.faults
            assert state.held == r["held", side.scene.address["vault"]][0] - side.g.donated
            assert [state.escrow, state.pool] == r["totals",]
            assert state.pending_total == r["balances",][2]
            assert [state.best, word(state.models[state.best].level)] == r["best",]
            assert words(state.tau, state.q) == r["tauAndRate",]
            assert (state.closed, state.paused_until) == (r["closedAt",] != [0], r["pausedUntil",][0])
            for address, node in state.nodes.items():
                mine = [node.stake, node.locked, node.unbonding, node.credit]
                account = r["account", low(address)]
                assert (mine, node.roles, word(node.voting_key)) == (account[:4], account[6], account[7])
                assert list(state.histories.get(address, (0, 0))) == r["history", low(address)]
            for id in watched(self, side):
                self._same_model(r, id, state.models[id])

    def _same_model(self, r: Reading, id: int, m: Any) -> None:
        s = r["submission", id]
        found = [s[2], s[3], s[4], s[6], s[7], s[8], s[11], s[12]]
        assert found == words(
            m.status, m.outcome, m.median, m.gain, m.reference_id, m.level, m.revealed_weight, m.yes_weight
        )
        assert [m.owed, m.pending] == r["owed", id] + r["pending", id]
        for voter, vote in m.votes.items():
            open_ = vote.improvement is not None
            wanted = words(vote.improvement or 0, open_, vote.settled)
            assert r["voteOf", id, low(voter)][3:] == wanted
