"""Where tensors are computed: the device by its name, and torch's threads."""

from __future__ import annotations

import torch

from pdfed_sdk.errors import MlError


def set_threads(count: int = 1) -> None:
    """Set torch's threads in this process. One is right when several nodes share a machine: with one busy
    neighbour two threads were measured 4-34 times slower than one."""
    if not isinstance(count, int) or not 1 <= count <= 1024:
        raise MlError(f"count is {count!r}, limits 1 and 1024 threads")
    torch.set_num_threads(count)


def at_a_time(device: torch.device, few: int, each: int) -> int:
    """How many things of ``each`` bytes are computed at a time: ``few`` on a CPU, as many as fit into a sixteenth of
    the memory of a GPU, which is quick with many only."""
    if device.type != "cuda":
        return few
    return max(few, torch.cuda.get_device_properties(device).total_memory // 16 // each)


def device_of(name: str) -> torch.device:
    """The device called "cpu", "cuda" (or "cuda:1"), or "auto": a GPU if one can be used. Errors: MlError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise MlError(f"device is {name!r}", hint='one of "cpu", "cuda", "auto"') from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise MlError(f"device is {name}, but no GPU can be used", hint='set device = "cpu" or "auto"')
    return device
