"""What a federation costs its nodes as it grows: real contracts on one machine, with stand-in scores.

For each number of nodes a task of its own is made, all nodes join, and authors, spread evenly over the nodes, submit in
waves. On each submission at least min(nodes - 1, --voters) nodes vote, and as many more as a quorum takes until the
task has learnt how many do (a third of the eligible weight). Each node seals and opens all its votes of a wave in one
transaction each, then the wave is finalised and settled. Counted are the transactions and scorings of a node, and the
bytes of the task's logs (topics and data). Nothing is trained or measured: a score is the number of its bucket.

The first --clients nodes act through `PdfedClient` from end to end: journal, derived salts, receipts, recovery. The
others send what its encoders make of the same calls, as accounts that the chain has unlocked, thousands in a block: a
client of its own for each would measure the disk of this machine. Both must come to the same number of transactions.

    python -m benchmarks.scale [--nodes 5,10,20] [--submissions 8] [--json] [--plot FILE]
    python -m benchmarks.scale --nodes 10,30,100,300,1000 --submissions 200     # full size
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from eth_utils.crypto import keccak

from benchmarks.machine import processor
from pdfed_sdk.chain.actions import record_hash
from pdfed_sdk.chain.calls import ZERO_ADDRESS, Call
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.commitments import reservation_hash, vote_digest
from pdfed_sdk.chain.deploy import Manifest, create_task, deploy_factory
from pdfed_sdk.chain.erc20 import TokenCalls
from pdfed_sdk.chain.event_types import Reserved, decode_log, topic
from pdfed_sdk.chain.parameters import task_params
from pdfed_sdk.chain.rpc import Options
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.types import Address, ModelRecord, Role, ScoreVote, SealedVote, Status, SubmissionId
from tests.support.anvil import Anvil, start_anvil
from tests.support.federation import GENESIS, UNIT, record, word

FAST = Options(poll=0.01, timeout=120.0, confirmations=1, request_timeout=60.0)
WAVE = 8
"""Submissions that are open together; below the task's slots, so that the fee stays what it is."""
STAKE = 1_000 * UNIT
LONG = {"submit_window": 3_600, "commit_window": 36_000, "reveal_window": 3_600, "unbonding": 80_000}
"""Windows in the chain's own time, which is moved by hand: long enough for a slow machine."""
BLOCK = ("--gas-limit", "100000000000", "--order", "fifo")
GAS, SETTLED = 4_000_000, 50
"""Most gas of a transaction of a node, and votes that one transaction settles."""
BATCH = 250
QUORUM = 0.35
"""Share of the nodes that certainly is a quorum: a third of the eligible weight, and a little, as bonds are charged."""
BOTH = Role.TRAINER | Role.VALIDATOR


@dataclass(frozen=True)
class Act:
    """A call that an unlocked account sends."""

    sender: Address
    call: Call[Any]
    gas: int = GAS


class Crowd:
    """Sends acts of many accounts together: no signatures, no estimates, and one block for all of them."""

    def __init__(self, anvil: Anvil) -> None:
        self._anvil, self._session = anvil, requests.Session()
        anvil.ask("anvil_autoImpersonateAccount", True)

    def ask(self, asked: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """Results of many requests, in order."""
        found: list[Any] = []
        for start in range(0, len(asked), BATCH):
            items = [
                {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                for number, (method, params) in enumerate(asked[start : start + BATCH])
            ]
            replies = self._session.post(self._anvil.url, json=items, timeout=600).json()
            bad = [reply["error"] for reply in replies if "error" in reply]
            if bad:
                raise SystemExit(f"{asked[start][0]}: {bad[0]}")
            found += [reply["result"] for reply in sorted(replies, key=lambda reply: reply["id"])]
        return found

    def send(self, acts: Sequence[Act]) -> list[Any]:
        """Mine all of them in one block; receipts in order. All must succeed."""
        senders = sorted({act.sender for act in acts})
        counts = self.ask([("eth_getTransactionCount", [sender, "latest"]) for sender in senders])
        nonces = {sender: int(count, 16) for sender, count in zip(senders, counts, strict=True)}
        asked: list[tuple[str, list[Any]]] = []
        for act in acts:
            frame = {"from": act.sender, "to": act.call.to, "data": "0x" + act.call.data.hex(), "gas": hex(act.gas)}
            asked.append(("eth_sendTransaction", [{**frame, "nonce": hex(nonces[act.sender])}]))
            nonces[act.sender] += 1
        self._anvil.ask("evm_setAutomine", False)
        hashes = self.ask(asked)
        self._anvil.ask("evm_mine")
        self._anvil.ask("evm_setAutomine", True)
        receipts = self.ask([("eth_getTransactionReceipt", [one]) for one in hashes])
        failed = [act.call.name for act, one in zip(acts, receipts, strict=True) if not one or one["status"] != "0x1"]
        if failed:
            raise SystemExit(f"{len(failed)} of {len(acts)} transactions failed, the first was {failed[0]}")
        return receipts


class Simulation:
    """One task with ``count`` nodes, made on a chain that others share."""

    def __init__(
        self,
        anvil: Anvil,
        sponsor: LocalSigner,
        manifest: Manifest,
        count: int,
        submissions: int,
        folder: Path,
        clients: int,
    ) -> None:
        self.anvil, self.folder, self.crowd, self.submissions = anvil, folder, Crowd(anvil), submissions
        assert manifest.token is not None
        params = task_params(manifest.token, sponsor.address, **LONG)
        nonce = count.to_bytes(32, "big")
        self.entry = create_task(
            anvil.url, sponsor, params, GENESIS, manifest, nonce=nonce, folder=folder, options=FAST
        )
        self.bank = self.client(sponsor)
        self.calls, self.chain_id = self.bank.calls, self.bank.chain_id
        self.bank.mint(sponsor.address, 1_000_000 * UNIT)
        self.bank.fund(1_000_000 * UNIT)
        self.signers = [
            LocalSigner.from_key((count << 64 | 0xBEE00 + number).to_bytes(32, "big"), lock_folder=folder / "locks")
            for number in range(count)
        ]
        self.nodes = [signer.address for signer in self.signers]
        self.clients = [self.client(signer) for signer in self.signers[:clients]]
        self.join(sponsor.address, TokenCalls(manifest.token))
        anvil.warp(self.bank.now() + params.warm_up + 1)
        self.joined = self.sent()
        self.scorings, self.authored = [0] * count, [0] * count

    def client(self, signer: LocalSigner) -> PdfedClient:
        return PdfedClient.connect(
            self.anvil.url,
            task=self.entry.registry,
            signer=signer,
            state=self.folder / signer.address,
            from_block=self.entry.block,
            options=FAST,
        )

    def join(self, sponsor: Address, token: TokenCalls) -> None:
        self.crowd.ask([("anvil_setBalance", [node, hex(10**21)]) for node in self.nodes])
        self.crowd.send([Act(sponsor, token.mint(node, STAKE)) for node in self.nodes])
        for client in self.clients:
            client.register_and_deposit(BOTH, STAKE)
        rest = self.nodes[len(self.clients) :]
        self.crowd.send([Act(node, token.approve(self.entry.vault, STAKE)) for node in rest])
        joining = self.calls.register_and_deposit(BOTH, ZERO_ADDRESS, bytes(32), STAKE)
        self.crowd.send([Act(node, joining) for node in rest])

    def sent(self) -> list[int]:
        """Transactions that each node has sent."""
        asked = [("eth_getTransactionCount", [node, "latest"]) for node in self.nodes]
        return [int(count, 16) for count in self.crowd.ask(asked)]

    def author(self, number: int) -> int:
        """Index of the node that makes a submission."""
        return number * max(1, len(self.nodes) // self.submissions) % len(self.nodes)

    def submit(self, numbers: range) -> dict[SubmissionId, int]:
        """A submission of each number, by its author; id → number."""
        authors = [self.nodes[self.author(number)] for number in numbers]
        fee = self.bank.fee().fee
        made = [
            (number, author, record(number), word(number, 9)) for number, author in zip(numbers, authors, strict=True)
        ]
        receipts = self.crowd.send(
            [
                Act(author, self.calls.reserve(reservation_hash(author, model.digests.package_digest, salt), fee))
                for _, author, model, salt in made
            ]
        )
        ids = [reserved_id(receipt["logs"]) for receipt in receipts]
        self.crowd.send(
            [
                Act(author, self.calls.submit(submission, model, salt))
                for submission, (_, author, model, salt) in zip(ids, made, strict=True)
            ]
        )
        for number in numbers:
            self.authored[self.author(number)] += 1
        return dict(zip(ids, numbers, strict=True))

    def wave(self, numbers: range, voters: int) -> None:
        """Submissions that are voted on, opened, finalised and settled."""
        opened = self.submit(numbers)
        size = len(self.nodes)
        mine: dict[int, list[SubmissionId]] = defaultdict(list)
        for submission, number in opened.items():
            for step in range(1, voters + 1):  # the next ones after the author, in a circle
                mine[(self.author(number) + step) % size].append(submission)
        for index, submissions in mine.items():
            self.scorings[index] += len(submissions)
        limits = self.bank.windows(max(opened))
        votes = {
            index: [self.vote(index, one, record(opened[one])) for one in submissions]
            for index, submissions in mine.items()
        }
        self.crowd.send([Act(self.nodes[i], self.sealed(votes[i], opened)) for i in votes if i >= len(self.clients)])
        for index, client in enumerate(self.clients):
            if index in votes:
                client.commit_scores({v.submission_id: (v.improvement, v.evidence_root) for v in votes[index]})
        self.anvil.warp(limits.reveal_start)
        self.crowd.send([Act(self.nodes[i], self.calls.reveal_many(votes[i])) for i in votes if i >= len(self.clients)])
        for index, client in enumerate(self.clients):
            if index in votes:
                client.reveal_due()
        self.anvil.warp(limits.reveal_end + 1)
        self.bank.finalize_due()
        self.crowd.send(list(self.settling(mine)))

    def vote(self, index: int, submission: SubmissionId, model: ModelRecord) -> ScoreVote:
        node = self.nodes[index]
        salt = keccak(node.encode() + submission.to_bytes(32, "big"))
        evidence = bytes([1 + index % 200]) * 32
        return ScoreVote(node, submission, model.digests.weights_digest, index % 5, evidence, salt)

    def sealed(self, votes: Sequence[ScoreVote], opened: dict[SubmissionId, int]) -> Call[None]:
        sealed = [
            SealedVote(
                vote.submission_id,
                record_hash(record(opened[vote.submission_id])),
                vote_digest(vote, self.chain_id, self.entry.book),
            )
            for vote in votes
        ]
        return self.calls.commit_many(votes[0].voter, sealed)

    def settling(self, mine: dict[int, list[SubmissionId]]) -> Iterator[Act]:
        """Anyone may settle: the bank does."""
        voters: dict[SubmissionId, list[Address]] = defaultdict(list)
        for index, submissions in mine.items():
            for submission in submissions:
                voters[submission].append(self.nodes[index])
        for submission, waiting in voters.items():
            for start in range(0, len(waiting), SETTLED):
                call = self.calls.settle(submission, waiting[start : start + SETTLED])
                yield Act(self.bank.address, call, 15_000_000)

    def log_bytes(self) -> int:
        """Topics and data of all logs of the task."""
        places = [self.entry.vault, self.entry.registry, self.entry.book, self.entry.pool]
        head, total = int(self.anvil.ask("eth_blockNumber"), 16), 0
        for start in range(self.entry.block, head + 1):
            query = {"address": places, "fromBlock": hex(start), "toBlock": hex(start)}
            for log in self.crowd.ask([("eth_getLogs", [query])])[0]:
                total += 32 * len(log["topics"]) + len(log["data"]) // 2 - 1
        return total


def reserved_id(logs: Sequence[Any]) -> SubmissionId:
    """The id that a reservation got."""
    wanted = "0x" + topic(Reserved).hex()
    (event,) = [decode_log(log) for log in logs if log["topics"][0] == wanted]
    assert isinstance(event, Reserved)
    return SubmissionId(event.id)


def measure(
    anvil: Anvil, sponsor: LocalSigner, manifest: Manifest, count: int, submissions: int, voters: int, clients: int
) -> dict[str, Any]:
    started = time.perf_counter()
    voters = min(count - 1, max(voters, round(QUORUM * count)))
    with tempfile.TemporaryDirectory() as folder:
        task = Simulation(anvil, sponsor, manifest, count, submissions, Path(folder), clients)
        before = task.log_bytes()
        for first in range(0, submissions, WAVE):
            task.wave(range(first, min(submissions, first + WAVE)), voters)
        views = task.bank.submissions(1)
        votes = sum(view.tally.reveals for view in views)
        wanted = submissions * voters
        if votes != wanted:
            raise SystemExit(f"{count} nodes: {votes} votes were counted, {wanted} were to be")
        logged = task.log_bytes() - before
        sent = [now - then for now, then in zip(task.sent(), task.joined, strict=True)]
        voting = [total - 2 * own for total, own in zip(sent, task.authored, strict=True)]
        by_client, by_others = voting[:clients], voting[clients:]
        return {
            "nodes": count,
            "submissions": submissions,
            "final": sum(view.submission.terms.status is Status.FINAL for view in views),
            "votes": votes,
            "votes_per_submission": votes / submissions,
            "transactions_per_node": round(sum(voting) / count, 2),
            "transactions_of_clients": round(sum(by_client) / max(1, len(by_client)), 2),
            "transactions_of_others": round(sum(by_others) / max(1, len(by_others)), 2),
            "scorings_per_node": sum(task.scorings) / count,
            "log_bytes": logged,
            "log_bytes_per_vote": round(logged / votes, 1),
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
        values = [row[name] for row in rows]
        axis.plot([row["nodes"] for row in rows], values, "o-")
        axis.set(xscale="log", xlabel="nodes", title=title, ylim=(0, 1.1 * max(values)))
    figure.savefig(path, dpi=120)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="5,10,20", help="numbers of nodes, comma-separated")
    parser.add_argument("--submissions", type=int, default=8)
    parser.add_argument("--voters", type=int, default=300, help="least votes on one submission, nodes permitting")
    parser.add_argument("--clients", type=int, default=3, help="nodes that act through a client of their own")
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args(arguments)
    anvil = start_anvil(*BLOCK)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        sponsor = LocalSigner.from_key((0x5).to_bytes(32, "big"), lock_folder=Path(folder) / "locks")
        anvil.endow(sponsor.address)
        manifest = deploy_factory(anvil.url, sponsor, folder=Path(folder), options=FAST)
        for count in map(int, given.nodes.split(",")):
            found = measure(anvil, sponsor, manifest, count, given.submissions, given.voters, given.clients)
            rows.append(found)
            print(json.dumps(rows[-1]), file=sys.stderr if given.json else sys.stdout, flush=True)
    anvil.process.kill()
    anvil.process.wait(10)
    if given.plot:
        plot(rows, given.plot)
    if given.json:
        print(json.dumps({**rows[-1], "processor": processor(), "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
