"""A node's side of a relay: each sealed vote's opening is handed over once it is on chain."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import requests

from pdfed_sdk.chain.actions import record_hash
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.handover import public_key, seal_for
from pdfed_sdk.errors import ConfigError
from pdfed_sdk.node.task_view import Entry

log = logging.getLogger("pdfed.node")

LONGEST_PAUSE = 60.0
_SECONDS = 2.0


class Entrusting:
    """Hands openings to the relay at ``url``, sealed to its ``key``. A relay that is down is tried again, at longer and
    longer intervals, and never holds up the node for more than two seconds."""

    def __init__(self, client: PdfedClient, url: str, key: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f'[relay] url is "{url}"', hint="as pdfed relay run prints it: http://HOST:PORT")
        self._client, self._url, self._key = client, url.rstrip("/") + "/openings", public_key(key)
        self._done: set[tuple[int, bytes]] = set()
        self._failures, self._again = 0, 0.0

    def look(self, sealed: Sequence[Entry]) -> None:
        """Hand over what the relay does not have yet; ``sealed`` are votes of this node that are not open."""
        for entry in sealed:
            assert entry.record is not None, "a vote is about a record"
            about = int(entry.id), record_hash(entry.record)  # after a reorganisation it may be another
            if about in self._done or time.monotonic() < self._again:
                continue
            vote = self._client.opening(entry.id)
            if vote is None:
                continue
            if self._send(seal_for(self._key, vote, self._client.chain_id, self._client.task.book)):
                self._done.add(about)
                log.info("the relay keeps the opening of the vote on %d", entry.id)

    def _send(self, data: bytes) -> bool:
        try:
            reply = requests.post(self._url, data=data, timeout=_SECONDS, allow_redirects=False)
            told = "" if reply.status_code == 201 else f"HTTP {reply.status_code}: {reply.text[:200]}"
        except requests.RequestException as error:
            told = type(error).__name__
        if not told:
            self._failures = 0
            return True
        if not self._failures:
            log.warning(
                "the relay does not take openings (%s); this node opens its votes itself, and tries again", told
            )
        self._failures += 1
        self._again = time.monotonic() + min(LONGEST_PAUSE, 2.0**self._failures)
        return False
