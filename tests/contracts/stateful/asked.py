"""Invariants that ask the contracts something at the end of a step, without sending it: probes, see `base.Probe`.

All probes of a step travel with its reading, so they cost little; which ids and voters are asked about goes by turns.
"""

from __future__ import annotations

from typing import Any

from hypothesis.stateful import invariant
from support.task import HIGHEST, LOWEST, OPEN, RESERVED

from pdfed_sdk.chain import event_types
from pdfed_sdk.chain.commitments import EvidenceTree, verify_membership

from .base import Plumbing, Side
from .books import events, low
from .reading import word
from .sealing import digest_of, kept_hash, named, opening, own, record, salt_of, signature, signed_digest, unsealed
from .world import content

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HIDDEN = 30  # steps between two looks at the evidence tree, which costs 500 hashes


class Asked(Plumbing):
    """Windows, binding, signatures, the queue, and what votes give away."""

    def plan(self, side: Side) -> None:
        self._ask_queue(side)
        turn = self.step % 4
        if turn in (0, 2):
            self._ask_windows(side)
        if turn in (1, 3):
            self._ask_binding(side)
        if turn == 1:
            self._ask_signatures(side)
        self._ask_no_probe_bit(side)

    # --- windows ---

    def _ask_windows(self, side: Side) -> None:
        """The submit, commit, reveal and finalise windows of one id, each at t - 1, t and t + 1."""
        ids = [i for i, m in enumerate(side.g.models) if m.status in (RESERVED, OPEN)]
        if not ids:
            return
        id = ids[self.step // 4 % len(ids)]
        submit_end, commit_end, start, end = side.g.window(id)
        for t in (submit_end, commit_end, start, end):
            for at in (t - 1, t, t + 1):
                if at >= self.now:
                    self._ask_at(side, id, at)

    def _ask_at(self, side: Side, id: int, at: int) -> None:
        model, stranger = side.g.models[id], self.world.stranger
        if model.status == RESERVED:
            error = side.law.submit(model.author, id, ((0, 10_000),), at, opens=own(model))
            author = self.world.by_address[model.author]
            args = (id, record(model.name, ((0, 10_000),)), salt_of(model.name))
            self.probe("windows", side, "registry", "submit", *args, by=author, at=at, error=error)
        voters = [p for p in self.people if p.address not in model.votes and p.address != model.author]
        if voters:
            p = voters[self.step % len(voters)]
            error = side.law.commit(p.address, p.address, id, at)
            args = (p.address, named(side, id, b"\1" * 32))
            self.probe("windows", side, "book", "commit", *args, by=p, at=at, error=error)
        shut = [v for v, vote in model.votes.items() if not vote.revealed and (id, v) in side.openings]
        if shut:
            vote = side.openings[id, shut[self.step % len(shut)]]
            error = side.law.reveal(vote[0], id, at, vote[3], opens=self.opens(side, vote))
            self.probe("windows", side, "book", "reveal", unsealed(vote), by=stranger, at=at, error=error)
        error = side.law.finalize(id, at)
        self.probe("windows", side, "book", "finalize", id, by=stranger, at=at, error=error)
        due = sum(at >= side.g.window(i)[3] for i in range(side.g.next, len(side.g.models)))
        self.probe("windows", side, "book", "finalizeMany", 99, by=stranger, at=at, error=None)
        self.probes[-1].wanted = due

    @invariant()
    def invariant_windows(self) -> None:
        """submit [reserve, submitEnd), commit [open, commitEnd), reveal [revealStart, revealEnd), finalise from
        revealEnd on, one by one or in a batch: every boundary of an open id at t - 1, t and t + 1."""
        for p in self.judge("windows"):
            if p.wanted is not None:
                assert int.from_bytes(p.raw, "big") == p.wanted, f"{p.what}: finalises {int.from_bytes(p.raw, 'big')}"

    # --- binding ---

    def opens(self, side: Side, vote: tuple[Any, ...]) -> bool:
        """Whether an opening opens what its voter committed, in the ghost model's eyes."""
        model = side.g.models[vote[1]]
        bound = (*vote[:2], content(model.name)[2], *vote[3:])
        return digest_of(side, bound)[:24] == side.commitments.get((vote[1], vote[0]), b"")[:24]

    def _ask_binding(self, side: Side) -> None:
        """One committed vote with one field changed, in turn: voter, id, improvement, evidence, salt."""
        shut = [k for k in side.openings if not side.g.models[k[0]].votes[k[1]].revealed]
        if not shut:
            return
        id, voter = shut[self.step // 2 % len(shut)]
        vote, at = list(side.openings[id, voter]), max(self.now, side.g.window(id)[2])
        field = (0, 1, 3, 4, 5)[self.step // 2 % 5]
        if field == 0:
            vote[0] = next((v for v in side.g.models[id].votes if v != voter), self.world.stranger.address)
        elif field == 1:
            vote[1] = next((i for i, m in enumerate(side.g.models) if voter in m.votes and i != id), 0)
        elif field == 3:
            vote[3] = (vote[3] - LOWEST + 1 + self.step % 31) % 32 + LOWEST
        else:
            vote[field] = bytes([vote[field][0] ^ 1]) + vote[field][1:]
        changed = tuple(vote)
        error = side.law.reveal(changed[0], changed[1], at, changed[3], opens=self.opens(side, changed))
        self.probe("binding", side, "book", "reveal", unsealed(changed), by=self.world.stranger, at=at, error=error)

    @invariant()
    def invariant_binding(self) -> None:
        """A commitment opens to the vote it was made of and to no other; a reservation to its author's record; what is
        hashed on chain is what EIP-712 says, in the task's own domain."""
        self.judge("binding")
        for side, r in self.seen():
            for key, value in r.items():
                if key[0] == "hashVote":
                    assert value == [word(digest_of(side, tuple(key[1:])))]
                if key[0] == "submission" and key[1]:
                    m = side.g.models[key[1]]
                    assert value[-2] == word(kept_hash(m))
            for e in events(side, event_types.Revealed):
                model, voter = side.g.models[e.id], low(e.voter)
                vote = (voter, e.id, content(model.name)[2], e.improvement, e.evidence_root)
                assert digest_of(side, (*vote, side.openings[e.id, voter][5])) == side.commitments[e.id, voter]

    # --- signatures ---

    def _ask_signatures(self, side: Side) -> None:
        """A signed commit as it is, and with one thing wrong: each kind of forgery in turn."""
        ids = [i for i, m in enumerate(side.g.models) if m.status == OPEN and side.g.window(i)[1] > self.now]
        if not ids:
            return
        id = ids[self.step // 4 % len(ids)]
        p, deadline = self.people[self.step // 4 % len(self.people)], side.g.window(id)[1]
        if side.law.commit(p.address, p.address, id, self.now):
            return
        commitment = b"\7" * 32
        good = signature(p, signed_digest(side, p.address, id, commitment, deadline))
        r, s, v = good[:32], int.from_bytes(good[32:64], "big"), good[64]
        other = self.sides[side.scene.number - 1]
        here, elsewhere = (signed_digest(s, p.address, id, commitment, deadline) for s in (side, other))
        forged = {
            "flipped s": (deadline, r + (ORDER - s).to_bytes(32, "big") + bytes([55 - v])),
            "cut": (deadline, good[:-1]),
            "another deadline": (deadline - 1, good),
            "a stranger's": (deadline, signature(self.world.stranger, here)),
            "another task's": (deadline, signature(p, elsewhere)) if other is not side else (deadline, bytes(65)),
            "too late": (deadline + 1, good),
        }  # fmt: skip
        name = list(forged)[self.step // 4 % len(forged)]
        end, wrong = forged[name]
        for by, at, valid in ((good, deadline, True), (wrong, end, False)):
            error = side.law.commit_by_sig(p.address, id, at, self.now, valid)
            args = (p.address, named(side, id, commitment), at, by)
            self.probe(
                "signatures", side, "book", "commitBySig", *args, by=self.world.stranger, at=self.now, error=error
            )

    @invariant()
    def invariant_signatures(self) -> None:
        """A signature serves its signer's node, task, id, commitment and deadline; one that is malleated, cut, late or
        made by somebody else serves nothing. Smart accounts sign through ERC-1271."""
        self.judge("signatures")

    # --- the queue ---

    def _ask_queue(self, side: Side) -> None:
        waiting = len(side.g.models) - side.g.next
        if waiting:
            at = max(self.now, side.g.window(len(side.g.models) - 1)[3])
            args = (waiting + 1,)
            self.probe("queue_moves", side, "book", "finalizeMany", *args, by=self.world.stranger, at=at, error=None)

    @invariant()
    def invariant_queue_moves(self) -> None:
        """Once their reveal ends are past, all ids that wait finalise, whatever has happened to them."""
        asked = self.judge("queue_moves")
        waiting = [len(s.g.models) - s.g.next for s in self.sides if s.touched]
        assert [int.from_bytes(p.raw, "big") for p in asked] == [n for n in waiting if n]

    # --- what votes give away ---

    def _ask_no_probe_bit(self, side: Side) -> None:
        """Two votes of one voter, the lowest and the highest, committed on the same state: both would be taken."""
        ids = [i for i, m in enumerate(side.g.models) if m.status == OPEN]
        voters = [p for p in self.people if ids and not side.law.commit(p.address, p.address, ids[-1], self.now)]
        if not voters or self.step % 3:
            return
        p, id = voters[self.step % len(voters)], ids[-1]
        for improvement in (LOWEST, HIGHEST):
            commitment = digest_of(side, opening(side, p.address, id, improvement))
            args = (p.address, named(side, id, commitment))
            self.probe("no_probe_bit", side, "book", "commit", *args, by=p, at=self.now, error=None)

    @invariant()
    def invariant_no_probe_bit(self) -> None:
        """Of a vote, only `improvement` says anything about the data, and only at its reveal. Until then the chain has
        a hash, and weight, rate and bond that follow from public history; histories and tallies stand still. The
        evidence root is a hash over a tree of fixed size: whatever was found, proofs have one length."""
        self.judge("no_probe_bit")
        for side, r in self.seen():
            for (name, *args), value in r.items():
                if name != "voteOf":
                    continue
                vote = side.g.models[args[0]].votes[args[1]]
                shown = vote.revealed and not vote.settled
                assert value[3:5] == ([word(vote.improvement), 1] if shown else [0, 0])
            for e in events(side, event_types.Committed):
                vote = side.g.models[e.id].votes[low(e.voter)]
                assert (e.weight, e.rate) == (vote.weight, vote.rate)
                assert e.commitment == side.commitments[e.id, low(e.voter)]
            for e in events(side, event_types.VoteBonded):
                assert e.bond == side.g.bond(side.g.models[e.id].votes[low(e.voter)].weight)
            for id, m in enumerate(side.g.models):
                if ("tally", id) in r and not any(v.revealed for v in m.votes.values()):
                    assert r["tally", id] == [0, 0, 0]
        if self.step % HIDDEN == 0:
            self._evidence()

    def _evidence(self) -> None:
        """Found nothing or 40 pairs: root and proofs look alike."""
        sizes = set()
        for pairs in ([], [bytes([i]) * 20 for i in range(40)]):
            tree = EvidenceTree.build(b"report", pairs, key=self.step.to_bytes(32, "big"))
            proof = tree.proof(0)
            assert any(tree.root)
            assert verify_membership(tree.root, b"report", proof)
            sizes.add((len(tree.root), len(proof.path), len(proof.salt)))
        assert len(sizes) == 1
