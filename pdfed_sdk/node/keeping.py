"""What a node's store must keep: the best model, what it is measured against, genesis, and the node's own."""

from __future__ import annotations

from pdfed_sdk.artifacts.cid import Cid
from pdfed_sdk.artifacts.store import Store
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.types import GENESIS, Address, Status, SubmissionId


class Keeper:
    """Pins these models once they are here, and lets the others go; a store with a quota may then forget them."""

    def __init__(self, me: Address, store: Store, view: TaskView) -> None:
        self._me, self._store, self._view = me, store, view
        self._pinned: set[Cid] = set()

    def look(self) -> None:
        """Bring the pins up to date. Never waits for content. Raises StoreError."""
        found = (self._cid(submission) for submission in self.wanted())
        wanted = {cid for cid in found if cid is not None}
        for cid in wanted - self._pinned:
            if self._store.has(cid):
                self._store.pin(cid)
                self._pinned.add(cid)
        for cid in self._pinned - wanted:
            self._store.unpin(cid)
            self._pinned.discard(cid)

    def wanted(self) -> set[SubmissionId]:
        view, best = self._view, self._view.best
        own = {e.id for e in view.entries.values() if e.author == self._me and e.status is not Status.VOID}
        reference = {view.entries[best].reference} if best in view.entries else set()
        return {GENESIS, best} | reference | own

    def _cid(self, submission: SubmissionId) -> Cid | None:
        digests = self._view.digests_of(submission)
        return Cid(digests.package_codec, digests.package_digest) if digests else None
