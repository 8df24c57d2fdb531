"""Train the shipped weights on public pictures: `python -m pdfed_sdk.ml.copies.train_shipped`.

The encoder learns from seven tenths of the corpus, the verifier's queries are the other pictures: to the encoder these
are as new as a node's. The judge learns from the training parts of `named_sets`, whichever are installed. Minutes on
one core; seeded; interrupted, it goes on where it was. ``--judge`` trains the judge alone and keeps the other two;
``--large`` trains a ResNet-50 instead, on a GPU, to be loaded by `Detector.load(path)`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pdfed_sdk.ml.copies.augment import degrade
from pdfed_sdk.ml.copies.corpus import public_pictures
from pdfed_sdk.ml.copies.detector import DEFAULT_WEIGHTS, Detector, save_detector
from pdfed_sdk.ml.copies.encoders import Encoder, encoder_input
from pdfed_sdk.ml.copies.judge import Judge
from pdfed_sdk.ml.copies.named_sets import SETS, read
from pdfed_sdk.ml.copies.train_encoder import EncoderRun, FingerprintConfig, picture_hash
from pdfed_sdk.ml.copies.train_judge import Question, questions, train_judge
from pdfed_sdk.ml.copies.train_verifier import train_verifier
from pdfed_sdk.ml.copies.verifier import Verifier
from pdfed_sdk.ml.data import partition
from pdfed_sdk.ml.device import device_of, set_threads
from pdfed_sdk.ml.neighbours import nearest
from pdfed_sdk.ml.sources import load_pictures

ENCODER_SHARE = 0.7
CONFIG = FingerprintConfig(
    architecture="small", steps=600, batch=128, lr=2e-3, temperature=0.08, spread=0.1, strength=0.7, ema=0.98,
    whiten=0, verifier_rounds=4, verifier_epochs=6, seed=0,
)  # fmt: skip
"""All that shapes the shipped weights: the defaults of a node's own fingerprinter may change without them."""
LARGE = dataclasses.replace(CONFIG, architecture="resnet50", steps=3_000, batch=256, lr=1e-3)
"""A larger encoder, too slow for a CPU and too large to ship."""


def evaluate(detector: Detector, images: Tensor, seed: int = 1) -> dict[str, float]:
    """Copies found among ``images`` (N, C, S, S): top-1 by fingerprint, and AUC of the verifier on degraded copies
    against the nearest wrong picture of clean ones."""
    from sklearn.metrics import roc_auc_score

    random = torch.Generator().manual_seed(seed)
    known = detector.prints(images)
    pixels = encoder_input(images)[:, : images.shape[1]]
    copies = detector.prints(degrade(pixels, random, strength=0.5).mul(255).round().to(torch.uint8))
    truth = torch.arange(len(images))
    top = nearest(copies.vectors, known.vectors, 1)[1].squeeze(1)
    rival = nearest(known.vectors, known.vectors, 1, exclude_self=True)[1].squeeze(1)
    own, wrong = detector.score(copies, known), detector.score(known, known.take(rival))
    labels = np.r_[np.ones(len(own)), np.zeros(len(wrong))]
    return {
        "top1": float((top == truth).double().mean()),
        "auc": float(roc_auc_score(labels, torch.cat([own, wrong]).numpy())),
        "false_positive_rate_at_0.8": float((wrong >= 0.8).double().mean()),
        "recall_at_0.8": float((own >= 0.8).double().mean()),
    }


def questions_of(detector: Detector, places: dict[str, str], names: Sequence[str] = SETS) -> dict[str, list[Question]]:
    """What the sets ask the judge, by name; sets that are not installed are left out, and said to be."""
    found = {}
    for number, name in enumerate(names):
        part = read(name, places.get(name), tests=False)
        if part is None:
            print(f"{name} is not installed: the judge learns without it", file=sys.stderr)
            continue
        found[name] = questions(detector, part, number)
        print(f"  {name}: {sum(len(one.truth) for one in found[name])} queries", file=sys.stderr)
    return found


def encoder_and_verifier(config: FingerprintConfig, out: Path) -> tuple[Encoder, Verifier, dict[str, Any]]:
    """Both, trained, and what the card says of it."""
    corpus = public_pictures(config.seed)
    print(f"{len(corpus)} public pictures, sha-256 {picture_hash(corpus)}", file=sys.stderr)
    started = time.process_time()

    def log(step: int, steps: int, loss: float) -> None:
        if step % 50 == 0:
            print(f"  step {step} of {steps}, loss {loss:.3f}, {time.process_time() - started:.0f} s", file=sys.stderr)

    known = round(ENCODER_SHARE * len(corpus))
    snapshot = out.with_suffix(".snapshot")
    run = EncoderRun(corpus[:known], config)
    encoder = run.run(snapshot, log)
    assert encoder is not None  # log never stops it
    between = time.process_time()
    verifier = train_verifier(
        corpus.float() / 255,
        encoder,
        queries=torch.arange(known, len(corpus)),
        rounds=config.verifier_rounds,
        epochs=config.verifier_epochs,
        seed=config.seed,
    )
    snapshot.unlink(missing_ok=True)
    facts: dict[str, Any] = {
        "corpus_sha256": picture_hash(corpus),
        "pictures": {"encoder": known, "verifier": len(corpus) - known},
        "config": dataclasses.asdict(dataclasses.replace(config, bf16=config.half)),
        "cpu_seconds": {"encoder": round(run.seconds), "verifier": round(time.process_time() - between)},
    }
    return encoder, verifier, facts


def main() -> None:
    """Train, save the weights with their card, print the figures on private MNIST (never trained on)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DEFAULT_WEIGHTS)
    parser.add_argument("--steps", type=int, help="of the encoder")
    parser.add_argument("--large", action="store_true", help="a larger encoder; needs --out")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument("--judge", action="store_true", help="train the judge alone")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=PATH", help="a set and where it lies")
    parser.add_argument("--sets", default=",".join(SETS), help="sets the judge learns from")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fp32", action="store_true", help="no bf16 even where the processor has it")
    options = parser.parse_args()
    if options.large and (options.judge or options.out == DEFAULT_WEIGHTS):
        parser.error("--large trains all, and its weights do not ship: give --out, and no --judge")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    set_threads(options.threads)
    device, config = device_of(options.device), LARGE if options.large else CONFIG
    config = dataclasses.replace(
        config, steps=options.steps or config.steps, device=device.type, bf16=False if options.fp32 else None
    )
    judge = Judge()
    if options.judge:
        detector, facts = Detector.load(judge=judge), json.loads(DEFAULT_WEIGHTS.with_suffix(".json").read_text())
    else:
        encoder, verifier, facts = encoder_and_verifier(config, options.out)
        save_detector(encoder, verifier, judge, options.out)
        detector = Detector.load(options.out, judge=judge)  # the judge learns from the rounded weights, as they ship
    between = time.process_time()
    asked = questions_of(
        detector.to(device), dict(entry.partition("=")[::2] for entry in options.set), options.sets.split(",")
    )
    lessons = train_judge(judge, list(asked.values()))
    save_detector(detector.encoder, detector.verifier, judge, options.out)
    detector = Detector.load(options.out)
    figures = evaluate(detector, partition(load_pictures("mnist", size=16))[1].images)
    card = facts | {
        "weights_sha256": detector.sha256,
        "judge_queries": {name: sum(len(one.truth) for one in some) for name, some in asked.items()},
        "judge_pairs": [sum(len(cues) for cues, _, _ in look) for look in lessons],
        "cpu_seconds": facts["cpu_seconds"] | {"judge": round(time.process_time() - between)},
        "private_mnist_16px_half_degraded": {name: round(value, 4) for name, value in figures.items()},
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "processor": platform.machine()},
    }
    options.out.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")
    print(json.dumps(card, indent=1))


if __name__ == "__main__":
    main()
