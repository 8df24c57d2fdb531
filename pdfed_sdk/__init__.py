"""PDFed: decentralised, asynchronous federated learning of diffusion models.

The names below are the public API. They are loaded when first used, so that ``import pdfed_sdk`` needs neither torch
nor the libraries of packages and provenance; the ML half is ``pdfed_sdk.ml``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdfed_sdk.lazy import exports

if TYPE_CHECKING:
    from pdfed_sdk.artifacts import KuboStore, LocalStore
    from pdfed_sdk.chain.client import AsyncPdfedClient, PdfedClient
    from pdfed_sdk.node.publishing import submit_model
    from pdfed_sdk.types import ModelRecord, ScoreVote, Task

__all__ = [
    "AsyncPdfedClient",
    "KuboStore",
    "LocalStore",
    "ModelRecord",
    "PdfedClient",
    "ScoreVote",
    "Task",
    "submit_model",
]

_HOMES = {
    "pdfed_sdk.artifacts": ("KuboStore", "LocalStore"),
    "pdfed_sdk.chain.client": ("AsyncPdfedClient", "PdfedClient"),
    "pdfed_sdk.node.publishing": ("submit_model",),
    "pdfed_sdk.types": ("ModelRecord", "ScoreVote", "Task"),
}

__getattr__, __dir__ = exports(__name__, _HOMES)
