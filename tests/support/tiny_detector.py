"""A fingerprinter so small that its training takes a second."""

from __future__ import annotations

from pdfed_sdk.ml.copies.train_encoder import FingerprintConfig

TINY = FingerprintConfig(architecture="small", steps=6, batch=8, save_every=2, bf16=False, verifier_rounds=1, whiten=0)
