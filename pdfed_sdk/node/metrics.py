"""Figures of a running node for Prometheus, on an address of their own. The names are an interface: docs/node.md.

Read when they are asked for, from what the node holds in memory; the chain is not asked. Numbers only: no picture, no
name of one, no vote that is still sealed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pdfed_sdk.errors import UsageError
from pdfed_sdk.types import Status

if TYPE_CHECKING:
    from pdfed_sdk.node.runner import Node

DOINGS = ("waiting", "training", "measuring", "publishing", "scoring", "rehearsing")


class NodeCollector(Collector):
    """A node as it is when it is asked for."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._started = time.monotonic()

    def collect(self) -> Iterator[Metric]:
        node = self._node
        entries = list(node.view.entries.values())
        own = [entry for entry in entries if entry.author == node.me]
        figures = {
            "pdfed_node_up_seconds": ("Since the node was started.", time.monotonic() - self._started),
            "pdfed_node_silent_seconds": ("Since its last look at the chain.", node.silent),
            "pdfed_node_head_time_seconds": ("The chain's time at that look.", node.now),
            "pdfed_node_votes_waiting": ("Sealed votes that can still be opened.", len(node.voter.sealed(node.now))),
            "pdfed_node_votes_sealed": ("Votes it sealed.", sum(node.me in entry.commits for entry in entries)),
            "pdfed_node_votes_opened": ("Votes it opened.", sum(node.me in entry.votes for entry in entries)),
            "pdfed_node_scoring_seconds": ("The least that a scoring took.", node.voter.takes),
            "pdfed_node_disk_free_bytes": ("Free at its home.", shutil.disk_usage(node.home).free),
        }
        for name, (told, value) in figures.items():
            yield GaugeMetricFamily(name, told, value=value)
        doing = dict.fromkeys(DOINGS, 0.0) | {node.guard.doing.now[0]: 1.0}
        yield _labelled("pdfed_node_doing", "1 for what it does now.", "what", doing)
        statuses = {status.name.lower(): float(sum(e.status is status for e in own)) for status in Status if status}
        yield _labelled("pdfed_node_submissions", "Its submissions.", "status", statuses)
        failures = CounterMetricFamily("pdfed_node_failures", "Errors of parts of the loop.", labels=["part"])
        for part, count in sorted(node.guard.failures.items()):
            failures.add_metric([part], count)
        yield failures


def _labelled(name: str, told: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, told, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def serve_metrics(node: Node, address: str) -> int:
    """Serve ``/metrics`` on HOST:PORT in a thread, for as long as the process lives; the port (0 takes a free one).

    UsageError if the address is none, or taken.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f'[node] metrics is "{address}"', hint='write HOST:PORT, as in "127.0.0.1:9465"')
    registry = CollectorRegistry()
    registry.register(NodeCollector(node))
    try:
        server, _thread = start_http_server(int(port), addr=host.strip("[]"), registry=registry)
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot serve metrics on {address}: {error}", hint="choose another [node] metrics") from error
    return int(server.server_address[1])
