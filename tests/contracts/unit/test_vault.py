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
    task.send(v.register, VALIDATOR, ZERO, bytes(32), sender=newcomer)
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
    task.send(v.register, VALIDATOR, ZERO, bytes(32), sender=newcomer)
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
    room = most - task.vault.totals()[0]
    task.send(task.token.mint, node, room + 1, sender=node)
    task.reverts("VaultTooMuch", most + 1, most, call=task.vault.deposit, args=(room + 1,), sender=node)


def test_a_task_holds_a_bounded_weight(chain: Any) -> None:
    least = UNIT // 100
    task = Task(minStake=least)
    node = chain.accounts[31]
    task.join(node, (2**32 - 1) * least)
    task.pay(node, least)
    task.reverts("VaultTooMuchWeight", 2**32, 2**32 - 1, call=task.vault.deposit, args=(least,), sender=node)


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
    assert credit == UNIT // 5 // 4  # a first vote: f = q = 1/2, and the bond is less than the slice
    task.reverts("VaultBadRecipient", ZERO, call=task.vault.claim, args=(ZERO,), sender=voters[0])
    task.send(task.vault.claim, chain.accounts[41], sender=voters[0])
    assert task.token.balanceOf(chain.accounts[41]) == credit
    task.reverts("VaultNothingToClaim", voters[0], call=task.vault.claim, args=(voters[0],), sender=voters[0])
    task.solvent(nodes)


def test_a_plain_transfer_belongs_to_nobody_and_takes_nobodys_room(task: Any, nodes: list[Any]) -> None:
    """However much somebody sends without a call: caps are of what the vault counted in, not of what it has."""
    before = task.ledgers(nodes)
    gift = 2**88
    task.send(task.token.mint, task.vault, gift, sender=nodes[0])
    assert task.ledgers(nodes) == task.vault.totals()[0] == before
    assert task.token.balanceOf(task.vault) == before + gift
    task.pay(nodes[1], UNIT)
    task.send(task.vault.deposit, UNIT, sender=nodes[1])
    assert task.account(nodes[1])["stake"] == 11 * UNIT


def test_only_the_stake_of_validators_weighs(task: Any, chain: Any) -> None:
    """A trainer's stake backs its bonds; it neither votes nor is eligible, however it changes."""
    v, trainer = task.vault, task.join(chain.accounts[33], stake=7 * UNIT, roles=TRAINER)
    total = v.totalWeightAt(chain.now)
    assert total == 50
    task.pay(trainer, 20 * UNIT)
    task.send(v.deposit, 20 * UNIT, sender=trainer)
    chain.travel(chain.now + 10)
    assert (v.weightNow(trainer), v.weightAt(trainer, chain.now), v.totalWeightAt(chain.now)) == (0, 0, total)
    id = task.open(trainer)
    assert task.submission(id)["eligible"] == 50
    task.send(v.requestUnstake, 20 * UNIT, sender=trainer)
    assert (v.weightNow(trainer), v.totalWeightAt(chain.now)) == (0, total)
    task.to_end(id)
    task.finalize(id)
    assert (task.account(trainer)["stake"], v.totalWeightAt(chain.now)) == (4 * UNIT, total)


def test_every_move_between_ledgers_is_an_event_of_the_vault(task: Any, nodes: list[Any], chain: Any) -> None:
    """Who adds up the vault's events alone has every ledger: stake, locked, unbonding, credit, escrow, treasury."""
    start = int(task.chain.rpc("eth_blockNumber"), 16)
    books = {n: [int(x) for x in tuple(task.account(n))[:4]] for n in nodes}
    escrow, treasury = task.escrow(), task.treasury()
    task.pay(nodes[1], 5 * UNIT)
    task.send(task.vault.deposit, 5 * UNIT, sender=nodes[1])
    best = task.open(nodes[0])
    task.score(best, dict(zip(nodes[1:], (4, 4, 4, -1), strict=True)), silent=nodes[3:4])
    child = task.open(nodes[1], [(best, 10_000)])
    task.score(child, {n: 9 for n in nodes if n != nodes[1]})
    task.score(task.open(nodes[2]), {n: -8 for n in nodes if n != nodes[2]})
    user = chain.accounts[66]
    task.pay(user, UNIT)
    task.send(task.pool.payRoyalty, child, UNIT, sender=user)
    task.fund(7 * UNIT)
    task.pour_all()
    task.send(task.vault.requestUnstake, UNIT, sender=nodes[4])
    task.send(task.vault.claim, nodes[1], sender=nodes[1])
    chain.travel(chain.now + task.params["unbonding"])
    task.send(task.vault.withdraw, nodes[4], sender=nodes[4])
    raw = chain.rpc("eth_getLogs", {"fromBlock": hex(start + 1), "toBlock": "latest", "address": str(task.vault)})
    for e in chain.decode_logs(raw):
        if e.name == "Deposited":
            books[e["node"]][0] += e["amount"]
        elif e.name == "UnstakeRequested":
            books[e["node"]][0] -= e["amount"]
            books[e["node"]][2] += e["amount"]
        elif e.name == "Withdrawn":
            books[e["node"]][2] -= e["amount"]
        elif e.name == "Claimed":
            books[e["node"]][3] -= e["amount"]
        elif e.name == "SubmissionBonded":
            books[e["author"]][0] -= e["bond"] + e["fee"] + e["surcharge"]
            books[e["author"]][1] += e["bond"]
            escrow, treasury = escrow + e["fee"], treasury + e["surcharge"]
        elif e.name == "VoteBonded":
            books[e["voter"]][0] -= e["bond"]
            books[e["voter"]][1] += e["bond"]
        elif e.name == "Settled":
            books[e["node"]][0] += e["released"]
            books[e["node"]][1] -= e["released"] + e["forfeited"]
            books[e["node"]][3] += e["paid"]
            escrow -= e["paid"] + e["toCommons"]
            treasury += e["forfeited"] + e["toCommons"]
        elif e.name == "TreasuryFunded":
            treasury += e["amount"]
        elif e.name == "TreasuryPaid":
            treasury -= e["amount"]
        elif e.name == "Credited":
            treasury -= e["amount"]
            books[e["author"]][3] += e["amount"]
    assert books == {n: [int(x) for x in tuple(task.account(n))[:4]] for n in nodes}
    assert (escrow, treasury) == (task.escrow(), task.treasury())
