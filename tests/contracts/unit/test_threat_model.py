"""The threat model names real tests: every row of its tables, every test in it."""

import ast
import re
from functools import cache
from pathlib import Path

from support.chain import ROOT

UNIT = ROOT / "tests" / "contracts" / "unit"
PAGE = (ROOT / "docs" / "audit" / "threat-model.md").read_text()
ATTACKS = PAGE.split("## Attacks")[1].split("## ")[0]
NAMED = re.compile(r"`(?:([\w/]+\.py)::)?(test_\w+)`")

PROTOCOL = (
    "veto, then the same bytes", "lightly trained on", "permuted and hidden", "press to +3", "1-bp parents",
    "socks beside", "shares drawn twice through siblings", "half of the weight as a veto", "copies of an open winner",
    "flash stake under the cap", "closes on its own best", "front-running a reservation", "votes once in a while",
    "building +1 on another's +1", "junk flood", "swapped by a reorg", "idle stake that voids", "without a call",
    "minimal minStake", "majority against its stake",
    "copied commitment", "front-run commitment", "replay across task, chain, fork", "second commitment",
    "window boundaries", "withheld reveal", "64 or 200 sybils", "flash stake", "unstake before silence",
    "deposit for another", "absurd vote", "constant, stale, random, junk-only, always-yes", "probe model",
    "plagiarism", "squatting", "noise ratchet", "checkpoint splitting", "sock-puppet", "royalty skimming",
    "late publication", "lost best", "parameters changed mid-window", "strangers", "last withdrawer", "lineage",
    "one bad account", "re-entrant", "fresh accounts", "one or two voters", "refund races", "guardian abuse",
    "malleable, expired, ERC-1271", "reorg around commitEnd", "gas-griefing hook", "non-finite or huge score",
)  # fmt: skip


@cache
def functions_in(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def rows(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def test_every_attack_names_a_test_that_exists() -> None:
    attacks = rows(ATTACKS)
    assert len(attacks) >= len(PROTOCOL)
    for attack, answer, tests in attacks:
        assert answer, attack
        found = NAMED.findall(tests)
        assert found, f"{attack}: no test"
        for file, name in found:
            if not file:
                assert name in performed(), f"{attack}: no test_attacks_*.py has {name}"
                continue
            path = ROOT / file if file.startswith("tests/") else UNIT / file
            assert name in functions_in(path), f"{attack}: {path.name} has no {name}"


def test_every_attack_of_the_protocol_has_its_row() -> None:
    named = " | ".join(attack for attack, _, _ in rows(ATTACKS))
    assert not [attack for attack in PROTOCOL if attack not in named]


def test_every_attack_performed_stands_in_the_table() -> None:
    told = {name for _, name in NAMED.findall(ATTACKS)}
    assert not performed() - told


def performed() -> set[str]:
    return {n for path in UNIT.glob("test_attacks_*.py") for n in functions_in(path) if n.startswith("test_")}


def test_known_issues_are_numbered_from_one() -> None:
    numbers = [int(n) for n in re.findall(r"^(\d+)\. ", PAGE.split("## Known issues")[1], re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
