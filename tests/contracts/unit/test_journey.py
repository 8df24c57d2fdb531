"""One task from creation to the last withdrawal."""

from typing import Any

from support.task import FINAL


def test_a_model_is_scored_rewarded_and_poured(task: Any, nodes: list[Any], chain: Any) -> None:
    author, *voters = nodes
    first = task.open(author)
    receipt = task.score(first, dict.fromkeys(voters, 4))
    assert task.submission(first)["status"] == FINAL
    assert task.best() == (first, 4)
    print("finalize", receipt.gas_used)
    task.solvent(nodes)
    second = task.open(nodes[1], parents=[(first, 10_000)])
    others = [n for n in nodes if n != nodes[1]]
    receipt = task.score(second, dict.fromkeys(others, 3))
    assert task.best() == (second, 7)
    print("finalize", receipt.gas_used)
    task.pour_all()
    task.solvent(nodes)
    assert task.account(author)["credit"] > 0
