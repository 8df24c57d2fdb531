"""The node loop on a real chain: votes, submissions, recovery after a kill between any two steps.

Training and scoring are stand-ins here (node_world.py says which); everything else is real.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from pdfed_sdk.artifacts.cid import Cid
from pdfed_sdk.buckets import HIDDEN_PARENT, LOWEST, MISSING, WORST
from pdfed_sdk.chain.event_types import Settled
from pdfed_sdk.chain.journal import VoteState
from pdfed_sdk.errors import DigestMismatch, MlError, RpcUnavailable, StoreError, UsageError
from pdfed_sdk.node import author as author_module
from pdfed_sdk.node.dedup import DedupList
from pdfed_sdk.node.parts import Evaluation, Heartbeat
from pdfed_sdk.node.records import Records
from pdfed_sdk.node.strategy import TrainFromBest
from pdfed_sdk.types import Parent, Role, Status, SubmissionId
from tests.support.node_world import STAKE, Killed, Opinion, PowerCut, Stepper, World, damage, vote_of


def settled(world: World, index: int, submission: int) -> bool:
    events = world.client(0).events.replay()
    who = world.signers[index].address
    return any(isinstance(event, Settled) and (event.id, event.node) == (submission, who) for event in events)


# --- the good case ---


def test_a_submission_is_scored_sealed_opened_finalised_and_settled(world: World):
    submission = world.submit(1)
    voters = [world.node(index, opinion=Opinion(index)) for index in (2, 3, 4)]
    for voter in voters:
        voter.tick()
    world.to_reveal(submission)
    for voter in voters:
        voter.tick()
    world.to_end(submission)
    voters[0].tick()
    voters[0].tick()
    client = world.client(0)
    state = client.submission(submission)
    assert Status(state.status) is Status.FINAL
    assert [vote_of(world, i, submission) for i in (2, 3, 4)] == [2, 3, 4]
    assert state.result.outcome == 3, "34 % of the weight is more than one of 2, 3, 4"
    assert client.best().id == submission
    assert all(settled(world, i, submission) for i in (2, 3, 4))


def test_a_submission_may_arrive_while_another_is_settled(world: World, monkeypatch: pytest.MonkeyPatch):
    """Settling reads the chain again: what is new by then must not upset the node."""
    submission = world.submit(1)
    settler = world.node(2)
    settler.tick()
    world.to_end(submission)
    pour = settler.client.pour
    monkeypatch.setattr(settler.client, "pour", lambda: (world.submit(3), pour()))
    settler.tick()
    settler.tick()
    assert settled(world, 2, submission)
    assert len(settler.view.entries) == 2


def test_a_node_compares_with_the_frozen_reference_from_its_own_seed(world: World):
    submission = world.submit(1)
    opinions = [Opinion(), Opinion()]
    for index, opinion in zip((2, 3), opinions, strict=True):
        world.node(index, opinion=opinion).tick()
    (first,), (second,) = (opinion.asked for opinion in opinions)
    assert first[0].parent.name == "0"
    assert first[1].parent.name == str(submission)
    assert first[2] != second[2]
    assert first[2] == world.client(2).seed(submission)


def test_the_author_does_not_vote_on_its_own_model(world: World):
    submission = world.submit(1)
    opinion = Opinion()
    world.node(1, opinion=opinion).tick()
    assert opinion.asked == []
    assert not world.client(1).vote(submission).exists


def test_training_stops_for_votes_and_reveals(world: World):
    """A trainer in the middle of training seals a vote on what was submitted meanwhile."""
    trainer = world.node(2, trainer=Stepper(), poll=0.0)
    trainer.tick()
    submission = world.submit(1)
    assert trainer.author
    trainer.author.work()
    assert world.client(2).vote(submission).exists


def test_two_trainers_build_on_each_other(world: World):
    first = world.submit(1)
    second_author = world.node(2, opinion=Opinion(5), trainer=Stepper(), strategy=TrainFromBest(budget=10, average=2))
    second_author.tick()
    assert second_author.author
    second_author.author.work()
    second_author.view.refresh()
    entry = second_author.view.entries[max(second_author.view.entries)]
    assert entry.record
    assert [p.id for p in entry.record.parents] == [first]


class WeighingStepper(Stepper):
    """Gives everything but an eighth to the second parent, and nothing to a third."""

    def weigh(self, parents: Sequence[tuple[Path, int]], *, pictures: int, heartbeat: Heartbeat) -> list[int]:
        assert [share for _, share in parents] == [3_334, 3_333, 3_333]
        return [1_250, 8_750, 0]


def test_what_the_trainer_weighs_is_what_is_declared(world: World):
    known = [world.submit(index) for index in (1, 3, 4)]
    strategy = TrainFromBest(budget=10, average=3)
    author = world.node(2, opinion=Opinion(5), trainer=WeighingStepper(), strategy=strategy)
    author.tick()
    assert author.author
    author.author.work()
    author.view.refresh()
    record = author.view.entries[max(author.view.entries)].record
    assert record
    assert record.parents == (Parent(known[2], 1_250), Parent(known[1], 8_750))


# --- joining ---


def test_unregistered_without_stake_is_refused_before_anything_is_sent(world: World):
    node = world.node(6, stake=0)
    with pytest.raises(UsageError, match=r"is not registered, and \[node\] stake is 0") as caught:
        node.run()
    assert "pdfed node register" in caught.value.hint
    assert not world.client(6).account().roles


def test_a_stake_the_node_does_not_hold_is_refused_before_it_registers(world: World):
    with pytest.raises(UsageError, match=r"holds 500 PDF, .* is 1,000 PDF") as caught:
        world.node(6, stake=2 * STAKE).join()
    assert world.manifest.token is not None
    assert world.manifest.token in caught.value.hint
    assert not world.client(6).account().roles


def test_killed_between_register_and_deposit(world: World):
    node = world.node(6, role=Role.VALIDATOR)
    PowerCut(node.client, "register")
    with pytest.raises(Killed):
        node.join()
    world.node(6, role=Role.VALIDATOR).join()
    account = world.client(6).account()
    assert (account.roles, account.stake) == (Role.VALIDATOR, STAKE)
    world.node(6, role=Role.VALIDATOR).join()
    assert world.client(6).account().stake == STAKE, "joined once, not twice"


def test_another_role_than_on_chain_is_told(world: World, caplog: pytest.LogCaptureFixture):
    world.node(1, role=Role.VALIDATOR).join()
    assert "[node] role is ignored" in caplog.text


# --- kill -9 between any two steps of a vote ---


@pytest.mark.parametrize(
    ("part", "method", "before"),
    [
        ("records", "keep_evaluation", True),
        ("records", "keep_evaluation", False),
        ("client", "commit_score", True),
        ("client", "commit_score", False),
    ],
)
def test_killed_while_voting(world: World, part: str, method: str, before: bool):
    submission = world.submit(1)
    opinion = Opinion(4)
    node = world.node(2, opinion=opinion)
    PowerCut(node.client if part == "client" else node.voter._records, method, before=before)
    with pytest.raises(Killed):
        node.tick()
    changed_mind = Opinion(-3)
    world.node(2, opinion=changed_mind).tick()
    noted = (part, method, before) != ("records", "keep_evaluation", True)
    assert len(changed_mind.asked) == (0 if noted else 1), "what is noted is not scored again"
    world.to_reveal(submission)
    world.node(2).tick()
    assert vote_of(world, 2, submission) == (4 if noted else -3)


def test_killed_after_commit_with_all_state_lost(world: World):
    """The opening comes back from the chain: kill, wipe the state folder and the notes, reveal."""
    submission = world.submit(1)
    node = world.node(2, opinion=Opinion(6))
    node.tick()
    for path in sorted((world.folder / "node2").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    world.to_reveal(submission)
    again = Opinion()
    world.node(2, opinion=again).tick()
    assert vote_of(world, 2, submission) == 6
    assert again.asked == []


def test_killed_between_reveal_and_settle(world: World):
    submission = world.submit(1)
    for index in (2, 3, 4):
        world.node(index).tick()
    world.to_reveal(submission)
    for index in (2, 3, 4):
        world.node(index).tick()
    world.to_end(submission)
    node = world.node(2)
    PowerCut(node.client, "finalize_due")
    with pytest.raises(Killed):
        node.tick()
    world.node(2).tick()
    assert all(settled(world, i, submission) for i in (2, 3, 4))


# --- kill -9 between any two steps of a submission ---


def submissions_of(world: World, index: int) -> list[Status]:
    mine = [
        view for view in world.client(0).submissions() if view.submission.terms.author == world.signers[index].address
    ]
    return [Status(view.submission.status) for view in mine]


@pytest.mark.parametrize(
    ("part", "method", "before", "trained_again"),
    [
        ("records", "keep_gate", True, False),
        ("records", "keep_gate", False, False),
        ("author", "package", False, False),
        ("client", "reserve", True, False),
        ("client", "reserve", False, False),
        ("store", "put", True, False),
        ("store", "put", False, False),
        ("client", "submit", True, False),
        ("client", "submit", False, False),
        ("records", "adopt_gate", False, False),
    ],
)
def test_killed_while_submitting(world: World, part: str, method: str, before: bool, trained_again: bool):
    node = world.node(1, trainer=Stepper())
    node.join()
    assert node.author
    owner = {"records": node.author.records, "author": node.author, "client": node.client, "store": node.author.store}
    PowerCut(owner[part], method, before=before)
    with pytest.raises(Killed):
        node.author.work()
    trainer = Stepper()
    again = world.node(1, trainer=trainer)
    again.join()
    assert again.author
    again.author.work()
    assert submissions_of(world, 1) == [Status.OPEN], "one reservation, one submission"
    assert bool(trainer.shown) == trained_again
    assert world.attempt(1).stage == "published"
    assert again.author.work() is False, "its one submission is made"


def test_killed_in_training_the_snapshot_resumes(world: World):
    first = Stepper()
    node = world.node(1, trainer=first)
    node.join()
    assert node.author

    def cut(done: int, _wanted: int) -> bool:
        if done == 6:
            raise Killed
        return True

    node.author.between_steps = cut
    with pytest.raises(Killed):
        node.author.work()
    second = Stepper()
    again = world.node(1, trainer=second)
    again.join()
    assert again.author
    again.author.work()
    assert second.shown == [7, 8, 9, 10]
    assert submissions_of(world, 1) == [Status.OPEN]


def test_stopped_in_training_the_attempt_is_kept(world: World):
    node = world.node(1, trainer=Stepper())
    node.join()
    node.stop()
    assert node.author
    node.author.work()
    assert world.attempt(1).stage == "training"
    second = Stepper()
    again = world.node(1, trainer=second)
    again.join()
    assert again.author
    again.author.work()
    assert second.shown[0] == 2


def test_stopped_at_the_last_step_nothing_is_trained_twice(world: World):
    node = world.node(1, trainer=Stepper(steps=1))
    node.join()
    node.stop()
    assert node.author
    node.author.work()
    assert world.attempt(1).stage == "trained"


# --- bad packages ---


def remove(world: World, submission: int) -> dict[Path, bytes]:
    digests = world.client(0).record(submission).digests
    path = world.store.path(Cid(digests.package_codec, digests.package_digest))
    kept = {path: path.read_bytes()}
    path.unlink()
    return kept


def test_a_flipped_byte_is_a_byte_that_is_missing_and_the_node_goes_on(world: World, caplog: pytest.LogCaptureFixture):
    bad, good = world.submit(1), world.submit(2)
    damage(world, bad)
    opinion = Opinion(5)
    node = world.node(3, opinion=opinion)
    node.tick()
    assert not world.client(3).vote(bad).exists
    world.to(world.client(0).submission(bad).terms.reserved_at + 23)
    node.tick()
    world.to_reveal(good)
    node.tick()
    assert vote_of(world, 3, bad) == MISSING
    assert vote_of(world, 3, good) == 5
    assert f"submission {bad} is unusable" in caplog.text
    assert [asked[1].parent.name for asked in opinion.asked] == [str(good)]


def test_a_child_of_a_tampered_parent_gets_the_lowest_vote(world: World, caplog: pytest.LogCaptureFixture):
    """The child nests another manifest of its parent than the one on chain: signed well, and still not believed."""
    parent = world.submit(1)
    node = world.node(2, trainer=Stepper(), opinion=Opinion(5))
    node.tick()
    assert node.author
    attempt = node.author._new_attempt()
    assert attempt
    attempt = node.author._train(attempt)
    other = world.node(3, trainer=Stepper(steps=2))
    other.join()
    assert other.author
    forged = other.author._train(other.author.records.open_attempt(list(attempt.parents), 1, 77))
    other.author.package(forged, other.author.models)
    models = node.author.models.get(attempt.parents[0].id)
    assert attempt.parents[0].id == parent
    models.package.write_bytes(forged.package.read_bytes())
    attempt = node.author._pass_gate(attempt)
    assert node.author._submit(attempt)
    child = parent + 1
    judge = world.node(4, opinion=Opinion(9))
    judge.tick()
    world.to_reveal(child)
    judge.tick()
    assert vote_of(world, 4, child) == LOWEST
    assert vote_of(world, 4, parent) == 9
    (told,) = [r.getMessage() for r in caplog.records if "is unusable" in r.getMessage()]
    assert f"submission {child}" in told
    assert "parent" in told


def test_bytes_that_come_late_are_waited_for(world: World):
    submission = world.submit(1)
    kept = remove(world, submission)
    node = world.node(2, opinion=Opinion(4))
    node.tick()
    assert not world.client(2).vote(submission).exists
    for path, data in kept.items():
        path.write_bytes(data)
    node.tick()
    assert world.client(2).vote(submission).exists
    world.to_reveal(submission)
    node.tick()
    assert vote_of(world, 2, submission) == 4


def test_bytes_missing_at_three_quarters_of_the_window_get_a_vote_of_their_own(world: World):
    submission = world.submit(1)
    remove(world, submission)
    node = world.node(2)
    terms = world.client(0).submission(submission).terms
    world.to(terms.reserved_at + 20)
    node.tick()
    assert not world.client(2).vote(submission).exists
    world.to(terms.reserved_at + 23)
    node.tick()
    world.to_reveal(submission)
    node.tick()
    assert vote_of(world, 2, submission) == MISSING, "an outage burns no author's bond"


def test_a_model_that_cannot_be_scored_gets_the_lowest_vote(world: World):
    submission = world.submit(1)
    node = world.node(2, opinion=Opinion(raises=MlError("tensor w holds values that are not finite numbers")))
    node.tick()
    world.to_reveal(submission)
    node.tick()
    assert vote_of(world, 2, submission) == LOWEST


@pytest.mark.parametrize("fault", [StoreError("no space left"), OSError(28, "No space left on device")])
def test_a_fault_of_the_node_is_no_vote_against_the_candidate(
    world: World, fault: Exception, caplog: pytest.LogCaptureFixture
):
    submission = world.submit(1)
    opinion = Opinion(3, raises=fault)
    node = world.node(2, opinion=opinion)
    node.tick()
    assert not world.client(2).vote(submission).exists
    assert "no space left" in caplog.text.lower()
    opinion.raises = None
    node.tick()
    assert world.client(2).vote(submission).exists


def test_a_parent_that_cannot_be_fetched_is_not_trained_on(world: World, caplog: pytest.LogCaptureFixture):
    first = world.submit(1)
    node = world.node(2, trainer=Stepper(), opinion=Opinion(5))
    node.tick()
    damage(world, first)
    shutil.rmtree(world.folder / "node2" / "models" / str(first))
    assert node.author
    node.author.work()
    (attempt,) = node.author.records.attempts()
    assert [p.id for p in attempt.parents] == [0]
    assert f"cannot train on #{first}" in caplog.text


def test_a_lost_best_model_does_not_lose_the_training(world: World, monkeypatch: pytest.MonkeyPatch):
    node = world.node(1, trainer=Stepper())
    node.join()
    assert node.author
    attempt = node.author._train(node.author._new_attempt())  # type: ignore[arg-type]
    real = node.author.models.get
    calls: list[int] = []

    def once(submission: int) -> object:
        calls.append(submission)
        if len(calls) == 1:
            raise DigestMismatch("the store holds other bytes")
        return real(submission)  # type: ignore[arg-type]

    monkeypatch.setattr(node.author.models, "get", once)
    assert node.author._pass_gate(attempt).stage == "packaged"


# --- gate, stake, space, damaged notes ---


def test_the_gate_refuses_and_the_model_is_never_published(world: World, caplog: pytest.LogCaptureFixture):
    node = world.node(1, trainer=Stepper(), opinion=Opinion(copies=True))
    node.join()
    assert node.author
    node.author.work()
    assert world.attempt(1).stage == "refused"
    assert submissions_of(world, 1) == []
    assert "novelty 30 is above the ceiling" in caplog.text


@dataclasses.dataclass
class CopiesLate(Opinion):
    """Finds copies in what was trained to the end from a published model, and no copies in its half."""

    def compare(self, reference: Path, candidate: Path, seed: bytes, heartbeat: Heartbeat) -> Evaluation:
        self.copies = candidate.parent.name == "1" and candidate.name != "halfway"
        found = super().compare(reference, candidate, seed, heartbeat)
        return dataclasses.replace(found, copied=(0, 2, 0) if self.copies else ())


def test_after_a_refusal_training_goes_on_from_the_last_clean_state(world: World):
    trainer, opinion = Stepper(), CopiesLate()
    node = world.node(1, trainer=trainer, opinion=opinion, strategy=TrainFromBest(budget=10))
    node.join()
    assert node.author
    node.author.dedup = DedupList(node.author.records.root / "dedup.json", share=1.0)
    node.author.work()
    refused = world.attempt(1)
    assert (refused.stage, refused.clean) == ("refused", "attempts/1/halfway")
    node.author.work()
    second = world.attempt(1, 2)
    assert (second.number, second.stage, second.pictures, second.before) == (2, "published", 5, 5)
    assert second.excluded == (1,)
    assert trainer.started[1] == node.author.records.root / "attempts/1/halfway"
    assert second.parents == refused.parents
    assert second.facts is not None
    assert second.facts["pictures_before"] == 5
    assert submissions_of(world, 1) == [Status.OPEN]


def test_with_the_gate_off_it_is_published_all_the_same(world: World):
    node = world.node(1, trainer=Stepper(), opinion=Opinion(copies=True), gate=False)
    node.join()
    assert node.author
    node.author.work()
    assert submissions_of(world, 1) == [Status.OPEN]


@pytest.mark.parametrize("gate", [True, False])
def test_the_strategy_decides_whether_a_model_is_worth_publishing(world: World, gate: bool):
    """With the gate off it was not asked, and every attempt was published and paid for."""
    node = world.node(1, trainer=Stepper(), opinion=Opinion(LOWEST), gate=gate)
    node.join()
    assert node.author
    node.author.work()
    assert world.attempt(1).stage == "abandoned"
    assert submissions_of(world, 1) == []


def test_without_stake_for_a_reservation_nothing_is_trained(world: World, caplog: pytest.LogCaptureFixture):
    client = world.client(1)
    client.request_unstake(STAKE - 5 * 10**18)
    trainer = Stepper()
    node = world.node(1, trainer=trainer)
    node.join()
    assert node.author
    assert node.author.work() is False
    assert trainer.shown == []
    assert "a submission takes" in caplog.text


def test_no_space_pauses_training_and_it_goes_on_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    class Disk:
        free = 1 << 20

    trainer = Stepper()
    node = world.node(1, trainer=trainer)
    node.join()
    assert node.author
    monkeypatch.setattr(author_module.shutil, "disk_usage", lambda _place: Disk)
    assert node.author.work() is False
    assert "1 MB are free" in caplog.text
    assert trainer.shown == []
    monkeypatch.undo()
    assert node.author.work()
    assert submissions_of(world, 1) == [Status.OPEN]


def test_a_damaged_note_is_put_aside_and_made_anew(world: World, caplog: pytest.LogCaptureFixture):
    submission = world.submit(1)
    path = world.folder / "node2" / "evaluations" / f"{submission}.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"improvement": 3, "se')
    node = world.node(2, opinion=Opinion(4))
    node.tick()
    assert world.client(2).vote(submission).exists
    assert path.with_suffix(".damaged").exists()
    assert "is damaged" in caplog.text


def test_a_damaged_attempt_does_not_stop_the_next_one(world: World):
    folder = world.folder / "node1" / "attempts" / "1"
    folder.mkdir(parents=True)
    (folder / "attempt.json").write_bytes(b"\x00\xff")
    records = Records(world.folder / "node1")
    assert records.attempts() == []
    assert records.next_number() == 2


# --- the end ---


def test_a_stopped_node_opens_what_is_due_and_claims(world: World):
    submission = world.submit(1)
    nodes = [world.node(index, linger=5.0) for index in (2, 3, 4)]
    for node in nodes:
        node.tick()
    world.to_reveal(submission)
    for node in nodes:
        node.stop()
        assert node.run() == []
    assert [vote_of(world, i, submission) for i in (2, 3, 4)] == [3, 3, 3]


def test_a_stopped_node_says_what_is_still_sealed(world: World, caplog: pytest.LogCaptureFixture):
    submission = world.submit(1)
    node = world.node(2, linger=1.0)
    node.tick()
    node.stop()
    (sealed,) = node.run()
    assert sealed.id == submission
    windows = world.client(0).windows(submission)
    said = f"the vote on {submission} is still sealed: run this node again between {windows.reveal_start} and"
    assert said in caplog.text
    assert world.client(2).vote_state(submission) is VoteState.READY


def test_a_dead_chain_is_told_once_and_survived(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    submission = world.submit(1)
    node = world.node(2)
    real = node.client.events.poll
    silence = [RpcUnavailable("http://x: no answer to eth_blockNumber in 3 tries")] * 3

    def poll(cursor: object) -> object:
        if silence:
            raise silence.pop()
        return real(cursor)  # type: ignore[arg-type]

    monkeypatch.setattr(node.client.events, "poll", poll)
    caplog.set_level(logging.INFO, "pdfed.node")
    assert [node.guard.patiently(node.tick) for _ in range(4)] == [False, False, False, True]
    assert caplog.text.count("no answer to eth_blockNumber") == 1
    assert caplog.text.count("the chain answers again") == 1
    assert world.client(2).vote(submission).exists


# --- long work ---


class Ponderer(Opinion):
    """While it compares, the chain's clock moves into the reveal window of an earlier vote; then it breathes."""

    world: World
    until: int = 0

    def compare(self, reference: Path, candidate: Path, seed: bytes, heartbeat: Heartbeat) -> Evaluation:
        if self.until:
            self.world.to(self.until)
        heartbeat()
        return super().compare(reference, candidate, seed, heartbeat)


def test_a_vote_is_opened_in_the_middle_of_a_long_evaluation(world: World):
    first = world.submit(1)
    opened = world.client(0).windows(first).reveal_start
    node = world.node(3, opinion=(opinion := Ponderer(4)))
    node.tick()
    world.to(opened - 10)
    second = world.submit(2)
    opinion.world, opinion.until = world, opened + 2
    node.voter._beat_at = 0.0
    node.view.refresh()
    node.voter._vote(node.view.entries[second])
    assert vote_of(world, 3, first) == 4
    assert world.client(3).vote(second).exists


def test_a_vote_is_opened_while_the_author_passes_its_gate(world: World):
    first = world.submit(1)
    node = world.node(2, trainer=Stepper(), opinion=(opinion := Ponderer(4)))
    node.tick()
    assert node.author
    attempt = node.author._train(node.author._new_attempt())  # type: ignore[arg-type]
    opinion.world, opinion.until = world, world.client(0).windows(first).reveal_start + 1
    node.voter._beat_at = 0.0
    assert node.author._pass_gate(attempt).stage == "packaged"
    assert vote_of(world, 2, first) == 4


# --- what a strategy is told ---


def test_a_strategy_is_told_grains_and_nothing_of_votes_that_say_the_bytes_are_missing(world: World):
    submission = world.submit(1)
    for index, vote in ((2, 15), (3, MISSING), (4, LOWEST)):
        world.node(index, opinion=Opinion(vote)).tick()
    world.to_reveal(submission)
    for index in (2, 3, 4):
        world.node(index).tick()
    for index, own in ((2, 28), (3, None), (4, WORST)):
        node = world.node(index, trainer=Stepper())
        node.view.refresh()
        assert node.author is not None
        (candidate,) = node.author._candidates()
        assert candidate.own_improvement == own
        assert set(candidate.votes.values()) == {28, WORST}


# --- parents that are not declared ---


def open_two(world: World) -> tuple[int, int]:
    """Two open submissions by different authors; the second declares genesis alone."""
    return world.submit(1), world.submit(3)


def test_a_model_that_hides_its_parent_gets_the_vote_that_burns_no_bond(world: World):
    first, second = open_two(world)
    opinion = Opinion(8, hidden=(first,))
    node = world.node(2, opinion=opinion)
    node.tick()
    assert opinion.suspected == [([first], 0)], "only what came before is suspected"
    world.to_reveal(second)
    node.tick()
    assert vote_of(world, 2, first) == 8
    assert vote_of(world, 2, second) == HIDDEN_PARENT
    note = json.loads(Records(world.folder / "node2").evaluation(SubmissionId(second)).report)  # type: ignore[union-attr]
    assert note["hidden_parents"] == [first], "the evidence names it"


def test_what_this_node_measured_as_worthless_is_nobodys_hidden_parent(world: World):
    """A copier's models are far from everything; beside them honest siblings would look alike."""
    first, second = open_two(world)
    opinion = Opinion(LOWEST)
    node = world.node(2, opinion=opinion)
    node.view.refresh()
    node.voter.vote(node.view.entries[SubmissionId(first)])
    opinion.improvement = 8
    node.voter.vote(node.view.entries[SubmissionId(second)])
    assert opinion.suspected == []


def test_a_lower_vote_is_not_raised_by_a_hidden_parent(world: World):
    first, second = open_two(world)
    node = world.node(2, opinion=Opinion(-3, hidden=(first,)))
    node.tick()
    world.to_reveal(second)
    node.tick()
    assert vote_of(world, 2, second) == -3


def test_what_an_author_declares_or_made_itself_is_not_suspected(world: World):
    first = world.submit(1)
    view = world.node(2).view
    view.refresh()
    entry = view.entries[first]
    assert entry.record is not None
    child = dataclasses.replace(entry.record, parents=(Parent(SubmissionId(first), 10_000),))
    other = world.signers[3].address
    assert view.relatives(dataclasses.replace(entry, id=SubmissionId(9), author=other)) == ([first], [])
    assert view.relatives(dataclasses.replace(entry, id=SubmissionId(9))) == ([], [])
    declared = dataclasses.replace(entry, id=SubmissionId(9), author=other, record=child)
    assert view.relatives(declared) == ([], [])
    entry.status = Status.VOID
    assert view.relatives(declared) == ([first], []), "a Void parent carries nothing: declaring it does not help"
    entry.status = Status.FINAL
    assert view.relatives(dataclasses.replace(declared, record=entry.record)) == ([], [first]), (
        "no better: to compare with"
    )
    entry.measured = 5
    assert view.relatives(dataclasses.replace(declared, record=entry.record)) == ([first], [])


def test_a_node_keeps_what_it_needs_and_lets_go_of_it_after_a_restart_too(world: World):
    mine, others = world.submit(1), world.submit(2)
    node, store = world.node(1), world.store  # which both share
    node.tick()
    genesis, own, strangers = (str(node.keeper._cid(SubmissionId(number))) for number in (0, mine, others))
    assert {str(cid) for cid in store.pins()} == {genesis, own, strangers}
    again = world.node(1)
    again.view.refresh()
    again.keeper._view = SimpleNamespace(best=0, entries={}, digests_of=again.view.digests_of)
    again.keeper.look()
    assert {str(cid) for cid in store.pins()} == {genesis, strangers}, "what another node pinned stays"
    (again.home / "pins.json").write_text("[3]")
    world.node(1).tick()
    assert len(store.pins()) == 3, "a damaged note costs nothing"


def test_a_pin_that_failed_is_made_at_the_next_look(world: World, monkeypatch: pytest.MonkeyPatch):
    world.submit(1)
    node, failed = world.node(1), []
    pin = node.keeper._store.pin

    def once(cid):
        if not failed:
            failed.append(cid)
            raise OSError("no space left on device")
        pin(cid)

    node.view.refresh()
    monkeypatch.setattr(node.keeper._store, "pin", once)
    with pytest.raises(OSError, match="no space"):
        node.keeper.look()
    node.keeper.look()
    assert failed[0] in world.store.pins()


def test_models_of_old_attempts_do_not_fill_the_disk(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(author_module, "FIRST_REST", 0.0)
    node = world.node(1, trainer=Stepper(), opinion=Opinion(-1), strategy=TrainFromBest(budget=10))
    node.join()
    for _ in range(6):
        node._work()
    attempts = Records(node.home).attempts()
    assert [attempt.stage for attempt in attempts] == ["abandoned"] * 6
    assert [attempt.model.exists() for attempt in attempts] == [False] * 2 + [True] * 4
    assert all((attempt.folder / "attempt.json").exists() for attempt in attempts)
