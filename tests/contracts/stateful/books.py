"""Invariants that compare what the contracts say with the ghost model and with the events: no call is made for them."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

from hypothesis.stateful import invariant
from support import reference as rules
from support.reference import BPS, ONE, WAD, grains, poured, quantile, reward, upper_median
from support.task import FINAL, MISSING, OPEN, RESERVED, VOID

from pdfed_sdk.chain import event_types

from .base import Plumbing, Side
from .reading import Reading, watched, word, words
from .world import content

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
    "vault.claim": (77_000, 0),
    "registry.reserve": (210_000, 0),  # 205,565 where the first surcharge of a task goes to the commons
    "registry.submit": (122_000, 0),  # 119,500 with four parents, far from each other
    "book.commit": (90_000, 0),
    "book.commitMany": (40_000, 60_000),
    "book.commitBySig": (112_000, 0),
    "book.reveal": (85_000, 0),
    "book.revealMany": (40_000, 60_000),
    "book.finalize": (175_000, 0),
    "book.finalizeMany": (45_000, 175_000),
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
        """The vault holds the sum of all ledgers, each as the contracts tell it, and plain gifts; the treasury is the
        sponsor's funds, what is committed to models, and the commons."""
        for side, r in self.seen():
            own = sum(sum(r["account", p.address][:4]) for p in self.people)
            held, escrow, treasury = r["totals",]
            unreleased, allowance, commons, committed = r["balances",]
            assert r["held", side.scene.address["vault"]][0] - side.g.donated == held == own + escrow + treasury
            assert treasury == unreleased + allowance + commons + committed
            assert (escrow, commons, committed) == (side.g.escrow, side.g.commons, side.g.committed)
            assert unreleased + allowance == side.g.funds
            assert allowance == side.g.meter(self.now) <= side.g.funds
            assert r["division",] == [side.g.grains, side.g.divided]

    @invariant()
    def invariant_nobody_gains_by_void(self) -> None:
        """An id that ends Void or unusable pays nobody: its author gets back at most what it put in, its voters at most
        their bonds, and the sponsor's funds never grow but by what it pays in. What is lost is commons."""
        for side, _ in self.seen():
            ours = side.g.funds - side.funds
            assert ours == sum(e.amount for e in events(side, event_types.Funded)) - sum(
                e.from_allowance for e in events(side, event_types.Rewarded)
            ) - sum(e.amount for e in events(side, event_types.Reclaimed))
            side.funds = side.g.funds
            for e in events(side, event_types.Settled):
                m = side.g.models[e.id]
                if low(e.node) == m.author:
                    back = side.p["scoringFee"] if m.status == VOID else 0
                    assert e.paid == back
                    assert e.released <= (
                        0 if m.status == FINAL and m.median == rules.LOWEST else side.p["submissionBond"]
                    )
                elif m.status == VOID or m.median <= MISSING:
                    assert e.paid == 0
                    assert e.released <= side.bonds[e.id, low(e.node)]

    @invariant()
    def invariant_capacity(self) -> None:
        """Each reservation pays the base fee times two to the number of full slots of open ids, and what is above the
        base fee is commons at once; a stake that backs nothing else backs votes on three times so many ids."""
        for side, r in self.seen():
            p, g = side.p, side.g
            assert r["feeNow",] == [g.fee(self.now), g.open_ids(self.now)]
            for e in events(side, event_types.SubmissionBonded):
                assert (e.bond, e.fee, e.surcharge) == (p["submissionBond"], p["scoringFee"], g.models[e.id].surcharge)
                ahead = e.surcharge + e.fee
                assert ahead % e.fee == 0
                assert (ahead // e.fee).bit_count() == 1
            for node in g.nodes.values():
                weight = (node.free + node.locked) // p["minStake"]
                assert 3 * p["slots"] * g.bond(weight) <= weight * p["minStake"]

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
        most allowance and commons; a submission costs its author at most bond and fee. Told by the events alone."""
        for side, _ in self.seen():
            for e in events(side, event_types.VoteBonded):
                side.bonds[e.id, low(e.voter)] = e.bond
            for e in events(side, event_types.Settled):
                if low(e.node) == side.g.models[e.id].author:
                    assert e.released + e.forfeited == side.p["submissionBond"]
                    assert e.paid + e.to_commons <= side.p["scoringFee"]
                    continue
                assert e.released + e.forfeited == side.bonds[e.id, low(e.node)]
                side.paid[e.id] += e.paid
                assert side.paid[e.id] <= side.p["scoringFee"]
            for e in events(side, event_types.Rewarded):
                allowance, commons = side.g.models[e.id].drawn_on
                assert (e.from_allowance, e.from_commons) == side.g.models[e.id].rewarded
                assert e.from_allowance <= allowance
                assert e.from_commons <= commons

    @invariant()
    def invariant_rounding(self) -> None:
        """Beside the exact rational value payouts are rounded down and forfeits up, by less than one unit; powers of
        a share lose at most one part in 10^15 of what they multiply."""
        for side, _ in self.seen():
            for e in events(side, event_types.VoteBonded):
                weight = side.g.models[e.id].votes[low(e.voter)].weight
                self._up(e.bond, Fraction(weight * side.p["minStake"] * side.p["voteBondBps"], BPS))
            for e in events(side, event_types.Settled):
                if low(e.node) != side.g.models[e.id].author:
                    self._vote_rounding(side, e)
            for e in events(side, event_types.Rewarded):
                share = 1 - Fraction(BPS - side.p["stepRateBps"], BPS) ** side.g.models[e.id].gain
                for got, pot in zip((e.from_allowance, e.from_commons), side.g.models[e.id].drawn_on, strict=True):
                    self._down(got, pot * share, pot)
            for e in events(side, event_types.Poured):
                share = 1 - Fraction(side.p["decayBps"], BPS) ** self._own(side, e.id)
                self._down(e.to_author, (e.to_author + e.passed) * share, e.to_author + e.passed)
            for e in events(side, event_types.Shared):
                self._down(e.to_reference, Fraction((e.to_author + e.to_reference) * side.p["lineageBps"], BPS))

    @staticmethod
    def _own(side: Side, id: int) -> int:
        m = side.g.models[id]
        return rules.own_grains(m.gain, m.measured, list(side.g.heirs(id).values()), side.g.bases(id)[0])

    def _vote_rounding(self, side: Side, e: Any) -> None:
        model, vote = side.g.models[e.id], side.g.models[e.id].votes[low(e.node)]
        if not vote.revealed or model.status != FINAL or model.median <= MISSING:
            assert e.paid == 0
            return
        slice_ = side.p["scoringFee"] // model.weight * vote.weight
        self._down(slice_, Fraction(side.p["scoringFee"] * vote.weight, model.weight), model.weight * WAD)
        x = vote.improvement > model.tau
        surprise = Fraction(ONE - vote.rate if x else vote.rate, ONE)
        others = 2 * (model.above - (vote.weight if x else 0)) > model.weight - vote.weight
        surprise *= Fraction(ONE - model.q if others else model.q, ONE)
        exact = min(slice_, side.bonds[e.id, low(e.node)]) * surprise
        if x == others:
            self._down(e.paid, exact)
            assert e.forfeited == 0
        else:
            self._up(e.forfeited, exact)
            assert e.paid == 0

    @staticmethod
    def _down(got: int, exact: Fraction | int, of: int = 0) -> None:
        assert 0 <= exact - got < 1 + Fraction(of, 10**15)

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
        """Ancestors are earlier. What came in is what went out and what is still on its way, to the unit."""
        for side, r in self.seen():
            for id in watched(self, side):
                model = side.g.models[id]
                listed = r["parents", id][2:]
                assert listed == words(*(part for parent in model.parents for part in parent))
                assert all(parent < id for parent in listed[::2])
                assert id == 0 or r["submission", id][3] < id
                assert (r["owed", id], r["pending", id]) == ([model.owed], [model.pending])
                for hop, share in side.g.shares.items():
                    if hop[1] == id:
                        assert r["shareOf", *hop] == share
            flows = side.flows
            flows["in"] += sum(e.from_allowance + e.from_commons for e in events(side, event_types.Rewarded))
            flows["in"] += sum(e.amount for e in events(side, event_types.RoyaltyPaid))
            flows["in"] += sum(e.amount for e in events(side, event_types.CommonsDivided))
            flows["authors"] += sum(e.to_author for e in events(side, event_types.Shared))
            flows["authors"] += sum(e.to_author for e in events(side, event_types.Poured))
            flows["commons"] += sum(e.passed for e in events(side, event_types.Poured) if e.reference_id == 0)
            flows["commons"] += sum(
                e.to_reference for e in events(side, event_types.Shared) if side.g.models[e.id].reference == 0
            )
            left = r["balances",][3]
            assert flows["in"] == flows["authors"] + flows["commons"] + left
            waiting = sum(m.owed + m.pending for m in side.g.models) + sum(sum(s) for s in side.g.shares.values())
            assert left == side.g.committed == waiting

    @invariant()
    def invariant_contribution(self) -> None:
        """What a model earned is shared to the unit, and who added nothing to what it carried takes nothing of it,
        however it voted: above a base below its own level it gets the grains above its parents only."""
        for side, _ in self.seen():
            given: Counter[tuple[int, int]] = Counter()
            for e in events(side, event_types.ShareGiven):
                given[e.source, e.from_] += e.above + e.held
                assert e.to in side.g.heirs(e.from_)
                assert side.g.models[e.to].measured > min(side.g.bases(e.source))
            for e in events(side, event_types.Shared):
                given[e.source, e.id] -= e.to_parents
            assert not any(given.values())
            for e in events(side, event_types.Shared):
                m, heirs = side.g.models[e.id], side.g.heirs(e.id)
                base, start = side.g.bases(e.source)
                top = min(m.measured, max([0, *heirs.values()]))
                if m.measured > max(base, start) and top == m.measured and (e.id != e.source or m.gain):
                    assert (e.to_author, e.to_reference) == (0, 0), f"{e.id} adds nothing and takes of {e.source}"
                if not heirs:
                    assert e.to_parents == 0

    @invariant()
    def invariant_split_proof(self) -> None:
        """What a gain was paid, two gains that make it up are paid too, of the reward and of a pour, whatever the
        split. At most the rounding of the powers lies between."""
        for side, _ in self.seen():
            for e in events(side, event_types.Rewarded):
                gain, (pot, _) = side.g.models[e.id].gain, side.g.models[e.id].drawn_on
                for a in range(1, gain, 1 + gain // 16):
                    first = reward(pot, side.p["stepRateBps"], a)
                    both = first + reward(pot - first, side.p["stepRateBps"], gain - a)
                    assert abs(both - e.from_allowance) <= 2 + pot // 10**15
            for e in events(side, event_types.Poured):
                own, pot = self._own(side, e.id), e.to_author + e.passed
                for a in range(1, own, 1 + own // 16):
                    first = poured(pot, side.p["decayBps"], a)
                    both = first + poured(pot - first, side.p["decayBps"], own - a)
                    assert abs(both - e.to_author) <= 2 + pot // 10**15


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
                author, at, _, reference, tau, q, eligible, *_, weights = s
                frozen = (author, at, tau, reference, eligible, q, *r["windows", id])
                if id:
                    assert list(frozen[:6]) == words(m.author, m.reserved_at, m.tau, m.reference, m.eligible, m.q)
                    assert list(frozen[6:]) == list(side.g.window(id))
                    assert side.first.setdefault(id, frozen) == frozen
                    assert weights == (word(content(m.name)[2]) if m.parents else 0)
                for voter, vote in m.votes.items():
                    kept = [word(side.commitments[id, voter][:24]), vote.weight, vote.rate]
                    assert r["voteOf", id, voter][:3] == ([0, 0, 0] if vote.settled else kept)
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
            found = [s[2], *s[7:15]]
            standing = (m.level, m.measured, m.gain, m.previous) if m.status == FINAL else (0, 0, 0, 0)
            assert found == words(m.status, m.outcome, m.median, m.weight, m.above, *standing)
            assert r["best",] == words(side.g.best, side.g.best_level)
            assert r["trend",] == words(side.g.tau, side.g.q, side.g.activity)
            shown = [(v.improvement, v.weight) for v in m.votes.values() if v.revealed]
            histogram = [sum(w for v, w in shown if v == bucket - 8) for bucket in range(32)]
            assert r["histogram", id] == histogram
            assert r["tally", id] == [sum(histogram), m.above, len(shown)]
            if m.status == FINAL:
                self._robust(shown, m.outcome, m.median, kappa)
                start = side.g.models[m.reference]
                assert m.level - start.level == grains(m.outcome) <= grains(m.median) == m.measured - start.measured

    @staticmethod
    def _robust(shown: list[tuple[int, int]], outcome: int, median: int, kappa: int) -> None:
        values, weights = [v for v, _ in shown], [w for _, w in shown]
        total, n = sum(weights), min(len(shown), 8)
        for i in range(n):
            lifted = [min(v + 3, 23) if j == i else v for j, v in enumerate(values)]
            assert quantile(lifted, weights, kappa) >= outcome
            assert upper_median(lifted, weights) >= median
        for mask in range(1 << n):
            held = sum(w for i, w in enumerate(weights) if mask >> i & 1)
            honest = [v for i, v in enumerate(values) if not mask >> i & 1]
            if honest and held * BPS < (BPS - kappa) * total:
                assert outcome <= max(honest)
            if honest and held * BPS < kappa * total:
                assert outcome >= min(honest)
            if honest and 2 * held <= total:
                assert median >= min(honest)
            if honest and 2 * held < total:
                assert median <= max(honest)

    @invariant()
    def invariant_sybil_split(self) -> None:
        """Had any voter come as two, with any split of its weight, the outcome would be the same, its slices of the fee
        the same, and its bonds at most the rounding higher."""
        for side, _ in self.seen():
            for e in events(side, event_types.Settled):
                if low(e.node) == side.g.models[e.id].author:
                    continue
                m, vote = side.g.models[e.id], side.g.models[e.id].votes[low(e.node)]
                if vote.weight < 2 or not vote.revealed or m.status != FINAL:
                    continue
                part = 1 + self.step % (vote.weight - 1)
                shown = [(v.improvement, v.weight) for v in m.votes.values() if v.revealed and v is not vote]
                shown += [(vote.improvement, part), (vote.improvement, vote.weight - part)]
                values, weights = [v for v, _ in shown], [w for _, w in shown]
                assert quantile(values, weights, side.p["kappaBps"]) == m.outcome
                assert upper_median(values, weights) == m.median
                each = side.p["scoringFee"] // m.weight
                assert e.paid + e.to_commons == each * part + each * (vote.weight - part)
                bonds = side.g.bond(part) + side.g.bond(vote.weight - part)
                assert 0 <= bonds - e.released - e.forfeited <= 1

    @invariant()
    def invariant_idempotent(self) -> None:
        """Settling, pouring and claiming again moves nothing: nobody is settled twice, and all that is emitted is that
        something was skipped. The other invariants see that the ledgers stand still: the ghost model did not move."""
        for side, _ in self.seen():
            assert all(isinstance(e, event_types.SettleSkipped | event_types.PourSkipped) for e in side.repeated)
            settled = [(e.id, e.node) for e in events(side, event_types.Settled)]
            assert len(set(settled)) == len(settled)

    @invariant()
    def invariant_replay(self) -> None:
        """The SDK's reducer, fed with nothing but events, has the state of the contracts, and no rule was broken."""
        for side, r in self.seen():
            state = side.reducer.state
            assert not state.faults, state.faults
            assert state.held == r["held", side.scene.address["vault"]][0] - side.g.donated
            assert [state.escrow, state.treasury] == r["totals",][1:]
            assert [state.funds, state.commons, state.committed] == [sum(r["balances",][:2]), *r["balances",][2:]]
            assert [state.best, word(state.models[state.best].level)] == r["best",]
            assert words(state.tau, state.q, state.activity) == r["trend",]
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
        standing = (m.level, m.measured, m.gain, m.previous_id) if m.status == FINAL else (0, 0, 0, 0)
        result = (m.outcome, m.median, m.revealed_weight, m.yes_weight)
        assert [s[2], s[3], *s[7:15]] == words(m.status, m.reference_id, *result, *standing)
        assert [m.owed, m.pending] == r["owed", id] + r["pending", id]
        for voter, vote in m.votes.items():
            shown = vote.improvement is not None and not vote.settled
            assert r["voteOf", id, low(voter)][3:] == words(vote.improvement if shown else 0, shown)
