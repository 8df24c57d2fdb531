"""Hostile and unusual tokens at every door: deposit, register, permit, fund, royalty; claim, withdraw, reclaim."""

from typing import Any

import pytest
from support.task import FINAL, UNIT, ZERO, Task, deployment

INWARD = ("deposit", "register", "permit", "fund", "royalty")
OUTWARD = ("claim", "withdraw", "reclaim")


class Doors:
    """A task with a Final model, where each act that moves tokens is possible and the next to happen."""

    def __init__(self, chain: Any, token: Any, act: str, unit: int = UNIT, **overrides: Any) -> None:
        self.task = task = Task(token=token, **overrides)
        self.nodes = [task.join(a, stake=10 * unit) for a in chain.accounts[10:15]]
        self.user, self.other, self.newcomer = chain.accounts[66], chain.accounts[70], chain.accounts[71]
        task.fund(1_000 * unit)
        chain.travel(chain.now + 10)
        self.id = task.open(self.nodes[0])
        task.score(self.id, dict.fromkeys(self.nodes[1:], 3))
        task.send(task.vault.requestUnstake, unit, sender=self.nodes[3])
        for who in (self.nodes[2], task.sponsor, self.user, self.newcomer):
            task.pay(who, unit)
        if act == "reclaim":
            task.send(task.pool.close, sender=task.sponsor)
        chain.travel(chain.now + 2_000)
        self.call, self.args, self.sender = self.acts(unit)[act]

    def acts(self, unit: int) -> dict[str, tuple[Any, tuple[Any, ...], Any]]:
        vault, pool, (_, rich, staker, leaver, _) = self.task.vault, self.task.pool, self.nodes
        sponsor = self.task.sponsor
        return {
            "deposit": (vault.deposit, (unit,), staker),
            "register": (vault.registerAndDeposit, (3, ZERO, bytes(32), unit), self.newcomer),
            "permit": (vault.depositWithPermit, (unit, 0, 27, bytes(32), bytes(32)), staker),
            "fund": (pool.fund, (unit,), sponsor),
            "royalty": (pool.payRoyalty, (self.id, unit), self.user),
            "claim": (vault.claim, (rich,), rich),
            "withdraw": (vault.withdraw, (leaver,), leaver),
            "reclaim": (pool.reclaim, (sponsor,), sponsor),
        }

    def refused(self, error: str, *values: Any) -> None:
        self.task.reverts(error, *values, call=self.call, args=self.args, sender=self.sender)

    def works(self) -> None:
        """The act moves exactly what the ledgers say."""
        held = self.task.token.balanceOf(self.task.vault)
        before = self.ledgers()
        self.task.send(self.call, *self.args, sender=self.sender)
        assert self.task.token.balanceOf(self.task.vault) - held == self.ledgers() - before != 0

    def ledgers(self) -> int:
        return int(self.task.ledgers([*self.nodes, self.newcomer]))


def mock(chain: Any, name: str) -> Any:
    return getattr(chain.project, name).deploy({"from": chain.accounts[0]}, silent=True)


def taking_fees(chain: Any, task: Any) -> None:
    """From now on the task's token takes one percent of each transfer: it has the code of the mock that does."""
    code = chain.rpc("eth_getCode", str(mock(chain, "FeeToken")), "latest")
    chain.rpc("anvil_setCode", str(task.token), code)


def test_a_token_that_takes_a_fee_is_refused_at_every_door_in(chain: Any) -> None:
    task = Task()
    nodes = [task.join(a) for a in chain.accounts[10:15]]
    task.fund()
    chain.travel(chain.now + 10)
    id = task.open(nodes[0])
    task.score(id, dict.fromkeys(nodes[1:], 3))
    taking_fees(chain, task)
    for who in (nodes[1], task.sponsor):
        task.pay(who, 20_000)
    taken = (10_000, 9_900)
    task.reverts("VaultTokenTookFee", *taken, call=task.vault.deposit, args=(10_000,), sender=nodes[1])
    task.reverts("VaultTokenTookFee", *taken, call=task.pool.fund, args=(10_000,), sender=task.sponsor)
    task.reverts("VaultTokenTookFee", *taken, call=task.pool.payRoyalty, args=(id, 10_000), sender=nodes[1])


def test_a_fee_on_the_way_out_is_the_recipients(chain: Any) -> None:
    task = Task()
    node, to = task.join(chain.accounts[10], stake=198), chain.accounts[70]
    task.send(task.vault.requestUnstake, 198, sender=node)
    task.fund(198)
    taking_fees(chain, task)
    chain.travel(chain.now + 2_000)
    task.send(task.vault.withdraw, to, sender=node)
    assert task.token.balanceOf(to) == 197
    task.send(task.pool.close, sender=task.sponsor)
    chain.travel(chain.now + 2_000)
    task.send(task.pool.reclaim, chain.accounts[71], sender=task.sponsor)
    assert task.token.balanceOf(chain.accounts[71]) == 197
    assert task.token.balanceOf(task.vault) == task.ledgers([node]) == 0


@pytest.mark.parametrize("act", [*INWARD, *OUTWARD])
def test_a_token_that_returns_false_moves_no_ledger(chain: Any, act: str) -> None:
    doors = Doors(chain, mock(chain, "FalseToken"), act)
    token, before = doors.task.token, doors.ledgers()
    doors.task.send(token.setBroken, True, sender=doors.user)
    doors.refused("SafeERC20FailedOperation", token)
    assert doors.ledgers() == before
    doors.task.send(token.setBroken, False, sender=doors.user)
    doors.works()


@pytest.mark.parametrize("act", INWARD)
def test_a_blacklisted_payer_hurts_only_itself(chain: Any, act: str) -> None:
    doors = Doors(chain, mock(chain, "BlacklistToken"), act)
    doors.task.send(doors.task.token.list, doors.sender, True, sender=doors.other)
    doors.refused("Blacklisted", doors.sender)
    bystander = doors.nodes[4]
    doors.task.pay(bystander, UNIT)
    doors.task.send(doors.task.vault.deposit, UNIT, sender=bystander)
    doors.task.solvent(doors.nodes)


@pytest.mark.parametrize("act", OUTWARD)
def test_a_blacklisted_owner_is_paid_to_another_account(chain: Any, act: str) -> None:
    doors = Doors(chain, mock(chain, "BlacklistToken"), act)
    doors.task.send(doors.task.token.list, doors.sender, True, sender=doors.other)
    doors.refused("Blacklisted", doors.sender)
    doors.args = (doors.other,)
    doors.works()
    assert doors.task.token.balanceOf(doors.other) > 0


def test_blacklisted_accounts_block_no_finalise_settle_or_pour(chain: Any) -> None:
    """They move no tokens, so nobody can stop them by being on a list."""
    doors = Doors(chain, mock(chain, "BlacklistToken"), "claim")
    task, nodes = doors.task, doors.nodes
    for node in nodes:
        task.send(task.token.list, node, True, sender=doors.other)
    id = task.open(nodes[0])
    task.score(id, {n: 3 for n in nodes if n not in (nodes[0], nodes[3])})
    assert task.submission(id)["status"] == FINAL
    task.pour(id)
    task.solvent(nodes)


@pytest.mark.parametrize("act", [*INWARD, *OUTWARD])
def test_a_token_that_calls_back_gets_nothing_twice(chain: Any, act: str) -> None:
    """The token is a node itself, with unbonded stake: its call back is legal, only not in the middle of a transfer."""
    doors = Doors(chain, mock(chain, "ReentrantToken"), act)
    task, token, vault = doors.task, doors.task.token, doors.task.vault
    task.send(token.mint, token, 20 * UNIT, sender=doors.user)
    for target, data in (
        (token, token.approve.encode_input(vault, 20 * UNIT)),
        (vault, vault.registerAndDeposit.encode_input(3, ZERO, bytes(32), 5 * UNIT)),
        (vault, vault.requestUnstake.encode_input(UNIT)),
    ):
        task.send(token.act, target, data, sender=doors.user)
    chain.travel(chain.now + 2_000)
    again = vault.withdraw.encode_input(token) if act in OUTWARD else vault.deposit.encode_input(UNIT)
    task.send(token.arm, vault, again, sender=doors.user)
    doors.works()
    assert token.called()
    assert not token.succeeded()
    assert chain.decode_revert(bytes(token.result())).name == "ReentrancyGuardReentrantCall"
    chain.simulate(token.act, vault, again, sender=doors.user)


@pytest.mark.parametrize("act", [*INWARD, *OUTWARD])
def test_six_decimals_pass_every_door(chain: Any, act: str) -> None:
    amounts = {"minStake": 10**6, "submissionBond": 2 * 10**6, "scoringFee": 1_000_003}
    Doors(chain, deployment().token(6), act, unit=10**6, **amounts).works()


def test_six_decimals_work_to_the_last_unit(chain: Any) -> None:
    amounts = {"minStake": 10**6, "submissionBond": 2 * 10**6, "scoringFee": 1_000_003}
    task = Task(token=deployment().token(6), **amounts)
    nodes = [task.join(a, stake=10 * 10**6 + 9) for a in chain.accounts[10:17]]
    task.fund(777_777_777)
    chain.travel(chain.now + 10)
    id = task.open(nodes[0])
    task.score(id, dict(zip(nodes[1:], (3, 4, 4, -1, 5, 3), strict=True)))
    task.pour(id)
    task.solvent(nodes)
    assert task.token.balanceOf(task.vault) == 7 * (10 * 10**6 + 9) + 777_777_777
