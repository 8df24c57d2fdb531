"""A node's own fingerprinter: encoder and verifier trained on the node's own pictures, once for each set of pictures.

Sharper on them than the shipped one, which never saw them; scores made with it compare inside one node only, since
every node has other weights.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from pdfed_sdk.errors import MlError
from pdfed_sdk.ml.copies.detector import Detector, save_detector
from pdfed_sdk.ml.copies.encoders import SmallEncoder, architecture, encoder_input
from pdfed_sdk.ml.copies.train_encoder import RECIPE, EncoderRun, FingerprintConfig, OnStep
from pdfed_sdk.ml.copies.train_verifier import train_verifier
from pdfed_sdk.ml.data import PictureSet


def train_fingerprinter(
    pictures: PictureSet,
    folder: Path,
    config: FingerprintConfig | None = None,
    *,
    pretrained: bool | None = None,
    on_step: OnStep | None = None,
) -> Detector | None:
    """The detector for ``pictures``, at least half a batch of them: out of ``folder`` if it was trained before for
    these very pictures and this config, else trained and kept there.

    Killed at any time, the next call goes on from the last snapshot and ends with the same weights. ``pretrained``
    starts from the shipped weights, not from scratch; None does so where they are of the wanted architecture.
    ``on_step(step, steps, loss)`` may return False to stop: None is returned, a later call goes on. Errors: DataError,
    MlError.
    """
    config = config or FingerprintConfig()
    wanted = architecture(config.architecture, config.device)
    if pretrained is None:
        pretrained = wanted is SmallEncoder  # what ships
    shipped = Detector.load() if pretrained else None
    if shipped is not None and not isinstance(shipped.encoder, wanted):
        raise MlError(f"the shipped weights are of {shipped.encoder.name}, not of {wanted.name}")
    name = detector_name(pictures, config, shipped)
    path, snapshot = folder / f"{name}.safetensors", folder / f"{name}.snapshot"
    if not path.is_file():
        encoder = EncoderRun(pictures.images, config, shipped.encoder if shipped else None).run(snapshot, on_step)
        if encoder is None:
            return None
        pixels = encoder_input(pictures.images)
        pixels = pixels if pictures.channels == 3 else pixels[:, :1]
        verifier = train_verifier(
            pixels, encoder, rounds=config.verifier_rounds, epochs=config.verifier_epochs, seed=config.seed
        )
        save_detector(encoder, verifier, (shipped or Detector.load()).judge, path)
        snapshot.unlink(missing_ok=True)
    return Detector.load(path)


def detector_of(pictures: PictureSet, fingerprint: str, sha256: str, folder: Path | None) -> Detector:
    """The detector that the settings name: "shipped", of the wanted hash if one is given, or "own", kept in
    ``folder`` (default: `default_folder`). Errors: ExtractorMismatch, MlError, DataError."""
    if fingerprint == "shipped":
        return Detector.load(sha256=sha256 or None)
    found = train_fingerprinter(pictures, folder or default_folder())
    assert found is not None  # nothing stops it
    return found


def default_folder() -> Path:
    """Where own fingerprinters are kept: pdfed/fingerprints in the user's cache folder. They know the pictures they
    were trained on: keep them as private as those."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "pdfed" / "fingerprints"


def detector_name(pictures: PictureSet, config: FingerprintConfig, shipped: Detector | None = None) -> str:
    """File name without suffix: a hash of the pictures, recipe and settings, and the weights to start from."""
    settings = dataclasses.asdict(dataclasses.replace(config, save_every=1, bf16=config.half))
    facts = json.dumps([RECIPE, settings, pictures.digest().hex(), shipped.sha256 if shipped else ""], sort_keys=True)
    return f"fingerprint-{hashlib.sha256(facts.encode()).hexdigest()[:32]}"
