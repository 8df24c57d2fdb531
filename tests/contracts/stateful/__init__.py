"""Property tests of the contracts: state machines beside a ghost model, for a fork's contracts too.

See docs/property-tests.md.
"""

from .machines import MACHINES
from .runner import run_machines
from .target import Target

__all__ = ["MACHINES", "Target", "run_machines"]
