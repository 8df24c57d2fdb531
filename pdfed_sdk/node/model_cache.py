"""Downloaded models: fetched from the store, verified against the chain, unpacked once, kept by id."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from pdfed_sdk.artifacts.cid import Cid
from pdfed_sdk.artifacts.package import open_package
from pdfed_sdk.artifacts.provenance import Expected, ExpectedModel, verify_package
from pdfed_sdk.artifacts.store import Store, storage_errors
from pdfed_sdk.errors import ContentMissing, DigestMismatch
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.types import GENESIS, Address, ModelDigests, SubmissionId

MOST_BYTES = 8 * 10**9
"""Quota of a node's models, packages and unpacked folders together, unless `[node] quota` sets another."""


@dataclass(frozen=True, slots=True)
class CachedModel:
    package: Path
    folder: Path


class ModelCache:
    """Gives a verified model by id: bytes, manifest and parents match the chain, or it is not given."""

    def __init__(
        self, root: Path, store: Store, view: TaskView, sponsor: Address, *, most: int = MOST_BYTES, least: int = 24
    ) -> None:
        """``most``: bytes above which the models that were not used for longest are dropped; the ``least`` newest stay
        whatever they take, as somebody may be reading them."""
        self._root, self._store, self._view, self._sponsor = root, store, view, sponsor
        self._most, self._least = most, least

    def get(self, submission: SubmissionId) -> CachedModel:
        """Raises ContentMissing while the store does not hold it, or gives other bytes than it was asked for (which its
        author is not to blame for), and DigestMismatch, PackageInvalid or ProvenanceInvalid when the bytes that
        the chain names are no model, or not the one it describes."""
        digests = self._view.digests_of(submission)
        if digests is None:
            raise ContentMissing(
                f"submission {submission} is reserved but not submitted: there is nothing to fetch yet",
                hint="wait for its submit, or until its submit window is over",
            )
        place = self._root / str(submission)
        model, kept = CachedModel(place / "package.zip", place / "model"), place / "digest"
        with storage_errors("keeping the model", place):
            if kept.is_file() and kept.read_bytes() != digests.package_digest:
                shutil.rmtree(place)  # a reorganisation has given the id to another model
            if model.folder.is_dir():
                kept.touch()
                return model
            place.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(digests.package_digest)
        try:
            package = self._store.fetch(Cid(digests.package_codec, digests.package_digest), model.package)
        except DigestMismatch as error:
            raise ContentMissing(f"the store gives other bytes for {submission}: {error.message}") from error
        verify_package(package, self.expected(submission, digests))
        open_package(package, model.folder)
        self._sweep()
        return model

    def _sweep(self) -> None:
        """Drop what was not used for longest while all together is above the quota: a store still has it."""
        places = sorted(self._root.iterdir(), key=_last_use)
        sizes = [sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) for place in places]
        over = sum(sizes) - self._most
        for place, size in list(zip(places, sizes, strict=True))[: -self._least]:
            if over <= 0:
                return
            shutil.rmtree(place, ignore_errors=True)
            over -= size

    def forget(self, submission: SubmissionId) -> None:
        """Drop what is cached of a model: the next `get` fetches and checks it afresh."""
        shutil.rmtree(self._root / str(submission), ignore_errors=True)

    def expected(self, submission: SubmissionId, digests: ModelDigests) -> Expected:
        """What the chain says a package must be: author, digests, and the same of each of its parents."""
        if submission == GENESIS:
            return Expected(author=self._sponsor, digests=digests, first=True)
        entry = self._view.entries[submission]
        parents = {int(parent.id): self._model(parent.id) for parent in (entry.record.parents if entry.record else ())}
        return Expected(author=entry.author, digests=digests, parents=parents)

    def _model(self, submission: SubmissionId) -> ExpectedModel:
        digests = self._view.digests_of(submission)
        assert digests is not None, "a parent on chain was submitted"
        author = self._sponsor if submission == GENESIS else self._view.entries[submission].author
        return ExpectedModel(
            wallet=author, weights_digest=digests.weights_digest, manifest_digest=digests.manifest_digest
        )


def _last_use(place: Path) -> float:
    try:
        return (place / "digest").stat().st_mtime
    except OSError:
        return 0.0
