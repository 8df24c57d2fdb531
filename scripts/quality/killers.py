"""What tries to tell a mutant from the contracts: the forge suites, then the unit tests on a chain.

Neither compiles anything: forge finds the mutant's code in a private copy of its artefacts, brownie in its builds.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from compiler import ROOT, digest_of

FORGE_ROOT = "tests/contracts/forge"
FORGE_SECONDS = {"unit": 120, "maths": 120, "invariants": 600}  # they take one, three and ten
PYTHON_SECONDS = 900
KEPT = ".kept"  # an artefact while another stands in its place
MATHS = {name: f"tests/contracts/forge/test/{name.removesuffix('Test')}.t.sol" for name in ("MathsTest", "HistoryTest")}
"""Tests that hold libraries by themselves, without a contract that uses them."""


def first_failure(out: str) -> str | None:
    """The first failing test in what forge prints; None if there is none.

    A test's name stands in the line of its failure. An invariant's comes lines later, after the acts that led to it.
    """
    failing = False
    for line in out.splitlines():
        if line.startswith("["):
            failing = line.startswith("[FAIL") or (failing and not line.startswith(("[PASS]", "[SKIP")))
        named = re.search(r"(\w+)\([^()]*\) \((?:gas|runs):", line)
        if failing and named:
            return named[1]
    return None


class Forge:
    """The Solidity suites, run on swapped artefacts. Random inputs come from one seed.

    A suite must pass on the contracts as they are before its word counts: it is run on them once, and again when they
    or the tests have changed.
    """

    def __init__(self, work: Path) -> None:
        self.work = work
        program = next((ROOT / "node_modules/@foundry-rs").glob("forge-*/bin/forge"))
        self.out = work / "forge"
        self.failures = work / "forge-failures"
        self.environment = os.environ | {
            "FOUNDRY_OUT": str(self.out),
            "FOUNDRY_CACHE_PATH": str(work / "forge-cache"),
            "FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "0",  # that it fails is enough
            "FOUNDRY_FUZZ_FAILURE_PERSIST_DIR": str(self.failures),
            "FOUNDRY_INVARIANT_FAILURE_PERSIST_DIR": str(self.failures),
        }
        self.options = ["--root", FORGE_ROOT, "--use", str(ROOT / ".solc/solc-v0.8.37")]
        self.program = str(program)
        self._restore()
        build = [self.program, "build", *self.options]
        subprocess.run(build, cwd=ROOT, env=self.environment, check=True, stdout=subprocess.DEVNULL)
        self.sources = digest_of("contracts", "interfaces", FORGE_ROOT)

    def _be_sound(self, suite: str) -> None:
        stamp = self.work / f"sound-{suite}"
        if stamp.exists() and stamp.read_text() == self.sources:
            return
        if killer := self._run(suite, {}, 1):
            raise RuntimeError(f"forge's {suite} tests fail without a mutant: {killer}")
        stamp.write_text(self.sources)

    def kill(self, suite: str, codes: dict[str, str], seed: int = 1) -> str | None:
        """The first test of a suite that fails on these codes; None if all pass. Random inputs come from `seed`."""
        self._be_sound(suite)
        return self._run(suite, codes, seed)

    def _run(self, suite: str, codes: dict[str, str], seed: int) -> str | None:
        path = {"unit": "test/unit/*", "maths": "test/{Maths,History}.t.sol", "invariants": "test/invariant/*"}[suite]
        command = [self.program, "test", *self.options, "--match-path", path, "--fail-fast"]
        shutil.rmtree(self.failures, ignore_errors=True)  # what failed on another mutant is not replayed
        seconds = FORGE_SECONDS[suite]
        with self._swapped(codes):
            try:
                env = self.environment | {"FOUNDRY_FUZZ_SEED": hex(seed)}
                done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=seconds)
            except subprocess.TimeoutExpired:
                if suite == "invariants":
                    raise RuntimeError(f"forge's invariants took more than {seconds} s: is the machine busy?") from None
                return f"an endless loop: {seconds} s"
        if done.returncode == 0:
            return None
        failed = first_failure(done.stdout)
        if failed is None:
            raise RuntimeError(f"forge failed without a failing test:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return failed

    @contextlib.contextmanager
    def _swapped(self, codes: dict[str, str]) -> Any:
        for name, code in codes.items():
            folder = Path(MATHS.get(name, f"{name}.sol")).name
            path = self.out / folder / f"{name}.json"
            shutil.copyfile(path, path.with_suffix(KEPT))
            artefact = json.loads(path.read_text())
            artefact["bytecode"]["object"] = f"0x{code}"
            path.write_text(json.dumps(artefact))
        try:
            yield
        finally:
            self._restore()

    def _restore(self) -> None:
        """The right artefacts; those of a run that was killed, too."""
        for path in self.out.rglob(f"*{KEPT}"):
            path.replace(path.with_suffix(".json"))


class Python:
    """The unit tests on anvil. Brownie and the chain are loaded once; each mutant is tried in a fork."""

    def __init__(self, work: Path, touched: dict[str, set[str]]) -> None:
        """`touched`: the functions that each test calls."""
        sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "contracts")]
        from support.chain import connect

        self.chain = connect()
        self.log = work / "pytest.log"
        self.touched = touched
        collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/contracts/unit"]
        listed = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        self.all = [line for line in listed.splitlines() if "::" in line]

    def tests_of(self, function: str) -> list[str]:
        """Unit tests that may tell: those never traced, those that call the function, and if the set-up does, all."""
        everywhere = ["tests/contracts/unit"] if function in self.touched.get("stage", {function}) else []
        calling = [test for test in self.all if function in self.touched.get(test, {function})]
        return [*calling, *everywhere]

    def kill(self, function: str, codes: dict[str, str], first: tuple[str, ...] = ()) -> str | None:
        """The first unit test that fails on these codes; None if all pass. Files of these names are tried first."""
        tests = sorted(self.tests_of(function), key=lambda test: not any(f"test_{name}.py" in test for name in first))
        snapshot = self.chain.rpc("evm_snapshot")
        child = os.fork()
        if child == 0:
            self._in_child(codes, tests)
        status = self._wait(child)
        self.chain.wire._connection.close()  # the fork has used it; it opens again by itself
        self.chain.rpc("evm_revert", snapshot)
        if status is None:  # gas bounds every loop of a mutant, so this is the machine's doing
            raise RuntimeError(f"the unit tests took more than {PYTHON_SECONDS} s: is the machine busy? run it again")
        if status == 0:
            return None
        failed = re.search(r"^(?:FAILED|ERROR) \S*/(\S+)", self.log.read_text(), re.M)
        if failed is None:
            raise RuntimeError(f"pytest ended with {status} and no failed test: see {self.log}")
        return failed[1]

    def _in_child(self, codes: dict[str, str], tests: list[str]) -> None:
        status = 99
        try:
            os.setsid()
            with self.log.open("w") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            for name, code in codes.items():
                if name not in MATHS:
                    self.chain.project[name]._build["bytecode"] = code
            self.chain.wire._connection.close()
            import pytest

            status = int(pytest.main(["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]))
            sys.stdout.flush()
        finally:
            os._exit(status)

    def _wait(self, child: int) -> int | None:
        end = time.monotonic() + PYTHON_SECONDS
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return None
