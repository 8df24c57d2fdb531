"""What a node's owner should hear of without looking: a window about to be missed, little stake, a copy found, the end
of the task. Told to a webhook or a command, each once, and not too many an hour.

Texts of strangers are in no notice but as numbers and addresses; a command gets it on its standard input, never in a
line that a shell reads.
"""

from __future__ import annotations

import json
import logging
import shlex
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import requests

from pdfed_sdk.errors import UsageError
from pdfed_sdk.files import write_durably
from pdfed_sdk.watch import views
from pdfed_sdk.watch.watcher import Watcher

log = logging.getLogger("pdfed.watch")
LAST_PART: Final = 0.5
"""A sealed vote is about to be missed when this part of its reveal window is over and it is not opened."""
AGAIN_AFTER: Final = 6 * 3600.0
"""Seconds after which little stake is told again, if it still is."""
MOST: Final = 12
HOUR: Final = 3600.0
"""Most notices in an hour; what is more waits."""
KEPT: Final = 1_000
"""Notices that are remembered as told."""
TIMEOUT: Final = 10.0
TRIES: Final = 3
"""Seconds for one delivery, and tries before a notice is given up until the next look."""


@dataclass(frozen=True, slots=True)
class Notice:
    """``kind``: window, stake, copy, closing or faults. ``key`` names the occasion: each is told once."""

    kind: str
    key: str
    text: str
    submission: int | None = None


class Channel(Protocol):
    """Where notices go. Raises OSError (requests' errors are such) or SubprocessError where they do not arrive."""

    def send(self, told: dict[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class Webhook:
    """POST of JSON to one address. Redirects are not followed: what is told goes where the owner said."""

    url: str

    def send(self, told: dict[str, Any]) -> None:
        answer = requests.post(self.url, json=told, timeout=TIMEOUT, allow_redirects=False)
        if answer.status_code >= 300:
            raise OSError(f"the webhook answers {answer.status_code}")


@dataclass(frozen=True, slots=True)
class Command:
    """A program run for each notice, without a shell: JSON on its standard input."""

    words: tuple[str, ...]

    def send(self, told: dict[str, Any]) -> None:
        subprocess.run(self.words, input=json.dumps(told).encode(), timeout=TIMEOUT, check=True, capture_output=True)


def channels(webhook: str, command: str) -> list[Channel]:
    """What the options name. UsageError."""
    found: list[Channel] = []
    if webhook:
        if not webhook.startswith(("http://", "https://")):
            raise UsageError("the webhook is no http(s) address", hint="--notify-webhook https://…")
        found.append(Webhook(webhook))
    if command:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise UsageError(
                f"the command to notify cannot be read: {error}", hint="quote it as for a shell"
            ) from error
        found.append(Command(tuple(words)))
    return found


def due_notices(watcher: Watcher, least_stake: int) -> Iterator[Notice]:
    """What is to be told now. ``least_stake`` in token units: less than this, free or locked, is little."""
    with watcher.seen() as seen:
        state, decimals = seen.state, 10**seen.about.decimals
        if state.closed:
            yield Notice("closing", "closed", "The task is closed: nothing more can be reserved. Open what is sealed.")
        if state.faults:
            told = f"{len(state.faults)} events break the rules of the protocol: run pdfed audit."
            yield Notice("faults", f"faults {len(state.faults)}", told)
        home = watcher.home
        if home is None:
            return
        for vote in views.due(seen, home.address):
            length = vote["reveal_end"] - vote["reveal_start"]
            if vote["reveal_start"] + LAST_PART * length <= seen.now < vote["reveal_end"]:
                left = vote["reveal_end"] - seen.now
                told = f"The vote on #{vote['id']} is sealed and its window ends in {left} s. Is the node running?"
                yield Notice("window", f"window {vote['id']} {vote['reveal_end']}", told, vote["id"])
        node = state.nodes.get(home.address)
        if node is not None and node.roles and node.stake + node.locked < least_stake:
            held, wanted = (node.stake + node.locked) / decimals, least_stake / decimals
            told = f"The node's stake is {held:g}, below {wanted:g} {seen.about.symbol}: pdfed stake add."
            yield Notice("stake", f"stake {int(time.time() // AGAIN_AFTER)}", told)
    for evaluation in home.read()["evaluations"]:
        if evaluation["copies"]:
            told = f"Model #{evaluation['id']} holds {evaluation['copies']} near-copies of the node's own pictures."
            yield Notice("copy", f"copy {evaluation['id']}", told, evaluation["id"])


@dataclass(slots=True)
class Notifier:
    """Sends each notice once, over restarts too if ``told_file`` is given."""

    watcher: Watcher
    to: list[Channel]
    least_stake: int
    told_file: Path | None = None
    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    """Deliveries given up so far."""
    _told: dict[str, None] = field(default_factory=dict)
    _sent: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        try:
            if self.told_file is not None:
                self._told = dict.fromkeys(str(key) for key in json.loads(self.told_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self._told = {}

    def look(self) -> int:
        """Tell what is new, as far as the hour allows. How many were told."""
        count = 0
        for notice in list(due_notices(self.watcher, self.least_stake)):
            if notice.key in self._told or not self._room():
                continue
            if self._send(notice):
                self._remember(notice.key)
                count += 1
        return count

    def _room(self) -> bool:
        now = self.clock()
        while self._sent and now - self._sent[0] >= HOUR:
            self._sent.popleft()
        return len(self._sent) < MOST

    def _send(self, notice: Notice) -> bool:
        """To every channel; told when one took it."""
        told = {"task": self.watcher.about.task, "chain": self.watcher.about.chain_id, **asdict(notice)}
        self._sent.append(self.clock())
        arrived = [self._delivered(channel, told) for channel in self.to]
        return any(arrived)

    def _delivered(self, channel: Channel, told: dict[str, Any]) -> bool:
        for attempt in range(TRIES):
            try:
                channel.send(told)
                return True
            except (OSError, subprocess.SubprocessError) as error:
                problem = type(error).__name__  # its text may hold the address, which may hold a secret
                if attempt + 1 < TRIES:
                    time.sleep(0.2 * 2**attempt)
        self.failures += 1
        log.warning("a notice (%s) did not reach the %s: %s", told["kind"], type(channel).__name__.lower(), problem)
        return False

    def _remember(self, key: str) -> None:
        self._told[key] = None
        while len(self._told) > KEPT:
            del self._told[next(iter(self._told))]
        if self.told_file is not None:
            write_durably(self.told_file, json.dumps(list(self._told)).encode())
