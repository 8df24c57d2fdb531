"""A transaction that runs out of gas is told as such, and sent once more with a higher limit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pdfed_sdk.errors import OutOfGas
from tests.support.federation import UNIT, Federation


def test_a_limit_that_was_too_low_is_raised_once(federation: Federation) -> None:
    client = federation.client(1, gas_margin=0.8, gas_reserve=0)
    client.mint(client.address, 10 * UNIT)
    client.approve(10 * UNIT)
    before, sent = client.account().stake, transactions(federation, client.address)
    client.deposit(10 * UNIT)
    assert client.account().stake == before + 10 * UNIT
    assert transactions(federation, client.address) == sent + 2


def transactions(federation: Federation, address: str) -> int:
    return int(federation.anvil.ask("eth_getTransactionCount", address, "latest"), 16)


def test_a_transaction_that_runs_out_again_says_so_and_moves_nothing(federation: Federation) -> None:
    federation.client(1).mint(federation.client(1).address, 10 * UNIT)
    federation.client(1).approve(10 * UNIT)
    client = federation.client(1, gas_margin=0.4, gas_reserve=0)
    before = client.account().stake
    with pytest.raises(OutOfGas, match=r"deposit: 0x\w+ ran out of gas: it used [\d,]+ of [\d,]+") as caught:
        client.deposit(10 * UNIT)
    assert "came first" not in str(caught.value)
    assert client.account().stake == before


def test_deposits_made_at_the_same_time_all_arrive(federation: Federation) -> None:
    """Each is estimated on a pending block in which another has written the slots that it shares."""
    clients = [federation.client(index) for index in range(1, 6)]
    for client in clients:
        client.mint(client.address, 200 * UNIT)
        client.approve(200 * UNIT)
    before = [client.account().stake for client in clients]
    federation.anvil.ask("evm_setAutomine", False)
    try:
        federation.anvil.ask("evm_setIntervalMining", 1)
        with ThreadPoolExecutor(len(clients)) as pool:
            list(pool.map(lambda client: client.deposit(100 * UNIT), clients))
    finally:
        federation.anvil.ask("evm_setIntervalMining", 0)
        federation.anvil.ask("evm_setAutomine", True)
    assert [client.account().stake for client in clients] == [stake + 100 * UNIT for stake in before]
