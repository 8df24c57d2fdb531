"""The lowest vote is only for what the candidate is guilty of: every fault of this machine, and that it gives no vote.

Real chain, packages and store; each fault is made on the disk, in the store, in memory, or by a second process.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pdfed_sdk.artifacts.package import open_package
from pdfed_sdk.buckets import LOWEST
from pdfed_sdk.errors import MlError, StoreError, UsageError
from pdfed_sdk.node import author, voter
from pdfed_sdk.node.home import HomeLock
from pdfed_sdk.node.model_cache import ModelCache
from pdfed_sdk.node.runner import Node
from pdfed_sdk.node.strategy import TrainFromBest
from tests.support.node_world import Opinion, Stepper, World, damage, vote_of


class Checking(Opinion):
    """An evaluator that looks at the weights, as a real one does: a damaged folder is an MlError."""

    def compare(self, reference, candidate, seed, heartbeat):
        for folder in (reference, candidate):
            weights = next(folder.rglob("*.safetensors"), None)
            if weights is None or not any(weights.read_bytes()[-64:]):
                error = MlError(f"{folder} has no readable weights")
                raise StoreError(error.message) if folder == reference else error
        return super().compare(reference, candidate, seed, heartbeat)


def spoil_cached_folder(node: Node, submission: int) -> None:
    folder = node.voter._models.get(submission).folder
    weights = next(folder.rglob("*.safetensors"))
    weights.write_bytes(bytes(weights.stat().st_size))


def lose_cached_file(node: Node, submission: int) -> None:
    next(node.voter._models.get(submission).folder.rglob("*.safetensors")).unlink()


def half_a_package(node: Node, submission: int) -> None:
    """Killed while it fetched: a package without its folder."""
    model = node.voter._models.get(submission)
    shutil.rmtree(model.folder)
    model.package.write_bytes(model.package.read_bytes()[:1000])


def spoil_reference(node: Node, submission: int) -> None:
    spoil_cached_folder(node, node.view.entries[submission].reference)


@pytest.mark.parametrize("fault", [spoil_cached_folder, lose_cached_file, half_a_package, spoil_reference])
def test_a_damaged_cache_is_made_anew_and_the_vote_is_the_models(world: World, fault: Callable[[Node, int], None]):
    submission = world.submit(1)
    node = world.node(2, opinion=Checking(6))
    node.view.refresh()
    fault(node, submission)
    node.tick()
    node.tick()  # the reference is fetched afresh the next time
    world.to_reveal(submission)
    node.tick()
    assert vote_of(world, 2, submission) == 6


@pytest.mark.parametrize(
    "fault",
    [
        StoreError("no space left while unpacking"),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
        MemoryError(),
    ],
    ids=["store", "full-disk", "permission", "memory"],
)
def test_faults_of_the_machine_give_no_vote_and_the_vote_comes_after(world: World, fault: Exception):
    submission = world.submit(1)
    opinion = Opinion(3, raises=fault)
    node = world.node(2, opinion=opinion)
    node.tick()
    assert not world.client(2).vote(submission).exists
    assert node.voter._records.evaluation(submission) is None
    opinion.raises = None
    node.tick()
    assert world.client(2).vote(submission).exists


def test_a_full_disk_is_not_the_candidates_fault(world: World, monkeypatch: pytest.MonkeyPatch):
    """A full disk fails in many ways; one of them looks like a bad model."""
    submission = world.submit(1)
    opinion = Opinion(3, raises=MlError("weights end early"))
    node = world.node(2, opinion=opinion)
    full = shutil._ntuple_diskusage(10**12, 10**12, 1 << 20)  # type: ignore[attr-defined]
    monkeypatch.setattr(voter.shutil, "disk_usage", lambda _: full)
    node.tick()
    assert not world.client(2).vote(submission).exists


def test_wrong_bytes_from_a_store_are_bytes_that_may_still_come(world: World):
    submission = world.submit(1)
    original = {p: p.read_bytes() for p in (world.folder / "store").rglob("*") if p.is_file()}
    damage(world, submission)
    node = world.node(2, opinion=Opinion(4))
    node.tick()
    assert not world.client(2).vote(submission).exists
    for path, data in original.items():
        path.write_bytes(data)
    node.tick()
    world.to_reveal(submission)
    node.tick()
    assert vote_of(world, 2, submission) == 4


def test_two_that_unpack_at_once_spoil_nothing(world: World, tmp_path: Path):
    submission = world.submit(1)
    node = world.node(2)
    node.view.refresh()
    model = node.voter._models.get(submission)
    with pytest.raises(StoreError, match="is not empty"):
        open_package(model.package, model.folder)
    assert node.voter._models.get(submission).folder.is_dir()


def test_what_the_candidate_is_guilty_of_is_looked_at_twice(world: World):
    submission = world.submit(1)
    opinion = Opinion(3, raises=MlError("tensor w holds values that are not finite numbers"))
    node = world.node(2, opinion=opinion)
    node.tick()
    assert len(opinion.asked) == 2
    world.to_reveal(submission)
    node.tick()
    assert vote_of(world, 2, submission) == LOWEST


def test_a_submission_that_cannot_be_scored_is_not_tried_hot(world: World):
    world.submit(1)
    opinion = Opinion(3, raises=StoreError("the disk is slow"))
    node = world.node(2, opinion=opinion)
    for _ in range(20):
        node.tick()
    assert len(opinion.asked) <= 3


def test_scoring_that_cannot_end_in_its_window_is_not_begun(world: World, caplog: pytest.LogCaptureFixture):
    submission = world.submit(1)
    opinion = Opinion(3)
    node = world.node(2, opinion=opinion)
    node.voter.takes = 10_000.0
    node.tick()
    assert opinion.asked == []
    assert f"submission {submission} is not scored: that takes at least 10000 s here" in caplog.text


def test_a_window_too_short_for_this_machine_is_told_at_the_start(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    node = world.node(2, rehearse=True)
    monkeypatch.setattr(node.voter, "rehearse", lambda: 1_000.0)
    node.join()
    assert "is too short for this machine: one scoring takes 1000 s" in caplog.text


# --- one process a home ----------------------------------------------------------------------------------------------


def test_a_home_belongs_to_one_process(tmp_path: Path):
    lock = HomeLock(tmp_path)
    script = (
        "import sys; from pathlib import Path; from pdfed_sdk.node.home import HomeLock; HomeLock(Path(sys.argv[1]))"
    )
    other = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert f"process {os.getpid()} works in {tmp_path} already" in other.stderr
    with pytest.raises(UsageError, match=str(os.getpid())):
        HomeLock(tmp_path)
    lock.release()
    HomeLock(tmp_path).release()
    killed = subprocess.run(
        [sys.executable, "-c", script + "; import os; os.kill(os.getpid(), 9)", str(tmp_path)], check=False
    )
    assert killed.returncode == -9
    HomeLock(tmp_path).release()


def test_a_home_of_another_form_is_refused_and_stays_as_it_is(tmp_path: Path):
    HomeLock(tmp_path).release()
    assert (tmp_path / "version").read_text() == "1\n"
    (tmp_path / "version").write_text("2\n")
    for _ in range(2):
        with pytest.raises(UsageError, match='version says form "2", this version of the SDK reads form 1'):
            HomeLock(tmp_path)
    assert (tmp_path / "version").read_text() == "2\n"


# --- the trainer -----------------------------------------------------------------------------------------------------


class Broken(Stepper):
    reasons: list[str]

    def train(self, *_args, **_options):
        raise MlError(self.reasons.pop(0) if len(self.reasons) > 1 else self.reasons[0])


def test_three_equal_failures_stop_the_trainer_with_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    trainer = Broken()
    trainer.reasons = ["loss is nan", "the model is too large", "the model is too large"]
    node = world.node(1, trainer=trainer, strategy=TrainFromBest(budget=10))
    node.join()
    node.view.refresh()
    assert node.author
    for _ in range(50):
        node.author.work()
    assert len(node.author.failures) == 1, "nothing is tried again before its rest is over"
    monkeypatch.setattr(author, "FIRST_REST", 0.0)
    node.author.rest_until = 0.0
    for _ in range(50):
        node.author.work()
    assert len(node.author.failures) == 4
    assert node.author.stopped
    assert "3 in a row failed alike (the model is too large)" in caplog.text


@pytest.mark.parametrize(
    "fault",
    [ZeroDivisionError(), RuntimeError("can't allocate memory"), MemoryError()],
    ids=["foreign", "torch", "memory"],
)
def test_a_trainer_that_fails_ends_neither_the_node_nor_in_a_hot_loop(world: World, fault: Exception):
    class Failing(Stepper):
        def train(self, *_args, **_options):
            self.shown.append(1)
            raise fault

    trainer = Failing()
    node = world.node(1, trainer=trainer, strategy=TrainFromBest(budget=10))
    node.join()
    for _ in range(50):
        node._work()
    assert len(trainer.shown) <= 2
    submission = world.submit(2)
    node.tick()
    assert world.client(1).vote(submission).exists
    assert bool(node.author.failures) == isinstance(fault, ZeroDivisionError), "memory ends no attempt"


def test_attempts_that_are_worth_nothing_come_ever_more_seldom(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(author, "FIRST_REST", 1_000.0)
    monkeypatch.setattr(author, "LONGEST_REST", 3_000.0)
    trainer = Stepper()
    node = world.node(1, trainer=trainer, opinion=Opinion(improvement=0), strategy=TrainFromBest(budget=10))
    node.join()
    node.view.refresh()
    rests = []
    for number in range(1, 4):
        for _ in range(4):
            node.author.work()
        assert len(trainer.started) == number, "nothing is tried again before its rest is over"
        rests.append(round(node.author.rest_until - time.monotonic(), -2))
        node.author.rest_until = 0.0
    assert rests == [1_000, 2_000, 3_000]
    assert not node.author.failures


def test_a_fault_of_the_node_between_the_steps_is_not_taken_for_the_trainers(world: World):
    class Calling(Stepper):
        def train(self, *_args, on_step, **_options):
            on_step(1, 10)

    node = world.node(1, trainer=Calling(), strategy=TrainFromBest(budget=10))
    node.join()

    def broken(_done, _wanted):
        raise ZeroDivisionError("while voting")

    node.author.between_steps = broken
    with pytest.raises(ZeroDivisionError, match="while voting"):
        node.author.work()
    assert not node.author.failures


def test_models_above_the_quota_are_dropped_the_longest_unused_first(world: World, tmp_path: Path):
    for index in (1, 2, 3):
        world.submit(index)
    node = world.node(4)
    node.view.refresh()
    args = (tmp_path / "models", world.store, node.view, node.view.params.sponsor)
    cache = ModelCache(*args, most=1, least=2)
    for number in (1, 2):
        os.utime(cache.get(number).folder.parent / "digest", (number, number))
    assert cache.get(1).folder.is_dir(), "in use: its turn to go comes later"
    cache.get(3)
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["1", "3"]
    assert cache.get(2).folder.is_dir(), "a store still has it"
    cache = ModelCache(*args)
    cache.get(1)
    assert len(list((tmp_path / "models").iterdir())) == 3, "far below the default quota"
