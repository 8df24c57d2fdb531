"""TaskFactory: bounds of every parameter, wiring, addresses, locked implementations."""

from typing import Any

import pytest
from eth_abi import encode
from support.task import DEFAULTS, GENESIS, PARAMETERS, ZERO, Task, deployment

BOUNDS = [
    ("minStake", 10**16, 2**80 - 1),
    ("submissionBond", 1, 2**80 - 1),
    ("scoringFee", 1, 2**80 - 1),
    ("voteBondBps", 1, 10_000),
    ("slots", 1, 3_333),
    ("submitWindow", 1, 250),
    ("commitWindow", 1_000, 30 * 86_400),
    ("revealGap", 1, 86_400),
    ("revealWindow", 1, 30 * 86_400),
    ("warmUp", 1, 30 * 86_400),
    ("unbonding", 1_510, 365 * 86_400),
    ("grace", 1, 365 * 86_400),
    ("kappaBps", 1_000, 5_000),
    ("quorumFloor", 1, 2**32 - 1),
    ("minVoters", 3, 255),
    ("minStep", 2, 128),
    ("startTau", -2, 23),
    ("stepRateBps", 1, 2_000),
    ("lineageBps", 0, 5_000),
    ("decayBps", 1, 9_999),
    ("dripBps", 1, 200),
    ("stakeDripBps", 1, 500),
]
RELATED = {
    **{name: {"unbonding": 365 * 86_400} for name in ("commitWindow", "revealGap", "revealWindow")},
    "slots": {"voteBondBps": 1},
}
WIDTHS = {"voteBondBps": 16, "minVoters": 8, "minStep": 8, "startTau": 7}


def params(task: Any, **overrides: Any) -> tuple[Any, ...]:
    values = {**DEFAULTS, "token": str(task.token), "sponsor": str(task.sponsor), **overrides}
    return tuple(values[name] for name in PARAMETERS)


@pytest.mark.parametrize(("name", "least", "most"), BOUNDS)
def test_a_parameter_is_bounded_on_both_sides(task: Any, name: str, least: int, most: int) -> None:
    factory, anyone = task.deployment.factory, task.sponsor
    related = RELATED.get(name, {})
    for value in (least, most):
        if name == "voteBondBps" and value == most:
            continue  # above what the capacity allows, see below
        task.chain.simulate(factory.check, params(task, **{**related, name: value}), sender=anyone)
    bound = {"commitWindow": "submitWindow"}.get(name, name)
    for value in (least - 1, most + 1):
        if (value < 0 and name != "startTau") or value >= 2 ** WIDTHS.get(name, 128):
            continue
        wrong = params(task, **{**related, name: value})
        error = task.chain.outcome(factory.check, wrong, sender=anyone)
        assert error is not None, f"{name}={value} is accepted"
        assert error.name == "FactoryParameterOutOfBounds"
        assert error.values[0] in (name, bound)


@pytest.mark.parametrize(("slots", "bps", "min_stake", "fits"), [
    (16, 208, 10**18, True), (16, 209, 10**18, False), (1, 3_333, 10**18, True),
    (3_333, 1, 10**18, True), (16, 208, 10**16 + 1, False), (16, 207, 10**16 + 1, True),
])  # fmt: skip
def test_one_unit_of_weight_backs_votes_on_three_times_slots_ids(
    task: Any, slots: int, bps: int, min_stake: int, fits: bool
) -> None:
    """The bonds round up: (16, 208) leaves 16 parts of 10,000 of a stake, which one unit of rounding may exceed."""
    check, values = task.deployment.factory.check, {"slots": slots, "voteBondBps": bps, "minStake": min_stake}
    bonds = 3 * slots * -(-min_stake * bps // 10_000)
    assert (bonds <= min_stake) == fits or min_stake != 10**18
    if bonds <= min_stake:
        task.chain.simulate(check, params(task, **values), sender=task.sponsor)
    else:
        wrong = (params(task, **values),)
        task.reverts("FactoryBondsAboveStake", bonds, min_stake, call=check, args=wrong, sender=task.sponsor)


@pytest.mark.parametrize(("decimals", "supply", "least"), [
    (18, 0, 10**16), (6, 0, 10**4), (2, 0, 1), (0, 0, 1), (18, 2**32 * 10**16 - 1, 10**16),
    (18, 2**32 * 10**16, 10**16 + 1), (6, 2**32 * 10**6 + 5, 10**6 + 1), (36, 0, 10**22),
])  # fmt: skip
def test_a_unit_of_weight_is_so_much_that_nobody_can_fill_the_weight(
    task: Any, decimals: int, supply: int, least: int
) -> None:
    token = task.deployment.token(decimals)
    if supply:
        task.send(token.mint, task.sponsor, supply, sender=task.sponsor)
    check, most = task.deployment.factory.check, 2**80 - 1
    values = {"token": str(token), "voteBondBps": 1, "slots": 1}
    task.chain.simulate(check, params(task, minStake=max(least, 3), **values), sender=task.sponsor)
    wrong = (params(task, minStake=least - 1, **values),)
    error = ("FactoryParameterOutOfBounds", "minStake", least - 1, least, most)
    task.reverts(*error, call=check, args=wrong, sender=task.sponsor)


def test_unbonding_outlasts_the_longest_submission_life(task: Any) -> None:
    life = DEFAULTS["commitWindow"] + DEFAULTS["revealGap"] + DEFAULTS["revealWindow"]
    values = ("unbonding", life - 1, life, 365 * 86_400)
    wrong = params(task, unbonding=life - 1)
    task.reverts(
        "FactoryParameterOutOfBounds", *values, call=task.deployment.factory.check, args=(wrong,), sender=task.sponsor
    )


def test_addresses_are_checked(task: Any) -> None:
    check = task.deployment.factory.check
    outsider = str(task.chain.accounts[70])
    for name, value in (("token", ZERO), ("token", outsider), ("eligibility", outsider)):
        task.reverts(
            "FactoryNotAContract", name, value, call=check, args=(params(task, **{name: value}),), sender=outsider
        )
    task.reverts("FactoryNoSponsor", call=check, args=(params(task, sponsor=ZERO),), sender=outsider)
    task.reverts("FactoryNoObjective", call=check, args=(params(task, objective=bytes(32)),), sender=outsider)


@pytest.mark.parametrize("missing", [0, 2, 3])
def test_a_genesis_without_a_digest_is_refused(task: Any, missing: int) -> None:
    genesis = tuple(bytes(32) if i == missing else part for i, part in enumerate(GENESIS))
    create = task.deployment.factory.createTask
    task.reverts("FactoryZeroGenesis", call=create, args=(params(task), genesis, b"\1" * 32), sender=task.sponsor)


def test_the_factory_refuses_parts_that_are_no_contracts(task: Any) -> None:
    from brownie.exceptions import VirtualMachineError

    parts = [str(p) for p in task.deployment.parts]
    for i in range(4):
        wrong = [*parts[:i], str(task.chain.accounts[3]), *parts[i + 1 :]]
        with pytest.raises(VirtualMachineError, match="FactoryNotAContract"):
            task.chain.project.TaskFactory.deploy(tuple(wrong), {"from": task.sponsor}, silent=True)


def test_the_event_carries_everything_and_the_contracts_know_each_other(task: Any) -> None:
    event = task.creation.events["TaskCreated"]
    four = (str(task.vault), str(task.registry), str(task.book), str(task.pool))
    assert tuple(event["task"]) == four
    assert tuple(event["params"]) == tuple(task.registry.params())
    assert event["sponsor"] == task.sponsor
    assert tuple(task.registry.siblings()) == (four[0], four[2], four[3])
    assert task.deployment.factory.isTask(task.registry)
    assert not task.deployment.factory.isTask(task.vault)
    assert [str(a) for a in task.deployment.factory.implementations()] == [str(p) for p in task.deployment.parts]
    assert task.vault.token() == task.token
    genesis = task.submission(0)
    assert (genesis["status"], genesis["level"], genesis["measured"], genesis["author"]) == (3, 0, 0, ZERO)
    assert (task.registry.count(), task.registry.nextToFinalize(), task.best()) == (1, 1, (0, 0))
    got = task.registry.genesis()
    assert bytes(got["packageDigest"]) == GENESIS[0]
    assert got["packageCodec"] == GENESIS[1]


def test_addresses_are_predicted_and_a_nonce_serves_once(task: Any) -> None:
    d, values = task.deployment, params(task)
    predicted = d.factory.predict(task.sponsor, values, b"n" * 32)
    receipt = task.send(d.factory.createTask, values, GENESIS, b"n" * 32, sender=task.sponsor)
    assert tuple(receipt.events["TaskCreated"]["task"]) == tuple(predicted)
    task.reverts("FailedDeployment", call=d.factory.createTask, args=(values, GENESIS, b"n" * 32), sender=task.sponsor)
    other = task.chain.accounts[2]
    again = task.send(d.factory.createTask, values, GENESIS, b"n" * 32, sender=other)
    assert tuple(again.events["TaskCreated"]["task"]) != tuple(predicted)


def test_a_task_cannot_be_initialised_again(task: Any) -> None:
    task.reverts("InvalidInitialization", call=task.registry.initialize, sender=task.sponsor)


def test_implementations_are_locked(task: Any) -> None:
    vault, registry, book, pool = task.deployment.parts
    anyone = task.sponsor
    opened = (str(anyone), 1, 0, b"\1" * 32, b"\1" * 32)
    sealed = (1, b"\1" * 32, b"\1" * 32)
    for call, args in (
        (vault.register, (1, ZERO, b"\0" * 32)),
        (vault.unlock, (anyone, 0, (0, 0, 0, 0, False, False))),
        (vault.openSubmission, (anyone, 0, 0, 0, 0, 0)),
        (vault.lockVote, (anyone, anyone, 0, 0)),
        (vault.registerAndDeposit, (3, ZERO, bytes(32), 1)),
        (vault.fund, (anyone, 1)),
        (vault.refund, (anyone, 1)),
        (vault.credit, (anyone, 1)),
        (registry.reserve, (b"\1" * 32, 1)),
        (registry.close, ()),
        (book.commit, (anyone, sealed)),
        (book.finalize, (1,)),
        (book.finalizeMany, (1,)),
        (book.settle, (1, [])),
        (pool.fund, (1,)),
        (pool.close, ()),
        (pool.reclaim, (anyone,)),
        (pool.pour, (1, 1)),
        (pool.divideCommons, (1,)),
        (pool.reward, (1, 2, 3)),
    ):
        task.reverts("PartNotAClone", call=call, args=args, sender=anyone)
    task.reverts("BookNoCommitment", call=book.reveal, args=(opened,), sender=anyone)
    task.reverts("InvalidInitialization", call=registry.initialize, sender=anyone)


def test_a_token_that_does_not_tell_its_decimals_has_eighteen(task: Any) -> None:
    silent = str(task.chain.accounts[77])
    tells_supply_alone = "0x5f3560e01c6318160ddd146011575f5ffd5b60055f5260205ff3"
    task.chain.rpc("anvil_setCode", silent, tells_supply_alone)
    least = 10**16
    for stake, enough in ((least - 1, False), (least, True)):
        values = params(task, token=silent, minStake=stake)
        refusal = task.chain.outcome(task.deployment.factory.check, values, sender=task.sponsor)
        assert (refusal is None) == enough
        assert refusal is None or refusal.values == ("minStake", least - 1, least, 2**80 - 1)


def test_only_the_factory_assembles(task: Any) -> None:
    d = task.deployment
    salt = task.creation.events["TaskCreated"]["salt"]
    assert salt is not None
    maker = task.chain.project.TaskAssembler.deploy(tuple(str(p) for p in d.parts), {"from": task.sponsor}, silent=True)
    call = maker.assemble
    task.reverts(
        "AssemblerUnauthorized",
        task.chain.accounts[5],
        call=call,
        args=(params(task), GENESIS),
        sender=task.chain.accounts[5],
    )
    task.send(call, params(task), GENESIS, sender=task.sponsor)
    task.reverts("Panic", 1, call=call, args=(params(task), GENESIS), sender=task.sponsor)


def test_every_cross_contract_entry_accepts_one_caller(task: Any, nodes: list[Any]) -> None:
    stranger = nodes[0]
    result, trend = (1, 1, 1, 1), (0, 1, 1)
    for contract, error, entries in (
        (task.vault, "VaultUnauthorized", {
            "openSubmission": (stranger, 0, 0, 0, 0, 0), "lockVote": (stranger, stranger, 0, 0),
            "unlock": (stranger, 0, (0, 0, 1, 0, False, False)),
            "fund": (stranger, 1), "refund": (stranger, 1), "credit": (stranger, 1),
        }),
        (task.registry, "RegistryUnauthorized", {"conclude": (1, 3, result, trend), "close": ()}),
        (task.pool, "PoolUnauthorized", {"reward": (1, 2, 3)}),
    ):  # fmt: skip
        for entry, args in entries.items():
            task.reverts(error, stranger, call=getattr(contract, entry), args=args, sender=stranger)


def test_tasks_do_not_touch_each_other(task: Any, nodes: list[Any]) -> None:
    other = Task(minStep=5)
    assert other.registry.params()["minStep"] == 5
    assert task.registry.params()["minStep"] == DEFAULTS["minStep"]
    assert other.account(nodes[0])["roles"] == 0
    assert deployment() is task.deployment
    assert encode(["address"], [str(other.vault)]) != encode(["address"], [str(task.vault)])
