"""The fuzz tests of the pure maths, run by forge with the same compiler."""

import subprocess
from typing import Any

from support.chain import ROOT


def test_the_pure_maths_holds_on_random_inputs(stage: Any) -> None:
    forge = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"))
    command = [str(forge), "test", "--root", "tests/contracts/forge", "--use", str(ROOT / ".solc/solc-v0.8.37")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    assert "0 failed" in done.stdout
