"""Figures for Prometheus. The names here are an interface: docs/watch.md lists them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pdfed_sdk.types import Status
from pdfed_sdk.watch.watcher import Watcher


class TaskCollector(Collector):
    """The task as it is when it is asked for."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def collect(self) -> Iterator[Metric]:
        with self._watcher.seen() as seen:
            state = seen.state
            counts = dict.fromkeys((status.name.lower() for status in Status if status), 0)
            for model in state.models.values():
                name = Status(model.status).name.lower()
                counts[name] = counts.get(name, 0) + 1
            one = 10**seen.about.decimals
            figures = {
                "pdfed_head_block": ("Last block that was read.", seen.block),
                "pdfed_head_time_seconds": ("The chain's time there.", seen.now),
                "pdfed_nodes": ("Accounts that any event names.", len(state.nodes)),
                "pdfed_best_level_grains": ("Level of the best model.", state.models[state.best].level),
                "pdfed_held_tokens": ("Tokens in the vault by the events.", state.held / one),
                "pdfed_commons_tokens": ("Tokens of the commons.", state.commons / one),
                "pdfed_faults": ("Events that no correct contract would have emitted.", len(state.faults)),
            }
        for name, (told, value) in figures.items():
            yield GaugeMetricFamily(name, told, value=value)
        family = GaugeMetricFamily("pdfed_submissions", "Submissions, genesis among them.", labels=["status"])
        for status, count in counts.items():
            family.add_metric([status], count)
        yield family


@dataclass(slots=True)
class Metrics:
    """The watcher's own figures, and the task's, in a registry of their own."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    step: Histogram = field(init=False)
    reorganisations: Counter = field(init=False)
    errors: Counter = field(init=False)
    pages: Gauge = field(init=False)
    notices: Counter = field(init=False)
    undelivered: Gauge = field(init=False)

    def __post_init__(self) -> None:
        kept = self.registry
        self.step = Histogram("pdfed_watch_step_seconds", "Time to read and apply a block's events.", registry=kept)
        self.reorganisations = Counter("pdfed_watch_reorganisations", "Reorganisations undone.", registry=kept)
        self.errors = Counter("pdfed_watch_errors", "Steps that the endpoint failed.", registry=kept)
        self.pages = Gauge("pdfed_watch_pages", "Pages that are connected.", registry=kept)
        self.notices = Counter("pdfed_watch_notices", "Notices that were told.", registry=kept)
        self.undelivered = Gauge("pdfed_watch_undelivered", "Deliveries that were given up.", registry=kept)

    def watch(self, watcher: Watcher) -> None:
        self.registry.register(TaskCollector(watcher))

    def text(self) -> bytes:
        return generate_latest(self.registry)
