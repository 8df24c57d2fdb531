"""StakeVault: registration, stake, weight over time, unbonding, claims."""

from typing import Any

import pytest
from support.task import TRAINER, UNIT, VALIDATOR, ZERO, Task, digest


@pytest.fixture
def newcomer(task: Any, chain: Any) -> Any:
    account = chain.accounts[30]
    task.pay(account, 100 * UNIT)
    return account


def test_registering(task: Any, newcomer: Any, nodes: list[Any]) -> None:
    register = task.vault.register
    for roles in (0, 4, 255):
        task.reverts("VaultBadRoles", roles, call=register, args=(roles, ZERO, bytes(32)), sender=newcomer)
    receipt = task.send(register, VALIDATOR, nodes[0], digest("card"), sender=newcomer)
    assert receipt.events["NodeRegistered"]["node"] == newcomer
    assert bytes(receipt.events["NodeRegistered"]["metadataDigest"]) == digest("card")
    account = task.account(newcomer)
    assert (account["roles"], account["votingKey"]) == (VALIDATOR, nodes[0])
    task.reverts("VaultAlreadyRegistered", newcomer, call=register, args=(1, ZERO, bytes(32)), sender=newcomer)


def test_only_registered_nodes_act(task: Any, newcomer: Any) -> None:
    for call, args in (
        (task.vault.deposit, (1,)),
        (task.vault.requestUnstake, (1,)),
        (task.vault.setVotingKey, (ZERO,)),
        (task.vault.setMetadata, (bytes(32),)),
    ):
        task.reverts("VaultNotRegistered", newcomer, call=call, args=args, sender=newcomer)


def test_voting_keys_and_metadata_change(task: Any, nodes: list[Any]) -> None:
    node, key = nodes[:2]
    assert task.vault.mayVoteFor(node, node)
    assert not task.vault.mayVoteFor(node, key)
    assert not task.vault.mayVoteFor(node, ZERO)
    assert task.send(task.vault.setVotingKey, key, sender=node).events["VotingKeyChanged"]["votingKey"] == key
    assert task.vault.mayVoteFor(node, key)
    task.send(task.vault.setVotingKey, ZERO, sender=node)
    assert not task.vault.mayVoteFor(node, key)
    receipt = task.send(task.vault.setMetadata, digest("new"), sender=node)
    assert bytes(receipt.events["MetadataChanged"]["metadataDigest"]) == digest("new")


def test_weight_counts_whole_minimum_stakes_over_time(task: Any, newcomer: Any, chain: Any) -> None:
    v = task.vault
    task.send(v.register, TRAINER, ZERO, bytes(32), sender=newcomer)
    before = v.totalWeightAt(chain.now)
    moments = [chain.now + 10 * i for i in range(1, 6)]
    steps = [UNIT - 1, 1, 3 * UNIT, 5 * UNIT // 2, UNIT // 2]
    for moment, amount in zip(moments, steps, strict=True):
        task.send(v.deposit, amount, sender=newcomer, at=moment)
    expected = [0, 1, 4, 6, 7]
    for moment, weight in zip(moments, expected, strict=True):
        assert v.weightAt(newcomer, moment) == weight
        assert v.totalWeightAt(moment) == before + weight
    assert v.weightAt(newcomer, moments[0] - 1) == 0
    assert v.weightAt(newcomer, moments[2] - 1) == 1
    assert v.weightNow(newcomer) == 7
    task.send(v.requestUnstake, 2 * UNIT + 1, sender=newcomer, at=moments[-1] + 10)
    assert v.weightNow(newcomer) == 4
    assert v.weightAt(newcomer, moments[-1] + 9) == 7
    assert v.totalWeightAt(moments[-1] + 10) == before + 4


def test_weight_changes_within_one_block_leave_one_checkpoint(task: Any, newcomer: Any, chain: Any) -> None:
    v = task.vault
    task.send(v.register, TRAINER, ZERO, bytes(32), sender=newcomer)
    task.send(v.deposit, UNIT, sender=newcomer)
    start = chain.now
    assert chain.block([(v.deposit, (amount,), newcomer) for amount in (UNIT, 2 * UNIT)], at=start + 50) == [True, True]
    assert [v.weightAt(newcomer, t) for t in (start - 1, start, start + 49, start + 50)] == [0, 1, 1, 4]


def test_unbonding_takes_weight_at_once_and_pays_at_its_end(task: Any, nodes: list[Any], chain: Any) -> None:
    v, node = task.vault, nodes[0]
    task.reverts("VaultZeroAmount", call=v.requestUnstake, args=(0,), sender=node)
    task.reverts(
        "VaultInsufficientStake",
        node,
        10 * UNIT,
        10 * UNIT + 1,
        call=v.requestUnstake,
        args=(10 * UNIT + 1,),
        sender=node,
    )
    task.reverts("VaultNothingToWithdraw", node, call=v.withdraw, args=(node,), sender=node)
    receipt = task.send(v.requestUnstake, 4 * UNIT, sender=node)
    end = chain.now + task.params["unbonding"]
    assert receipt.events["UnstakeRequested"]["withdrawableAt"] == end
    assert v.weightNow(node) == 6
    task.reverts("VaultUnbondingPending", node, 4 * UNIT, end, call=v.requestUnstake, args=(1,), sender=node)
    task.reverts("VaultStillUnbonding", node, end, call=v.withdraw, args=(node,), sender=node, at=end - 1)
    task.chain.simulate(v.withdraw, node, sender=node, at=end)
    task.chain.simulate(v.withdraw, node, sender=node, at=end + 1)
    task.reverts("VaultBadRecipient", ZERO, call=v.withdraw, args=(ZERO,), sender=node, at=end)
    task.reverts("VaultBadRecipient", v, call=v.withdraw, args=(v,), sender=node, at=end)
    task.send(v.withdraw, chain.accounts[40], sender=node, at=end)
    assert task.token.balanceOf(chain.accounts[40]) == 4 * UNIT
    task.solvent(nodes)
    task.send(v.requestUnstake, 6 * UNIT, sender=node)
    assert v.weightNow(node) == 0


def test_a_second_unbonding_waits_until_the_first_is_taken_out(task: Any, nodes: list[Any], chain: Any) -> None:
    """Also when the first has matured: it would be overwritten, and nobody's any more."""
    v, node = task.vault, nodes[0]
    task.send(v.requestUnstake, 4 * UNIT, sender=node)
    end = chain.now + task.params["unbonding"]
    pending = (node, 4 * UNIT, end)
    for at in (end - 1, end, end + 1, end + 10 * task.params["unbonding"]):
        task.reverts("VaultUnbondingPending", *pending, call=v.requestUnstake, args=(UNIT,), sender=node, at=at)
    task.send(v.withdraw, node, sender=node, at=end)
    task.send(v.requestUnstake, UNIT, sender=node)
    assert (task.account(node)["unbonding"], task.account(node)["stake"]) == (UNIT, 5 * UNIT)
    task.solvent(nodes)


def test_deposits_are_counted_as_received(task: Any, nodes: list[Any]) -> None:
    v, node = task.vault, nodes[0]
    task.reverts("VaultZeroAmount", call=v.deposit, args=(0,), sender=node)
    task.reverts("ERC20InsufficientBalance", call=v.deposit, args=(1,), sender=node)
    task.send(task.token.mint, node, UNIT, sender=node)
    task.send(task.token.approve, v, 0, sender=node)
    task.reverts("ERC20InsufficientAllowance", call=v.deposit, args=(1,), sender=node)


def test_a_task_holds_a_bounded_amount(task: Any, nodes: list[Any]) -> None:
    node = nodes[0]
    most = 2**88 - 1
    room = most - task.token.balanceOf(task.vault)
    task.send(task.token.mint, node, room + 1, sender=node)
    task.reverts("VaultTooMuch", most + 1, most, call=task.vault.deposit, args=(room + 1,), sender=node)


def test_a_task_holds_a_bounded_weight(chain: Any) -> None:
    task = Task(minStake=1, submissionBond=1, scoringFee=0)
    node = chain.accounts[31]
    task.join(node, 2**32 - 1)
    task.pay(node, 1)
    task.reverts("VaultTooMuchWeight", 2**32, 2**32 - 1, call=task.vault.deposit, args=(1,), sender=node)


def test_registering_and_staking_in_one_transaction(task: Any, chain: Any) -> None:
    node, key = chain.accounts[32:34]
    task.pay(node, 5 * UNIT)
    join = task.vault.registerAndDeposit
    task.reverts("VaultBadRoles", 4, call=join, args=(4, key, bytes(32), UNIT), sender=node)
    task.reverts("VaultZeroAmount", call=join, args=(3, key, bytes(32), 0), sender=node)
    receipt = task.send(join, 3, key, b"\5" * 32, 5 * UNIT, sender=node)
    assert [e.name for e in receipt.events if e.name != "Transfer"] == ["NodeRegistered", "Deposited"]
    account = task.account(node)
    assert (account["roles"], account["stake"], account["votingKey"]) == (3, 5 * UNIT, key)
    assert task.vault.weightNow(node) == 5
    task.reverts("VaultAlreadyRegistered", node, call=join, args=(3, key, bytes(32), UNIT), sender=node)


def test_nothing_to_claim(task: Any, nodes: list[Any]) -> None:
    task.reverts("VaultNothingToClaim", nodes[0], call=task.vault.claim, args=(nodes[0],), sender=nodes[0])


def test_credit_is_claimed_once_to_any_recipient(task: Any, nodes: list[Any], chain: Any) -> None:
    author, *voters = nodes
    task.score(task.open(author), dict.fromkeys(voters, 3))
    credit = task.account(voters[0])["credit"]
    assert credit == 3 * UNIT // 40 * 10 // 4  # a first vote: f = q = 1/2
    task.reverts("VaultBadRecipient", ZERO, call=task.vault.claim, args=(ZERO,), sender=voters[0])
    task.send(task.vault.claim, chain.accounts[41], sender=voters[0])
    assert task.token.balanceOf(chain.accounts[41]) == credit
    task.reverts("VaultNothingToClaim", voters[0], call=task.vault.claim, args=(voters[0],), sender=voters[0])
    task.solvent(nodes)


def test_a_plain_transfer_belongs_to_nobody(task: Any, nodes: list[Any]) -> None:
    before = task.ledgers(nodes)
    task.send(task.token.mint, task.vault, 5 * UNIT, sender=nodes[0])
    assert task.ledgers(nodes) == before
    assert task.token.balanceOf(task.vault) == before + 5 * UNIT
