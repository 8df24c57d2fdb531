"""Train the shipped fingerprinter and verifier on public pictures: `python -m pdfed_sdk.ml.pretrain`.

Public: the public part of MNIST (`data.partition`), scikit-learn's digits, patches of scikit-image's photographs. None
of them is in any node's split. A few CPU minutes; seeded.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.augment import degrade
from pdfed_sdk.ml.data import partition, reshape_images
from pdfed_sdk.ml.detector import DEFAULT_WEIGHTS, Detector, save_detector
from pdfed_sdk.ml.fingerprint import SmallEncoder, encoder_input, train_encoder
from pdfed_sdk.ml.neighbours import nearest
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.ml.verifier import train_verifier

PHOTOGRAPHS = ("astronaut", "cat", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "rocket", "retina")


def public_pictures(seed: int = 0) -> Tensor:
    """The training corpus (N, 3, 32, 32) uint8: every entry another picture; digits at 16 or 28 px, mirrored and
    turned ones count as pictures of their own."""
    rng = np.random.default_rng(seed)
    mnist = partition(load_pictures("mnist"))[0].images
    turned = [mnist, mnist.flip(3), mnist.transpose(2, 3), mnist.flip(2)]
    parts = []
    for images in turned:
        small = torch.from_numpy(rng.random(len(images)) < 0.6)
        parts += [_at32(reshape_images(images[small], 16, 1)), _at32(images[~small])]
    return torch.cat([*parts, _digits(), _patches(rng)])


def _at32(images: Tensor) -> Tensor:
    return encoder_input(images).mul(255).round().to(torch.uint8)


def _digits() -> Tensor:
    from sklearn.datasets import load_digits

    pixels = torch.from_numpy(load_digits().images * (255 / 16)).clamp(0, 255).to(torch.uint8)
    return _at32(pixels[:, None])


def _patches(rng: np.random.Generator, count: int = 1_200) -> Tensor:
    try:
        from skimage import data
    except ImportError:
        print("scikit-image is absent: no photographs in the corpus", file=sys.stderr)
        return torch.empty(0, 3, 32, 32, dtype=torch.uint8)
    patches = []
    for name in PHOTOGRAPHS:
        try:
            picture = getattr(data, name)()
        except Exception as error:  # a photograph that the wheel does not hold would be downloaded
            print(f"without {name}: {error}", file=sys.stderr)
            continue
        if picture.ndim != 3 or picture.shape[2] != 3:
            continue
        tiles = torch.from_numpy(np.ascontiguousarray(picture)).unfold(0, 32, 32).unfold(1, 32, 32)
        patches.append(tiles.reshape(-1, 3, 32, 32))
    every = torch.cat(patches)
    lively = every.float().std((1, 2, 3)) > 12  # flat sky is one picture many times
    every = every[lively]
    return every[torch.from_numpy(rng.permutation(len(every))[:count])]


def evaluate(detector: Detector, images: Tensor, seed: int = 1) -> dict[str, float]:
    """Copies found among ``images`` (N, C, S, S): top-1 by fingerprint, and AUC of the verifier on degraded copies
    against the nearest wrong picture of clean ones."""
    from sklearn.metrics import roc_auc_score

    random = torch.Generator().manual_seed(seed)
    known = detector.prints(images)
    copies = detector.prints(degrade(encoder_input(images), random).mul(255).round().to(torch.uint8))
    truth = torch.arange(len(images))
    top = nearest(copies.vectors, known.vectors, 1)[1].squeeze(1)
    rival = nearest(known.vectors, known.vectors, 1, exclude_self=True)[1].squeeze(1)
    own, wrong = detector.score(copies, known), detector.score(known, known.take(rival))
    scores = torch.cat([own, wrong]).numpy()
    labels = np.r_[np.ones(len(own)), np.zeros(len(wrong))]
    return {
        "top1": float((top == truth).double().mean()),
        "auc": float(roc_auc_score(labels, scores)),
        "false_positive_rate_at_0.8": float((wrong >= 0.8).double().mean()),
        "recall_at_0.8": float((own >= 0.8).double().mean()),
    }


def _encoder(corpus: Tensor, options: argparse.Namespace, log: Callable[[int, float], None]) -> SmallEncoder:
    """Trained, or taken from the checkpoint that an earlier run with the same corpus and options left."""
    key = hashlib.sha256(corpus.numpy().tobytes() + f"{options.encoder_steps} {options.bf16}".encode()).hexdigest()
    checkpoint = options.out.with_suffix(".encoder")
    encoder = SmallEncoder()
    if checkpoint.is_file():
        with safe_open(str(checkpoint), framework="pt") as file:
            if (file.metadata() or {}).get("key") == key:
                encoder.load_state_dict({name: file.get_tensor(name) for name in encoder.state_dict()})
                encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
                return encoder.eval()
    encoder = train_encoder(corpus, steps=options.encoder_steps, bf16=options.bf16, on_step=log)
    save_file({name: tensor.contiguous() for name, tensor in encoder.state_dict().items()}, checkpoint, {"key": key})
    return encoder


def main() -> None:
    """Train, save the weights with their card, print the figures on private MNIST (never trained on)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DEFAULT_WEIGHTS)
    parser.add_argument("--encoder-steps", type=int, default=500)
    parser.add_argument("--verifier-steps", type=int, default=800)
    parser.add_argument("--encoder-only", action="store_true", help="stop after the encoder; run again to go on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="faster where the processor has bf16 instructions")
    options = parser.parse_args()
    set_threads(options.threads)
    started = time.process_time()
    corpus = public_pictures()
    print(f"{len(corpus)} public pictures", file=sys.stderr)

    def log(step: int, loss: float) -> None:
        if step % 50 == 0:
            print(f"  step {step} loss {loss:.3f} {time.process_time() - started:.0f} s", file=sys.stderr, flush=True)

    encoder = _encoder(corpus, options, log)
    if options.encoder_only:
        return
    verifier = train_verifier(corpus, encoder, steps=options.verifier_steps, on_step=log)
    save_detector(encoder, verifier, options.out)
    private = partition(load_pictures("mnist", size=16))[1].images
    figures = evaluate(Detector.load(options.out), private)
    print({name: round(value, 4) for name, value in figures.items()}, f"{time.process_time() - started:.0f} core-s")


if __name__ == "__main__":
    main()
