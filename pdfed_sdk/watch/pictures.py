"""What the packages in a store say and show: provenance in words, and a strip of samples; each made once and kept.

A package is verified against the chain before anything of it is shown. Samples are drawn from one fixed seed, so that
models can be compared by eye; they are what anybody can draw from a published model.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pdfed_sdk.artifacts.cid import Cid
from pdfed_sdk.artifacts.package import open_package
from pdfed_sdk.artifacts.provenance import Expected, ExpectedModel, inspect
from pdfed_sdk.artifacts.store import Store
from pdfed_sdk.audit.state import TaskState
from pdfed_sdk.errors import PdfedError
from pdfed_sdk.files import write_durably
from pdfed_sdk.types import GENESIS, Address
from pdfed_sdk.watch.text import clean

SEED: Final = bytes(range(32))
SAMPLES: Final = 6
STEPS: Final = 15
"""Samples of a strip, and denoising steps of each."""
MOST_PARAMETERS: Final = 4_000_000
"""Larger models are not sampled here: a page must not keep a machine busy."""
MOST_BYTES: Final = 64 << 20
"""Larger packages are not fetched for a page."""
KEPT_TRAINING: Final = ("dataset_size", "pictures", "steps", "optimiser", "lr", "batch", "seed")


@dataclass(frozen=True, slots=True)
class Named:
    """A model as the chain names it."""

    key: str
    """Hexadecimal package digest: the name of its files."""
    cid: Cid
    expected: Expected


def named(state: TaskState, sponsor: Address, number: int) -> Named | None:
    """What the chain says of a submission's package; None if it was never submitted."""
    model = state.models[number]
    if model.record is None:
        return None
    digests = model.record.digests
    cid = Cid(digests.package_codec, digests.package_digest)
    if number == GENESIS:
        return Named(digests.package_digest.hex(), cid, Expected(sponsor, digests, first=True))
    parents = {}
    for parent in model.record.parents:
        other = state.models[int(parent.id)]
        assert other.record is not None, "a parent on chain was submitted"
        content = other.record.digests
        wallet = other.author if parent.id != GENESIS else sponsor
        parents[int(parent.id)] = ExpectedModel(wallet, content.weights_digest, content.manifest_digest)
    return Named(digests.package_digest.hex(), cid, Expected(model.author, digests, parents))


class Gallery:
    """Facts and samples of packages, kept in a folder by package digest."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store, self.folder = store, folder

    def facts(self, model: Named) -> dict[str, Any] | None:
        """What is known of a package, None if it was not looked at yet."""
        try:
            return dict(json.loads((self.folder / f"{model.key}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None

    def picture(self, model: Named) -> bytes | None:
        """The strip of samples as PNG, None if there is none."""
        try:
            return (self.folder / f"{model.key}.png").read_bytes()
        except OSError:
            return None

    def make(self, model: Named) -> dict[str, Any]:
        """Fetch, verify, describe and sample a package. What is wrong with it is part of the answer, and is not kept:
        a package that the store does not hold may be there next time."""
        with tempfile.TemporaryDirectory(prefix="pdfed-watch-") as scratch:
            place = Path(scratch)
            try:
                package = self._store.fetch(model.cid, place / "package.zip", max_bytes=MOST_BYTES)
            except PdfedError as error:
                return {"ok": False, "problem": clean(error.message), "cid": str(model.cid)}
            facts = in_words(inspect(package, model.expected), model.cid)
            if not facts["ok"]:
                return facts
            picture = sample(package, place / "model")
            if picture is not None:
                write_durably(self.folder / f"{model.key}.png", picture)
            write_durably(self.folder / f"{model.key}.json", json.dumps(facts).encode())
            return facts


def in_words(found: Mapping[str, Any], cid: Cid) -> dict[str, Any]:
    """A verified package's statements as plain text; of a bad one, what is wrong."""
    if not found["ok"]:
        return {"ok": False, "problem": clean(found["problem"]["message"], 400), "cid": str(cid)}
    training = found["training"]
    told = {clean(name, 40): clean(training[name], 80) for name in KEPT_TRAINING if name in training}
    return {
        "ok": True,
        "cid": str(cid),
        "title": clean(found["title"]),
        "signer": clean(found["signer"]),
        "trusted": bool(found["trusted"]),
        "wallet": clean(found["wallet"]),
        "size": int(found["size"]),
        "parameters": int(found["parameters"]),
        "generations": int(found["generations"]),
        "training": told,
    }


def sample(package: Path, folder: Path) -> bytes | None:
    """A strip of samples as PNG; None where this machine or the model cannot draw them."""
    try:
        from pdfed_sdk.family import load_model
        from pdfed_sdk.ml.strip import png_strip
    except ImportError:
        return None
    try:
        if open_package(package, folder).parameters > MOST_PARAMETERS:
            return None
        model = load_model(folder)
        images, _ = model.family.sample(model, SAMPLES, SEED, steps=STEPS)
    except PdfedError:
        return None
    return png_strip(images)
