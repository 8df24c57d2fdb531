"""`make mutation`: how many small wrong changes of the money and vote code do the tests notice?

A seeded sample of mutants (`mutants.py`) of the four contracts of a task and their libraries, each file by its share.
What does not compile, and what compiles to the same code, does not count. The rest is tried against the forge suites
and then the unit tests that call the mutated function (`killers.py`). Fails if fewer than 95 % are killed, or if a
survivor has no reason in `survivors.toml`.

Results are kept by the contracts' and tests' content in build/quality/mutation/, so an interrupted run goes on;
`--minutes` interrupts one by itself. `--sample N`, `--all`, `--seed N`; only the default sample and `--all` write
docs/audit/mutation.*.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from compiler import ROOT, Compiler, creation_codes, source_of
from killers import MATHS, Forge, Python
from mutants import Mutant, shares, shuffled
from report import Result, conclude
from syntax import Source, parse

WORK = ROOT / "build" / "quality" / "mutation"
SAMPLE, SEED = 400, 2026
PARTS = ["StakeVault", "ModelRegistry", "ScoreBook", "RewardPool"]
# What is compiled for a mutant of each file, and whether forge's tests of the maths hold the library too.
HOLDERS: dict[str, tuple[list[str], bool]] = {
    **{source_of(part): ([part], False) for part in PARTS},
    "contracts/libraries/Histogram.sol": (["ScoreBook"], True),
    "contracts/libraries/Models.sol": (["ModelRegistry"], True),
    "contracts/libraries/Power.sol": (["RewardPool"], True),
    "contracts/libraries/Sealed.sol": (["ScoreBook"], False),
    "contracts/libraries/TaskAssembler.sol": (["TaskFactory"], False),
    "contracts/libraries/TaskConfig.sol": (["TaskFactory"], False),
    "contracts/libraries/TaskPart.sol": (PARTS, False),
    "contracts/libraries/VoterPay.sol": (["ScoreBook"], True),
}


class Laboratory:
    """The compiler, what the contracts compile to, and the killers (started when first needed)."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.forge = Forge(WORK)
        self._python: Python | None = None
        self._codes = {file: self._compile(file, {}) for file in HOLDERS}

    def _compile(self, file: str, replace: dict[str, str]) -> dict[str, str] | None:
        contracts, maths = HOLDERS[file]
        wanted = {source_of(name): {name: ["evm.bytecode.object"]} for name in contracts}
        wanted |= {MATHS: {"MathsTest": ["evm.bytecode.object"]}} if maths else {}
        answer = self.compiler(list(wanted), wanted, replace=replace)
        return None if answer["errors"] else creation_codes(answer)

    @property
    def python(self) -> Python:
        if self._python is None:
            self._python = Python(WORK, functions_by_test())
        return self._python

    def examine(self, mutant: Mutant, source: Source) -> Result:
        start = time.monotonic()
        codes = self._compile(mutant.file, {mutant.file: mutant.apply(source.text)})
        if codes is None:
            return self._result(mutant, source, "does not compile", start)
        if codes == self._codes[mutant.file]:
            return self._result(mutant, source, "same code", start)
        contracts = {name: code for name, code in codes.items() if name != "MathsTest"}
        for stage in ("forge unit", "forge maths", "unit tests"):
            killer = self._kill(stage, mutant, contracts, codes)
            if killer:
                return self._result(mutant, source, stage, start, killer)
        return self._result(mutant, source, "survived", start)

    def _kill(self, stage: str, mutant: Mutant, contracts: dict[str, str], codes: dict[str, str]) -> str | None:
        if stage == "forge unit":
            return self.forge.kill("unit", contracts)
        if stage == "forge maths":
            return self.forge.kill("maths", codes) if "MathsTest" in codes else None
        return self.python.kill(mutant.function, contracts)

    def _result(self, mutant: Mutant, source: Source, end: str, start: float, killer: str = "") -> Result:
        before, after = mutant.diff(source.text)
        seconds = round(time.monotonic() - start, 2)
        return Result(
            name=mutant.name, file=mutant.file, function=mutant.function, operator=mutant.operator, line=mutant.line,
            before=before.strip(), after=after.strip(), end=end, killer=killer, seconds=seconds,
        )  # fmt: skip


def functions_by_test() -> dict[str, set[str]]:
    """Which functions each unit test calls, as the last `make coverage-contracts` saw it; empty without one."""
    folder = ROOT / "build" / "quality" / "coverage"
    if not (folder / "touched.json").exists():
        return {}
    points = json.loads((folder / "points.json").read_text())
    touched = json.loads((folder / "touched.json").read_text())
    return {test: {points[n // 2]["function"] for n in numbers} for test, numbers in touched.items()}


def state() -> str:
    """A digest of all that a result depends on: contracts, tests, operators."""
    digest = hashlib.sha256()
    folders = ["contracts", "interfaces", "tests/contracts", "scripts/quality"]
    for path in sorted(p for folder in folders for p in (ROOT / folder).rglob("*")):
        if path.suffix in (".sol", ".py", ".js") and path.name not in ("report.py", "coverage.py"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def kept(file: Path) -> dict[str, Result]:
    lines = file.read_text().splitlines() if file.exists() else []
    return {result.name: result for result in (Result(**json.loads(line)) for line in lines)}


def run(sources: list[Source], options: Any, results: Path) -> list[Result] | None:
    """Results of the sample; None if the time was up before."""
    known = kept(results)
    end = time.monotonic() + 60 * options.minutes
    orders = {s.file: shuffled(s, options.seed) for s in sources if s.file in HOLDERS}
    wanted = {f: len(o) for f, o in orders.items()} if options.all else shares(orders, options.sample)
    chosen: list[Result] = []
    with Compiler() as compiler, results.open("a", buffering=1) as out:
        laboratory: Laboratory | None = None
        for source in (s for s in sources if s.file in orders):
            counted = 0
            for mutant in orders[source.file]:
                if counted == wanted[source.file]:
                    break
                if mutant.name not in known:
                    if time.monotonic() > end:
                        return None
                    laboratory = laboratory or Laboratory(compiler)
                    known[mutant.name] = laboratory.examine(mutant, source)
                    out.write(json.dumps(vars(known[mutant.name])) + "\n")
                    print(known[mutant.name].line_of_log(), flush=True)
                chosen.append(known[mutant.name])
                counted += chosen[-1].counts
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(description="mutation testing of the contracts")
    parser.add_argument("--sample", type=int, default=SAMPLE)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--minutes", type=float, default=1e9)
    options = parser.parse_args()
    os.chdir(ROOT)
    WORK.mkdir(parents=True, exist_ok=True)
    with Compiler() as compiler:
        sources = parse(compiler)
    chosen = run(sources, options, WORK / f"{state()}.jsonl")
    if chosen is None:
        print("the time is up; run it again to go on")
        return 2
    written = options.all or (options.sample, options.seed) == (SAMPLE, SEED)
    return conclude(chosen, options.seed, write=written)


if __name__ == "__main__":
    sys.exit(main())
