"""Transport and sending: dead, lying and flaky endpoints, two processes with one key, stuck transactions, signers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from web3 import AsyncHTTPProvider, HTTPProvider

from pdfed_sdk.chain.client import AsyncPdfedClient, PdfedClient
from pdfed_sdk.chain.event_types import MetadataChanged
from pdfed_sdk.chain.rpc import BATCH, Chain, Fault, Options, Request, Wire, revert_data
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.chain.transactions import NonceLock
from pdfed_sdk.errors import ChainError, KeystoreError, RpcUnavailable, TransactionFailed, UsageError, WrongChain
from tests.support.anvil import Anvil, free_port
from tests.support.federation import FAST, KEYS, Federation

IMPATIENT = Options(poll=0.01, retries=1, timeout=5, request_timeout=1, max_reply=100_000)


# --- endpoints that misbehave ----------------------------------------------------------------------------------------


@contextmanager
def endpoint(answer: Callable[[Any], tuple[int, bytes]]) -> Iterator[str]:
    """An HTTP server of ours: ``answer(request JSON) -> (status, body)``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, body = answer(asked)
            self.send_response(status)
            self.send_header("location", "http://127.0.0.1:1/")
            self.end_headers()
            with suppress(OSError):  # the client may hang up, as it should
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def one(result: str) -> bytes:
    return b'{"jsonrpc":"2.0","id":0,"result":' + result.encode() + b"}"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b"<html>", "not JSON"),
        (200, b"[" * 90_000, "nested deeper than 64"),
        (200, b'{"a":' * 10_000, "nested deeper than 64"),
        (200, b"x" * 1_000_000, "larger than 100000 bytes"),
        (200, b"[]", "0 of 1 requests"),
        (200, b"7", "0 of 1 requests"),
        (200, b'{"jsonrpc":"2.0","id":9,"result":"0x1"}', "0 of 1 requests"),
        (502, b"", "HTTP 502"),
        (403, b"", "HTTP 403"),
        (301, b"", "HTTP 301"),
    ],
)
def test_an_endpoint_that_talks_nonsense_is_unavailable(status: int, body: bytes, says: str) -> None:
    with endpoint(lambda _: (status, body)) as url:
        wire, chain = Wire(url, IMPATIENT), Chain("test", IMPATIENT)
        with pytest.raises(RpcUnavailable, match=says):
            wire.run(chain.ask("eth_chainId"))

        async def same() -> None:
            with pytest.raises(RpcUnavailable, match=says):
                await AsyncPdfedClient.connect(url, task=KEYS_ADDRESS, options=IMPATIENT)

        asyncio.run(same())


KEYS_ADDRESS = LocalSigner.from_key(KEYS[0]).address


@pytest.mark.parametrize("value", ['"1"', "1", "null", '"0xzz"', '"0x' + "f" * 70 + '"', "{}"])
def test_results_are_checked_for_type(value: str) -> None:
    with endpoint(lambda _: (200, one(value))) as url, pytest.raises(ChainError, match="where a number belongs"):
        PdfedClient.connect(url, task=KEYS_ADDRESS, options=IMPATIENT)


def test_a_dead_endpoint_says_so_and_hides_the_key_in_its_url() -> None:
    url = f"http://127.0.0.1:{free_port()}/v3/SECRET?key=SECRET"
    start = time.monotonic()
    with pytest.raises(RpcUnavailable, match="connection refused") as caught:
        PdfedClient.connect(url, task=KEYS_ADDRESS, options=IMPATIENT)
    assert time.monotonic() - start < 2
    assert "SECRET" not in str(caught.value)
    assert caught.value.exit_code == 11
    assert "check the URL" in caught.value.hint


def test_an_endpoint_that_hangs_times_out() -> None:
    def slow(_: Any) -> tuple[int, bytes]:
        time.sleep(1.5)
        return 200, one('"0x1"')

    with endpoint(slow) as url, pytest.raises(RpcUnavailable, match="timed out"):
        PdfedClient.connect(url, task=KEYS_ADDRESS, options=replace(IMPATIENT, request_timeout=0.1))


def test_an_endpoint_that_dies_and_comes_back(federation: Federation) -> None:
    failures = [3]

    def flaky(asked: Any) -> tuple[int, bytes]:
        if failures[0]:
            failures[0] -= 1
            return 503, b""
        return forward(federation.anvil.url, asked)

    with endpoint(flaky) as url:
        client = PdfedClient.connect(url, task=federation.entry.registry, options=replace(FAST, retries=4))
        assert client.count() == 1


def forward(url: str, asked: Any) -> tuple[int, bytes]:
    import requests

    return 200, requests.post(url, json=asked, timeout=10).content


def test_anvil_dying_under_a_client(spare_anvil: Callable[..., Anvil]) -> None:
    anvil = spare_anvil()
    wire, chain = Wire(anvil.url, IMPATIENT), Chain("anvil", IMPATIENT)
    assert wire.run(chain.ask("eth_chainId")) == "0x7a69"
    anvil.process.kill()
    anvil.process.wait(5)
    with pytest.raises(RpcUnavailable):
        wire.run(chain.ask("eth_chainId"))


def test_only_http_urls_and_providers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not http"):
        Wire("ws://127.0.0.1:1", FAST)


def test_long_batches_are_cut(anvil: Anvil) -> None:
    wire, chain = Wire(anvil.url, FAST), Chain("anvil", FAST)
    answers = wire.run(chain.batch([Request("eth_chainId")] * (2 * BATCH + 3)))
    assert answers == ["0x7a69"] * (2 * BATCH + 3)


# --- the right chain and task ----------------------------------------------------------------------------------------


def test_connect_checks_chain_code_and_wiring(federation: Federation) -> None:
    url, task = federation.anvil.url, federation.entry
    with pytest.raises(WrongChain, match="serves chain 31337, not 1"):
        PdfedClient.connect(url, task=task.registry, chain_id=1, options=FAST)
    with pytest.raises(WrongChain, match="no contract stands"):
        PdfedClient.connect(url, task=federation.signers[0].address, options=FAST)
    with pytest.raises(WrongChain, match="not the registry"):
        PdfedClient.connect(url, task=task.vault, options=FAST)
    with pytest.raises(WrongChain, match="not the registry"):
        PdfedClient.connect(url, task=task.token, options=FAST)
    with pytest.raises(UsageError, match="not an address"):
        PdfedClient.connect(url, task="0x12", options=FAST)
    implementation = federation.manifest.contracts["StakeVault"]
    federation.anvil.ask("anvil_setCode", implementation, "0x600160005260206000f3")
    with pytest.raises(WrongChain, match="other code than this SDK ships"):
        PdfedClient.connect(url, task=task.registry, options=FAST)


def test_web3_providers_are_accepted(federation: Federation) -> None:
    url, task = federation.anvil.url, federation.entry.registry
    client = PdfedClient.connect(
        HTTPProvider(url), task=task, signer=federation.signers[2], state=federation.folder, options=FAST
    )
    client.set_metadata(b"\x01" * 32).one(MetadataChanged)

    async def journey() -> int:
        provider = AsyncHTTPProvider(url)
        client = await AsyncPdfedClient.connect(provider, task=task, options=FAST)
        try:
            return await client.count()
        finally:
            await provider.disconnect()

    assert asyncio.run(journey()) == 1


def test_a_client_without_a_signer_reads_only(federation: Federation) -> None:
    reader = federation.reader()
    assert reader.count() == 1
    for act in (reader.close, reader.account, reader.due):
        with pytest.raises(UsageError, match="signer"):
            act()


# --- nonces ----------------------------------------------------------------------------------------------------------


def test_two_processes_with_one_key_lose_nothing(federation: Federation) -> None:
    """Equal intents on purpose: the same bytes under the same nonce would pass for one another."""
    sender = federation.client(2)
    first = len([e for e in sender.events.replay() if isinstance(e, MetadataChanged)])
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                client = federation.client(2)
                for _ in range(8):
                    client.set_metadata(b"\x09" * 32)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    changed = [event for event in sender.events.replay() if isinstance(event, MetadataChanged)]
    assert len(changed) - first == 24
    assert len({event.where.tx_hash for event in changed}) == len(changed)


def test_a_nonce_taken_by_another_program_is_passed_over(federation: Federation) -> None:
    """Another program with this key, without our lock, sends the very bytes we are about to send."""
    federation.anvil.ask("evm_setAutomine", False)
    try:
        voter = federation.client(2, timeout=0.2)
        other = LocalSigner.from_key(KEYS[2], lock_folder=federation.folder / "elsewhere")
        rival = PdfedClient.connect(
            federation.anvil.url,
            task=federation.entry.registry,
            signer=other,
            options=replace(FAST, timeout=0.2),
        )
        with pytest.raises(TransactionFailed, match="not mined"):
            rival.set_metadata(b"\x01" * 32)
        asked: list[str] = []
        genuine = voter.wire._carry

        def stale(batch: Any) -> Any:
            answers = genuine(batch)
            for index, request in enumerate(batch.requests):
                if request.method == "eth_getTransactionCount" and request.params[1] == "pending" and not asked:
                    asked.append("stale")
                    answers[index] = hex(int(answers[index], 16) - 1)
            return answers

        voter.wire._carry = stale  # type: ignore[method-assign]
        with pytest.raises(TransactionFailed, match="not mined"):
            voter.set_metadata(b"\x01" * 32)
        assert asked == ["stale"]
        pool = federation.anvil.ask("txpool_content")["pending"]
        assert len(next(iter(pool.values()))) == 2
        federation.anvil.mine()
    finally:
        federation.anvil.ask("evm_setAutomine", True)


@pytest.mark.parametrize("lost", ["the request", "the answer"])
def test_a_send_whose_answer_is_lost_is_not_sent_twice(federation: Federation, lost: str) -> None:
    failures = [2]

    def lossy(asked: Any) -> tuple[int, bytes]:
        if isinstance(asked, dict) and asked["method"] == "eth_sendRawTransaction" and failures[0]:
            failures[0] -= 1
            if lost == "the answer":
                forward(federation.anvil.url, asked)
            return 503, b""
        return forward(federation.anvil.url, asked)

    with endpoint(lossy) as url:
        client = PdfedClient.connect(
            url, task=federation.entry.registry, signer=federation.signers[2], options=replace(FAST, retries=4)
        )
        client.set_metadata(b"\x04" * 32).one(MetadataChanged)
    changed = [e for e in federation.reader().events.replay() if isinstance(e, MetadataChanged)]
    assert [event.metadata_digest for event in changed].count(b"\x04" * 32) == 1


def mine_once_replaced(anvil: Anvil, first: set[str]) -> None:
    """Mine when another version of the one waiting transaction has come; give up after 20 s."""
    for _ in range(400):
        waiting = anvil.ask("txpool_content")["pending"].values()
        first |= {sent["hash"] for by_nonce in waiting for sent in by_nonce.values()}
        if len(first) > 1:
            break
        time.sleep(0.05)
    anvil.mine()


def test_a_stuck_transaction_is_replaced_at_the_same_nonce(federation: Federation) -> None:
    federation.anvil.ask("evm_setAutomine", False)
    seen: set[str] = set()
    miner = threading.Thread(target=mine_once_replaced, args=(federation.anvil, seen))
    try:
        miner.start()
        client = federation.client(2, replace_after=0.5, timeout=30)
        receipt = client.set_metadata(b"\x05" * 32)
        sent = federation.anvil.ask("eth_getTransactionByHash", receipt.tx_hash)
    finally:
        miner.join()
        federation.anvil.ask("evm_setAutomine", True)
    assert len(seen) > 1
    changed = [e for e in client.events.replay() if isinstance(e, MetadataChanged)]
    assert [event.metadata_digest for event in changed].count(b"\x05" * 32) == 1
    assert int(sent["maxPriorityFeePerGas"], 16) > 10**9


def test_no_gas_money_is_said_plainly(federation: Federation) -> None:
    poor = LocalSigner.from_key(b"\x77" * 32, lock_folder=federation.folder)
    client = PdfedClient.connect(federation.anvil.url, task=federation.entry.registry, signer=poor, options=FAST)
    with pytest.raises(TransactionFailed, match="cannot pay the gas") as caught:
        client.set_voting_key(poor.address) if client.account().roles else client.register(2)  # type: ignore[arg-type]
    assert "native coin" in caught.value.hint


def test_confirmations_are_waited_for(federation: Federation) -> None:
    client = federation.client(2, confirmations=3, timeout=30)
    done = threading.Event()

    def mine() -> None:
        while not done.wait(0.1):
            federation.anvil.mine()

    miner = threading.Thread(target=mine)
    miner.start()
    try:
        receipt = client.set_metadata(b"\x06" * 32)
    finally:
        done.set()
        miner.join()
    assert client.head() >= receipt.block + 2


def test_the_lock_file_survives_nonsense(tmp_path: Path) -> None:
    path = tmp_path / "key.lock"
    path.write_bytes(b"\xff nonsense")
    lock = NonceLock(path)
    list(lock.acquire())
    assert lock.last(1) is None
    lock.record(1, 5, "0xaa")
    assert lock.last(1) == (5, "0xaa")
    assert lock.last(2) is None
    lock.release()


# --- faults and keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    ["0x12345678", "Reverted 0x12345678", {"data": "0x12345678"}, {"originalError": {"data": "0x12345678"}}],
)
def test_revert_data_is_found_wherever_endpoints_put_it(data: Any) -> None:
    assert revert_data(Fault(3, "execution reverted", data)) == bytes.fromhex("12345678")
    assert revert_data(Fault(3, "execution reverted")) == b""
    assert revert_data(Fault(-32000, "header not found")) is None


def test_keystores_open_with_a_password_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "node.json"
    made = LocalSigner.create_keystore(path, "hunter2", key=b"\x21" * 32)
    assert path.stat().st_mode & 0o077 == 0
    (tmp_path / "password").write_text("hunter2\n")
    monkeypatch.setenv("PDFED_PASSWORD", "hunter2")
    assert LocalSigner.from_keystore(path, password_file=tmp_path / "password").address == made.address
    assert LocalSigner.from_keystore(path, env="PDFED_PASSWORD").lock_path == made.lock_path
    with pytest.raises(KeystoreError, match="password is wrong"):
        LocalSigner.from_keystore(path, password="wrong")
    with pytest.raises(KeystoreError, match="no password"):
        LocalSigner.from_keystore(path, env="UNSET", prompt=False)
    with pytest.raises(KeystoreError, match="exists already"):
        LocalSigner.create_keystore(path, "other")
    for content in ("{}", "no json", "[]", '{"crypto": {}}'):
        path.write_text(content)
        with pytest.raises(KeystoreError):
            LocalSigner.from_keystore(path, password="hunter2")
    with pytest.raises(KeystoreError, match="cannot be read"):
        LocalSigner.from_keystore(tmp_path / "none.json", password="x")


def test_keys_never_show(federation: Federation, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = federation.client(2)
    client.set_metadata(b"\x07" * 32)
    shown = repr(client.flows) + repr(federation.signers[2]) + caplog.text
    assert KEYS[2].hex().lstrip("0") not in shown
    with pytest.raises(KeystoreError) as caught:
        LocalSigner.from_key("not-a-key-" + "42" * 30)
    assert "42" * 30 not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_receipt_that_shows_later_than_its_nonce_is_waited_for(federation: Federation) -> None:
    client, hidden = federation.client(2), [15]
    genuine = client.wire._carry

    def late(batch: Any) -> Any:
        answers = genuine(batch)
        if batch.requests[0].method == "eth_getTransactionReceipt" and hidden[0]:
            hidden[0] -= 1
            answers[0] = None
        return answers

    client.wire._carry = late  # type: ignore[method-assign]
    client.set_metadata(b"\x08" * 32).one(MetadataChanged)
    assert hidden == [0]


def test_several_endpoints_take_turns(federation: Federation) -> None:
    """A dead one, one for which nothing can be done, and one that works; no URL's key is told."""
    with endpoint(lambda _asked: (404, b"")) as useless:
        url = f"http://127.0.0.1:1/key, {useless},{federation.anvil.url}"
        client = PdfedClient.connect(url, task=federation.entry.registry, options=FAST)
        assert client.count() == federation.reader().count()
        with pytest.raises(RpcUnavailable) as caught:
            PdfedClient.connect(f"http://127.0.0.1:1/key,{useless}", task=federation.entry.registry, options=FAST)
    assert "key" not in str(caught.value)
    with pytest.raises(UsageError, match=r"'ftp://x' is not http"):
        PdfedClient.connect(f"{federation.anvil.url},ftp://x", task=federation.entry.registry)
