"""The planted bugs: each can be planted in the sources as they are, and a run's verdict is what its layers noticed."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.forge import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "quality"))
import planted
import planted_report
from corpus import CLASSES, Bug, StaleBug, load, shuffled
from planted_report import Noticed

LEAST = 80
BUG = load()[0]


def noticed(bug: Bug, **layers: Any) -> Noticed:
    found = Noticed(bug.key, bug.name, bug.kind, bug.says, unit="", machines=[], invariants=[], seconds=1, tests="t")
    return replace(found, **layers)


def test_each_bug_has_one_place_in_the_sources() -> None:
    bugs = load()
    changed = [bug.plant() for bug in bugs]  # raises for a stale one
    assert all(text != (ROOT / bug.file).read_text() for text, bug in zip(changed, bugs, strict=True))


def test_the_corpus_is_large_and_of_all_classes() -> None:
    bugs = load()
    assert len(bugs) >= LEAST
    assert min(Counter(bug.kind for bug in bugs)[kind] for kind in CLASSES) >= 5
    assert len({bug.name for bug in bugs}) == len({bug.key for bug in bugs}) == len(bugs)
    assert all(bug.says for bug in bugs)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"find": "no such line"}, "contracts/.* has 'no such line' 0 times"),
        ({"find": "return"}, r"has 'return' \d+ times, not once"),
        ({"file": "contracts/Gone.sol"}, "contracts/Gone.sol does not exist"),
    ],
)
def test_a_stale_bug_is_named(change: dict[str, str], told: str) -> None:
    with pytest.raises(StaleBug, match=f"{BUG.name}.*{BUG.kind}.toml.*{told}"):
        replace(BUG, **change).plant()


def test_luck_does_not_count() -> None:
    assert noticed(BUG, unit="test_x").by == "unit"
    assert noticed(BUG, machines=["A", "B", "A"]).by == "machine"
    assert noticed(BUG, machines=["A", ""], invariants=["i", "i", "i"]).by == "invariants"
    assert noticed(BUG, machines=["A", "A", ""], invariants=["i", ""]).by == "none"


@pytest.mark.parametrize(("missed", "layers", "status"), [
    (2, {"machines": ["A"] * 3}, 0),
    (3, {"machines": ["A"] * 3}, 1),  # the unit layer is below its goal
    (1, {"machines": ["A", ""], "invariants": [""]}, 1),  # nothing notices
])  # fmt: skip
def test_the_verdict_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missed: int, layers: dict[str, Any], status: int
) -> None:
    monkeypatch.setattr(planted_report, "REPORT", tmp_path / "planted")
    bugs = load()[:80]
    found = [noticed(b, **({"unit": "test_x"} if i >= missed else layers)) for i, b in enumerate(bugs)]
    assert planted_report.conclude(found, len(bugs) + 1, "cafe") == status
    page = (tmp_path / "planted.md").read_text()
    assert "`cafe`" in page
    assert f"{len(bugs)} of {len(bugs) + 1} bugs" in page
    assert all(bug.says in page for bug in bugs)


def test_a_run_goes_on_where_it_was_and_tries_again_what_was_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bugs, results, tried = shuffled(load(), 1)[:4], tmp_path / "results.jsonl", []
    tests = planted.digest_of("tests/contracts")

    class Laboratory:
        """Stands in for the compiler and the layers, which take seconds a bug: what is tried is what is tested."""

        def __init__(self, compiler: object, due: list[Bug]) -> None:
            pass

        def close(self) -> None:
            pass

        def examine(self, bug: Bug, *, quick: bool) -> Noticed | None:
            if quick and bug is not bugs[0]:
                return None
            tried.append(bug.name)
            unit = "" if bug is bugs[1] else "test_x"
            return noticed(bug, unit=unit, machines=["A"] * 3, tests=tests if bug is not bugs[1] else "older tests")

    monkeypatch.setattr(planted, "Laboratory", Laboratory)
    assert len(planted.run(bugs, results, minutes=-1)) == 0
    planted.run(bugs[:2], results, minutes=1)
    assert tried == [bugs[0].name, bugs[1].name]
    found = planted.run(bugs, results, minutes=1)
    assert tried[2:] == [b.name for b in bugs[1:]]  # missed by the unit layer when the tests were others; and the rest
    assert set(found) == {b.key for b in bugs}
