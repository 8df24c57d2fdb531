"""Rules of voting: single votes, whole rounds, batches with bad entries, signatures, smart accounts."""

from __future__ import annotations

from typing import Any

from eth_utils import keccak
from hypothesis import strategies as st
from hypothesis.stateful import rule
from support.task import FINAL, HIGHEST, LOWEST, MISSING, OPEN, RESERVED, VOID

from pdfed_sdk.chain import event_types

from .acts import ALL, Acts
from .asked import ORDER
from .base import Side
from .rules import edge, some, task, who
from .sealing import digest_of, named, opening, signature, signed_digest, unsealed

improvements = st.one_of(st.sampled_from([LOWEST, MISSING, HIGHEST, 0, 1, 2, 3]), st.integers(LOWEST, HIGHEST))
SIGNATURES = {
    "BookRecordMismatch": "uint256,bytes32,bytes32", "VaultNotValidator": "address",
    "BookNotOpen": "uint256", "BookAlreadyCommitted": "uint256,address", "BookNoWeight": "uint256,address",
    "BookAuthorCannotVote": "uint256,address", "BookCommitOver": "uint256,uint40,uint40",
    "BookZeroCommitment": "", "VaultNotVoter": "address,address", "RegistryUnknownId": "uint256",
    "VaultInsufficientStake": "address,uint256,uint256", "BookNoCommitment": "uint256,address",
    "BookAlreadyRevealed": "uint256,address", "BookImprovementOutOfRange": "int8", "BookZeroEvidence": "",
    "BookNotRevealTime": "uint256,uint40,uint40,uint40", "BookCommitmentMismatch": "uint256,address,bytes24,bytes32",
}  # fmt: skip


def selector(error: str) -> bytes:
    return bytes(keccak(text=f"{error}({SIGNATURES[error]})")[:4])


class Votes(Acts):
    @rule(t=task, n=who, which=some, improvement=improvements, by=st.integers(0, 4))
    def commit_(self, t: int, n: int, which: int, improvement: int, by: int) -> None:
        """By the node, its voting key, or a stranger; with a zero commitment before."""
        side, p = self.side(t), self.who(n)
        id = self.pick(side, which, OPEN, RESERVED, OPEN)
        self.tick()
        if id is None:
            id = len(side.g.models)
            self.act(side, "book", "commit", p.address, named(side, id, b"\1" * 32), by=p, error="RegistryUnknownId")
            return
        sender = {0: self.world.key, 1: self.world.stranger}.get(by, p)
        zero = named(side, id, b"\0" * 24 + b"\1" * 8)
        self.act(side, "book", "commit", p.address, zero, by=p, error="BookZeroCommitment")
        other = (id, b"\2" * 32, b"\1" * 32)  # the record of another model
        error = side.law.commit(sender.address, p.address, id, self.now, right_record=False)
        self.act(side, "book", "commit", p.address, other, by=sender, error=error)
        self.commit(side, p, id, improvement, by=sender)

    @rule(t=task, n=who, which=some, improvement=st.sampled_from([-9, 24, 127, -128]), wrong=st.integers(0, 2))
    def commit_useless(self, t: int, n: int, which: int, improvement: int, wrong: int) -> None:
        """A vote out of range, on other weights, or made for somebody else can be committed and never opened."""
        side, p = self.side(t), self.who(n)
        id = self.pick(side, which, OPEN)
        self.tick()
        if id is None or side.law.commit(p.address, p.address, id, self.now):
            return
        vote = list(opening(side, p.address, id, improvement if wrong == 0 else 3))
        sealed = list(vote)
        if wrong == 1:
            sealed[2] = b"\x42" * 32
        if wrong == 2:
            sealed[0] = self.world.stranger.address
        commitment = digest_of(side, tuple(sealed))
        self.act(side, "book", "commit", p.address, named(side, id, commitment), by=p)
        self.keep(side, tuple(vote), commitment)

    @rule(t=task, n=who, which=some, jump=st.integers(0, 3), offset=edge)
    def reveal_(self, t: int, n: int, which: int, jump: int, offset: int) -> None:
        side, p = self.side(t), self.who(n)
        id = self.pick(side, which, *ALL)
        if id is None:
            return
        self.tick()
        if jump and side.g.models[id].status == OPEN:
            self.jump(side.g.window(id)[2 + (jump == 3)], offset)
        vote = side.openings.get((id, p.address)) or opening(side, p.address, id, 1)
        for changed in ((*vote[:3], 24, *vote[4:]), (*vote[:4], bytes(32), vote[5])):
            error = side.law.reveal(p.address, id, self.now, changed[3], any(changed[4]), False)
            self.act(side, "book", "reveal", unsealed(changed), by=self.world.stranger, error=error)
        self.reveal(side, p.address, id)

    @rule(t=task, which=some, votes=st.lists(improvements, min_size=3, max_size=7))
    def everybody_commits(self, t: int, which: int, votes: list[int]) -> None:
        side = self.side(t)
        id = self.pick(side, which, OPEN)
        if id is not None:
            self.tick()
            for p, improvement in zip(self.people, votes, strict=False):
                self.commit(side, p, id, improvement)

    @rule(t=task, which=some)
    def everybody_reveals(self, t: int, which: int) -> None:
        side = self.side(t)
        id = self.pick(side, which, OPEN)
        if id is not None:
            self.jump(side.g.window(id)[2])
            for voter in side.g.models[id].votes:
                self.reveal(side, voter, id)

    @rule(
        t=task,
        a=who,
        votes=st.lists(improvements, min_size=3, max_size=6),
        silent=st.integers(0, 12),
        parents=st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True),
        one_block=st.booleans(),
    )
    def whole_life(self, t: int, a: int, votes: list[int], silent: int, parents: list[int], one_block: bool) -> None:
        """Reserve to settle in one go, by different blocks or by as few as the windows allow."""
        side, p = self.side(t), self.who(a)
        self.tick()
        id = self.reserve(side, p)
        if id is None:
            return
        if not one_block:
            self.tick()
        known = [
            i for i, m in enumerate(side.g.models) if m.status in (OPEN, FINAL) or (m.status == VOID and m.parents)
        ]
        chosen = list(dict.fromkeys(known[-1 - i % len(known)] for i in parents))
        part = 10_000 // len(chosen)
        shares = [part] * (len(chosen) - 1)
        if not self.submit(side, id, tuple(zip(chosen, [*shares, 10_000 - sum(shares)], strict=True))):
            return
        voters = [q for q in self.people if q is not p]
        for q, improvement in zip(voters, votes, strict=False):
            if not one_block:
                self.tick()
            self.commit(side, q, id, improvement)
        self.finish(side, id, silent)

    def finish(self, side: Side, id: int, silent: int = 99) -> None:
        """Reveal all but one, finalise what is due, settle."""
        self.jump(side.g.window(id)[2])
        for i, voter in enumerate(list(side.g.models[id].votes)):
            if i != silent:
                self.reveal(side, voter, id)
        self.jump(side.g.window(id)[3])
        while side.g.next <= id and self.finalize(side, side.g.next):
            pass
        self.tick()
        if side.g.models[id].votes:
            self.settle(side, id, list(side.g.models[id].votes))


class Ends(Acts):
    @rule(t=task, jump=st.booleans(), offset=edge)
    def finalize_(self, t: int, jump: bool, offset: int) -> None:
        side = self.side(t)
        self.tick()
        id, next_ = side.g.next, side.g.next + 1
        self.act(side, "book", "finalize", next_, by=self.world.stranger, error="BookNotNext")
        if side.law.known(id) and jump:
            self.jump(side.g.window(id)[3], offset)
        self.finalize(side, id)

    @rule(t=task, most=st.integers(0, 5), seconds=st.sampled_from([0, 40, 80]), jump=st.booleans(), offset=edge)
    def finalize_many(self, t: int, most: int, seconds: int, jump: bool, offset: int) -> None:
        """At any time, and a second before, at and after the reveal end of an id that waits."""
        side = self.side(t)
        self.tick(1 + seconds)
        g, done = side.g, 0
        if jump and g.next < len(g.models):
            self.jump(g.window(min(g.next + most, len(g.models) - 1))[3], offset)
        while done < most and g.next + done < len(g.models) and self.now >= g.window(g.next + done)[3]:
            done += 1
        self.act(side, "book", "finalizeMany", most, by=self.world.stranger, items=done)
        for _ in range(done):
            g.finalize(self.now)

    @rule(t=task, which=some, n=who, everybody=st.booleans())
    def settle_(self, t: int, which: int, n: int, everybody: bool) -> None:
        """Strangers and repeated names among the voters are skipped."""
        side = self.side(t)
        id = self.pick(side, which, *ALL)
        self.tick()
        self.act(side, "book", "settle", len(side.g.models), [], by=self.world.stranger, error="RegistryUnknownId")
        if id is not None:
            p = self.who(n).address
            voters = [q.address for q in self.people] if everybody else [p, self.world.stranger.address, p]
            self.settle(side, id, voters)


class Batches(Acts):
    @rule(t=task, n=who, bad=st.integers(0, 5), improvement=improvements, by_key=st.booleans())
    def commit_many(self, t: int, n: int, bad: int, improvement: int, by_key: bool) -> None:
        """All ids at once, one of them twice, an unknown one among them; what is bad is skipped with its reason."""
        side, p = self.side(t), self.who(n)
        self.tick()
        sender = self.world.key if by_key else p
        ids = [i for i, m in enumerate(side.g.models) if m.status in (RESERVED, OPEN)][-4:]
        ids.insert(bad % (len(ids) + 1), len(side.g.models) + bad)
        ids += ids[:1]
        sealed = [
            self.seal(side, p, i, improvement) if side.law.known(i) else ((p.address, i), b"\1" * 32) for i in ids
        ]
        zero = len(ids) > 3 and bad == 3
        votes = [named(side, id, bytes(32) if zero and i == 1 else sealed[i][1]) for i, id in enumerate(ids)]
        if bad == 4:
            votes[0] = (ids[0], b"\2" * 32, votes[0][2])  # the record of another model
        self.act(side, "book", "commitMany", p.address, votes, by=sender, items=len(ids))
        skipped = []
        for i, id in enumerate(ids):
            right = not (bad == 4 and i == 0)
            error = side.law.commit(sender.address, p.address, id, self.now, zero and i == 1, right)
            if error:
                skipped.append((id, selector(error)))
            else:
                self.keep(side, *sealed[i])
        self.collected()
        assert [(e.id, e.reason) for e in side.events if isinstance(e, event_types.CommitSkipped)] == skipped

    @rule(t=task, which=some, wrong=st.integers(0, 6), offset=st.integers(-1, 2))
    def reveal_many(self, t: int, which: int, wrong: int, offset: int) -> None:
        """All votes of an id at once, the first one twice, one with another value among them."""
        side = self.side(t)
        id = self.pick(side, which, OPEN)
        if id is None or not side.g.models[id].votes:
            return
        self.jump(side.g.window(id)[2], offset)
        votes = [side.openings[id, v] for v in side.g.models[id].votes]
        votes.append(votes[0])
        if wrong < len(votes):
            v = votes[wrong]
            votes[wrong] = (*v[:3], v[3] + 1 if v[3] < 0 else v[3] - 1, *v[4:])
        self.act(side, "book", "revealMany", [unsealed(v) for v in votes], by=self.world.user, items=len(votes))
        skipped = []
        for vote in votes:
            error = side.law.reveal(vote[0], id, self.now, vote[3], opens=self.opens(side, vote))
            if error:
                skipped.append((vote[0], selector(error)))
            else:
                side.g.reveal(vote[0], id)
        self.collected()
        found = [(str(e.voter).lower(), e.reason) for e in side.events if isinstance(e, event_types.RevealSkipped)]
        assert found == skipped


class Signed(Acts):
    @rule(t=task, n=who, which=some, improvement=improvements, forged=st.integers(0, 11), early=st.integers(0, 2))
    def commit_by_sig(self, t: int, n: int, which: int, improvement: int, forged: int, early: int) -> None:
        """Signed by the node or its voting key and sent by anyone; forgeries and expired ones before."""
        side, p = self.side(t), self.who(n)
        id = self.pick(side, which, OPEN)
        self.tick()
        if id is None or not side.law.node(p.address).roles:
            return
        key = side.law.node(p.address).key
        signer = self.world.key if key and forged % 2 else p
        end = side.g.window(id)[1]
        deadline = (end, self.now, end - 1)[early]
        vote, commitment = self.seal(side, p, id, improvement)
        good = signature(signer, signed_digest(side, p.address, id, commitment, deadline))
        if forged < 4:
            self._forge(side, p, id, commitment, deadline, good, forged)
        error = side.law.commit_by_sig(p.address, id, deadline, self.now, True)
        args = (p.address, named(side, id, commitment), deadline, good)
        if self.act(side, "book", "commitBySig", *args, by=self.world.user, error=error):
            self.keep(side, vote, commitment)

    def _forge(self, side: Side, p: Any, id: int, commitment: bytes, deadline: int, good: bytes, kind: int) -> None:
        flipped = good[:32] + (ORDER - int.from_bytes(good[32:64], "big")).to_bytes(32, "big") + bytes([55 - good[64]])
        strange = signature(self.world.stranger, signed_digest(side, p.address, id, commitment, deadline))
        bad = (flipped, good[:-1], b"", strange)[kind]
        end = side.g.window(id)[1]
        late = signature(p, signed_digest(side, p.address, id, commitment, end + 1))
        for when, made, valid in ((deadline, bad, False), (end + 1, late, True), (self.now - 1, good, False)):
            error = side.law.commit_by_sig(p.address, id, when, self.now, valid)
            args = (p.address, named(side, id, commitment), when, made)
            self.act(side, "book", "commitBySig", *args, by=self.world.user, error=error)
        unknown = len(side.g.models)
        anew = signature(p, signed_digest(side, p.address, unknown, commitment, self.now))
        args = (p.address, named(side, unknown, commitment), self.now, anew)
        self.act(side, "book", "commitBySig", *args, by=self.world.user, error="RegistryUnknownId")
