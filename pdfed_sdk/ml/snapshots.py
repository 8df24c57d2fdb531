"""Snapshots of a training run: weights, averages, optimiser and random state in one safetensors file."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


@dataclass(frozen=True)
class Snapshot:
    """What a file holds; ``facts`` are the run's own counters, as text."""

    weights: dict[str, Tensor]
    averages: dict[str, Tensor]
    random: Tensor
    facts: dict[str, str]
    _states: dict[int, dict[str, Tensor]]

    def restore(self, optimiser: torch.optim.Optimizer, random: torch.Generator) -> None:
        """Put optimiser and generator where they were."""
        optimiser.load_state_dict({**optimiser.state_dict(), "state": self._states})
        random.set_state(self.random)

    def restore_in_place(self, optimiser: torch.optim.Optimizer, random: torch.Generator) -> None:
        """The same for an optimiser whose state exists already, and stays where it is (a CUDA graph works on it)."""
        weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        for index, state in self._states.items():
            for name, tensor in state.items():
                optimiser.state[weights[index]][name].copy_(tensor)
        random.set_state(self.random)


def write_snapshot(
    path: Path,
    key: str,
    facts: Mapping[str, str],
    *,
    weights: Mapping[str, Tensor],
    averages: Mapping[str, Tensor],
    optimiser: torch.optim.Optimizer,
    random: torch.Generator,
) -> None:
    """Write atomically. ``key`` names the run: only a run of the same key takes the file up."""
    tensors = {f"w/{name}": tensor for name, tensor in weights.items()}
    tensors |= {f"e/{name}": tensor for name, tensor in averages.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"o/{index}/{name}": torch.as_tensor(value).clone() for name, value in state.items()}
    tensors["random"] = random.get_state()
    write_tensors(path, tensors, {"key": key, **facts})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write a safetensors file atomically. OSError names it; what was there before stays."""
    fresh = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, fresh, dict(facts))
        fresh.replace(path)
    except (SafetensorError, OSError) as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise OSError(f"the training state {path} cannot be written, the one before it stays: {error}") from error


def read_tensors(path: Path, key: str) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Tensors and facts of a file of the run ``key``; None if it is of another run, damaged or absent."""
    try:
        with safe_open(str(path), framework="pt") as file:
            facts = file.metadata() or {}
            if facts.get("key") != key:
                return None
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError):
        return None


def read_snapshot(path: Path, key: str) -> Snapshot | None:
    """The snapshot of the run ``key``; None if it is of another run, damaged or absent."""
    found = read_tensors(path, key)
    if found is None:
        return None
    tensors, facts = found
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("o/"):
            _, index, part = name.split("/")
            states.setdefault(int(index), {})[part] = tensor
    group = {mark: {n[2:]: t for n, t in tensors.items() if n.startswith(f"{mark}/")} for mark in "we"}
    return Snapshot(group["w"], group["e"], tensors["random"], facts, states)
