"""Property tests of the contracts: state machines beside a ghost model. See docs/property-tests.md.

from stateful import Target, run_machines
assert not [r for r in run_machines(Target(factory=..., port=...)) if r.violation]
"""
