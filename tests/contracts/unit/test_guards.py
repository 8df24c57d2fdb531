"""Royalties, eligibility hook, guardian."""

from bisect import bisect
from typing import Any

from support.reference import poured
from support.task import ANY_FEE, FINAL, UNIT, ZERO, Task
from support.wire import INSTRUMENTED

DAY = 86_400


def fresh(chain: Any, count: int = 5, **overrides: Any) -> tuple[Any, list[Any]]:
    task = Task(**overrides)
    nodes = [task.join(a) for a in chain.accounts[10 : 10 + count]]
    task.fund()
    chain.travel(chain.now + 10)
    return task, nodes


# --- royalties


def test_a_royalty_is_shared_like_a_reward(task: Any, nodes: list[Any], chain: Any) -> None:
    """The second model added 4 of the 8 grains: half of what its users pay is its author's, half its parent's; of both
    a part flows on along references, and ends at genesis as commons."""
    first = task.open(nodes[0])
    task.score(first, dict.fromkeys(nodes[1:], 4))
    second = task.open(nodes[1], [(first, 10_000)])
    task.score(second, {n: 4 for n in nodes if n != nodes[1]})
    task.pour_all()
    user = chain.accounts[66]
    task.pay(user, UNIT)
    before, funds, commons = [task.account(n)["credit"] for n in nodes[:2]], task.funds(), task.balances()["commons"]
    receipt = task.send(task.pool.payRoyalty, second, UNIT, sender=user)
    assert receipt.events["RoyaltyPaid"]["payer"] == user
    assert (task.pool.owed(second), task.funds(), task.balances()["commons"]) == (UNIT, funds, commons)
    receipt = task.pour(second, sender=user)
    own = UNIT  # above the best that it took the place of, all grains are its own
    line = own * 3_000 // 10_000
    assert receipt.events["Shared"]["toAuthor"] == own - line
    assert task.pool.pending(first) == line
    task.pour(first, sender=user)
    earned = poured(line, 9_000, 4)
    credits = [task.account(n)["credit"] - b for n, b in zip(nodes[:2], before, strict=True)]
    assert credits == [earned, own - line]
    assert task.balances()["commons"] - commons == line - earned
    assert (task.balances()["committed"], task.funds()) == (0, funds)
    task.solvent(nodes)


def test_royalties_are_for_final_models(task: Any, nodes: list[Any]) -> None:
    id = task.open(nodes[0])
    for wrong in (0, id):
        task.reverts("PoolNotPayable", wrong, call=task.pool.payRoyalty, args=(wrong, 1), sender=nodes[1])
    task.reverts("RegistryUnknownId", 9, call=task.pool.payRoyalty, args=(9, 1), sender=nodes[1])
    task.score(id, dict.fromkeys(nodes[1:], 0))
    task.reverts("VaultZeroAmount", call=task.pool.payRoyalty, args=(id, 0), sender=nodes[1])


def test_skimming_royalties_takes_nothing_of_the_original(task: Any, nodes: list[Any], chain: Any) -> None:
    """A re-upload that declares the original adds no grain: what its own users pay goes to the original's author."""
    original = task.open(nodes[0])
    task.score(original, dict.fromkeys(nodes[1:], 4))
    skim = task.open(nodes[1], [(original, 10_000)])
    task.score(skim, {n: 0 for n in nodes if n != nodes[1]})
    task.pour_all()
    user = chain.accounts[66]
    for paid_to in (original, skim):
        task.pay(user, UNIT)
        before = task.account(nodes[1])["credit"], task.account(nodes[0])["credit"]
        task.send(task.pool.payRoyalty, paid_to, UNIT, sender=user)
        task.pour_all()
        after = task.account(nodes[1])["credit"], task.account(nodes[0])["credit"]
        mine = paid_to == skim  # split above its reference: M of both is the same, so it is its author's own (limit)
        assert (after[0] > before[0], after[1] > before[1]) == (mine, True)
    task.solvent(nodes)


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


def test_the_hook_is_asked_when_the_gas_leaves_it_its_share(chain: Any) -> None:
    hook = chain.project.TestEligibility.deploy({"from": chain.accounts[0]}, silent=True)
    task = Task(eligibility=str(hook))
    message = {"from": str(chain.accounts[60]), "to": str(task.vault)}
    message["data"] = task.vault.register.encode_input(3, ZERO, bytes(32))

    def refusal(gas: int) -> Any:
        answer = chain.web3.provider.make_request("eth_call", [{**message, "gas": hex(gas)}, "latest"])
        return chain.decode_revert(bytes.fromhex(answer["error"]["data"][2:])) if "error" in answer else None

    least = bisect(
        range(60_000, 200_000), False, key=lambda gas: (got := refusal(gas)) is None or got.name != "VaultGasForHook"
    )
    needed = 100_000 * 64 // 63 + 5_000
    left, asked = refusal(60_000 + least - 1).values
    assert asked == needed
    assert INSTRUMENTED or 0 < needed - left <= 50  # what it says is read a little later than what it asks
    assert refusal(200_000) is None


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
    task.reverts("RegistryPaused", until, call=reserve, args=(b"\1" * 32, ANY_FEE), sender=nodes[2])
    task.submit(nodes[1], reserved)
    task.score(id, dict.fromkeys(nodes[1:], 3))
    task.to_end(reserved)
    task.finalize(reserved)
    task.pour(id)
    task.send(task.vault.claim, nodes[0], sender=nodes[0])
    task.send(task.vault.requestUnstake, UNIT, sender=nodes[2])
    task.reverts("RegistryPaused", call=reserve, args=(b"\1" * 32, ANY_FEE), sender=nodes[2], at=until - 1)
    chain.simulate(reserve, b"\1" * 32, ANY_FEE, sender=nodes[2], at=until)
    again = at + 60 * DAY
    task.reverts("RegistryPauseTooSoon", again, again - 1, call=pause, args=(1,), sender=guardian, at=again - 1)
    task.send(pause, 0, sender=guardian, at=again)


def test_a_task_without_guardian_cannot_be_paused(task: Any, nodes: list[Any]) -> None:
    task.reverts("RegistryNotGuardian", nodes[0], call=task.registry.pause, args=(1,), sender=nodes[0])
