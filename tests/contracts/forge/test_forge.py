"""The Solidity tests, run by forge with the same compiler: exact amounts and errors, pure maths, invariants."""

import re

from campaign import FIELDS, RECORD
from support import forge


def test_every_amount_error_and_boundary() -> None:
    out, _ = forge.run_tests("--no-match-path", "test/{invariant,simulation,proofs}/*")
    assert int(re.findall(r"(\d+) tests passed", out)[-1]) >= 100


def test_invariants_hold_under_random_acts() -> None:
    """All five handlers' campaigns, and that they went deep: a campaign of refused calls proves nothing."""
    RECORD.unlink(missing_ok=True)
    out, _ = forge.run_tests("--match-path", "test/invariant/*")
    assert out.count("[PASS] invariant_") == 5
    seconds = float(re.findall(r"finished in ([\d.]+)s", out)[-1])
    runs = [dict(zip(FIELDS, map(int, line.split()), strict=True)) for line in RECORD.read_text().splitlines()]
    total = {name: sum(run[name] for run in runs) for name in FIELDS}
    print(f"{len(runs)} runs, {total['acts'] / seconds:.0f} acts a second:", total)
    rare = {"reclaims": 0, "hops": 3}  # the exit of every run reclaims; campaigns hop 6 to 24 shares
    assert all(total[name] >= rare.get(name, 5) for name in FIELDS), total
    assert total["legal"] >= total["acts"] / 3
