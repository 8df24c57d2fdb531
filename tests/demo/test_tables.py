"""What the demo prints is made for a terminal of 80 columns: no table is wider, no cell is wrapped or cut."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from rich.table import Table

from pdfed_sdk.demo.progress import Progress
from pdfed_sdk.demo.summary import print_summary

PARTS = {"fid": 12.34567, "r_c": 0.12345, "novelty": 101.2345, "objective": 12.3456}
SUMMARY: dict[str, Any] = {
    "seconds": 287.4,
    "best": {"id": 12, "level": 41, "fid": 3.21, "genesis_fid": 12.3, "fid_ratio": 0.26},
    "submissions": [
        {
            "id": 12, "name": "copyist", "parents": [{"id": 10}, {"id": 11}], "status": "final", "improvement": -8,
            "level": 31, "votes": dict.fromkeys("abcd", -8), "objective_parts": PARTS,
        },
        {
            "id": 9, "name": "atelier", "parents": [{"id": 3}], "status": "open", "improvement": None,
            "level": None, "votes": {}, "objective_parts": {},
        },
    ],
    "nodes": [
        {
            "name": "copyist", "role": "trainer", "earned": 12_345 * 10**18, "claimed": 12_345 * 10**18,
            "stake": 1_000 * 10**18, "gas": 12_345_678,
            "earned_for": {"votes": 10**20, "rewards": 12_000 * 10**18, "lineage": 245 * 10**18},
            "lost": 1_234 * 10**18, "net": 11_111 * 10**18,
        },
    ],
    "copies": {"id": 12, "outcome": -8, "pairs_found": {"clinic": 16, "studio": 14, "museum": 15}},
    "gas": {"by_act": {verb: {"median": 123_456} for verb in ("reserve", "submit", "commit", "reveal", "settle")}},
    "audit": {"checks": [{"ok": True, "name": "money", "detail": "a sentence " * 12}]},
}  # fmt: skip


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False, legacy_windows=False)


def said(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def test_the_tables_of_the_summary_fit_into_80_columns_and_sentences_are_not_broken():
    console, wide = terminal(), terminal(400)
    print_summary(console, SUMMARY, Path("runs/demo"))
    print_summary(wide, SUMMARY, Path("runs/demo"))
    assert [line.rstrip() for line in said(console)] == [line.rstrip() for line in said(wide)], "nothing is wrapped"
    tables = said(console)[: said(console).index(next(line for line in said(console) if line.startswith("best")))]
    assert max(map(len, tables)) <= 80
    assert "a sentence " * 11 in console.file.getvalue()  # type: ignore[attr-defined]


def test_what_a_node_did_last_is_cut_to_the_width_of_the_terminal(tmp_path: Path):
    log = tmp_path / "atelier.log"
    log.write_text("12:00:00 INFO    " + "a long sentence about what it did " * 4 + "\n")
    console = terminal()
    progress = Progress(console, SimpleNamespace(), {}, {"atelier": log}, 0.0)  # type: ignore[arg-type]
    table: Table = progress.nodes()
    console.print(table)
    lines = said(console)
    assert max(map(len, lines)) <= 80
    assert sum("sentence" in line for line in lines) == 1, "one line a node"
