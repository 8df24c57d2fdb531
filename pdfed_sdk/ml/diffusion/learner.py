"""The state of a training run and the step that moves it, all of it on the device.

A step reads nothing back: pictures, times, noise, gradients, the clipping, the optimiser, the averaged weights and the
statistics stay where they are, so the step can be captured as one CUDA graph (`execution`). The host writes two
numbers a step, the learning rate and the rate of the average, and reads the statistics when it is asked to.
"""

from __future__ import annotations

import contextlib
import copy
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from pdfed_sdk.errors import MlError
from pdfed_sdk.family import Model
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.diffusion.model import Ambient, DiffusionModel
from pdfed_sdk.ml.diffusion.noise import normal_block
from pdfed_sdk.ml.diffusion.processes import Processes
from pdfed_sdk.ml.diffusion.train_config import TrainConfig
from pdfed_sdk.ml.snapshots import read_snapshot, write_snapshot

SMOOTHING = 0.05
"""Weight of a step's loss in the running mean."""


def trainable(network: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that training moves, by name."""
    return {name: weight for name, weight in network.named_parameters() if weight.requires_grad}


class Learner:
    """Weights, their average, the optimiser and the random state of one run."""

    def __init__(
        self, config: TrainConfig, model: Model, data: PictureSet, usable: Tensor, processes: Processes
    ) -> None:
        self.config, self.model, self.processes = config, model, processes
        self.device = device = processes.device
        self.network = model.network.to(device).train()
        self.forward: nn.Module = processes.wrap(self.network)
        self._examples = model.family.examples(model, data, device)
        self._usable = usable.to(device)
        own = trainable(self.network)
        self.names = list(own)
        self.weights: list[Tensor] = list(own.values())
        self.averages = [weight.detach().clone() for weight in self.weights]
        self._rate = torch.zeros((), device=device)
        self._follow = torch.zeros((), device=device)
        self._statistics = torch.zeros(2, device=device)
        self.optimiser = torch.optim.AdamW(
            self.weights,
            lr=self._rate,
            betas=(0.9, 0.99),
            weight_decay=0.0,
            fused=True,
            capturable=device.type == "cuda",
        )
        for weight in self.weights:  # made now, so that they can be remembered before the first step
            moments = {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
            self.optimiser.state[weight] = {"step": torch.zeros((), device=device), **moments}
        self.random = torch.Generator(device).manual_seed(config.seed)
        self._ambient = self._fixed_noise(data) if config.ambient else None
        self.batch = config.batch
        self.seen = self.steps = 0

    def _fixed_noise(self, data: PictureSet) -> Tensor:
        """The noise that each picture keeps, a function of the seed: a resumed run has the same."""
        if not isinstance(self.model, DiffusionModel):
            raise MlError(f"ambient training knows no {self.model.family.name} models", hint="set ambient to 0")
        seed = b"ambient" + self.config.seed.to_bytes(32, "big", signed=True)
        return normal_block(seed, 0, len(data), tuple(data.images.shape[1:]), self.device)

    def _loss(self, images: Tensor, labels: Tensor, part: Tensor) -> Tensor:
        model, rows = self.model, self.processes.rows(len(part))
        drawn = self.random, self.config.label_dropout, self.config.time_spread
        if self._ambient is None:
            return model.family.loss(model, self.forward, images, labels, *drawn, rows)
        assert isinstance(model, DiffusionModel)
        level = int(self.config.ambient * model.config.timesteps)
        kept = Ambient(self._ambient[part], level)
        return model.family.loss(model, self.forward, images, labels, *drawn, rows, kept)

    # --- the step, on the device ---

    def set_rates(self) -> None:
        """Write the rates of the step to come."""
        self._rate.fill_(self.learning_rate())
        decay = min(self.config.ema, self.steps / (self.steps + 10)) if self.config.ema else 0.0
        self._follow.fill_(1 - decay)

    def learning_rate(self) -> float:
        """Rate of the step to come."""
        config = self.config
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, self.seen / config.pictures)))
        rise = min(1.0, (self.steps + 1) / (config.warmup + 1))
        return config.lr * rise * (config.final_lr + (1 - config.final_lr) * fall)

    def compute(self, count: int) -> None:
        """One optimiser step on ``count`` pictures drawn with replacement. No value is read by the host; the library's
        algorithms are those that give the same bits every time, so that a run resumes exactly on a GPU too."""
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=True):
            self._compute(count)

    def _compute(self, count: int) -> None:
        device, shared = self.device, self.processes
        chosen = self._usable[torch.randint(len(self._usable), (count,), generator=self.random, device=device)]
        parts = chosen.tensor_split(min(self.config.accumulate, count))
        total = torch.zeros((), device=device)
        for number, part in enumerate(parts, 1):
            images, labels = self._examples(part)
            with shared.without_sync(self.forward) if number < len(parts) else contextlib.nullcontext():
                with torch.autocast(device.type, torch.bfloat16, enabled=self.config.bf16, cache_enabled=False):
                    loss = self._loss(images, labels, part)
                loss = loss * (shared.weight(len(part)) * len(part) / count)
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self._average()
        self._statistics.lerp_(torch.stack([self.processes.mean(total), norm.float()]), SMOOTHING)

    @torch.no_grad()
    def _average(self) -> None:
        gap = torch._foreach_sub(self.weights, self.averages)
        torch._foreach_mul_(gap, self._follow)
        torch._foreach_add_(self.averages, gap)

    # --- what the host does now and then ---

    def count_step(self, count: int) -> None:
        """A step on ``count`` pictures was given to the device."""
        self.steps, self.seen = self.steps + 1, self.seen + count

    def read(self) -> tuple[float, float]:
        """Running means of loss and gradient norm; waits for the device. Raises MlError if they are not finite."""
        if not self.steps:
            return math.nan, math.nan
        loss, norm = (self._statistics / (1 - (1 - SMOOTHING) ** self.steps)).tolist()
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise MlError(
                f"training diverged by step {self.steps}: loss {loss}, gradient norm {norm}",
                hint="lower the lr; the last saved state was finite",
            )
        return loss, norm

    def check(self) -> None:
        """Raise MlError if the run has diverged; waits for the device."""
        self.read()
        norms = torch.stack(torch._foreach_norm(self.weights))
        if not bool(torch.isfinite(norms).all()):
            raise MlError(f"training diverged at step {self.steps}: weights are not finite", hint="lower the lr")

    def averaged(self) -> Model:
        """A copy, on the CPU, of the averaged weights (of the weights themselves without averaging)."""
        found = copy.deepcopy(self.model)
        source = self.averages if self.config.ema else self.weights
        with torch.no_grad():
            for weight, value in zip(trainable(found.network).values(), source, strict=True):
                weight.copy_(value)
        found.network.cpu().eval()
        return found

    def tensors(self) -> list[Tensor]:
        """All that a step changes, but for the random state."""
        moments = [tensor for weight in self.weights for tensor in self.optimiser.state[weight].values()]
        return [weight.detach() for weight in self.weights] + self.averages + moments + [self._statistics]

    def remember(self) -> tuple[list[Tensor], Tensor]:
        """A copy of the state, for `recall`."""
        return [tensor.clone() for tensor in self.tensors()], self.random.get_state()

    def recall(self, memory: tuple[list[Tensor], Tensor]) -> None:
        """Put the state back, in place: a captured graph goes on working on it."""
        self.optimiser.zero_grad(set_to_none=True)
        for tensor, kept in zip(self.tensors(), memory[0], strict=True):
            tensor.copy_(kept)
        self.random.set_state(memory[1])

    def save(self, path: Path, key: str) -> None:
        """Write the state; MlError, and the file stays as it was, if the run has diverged."""
        self.check()
        if self.processes.rank:
            return
        statistics = {"loss": repr(self._statistics[0].item()), "gradient": repr(self._statistics[1].item())}
        write_snapshot(
            path,
            key,
            {"seen": str(self.seen), "steps": str(self.steps), "batch": str(self.batch), **statistics},
            weights=self.network.state_dict(),
            averages=dict(zip(self.names, self.averages, strict=True)),
            optimiser=self.optimiser,
            random=self.random,
        )

    def load(self, path: Path, key: str) -> bool:
        """Take up a snapshot of the same run; False (start anew) if it is of another run or damaged."""
        found = read_snapshot(path, key)
        if found is None:
            return False
        self.network.load_state_dict(found.weights)
        for name, average in zip(self.names, self.averages, strict=True):
            average.copy_(found.averages[name])
        found.restore_in_place(self.optimiser, self.random)
        self.seen, self.steps, self.batch = (int(found.facts[name]) for name in ("seen", "steps", "batch"))
        self._statistics.copy_(torch.tensor([float(found.facts["loss"]), float(found.facts["gradient"])]))
        return True
