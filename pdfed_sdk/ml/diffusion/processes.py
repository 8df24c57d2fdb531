"""Several processes training one model (``accelerate launch``, ``torchrun``), or, in the plain case, one.

Every process draws the same batch, times and noise, and takes its share of the rows. So a run's result does not depend
on the number of processes but for rounding, and the state file of one of them resumes all.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import torch
from torch import Tensor, nn

from pdfed_sdk.errors import MlError
from pdfed_sdk.ml.device import device_of


class Processes:
    """``count`` processes of which this is number ``rank``, on ``device``."""

    def __init__(self, device: str) -> None:
        self.device = device_of(device)
        self.rank, self.count = 0, int(os.environ.get("WORLD_SIZE", "1"))
        self._accelerator: Any = None
        if self.count > 1:
            try:
                from accelerate import Accelerator
            except ImportError as error:
                raise MlError(f"{self.count} processes need accelerate", hint="pip install accelerate") from error
            self._accelerator = Accelerator(cpu=self.device.type == "cpu")
            self.device, self.rank = self._accelerator.device, self._accelerator.process_index

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network whose backward pass adds up the gradients of all processes."""
        if self._accelerator is None:
            return network
        wrapped: nn.Module = self._accelerator.prepare_model(network)
        return wrapped

    def rows(self, count: int) -> Tensor | None:
        """Rows of a batch of ``count`` that are this process's; None for all. At least one: where there are fewer rows
        than processes, a row is computed twice, and `weight` makes up for it."""
        if self._accelerator is None:
            return None
        own = torch.arange(self.rank, count, self.count, device=self.device)
        return own if len(own) else torch.zeros(1, dtype=torch.int64, device=self.device)

    def weight(self, count: int) -> float:
        """What a process multiplies its mean loss by, so that the mean over the processes is that of the batch."""
        own = len(range(self.rank, count, self.count))
        return own * self.count / count

    def without_sync(self, network: nn.Module) -> contextlib.AbstractContextManager[Any]:
        """For all passes of an accumulated step but the last."""
        if self._accelerator is None:
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[Any] = self._accelerator.no_sync(network)
        return context

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the processes."""
        if self._accelerator is None:
            return value
        found: Tensor = self._accelerator.reduce(value, reduction="mean")
        return found

    def all_agree(self, go_on: bool) -> bool:
        """False in every process as soon as one says so."""
        if self._accelerator is None:
            return go_on
        votes = torch.tensor(float(go_on), device=self.device)
        return bool(self._accelerator.reduce(votes, reduction="mean") == 1)
