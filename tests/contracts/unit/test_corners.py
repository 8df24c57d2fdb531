"""The last branches: what neither a journey nor an attack comes by."""

from typing import Any

from eth_utils import keccak
from support.task import FINAL, GENESIS, UNIT, VOID, Task
from support.wire import INSTRUMENTED


def created(maker: str, nonce: int) -> str:
    """Address of the contract that `maker` creates as its `nonce`-th."""
    return "0x" + keccak(b"\xd6\x94" + bytes.fromhex(maker[2:]) + bytes([nonce]))[-20:].hex()


def test_a_signature_of_neither_the_node_nor_its_key_is_refused(task: Any, nodes: list[Any]) -> None:
    author, voter, key = nodes[:3]
    task.send(task.vault.setVotingKey, key, sender=voter)
    id = task.open(author)
    args = (voter, task.sealed(id, b"\7" * 32), task.windows(id)["commitEnd"], b"\x1b" * 65)
    task.reverts("BookBadSignature", voter, call=task.book.commitBySig, args=args, sender=voter)


def test_three_voters_below_the_quorum_floor_decide_nothing(chain: Any) -> None:
    task = Task(quorumFloor=41, minVoters=3)
    nodes = [task.join(a) for a in chain.accounts[10:16]]
    chain.travel(chain.now + 10)
    few, enough = task.open(nodes[0]), task.open(nodes[0])
    task.score(few, dict.fromkeys(nodes[1:5], 3), settle=False)
    assert task.submission(few)["revealedWeight"] == 40
    assert task.submission(few)["status"] == VOID
    assert task.book.nextToFinalize() == enough


def test_the_quorum_floor_itself_is_enough(chain: Any) -> None:
    task = Task(quorumFloor=40, minVoters=3)
    nodes = [task.join(a) for a in chain.accounts[10:16]]
    chain.travel(chain.now + 10)
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(nodes[1:5], 3))
    assert task.submission(id)["status"] == FINAL


def test_tau_stays_at_its_least(chain: Any) -> None:
    task = Task(startTau=-2)
    nodes = [task.join(a) for a in chain.accounts[10:15]]
    chain.travel(chain.now + 10)
    task.score(task.open(nodes[0]), dict.fromkeys(nodes[1:], -6))
    assert task.trend()[0] == -2


def test_only_the_factory_assembles(task: Any, chain: Any) -> None:
    factory, stranger = task.deployment.factory, chain.accounts[70]
    assembler = chain.project.TaskAssembler.at(created(str(factory), 1))
    call, args = assembler.assemble, (task.params_tuple(), GENESIS)
    task.reverts("AssemblerUnauthorized", stranger, call=call, args=args, sender=stranger)


def test_pouring_many_reports_what_was_empty_and_nothing_else(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], 4))
    hops = [(id, id), (0, 0), (id, id), (0, id), (99, id), (99, 99)]
    receipt = task.send(task.pool.pourMany, hops, sender=nodes[0])
    assert [(event["id"], event["source"]) for event in receipt.events["PourSkipped"]] == hops[1:]


def test_what_was_paid_out_once_is_cheap_to_fill_again(task: Any, nodes: list[Any], chain: Any) -> None:
    """Emptied slots keep a mark, so that nobody pays for a fresh one twice: 17,100 gas each, of model and of author."""
    author, user = nodes[0], chain.accounts[66]
    id = task.open(author)
    task.score(id, dict.fromkeys(nodes[1:], 0))
    task.pay(user, 10 * UNIT)
    costs = []
    for _ in range(3):
        paid = task.send(task.pool.payRoyalty, id, UNIT, sender=user).gas_used
        poured = task.pour(id, sender=user).gas_used
        task.send(task.vault.claim, author, sender=author)
        costs.append((paid, poured))
    (paid, poured), *again = costs
    assert INSTRUMENTED or all(paid - p > 15_000 and poured - q > 15_000 for p, q in again)
