"""The fingerprinter against plain features: does it find the original of a degraded copy, and tell copies from news?

4,000 pictures are the index and all that the node's own fingerprinter is trained on, on one core, from the shipped
weights (which saw other public pictures) or with --scratch from random ones. Each is degraded once as diffusion
degrades: shift and zoom, blur, lost resolution, contrast, noise (`augment.degrade` without JPEG, at the strength at
which pixel L2 finds 71 % of Fashion-MNIST originals with an AUC of 0.67: that of the pilot).

top-1: share of degraded copies whose nearest picture of the index is their original. AUC: similarity of degraded copies
to their originals against similarity of held-out real pictures, not degraded, to the nearest picture of the index.

    python -m benchmarks.fingerprint [--json] [--data mnist|fashion-mnist|PATH] [--steps 360] [--scratch]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.copies.augment import degrade
from pdfed_sdk.ml.copies.detector import Detector
from pdfed_sdk.ml.copies.encoders import Encoder, encoder_input
from pdfed_sdk.ml.copies.train_encoder import EncoderRun, FingerprintConfig
from pdfed_sdk.ml.copies.train_verifier import encode
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.quality.features import load_extractor
from pdfed_sdk.ml.sources import load_pictures

STRENGTH = 0.43
INDEX, HELDOUT = 4_000, 2_000
PLACES = [Path(root) / "share" / "datasets" / "fashion-mnist" for root in ("/usr", "/usr/local")]
"""Where the Debian package dataset-fashion-mnist puts its idx files."""
PILOT = {"own": (0.95, 0.91), "pixel_l2": (0.71, 0.67), "efficientnet_lite0": (0.49, 0.39)}


def pictures(data: str, seed: int = 0) -> tuple[PictureSet, Tensor]:
    """(index of 4,000, held-out pictures), every picture once."""
    if data == "fashion-mnist":
        found = [place for place in PLACES if place.is_dir()]
        if not found:
            raise DataError("Fashion-MNIST is not installed", hint="apt install dataset-fashion-mnist, or --data PATH")
        data = str(found[0])
    every = load_pictures(data)
    _, first = np.unique(every.images.numpy().reshape(len(every), -1), axis=0, return_index=True)
    order = np.random.default_rng(seed).permutation(np.sort(first))[: INDEX + HELDOUT]
    if len(order) <= INDEX:
        raise DataError(f"{data} has {len(order)} different pictures, the benchmark wants more than {INDEX}")
    return every.take(order[:INDEX].tolist()), every.images[torch.from_numpy(order[INDEX:])]


def measure(features: Callable[[Tensor], Tensor], index: Tensor, copies: Tensor, heldout: Tensor) -> dict[str, float]:
    """top-1, AUC and milliseconds a picture of features (n, D) compared by Euclidean distance."""
    from sklearn.metrics import roc_auc_score

    started = time.process_time()
    known, asked, new = (features(images) for images in (index, copies, heldout))
    spent = time.process_time() - started
    own = (asked - known).norm(dim=1)
    nearest = torch.cat([torch.cdist(part, known).min(1).values for part in new.split(500)])
    top = torch.cat([torch.cdist(part, known).argmin(1) for part in asked.split(500)])
    labels = np.r_[np.ones(len(own)), np.zeros(len(nearest))]
    return {
        "top1": float((top == torch.arange(len(index))).double().mean()),
        "auc": float(roc_auc_score(labels, -torch.cat([own, nearest]).numpy())),
        "ms_per_image": 1e3 * spent / (2 * len(index) + len(heldout)),
    }


def train_own(
    index: PictureSet, steps: int, seed: int, start: Encoder | None = None, whiten: int = FingerprintConfig.whiten
) -> tuple[Callable[[Tensor], Tensor], float]:
    """The node's own encoder as a feature function, and the CPU seconds it took."""
    config = FingerprintConfig(architecture="small", steps=steps, seed=seed, whiten=whiten)

    def log(step: int, steps: int, loss: float) -> None:
        if step % 50 == 0:
            print(f"step {step} of {steps}, loss {loss:.3f}", file=sys.stderr)

    started = time.process_time()
    encoder = EncoderRun(index.images, config, start).run(on_step=log)
    assert encoder is not None
    return lambda images: encode(encoder, encoder_input(images))[0], time.process_time() - started


def run(data: str, steps: int, seed: int, strength: float, scratch: bool = False) -> dict[str, object]:
    """All methods on the same copies."""
    index, heldout = pictures(data, seed)
    copies = degrade(index.images.float() / 255, Generator().manual_seed(seed + 1), strength=strength, jpeg=0)
    copies = copies.mul(255).round().to(torch.uint8)
    network, shipped = load_extractor("efficientnet-lite0"), Detector.load()
    own, seconds = train_own(index, steps, seed, None if scratch else shipped.encoder)
    methods: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
        "own": (own, seconds),
        "shipped": (lambda images: shipped.prints(images).vectors, 0.0),
        "pixel_l2": (lambda images: images.flatten(1).float() / 255, 0.0),
        "efficientnet_lite0": (lambda images: F.normalize(network(images), dim=1), 0.0),
    }
    rows = {
        name: {**measure(features, index.images, copies, heldout), "train_cpu_seconds": spent}
        for name, (features, spent) in methods.items()
    }
    return {
        "data": data,
        "index": len(index),
        "heldout": len(heldout),
        "strength": strength,
        "scratch": scratch,
        "methods": rows,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    parser.add_argument("--data", default="fashion-mnist", help="fashion-mnist, mnist, or a path")
    parser.add_argument("--steps", type=int, default=FingerprintConfig.steps)
    parser.add_argument("--scratch", action="store_true", help="train from random weights")
    parser.add_argument("--strength", type=float, default=STRENGTH)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    set_threads(options.threads)
    try:
        result = run(options.data, options.steps, options.seed, options.strength, options.scratch)
    except DataError as error:
        print(f"skipped: {error}", file=sys.stderr)
        if options.json:
            print(json.dumps({"skipped": str(error)}))
        return
    if options.json:
        print(json.dumps(result))
        return
    print(f"{options.data}: {result['index']} pictures, strength {options.strength}")
    print(f"{'':20} {'top-1':>7} {'AUC':>7} {'ms/picture':>11} {'CPU s to train':>15}   pilot (Fashion-MNIST)")
    for name, row in result["methods"].items():
        pilot = "top-1 {}, AUC {}".format(*PILOT[name]) if name in PILOT else ""
        print(f"{name:20} {row['top1']:7.3f} {row['auc']:7.3f} {row['ms_per_image']:11.2f} ", end="")
        print(f"{row['train_cpu_seconds']:15.0f}   {pilot}")


if __name__ == "__main__":
    main()
