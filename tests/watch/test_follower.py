"""The watcher shows what the audit rebuilds, once, whatever happens to it or to the chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.watch import build
from pdfed_sdk.audit import audit
from pdfed_sdk.audit.explain import explain
from pdfed_sdk.audit.reducer import Reducer
from pdfed_sdk.audit.state import TaskState
from pdfed_sdk.buckets import LOWEST
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.types import Status
from pdfed_sdk.watch.chronicle import Line
from pdfed_sdk.watch.views import standing
from pdfed_sdk.watch.watcher import Watcher
from tests.support.federation import UNIT, Federation
from tests.support.fuzzing import good_history

Open = Callable[[], Watcher]


def replayed(client: PdfedClient) -> TaskState:
    reducer = Reducer(client.params(), client.genesis())
    for event in client.events.replay():
        reducer.apply(event)
    return reducer.state


def all_lines(watcher: Watcher) -> list[Line]:
    return watcher.follower.chronicle._select("ORDER BY seq")


def test_a_stored_cursor_continues_where_the_last_watcher_stood(watch: Open, history: Federation) -> None:
    first = watch()
    first.follower.catch_up()
    assert first.follower.reducer.state == replayed(history.reader())
    lines = all_lines(first)
    history.client(4).deposit(UNIT)  # and the first watcher dies without a word
    first.follower.step()

    again = watch()
    assert again.follower.head == first.follower.head - 1, "the last checkpoint stands before the deposit"
    assert again.follower.reducer.state != first.follower.reducer.state
    again.follower.catch_up()
    assert again.follower.reducer.state == first.follower.reducer.state == replayed(history.reader())
    assert again.follower.flows == first.follower.flows
    assert all_lines(again)[: len(lines)] == lines
    assert [line.event for line in all_lines(again)[len(lines) :]] == ["Deposited"], "once, not twice"


def test_a_reorganisation_takes_lines_and_money_back(watch: Open, history: Federation) -> None:
    watcher = watch()
    watcher.follower.catch_up()
    before, lines = replayed(history.reader()), all_lines(watcher)
    snapshot = history.anvil.ask("evm_snapshot")
    history.client(4).deposit(UNIT)
    watcher.follower.step()
    assert watcher.follower.reducer.state != before
    history.anvil.ask("evm_revert", snapshot)
    history.anvil.mine(5)  # another branch, longer, without the deposit

    change = watcher.follower.step()
    assert change is not None
    assert change.rewound
    watcher.follower.catch_up()
    assert watcher.follower.reducer.state == before == replayed(history.reader())
    assert all_lines(watcher) == lines


def test_a_reorganisation_below_every_checkpoint_replays_the_task(watch: Open, history: Federation) -> None:
    snapshot = history.anvil.ask("evm_snapshot")
    before = replayed(history.reader())
    history.client(4).deposit(UNIT)
    watcher = watch()
    watcher.follower.catch_up()
    history.anvil.ask("evm_revert", snapshot)
    history.anvil.mine(5)
    watcher.follower.catch_up()
    assert watcher.follower.reducer.state == before


def test_a_file_of_another_task_is_started_anew(watch: Open) -> None:
    watcher = watch()
    watcher.follower.catch_up()
    chronicle = watcher.follower.chronicle
    chronicle._db.execute("UPDATE meta SET value = 'another task' WHERE name = 'identity'")
    chronicle._db.commit()
    chronicle.close()
    assert watch().follower.head < watcher.follower.head


def test_reasons_are_those_of_the_audit(watch: Open, history: Federation) -> None:
    watcher = watch()
    watcher.follower.catch_up()
    told = {(line.subject, line.amount, line.told) for line in explain(history.reader(), 1)}
    shown = {(line["subject"], None if line["amount"] is None else int(line["amount"]), line["told"])
             for number in range(1, 6) for line in watcher.submission(number)["lines"]}  # fmt: skip
    assert told <= shown
    assert len(told) > 20


def test_sums_of_the_flows_are_those_of_the_ledgers(watch: Open, history: Federation) -> None:
    """What was credited less what was claimed is every account's credit; nothing is counted twice or forgotten."""
    watcher = watch()
    watcher.follower.catch_up()
    nodes = watcher.money()["nodes"]
    assert len(nodes) == 5
    for node in nodes:
        assert int(node["earned"]) - int(node["claimed"]) == int(node["credit"]), node["address"]
    assert sum(int(node["earned"]) for node in nodes) > 30 * UNIT
    assert audit(history.reader()).ok


def test_counts_are_those_of_a_whole_count_at_every_step(tmp_path: Path) -> None:
    """What is counted once and for good is never counted again or forgotten, also after going back to a checkpoint."""
    watcher, client = build(tmp_path, 12, 7)
    client.waiting = [lambda block=block: block for block in good_history()]
    while watcher.follower.step() is not None and client.waiting:
        view, models = watcher.federation(), watcher.follower.reducer.state.models
        whole = Counter(standing(model) for number, model in models.items() if number)
        assert Counter({name: count for name, count in view["counts"].items() if name != "nodes" and count}) == whole
        for node in view["nodes"]:
            assert node["submissions"] == sum(m.author == node["address"] for n, m in models.items() if n)
            assert node["votes"] == sum(node["address"] in model.votes for model in models.values())
        if len(client.waiting) == 9:
            watcher.follower.save()
            watcher.follower._restore(None)
    assert len(models) == 13


def test_a_model_that_voters_put_into_the_lowest_class_is_voted_down(tmp_path: Path) -> None:
    watcher, _ = build(tmp_path, 12, 7)
    watcher.follower.catch_up()
    state = watcher.follower.reducer.state
    doubted, down = [n for n, m in state.models.items() if n and not m.gain and m.status is Status.FINAL][:2]
    for number, outcome in ((doubted, 3), (down, LOWEST)):
        model = state.models[number]
        model.outcome = outcome
        for place, vote in enumerate(model.votes.values()):
            vote.improvement = LOWEST if place == 0 else outcome
    view = watcher.federation()
    votes = list(state.models[doubted].votes.values())
    shares = {at: share for at, _, share in view["doubts"]}
    assert shares[doubted] == votes[0].weight / sum(vote.weight for vote in votes) < 1
    assert shares[down] == 1
    assert view["counts"]["voted_down"] == sum(m.outcome == LOWEST for n, m in state.models.items() if n)
    rows = {row["id"]: (row["status"], row["level"]) for row in view["latest"]}
    assert rows[down] == ("voted_down", None)
    assert rows[doubted] == ("final", state.models[doubted].level)
    others = [point[0] for point in view["levels"]["others"]]
    assert doubted in others
    assert down not in others
