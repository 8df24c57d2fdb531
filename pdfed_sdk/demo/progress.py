"""What is going on, told to a person while it happens: one line an event, and the state of every window."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from pdfed_sdk.buckets import grains_of
from pdfed_sdk.chain import event_types
from pdfed_sdk.chain.calls import Windows
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.types import Address, Status

PAUSE = 20.0
"""Seconds between two lines of what every node does, where there is no terminal."""


class Progress:
    """Follows the view and tells. On a terminal two tables stay at the bottom: what every node does, and where every
    submission stands. ``node_logs`` are the nodes' logs by name."""

    def __init__(
        self,
        console: Console,
        view: TaskView,
        names: Mapping[Address, str],
        node_logs: Mapping[str, Path],
        started: float,
    ) -> None:
        self.console, self.view, self.names, self.started = console, view, names, started
        self.node_logs, self._told = node_logs, started
        self._live = Live(console=console, refresh_per_second=2, transient=True) if console.is_terminal else None
        if self._live:
            self._live.start()

    def close(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def say(self, text: str, style: str = "") -> None:
        self.console.print(f"[dim]{time.monotonic() - self.started:5.0f}s[/] {text}", style=style, soft_wrap=True)

    def name(self, address: Address) -> str:
        return self.names.get(address, address[:10])

    def look(self, now: int) -> list[event_types.Event]:
        """Tell what is new; returns it."""
        events = self.view.refresh()
        for event in events:
            text = self._text(event)
            if text:
                self.say(text)
        if self._live:
            self._live.update(Group(self.nodes(), self.table(now)))
        elif not self.view.closed and time.monotonic() - self._told >= PAUSE:
            self._told = time.monotonic()
            self.say("; ".join(f"{name}: {doing[:40]}" for name, doing in self.doing().items()), style="dim")
        return events

    def doing(self) -> dict[str, str]:
        """The last thing each node wrote into its log."""
        return {name: last_entry(path) for name, path in self.node_logs.items() if path.exists()}

    def nodes(self) -> Table:
        table = Table(title="nodes", title_justify="left")
        table.add_column("node")
        table.add_column("what it did last", no_wrap=True, overflow="ellipsis")
        for name, doing in self.doing().items():
            table.add_row(name, doing)
        return table

    def _text(self, event: event_types.Event) -> str:
        match event:
            case event_types.NodeRegistered():
                return f"{self.name(event.node)} registered"
            case event_types.Reserved():
                author = f"[bold]{self.name(event.author)}[/]"
                return f"{author} reserved #{event.id}, to be measured against #{event.reference_id}"
            case event_types.Submitted():
                parents = " + ".join(f"#{p.id}" for p in event.record.parents)
                return f"[bold]{self.name(event.author)}[/] submitted #{event.id}, trained on {parents}; voting is open"
            case event_types.Committed():
                entry = self.view.entries[event.id]
                return f"{self.name(event.voter)} sealed a vote on #{event.id} ({len(entry.commits)} sealed)"
            case event_types.Revealed():
                entry = self.view.entries[event.id]
                shown = f"{event.improvement:+d}" if event.improvement > -8 else "[bold red]-8[/]"
                count = f"{len(entry.votes)} of {len(entry.commits)}"
                return f"{self.name(event.voter)} opened its vote on #{event.id}: {shown} ({count} open)"
            case event_types.Finalized():
                if Status(event.status) is Status.VOID:
                    return f"#{event.id} is [red]void[/]: too few votes"
                grains, standing = grains_of(event.result.outcome), event.standing
                return f"#{event.id} is final: {grains:+d} grains, level {standing.level}, gain {standing.gain}"
            case event_types.BestChanged():
                return f"[bold green]#{event.id} is the best model now[/], level {event.level}"
            case event_types.Rewarded():
                amount = event.from_allowance + event.from_commons
                return f"{self.name(self.view.entries[event.id].author)}'s #{event.id} earns {amount / 1e18:.3f}"
            case event_types.Closed():
                return "the sponsor closed the task: what is open is voted on, then everybody is paid"
            case event_types.Claimed():
                return f"{self.name(event.node)} claimed {event.amount / 1e18:.3f}"
            case _:
                return ""

    def table(self, now: int) -> Table:
        table = Table(title="submissions", title_justify="left")
        for column in ("model", "author", "parents", "window", "sealed", "open", "outcome", "level"):
            table.add_column(column)
        for e in self.view.entries.values():
            parents = " + ".join(f"#{p.id}" for p in e.record.parents) if e.record else ""
            star = "*" if e.id == self.view.best else ""
            table.add_row(
                f"#{e.id}{star}",
                self.name(e.author),
                parents,
                window_text(e.status, e.windows, now),
                str(len(e.commits)),
                str(len(e.votes)),
                "" if e.outcome is None else f"{e.outcome:+d}",
                str(e.level) if e.status is Status.FINAL else "",
            )
        return table


def last_entry(path: Path) -> str:
    """The text of the last complete line of a log, without its time and level."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2048))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    told = [line.split(maxsplit=2)[2] for line in lines if len(line.split(maxsplit=2)) == 3 and line[2:3] == ":"]
    return told[-1][:90] if told else "starting"


def window_text(status: Status, windows: Windows, now: int) -> str:
    """Where a submission stands, in words."""
    commit_end, reveal_start = windows.commit_end, windows.reveal_start
    reveal_end = windows.reveal_end
    if status in (Status.FINAL, Status.VOID):
        return status.name.lower()
    if status is Status.RESERVED:
        return "reserved"
    if now < commit_end:
        return f"commit, {commit_end - now} s left"
    if now < reveal_start:
        return "gap"
    return f"reveal, {reveal_end - now} s left" if now < reveal_end else "to be finalised"
