"""Royalties, eligibility hook, guardian, hostile tokens."""

from typing import Any

import pytest
from support.task import FINAL, UNIT, ZERO, Task, deployment

DAY = 86_400


def fresh(chain: Any, count: int = 5, **overrides: Any) -> tuple[Any, list[Any]]:
    task = Task(**overrides)
    nodes = [task.join(a) for a in chain.accounts[10 : 10 + count]]
    task.fund()
    chain.travel(chain.now + 10)
    return task, nodes


# --- royalties


def test_a_royalty_is_shared_like_a_reward(task: Any, nodes: list[Any], chain: Any) -> None:
    first = task.open(nodes[0])
    task.score(first, dict.fromkeys(nodes[1:], 4))
    second = task.open(nodes[1], [(first, 10_000)])
    task.score(second, {n: 4 for n in nodes if n != nodes[1]})
    task.send(task.pool.pourMany, [second, first], sender=nodes[0])
    user = chain.accounts[66]
    task.pay(user, UNIT)
    before = [task.account(n)["credit"] for n in nodes[:2]]
    pool = sum(task.balances())
    receipt = task.send(task.pool.payRoyalty, second, UNIT, sender=user)
    assert receipt.events["RoyaltyPaid"]["payer"] == user
    assert task.pool.owed(second) == UNIT
    assert sum(task.balances()) == pool  # a royalty is no sponsor's money
    task.send(task.pool.pourMany, [second, first], sender=user)
    line = UNIT * 3_000 // 10_000
    assert task.account(nodes[1])["credit"] - before[1] == UNIT - line
    earned = task.account(nodes[0])["credit"] - before[0]
    assert 0 < earned < line
    assert sum(task.balances()) == pool + line - earned
    task.solvent(nodes)


def test_royalties_are_for_final_models(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    for wrong in (0, id):
        task.reverts("PoolNotPayable", wrong, call=task.pool.payRoyalty, args=(wrong, 1), sender=nodes[1])
    task.reverts("RegistryUnknownId", 9, call=task.pool.payRoyalty, args=(9, 1), sender=nodes[1])
    task.score(id, dict.fromkeys(nodes[1:], 0))
    task.reverts("VaultZeroAmount", call=task.pool.payRoyalty, args=(id, 0), sender=nodes[1])


def test_skimming_royalties_needs_gain(task: Any, nodes: list[Any], chain: Any) -> None:
    """A re-upload of someone's model takes 1 - rho of what its users pay to it, and nothing of what the original gets;
    of what flows along the lineage it takes nothing, as it has no gain."""
    original = task.open(nodes[0])
    task.score(original, dict.fromkeys(nodes[1:], 4))
    skim = task.open(nodes[1], [(original, 10_000)])
    task.score(skim, {n: 0 for n in nodes if n != nodes[1]})
    task.send(task.pool.pour, original, sender=nodes[0])
    user = chain.accounts[66]
    task.pay(user, UNIT)
    before = task.account(nodes[1])["credit"]
    task.send(task.pool.payRoyalty, original, UNIT, sender=user)
    task.send(task.pool.pourMany, [skim, original], sender=user)
    assert task.account(nodes[1])["credit"] == before


# --- eligibility


def test_the_hook_is_asked_once_and_cannot_touch_a_node_later(chain: Any) -> None:
    hook = chain.project.TestEligibility.deploy({"from": chain.accounts[0]}, silent=True)
    task, nodes = fresh(chain, eligibility=str(hook))
    newcomer = chain.accounts[60]
    args = (3, ZERO, bytes(32))
    for mood in (1, 2, 3):
        task.send(hook.setMood, mood, sender=newcomer)
        task.reverts("VaultIneligible", newcomer, call=task.vault.register, args=args, sender=newcomer)
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], 3))
    assert task.submission(id)["status"] == FINAL
    task.send(task.vault.requestUnstake, UNIT, sender=nodes[0])


def test_a_caller_cannot_starve_the_hook_of_gas(chain: Any) -> None:
    hook = chain.project.TestEligibility.deploy({"from": chain.accounts[0]}, silent=True)
    task = Task(eligibility=str(hook))
    newcomer = chain.accounts[60]
    call = {"from": str(newcomer), "to": str(task.vault), "gas": hex(120_000)}
    call["data"] = task.vault.register.encode_input(3, ZERO, bytes(32))
    answer = chain.web3.provider.make_request("eth_call", [call, "latest"])
    assert chain.decode_revert(bytes.fromhex(answer["error"]["data"][2:])).name == "VaultGasForHook"


# --- guardian


def test_the_guardian_stops_reservations_for_a_while_and_nothing_else(chain: Any) -> None:
    guardian = chain.accounts[55]
    task, nodes = fresh(chain, guardian=str(guardian))
    id, reserved = task.open(nodes[0]), task.reserve(nodes[1])
    pause = task.registry.pause
    task.reverts("RegistryNotGuardian", nodes[0], call=pause, args=(1,), sender=nodes[0])
    args = (14 * DAY + 1,)
    task.reverts("RegistryPauseTooLong", 14 * DAY + 1, 14 * DAY, call=pause, args=args, sender=guardian)
    at = chain.now + 1
    receipt = task.send(pause, 14 * DAY, sender=guardian, at=at)
    until = at + 14 * DAY
    assert receipt.events["Paused"]["until"] == task.registry.pausedUntil() == until
    reserve = task.registry.reserve
    task.reverts("RegistryPaused", until, call=reserve, args=(b"\1" * 32,), sender=nodes[2])
    task.submit(nodes[1], reserved)
    task.score(id, dict.fromkeys(nodes[1:], 3))
    task.to_end(reserved)
    task.finalize(reserved)
    task.send(task.pool.pour, id, sender=nodes[0])
    task.send(task.vault.claim, nodes[0], sender=nodes[0])
    task.send(task.vault.requestUnstake, UNIT, sender=nodes[2])
    task.reverts("RegistryPaused", call=reserve, args=(b"\1" * 32,), sender=nodes[2], at=until - 1)
    chain.simulate(reserve, b"\1" * 32, sender=nodes[2], at=until)
    again = at + 60 * DAY
    task.reverts("RegistryPauseTooSoon", again, again - 1, call=pause, args=(1,), sender=guardian, at=again - 1)
    task.send(pause, 0, sender=guardian, at=again)


def test_a_task_without_guardian_cannot_be_paused(task: Any, nodes: list[Any]) -> None:
    task.reverts("RegistryNotGuardian", nodes[0], call=task.registry.pause, args=(1,), sender=nodes[0])


# --- tokens


def test_a_token_that_takes_a_fee_is_refused(chain: Any) -> None:
    token = chain.project.FeeToken.deploy({"from": chain.accounts[0]}, silent=True)
    task = Task(token=token)
    node = chain.accounts[10]
    task.pay(node, 10 * UNIT)
    task.send(task.vault.register, 3, ZERO, bytes(32), sender=node)
    expected = (10 * UNIT, 99 * UNIT // 10)
    task.reverts("VaultTokenTookFee", *expected, call=task.vault.deposit, args=(10 * UNIT,), sender=node)
    task.pay(task.sponsor, UNIT)
    task.reverts("VaultTokenTookFee", call=task.pool.fund, args=(UNIT,), sender=task.sponsor)


def test_a_token_that_returns_false_is_refused(chain: Any) -> None:
    token = chain.project.FalseToken.deploy({"from": chain.accounts[0]}, silent=True)
    task, nodes = fresh(chain, token=token)
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], 3))
    task.send(token.setBroken, True, sender=nodes[0])
    task.send(task.token.mint, nodes[0], UNIT, sender=nodes[0])
    refused = "SafeERC20FailedOperation"
    task.reverts(refused, token, call=task.vault.deposit, args=(UNIT,), sender=nodes[0])
    task.reverts(refused, token, call=task.vault.claim, args=(nodes[1],), sender=nodes[1])
    credit = task.account(nodes[1])["credit"]
    task.send(token.setBroken, False, sender=nodes[0])
    task.send(task.vault.claim, nodes[1], sender=nodes[1])
    assert task.token.balanceOf(nodes[1]) == credit


def test_a_blacklisted_account_hurts_only_itself(chain: Any) -> None:
    token = chain.project.BlacklistToken.deploy({"from": chain.accounts[0]}, silent=True)
    task, nodes = fresh(chain, token=token)
    task.send(token.list, nodes[0], True, sender=nodes[0])
    task.send(token.list, nodes[1], True, sender=nodes[0])
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], 3))  # finalise and settle move no tokens: nobody can block them
    assert task.submission(id)["status"] == FINAL
    task.reverts("Blacklisted", nodes[1], call=task.vault.claim, args=(nodes[1],), sender=nodes[1])
    task.send(task.vault.claim, chain.accounts[70], sender=nodes[1])  # its credit goes where the token lets it
    task.send(task.vault.claim, nodes[2], sender=nodes[2])
    task.solvent(nodes)


@pytest.mark.parametrize("entry", ["deposit", "claim", "withdraw", "fund"])
def test_a_token_that_calls_back_gets_nothing_twice(chain: Any, entry: str) -> None:
    token = chain.project.ReentrantToken.deploy({"from": chain.accounts[0]}, silent=True)
    task, nodes = fresh(chain, token=token)
    vault, puppet = task.vault, nodes[0]
    task.send(token.mint, token, 20 * UNIT, sender=puppet)
    for data in (vault.register.encode_input(3, ZERO, bytes(32)), vault.deposit.encode_input(5 * UNIT)):
        task.send(token.act, token, token.approve.encode_input(vault, 20 * UNIT), sender=puppet)
        task.send(token.act, vault, data, sender=puppet)
    task.send(token.act, vault, vault.requestUnstake.encode_input(UNIT), sender=puppet)
    chain.travel(chain.now + 2_000)
    inner = {"deposit": vault.deposit.encode_input(UNIT), "fund": vault.deposit.encode_input(UNIT)}
    data = inner.get(entry, vault.withdraw.encode_input(token))
    id = task.open(nodes[1])
    task.score(id, {n: 3 for n in nodes if n != nodes[1]})
    task.send(vault.requestUnstake, UNIT, sender=puppet)
    chain.travel(chain.now + 2_000)
    task.pay(puppet, UNIT)
    task.pay(task.sponsor, UNIT)
    before = task.ledgers([*nodes, token])
    task.send(token.arm, vault, data, sender=puppet)
    call, args, sender = {
        "deposit": (vault.deposit, (UNIT,), puppet),
        "claim": (vault.claim, (puppet,), puppet),
        "withdraw": (vault.withdraw, (puppet,), puppet),
        "fund": (task.pool.fund, (UNIT,), task.sponsor),
    }[entry]
    held = token.balanceOf(vault)
    task.send(call, *args, sender=sender)
    assert token.called()
    assert not token.succeeded()
    assert chain.decode_revert(bytes(token.result())).name == "ReentrancyGuardReentrantCall"
    moved = task.ledgers([*nodes, token]) - before
    assert moved == token.balanceOf(vault) - held


def test_six_decimals_work_to_the_last_unit(chain: Any) -> None:
    amounts = {"minStake": 10**6, "submissionBond": 2 * 10**6, "scoringFee": 1_000_003}
    task = Task(token=deployment().token(6), **amounts)
    nodes = [task.join(a, stake=10 * 10**6 + 9) for a in chain.accounts[10:17]]
    task.fund(777_777_777)
    chain.travel(chain.now + 10)
    id = task.open(nodes[0])
    task.score(id, dict(zip(nodes[1:], (3, 4, 4, -1, 5, 3), strict=True)))
    task.send(task.pool.pour, id, sender=nodes[0])
    task.solvent(nodes)
    assert task.token.balanceOf(task.vault) == 7 * (10 * 10**6 + 9) + 777_777_777
