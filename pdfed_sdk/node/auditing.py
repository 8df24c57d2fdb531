"""The whole audit: the chain's (events -> state -> money) and the packages' (digests -> manifests -> lineage)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pdfed_sdk.artifacts.store import Store
from pdfed_sdk.audit import AuditReport, SubmissionRecord, audit
from pdfed_sdk.chain.client import PdfedClient
from pdfed_sdk.node.model_cache import ModelCache
from pdfed_sdk.node.task_view import TaskView
from pdfed_sdk.types import SubmissionId


def audit_task(client: PdfedClient, store: Store | None = None) -> AuditReport:
    """Audit a task; with a store, every submitted package is fetched and verified afresh. Raises ChainError."""
    if store is None:
        return audit(client)
    view = TaskView(client)
    view.refresh()
    with tempfile.TemporaryDirectory(prefix="pdfed-audit-") as scratch:
        models = ModelCache(Path(scratch), store, view, view.params.sponsor)

        def fetch_and_verify(record: SubmissionRecord) -> None:
            models.get(SubmissionId(record.id))

        return audit(client, fetch_and_verify=fetch_and_verify)
