"""Train and score: data, features, fingerprints, the Q-N score and its baselines. Knows no chain."""

from __future__ import annotations


def set_threads(count: int = 1) -> None:
    """Set torch's threads in this process. One is right when several nodes share a machine: with one busy
    neighbour two threads were measured 4-34 times slower than one."""
    import torch

    from pdfed_sdk.errors import MlError

    if not isinstance(count, int) or not 1 <= count <= 1024:
        raise MlError(f"count is {count!r}, limits 1 and 1024 threads")
    torch.set_num_threads(count)
