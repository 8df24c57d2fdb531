"""What a node's store must keep: the best model, what it is measured against, genesis, and the node's own."""

from __future__ import annotations

import json
from pathlib import Path

from pdfed_sdk.artifacts.cid import Cid
from pdfed_sdk.artifacts.store import Store
from pdfed_sdk.errors import PdfedError
from pdfed_sdk.files import write_durably
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.types import GENESIS, Address, Status, SubmissionId


class Keeper:
    """Pins these models once they are here, and lets the others go; a store with a quota may then forget them. ``note``
    is the file that remembers what this node may have pinned: other pins of a shared store stay. A pin has no owner,
    so a node that wants what another one lets go pins it again when it starts."""

    def __init__(self, me: Address, store: Store, view: TaskView, note: Path) -> None:
        self._me, self._store, self._view, self._note = me, store, view, note
        self._noted, self._sure = _read(note), set[Cid]()

    def look(self) -> None:
        """Bring the pins up to date. Never waits for content. Raises StoreError, OSError."""
        found = (self._cid(submission) for submission in self.wanted())
        wanted = {cid for cid in found if cid is not None}
        for cid in wanted - self._sure:
            if self._store.has(cid):
                self._remember(self._noted | {cid})  # before the pin: what a kill leaves behind is still let go later
                self._store.pin(cid)
                self._sure.add(cid)
        for cid in self._noted - wanted:
            self._store.unpin(cid)
            self._sure.discard(cid)
            self._remember(self._noted - {cid})

    def _remember(self, noted: set[Cid]) -> None:
        if noted != self._noted:
            write_durably(self._note, json.dumps(sorted(map(str, noted))).encode())
            self._noted = noted

    def wanted(self) -> set[SubmissionId]:
        view, best = self._view, self._view.best
        own = {e.id for e in view.entries.values() if e.author == self._me and e.status is not Status.VOID}
        reference = {view.entries[best].reference} if best in view.entries else set()
        return {GENESIS, best} | reference | own

    def _cid(self, submission: SubmissionId) -> Cid | None:
        digests = self._view.digests_of(submission)
        return Cid(digests.package_codec, digests.package_digest) if digests else None


def _read(note: Path) -> set[Cid]:
    """What the note says; nothing if there is none or it is damaged: then old pins stay, which costs space alone."""
    try:
        return {Cid.parse(text) for text in json.loads(note.read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError, AttributeError, PdfedError):
        return set()
