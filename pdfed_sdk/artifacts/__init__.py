"""Models as bytes: packages, provenance, content-addressed stores. Knows no chain.

``cid``, ``store``, ``kubo`` need the standard library only; ``archive``, ``tensors``, ``package`` read and write
packages; ``identity``, ``manifests``, ``provenance`` sign and verify them (c2pa, cryptography).
"""

from pdfed_sdk.artifacts.cid import Cid, cid_of
from pdfed_sdk.artifacts.kubo import KuboStore
from pdfed_sdk.artifacts.store import LocalStore, Store

__all__ = ["Cid", "KuboStore", "LocalStore", "Store", "cid_of"]
