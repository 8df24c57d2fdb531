"""What all machines share: acts gathered into blocks, refusals checked to the exact error, one reading a step.

A rule decides from the law (`support/law.py`) whether an act is legal. A legal act joins the block that is being made
at `now` and changes the ghost model; an illegal one is called at `now` and must be refused with exactly the error that
the law names. After each step everything the invariants look at is read in one call.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine
from support.ghost import Ghost
from support.law import Law
from support.task import FINAL
from support.wire import GAS, call, returned

from pdfed_sdk.audit.reducer import Reducer
from pdfed_sdk.chain.event_types import Event, decode_log

from .reading import Reading, read
from .target import Target, interface_of
from .world import GENESIS_DIGESTS, Person, Scene, World


@dataclass
class Stats:
    """What a machine did over all its examples."""

    examples: int = 0
    mined: int = 0
    refused: int = 0
    probes: int = 0
    seconds: float = 0.0
    acts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)


@dataclass
class Probe:
    """A call that an invariant wants made at the end of a step, and the error it must be refused with."""

    invariant: str
    what: str
    request: Any
    error: str | None
    got: str | None = None
    wanted: int | None = None  # what it must return, where that is asked
    raw: bytes = b""


class Side:
    """One task within one example."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.p = scene.params
        self.g = Ghost(scene.params, scene.created)
        self.law = Law(self.g)
        self.reducer = Reducer(scene.sdk_params(), GENESIS_DIGESTS)
        self.openings: dict[tuple[int, str], tuple[Any, ...]] = {}
        self.commitments: dict[tuple[int, str], bytes] = {}
        self.events: list[Event] = []  # of the last step
        self.actors: set[str] = set()  # who sent something in it
        self.spent: list[tuple[str, int, int]] = []  # (act, items, gas) of it
        self.again: list[tuple[Any, ...]] = []  # acts to repeat at the end of the step: (error, part, name, *args)
        self.repeated: list[Event] = []  # what that emitted
        self.first: dict[int, tuple[int, ...]] = {}  # what was frozen at reserve, as first read
        self.status: dict[int, int] = {0: FINAL}
        self.bonds: dict[tuple[int, str], int] = {}  # as the event told
        self.paid: Counter[int] = Counter()
        self.flows: Counter[str] = Counter()
        self.funds = 0  # the sponsor's, after the step before
        self.reading: Reading | None = None
        self.before: Reading | None = None
        self.touched = True


class Plumbing(RuleBasedStateMachine):
    """Blocks, calls and readings. Its subclasses add rules and invariants."""

    settings: ClassVar[list[dict[str, Any]]] = [{}]
    extra_people: ClassVar[int] = 0
    reads_all: ClassVar[bool] = True  # every id at the exit
    target: ClassVar[Target] = Target()
    world_: ClassVar[World | None] = None
    stats: ClassVar[Stats] = Stats()

    def __init__(self) -> None:
        super().__init__()
        cls = type(self)
        if cls.world_ is None:
            cls.world_ = World(cls.target, cls.settings, cls.extra_people)
        self.world: World = cls.world_
        self.wire = self.world.wire
        self.snapshot = self.wire.rpc("evm_snapshot")
        self.wire.rpc("evm_setAutomine", False)
        self.people = self.world.people
        self.sides = [Side(scene) for scene in self.world.scenes]
        self.now = max(s.scene.created for s in self.sides) + 1_000
        self.queue: list[tuple[Any, ...]] = []
        self.blocks: list[tuple[int, list[str], list[tuple[Any, ...]]]] = []  # mined, receipts not yet read
        self.height = int(self.wire.rpc("eth_blockNumber"), 16)
        self.probes: list[Probe] = []
        self.step = 0
        self.dirty = True
        self.full = False  # read every id
        self.stats.examples += 1
        self.started = time.monotonic()

    # --- time ---

    def tick(self, seconds: int = 1) -> int:
        """Later acts go into a later block."""
        self.flush()
        self.now += seconds
        return self.now

    def jump(self, moment: int, offset: int = 0) -> None:
        """To `moment` + `offset`, or a second on where that is past."""
        self.flush()
        self.now = max(self.now + 1, moment + offset)

    # --- acts ---

    def side(self, number: int) -> Side:
        return self.sides[number % len(self.sides)]

    def act(
        self, side: Side, part: str, name: str, *args: Any, by: Person, error: str | None = None, items: int = 1
    ) -> bool:
        """Put it into the block if it is legal, else check how it is refused. Whether it is legal."""
        to = side.scene.address[part]
        envelope = self.world.envelope(by, to, interface_of(self.world.chain, part).data(name, *args))
        self.queue.append((side, f"{part}.{name}", envelope, error, items, by))
        self.dirty = side.touched = True
        return error is None

    def flush(self) -> None:
        """Mine what is waiting, and call what must be refused, in the order in which it was asked for."""
        queue, self.queue = self.queue, []
        start = 0
        while start < len(queue):
            legal = queue[start][3] is None
            end = start
            while end < len(queue) and (queue[end][3] is None) == legal:
                end += 1
            (self._mine if legal else self._refuse)(queue[start:end])
            start = end

    def _mine(self, acts: list[tuple[Any, ...]]) -> None:
        messages = [
            {"from": sender, "to": to, "data": "0x" + data.hex(), "gas": GAS, "gasPrice": "0x0"}
            for _, _, (sender, to, data), *_ in acts
        ]
        requests: list[tuple[str, list[Any]]] = [("eth_sendTransaction", [m]) for m in messages]
        hashes = self.wire.batch([*requests, ("evm_mine", [{"timestamp": hex(self.now)}])])
        self.height += 1
        self.blocks.append((self.height, hashes[:-1], acts))

    def collected(self) -> None:
        """Everything asked for has happened, and what came of it is known."""
        self.flush()
        self.collect()

    def collect(self) -> None:
        """Receipts of the blocks that were mined since: every act must have succeeded; its events and gas are kept."""
        blocks, self.blocks = self.blocks, []
        answers = self.wire.batch([("eth_getBlockReceipts", [hex(number)]) for number, _, _ in blocks])
        for receipts, (_, hashes, acts) in zip(answers, blocks, strict=True):
            assert [r["transactionHash"] for r in receipts] == hashes, f"the block is not what was sent: {hashes}"
            self.stats.mined += len(receipts)
            for receipt, act in zip(receipts, acts, strict=True):
                self._keep(receipt, *act)

    def _keep(
        self, receipt: Any, side: Side, name: str, envelope: tuple[str, str, bytes], _: None, items: int, by: Person
    ) -> None:
        self.stats.acts[name] += 1
        if not int(receipt["status"], 16):
            raise AssertionError(f"{name} is legal but was refused: {self._reason(envelope)}")
        side.actors.add(by.address)
        if by.owner is None:
            side.spent.append((name, items, int(receipt["gasUsed"], 16)))
        for log in receipt["logs"]:
            scene = self.world.scene_of.get(log["address"].lower())
            if scene is not None:
                self.sides[scene.number].events.append(decode_log(log))

    def _reason(self, envelope: tuple[str, str, bytes]) -> str:
        raw, reverted = returned(self.wire.batch([call(*envelope, self.now)])[0])
        return str(self.world.chain.decode_revert(raw)) if reverted else "unknown (legal now)"

    def _refuse(self, acts: list[tuple[Any, ...]]) -> None:
        self.collect()
        answers = self.wire.batch([call(*envelope, self.now) for _, _, envelope, *_ in acts])
        for answer, (_, name, _, error, *_) in zip(answers, acts, strict=True):
            raw, reverted = returned(answer)
            got = self.world.chain.decode_revert(raw) if reverted else None
            assert got is not None, f"{name} must be refused with {error} but would succeed"
            assert got.name == error, f"{name} must be refused with {error}, got {got}"
            self.stats.refused += 1
            self.stats.errors[error] += 1

    # --- probes and readings ---

    def probe(
        self, invariant: str, side: Side, part: str, name: str, *args: Any, by: Person, at: int, error: str | None
    ) -> None:
        """Have an invariant's question asked together with this step's reading."""
        to = side.scene.address[part]
        envelope = self.world.envelope(by, to, interface_of(self.world.chain, part).data(name, *args))
        what = f"{part}.{name} at {at} (now {self.now})"
        self.probes.append(Probe(invariant, what, call(*envelope, at), error))

    def judge(self, invariant: str) -> list[Probe]:
        """This step's answers to the probes of an invariant; each must be as it said."""
        self.look()
        found = [p for p in self.probes if p.invariant == invariant]
        for p in found:
            assert p.got == p.error, f"{p.what}: expected {p.error or 'success'}, got {p.got or 'success'}"
        self.stats.checks[invariant] += len(found)
        return found

    def plan(self, side: Side) -> None:
        """Overridden: ask this step's probes."""

    def look(self) -> None:
        """End of a step: mine, read, ask. Once a step, however many invariants look."""
        if not self.dirty:
            return
        self.collected()
        touched = [s for s in self.sides if s.touched]
        for side in touched:
            self._repeat(side)
        self.dirty = False
        self.step += 1
        self.probes = []
        for side in touched:
            self.plan(side)
        answers = read(self, touched, [p.request for p in self.probes])
        for p, answer in zip(self.probes, answers, strict=True):
            p.raw, reverted = returned(answer)
            p.got = self.world.chain.decode_revert(p.raw).name if reverted else None
        self.stats.probes += len(self.probes)
        for side in touched:
            for event in side.events:
                side.reducer.apply(event)

    def _repeat(self, side: Side) -> None:
        """What was just settled, poured and claimed once more, by a stranger; the ghost model does not move."""
        start, again, side.again = len(side.events), side.again, []
        for error, by, part, name, *args in again:
            if name == "pourMany":  # more may have come in since
                args = [[hop for hop in args[0] if side.law.dry(hop)]]
            items = len(args[-1]) if part in ("book", "pool") else 1
            self.act(side, part, name, *args, by=by, error=error, items=items)
        self.collected()
        side.repeated = side.events[start:]
        self.stats.checks["idempotent"] += len(again)

    def seen(self) -> list[tuple[Side, Reading]]:
        """The sides that this step touched, with what was read of them."""
        self.look()
        return [(s, s.reading) for s in self.sides if s.touched and s.reading is not None]

    def check_invariants(self, *args: Any, **kwargs: Any) -> None:
        """After a step in which something happened; then the next step starts."""
        if not self.dirty:
            return
        self.look()
        super().check_invariants(*args, **kwargs)
        self.close_step()

    def close_step(self) -> None:
        for side in self.sides:
            if side.touched:
                side.before = side.reading
            side.touched = False
            side.events, side.spent, side.actors = [], [], set()

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.invariant_exit()
        finally:
            with contextlib.suppress(Exception):
                self.wire.rpc("evm_setAutomine", True)
                self.wire.rpc("evm_revert", self.snapshot)
            self.stats.seconds += time.monotonic() - self.started

    def invariant_exit(self) -> None:
        raise NotImplementedError
