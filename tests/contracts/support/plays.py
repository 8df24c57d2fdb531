"""Whole lives of models, for tests that look at what everybody has at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

GENESIS_ONLY = ((0, 10_000),)


def play(task: Any, author: Any, votes: dict[Any, int], parents: Any = GENESIS_ONLY, name: Any = None) -> int:
    """One model from its reservation to the last settled vote."""
    id = int(task.registry.count())
    task.reserve(author, name)
    task.submit(author, id, parents, name)
    task.score(id, votes)
    return id


def together(task: Any, *acts: tuple[Any, Any, dict[Any, int]]) -> list[int]:
    """Models of (author, parents, votes) that are open at once, so that all have one reference."""
    ids = [task.open(author, parents) for author, parents, _ in acts]
    for id, (_, _, votes) in zip(ids, acts, strict=True):
        for voter, improvement in votes.items():
            task.commit(voter, id, improvement)
    task.to_reveal(ids[-1])
    for id, (_, _, votes) in zip(ids, acts, strict=True):
        for voter in votes:
            task.reveal(voter, id)
    task.to_end(ids[-1])
    task.send(task.book.finalizeMany, len(ids), sender=task.sponsor)
    for id, (_, _, votes) in zip(ids, acts, strict=True):
        task.settle(id, votes)
    return ids


def top_up(task: Any, node: Any, amount: int) -> None:
    """More stake, old enough to vote: what a reservation takes is no weight any more."""
    task.pay(node, amount)
    task.send(task.vault.deposit, amount, sender=node)
    task.chain.travel(task.chain.now + task.params["warmUp"])


def drawn(task: Any, nodes: Sequence[Any]) -> dict[Any, int]:
    """What pouring all there is pays to each node."""
    before = {n: int(task.account(n)["credit"]) for n in nodes}
    task.pour_all()
    assert task.balances()["committed"] == 0
    return {n: int(task.account(n)["credit"]) - before[n] for n in nodes}


def wealth(task: Any, nodes: Sequence[Any]) -> dict[Any, int]:
    return {n: task.wealth(n) for n in nodes}
