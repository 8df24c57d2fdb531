"""What the watcher remembers on disk: one line of the ledger for each thing that happened, and checkpoints of the read
model. SQLite, so that memory stays flat however long the task is.

A line is kept with its block; a reorganisation deletes the lines above the block that still stands.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdfed_sdk.errors import UsageError

CHECKPOINTS = 3
"""Checkpoints that are kept: a reorganisation below all of them replays the task."""
PAGE = 200
"""Most lines of one answer."""
POINTS = 300
"""Most points of earnings over time, but for the last."""
_COLUMNS = "block, time, event, submission, address, subject, amount, told, tx, sum"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS lines (
  seq INTEGER PRIMARY KEY, block INTEGER NOT NULL, time INTEGER, event TEXT NOT NULL, submission INTEGER,
  address TEXT, subject TEXT NOT NULL, amount TEXT, told TEXT NOT NULL, tx TEXT NOT NULL, sum TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS earnings (block INTEGER NOT NULL, time INTEGER, address TEXT NOT NULL, net TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS earned_by ON earnings (address, block);
CREATE INDEX IF NOT EXISTS earned_in ON earnings (block);
CREATE INDEX IF NOT EXISTS by_block ON lines (block);
CREATE INDEX IF NOT EXISTS by_submission ON lines (submission, seq);
CREATE INDEX IF NOT EXISTS by_address ON lines (address, seq);
CREATE TABLE IF NOT EXISTS checkpoints (block INTEGER PRIMARY KEY, cursor TEXT NOT NULL, state BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened. ``amount`` in token units, None where no money moved; ``time`` None if unknown."""

    block: int
    time: int | None
    event: str
    submission: int | None
    address: str | None
    subject: str
    amount: int | None
    told: str
    tx: str
    sum: str = ""
    """The amount as arithmetic (audit/arithmetic.py)."""


Earning = tuple[int, int | None, str, int]
"""Block, time, whose, and what it won (below zero: lost), in token units."""


class Chronicle:
    """Lines and checkpoints of one task. Not safe for use by two threads at once: the follower's lock guards it."""

    def __init__(self, path: Path | None, identity: str) -> None:
        """``path`` None keeps it in memory. A file of another task, chain or version of the SDK is started anew.

        UsageError if the file cannot be used.
        """
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._db = self._open(path)
            if self._meta("identity") not in (None, identity):
                self._db.close()
                if path is not None:
                    path.unlink()
                self._db = self._open(path)
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('identity', ?)", (identity,))
            self._db.commit()
        except sqlite3.Error as error:
            raise UsageError(
                f"the watcher's file {path} cannot be used: {error}", hint="delete it, or name another"
            ) from error

    @staticmethod
    def _open(path: Path | None) -> sqlite3.Connection:
        db = sqlite3.connect(":memory:" if path is None else path, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript(_SCHEMA)
        return db

    def _meta(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        self._db.close()

    # --- lines ---

    def add(self, lines: Iterable[Line], earnings: Iterable[Earning] = ()) -> None:
        rows = [
            (x.block, x.time, x.event, x.submission, x.address, x.subject, _text(x.amount), x.told, x.tx, x.sum)
            for x in lines
        ]
        self._db.executemany(
            f"INSERT INTO lines ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        won = [(block, time, whose, str(net)) for block, time, whose, net in earnings]
        self._db.executemany("INSERT INTO earnings (block, time, address, net) VALUES (?, ?, ?, ?)", won)
        self._db.commit()

    def of_submission(self, number: int, limit: int = PAGE) -> list[Line]:
        """Lines of a submission, oldest first."""
        return self._select("WHERE submission = ? ORDER BY seq LIMIT ?", number, limit)

    def of_address(self, address: str, limit: int = PAGE) -> list[Line]:
        """Lines that concern an address, newest first."""
        return self._select("WHERE address = ? ORDER BY seq DESC LIMIT ?", address, limit)

    def newest(self, limit: int = PAGE) -> list[Line]:
        """Lines in which money moved, newest first."""
        return self._select("WHERE amount IS NOT NULL ORDER BY seq DESC LIMIT ?", limit)

    def _select(self, where: str, *values: Any) -> list[Line]:
        found = self._db.execute(f"SELECT {_COLUMNS} FROM lines {where}", values)
        return [
            Line(block, time, event, number, address, subject, None if amount is None else int(amount), told, tx, sum_)
            for block, time, event, number, address, subject, amount, told, tx, sum_ in found
        ]

    def earnings_of(self, address: str, limit: int = POINTS) -> list[tuple[int, int]]:
        """Time and net result so far of an address, after each block that changed it, oldest first; of a longer history
        every so many-th point and the last."""
        found = self._db.execute(
            "SELECT time, net FROM earnings WHERE address = ? AND time IS NOT NULL ORDER BY block", (address,)
        )
        points: dict[int, int] = {}
        total = 0
        for time, net in found:
            total += int(net)
            points[int(time)] = total
        every = max(1, -(-len(points) // limit))
        kept = list(points.items())
        return [point for index, point in enumerate(kept) if index % every == 0 or index == len(kept) - 1]

    # --- checkpoints ---

    def keep(self, block: int, cursor: str, state: bytes) -> None:
        """A checkpoint of the read model at the end of a block; the oldest ones are dropped."""
        self._db.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?)", (block, cursor, state))
        self._db.execute(
            "DELETE FROM checkpoints WHERE block NOT IN (SELECT block FROM checkpoints ORDER BY block DESC LIMIT ?)",
            (CHECKPOINTS,),
        )
        self._db.commit()

    def rewind(self, block: int | None) -> tuple[str, bytes] | None:
        """Cursor and state of the newest checkpoint at or below a block (None: any); what lies above is forgotten."""
        most = 2**62 if block is None else block
        row = self._db.execute(
            "SELECT block, cursor, state FROM checkpoints WHERE block <= ? ORDER BY block DESC LIMIT 1", (most,)
        ).fetchone()
        kept = -1 if row is None else int(row[0])
        self._db.execute("DELETE FROM lines WHERE block > ?", (kept,))
        self._db.execute("DELETE FROM earnings WHERE block > ?", (kept,))
        self._db.execute("DELETE FROM checkpoints WHERE block > ?", (kept,))
        self._db.commit()
        return None if row is None else (str(row[1]), bytes(row[2]))


def _text(amount: int | None) -> str | None:
    """Token units do not fit into SQLite's integers."""
    return None if amount is None else str(amount)
