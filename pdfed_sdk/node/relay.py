"""A relay: a second machine, trusted by a node's owner, that opens the node's votes when the node is down.

It can read every vote that it keeps, before the window in which votes are opened. What it keeps on disk are the sealed
openings as they came; its wallet's password opens them. It opens a vote only when the node has let a part of the reveal
window pass, so that a node that runs pays for its own reveals.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.chain.commitments import vote_digest
from pdfed_sdk.chain.handover import MOST_BYTES, relay_key, unseal_as
from pdfed_sdk.chain.journal import opens
from pdfed_sdk.chain.signers import Signer
from pdfed_sdk.errors import ChainError, JournalError, PdfedError, ProtocolRevert, UsageError
from pdfed_sdk.files import write_durably
from pdfed_sdk.types import ScoreVote

log = logging.getLogger("pdfed.relay")

MOST_KEPT = 10_000
"""Openings a relay keeps at once; one takes less than 1 KB."""
WARNING = (
    "this relay can read every vote that nodes entrust to it, before the votes are opened; run it only where you would "
    "run the node itself"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """An opening on this relay's disk, with its reveal window."""

    file: Path
    vote: ScoreVote
    reveal_start: int
    reveal_end: int


class Relay:
    """Openings of a task's votes, in ``folder``. ``patience``: share of the reveal window that is left to the node."""

    def __init__(self, client: PdfedClient, signer: Signer, folder: Path, patience: float = 1 / 3) -> None:
        if not 0.0 <= patience < 1.0:
            raise UsageError(f"patience is {patience:g}, expected at least 0 and below 1")
        self._client, self._key, self._folder, self._patience = client, relay_key(signer), folder, patience
        self._chain = threading.Lock()  # the client is one connection, and requests come in threads

    def keep(self, data: bytes) -> str:
        """Keep a sealed opening of a vote that is on chain and not open; returns the name it is kept under.

        JournalError for anything else: a relay is no store for strangers.
        """
        with self._chain:
            vote = unseal_as(self._key, data, self._client.chain_id, self._client.task.book)
            on_chain = self._client.vote(vote.submission_id, vote.voter)
            if on_chain.revealed or not opens(on_chain, self._digest(vote)):
                raise JournalError(f"this opens no sealed vote of {vote.voter} on {vote.submission_id}")
            name = hashlib.sha256(f"{vote.submission_id} {vote.voter}".encode()).hexdigest()[:32]
            if len(list(self._folder.glob("*.opening"))) >= MOST_KEPT:
                raise JournalError(f"{MOST_KEPT} openings are kept already")
            write_durably(self._folder / f"{name}.opening", data)
        log.info("keeps the opening of a vote on %d of %s", vote.submission_id, vote.voter)
        return name

    def kept(self) -> list[Kept]:
        """What is kept, the most urgent first. A file that does not open is told and left alone."""
        found = []
        for file in sorted(self._folder.glob("*.opening")):
            try:
                vote = unseal_as(self._key, file.read_bytes(), self._client.chain_id, self._client.task.book)
            except JournalError as error:
                log.warning("%s: %s", file.name, error.message)
                continue
            windows = self._client.windows(vote.submission_id)
            found.append(Kept(file, vote, windows.reveal_start, windows.reveal_end))
        return sorted(found, key=lambda one: one.reveal_end)

    def look(self) -> list[ScoreVote]:
        """Open what its node has not opened in time, and forget what is open or over; returns what was opened."""
        opened = []
        with self._chain:
            now = self._client.now()
            for one in self.kept():
                on_chain = self._client.vote(one.vote.submission_id, one.vote.voter)
                due = one.reveal_start + self._patience * (one.reveal_end - one.reveal_start)
                if on_chain.revealed or now >= one.reveal_end:
                    one.file.unlink(missing_ok=True)
                elif now >= due and on_chain.exists and self._open(one.vote):
                    opened.append(one.vote)
                    one.file.unlink(missing_ok=True)
        return opened

    def _open(self, vote: ScoreVote) -> bool:
        try:
            receipt = self._client.act(self._client.calls.reveal(vote))
        except ProtocolRevert as error:  # the node came back in between, or a reorganisation took the commit away
            log.warning("the vote of %s on %d: %s", vote.voter, vote.submission_id, error.message)
            return False
        log.info("opened the vote of %s on %d in block %d", vote.voter, vote.submission_id, receipt.block)
        return True

    def _digest(self, vote: ScoreVote) -> bytes:
        return vote_digest(vote, self._client.chain_id, self._client.task.book)

    def run(self, stop: threading.Event, poll: float) -> None:
        """Look every ``poll`` seconds until ``stop``. A chain that does not answer is told once and waited for."""
        silent = False
        while not stop.is_set():
            try:
                self.look()
                silent = False
            except (ChainError, OSError) as error:
                if not silent:
                    log.warning("%s; trying until it works", error)
                silent = True
            stop.wait(poll)


@contextmanager
def listening(relay: Relay, host: str, port: int) -> Iterator[str]:
    """Take openings by ``POST /openings`` for as long as the block lasts; yields the URL. UsageError: port taken."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0

        def do_POST(self) -> None:
            length = self.headers.get("content-length", "")
            if self.path != "/openings" or not length.isdecimal() or not 0 < int(length) <= MOST_BYTES:
                self._answer(400, "POST a sealed opening to /openings")
                return
            try:
                self._answer(201, relay.keep(self.rfile.read(int(length))))
            except JournalError as error:
                self._answer(422, error.message)
            except (PdfedError, OSError) as error:
                log.warning("an opening was not kept: %s", error)
                self._answer(503, "not now, send it again")

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("content-type", "text/plain; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            log.debug(format, *args)

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}", hint="choose another --port") from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
