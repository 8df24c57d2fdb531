"""`make mutation`: how many small wrong changes of the money and vote code do the tests notice?

A seeded sample of mutants (`mutants.py`) of the four contracts of a task and their libraries, each file by its share.
What does not compile, and what compiles to the same code, does not count. The rest is tried against the forge suites
and then the unit tests that call the mutated function (`killers.py`). Fails if fewer than 95 % are killed, or if a
survivor has no reason in `survivors.toml`.

Results are kept in build/quality/mutation/ until the contracts change, so an interrupted run goes on (`--minutes`
interrupts one by itself); when only tests change, survivors without a reason are tried again. `--sample N`, `--all`,
`--seed N`; only the default sample and `--all` write docs/audit/mutation.*.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from compiler import ROOT, Compiler, creation_codes, digest_of, source_of
from killers import MATHS, Forge, Python
from mutants import Mutant, shares, shuffled
from report import OPEN, STAGES, Result, conclude, reasons
from syntax import Source, parse

WORK = ROOT / "build" / "quality" / "mutation"
SAMPLE, SEED = 320, 2026
PARTS = ["StakeVault", "ModelRegistry", "ScoreBook", "RewardPool"]
QUICK, SLOW = STAGES[:2], STAGES[2:-2]
LEFT_OUT = ("contracts/TaskFactory.sol", "contracts/TaskLens.sol")  # no money, no votes
# What is compiled for a mutant of each file, and which of forge's tests of the maths holds the library too.
HOLDERS: dict[str, tuple[list[str], str]] = {
    **{source_of(part): ([part], "") for part in PARTS},
    "contracts/libraries/Contribution.sol": (["RewardPool"], ""),
    "contracts/libraries/Grains.sol": (["ModelRegistry"], ""),
    "contracts/libraries/Histogram.sol": (["ScoreBook"], "MathsTest"),
    "contracts/libraries/History.sol": (["StakeVault"], "HistoryTest"),
    "contracts/libraries/Models.sol": (["ModelRegistry"], "MathsTest"),
    "contracts/libraries/Power.sol": (["RewardPool"], "MathsTest"),
    "contracts/libraries/Quorum.sol": (["ScoreBook"], "MathsTest"),
    "contracts/libraries/Sealed.sol": (["ScoreBook"], ""),
    "contracts/libraries/Stakes.sol": (["StakeVault", "ScoreBook", "TaskFactory"], ""),
    "contracts/libraries/TaskAssembler.sol": (["TaskFactory"], ""),
    "contracts/libraries/TaskConfig.sol": (["TaskFactory"], ""),
    "contracts/libraries/TaskPart.sol": (PARTS, ""),
    "contracts/libraries/VoterPay.sol": (["ScoreBook"], "MathsTest"),
}


class Laboratory:
    """The compiler, what the contracts compile to, and the killers (started when first needed)."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tests = digest_of("tests/contracts")
        self.forge = Forge(WORK)
        self._python: Python | None = None
        self._right: dict[tuple[str, bool], dict[str, str] | None] = {}

    def _compile(self, file: str, changed: dict[str, str], optimizer: bool) -> dict[str, str] | None:
        contracts, maths = HOLDERS[file]
        wanted = {source_of(name): {name: ["evm.bytecode.object"]} for name in contracts}
        wanted |= {MATHS[maths]: {maths: ["evm.bytecode.object"]}} if maths else {}
        answer = self.compiler(list(wanted), wanted, optimizer=optimizer, replace=changed)
        return None if answer["errors"] else creation_codes(answer)

    def _unchanged(self, file: str, codes: dict[str, str], optimizer: bool) -> bool:
        """Whether the right sources compile to these codes. They must pass forge's unit tests in either way."""
        key = file, optimizer
        if key not in self._right:
            self._right[key] = right = self._compile(file, {}, optimizer)
            assert right is not None
            contracts = {name: code for name, code in right.items() if name not in MATHS}
            if not optimizer and (killer := self.forge.kill("unit", contracts)):
                raise RuntimeError(f"{killer} fails on {file} without a mutant when it is not optimised")
        return codes == self._right[key]

    @property
    def python(self) -> Python:
        if self._python is None:
            self._python = Python(WORK, functions_by_test())
        return self._python

    def examine(self, mutant: Mutant, source: Source, stages: tuple[str, ...], otherwise: str) -> Result:
        """Try these stages; `otherwise` is the end of a mutant that outlives them.

        The quick ones are run on code that was not optimised: optimising takes longer than they do.
        """
        start = time.monotonic()
        for optimizer, part in ((False, set(QUICK)), (True, set(SLOW))):
            due = [stage for stage in stages if stage in part]
            if not due and not optimizer:
                continue
            codes = self._compile(mutant.file, {mutant.file: mutant.apply(source.text)}, optimizer)
            if codes is None:
                return self._result(mutant, source, "does not compile", start)
            if self._unchanged(mutant.file, codes, optimizer):
                return self._result(mutant, source, "same code", start)
            contracts = {name: code for name, code in codes.items() if name not in MATHS}
            for stage in due:
                killer = self._kill(stage, mutant, contracts, codes)
                if killer:
                    return self._result(mutant, source, stage, start, killer)
        return self._result(mutant, source, otherwise, start)

    def _kill(self, stage: str, mutant: Mutant, contracts: dict[str, str], codes: dict[str, str]) -> str | None:
        if stage == "forge unit":
            return self.forge.kill("unit", contracts)
        if stage == "forge maths":
            return self.forge.kill("maths", codes) if MATHS.keys() & codes.keys() else None
        if stage == "forge invariants":
            return self.forge.kill("invariants", contracts)
        return self.python.kill(mutant.function, contracts)

    def _result(self, mutant: Mutant, source: Source, end: str, start: float, killer: str = "") -> Result:
        before, after = mutant.diff(source.text)
        seconds = round(time.monotonic() - start, 2)
        return Result(
            name=mutant.name, file=mutant.file, function=mutant.function, operator=mutant.operator, line=mutant.line,
            before=before.strip(), after=after.strip(), end=end, killer=killer, seconds=seconds, tests=self.tests,
        )  # fmt: skip


def functions_by_test() -> dict[str, set[str]]:
    """Which functions each unit test calls, as the last `make coverage-contracts` saw it; empty without one."""
    folder = ROOT / "build" / "quality" / "coverage"
    if not (folder / "touched.json").exists():
        return {}
    points = json.loads((folder / "points.json").read_text())
    touched = json.loads((folder / "touched.json").read_text())
    return {test: {points[n // 2]["function"] for n in numbers} for test, numbers in touched.items()}


def digest_of_code(compiler: Compiler) -> str:
    """A digest of what the contracts compile to: comments and names do not matter."""
    contracts = [*PARTS, "TaskFactory"]
    wanted = {source_of(name): {name: ["evm.bytecode.object"]} for name in contracts}
    codes = creation_codes(compiler(list(wanted), wanted))
    return hashlib.sha256("".join(codes[name] for name in contracts).encode()).hexdigest()[:16]


def kept(file: Path) -> dict[str, Result]:
    lines = file.read_text().splitlines() if file.exists() else []
    return {result.name: result for result in (Result(**json.loads(line)) for line in lines)}


class Run:
    """The sample, and what is known of it. Quick stages go over all mutants first, slow ones over what is left."""

    def __init__(self, sources: list[Source], options: Any, results: Path) -> None:
        self.sources = {s.file: s for s in sources if s.file not in LEFT_OUT}
        self.options = options
        self.results = results
        self.known = kept(results)
        self.reasons = reasons()
        self.tests = digest_of("tests/contracts")
        self.end = time.monotonic() + 60 * options.minutes
        self.laboratory: Laboratory | None = None

    def __call__(self) -> list[Result] | None:
        """Results of the sample, some open if the time was up; None if it was up before the quick stages ended."""
        sample: list[Mutant] = []
        with contextlib.suppress(TimeoutError), Compiler() as compiler:
            sample = self._sample(compiler)
            for mutant in sorted(sample, key=self._explained):
                result, fresh = self.known[mutant.name], self.known[mutant.name].tests == self.tests
                retry = result.end == "survived" and not fresh and not self._explained(mutant)
                if result.end == OPEN or retry:
                    self._examine(compiler, mutant, SLOW if fresh else QUICK + SLOW, "survived")
        return [replace(self.known[m.name], line=m.line) for m in sample] or None

    def _explained(self, mutant: Mutant) -> bool:
        """Whether survivors.toml says why no test can kill it: tried last, and not again when tests change."""
        result = self.known[mutant.name]
        return (result.function, result.before, result.after) in self.reasons

    def _sample(self, compiler: Compiler) -> list[Mutant]:
        orders = {file: shuffled(source, self.options.seed) for file, source in self.sources.items()}
        orders = {file: order for file, order in orders.items() if order}
        wanted = {f: len(o) for f, o in orders.items()} if self.options.all else shares(orders, self.options.sample)
        chosen = []
        for file, order in orders.items():
            counted = 0
            for mutant in order:
                if counted == wanted[file]:
                    break
                if mutant.name not in self.known:
                    self._examine(compiler, mutant, QUICK, OPEN)
                chosen.append(mutant)
                counted += self.known[mutant.name].counts
        return chosen

    def _examine(self, compiler: Compiler, mutant: Mutant, stages: tuple[str, ...], otherwise: str) -> None:
        if time.monotonic() > self.end:
            raise TimeoutError
        self.laboratory = self.laboratory or Laboratory(compiler)
        before = self.known.get(mutant.name)
        result = self.laboratory.examine(mutant, self.sources[mutant.file], stages, otherwise)
        result = replace(result, seconds=round(result.seconds + (before.seconds if before else 0), 2))
        self.known[mutant.name] = result
        with self.results.open("a") as out:
            out.write(json.dumps(vars(result)) + "\n")
        print(result.line_of_log(), flush=True)


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
        sources, code = parse(compiler), digest_of_code(compiler)
    unknown = [source.file for source in sources if source.file not in (*HOLDERS, *LEFT_OUT)]
    if unknown:
        parser.error(f"{unknown[0]} is neither in HOLDERS nor LEFT_OUT: say what holds it, or why nothing need")
    chosen = Run(sources, options, WORK / f"{code}.jsonl")()
    if chosen is None:
        print("the time is up; run it again to go on")
        return 2
    written = options.all or (options.sample, options.seed) == (SAMPLE, SEED)
    return conclude(chosen, options.seed, write=written)


if __name__ == "__main__":
    sys.exit(main())
