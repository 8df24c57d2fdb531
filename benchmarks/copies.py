"""How many copies are found on sets the weights have not seen, at how many false alarms, beside plain peers?

Of every set a part is the training pictures (the index); of these 200 are copied, by each strength. All others are
nobody's copies: five times they are divided anew, one half calibrates the threshold (near twins of training pictures
passed over), the other half shows the false alarms. Variants of one motif (skin tones of an emoji, files of one name,
near twins) stand on one side of every division. Peers get the threshold at which they have as many false alarms.

strengths: exact; jpeg_noise, JPEG of quality 50 and noise of 4 %; crop, half of them cut by 5-10 % and enlarged, half
shifted by as much; brightness, times 0.55-0.8 or 1.25-1.5; contrast, times 0.5-0.75 or 1.3-1.7 about the mean; colour,
hue turned by 20-90 degrees and saturation times 0.5-1.3, gamma 0.5-1.8 where there are no colours; flip; pasted, at
60-80 % of the side somewhere on another picture; blend, 70 % and 30 % of another picture.

    python -m benchmarks.copies [--json] [--quick] [--set NAME=PATH ...] [--copies 200] [--fpr 0.01] [--weights FILE]

Sets (`named_sets`, the parts that are for tests): private digits and half of the photographs of scikit-image (the
encoder saw them) out of installed wheels; fashion-mnist, clip-art (Debian: dataset-fashion-mnist, openclipart-png) and
emoji (npm: emoji-datasource-google) where they are installed or where --set says. The judge learnt from other parts.
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

from benchmarks.machine import processor
from pdfed_sdk.errors import DataError
from pdfed_sdk.ml import set_threads
from pdfed_sdk.ml.copies.augment import between, jpeg_roundtrip, placed
from pdfed_sdk.ml.copies.detector import DEFAULT_WEIGHTS, Detector
from pdfed_sdk.ml.copies.named_sets import SETS, Part, divided, grouped, read
from pdfed_sdk.ml.copies.search import CopyIndex, Search
from pdfed_sdk.ml.copies.verifier import calibrate
from pdfed_sdk.ml.neighbours import nearest
from pdfed_sdk.ml.quality.features import load_extractor
from pdfed_sdk.ml.scoring.copy_test import exact_interval

FULL = {"index": 1_000, "unseen": 2_000, "copies": 200, "calibrations": 5}
QUICK = {"index": 400, "unseen": 800, "copies": 60, "calibrations": 5}
Strength = Callable[[Tensor, Tensor, Generator], Tensor]
"""Pictures (n, C, S, S) in [0, 1] and as many others, which they may be pasted on or blended with -> copies."""


def either(count: int, less: tuple[float, float], more: tuple[float, float], random: Generator) -> Tensor:
    """A number of one range or of the other, each as often."""
    low, high = between(count, *less, random), between(count, *more, random)
    return torch.where(torch.rand(count, 1, 1, 1, generator=random) < 0.5, low, high)


def exact(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """The pixels as they are."""
    return images


def jpeg_noise(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """JPEG and noise."""
    return jpeg_roundtrip(images, [50] * len(images)) + 0.04 * torch.randn(images.shape, generator=random)


def crop(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """Cut and enlarged, or shifted with the edge repeated."""
    count = len(images)
    share, side = between(count, 0.05, 0.10, random), torch.rand(count, 2, generator=random) * 2 - 1
    cut = torch.rand(count, 1, 1, 1, generator=random) < 0.5
    scale = torch.where(cut, 1 - share, torch.ones_like(share))
    way = [torch.where(cut, side[:, i].view(-1, 1, 1, 1), 2 * side[:, i].sign().view(-1, 1, 1, 1)) for i in (0, 1)]
    return placed(images, scale, share * way[0], share * way[1])


def brightness(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """All values times a factor."""
    return images * either(len(images), (0.55, 0.8), (1.25, 1.5), random)


def contrast(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """Differences from the mean times a factor."""
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * either(len(images), (0.5, 0.75), (1.3, 1.7), random) + mean


def colour(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """Hue and saturation by Pillow's HSV, or gamma."""
    from PIL import Image

    if images.shape[1] == 1:
        return images ** either(len(images), (0.5, 0.75), (1.3, 1.8), random)
    turns = either(len(images), (-0.25, -0.06), (0.06, 0.25), random).flatten().tolist()
    rich = between(len(images), 0.5, 1.3, random).flatten().tolist()
    made = []
    for picture, turn, factor in zip(images, turns, rich, strict=True):
        pixels = Image.fromarray(picture.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()).convert("HSV")
        values = np.array(pixels).astype(int)
        values[..., 0] = (values[..., 0] + round(256 * turn)) % 256
        values[..., 1] = (values[..., 1] * factor).clip(0, 255)
        back = np.array(Image.fromarray(values.astype(np.uint8), "HSV").convert("RGB"))
        made.append(torch.from_numpy(back).permute(2, 0, 1).float() / 255)
    return torch.stack(made)


def flip(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """Mirrored."""
    return images.flip(3)


def pasted(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """Smaller, on another picture."""
    side = between(len(images), 0.6, 0.8, random)
    right, down = ((1 - side) * between(len(images), -1, 1, random) for _ in range(2))
    small, inside = (
        placed(part, 1 / side, -right / side, -down / side, "zeros") for part in (images, torch.ones_like(images))
    )
    return torch.where(inside > 0.5, small, others)


def blend(images: Tensor, others: Tensor, random: Generator) -> Tensor:
    """With 30 % of another picture."""
    return 0.7 * images + 0.3 * others


STRENGTHS: dict[str, Strength] = {
    make.__name__: make for make in (exact, jpeg_noise, crop, brightness, contrast, colour, flip, pasted, blend)
}


# --- methods ---------------------------------------------------------------------------------------------------------


def blurred(images: Tensor) -> Tensor:
    """Grey, blurred, centred and of unit length: the product of two is their correlation."""
    grey = images.float().mean(1, keepdim=True)
    small = F.interpolate(grey, (16, 16), mode="bilinear", antialias=True, align_corners=False).flatten(1)
    return F.normalize(small - small.mean(1, keepdim=True), dim=1)


def peers() -> dict[str, Callable[[Tensor], Tensor]]:
    """Features by name; the nearest by Euclidean distance is the suspected original."""
    network = load_extractor("efficientnet-lite0")
    return {
        "blurred_correlation": blurred,
        "pixel_l2": lambda images: images.flatten(1).float() / 255,
        "efficientnet_cosine": lambda images: F.normalize(network(images), dim=1),
    }


def best_pairs(search: Search) -> Tensor:
    """The training picture each query most resembles."""
    best, order = search.nearest.clone(), torch.argsort(search.scores, stable=True)
    best[search.rows[order]] = search.columns[order]
    return best


def run_set(part: Part, detector: Detector, options: argparse.Namespace) -> dict[str, object]:
    """All strengths, our detector and the peers, on one set."""
    kept, groups = grouped(*part, options.index + options.unseen, options.seed)
    rows, rest = divided(groups, min(options.index, len(kept) // 3), options.seed)
    random = Generator().manual_seed(options.seed)
    sources = torch.randperm(len(rows), generator=random)[: options.copies]
    known, unseen = kept[rows], kept[rest]
    pixels = known[sources].float() / 255
    others = unseen[torch.randint(0, len(unseen), (len(sources),), generator=random)].float() / 255
    copies = {
        name: make(pixels, others, random).clamp(0, 1).mul(255).round().to(torch.uint8)
        for name, make in STRENGTHS.items()
    }
    index = CopyIndex(detector, detector.prints(known), 5)
    calm = index.search(index.queries(unseen), twins=False)
    result, thresholds = false_alarms(calm, groups[rest.numpy()], options)
    result |= {"pictures": len(known), "unseen": len(unseen), "near_twins": int(calm.twins.sum())}
    for name, made in copies.items():
        found = index.search(index.queries(made))
        hits = torch.stack([found.best >= level for level in thresholds]).double()
        right = (best_pairs(found) == sources).double()
        result[name] = {
            "recall": float(hits.mean()),
            "right_pair": float((hits * right).sum() / hits.sum().clamp_min(1)),
        }
    level = float(result["fpr"])
    result["peers"] = {
        name: by_peer(features, known, unseen[~calm.twins], copies, sources, level)
        for name, features in peers().items()
    }
    return result


def false_alarms(
    calm: Search, groups: np.ndarray, options: argparse.Namespace
) -> tuple[dict[str, object], list[float]]:
    """The unseen pictures divided anew for each calibration: one half sets the threshold, the other, without those that
    have a near twin among the training pictures, shows the rate of false alarms."""
    thresholds, rates = [], []
    for turn in range(options.calibrations):
        half, other = divided(groups, len(groups) // 2, options.seed + 1 + turn)
        fresh = other[~calm.twins[other]]
        thresholds.append(calibrate(calm.best[half], options.fpr).threshold)
        rates.append(float((calm.best[fresh] >= thresholds[-1]).double().mean()))
    fpr, fresh_count = float(np.mean(rates)), int((~calm.twins).sum())
    low, high = exact_interval(round(fpr * fresh_count), fresh_count)
    return {"fpr": fpr, "fpr_low": low, "fpr_high": high, "fpr_by_calibration": rates}, thresholds


def by_peer(
    features: Callable[[Tensor], Tensor],
    known: Tensor,
    unseen: Tensor,
    copies: dict[str, Tensor],
    sources: Tensor,
    fpr: float,
) -> dict[str, dict[str, float]]:
    """Recall and right pair of a peer at as many false alarms on the unseen pictures as ours."""
    points = features(known)
    calm = nearest(features(unseen), points, 1)[0].squeeze(1).sort().values
    level = float(calm[min(len(calm) - 1, round(fpr * len(calm)))])
    found = {}
    for name, made in copies.items():
        distance, index = (part.squeeze(1) for part in nearest(features(made), points, 1))
        hit = distance < level
        right = float((index[hit] == sources[hit]).double().mean()) if bool(hit.any()) else 0.0
        found[name] = {"recall": float(hit.double().mean()), "right_pair": right}
    return found


def show(sets: dict[str, dict[str, object]]) -> None:
    """A table for people."""
    print(f"{'set':15}" + "".join(f"{name[:10]:>11}" for name in STRENGTHS) + f"{'false alarms':>24}")
    for name, row in sets.items():
        cells = "".join(f"{row[strength]['recall']:11.3f}" for strength in STRENGTHS)
        print(f"{name:15}{cells}{row['fpr']:10.2%} ({row['fpr_low']:.2%} to {row['fpr_high']:.2%})")
        for peer, found in row["peers"].items():
            print(f"  {peer[:12]:13}" + "".join(f"{found[strength]['recall']:11.3f}" for strength in STRENGTHS))
    worst = min(row[strength]["right_pair"] for row in sets.values() for strength in STRENGTHS)
    print(f"right pair, worst cell: {worst:.1%}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=PATH", help="a set and where it lies")
    parser.add_argument("--only", nargs="*", help="these sets")
    parser.add_argument("--quick", action="store_true", help=f"smaller: {QUICK}")
    parser.add_argument("--copies", type=int, help="of each strength")
    parser.add_argument("--fpr", type=float, default=0.01)
    parser.add_argument("--weights", type=Path, default=DEFAULT_WEIGHTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for name, value in (QUICK if options.quick else FULL).items():
        setattr(options, name, getattr(options, name, None) or value)
    set_threads(options.threads)
    given = dict(entry.partition("=")[::2] for entry in options.set)
    detector, sets = Detector.load(options.weights), {}
    for name in options.only or [*SETS, *(set(given) - set(SETS))]:
        started = time.process_time()
        try:
            found = read(name, given.get(name), tests=True)
        except DataError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        if found is None:
            print(f"{name} is left out: not installed, --set {name}=PATH says where it lies", file=sys.stderr)
            continue
        sets[name] = run_set(found, detector, options)
        print(f"{name}: done in {time.process_time() - started:.0f} CPU s", file=sys.stderr)
    if options.json:
        print(json.dumps({"sets": sets, "weights_sha256": detector.sha256, "processor": processor()}))
    else:
        show(sets)


if __name__ == "__main__":
    main()
