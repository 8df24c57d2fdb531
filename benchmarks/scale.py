"""What a federation costs its nodes as it grows: real contracts and clients on one machine, with stand-in scores.

For each number of nodes a task of its own is made, all nodes join, and trainers submit in waves. On each submission
min(nodes - 1, --voters) nodes vote, each node sealing and opening all its votes of a wave in one transaction, then the
wave is finalised and settled. Counted are the transactions and scorings of a node, and the bytes of the task's logs
(topics and data). Nothing is trained or measured: a score is the number of its bucket.

    python -m benchmarks.scale [--nodes 5,10,20] [--submissions 8] [--json FILE] [--plot FILE]
    python -m benchmarks.scale --nodes 10,30,100,300,1000 --submissions 200     # full size: hours
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.deploy import Manifest, create_task, deploy_factory
from pdfed_sdk.chain.event_types import Reserved
from pdfed_sdk.chain.parameters import task_params
from pdfed_sdk.chain.rpc import Options
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.types import Role
from tests.support.anvil import Anvil, start_anvil
from tests.support.federation import GENESIS, UNIT, record, word

FAST = Options(poll=0.01, timeout=120.0, confirmations=1)
WAVE = 8
"""Submissions that are open together; below the task's slots, so that the fee stays what it is."""
STAKE = 1_000 * UNIT
LONG = {"submit_window": 3_600, "commit_window": 36_000, "reveal_window": 3_600, "unbonding": 80_000}
"""Windows in the chain's own time, which is moved by hand: long enough for a slow machine."""


class Simulation:
    """One task with ``count`` nodes, made on a chain that others share."""

    def __init__(self, anvil: Anvil, sponsor: LocalSigner, manifest: Manifest, count: int, folder: Path) -> None:
        self.anvil, self.folder = anvil, folder
        assert manifest.token is not None
        params = task_params(manifest.token, sponsor.address, **LONG)
        nonce = count.to_bytes(32, "big")
        self.entry = create_task(
            anvil.url, sponsor, params, GENESIS, manifest, nonce=nonce, folder=folder, options=FAST
        )
        self.bank = self.client(sponsor)
        self.bank.mint(sponsor.address, 1_000_000 * UNIT)
        self.bank.fund(1_000_000 * UNIT)
        self.signers = [
            LocalSigner.from_key((count << 64 | 0xBEE00 + number).to_bytes(32, "big"), lock_folder=folder / "locks")
            for number in range(count)
        ]
        self.nodes = [self.client(signer) for signer in self.signers]
        for signer, node in zip(self.signers, self.nodes, strict=True):
            anvil.endow(signer.address)
            self.bank.mint(signer.address, STAKE)
            node.register(Role.TRAINER | Role.VALIDATOR)
            node.deposit(STAKE)
        anvil.warp(self.bank.now() + params.warm_up + 1)
        self.joined = [self.sent(signer) for signer in self.signers]
        self.scorings = [0] * count

    def client(self, signer: LocalSigner) -> PdfedClient:
        return PdfedClient.connect(
            self.anvil.url,
            task=self.entry.registry,
            signer=signer,
            state=self.folder / signer.address,
            from_block=self.entry.block,
            options=FAST,
        )

    def sent(self, signer: LocalSigner) -> int:
        """Transactions a key has sent."""
        return int(self.anvil.ask("eth_getTransactionCount", signer.address, "latest"), 16)

    def submit(self, author: PdfedClient, number: int) -> int:
        made, salt = record(number), word(number, 9)
        submission = author.reserve(made.digests.package_digest, salt).one(Reserved).id
        author.submit(submission, made, salt)
        return submission

    def wave(self, first: int, count: int, voters: int) -> None:
        """``count`` submissions from ``first`` on, voted on, opened, finalised and settled."""
        size = len(self.nodes)
        opened = {self.submit(self.nodes[n % size], n): n for n in range(first, first + count)}
        for index, node in enumerate(self.nodes):
            mine = {
                submission: (index % 5, bytes([1 + index % 200]) * 32)
                for submission, n in opened.items()
                if 0 < (index - n) % size <= voters  # the next ones after the author, in a circle
            }
            self.scorings[index] += len(mine)
            if mine:
                node.commit_scores(mine)
        self.anvil.warp(self.bank.windows(max(opened)).reveal_start)
        for node in self.nodes:
            node.reveal_due()
        self.anvil.warp(self.bank.windows(max(opened)).reveal_end + 1)
        self.bank.finalize_due()
        for submission in opened:
            waiting = self.bank.voters(submission)
            for start in range(0, len(waiting), 50):
                self.bank.settle(submission, waiting[start : start + 50])

    def log_bytes(self) -> int:
        """Topics and data of all logs of the task."""
        places = [self.entry.vault, self.entry.registry, self.entry.book, self.entry.pool]
        head, total = int(self.anvil.ask("eth_blockNumber"), 16), 0
        for start in range(self.entry.block, head + 1, 500):
            query = {"address": places, "fromBlock": hex(start), "toBlock": hex(min(head, start + 499))}
            logs = self.anvil.ask("eth_getLogs", query)
            total += sum(32 * len(log["topics"]) + len(log["data"]) // 2 - 1 for log in logs)
        return total


def measure(anvil: Anvil, sponsor: LocalSigner, manifest: Manifest, count: int, submissions: int, voters: int) -> Any:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        task = Simulation(anvil, sponsor, manifest, count, Path(folder))
        before = task.log_bytes()
        for first in range(0, submissions, WAVE):
            task.wave(first, min(WAVE, submissions - first), voters)
        votes = sum(view.tally.reveals for view in task.bank.submissions())
        wanted = submissions * min(count - 1, voters)
        if votes != wanted:
            raise SystemExit(f"{count} nodes: {votes} votes were counted, {wanted} were to be")
        sent = [now - then for now, then in zip(map(task.sent, task.signers), task.joined, strict=True)]
        return {
            "nodes": count,
            "submissions": submissions,
            "votes": votes,
            "votes_per_submission": votes / submissions,
            "transactions_per_node": round((sum(sent) - 2 * submissions) / count, 2),
            "scorings_per_node": sum(task.scorings) / count,
            "log_bytes_per_vote": round((task.log_bytes() - before) / votes, 1),
            "seconds": round(time.perf_counter() - started, 1),
        }


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.2), constrained_layout=True)
    shown = {"transactions_per_node": "transactions a node", "scorings_per_node": "scorings a node"}
    shown["log_bytes_per_vote"] = "log bytes a vote"
    for axis, (name, title) in zip(axes, shown.items(), strict=True):
        axis.plot([row["nodes"] for row in rows], [row[name] for row in rows], "o-")
        axis.set(xscale="log", xlabel="nodes", title=title, ylim=(0, None))
    figure.savefig(path, dpi=120)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="5,10,20", help="numbers of nodes, comma-separated")
    parser.add_argument("--submissions", type=int, default=8)
    parser.add_argument("--voters", type=int, default=300, help="most votes on one submission")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args(arguments)
    anvil = start_anvil()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        sponsor = LocalSigner.from_key((0x5).to_bytes(32, "big"), lock_folder=Path(folder) / "locks")
        anvil.endow(sponsor.address)
        manifest = deploy_factory(anvil.url, sponsor, folder=Path(folder), options=FAST)
        for count in map(int, given.nodes.split(",")):
            rows.append(measure(anvil, sponsor, manifest, count, given.submissions, given.voters))
            print(json.dumps(rows[-1]), flush=True)
    anvil.process.kill()
    anvil.process.wait(10)
    if given.plot:
        plot(rows, given.plot)
    if given.json:
        given.json.write_text(json.dumps({**rows[-1], "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
