"""Send a call as a transaction: simulate, price, take a nonce under a lock, sign, send, confirm, replace when stuck.

Two processes may share one key: they take nonces under a file lock beside the keystore. ``already known`` is success
only for bytes this flow may have sent before; else the equal hash is another intent, and a new nonce is taken.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from pdfed_sdk.chain.calls import Call
from pdfed_sdk.chain.codec import blob, quantity
from pdfed_sdk.chain.rpc import Batch, Chain, Fault, Flow, Request, Sleep, Unreachable, revert_data
from pdfed_sdk.chain.signers import Signer
from pdfed_sdk.errors import ChainError, OutOfGas, ProtocolRevert, RpcUnavailable, TransactionFailed

_KNOWN = ("already known", "already imported", "known transaction", "alreadyknown")
_TAKEN = ("nonce too low", "underpriced", "nonce is too low", "oldnonce", "replacement")
_FUNDS = ("insufficient funds", "insufficient balance", "not enough funds")
_LOCK_WAIT = 60.0
_ALL_GAS = (9, 10)
"""A failed transaction that used this part of its limit ran out: each call keeps back a 64th from those it makes."""
_RECEIPT_LAG = 5.0
"""How long an endpoint may count a nonce as used before it shows the receipt."""


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in a block, as the endpoint reported it; ``logs`` are raw."""

    tx_hash: str
    block: int
    timestamp: int
    gas_used: int
    logs: tuple[dict[str, Any], ...]
    contract: str | None


@dataclass(slots=True)
class _Attempt:
    """One intent on its way: the transaction, every raw version of it that was sent, and when the last one was."""

    transaction: dict[str, Any]
    name: str
    hashes: list[str] = field(default_factory=list)
    sent_at: float = 0.0


class NonceLock:
    """Exclusive lock of a key across processes, with the last nonce it gave out. Freed by the system if we die."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = -1

    def acquire(self) -> Flow[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + _LOCK_WAIT
        while True:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ChainError(
                        f"{self._path} has been locked by another process for {_LOCK_WAIT:.0f} s",
                        hint="another process with this key hangs: stop it",
                    ) from None
                yield Sleep(0.02)
            else:
                return

    def release(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def last(self, chain_id: int) -> tuple[int, str] | None:
        """Nonce and hash of the last transaction sent with this key on a chain."""
        data = os.pread(self._handle, 1 << 16, 0)
        try:
            nonce, tx_hash = json.loads(data or b"{}")[str(chain_id)]
            return int(nonce), str(tx_hash)
        except (ValueError, KeyError, TypeError):
            return None

    def record(self, chain_id: int, nonce: int, tx_hash: str) -> None:
        data = os.pread(self._handle, 1 << 16, 0)
        try:
            kept = dict(json.loads(data or b"{}"))
        except (ValueError, TypeError):
            kept = {}
        kept[str(chain_id)] = [nonce, tx_hash]
        text = json.dumps(kept).encode()
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, text, 0)


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends calls signed by one key on one chain."""

    chain: Chain
    chain_id: int
    signer: Signer

    def simulate(self, call: Call[Any]) -> Flow[int]:
        """Gas the call would use now; ProtocolRevert if a contract would refuse it. Nothing is sent."""
        asked = self._frame(call)
        for tag in ("pending", "latest"):
            ran, gas = yield from self.chain.batch(
                [Request("eth_call", (asked, tag)), Request("eth_estimateGas", (asked, tag))]
            )
            if isinstance(ran, Fault) and revert_data(ran) is None and tag == "pending":
                continue
            for answer in (ran, gas):
                if isinstance(answer, Fault):
                    raise self._refused(answer, call.name)
            return quantity(gas, "eth_estimateGas")
        raise AssertionError

    def send(self, call: Call[Any], least_gas: int = 0) -> Flow[Mined]:
        """Simulate, send and wait for the call's transaction. ProtocolRevert, TransactionFailed, RpcUnavailable.

        One that runs out of gas is estimated and sent once more with a higher limit; OutOfGas if that fails as well.

        ``least_gas``: what a batch needs. It passes with less, its entries skipped, so an estimate may be too low.
        """
        try:
            return (yield from self._send(call, least_gas))
        except OutOfGas as error:  # the state it ran on needed more than the one it was estimated on: once more
            return (yield from self._send(call, max(least_gas, 2 * error.limit)))

    def _send(self, call: Call[Any], least_gas: int) -> Flow[Mined]:
        options = self.chain.options
        gas = max(least_gas, (yield from self.simulate(call)))
        limit = int(gas * options.gas_margin) + options.gas_reserve
        transaction = {**self._frame(call), "chainId": self.chain_id, "gas": limit, "value": 0}
        transaction.pop("from")
        attempt = _Attempt({**transaction, **(yield from self._fees())}, call.name)
        yield from self._launch(attempt)
        return (yield from self._confirm(attempt))

    def _frame(self, call: Call[Any]) -> dict[str, Any]:
        frame = {"from": self.signer.address, "data": "0x" + call.data.hex()}
        return {**frame, "to": call.to} if call.to else frame

    def _fees(self) -> Flow[dict[str, Any]]:
        head, price, tip = yield from self.chain.batch(
            [
                Request("eth_getBlockByNumber", ("latest", False)),
                Request("eth_gasPrice"),
                Request("eth_maxPriorityFeePerGas"),
            ]
        )
        if isinstance(head, dict) and "baseFeePerGas" in head:
            base = quantity(head["baseFeePerGas"], "baseFeePerGas")
            extra = 10**9 if isinstance(tip, Fault) else quantity(tip, "eth_maxPriorityFeePerGas")
            return {"maxFeePerGas": 2 * base + extra, "maxPriorityFeePerGas": extra}
        if isinstance(price, Fault):
            raise self.chain.error(price, "eth_gasPrice")
        return {"gasPrice": quantity(price, "eth_gasPrice")}

    # --- nonce and send ---

    def _launch(self, attempt: _Attempt) -> Flow[None]:
        lock = NonceLock(self.signer.lock_path)
        yield from lock.acquire()
        try:
            least = 0
            for _ in range(8):
                nonce = max(least, (yield from self._next_nonce(lock)))
                attempt.transaction["nonce"] = nonce
                if (yield from self._offer(attempt)):
                    lock.record(self.chain_id, nonce, attempt.hashes[-1])
                    return
                attempt.hashes.clear()
                least = nonce if least < nonce else nonce + 1
            raise TransactionFailed(
                f"{attempt.name}: nonce {nonce} of {self.signer.address} is taken again and again",
                hint="another program uses this key without our lock file: stop it or use another key",
            )
        finally:
            lock.release()

    def _next_nonce(self, lock: NonceLock) -> Flow[int]:
        raw = yield from self.chain.ask("eth_getTransactionCount", self.signer.address, "pending")
        nonce, last = quantity(raw, "eth_getTransactionCount"), lock.last(self.chain_id)
        if last is None or last[0] < nonce:
            return nonce
        known = yield from self.chain.ask("eth_getTransactionByHash", last[1])
        return last[0] + 1 if known else nonce

    def _offer(self, attempt: _Attempt) -> Flow[bool]:
        """Sign and send; True once the endpoint has it, False if its nonce is taken by another intent."""
        raw = self.signer.sign_transaction(attempt.transaction)
        tx_hash = "0x" + keccak(raw).hex()
        ours = tx_hash in attempt.hashes
        answer, resent = yield from self._post(raw, attempt.name)
        if isinstance(answer, Fault):
            said = answer.message.lower()
            if not any(sign in said for sign in (*_KNOWN, *_TAKEN)):
                raise self._refused(answer, attempt.name)
            if not (ours or resent):
                return False
            known = any(sign in said for sign in _KNOWN)
            if not known and not (yield from self.chain.ask("eth_getTransactionByHash", tx_hash)):
                return False
        if not ours:
            attempt.hashes.append(tx_hash)
        attempt.sent_at = time.monotonic()
        return True

    def _post(self, raw: bytes, name: str) -> Flow[tuple[Any, bool]]:
        """The endpoint's answer to raw bytes, and whether an earlier try of these bytes may have reached it."""
        for tries in range(self.chain.options.retries + 1):
            try:
                (answer,) = yield Batch((Request("eth_sendRawTransaction", ("0x" + raw.hex(),)),))
            except Unreachable as error:
                reason = error
                yield Sleep(min(2.0, 0.1 * 2**tries))
            else:
                return answer, tries > 0
        raise RpcUnavailable(
            f"{self.chain.name}: no answer to {name} in {self.chain.options.retries + 1} tries: {reason}",
            hint="the transaction may have arrived: look at the chain before trying again",
        )

    def _refused(self, fault: Fault, subject: str) -> Exception:
        if any(sign in fault.message.lower() for sign in _FUNDS):
            return TransactionFailed(
                f"{subject}: {self.signer.address} cannot pay the gas: {fault.message[:200]}",
                hint="send the chain's native coin to this address",
            )
        error = self.chain.error(fault, subject)
        return error if isinstance(error, ProtocolRevert) else TransactionFailed(error.message, hint=error.hint)

    # --- confirm ---

    def _confirm(self, attempt: _Attempt) -> Flow[Mined]:
        options, start, deepest = self.chain.options, time.monotonic(), 0
        asked_count = Request("eth_getTransactionCount", (self.signer.address, "latest"))
        seen_taken = math.inf
        while time.monotonic() - start < options.timeout:
            receipts = [Request("eth_getTransactionReceipt", (tx_hash,)) for tx_hash in attempt.hashes]
            *found, head, used = yield from self.chain.batch([*receipts, Request("eth_blockNumber"), asked_count])
            receipt = next((item for item in found if isinstance(item, dict)), None)
            if receipt is not None:
                block = quantity(receipt.get("blockNumber"), "blockNumber")
                depth = quantity(head, "eth_blockNumber") - block + 1
                if depth >= options.confirmations:
                    return (yield from self._mined(receipt, block, attempt))
                if depth > deepest:
                    deepest, start = depth, time.monotonic()  # mined, and the chain goes on: patience begins anew
            else:
                taken = quantity(used, "nonce") > attempt.transaction["nonce"]
                seen_taken = min(seen_taken, time.monotonic()) if taken else math.inf
                if time.monotonic() - seen_taken > _RECEIPT_LAG:
                    raise TransactionFailed(
                        f"{attempt.name}: another transaction took nonce {attempt.transaction['nonce']}",
                        hint="look at what is on chain, then try again",
                    )
                if time.monotonic() - attempt.sent_at > options.replace_after:
                    yield from self._replace(attempt)
            yield Sleep(options.poll)
        if deepest:
            raise TransactionFailed(
                f"{attempt.name}: {attempt.hashes[-1]} is mined and has {deepest} of {options.confirmations} "
                f"confirmations, and none was added in {options.timeout:.0f} s",
                hint="the chain stands still, or ask for fewer confirmations",
            )
        raise TransactionFailed(
            f"{attempt.name}: {attempt.hashes[-1]} was not mined within {options.timeout:.0f} s",
            hint="it may still be mined: look at the chain before trying again",
        )

    def _replace(self, attempt: _Attempt) -> Flow[None]:
        """Send the same nonce again for a quarter more, or for today's price if that is higher."""
        fresh = yield from self._fees()
        for key, value in fresh.items():
            attempt.transaction[key] = max(value, attempt.transaction[key] * 5 // 4 + 1)
        with suppress(TransactionFailed):  # the earlier version still stands
            yield from self._offer(attempt)
        attempt.sent_at = time.monotonic()

    def _mined(self, receipt: dict[str, Any], block: int, attempt: _Attempt) -> Flow[Mined]:
        tx_hash = str(receipt.get("transactionHash"))
        if quantity(receipt.get("status"), "status") != 1:
            used = quantity(receipt.get("gasUsed"), "gasUsed")
            yield from self._explain(attempt, block, tx_hash, used)
        stamp = (yield from self.chain.block(block))["timestamp"]
        logs = receipt.get("logs")
        made = receipt.get("contractAddress")
        return Mined(
            tx_hash,
            block,
            quantity(stamp, "timestamp"),
            quantity(receipt.get("gasUsed"), "gasUsed"),
            tuple(logs) if isinstance(logs, list) else (),
            made if isinstance(made, str) else None,
        )

    def _explain(self, attempt: _Attempt, block: int, tx_hash: str, used: int) -> Flow[None]:
        """Why a mined transaction reverted: run it again on the state before its block, without a limit of gas."""
        frame = {k: v for k, v in attempt.transaction.items() if k in ("to", "data")}
        frame["from"] = self.signer.address
        (answer,) = yield from self.chain.batch([Request("eth_call", (frame, hex(block - 1)))])
        if isinstance(answer, Fault):
            raise self._refused(answer, attempt.name)
        blob(answer, attempt.name)
        limit = int(attempt.transaction["gas"])
        if used * _ALL_GAS[1] >= limit * _ALL_GAS[0]:
            raise OutOfGas(attempt.name, tx_hash, used, limit)
        raise TransactionFailed(
            f"{attempt.name}: {tx_hash} reverted in block {block}, though it passed before",
            hint="somebody else's transaction came first: look at the state and try again",
        )
