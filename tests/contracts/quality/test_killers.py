"""What counts as noticed: the first failing test in what forge prints, invariants included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.forge import ROOT, executable

sys.path.insert(0, str(ROOT / "scripts" / "quality"))
from killers import first_failure

CONTRACT = """// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

contract Counter {
    uint256 public count;

    function add(uint256 n) external {
        count += 1 + n % 2;
    }
}

contract CounterTest {
    Counter private counter;

    function setUp() public {
        counter = new Counter();
    }

    function targetContracts() public view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(counter);
    }

    function test_passes() public view {
        assert(counter.count() == 0);
    }
    FAILING
}
"""
FAILING = {
    "test_adds": 'function test_adds() public view { require(counter.count() == 1, "not [one] (1)"); }',
    "testFuzz_adds": "function testFuzz_adds(uint256 n, address) public view { assert(n < 2 ** 255 && n % 7 != 3); }",
    "invariant_small": "function invariant_small() public view { assert(counter.count() < 3); }",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "test").mkdir()
    settings = '[profile.default]\noffline = true\nevm_version = "cancun"\n[profile.default.invariant]\nruns = 2\n'
    (tmp_path / "foundry.toml").write_text(settings)
    return tmp_path


def forge_on(project: Path, extra: str) -> tuple[int, str]:
    (project / "test" / "Counter.t.sol").write_text(CONTRACT.replace("FAILING", extra))
    command = [executable(), "test", "--root", str(project), "--use", str(ROOT / ".solc/solc-v0.8.37"), "--fail-fast"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", FAILING)
def test_the_name_of_what_failed_is_read_from_what_forge_prints(project: Path, name: str) -> None:
    """An invariant's too, whose name forge prints after the acts that broke it: it is a kill like any other."""
    status, out = forge_on(project, FAILING[name])
    assert status != 0
    assert first_failure(out) == name


def test_a_suite_that_passes_names_nothing(project: Path) -> None:
    status, out = forge_on(project, FAILING["invariant_small"].replace("< 3", "< 2 ** 255"))
    assert status == 0, out
    assert "[PASS] invariant_small()" in out
    assert first_failure(out) is None
