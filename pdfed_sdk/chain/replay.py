"""Replay a task's events and follow its head: chunks, confirmations, reorg rewind, durable cursor.

A ``Cursor`` says up to which block (number and hash) events were handed out. Before each step the hash is checked: if
it is no longer on the chain, the step walks back to the last block that is and hands out ``Rewound(block)`` first.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdfed_sdk.chain.codec import quantity
from pdfed_sdk.chain.event_types import Event, decode_log, topic
from pdfed_sdk.chain.rpc import AsyncWire, Chain, Fault, Flow, Request, Sleep, Wire
from pdfed_sdk.errors import ChainError
from pdfed_sdk.files import write_durably
from pdfed_sdk.types import Address

_FEW = 1_000
"""Events below which a narrowed range is widened again."""
_REMEMBERED = 256
"""Blocks whose hashes a cursor keeps: how deep a reorg it can trace exactly."""


@dataclass(frozen=True, slots=True)
class Rewound:
    """The chain was reorganised: forget every event with ``where.block > block``."""

    block: int


@dataclass(slots=True)
class Cursor:
    """Position in a task's events: the next block to read, and the (number, hash) pairs of blocks passed. ``width``:
    blocks that the next query asks for (0: the options' chunk); less than that after an endpoint refused a range."""

    next_block: int = 0
    passed: list[tuple[int, str]] = field(default_factory=list)
    width: int = 0

    @classmethod
    def load(cls, path: Path, *, from_block: int = 0) -> Cursor:
        """The saved cursor, or a new one; ChainError if the file is damaged."""
        try:
            kept = json.loads(path.read_text())
            return cls(int(kept["next_block"]), [(int(number), str(found)) for number, found in kept["passed"]])
        except FileNotFoundError:
            return cls(from_block)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise ChainError(f"cursor {path} cannot be read ({error})", hint="delete it to replay again") from None

    def save(self, path: Path) -> None:
        """Durably; call it when the events handed out have been dealt with."""
        write_durably(path, json.dumps({"next_block": self.next_block, "passed": self.passed}).encode())

    def advance(self, block: int, block_hash: str) -> None:
        self.next_block = block + 1
        self.passed.append((block, block_hash))
        del self.passed[:-_REMEMBERED]


@dataclass(frozen=True, slots=True)
class EventFlows:
    """Event queries of one task, as flows."""

    chain: Chain
    contracts: tuple[Address, ...]

    def logs(self, first: int, last: int, topics: Sequence[Any] = ()) -> Flow[list[Event]]:
        """Typed events of blocks first..last, in order; halves the range when an endpoint finds it too large."""
        answer = (yield from self.chain.batch([self._query(first, last, topics)]))[0]
        if isinstance(answer, Fault):
            if first >= last:
                raise self.chain.error(answer, "eth_getLogs")
            middle = (first + last) // 2
            left = yield from self.logs(first, middle, topics)
            return left + (yield from self.logs(middle + 1, last, topics))
        return self._typed(answer)

    def select(self, kind: type[Event], first: int, *indexed: bytes | None) -> Flow[list[Event]]:
        """Events of one class with given indexed arguments (32-byte words, None for any), from a block to the head."""
        words = [None if word is None else "0x" + word.hex() for word in indexed]
        wanted = ["0x" + topic(kind).hex(), *words]
        head = yield from self.head()
        found: list[Event] = []
        for start in range(first, head + 1, self.chain.options.chunk * 10):
            stop = min(head, start + self.chain.options.chunk * 10 - 1)
            found += yield from self.logs(start, stop, wanted)
        return found

    def head(self) -> Flow[int]:
        return quantity((yield from self.chain.ask("eth_blockNumber")), "eth_blockNumber")

    def step(self, cursor: Cursor, *, to_block: int | None = None) -> Flow[list[Event | Rewound]]:
        """The next chunk of events up to the confirmed head; empty when there is nothing new. Moves the cursor."""
        last = (yield from self.head()) - max(0, self.chain.options.confirmations - 1)
        last = last if to_block is None else min(last, to_block)
        rewound = yield from self._rewind(cursor)
        if rewound is not None:
            return [rewound]
        if last < cursor.next_block:
            return []
        first, last = cursor.next_block, min(last, cursor.next_block + (cursor.width or self.chain.options.chunk) - 1)
        tries = 0
        while tries <= self.chain.options.retries:
            before, found, after = yield from self.chain.batch(
                [_header(last), self._query(first, last, ()), _header(last)]
            )
            if isinstance(found, Fault):
                if first == last:
                    raise self.chain.error(found, "eth_getLogs")
                last = (first + last) // 2
                cursor.width = last - first + 1
                continue
            events = self._typed(found)
            at_last = {event.where.block_hash for event in events if event.where.block == last}
            if _hash(before) is not None and {_hash(before), _hash(after)} | at_last == {_hash(before)}:
                cursor.advance(last, before["hash"])
                if len(events) < _FEW:
                    cursor.width = min(2 * cursor.width, self.chain.options.chunk)
                return list(events)
            tries += 1
            yield Sleep(self.chain.options.poll)
        raise ChainError(f"{self.chain.name}: block {last} keeps changing", hint="raise the number of confirmations")

    def _rewind(self, cursor: Cursor) -> Flow[Rewound | None]:
        """Go back to the last passed block that is still on the chain; None if that is the last one."""
        if not cursor.passed:
            return None
        number, kept = cursor.passed[-1]
        (answer,) = yield from self.chain.batch([_header(number)])
        if isinstance(answer, Fault):
            raise self.chain.error(answer, f"block {number}")
        if _hash(answer) == kept:
            return None
        first = cursor.passed[0][0]
        answers = yield from self.chain.batch([_header(number) for number, _ in cursor.passed])
        while cursor.passed and _hash(answers[len(cursor.passed) - 1]) != cursor.passed[-1][1]:
            cursor.passed.pop()
        back = cursor.passed[-1][0] if cursor.passed else first - self.chain.options.chunk
        cursor.next_block = max(back + 1, 0)
        return Rewound(cursor.next_block - 1)

    def _query(self, first: int, last: int, topics: Sequence[Any]) -> Request:
        wanted: dict[str, Any] = {"address": list(self.contracts), "fromBlock": hex(first), "toBlock": hex(last)}
        return Request("eth_getLogs", ({**wanted, "topics": list(topics)} if topics else wanted,))

    def _typed(self, answer: Any) -> list[Event]:
        if not isinstance(answer, list):
            raise ChainError("the endpoint answered a log query without a list")
        ours = set(self.contracts)
        events = [decode_log(log) for log in answer]
        strangers = [event for event in events if event.where.contract not in ours]
        if strangers:
            raise ChainError(f"the endpoint sent a log of {strangers[0].where.contract}, which was not asked for")
        return sorted(events, key=lambda event: (event.where.block, event.where.log_index))


def _header(number: int) -> Request:
    return Request("eth_getBlockByNumber", (hex(number), False))


def _hash(answer: Any) -> str | None:
    return str(answer["hash"]) if isinstance(answer, dict) and "hash" in answer else None


class EventStream:
    """A task's events, blocking."""

    def __init__(self, flows: EventFlows, wire: Wire, start: int) -> None:
        self.flows = flows
        self._wire = wire
        self._start = start

    def poll(self, cursor: Cursor) -> list[Event | Rewound]:
        """One step: what is new since the cursor, possibly nothing. Save the cursor when it is dealt with."""
        return self._wire.run(self.flows.step(cursor))

    def replay(self, from_block: int | None = None, to_block: int | None = None) -> Iterator[Event]:
        """All events up to the head as it is now (or ``to_block``). ChainError if a reorg comes in between."""
        cursor = Cursor(self._start if from_block is None else from_block)
        last = self._wire.run(self.flows.head()) if to_block is None else to_block
        while cursor.next_block <= last:
            before = cursor.next_block
            yield from steady(self._wire.run(self.flows.step(cursor, to_block=last)))
            if cursor.next_block == before:
                return

    def follow(
        self,
        cursor: Path | None = None,
        *,
        from_block: int | None = None,
        stop: Callable[[], bool] = lambda: False,
        poll: float | None = None,
    ) -> Iterator[Event | Rewound]:
        """Replay, then stay at the head until ``stop()``. The cursor file is saved after each chunk was consumed."""
        start = self._start if from_block is None else from_block
        position = Cursor.load(cursor, from_block=start) if cursor else Cursor(start)
        while not stop():
            before = position.next_block
            yield from self.poll(position)
            if cursor and position.next_block != before:
                position.save(cursor)
            if position.next_block == before:
                self._wire.run(pause(self.flows.chain.options.poll if poll is None else poll))


class AsyncEventStream:
    """A task's events, awaiting; the same methods as EventStream."""

    def __init__(self, flows: EventFlows, wire: AsyncWire, start: int) -> None:
        self.flows = flows
        self._wire = wire
        self._start = start

    async def poll(self, cursor: Cursor) -> list[Event | Rewound]:
        return await self._wire.run(self.flows.step(cursor))

    async def replay(self, from_block: int | None = None, to_block: int | None = None) -> AsyncIterator[Event]:
        cursor = Cursor(self._start if from_block is None else from_block)
        last = await self._wire.run(self.flows.head()) if to_block is None else to_block
        while cursor.next_block <= last:
            before = cursor.next_block
            for event in steady(await self._wire.run(self.flows.step(cursor, to_block=last))):
                yield event
            if cursor.next_block == before:
                return

    async def follow(
        self,
        cursor: Path | None = None,
        *,
        from_block: int | None = None,
        stop: Callable[[], bool] = lambda: False,
        poll: float | None = None,
    ) -> AsyncIterator[Event | Rewound]:
        start = self._start if from_block is None else from_block
        position = Cursor.load(cursor, from_block=start) if cursor else Cursor(start)
        while not stop():
            before = position.next_block
            for event in await self.poll(position):
                yield event
            if cursor and position.next_block != before:
                position.save(cursor)
            if position.next_block == before:
                await self._wire.run(pause(self.flows.chain.options.poll if poll is None else poll))


def pause(seconds: float) -> Flow[None]:
    yield Sleep(seconds)


def steady(found: list[Event | Rewound]) -> list[Event]:
    """The events of a replay; ChainError if the chain was reorganised under it."""
    events = [event for event in found if isinstance(event, Event)]
    if len(events) != len(found):
        raise ChainError("the chain was reorganised during a replay", hint="replay again")
    return events
