"""How a training step runs: as one CUDA graph, compiled, or eager. Chosen by measuring, and said in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import torch

from pdfed_sdk.errors import MlError
from pdfed_sdk.ml.diffusion.learner import Learner

log = logging.getLogger("pdfed.training")

WARM_UP = 3
TIMED = 8
MOST = 1_024
"""Largest batch that is tried where the batch is to be found."""


class Execution:
    """Steps of a learner, in the mode that was asked for or found quickest on its device."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.mode = "eager"
        self._graph: torch.cuda.CUDAGraph | None = None
        self._on_gpu = learner.device.type == "cuda"
        if not learner.batch:
            learner.batch = MOST if self._on_gpu else 32
        self._prepare()

    def step(self) -> None:
        """One step; the last of a run may be on fewer pictures, and is eager then. Out of memory halves the batch."""
        learner = self.learner
        count = min(learner.batch, learner.config.pictures - learner.seen)
        learner.set_rates()
        if self._graph is not None and count == learner.batch:
            self._graph.replay()
        else:
            try:
                learner.compute(count)
            except torch.OutOfMemoryError as error:
                self._halve(error)
                self._prepare()
                return self.step()
        learner.count_step(count)
        return None

    # --- choosing ---

    def _prepare(self) -> None:
        """Choose the mode; the learner's state is afterwards as it was."""
        while True:
            memory = self.learner.remember()
            try:
                self.mode = self._choose()
                self.learner.recall(memory)
                return
            except torch.OutOfMemoryError as error:
                self._graph = None
                self.learner.recall(memory)
                self._halve(error)

    def _halve(self, error: Exception) -> None:
        learner = self.learner
        learner.optimiser.zero_grad(set_to_none=True)
        if learner.batch <= learner.processes.count:
            raise MlError(
                f"out of memory at a batch of {learner.batch}: {str(error).splitlines()[0][:160]}",
                hint="train a smaller model, or use more memory",
            ) from error
        learner.batch //= 2
        if self._on_gpu:
            torch.cuda.empty_cache()
        log.warning("out of memory: the batch is halved to %d", learner.batch)

    def _choose(self) -> str:
        wanted = self.learner.config.mode
        if self.learner.processes.count > 1 and wanted in ("auto", "graph"):
            log.info("eager steps: %d processes share the work", self.learner.processes.count)
            return "eager"
        if wanted == "compile":
            self._compile()
            return "compile"
        if wanted == "eager" or not self._on_gpu:
            return "eager"
        eager = self._time(self._eager, WARM_UP)
        problem = self._try_graph()
        if problem and wanted == "graph":
            raise MlError(f"the step cannot be captured: {problem}", hint='use mode "auto"')
        if problem:
            log.info("the step cannot be captured (%s): trying torch.compile", problem)
            return self._compiled_if_quicker(eager)
        assert self._graph is not None
        graph = self._time(self._graph.replay, 1)
        log.info("a step of %d: eager %.2f ms, as a graph %.2f ms", self.learner.batch, 1e3 * eager, 1e3 * graph)
        if graph > eager and wanted == "auto":
            self._graph = None
            return "eager"
        return "graph"

    def _eager(self) -> None:
        self.learner.compute(self.learner.batch)

    def _try_graph(self) -> str:
        """Capture the step; why it failed, or nothing."""
        learner = self.learner
        try:
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):  # what is made once must be made before, and on a side stream
                for _ in range(WARM_UP):
                    self._eager()
            torch.cuda.current_stream().wait_stream(stream)
            torch.cuda.empty_cache()
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(learner.random)
            with torch.cuda.graph(graph):
                self._eager()
            self._graph = graph
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._graph = None
            return str(error).splitlines()[0][:160]
        return ""

    def _compile(self) -> None:
        self.learner.forward = torch.compile(self.learner.forward)  # type: ignore[assignment]

    def _compiled_if_quicker(self, eager: float) -> str:
        plain = self.learner.forward
        try:
            self._compile()
            compiled = self._time(self._eager, WARM_UP)
        except torch.OutOfMemoryError:
            self.learner.forward = plain
            raise
        except Exception as error:  # the compiler raises anything
            log.info("torch.compile failed: %s", str(error).splitlines()[0][:160])
            compiled = float("inf")
        log.info("a step of %d: eager %.2f ms, compiled %.2f ms", self.learner.batch, 1e3 * eager, 1e3 * compiled)
        if compiled < eager:
            return "compile"
        self.learner.forward = plain
        return "eager"

    def _time(self, act: Callable[[], None], warm_up: int) -> float:
        """Seconds a step."""
        for _ in range(warm_up):
            act()
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(TIMED):
            act()
        torch.cuda.synchronize()
        return (time.perf_counter() - started) / TIMED
