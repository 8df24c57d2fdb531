"""Every batch at t - 1, t and t + 1 of its windows, like the single calls: it skips what comes at a wrong time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_utils import keccak


def selector(error: str) -> str:
    return "0x" + keccak(text=error)[:4].hex()


COMMIT_OVER = selector("BookCommitOver(uint256,uint40,uint40)")
NOT_REVEAL_TIME = selector("BookNotRevealTime(uint256,uint40,uint40,uint40)")


@pytest.fixture
def tried(task: Any, chain: Any) -> Callable[..., Any]:
    """The receipt of a call mined at this second; what it did is undone."""

    def attempt(call: Any, *args: Any, sender: Any, at: int) -> Any:
        snapshot = chain.snapshot()
        receipt = task.send(call, *args, sender=sender, at=at)
        assert chain.now == at
        _ = receipt.events
        chain.revert(snapshot)
        return receipt

    return attempt


@pytest.fixture
def ids(task: Any, nodes: list[Any], chain: Any) -> list[int]:
    """Two open ids whose windows begin and end some seconds after each other."""
    first = task.open(nodes[0])
    chain.travel(chain.now + 50)
    return [first, task.open(nodes[1])]


def reasons(receipt: Any, event: str) -> list[str]:
    return [str(e["reason"]) for e in receipt.events[event]] if event in receipt.events else []


def test_commit_many_ends_with_the_commit_window(task: Any, nodes: list[Any], ids: list[int], tried: Any) -> None:
    """The same batch takes both, one and none."""
    voter = nodes[3]
    first, second = (task.windows(id)["commitEnd"] for id in ids)
    sealed = [task.sealed(id, bytes([7]) * 32) for id in ids]
    for at, late in ((first - 1, 0), (first, 1), (first + 1, 1), (second - 1, 1), (second, 2), (second + 1, 2)):
        receipt = tried(task.book.commitMany, voter, sealed, sender=voter, at=at)
        committed = [e["id"] for e in receipt.events["Committed"]] if "Committed" in receipt.events else []
        assert committed == ids[late:], at
        assert reasons(receipt, "CommitSkipped") == [COMMIT_OVER] * late, at


def test_reveal_many_keeps_to_the_reveal_window(task: Any, nodes: list[Any], ids: list[int], tried: Any) -> None:
    voters = nodes[2:]
    for id in ids:
        for voter in voters:
            task.commit(voter, id, 3)
    votes = [task.opened(v, id) for id in ids for v in voters]
    (start, end), (start2, end2) = ((w["revealStart"], w["revealEnd"]) for w in map(task.windows, ids))
    cases = [
        (start - 1, []), (start, ids[:1]), (start + 1, ids[:1]), (start2 - 1, ids[:1]), (start2, ids),
        (end - 1, ids), (end, ids[1:]), (end + 1, ids[1:]), (end2 - 1, ids[1:]), (end2, []), (end2 + 1, []),
    ]  # fmt: skip
    for at, open_ in cases:
        receipt = tried(task.book.revealMany, votes, sender=nodes[4], at=at)
        opened = [(e["id"], e["voter"]) for e in receipt.events["Revealed"]] if "Revealed" in receipt.events else []
        assert opened == [(id, v) for id in open_ for v in voters], at
        assert reasons(receipt, "RevealSkipped") == [NOT_REVEAL_TIME] * (len(voters) * (2 - len(open_))), at


def test_finalize_many_waits_for_the_reveal_end(task: Any, nodes: list[Any], ids: list[int], tried: Any) -> None:
    """Never a second early: a vote opened in the last second must count."""
    first, second = (task.windows(id)["revealEnd"] for id in ids)
    for at, due in ((first - 1, 0), (first, 1), (first + 1, 1), (second - 1, 1), (second, 2), (second + 1, 2)):
        receipt = tried(task.book.finalizeMany, 9, sender=nodes[4], at=at)
        done = [e["id"] for e in receipt.events["Finalized"]] if "Finalized" in receipt.events else []
        assert done == ids[:due], at


def test_a_vote_opened_in_the_last_second_counts_before_finalize_many(task: Any, nodes: list[Any], chain: Any) -> None:
    """In one block a second before the end: the reveals are taken and the queue stands still."""
    id = task.open(nodes[0])
    for voter in nodes[1:]:
        task.commit(voter, id, 3)
    end = task.windows(id)["revealEnd"]
    calls = [(task.book.finalizeMany, (9,), nodes[0])]
    calls += [(task.book.reveal, (task.opened(v, id),), v) for v in nodes[1:]]
    chain.travel(end - 2)
    assert chain.block(calls, at=end - 1) == [True] * 5
    assert task.book.nextToFinalize() == id
    task.send(task.book.finalizeMany, 9, sender=nodes[0], at=end)
    assert (task.submission(id)["revealedWeight"], task.submission(id)["outcome"]) == (40, 3)
