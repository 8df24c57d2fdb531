"""Replay and follow: chunks, confirmations, reorgs, durable cursors, endpoints that limit or lie."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdfed_sdk.chain.client import AsyncPdfedClient, PdfedClient
from pdfed_sdk.chain.event_types import Event, MetadataChanged, NodeRegistered, Reserved, event_to_dict
from pdfed_sdk.chain.replay import Cursor, Rewound
from pdfed_sdk.chain.rpc import Fault
from pdfed_sdk.errors import ChainError
from tests.support.federation import FAST, Federation, digests, word


def applied(news: list[Event | Rewound], kept: list[Event]) -> list[Event]:
    for item in news:
        if isinstance(item, Rewound):
            kept = [event for event in kept if event.where.block <= item.block]
        else:
            kept = [*kept, item]
    return kept


def intercept(client: PdfedClient, change: Callable[[Any, Any], Any]) -> None:
    """Let ``change(request, answer)`` rewrite what the endpoint says."""
    genuine = client.wire._carry

    def carry(batch: Any) -> list[Any]:
        return [change(request, answer) for request, answer in zip(batch.requests, genuine(batch), strict=True)]

    client.wire._carry = carry  # type: ignore[method-assign]


def test_replay_is_the_same_in_any_chunks(federation: Federation) -> None:
    federation.open_submission(federation.client(1), 30)
    whole = list(federation.reader().events.replay())
    assert [type(event) for event in whole].count(NodeRegistered) == 5
    assert whole == sorted(whole, key=lambda event: (event.where.block, event.where.log_index))
    for chunk in (1, 3, 1000):
        assert list(federation.reader(chunk=chunk).events.replay()) == whole
    middle = whole[len(whole) // 2].where.block
    stream = federation.reader().events
    assert list(stream.replay(to_block=middle)) + list(stream.replay(from_block=middle + 1)) == whole
    assert list(stream.replay(from_block=10**6)) == []


def test_an_endpoint_that_limits_ranges_is_asked_for_less(federation: Federation) -> None:
    whole = list(federation.reader().events.replay())
    client = federation.reader()

    def limited(request: Any, answer: Any) -> Any:
        if request.method == "eth_getLogs":
            asked = request.params[0]
            if int(asked["toBlock"], 16) - int(asked["fromBlock"], 16) > 2:
                return Fault(-32005, "query returned more than 10000 results")
        return answer

    intercept(client, limited)
    assert list(client.events.replay()) == whole
    intercept(client, lambda request, answer: Fault(-32005, "no") if request.method == "eth_getLogs" else answer)
    with pytest.raises(ChainError, match="eth_getLogs was refused"):
        list(client.events.replay())


def test_follow_stays_at_the_head_and_its_cursor_survives(federation: Federation, tmp_path: Path) -> None:
    path, actor, reader = tmp_path / "cursor.json", federation.client(2), federation.reader()
    seen: list[Event] = []

    def follow_until(count: int) -> None:
        seen.clear()
        for item in reader.events.follow(path, poll=0.01):
            assert isinstance(item, Event)
            seen.append(item)
            if len(seen) == count:
                break

    before = len(list(reader.events.replay()))
    turns = iter([False] * 3 + [True])
    assert len(list(reader.events.follow(path, stop=lambda: next(turns), poll=0.01))) == before
    actor.set_metadata(b"\x01" * 32)
    actor.set_metadata(b"\x02" * 32)
    follow_until(1)
    follow_until(2)  # the first chunk was left in the middle: it is handed out again, nothing is lost
    assert [event.metadata_digest[0] for event in seen if isinstance(event, MetadataChanged)] == [1, 2]


def test_a_reorg_is_rewound(federation: Federation) -> None:
    actor, reader = federation.client(2), federation.reader()
    cursor, kept = Cursor(), applied([], [])
    while news := reader.events.poll(cursor):
        kept = applied(news, kept)
    start = list(kept)
    federation.anvil.mine(3)
    reader.events.poll(cursor)

    snapshot = federation.anvil.ask("evm_snapshot")
    actor.set_metadata(b"\x01" * 32)
    kept = applied(reader.events.poll(cursor), kept)
    assert len(kept) == len(start) + 1
    federation.anvil.ask("evm_revert", snapshot)
    actor.set_metadata(b"\x02" * 32)
    federation.anvil.mine(2)

    news = reader.events.poll(cursor)
    assert isinstance(news[0], Rewound)
    kept = applied(news, kept)
    while news := reader.events.poll(cursor):
        kept = applied(news, kept)
    assert kept == list(reader.events.replay())
    assert kept[-1].metadata_digest == b"\x02" * 32  # type: ignore[attr-defined]


def test_a_reorg_to_a_shorter_chain_and_beyond_memory(federation: Federation) -> None:
    actor, reader = federation.client(2), federation.reader()
    cursor = Cursor()
    snapshot = federation.anvil.ask("evm_snapshot")
    actor.set_metadata(b"\x01" * 32)
    actor.set_metadata(b"\x02" * 32)
    kept = applied(reader.events.poll(cursor), [])
    assert len(cursor.passed) == 1  # one chunk: nothing older is remembered
    federation.anvil.ask("evm_revert", snapshot)
    kept = applied(reader.events.poll(cursor), kept)
    kept = applied(reader.events.poll(cursor), kept)
    assert kept == list(reader.events.replay())


def test_anvil_reorg(federation: Federation) -> None:
    actor, reader = federation.client(2), federation.reader()
    cursor, kept = Cursor(), applied([], [])
    for byte in (1, 2, 3):
        actor.set_metadata(bytes([byte]) * 32)
        kept = applied(reader.events.poll(cursor), kept)
    federation.anvil.ask("anvil_reorg", 2, [])
    for _ in range(3):
        kept = applied(reader.events.poll(cursor), kept)
    assert kept == list(reader.events.replay())
    assert kept[-1].metadata_digest == b"\x01" * 32  # type: ignore[attr-defined]


def test_confirmations_hold_events_back(federation: Federation) -> None:
    actor, reader = federation.client(2), federation.reader(confirmations=3)
    cursor = Cursor()
    while reader.events.poll(cursor):
        pass
    actor.set_metadata(b"\x01" * 32)
    federation.anvil.mine()
    assert not any(isinstance(item, MetadataChanged) for item in reader.events.poll(cursor))
    federation.anvil.mine()
    found: list[Event | Rewound] = []
    for _ in range(3):
        found += reader.events.poll(cursor)
    assert any(isinstance(item, MetadataChanged) for item in found)


def test_a_block_that_changes_between_two_questions_is_asked_again(federation: Federation) -> None:
    client = federation.reader()
    lies = [2]

    def wobble(request: Any, answer: Any) -> Any:
        if request.method == "eth_getBlockByNumber" and lies[0]:
            lies[0] -= 1
            return {**answer, "hash": f"0x{lies[0]:064x}"}
        return answer

    intercept(client, wobble)
    assert list(client.events.replay()) == list(federation.reader().events.replay())


def test_logs_of_strangers_and_unknown_topics_fail_loudly(federation: Federation) -> None:
    def client(change: dict[str, Any]) -> PdfedClient:
        made = federation.reader()
        intercept(
            made,
            lambda request, answer: (
                [{**log, **change} for log in answer] if request.method == "eth_getLogs" else answer
            ),
        )
        return made

    with pytest.raises(ChainError, match="unknown event with topic 0x0101"):
        list(client({"topics": ["0x" + "01" * 32]}).events.replay())
    with pytest.raises(ChainError, match="which was not asked for"):
        list(client({"address": federation.signers[0].address}).events.replay())
    for broken in ({"data": "0x01"}, {"data": 5}, {"topics": None}, {"blockNumber": "x"}, {"topics": []}):
        with pytest.raises(ChainError):
            list(client(broken).events.replay())


def test_a_damaged_cursor_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "cursor.json"
    assert Cursor.load(path, from_block=7).next_block == 7
    cursor = Cursor(5, [(4, "0xaa")])
    cursor.save(path)
    assert Cursor.load(path) == cursor
    for content in ("", "{}", "[]", '{"next_block": 1, "passed": [[1]]}'):
        path.write_text(content)
        with pytest.raises(ChainError, match="cannot be read") as caught:
            Cursor.load(path)
        assert "delete it" in caught.value.hint


def test_async_follow(federation: Federation, tmp_path: Path) -> None:
    federation.client(2).set_metadata(b"\x01" * 32)

    async def journey() -> list[Event | Rewound]:
        client = await AsyncPdfedClient.connect(
            federation.anvil.url, task=federation.entry.registry, options=replace(FAST, chunk=5)
        )
        found = []
        async for item in client.events.follow(tmp_path / "cursor", poll=0.01):
            found.append(item)
            if isinstance(item, MetadataChanged):
                break
        await client.close_connection()
        return found

    assert asyncio.run(journey()) == list(federation.reader().events.replay())


def test_events_as_json(federation: Federation) -> None:
    author = federation.client(1)
    made = digests(31)
    event = author.reserve(made.package_digest, word(31, 9)).one(Reserved)
    shown = event_to_dict(event)
    assert shown["event"] == "Reserved"
    assert shown["author"] == author.address
    assert shown["reservation"] == "0x" + event.reservation.hex()
    assert shown["where"]["block"] == event.where.block
    assert event.where.timestamp == author.submission(event.id).terms.reserved_at


def test_logs_that_are_too_many_for_one_reply_are_asked_for_in_smaller_ranges(federation: Federation) -> None:
    federation.open_submission(federation.client(1), 31)
    whole = list(federation.reader().events.replay())
    client = federation.reader(max_reply=9_000, check_code=False)
    whole_reply = federation.anvil.ask(
        "eth_getLogs", {"address": list(client.flows.at.log.contracts), "fromBlock": "0x0"}
    )
    assert len(json.dumps(whole_reply)) > 9_000
    assert list(client.events.replay()) == whole
    selected = [event for event in whole if isinstance(event, NodeRegistered)]
    assert client.wire.run(client.flows.at.log.select(NodeRegistered, 0)) == selected
    with pytest.raises(ChainError, match="larger than 3500 bytes"):
        list(federation.reader(max_reply=3_500, check_code=False).events.replay(from_block=whole[-1].where.block))
