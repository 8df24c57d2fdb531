"""How quickly the page shows a large federation: first paint, and an update after a block, in a real browser;
the start from a stored cursor; and what an hour of blocks, played fast, adds to the memory.

The chain's part is made up (there is no chain of 10,000 submissions to be had in minutes): events of that many
submissions by 1,000 nodes go through the same reducer, chronicle, views, server and page as real ones. What is made up
is only where events come from. Medians of ``--runs``.

    python -m benchmarks.watch [--submissions 10000] [--runs 3] [--json]
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pdfed_sdk.audit.reducer import outcome_of, standing_of
from pdfed_sdk.audit.rules import activity_after, moved, own_rate, vote_bond
from pdfed_sdk.chain import event_types as types
from pdfed_sdk.chain.calls import TaskParams, Trend
from pdfed_sdk.chain.replay import Cursor
from pdfed_sdk.types import Address, ModelDigests, ModelRecord, Parent, Status, SubmissionId
from pdfed_sdk.watch.chronicle import Chronicle
from pdfed_sdk.watch.follower import Follower
from pdfed_sdk.watch.serving import served
from pdfed_sdk.watch.views import About
from pdfed_sdk.watch.watcher import Watcher

ROOT = Path(__file__).resolve().parents[1]
UNIT = 10**18
VOTERS = 5
LIFE = 100
"""Votes on each submission, and seconds from one reservation to the next."""
LATEST = "section:last-of-type tbody tr:first-child th"
"""Where the page names the newest model."""


def address(number: int) -> Address:
    return Address(f"0x{number:040x}")


class MadeUp:
    """A client whose events are made as they are asked for; it follows the rules, so the reducer finds no fault."""

    def __init__(self, params: TaskParams, nodes: int) -> None:
        self.chain_id, self.task = 1, SimpleNamespace(registry=address(10**6), vault=address(10**6 + 1))
        self.flows = SimpleNamespace(at=SimpleNamespace(start=0))
        self.events, self._params, self._nodes = self, params, nodes
        self.follower: Follower | None = None
        self.waiting: list[Callable[[], list[types.Event]]] = []
        self._block = 0

    def params(self) -> TaskParams:
        return self._params

    def genesis(self) -> ModelDigests:
        return ModelDigests(bytes(32), 0x70, bytes(32), bytes(32))

    def now(self) -> int:
        return self._block * LIFE

    def poll(self, cursor: Cursor) -> list[Any]:
        if not self.waiting:
            return []
        events = self.waiting.pop(0)()
        self._block += 1
        cursor.advance(self._block, f"0x{self._block:064x}")
        return events

    def where(self) -> types.Where:
        return types.Where(self._block + 1, "", f"0x{self._block:064x}", 0, address(1), self.now())

    def joining(self) -> list[types.Event]:
        found: list[types.Event] = []
        for number in range(1, self._nodes + 1):
            found.append(types.NodeRegistered(self.where(), address(number), 3, address(number), bytes(32)))
            found.append(types.Deposited(self.where(), address(number), 100 * self._params.min_stake))
        return found

    def submission(self) -> list[types.Event]:
        """One submission from its reservation to its settlement."""
        assert self.follower is not None
        params, reducer, where = self._params, self.follower.reducer, self.where()
        state, number = reducer.state, len(reducer.state.models)
        author = address(1 + number % self._nodes)
        found: list[types.Event] = [
            types.SubmissionBonded(where, author, number, params.submission_bond, params.scoring_fee, 0),
            types.Reserved(where, number, author, bytes(32), state.best, state.tau, state.q, VOTERS, self.now()),
        ]
        digests = ModelDigests(number.to_bytes(32, "big"), 0x70, bytes(32), bytes(32))
        parent = Parent(SubmissionId(state.best), 10_000)
        found.append(types.Submitted(where, number, author, ModelRecord(digests, (parent,))))
        for voter in (address(1 + (number + 1 + i) % self._nodes) for i in range(VOTERS)):
            bond = vote_bond(1, params.min_stake, params.vote_bond_bps)
            rate = own_rate(*state.histories.get(voter, (0, 0)), state.q)
            found += [
                types.VoteBonded(where, voter, number, bond),
                types.Committed(where, number, voter, bytes(32), 1, rate),
                types.Revealed(where, number, voter, number % 5 - 1, bytes(32)),
            ]
        return found

    def finish(self) -> list[types.Event]:
        """The end of the newest submission, as the rules have it."""
        assert self.follower is not None
        params, state, where = self._params, self.follower.reducer.state, self.where()
        number = len(state.models) - 1
        model = state.models[number]
        status, result = outcome_of(model, params, state.activity)
        standing = standing_of(state, model, result, status, params)
        tau, q = state.tau, state.q
        if status is Status.FINAL:
            tau, q = moved(tau, q, result.median, result.yes_weight, result.revealed_weight)
        trend = Trend(tau, q, activity_after(state.activity, result.revealed_weight, model.eligible))
        found: list[types.Event] = [types.Finalized(where, number, status, result, standing, trend)]
        if standing.gain:
            found.append(types.BestChanged(where, number, state.best, standing.level))
        return found


def build(folder: Path | None, submissions: int, nodes: int) -> tuple[Watcher, MadeUp]:
    from pdfed_sdk.chain.parameters import task_params

    params = replace(task_params(address(7), address(8)), slots=2**31, quorum_floor=1, min_voters=3)
    client = MadeUp(params, nodes)
    client.waiting.append(client.joining)
    for _ in range(submissions):
        client.waiting += [client.submission, client.finish]
    place = None if folder is None else folder / "chronicle.sqlite"
    follower = Follower(client, Chronicle(place, "benchmark"))  # type: ignore[arg-type]
    client.follower = follower
    about = About(client.task.registry, 1, params, "PDT", 18, "made-up events of a large federation")
    return Watcher(follower, about), client


def browse(page: dict[str, Any]) -> dict[str, Any]:
    asked = {"pages": [page]}
    done = subprocess.run(
        ["node", str(ROOT / "web" / "test" / "browser.mjs")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout)[0])


def paint(url: str) -> float:
    """Milliseconds from asking for the page to its heading, in a browser that has never seen it."""
    return float(browse({"name": "paint", "url": url, "axe": False, "pause": 0})["painted"])


def updates(url: str, client: MadeUp, runs: int) -> list[float]:
    """Milliseconds from a block with a new submission to its row in the page of a connected browser, for each run."""
    assert client.follower is not None
    made: list[tuple[str, float]] = []

    def happen() -> None:
        import requests

        while "pdfed_watch_pages 1.0" not in requests.get(url + "metrics", timeout=30).text:
            time.sleep(0.1)
        time.sleep(3)
        for _ in range(runs):
            assert client.follower is not None
            made.append((f"#{len(client.follower.reducer.state.models)}", 1000 * time.time()))
            client.waiting.append(client.submission)
            time.sleep(1.5)
            client.waiting.append(client.finish)
            time.sleep(1.5)

    later = threading.Thread(target=happen)
    later.start()
    pause = 1000 * (6 + 3 * runs)
    seen = browse({"name": "update", "url": url, "axe": False, "pause": pause, "follow": LATEST})["followed"]
    later.join()
    return [next(at for at, text in seen if text == name) - when for name, when in made]


def memory(client: MadeUp, blocks: int) -> tuple[float, float]:
    """Megabytes of this process before and after so many more blocks, which move money but add no submissions."""
    assert client.follower is not None

    def stakes() -> list[types.Event]:
        return [types.Deposited(client.where(), address(1 + i), UNIT) for i in range(10)]

    before = resident()
    for _ in range(blocks):
        client.waiting.append(stakes)
    while client.waiting:
        time.sleep(0.1)
    return before, resident()


def resident() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def answered(url: str, client: MadeUp) -> float:
    """Milliseconds from a block with a new submission to its being in the federation's view, as JSON."""
    import requests

    number = client.follower and len(client.follower.reducer.state.models)
    with requests.get(url + "api/changes", stream=True, timeout=30) as stream:
        told = stream.iter_lines(chunk_size=1)
        next(line for line in told if line.startswith(b"data:"))
        started = time.perf_counter()
        client.waiting.append(client.submission)
        next(line for line in told if line.startswith(b"data:"))
        view = requests.get(url + "api/federation", timeout=30).json()
        spent = 1000 * (time.perf_counter() - started)
    assert view["latest"][0]["id"] == number
    client.waiting.append(client.finish)
    time.sleep(0.5)
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=3_600, help="blocks played for the memory: an hour of them")
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        watcher, client = build(Path(place), options.submissions, options.nodes)
        started = time.perf_counter()
        watcher.follower.catch_up()
        replayed = time.perf_counter() - started
        faults = watcher.follower.reducer.state.faults
        assert not faults, faults[:3]
        identity = Chronicle(Path(place) / "chronicle.sqlite", "benchmark")
        started = time.perf_counter()
        Follower(client, identity)  # type: ignore[arg-type]
        restarted = time.perf_counter() - started
        with served(watcher, token="", poll=0.05) as page:
            painted = statistics.median(paint(page.url) for _ in range(options.runs))
            asked = statistics.median(answered(page.url, client) for _ in range(options.runs))
            updated = statistics.median(updates(page.url, client, options.runs))
            before, after = memory(client, options.blocks)
    found = {
        "first_paint_ms": round(painted, 1),
        "update_ms": round(updated, 1),
        "view_ms": round(asked, 1),
        "submissions": options.submissions,
        "nodes": options.nodes,
        "replay_s": round(replayed, 2),
        "restart_ms": round(1000 * restarted, 1),
        "blocks": options.blocks,
        "memory_mb": round(after, 1),
        "grown_mb": round(after - before, 1),
    }
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:16} {value:>10,}")


if __name__ == "__main__":
    main()
