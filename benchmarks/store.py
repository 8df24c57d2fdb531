"""Weights over IPFS: two processes with embedded Kubo nodes on loopback, and whether every CID is ours.

    python -m benchmarks.store [--json] [--megabytes 50] [--turns 3]

``mb_per_s`` is the median rate at which a second process gets content that the first one published, from the request to
the last verified byte. The peer is a plain copy of the same bytes over a socket on the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from pdfed_sdk.artifacts.cid import cid_of
from pdfed_sdk.artifacts.ipfs import IpfsOptions, IpfsStore

SIZES = (0, 1, 262_144, 262_145, 1_000_000, 45_613_056, 45_875_203, 200_000_000)
"""Bytes: empty, one leaf, its edges, two and three levels of the tree, 200 MB."""


def rates(author: IpfsStore, reader: IpfsStore, megabytes: int, turns: int) -> list[float]:
    """MB/s of each turn, with fresh content each time."""
    found = []
    for _ in range(turns):
        data = os.urandom(megabytes * 1_000_000)
        cid = author.put(data)
        wait_for_peer(reader)
        started = time.perf_counter()
        assert reader.get(cid) == data
        found.append(megabytes / (time.perf_counter() - started))
    return found


def wait_for_peer(reader: IpfsStore) -> None:
    """The author's process starts anew when it publishes: measure the transfer, not the reconnection."""
    until, calm = time.monotonic() + 30, 0
    while calm < 20:  # a second of it
        calm = calm + 1 if reader.peers() else 0
        assert time.monotonic() < until, "the peers did not connect"
        time.sleep(0.05)


def sizes(author: IpfsStore, reader: IpfsStore, folder: Path) -> dict[int, bool]:
    """Whether content of each size comes back under the CID that is computed here."""
    found = {}
    for size in SIZES:
        source = folder / "source"
        with source.open("wb") as file:
            for start in range(0, size, 1 << 20):
                file.write(os.urandom(min(1 << 20, size - start)))
        expected = cid_of(source)
        equal = author.put(source) == expected
        came = reader.fetch(expected, folder / "came")
        found[size] = equal and cid_of(came) == expected and came.stat().st_size == size
    return found


def socket_rate(megabytes: int) -> float:
    """MB/s of a plain copy through a socket on loopback."""
    data, listener = os.urandom(megabytes * 1_000_000), socket.create_server(("127.0.0.1", 0))

    def send() -> None:
        with listener.accept()[0] as connection:
            connection.sendall(data)

    threading.Thread(target=send, daemon=True).start()
    started, got = time.perf_counter(), 0
    with socket.create_connection(listener.getsockname()) as connection:
        while part := connection.recv(1 << 20):
            got += len(part)
    assert got == len(data)
    return megabytes / (time.perf_counter() - started)


def memory(store: IpfsStore) -> float:
    """MB that the process of a store holds."""
    assert store._process is not None
    status = Path(f"/proc/{store._process.child.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--turns", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pdfed-store-") as place:
        folder = Path(place)
        author = IpfsStore(folder / "author")
        author.start()
        reader = IpfsStore(folder / "reader", IpfsOptions(peers=(author.address,), timeout=120))
        reader.start()
        try:
            turns = rates(author, reader, chosen.megabytes, chosen.turns)
            equal = sizes(author, reader, folder)
            result = {
                "mb_per_s": round(statistics.median(turns), 1),
                "turns": [round(rate, 1) for rate in turns],
                "megabytes": chosen.megabytes,
                "socket_mb_per_s": round(socket_rate(chosen.megabytes), 1),
                "cids_equal": {str(size): good for size, good in equal.items()},
                "peak_memory_mb": {"author": memory(author), "reader": memory(reader)},
            }
        finally:
            author.close()
            reader.close()
    if chosen.json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    print(f"{result['mb_per_s']} MB/s between two processes ({chosen.megabytes} MB, median of {turns})")
    print(f"a plain socket: {result['socket_mb_per_s']} MB/s")
    for size, good in equal.items():
        print(f"{size:>12,} bytes: {'equal' if good else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
