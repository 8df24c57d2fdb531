"""Replaying a task's events against plain web3.py, on the same endpoint, in the same chunks of blocks.

The events are real logs of a real chain, but in bulk from a contract made for it, which emits ``Revealed`` as a
ScoreBook does. The peer is ``contract.events.Revealed().get_logs`` of web3.py, decoding included. The ratio is the
median over ``--runs`` of the peer's time by ours; memory is the peak of Python's own allocations while a replay is
consumed event by event, at a tenth of the events and at all of them.

    python -m benchmarks.events [--events 20000] [--runs 3] [--json]      # full size: --events 100000
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from web3 import HTTPProvider, Web3

from benchmarks.machine import processor
from pdfed_sdk.chain.codec import artifact
from pdfed_sdk.chain.event_types import Revealed, topic
from pdfed_sdk.chain.replay import EventFlows, EventStream
from pdfed_sdk.chain.rpc import Chain, Options, Wire
from pdfed_sdk.types import Address
from tests.support.anvil import Anvil, start_anvil

EMITTER = Address("0x00000000000000000000000000000000000E1117")
A_BLOCK, CHUNK = 100, 10
"""Events a block, and blocks a query."""
WAITS = 300
"""Tenths of a second in which the chain must have mined all."""


def emitter() -> bytes:
    """Code of a contract that takes (count, first) and emits ``Revealed(first … first + count - 1, caller, 3, 7)``."""
    code = bytes.fromhex("60036000526007602052")  # improvement and evidence root to memory
    code += bytes.fromhex("6020358060003501")  # i, end
    loop = len(code)
    body = bytes.fromhex("5b80821460") + b"?" + bytes.fromhex("57")  # until i == end
    body += bytes.fromhex("33827f") + topic(Revealed) + bytes.fromhex("60406000a3")  # LOG3
    body += bytes.fromhex("906001019060") + bytes([loop]) + bytes.fromhex("56")  # i += 1
    end = loop + len(body)
    return code + body.replace(b"?", bytes([end]), 1) + bytes.fromhex("5b00")


def fill(anvil: Anvil, count: int) -> tuple[int, int]:
    """Emit ``count`` events; returns the first and the last block that hold them."""
    sender = anvil.ask("eth_accounts")[0]
    anvil.ask("anvil_setCode", EMITTER, "0x" + emitter().hex())
    first = int(anvil.ask("eth_blockNumber"), 16) + 1
    for start in range(0, count, A_BLOCK):
        data = "0x" + min(A_BLOCK, count - start).to_bytes(32, "big").hex() + start.to_bytes(32, "big").hex()
        anvil.ask("eth_sendTransaction", {"from": sender, "to": EMITTER, "data": data, "gas": hex(2_000_000)})
    last = first + -(-count // A_BLOCK) - 1  # a block a transaction; the chain may still be mining them
    for _ in range(WAITS):
        if int(anvil.ask("eth_blockNumber"), 16) >= last:
            return first, last
        time.sleep(0.1)
    raise SystemExit(f"block {last} was not mined within {WAITS / 10:.0f} s")


def ours(anvil: Anvil, first: int, last: int) -> int:
    """Events seen by the SDK's replay."""
    options = Options(chunk=CHUNK)
    wire = Wire(anvil.url, options)
    stream = EventStream(EventFlows(Chain("bench", options), (EMITTER,)), wire, first)
    return sum(event.improvement == 3 for event in stream.replay(to_block=last) if isinstance(event, Revealed))


def theirs(anvil: Anvil, first: int, last: int) -> int:
    """The same by web3.py."""
    web3 = Web3(HTTPProvider(anvil.url))
    abi: Any = list(artifact("ScoreBook").abi)
    event = web3.eth.contract(Web3.to_checksum_address(EMITTER), abi=abi).events.Revealed()
    found = 0
    for start in range(first, last + 1, CHUNK):
        logs = event.get_logs(from_block=start, to_block=min(last, start + CHUNK - 1))
        found += sum(log["args"]["improvement"] == 3 for log in logs)
    return found


def timed(act: Callable[[Anvil, int, int], int], anvil: Anvil, first: int, last: int, wanted: int) -> float:
    started = time.perf_counter()
    found = act(anvil, first, last)
    if found != wanted:
        raise SystemExit(f"{found} events were seen, {wanted} were emitted")
    return time.perf_counter() - started


def peak(anvil: Anvil, first: int, last: int) -> float:
    """Peak of Python's allocations during a replay, in MB."""
    tracemalloc.start()
    ours(anvil, first, last)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 1e6


def measure(count: int, runs: int) -> dict[str, Any]:
    anvil = start_anvil("--gas-limit", "100000000")
    try:
        first, last = fill(anvil, count)
        times = [
            (timed(ours, anvil, first, last, count), timed(theirs, anvil, first, last, count)) for _ in range(runs)
        ]
        tenth = first + (last - first + 1) // 10 - 1
        memory = peak(anvil, first, tenth), peak(anvil, first, last)
    finally:
        anvil.process.kill()
        anvil.process.wait(10)
    mine, peers = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "events": count,
        "runs": runs,
        "seconds": round(mine, 3),
        "web3_seconds": round(peers, 3),
        "events_per_second": round(count / mine),
        "ratio": round(statistics.median(peer / own for own, peer in times), 2),
        "peak_mb_at_a_tenth": round(memory[0], 2),
        "peak_mb": round(memory[1], 2),
        "processor": processor(),
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    given = parser.parse_args(arguments)
    found = measure(given.events, given.runs)
    if given.json:
        print(json.dumps(found))
        return 0
    for name, value in found.items():
        print(f"{name:20} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
