"""Hosts of one network, each a network namespace with an address of its own, and the link between them.

The link is ours, in user space: each host has a TAP device whose other end a thread reads, delays, loses and delivers.
So it works where the kernel has no netem. Everything is made inside the caller's own namespaces and is gone with them:
run this under ``unshare --net --mount`` (see `private`). Linux and root only.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
MOST_FRAME = 4_096
BROADCAST = b"\xff" * 6
NEAR = "10.78.0"
"""Network between the caller and the first host, without delay: to look from outside."""


def lacking() -> str:
    """Why hosts cannot be made here; empty if they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs Linux and root, to make network namespaces"
    missing = [name for name in ("ip", "unshare", "mount") if shutil.which(name) is None]
    if missing:
        return f"needs the commands {', '.join(missing)}"
    if not Path("/dev/net/tun").exists():
        return "needs /dev/net/tun"
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "may not make network namespaces here"


def private(command: Sequence[str]) -> list[str]:
    """The command, run with a network and mounts that nobody else sees."""
    script = 'mkdir -p /run/netns && mount -t tmpfs none /run/netns && ip link set lo up && exec "$@"'
    return ["unshare", "--net", "--mount", "sh", "-c", script, "sh", *command]


@dataclass(order=True)
class _Flying:
    due: float
    number: int
    to: str = field(compare=False)
    frame: bytes = field(compare=False)


class Link(threading.Thread):
    """Carries frames between hosts: ``delay`` ± ``jitter`` seconds one way, in order for each pair; a share ``loss`` of
    them never arrives. Hosts in ``cut`` neither send nor receive."""

    def __init__(
        self, taps: dict[str, int], *, delay: float = 0.08, jitter: float = 0.02, loss: float = 0.01, seed: int = 0
    ) -> None:
        super().__init__(daemon=True)
        self._taps, self._delay, self._jitter, self._loss = taps, delay, jitter, loss
        self._dice = random.Random(seed)
        self._flying: list[_Flying] = []
        self._last: dict[tuple[str, str], float] = {}
        self._known: dict[bytes, str] = {}
        self.cut: set[str] = set()
        self.carried = self.lost = 0

    def run(self) -> None:
        names = {descriptor: name for name, descriptor in self._taps.items()}
        while True:
            wait = max(0.0, self._flying[0].due - time.monotonic()) if self._flying else 1.0
            for descriptor in select.select(list(names), [], [], wait)[0]:
                self._take(names[descriptor], os.read(descriptor, MOST_FRAME))
            while self._flying and self._flying[0].due <= time.monotonic():
                self._deliver(heapq.heappop(self._flying))

    def _take(self, sender: str, frame: bytes) -> None:
        to, self._known[frame[6:12]] = frame[:6], sender
        receivers = [self._known[to]] if to in self._known else [name for name in self._taps if name != sender]
        for receiver in receivers:
            if self._dice.random() < self._loss or {sender, receiver} & self.cut:
                self.lost += 1
                continue
            pair, wished = (sender, receiver), self._delay + self._dice.uniform(-1, 1) * self._jitter
            self._last[pair] = max(self._last.get(pair, 0.0), time.monotonic() + wished)
            self.carried += 1
            heapq.heappush(self._flying, _Flying(self._last[pair], self.carried, receiver, frame))

    def _deliver(self, item: _Flying) -> None:
        if item.to not in self.cut:
            os.write(self._taps[item.to], item.frame)


class Network:
    """Hosts ``h1`` … with the addresses 10.77.0.1 …, and a link between them."""

    def __init__(self, count: int, **link: float) -> None:
        taps = {f"h{number}": _tap(f"tap{number}") for number in range(1, count + 1)}
        for number, name in enumerate(taps, 1):
            ip(f"netns add {name}")
            ip(f"link set tap{number} netns {name}")
            ip(f"-n {name} addr add {self.address(name)}/24 dev tap{number}")
            ip(f"-n {name} link set tap{number} up")
            ip(f"-n {name} link set lo up")
        ip("link add near0 type veth peer name near1")
        ip("link set near1 netns h1")
        ip(f"addr add {NEAR}.1/24 dev near0")
        ip(f"-n h1 addr add {NEAR}.2/24 dev near1")
        ip("link set near0 up")
        ip("-n h1 link set near1 up")
        self.link = Link(taps, **link)  # type: ignore[arg-type]
        self.link.start()

    @staticmethod
    def address(host: str) -> str:
        return f"10.77.0.{host[1:]}"

    @staticmethod
    def on(host: str, *command: str) -> list[str]:
        """The command, run on a host."""
        return ["ip", "netns", "exec", host, *command]


def _tap(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, stdin=subprocess.DEVNULL)
