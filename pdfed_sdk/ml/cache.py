"""What a node computes once about its pictures (fingerprints, features, thresholds), kept in files by their hash."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor


def remembered(
    cache: Path | None, what: str, images: Tensor, compute: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """``compute()``, or what an earlier call left in ``cache`` under the same name and pictures; a damaged file is
    computed anew."""
    if cache is None:
        return compute()
    key = hashlib.sha256(what.encode() + str(tuple(images.shape)).encode() + images.numpy().tobytes()).hexdigest()
    path = cache / f"{key[:32]}.safetensors"
    with contextlib.suppress(OSError, SafetensorError):
        return load(path.read_bytes())  # not mapped: somebody may write there
    found = {name: tensor.contiguous() for name, tensor in compute().items()}
    cache.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    save_file(found, fresh)
    fresh.replace(path)
    return found
