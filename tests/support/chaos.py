"""``python -m tests.support.chaos``: every step of a round killed, every fault of chain and store, and its outcome.

A round is one submission: a trainer (node 1) makes it, nodes 2, 3 and 4 vote, it is finalised and settled. Contracts,
chain, packages, manifests, store and journal are real; training and scoring are stand-ins (node_world.py). The steps
are not listed by hand: an undisturbed round is recorded, with every durable write, every transaction, every act on the
store, every unpacking and every measurement of the node under test, and then the round is played once for the moment
before each of them and once for the moment after. The node is started again, and in the end the books are those of the
undisturbed round: accounts, ledgers, votes and the result, to the unit.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import requests

from pdfed_sdk.artifacts.store import LocalStore
from pdfed_sdk.audit import audit
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.deploy import deploy_factory
from pdfed_sdk.chain.event_types import Committed, Revealed
from pdfed_sdk.chain.rpc import Wire
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.chain.transactions import Sender
from pdfed_sdk.node.runner import Node
from pdfed_sdk.types import Status
from tests.support.anvil import start_anvil
from tests.support.federation import FAST, KEYS
from tests.support.node_world import Killed, Opinion, Stepper, World, build_world, copy_of

TRAINER, VOTERS = 1, (2, 3, 4)
WRITERS = ("chain.journal", "node.records", "node.publishing", "node.dedup", "node.keeping")
Books = dict[str, Any]


# --- one round -------------------------------------------------------------------------------------------------------


@dataclass
class Cutter:
    """Counts the effects of the nodes it watches, and raises ``Killed`` at one of them."""

    at: int | None = None
    before: bool = False
    seen: list[str] = field(default_factory=list)
    active: bool = False
    done: bool = False
    sending: str = ""

    def effect(self, name: str, act: Callable[[], Any]) -> Any:
        if not self.active:
            return act()
        number = len(self.seen)
        self.seen.append(name)
        if number == self.at and self.before and not self.done:
            self.done = True
            raise Killed(name)
        result = act()
        if number == self.at and not self.done:
            self.done = True
            raise Killed(name)
        return result

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Every effect on the world goes through ``effect``."""
        with ExitStack() as stack:
            for module in WRITERS:
                stack.enter_context(
                    self._function(f"pdfed_sdk.{module}.write_durably", lambda a: f"write {place(a[0])}")
                )
            stack.enter_context(
                self._function("pdfed_sdk.node.model_cache.open_package", lambda a: f"unpack {place(a[1])}")
            )
            for kind, method in ((LocalStore, "put"), (LocalStore, "pin"), (LocalStore, "fetch")):
                stack.enter_context(self._method(kind, method, lambda _a, m=method: f"store {m}"))
            stack.enter_context(self._method(Opinion, "compare", lambda _a: "measure"))
            stack.enter_context(self._method(Stepper, "train", lambda _a: "train"))
            real_send, real_carry = Sender.send, Wire._carry

            def send(sender: Sender, call: Any, *options: Any) -> Any:
                self.sending = call.name
                return (yield from real_send(sender, call, *options))

            def carry(wire: Wire, batch: Any) -> Any:
                sends = any(request.method == "eth_sendRawTransaction" for request in batch.requests)
                act = lambda: real_carry(wire, batch)  # noqa: E731
                return self.effect(f"send {self.sending}", act) if sends else act()

            stack.enter_context(mock.patch.object(Sender, "send", send))
            stack.enter_context(mock.patch.object(Wire, "_carry", carry))
            yield

    def _function(self, name: str, told: Callable[[Any], str]) -> Any:
        module, _, attribute = name.rpartition(".")
        real = getattr(sys.modules[module], attribute)
        return mock.patch(name, lambda *a, **k: self.effect(told(a), lambda: real(*a, **k)))

    def _method(self, kind: type, name: str, told: Callable[[Any], str]) -> Any:
        real = getattr(kind, name)
        return mock.patch.object(kind, name, lambda one, *a, **k: self.effect(told(a), lambda: real(one, *a, **k)))


def place(path: Path) -> str:
    """A path as it is called within a node's home."""
    parts = Path(path).parts
    home = max(i for i, part in enumerate(parts) if part.startswith("node"))
    if parts[-1].endswith(".vote"):
        return "state/votes/N.vote"
    return "/".join(parts[home + 1 :])


def alive(world: World, index: int, act: Callable[[Node], object], cutter: Cutter, watched: int) -> None:
    """Start a node and do something with it; killed, it is started again and does it once more."""
    for _ in range(3):
        try:
            cutter.active = index == watched
            trainer = Stepper() if index == TRAINER else None
            node = world.node(index, trainer=trainer, opinion=Opinion(3 + index))
            act(node)
            return
        except Killed:
            continue
        finally:
            cutter.active = False
    raise AssertionError("killed more than once")


def make(node: Node) -> None:
    node.view.refresh()
    assert node.author is not None
    while node.author.work():
        pass


def play(world: World, cutter: Cutter, watched: int) -> Books:
    """One round, with ``cutter`` at node ``watched``; returns the books at its end."""
    with cutter.installed():
        alive(world, TRAINER, make, cutter, watched)
        (submission,) = (view.id for view in world.client(0).submissions() if view.id)
        windows = world.client(0).windows(submission)
        for moment in (None, windows.reveal_start, windows.reveal_end + 10, None):
            if moment is not None:
                world.to(moment)
            for index in VOTERS:
                alive(world, index, Node.tick, cutter, watched)
    return books(world)


def books(world: World) -> Books:
    """Who owns what, what was voted and what came of it; the chain's own time is left out."""
    client = world.client(0)
    nodes = [signer.address for signer in world.signers[:5]]
    found: Books = {"audit": [check.name for check in audit(client).checks if not check.ok]}
    for number, node in enumerate(nodes):
        account = client.account(node)
        found[f"account {number}"] = (account.stake, account.locked, account.unbonding, account.credit, account.roles)
        found[f"tokens {number}"] = client.token_balance(node)
    found["ledgers"] = (client.totals(), client.balances(), client.division())
    found["models"] = [
        (v.submission.terms.status, v.submission.result, v.submission.standing) for v in client.submissions()
    ]
    votes = (event for event in client.events.replay() if isinstance(event, Revealed))
    found["votes"] = sorted((event.id, event.voter, event.improvement) for event in votes)
    return found


# --- the matrix of kills ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What became of one disturbed round; ``differs`` names the parts of the books that are not as they should be."""

    step: str
    differs: tuple[str, ...] = ()
    problem: str = ""

    @property
    def good(self) -> bool:
        return not self.differs and not self.problem

    def line(self) -> str:
        return f"{'same books' if self.good else 'DIFFERENT'}  {self.step}  {self.problem}{', '.join(self.differs)}"


class Stage:
    """The same world again for each round: own homes, own copy of the store, the chain put back."""

    def __init__(self, world: World, scratch: Path) -> None:
        self.world, self.scratch, self.rounds = world, scratch, itertools.count()
        world.anvil.ask("anvil_setBlockTimestampInterval", 1)  # time follows from the number of blocks alone

    @contextmanager
    def fresh(self) -> Iterator[World]:
        snapshot = self.world.anvil.ask("evm_snapshot")
        folder = self.scratch / f"round{next(self.rounds)}"
        folder.mkdir()
        try:
            yield copy_of(self.world, folder)
        finally:
            self.world.anvil.ask("evm_revert", snapshot)

    def undisturbed(self, watched: int) -> tuple[Books, list[str]]:
        cutter = Cutter()
        with self.fresh() as world:
            return play(world, cutter, watched), cutter.seen

    def killed(self, watched: int, at: int, before: bool, name: str, wanted: Books) -> Outcome:
        cutter = Cutter(at, before)
        step = f"{'trainer' if watched == TRAINER else 'voter'} killed {'before' if before else 'after'} {name}"
        return self.outcome(step, wanted, lambda world: play(world, cutter, watched))

    def outcome(self, step: str, wanted: Books, round_: Callable[[World], Books]) -> Outcome:
        with self.fresh() as world:
            try:
                found = round_(world)
            except Exception as error:
                return Outcome(step, problem=f"{type(error).__name__}: {str(error).splitlines()[0][:150]}")
        return Outcome(step, tuple(name for name in wanted if found.get(name) != wanted[name]))


def matrix(stage: Stage, share: Callable[[int], bool] = lambda _n: True) -> Iterator[Outcome]:
    """A kill before and after every effect of the trainer and of one voter; ``share`` picks some of them by number."""
    number = 0
    for watched in (TRAINER, VOTERS[0]):
        wanted, effects = stage.undisturbed(watched)
        assert not wanted["audit"], wanted["audit"]
        for at, name in enumerate(effects):
            for before in (True, False):
                if share(number):
                    yield stage.killed(watched, at, before, name, wanted)
                number += 1


# --- a chain that misbehaves -----------------------------------------------------------------------------------------


@contextmanager
def proxy(
    url: str, fault: Callable[[bytes], tuple[int, bytes] | None], change: Callable[[Any], Any] = lambda a: a
) -> Iterator[str]:
    """An endpoint before an endpoint: ``fault`` answers instead of it (status 0: hangs up), ``change`` lies."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["content-length"]))
            instead = fault(asked)
            if instead is None:
                reply = requests.post(url, data=asked, headers={"content-type": "application/json"}, timeout=10)
                instead = 200, json.dumps(change(reply.json())).encode()
            if not instead[0]:
                self.connection.close()
                return
            self.send_response(instead[0])
            self.end_headers()
            self.wfile.write(instead[1])

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that hangs up is no news."""

    server = Quiet(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def often(seed: int, share: float, answer: tuple[int, bytes] | Callable[[], None]) -> Callable[[bytes], Any]:
    """A fault in a seeded share of the requests."""
    dice = random.Random(seed)

    def fault(_asked: bytes) -> tuple[int, bytes] | None:
        if dice.random() >= share:
            return None
        if callable(answer):
            answer()
            return None
        return answer

    return fault


def forgetful(times: int) -> Callable[[Any], Any]:
    """Leaves the first log out of the first ``times`` answers that hold any."""
    left = itertools.count()

    def change(replies: Any) -> Any:
        for reply in replies if isinstance(replies, list) else [replies]:
            result = reply.get("result")
            if isinstance(result, list) and result and "topics" in result[0] and next(left) < times:
                del result[0]
        return replies

    return change


def faults_of_the_chain(stage: Stage, wanted: Books) -> Iterator[Outcome]:
    kinds: dict[str, Callable[[bytes], Any]] = {
        "chain hangs up at every fifth request": often(1, 0.2, (0, b"")),
        "chain answers 429 to every fifth request": often(2, 0.2, (429, b"")),
        "chain answers 500 to every fifth request": often(3, 0.2, (500, b"oops")),
        "chain answers nonsense to every fifth request": often(4, 0.2, (200, b"<html>")),
        "chain is late at every tenth request": often(5, 0.1, lambda: time.sleep(0.1)),
    }
    for step, fault in kinds.items():
        with proxy(stage.world.anvil.url, fault) as url:
            yield stage.outcome(step, wanted, lambda world, url=url: play_patiently(world, url))
    with proxy(stage.world.anvil.url, lambda _asked: (500, b"down")) as dead:
        both = f"{dead},{stage.world.anvil.url}"
        yield stage.outcome("first of two endpoints is down", wanted, lambda world: play_patiently(world, both))
    with proxy(stage.world.anvil.url, lambda _asked: None, forgetful(2)) as url:
        yield stage.outcome("endpoint leaves out two logs", wanted, lambda world: play_patiently(world, url))


def play_patiently(world: World, url: str = "") -> Books:
    """The round as ``Node.run`` plays it, with the nodes' chain at ``url``: what fails is tried again by the loop."""
    seen = replace(world, anvil=replace(world.anvil, url=url or world.anvil.url))

    def start(index: int) -> Node:
        trainer = Stepper() if index == TRAINER else None
        return seen.node(index, client=seen.client(index, retries=8), trainer=trainer, opinion=Opinion(3 + index))

    nodes, client = {index: start(index) for index in (TRAINER, *VOTERS)}, world.client(0)
    trainer = nodes[TRAINER]
    training = lambda: trainer.guard.run("training", lambda: make(trainer))  # noqa: E731
    with mock.patch("pdfed_sdk.node.author.LONGEST_REST", 0.0):  # as if it had rested
        loop(lambda: trainer.guard.patiently(training) and submitted(client))
    windows = client.windows(1)
    for moment in (None, windows.reveal_start, windows.reveal_end + 10, None):
        if moment is not None:
            world.to(moment)
        for index in VOTERS:
            loop(lambda node=nodes[index]: node.guard.patiently(node.tick))
    return books(world)


def submitted(client: PdfedClient) -> bool:
    return client.count() > 1 and client.submission(1).terms.status is not Status.RESERVED


def loop(act: Callable[[], bool]) -> None:
    for _ in range(20):
        if act():
            return
    raise AssertionError("twenty looks at the chain failed")


# --- a store that misbehaves -----------------------------------------------------------------------------------------


def faults_of_the_store(stage: Stage, wanted: Books) -> Iterator[Outcome]:
    real = LocalStore.fetch

    def bad(kind: str) -> Callable[..., Path]:
        tries = itertools.count()

        def fetch(store: LocalStore, cid: Any, into: Path, *rest: Any) -> Path:
            if next(tries) % 2:
                return real(store, cid, into, *rest)
            path = store.path(cid)
            good = path.read_bytes()
            path.chmod(0o644)
            try:
                if kind == "nothing":
                    path.unlink()
                else:
                    path.write_bytes(good[: len(good) // 2] if kind == "half a file" else b"\0" + good[1:])
                return real(store, cid, into, *rest)
            finally:
                path.write_bytes(good)

        return fetch

    for kind in ("wrong bytes", "half a file", "nothing"):
        with mock.patch.object(LocalStore, "fetch", bad(kind)):
            yield stage.outcome(f"store gives {kind} every other time", wanted, play_until_voted)


def play_until_voted(world: World) -> Books:
    """As ``play_patiently``; a voter that could not score rests for a moment, as it does in life."""
    with mock.patch("pdfed_sdk.node.voter.LONGEST_PAUSE", 0.0):
        return play_patiently_twice(world)


def play_patiently_twice(world: World) -> Books:
    real = Node.tick

    def often_enough(node: Node, **options: Any) -> None:
        for _ in range(3):
            real(node, **options)

    with mock.patch.object(Node, "tick", often_enough):
        return play_patiently(world)


# --- a disk that is full, a chain that changes its mind ---


def a_full_disk(stage: Stage, wanted: Books) -> Outcome:
    """Every third durable write of a node finds no space."""
    writes = itertools.count(1)

    def full(real: Callable[..., Any]) -> Callable[..., Any]:
        def write(*args: Any, **options: Any) -> Any:
            if next(writes) % 3 == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **options)

        return write

    with ExitStack() as stack:
        for module in WRITERS:
            name = f"pdfed_sdk.{module}.write_durably"
            stack.enter_context(mock.patch(name, full(sys.modules[f"pdfed_sdk.{module}"].write_durably)))
        return stage.outcome("no space at every third write", wanted, play_until_voted)


def votes_of(world: World) -> int:
    """Votes sealed and votes opened, as the chain has them now."""
    return sum(isinstance(event, Committed | Revealed) for event in world.client(0).events.replay())


def a_reorganisation(stage: Stage, wanted: Books) -> Outcome:
    """When all have sealed, and once more when all have opened, the last two blocks are replaced by empty ones: two
    votes are gone, and are cast again."""

    def round_(world: World) -> Books:
        real, voters, looks = Node.tick, list[Node](), itertools.count(1)

        def shaken(node: Node, **options: Any) -> None:
            real(node, **options)
            if node.author is not None:
                return
            if node not in voters:
                voters.append(node)
            if next(looks) in (len(VOTERS), 2 * len(VOTERS)):
                counted = votes_of(world)
                world.anvil.ask("anvil_reorg", 2, [])
                assert votes_of(world) == counted - 2, "two votes are gone"
                for voter in voters:
                    real(voter)

        with mock.patch.object(Node, "tick", shaken):
            return play_patiently(world)

    return stage.outcome("the last two blocks replaced, twice", wanted, round_)


# --- two of one ------------------------------------------------------------------------------------------------------


def two_nodes_on_one_key(stage: Stage, wanted: Books) -> Outcome:
    """Node 2 runs twice, on two machines: own homes, one key."""

    def round_(world: World) -> Books:
        twin = replace(world, folder=world.folder / "twin")
        twin.folder.mkdir()
        (twin.folder / "store").symlink_to(world.folder / "store")
        real = Node.tick

        def both(node: Node, **options: Any) -> None:
            real(node, **options)
            if node.me == world.signers[2].address:
                second = twin.node(2, opinion=Opinion(5))
                second.guard.patiently(lambda: real(second, **options))

        with mock.patch.object(Node, "tick", both):
            return play_patiently(world)

    return stage.outcome("two nodes with one key", wanted, round_)


def a_wrong_clock(stage: Stage, wanted: Books, hours: int) -> Outcome:
    """The machine's clock is a day off: windows are those of the chain."""

    def round_(world: World) -> Books:
        with mock.patch("time.time", return_value=time.time() + 3_600 * hours):
            return play_patiently(world)

    return stage.outcome(f"clock {abs(hours)} h {'fast' if hours > 0 else 'slow'}", wanted, round_)


def many_sends(stage: Stage, count: int = 100) -> Outcome:
    """``count`` transfers of one key at once, from threads with a client each: all arrive, once."""
    with stage.fresh() as world:
        me, to = world.client(0), world.signers[6].address
        me.mint(me.address, count)
        before = me.token_balance(to)
        problems: list[str] = []

        def send(_number: int) -> None:
            try:
                world.client(0, timeout=60.0).transfer(to, 1)
            except Exception as error:
                problems.append(repr(error)[:100])

        threads = [threading.Thread(target=send, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        arrived = me.token_balance(to) - before
    good = arrived == count and not problems
    return Outcome(f"{count} sends at once with one key", problem="" if good else f"{arrived} arrived; {problems[:1]}")


def faults(stage: Stage) -> Iterator[Outcome]:
    """Everything but kills."""
    wanted, _ = stage.undisturbed(0)
    yield from faults_of_the_chain(stage, wanted)
    yield from faults_of_the_store(stage, wanted)
    yield a_full_disk(stage, wanted)
    yield a_reorganisation(stage, wanted)
    yield two_nodes_on_one_key(stage, wanted)
    for hours in (24, -24):
        yield a_wrong_clock(stage, wanted, hours)
    yield many_sends(stage)


def open_stage(folder: Path) -> Stage:
    """An anvil, the contracts, a task and its nodes."""
    anvil = start_anvil()
    signers = [LocalSigner.from_key(key, lock_folder=folder / "locks") for key in KEYS]
    for signer in signers:
        anvil.endow(signer.address)
    made = folder / "world"
    made.mkdir()
    return Stage(
        build_world(anvil, deploy_factory(anvil.url, signers[0], folder=folder, options=FAST), signers, made), folder
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="play every n-th kill only")
    parser.add_argument("--only", choices=("kills", "faults"), help="one half")
    given = parser.parse_args(arguments)
    bad = total = 0
    with tempfile.TemporaryDirectory() as folder:
        stage = open_stage(Path(folder))
        kills = matrix(stage, lambda number: number % given.every == 0) if given.only != "faults" else ()
        for outcome in itertools.chain(kills, faults(stage) if given.only != "kills" else ()):
            total, bad = total + 1, bad + (not outcome.good)
            print(outcome.line(), flush=True)
    print(f"{total} rounds, {bad} with other books than an undisturbed one")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
