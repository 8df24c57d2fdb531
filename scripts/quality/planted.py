"""`make planted`: which layer of tests notices each semantic bug of the corpus (`corpus.py`)?

Each bug is compiled into the contracts and tried against the layers in their order: the unit tests (forge's, then those
on a chain), the state machines as CI runs them, forge's invariants. The first layer that notices ends it. Chance must
not help: a layer with random inputs has noticed only if it did with each of three seeds. Forge's unit tests take a few
seconds and the rest minutes, so they go over all bugs first, on code that was not optimised: optimising takes longer
than they do. They must pass on the right code compiled in the same way. Compiling runs ahead of the tests.

Fails if the unit layer notices fewer than 97 %, if some bug is noticed by no layer, or if a bug is stale. Results are
kept in build/quality/planted/ until the contracts change, so an interrupted run goes on; what the unit layer missed is
tried again when the tests change. `--minutes N` tries a part that the seed chooses. Writes docs/audit/planted.*.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from compiler import DEPLOYED, ROOT, Compiler, creation_codes, digest_of, source_of
from corpus import Bug, StaleBug, load, shuffled
from killers import MATHS, Forge, Python
from mutation import HOLDERS
from planted_report import Noticed, conclude

WORK = ROOT / "build" / "quality" / "planted"
SEED = 2026
SEEDS = (0, 1, 2)
MACHINE_SECONDS = 1_800
HELD_BY = {**HOLDERS, "contracts/TaskFactory.sol": (["TaskFactory"], "")}
# Unit tests that look at a source most closely come first: most bugs end there. All others follow.
FIRST = {
    "ScoreBook": ("book", "windows", "frozen", "batches", "weights"),
    "ModelRegistry": ("registry", "frozen", "attacks_lineage"),
    "StakeVault": ("vault", "book", "weights"),
    "RewardPool": ("pool", "attacks_lineage", "attacks_money"),
    "TaskFactory": ("factory",),
    "Contribution": ("attacks_lineage", "pool"),
    "Grains": ("registry", "attacks_lineage"),
    "Histogram": ("weights", "book"),
    "History": ("vault",),
    "Power": ("pool",),
    "Quorum": ("book", "attacks_money"),
    "Sealed": ("book",),
    "Stakes": ("vault", "book", "weights"),
    "VoterPay": ("book", "frozen", "weights", "voter_pay"),
}


class Laboratory:
    """The compiler, which runs ahead, and the layers; the slow ones start when they are first needed."""

    def __init__(self, compiler: Compiler, due: Sequence[Bug]) -> None:
        self.compiler = compiler
        self._right: dict[tuple[str, bool], dict[str, str]] = {}
        self._ahead = ThreadPoolExecutor(1)
        self._coming = {bug.key: self._ahead.submit(self.codes, bug, quick=True) for bug in due}
        self.forge = Forge(WORK)
        self._sound: set[str] = set()
        self._python: Python | None = None

    def close(self) -> None:
        self._ahead.shutdown(cancel_futures=True)

    def codes(self, bug: Bug, *, quick: bool) -> dict[str, str]:
        """Creation codes of the contracts, and of forge's tests of the maths, that change with the bug."""
        answer = self._compile(bug.file, {bug.file: bug.plant()}, quick)
        if isinstance(answer, str):
            raise StaleBug(f"planted bug {bug.name!r} in {bug.kind}.toml does not compile:\n{answer}")
        right = self.right(bug.file, quick=quick)
        changed = {name: code for name, code in answer.items() if code != right[name]}
        if not changed:
            raise StaleBug(f"planted bug {bug.name!r} in {bug.kind}.toml compiles to the same code: it is no bug")
        return changed

    def right(self, file: str, *, quick: bool) -> dict[str, str]:
        """Codes of the sources as they are."""
        if (file, quick) not in self._right:
            answer = self._compile(file, {}, quick)
            assert not isinstance(answer, str), answer
            self._right[file, quick] = answer
        return self._right[file, quick]

    def _compile(self, file: str, replace: dict[str, str], quick: bool) -> dict[str, str] | str:
        contracts, maths = HELD_BY.get(file, (list(DEPLOYED), ""))
        wanted = {source_of(name): {name: ["evm.bytecode.object"]} for name in contracts}
        wanted |= {MATHS[maths]: {maths: ["evm.bytecode.object"]}} if maths else {}
        answer = self.compiler(list(wanted), wanted, optimizer=not quick, replace=replace)
        return "\n".join(answer["errors"]) or creation_codes(answer)

    def quickly(self, codes: dict[str, str]) -> str:
        """The one of forge's unit tests that notices, or nothing."""
        contracts = {name: code for name, code in codes.items() if name not in MATHS}
        maths = MATHS.keys() & codes.keys()
        return self._surely("unit", contracts) or (self._surely("maths", codes) if maths else "")

    def _surely(self, suite: str, codes: dict[str, str]) -> str:
        """A test with random inputs has noticed only if some test does with each seed."""
        killer = self.forge.kill(suite, codes) or ""
        others = (self.forge.kill(suite, codes, seed + 1) for seed in SEEDS[1:])
        return killer if not killer.startswith("testFuzz") or all(others) else ""

    def unit(self, codes: dict[str, str], file: str) -> str:
        """The unit test on a chain that notices, or nothing."""
        self._python = self._python or Python(WORK, {})
        contracts = {name: code for name, code in codes.items() if name not in MATHS}
        return self._python.kill("", contracts, FIRST.get(Path(file).stem, ())) or ""

    def machines(self, codes: dict[str, str]) -> list[str]:
        """The machine that notices, for each seed."""
        with tempfile.NamedTemporaryFile("w", suffix=".json", dir=WORK) as file:
            json.dump({name: code for name, code in codes.items() if name not in MATHS}, file)
            file.flush()
            command = [sys.executable, str(ROOT / "scripts/quality/machines.py"), file.name]
            return self._each(lambda seed: self._machine([*command, str(seed)]))

    def _machine(self, command: list[str]) -> str:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=MACHINE_SECONDS)
        if done.returncode:
            raise RuntimeError(f"the machines ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1]) or ""

    def invariants(self, codes: dict[str, str]) -> list[str]:
        """The handler of forge that notices, for each seed."""
        contracts = {name: code for name, code in codes.items() if name not in MATHS}
        return self._each(lambda seed: self.forge.kill("invariants", contracts, seed + 1) or "")

    @staticmethod
    def _each(look: Callable[[int], str]) -> list[str]:
        """Seed after seed, until one does not notice."""
        found: list[str] = []
        for seed in SEEDS:
            found.append(look(seed))
            if not found[-1]:
                break
        return found

    def examine(self, bug: Bug, *, quick: bool) -> Noticed | None:
        """What notices; None if forge's unit tests do not and nothing else was asked."""
        start = time.monotonic()
        if quick:
            codes = self._coming[bug.key].result()
            if bug.file not in self._sound and (killer := self.quickly(self.right(bug.file, quick=True))):
                raise RuntimeError(f"{killer} fails on {bug.file} without a bug when it is not optimised")
            self._sound.add(bug.file)
            unit = self.quickly(codes)
            return self._noticed(bug, start, unit) if unit else None
        codes = self.codes(bug, quick=False)
        unit = self.unit(codes, bug.file)
        machines = [] if unit else self.machines(codes)
        invariants = [] if unit or Noticed.surely(machines) else self.invariants(codes)
        return self._noticed(bug, start, unit, machines, invariants)

    @staticmethod
    def _noticed(bug: Bug, start: float, unit: str, *others: list[str]) -> Noticed:
        machines, invariants = others or ([], [])
        seconds, tests = round(time.monotonic() - start, 1), digest_of("tests/contracts")
        return Noticed(bug.key, bug.name, bug.kind, bug.says, unit, machines, invariants, seconds, tests)


def kept(file: Path) -> dict[str, Noticed]:
    lines = file.read_text().splitlines() if file.exists() else []
    return {n.key: n for n in (Noticed(**json.loads(line)) for line in lines)}


def run(bugs: list[Bug], results: Path, minutes: float) -> dict[str, Noticed]:
    """Try what is not known yet, until the time is up; what is known of these bugs. Stale ones are told at the end."""
    known, end, tests = kept(results), time.monotonic() + 60 * minutes, digest_of("tests/contracts")
    due = [b for b in bugs if b.key not in known or (not known[b.key].unit and known[b.key].tests != tests)]
    stale: list[str] = []
    if due:
        with Compiler() as compiler, contextlib.closing(Laboratory(compiler, due)) as laboratory:
            for quick in (True, False):
                left, due = due, []
                for bug in left:
                    try:
                        noticed = laboratory.examine(bug, quick=quick) if time.monotonic() < end else None
                    except StaleBug as error:
                        stale.append(str(error))
                        continue
                    if noticed is None:
                        due.append(bug)
                        continue
                    known[bug.key] = noticed
                    with results.open("a") as out:
                        out.write(json.dumps(asdict(noticed)) + "\n")
                    print(noticed.line_of_log(), flush=True)
    if stale:
        raise StaleBug("\n".join(stale))
    return {bug.key: known[bug.key] for bug in bugs if bug.key in known}


def main() -> int:
    parser = argparse.ArgumentParser(description="which layer of tests notices each planted bug?")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--seed", type=int, default=SEED, help="order in which the bugs are tried")
    parser.add_argument("--check", action="store_true", help="only say which bugs are stale")
    options = parser.parse_args()
    os.chdir(ROOT)
    bugs, stale = load(), []
    for bug in bugs:
        try:
            bug.plant()
        except StaleBug as error:
            stale.append(str(error))
    if stale or options.check:
        print("\n".join(stale) or f"{len(bugs)} bugs, none stale")
        return 1 if stale else 0
    WORK.mkdir(parents=True, exist_ok=True)
    code = digest_of("contracts", "interfaces")
    found = run(shuffled(bugs, options.seed), WORK / f"{code}.jsonl", options.minutes)
    return conclude([found[b.key] for b in bugs if b.key in found], len(bugs), code)


if __name__ == "__main__":
    sys.exit(main())
