"""docs/protocol.md is the page that the code cites: every rule and every invariant it names is there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.anvil import ROOT

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
CODE = ("contracts", "interfaces", "pdfed_sdk", "scripts", "benchmarks", "tests")
NUMBER = r"\d+(?: \([^)]*\))?"
CITATION = re.compile(rf"\brules? ({NUMBER}(?:(?:, | and |, and ){NUMBER})*)", re.IGNORECASE)


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def rules() -> list[int]:
    return [int(number) for number in re.findall(r"^(\d+)\. ", section("Rules"), flags=re.MULTILINE)]


def citations(text: str) -> set[int]:
    found = (re.sub(r"\([^)]*\)", "", match[1]) for match in CITATION.finditer(text))
    return {int(number) for numbers in found for number in re.findall(r"\d+", numbers)}


def cited() -> dict[int, list[Path]]:
    """Rule number -> files that cite it."""
    found: dict[int, list[Path]] = {}
    files = [path for folder in CODE for ending in ("*.sol", "*.py") for path in (ROOT / folder).rglob(ending)]
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for path in (*files, *pages):
        for number in citations(path.read_text(encoding="utf-8")):
            found.setdefault(number, []).append(path.relative_to(ROOT))
    return found


def test_a_citation_is_read_in_all_its_forms():
    assert citations("protocol rules 6 (outcome), 8 (level), 10 (lineage) and 11, and Rule 3.") == {3, 6, 8, 10, 11}


def test_every_rule_that_is_cited_exists():
    numbers = cited()
    assert len(numbers) >= 8, "the citations were not found"
    assert {n: files for n, files in numbers.items() if n not in rules()} == {}


def test_the_rules_are_numbered_without_a_gap():
    assert rules() == list(range(1, len(rules()) + 1))


def test_the_invariants_are_those_that_the_state_machines_check():
    stated = re.findall(r"^\| `(\w+)` \|", section("Invariants"), flags=re.MULTILINE)
    checked = {
        name
        for path in (ROOT / "tests" / "contracts" / "stateful").glob("*.py")
        for name in re.findall(r"def invariant_(\w+)", path.read_text(encoding="utf-8"))
    }
    assert len(stated) == len(set(stated))
    assert set(stated) == checked
