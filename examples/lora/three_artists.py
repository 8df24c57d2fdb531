"""Three artists, each with pictures of a kind of their own, and one adapter that draws all three kinds from text.

    python train_base.py --emoji node_modules/emoji-datasource-google --out base
    python three_artists.py --emoji node_modules/emoji-datasource-google --base base --out run

No chain plays here: rounds of training and exact averaging, as nodes do it between votes. What is printed: the Fréchet
distance of each adapter's pictures to each category's held-out pictures, and what the publication gate says of an
artist who trains on six pictures for too long, and of one who stops when the loss on unseen pictures rises. The grid of
pictures by prompt is written to `run/grid.png`, a row an adapter: the base, each artist alone, the federation.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from PIL import Image
from train_base import ARTISTS, emoji

from pdfed_sdk.artifacts.identity import SigningIdentity
from pdfed_sdk.artifacts.provenance import build_package
from pdfed_sdk.errors import PublicationRefused
from pdfed_sdk.ml.data import NodeSplit, PictureSet
from pdfed_sdk.ml.device import set_threads
from pdfed_sdk.ml.lora.adapter import AdapterModel, new_adapter, save_adapter
from pdfed_sdk.ml.lora.averaging import average
from pdfed_sdk.ml.lora.base_files import use_base
from pdfed_sdk.ml.lora.sampling import sample, with_captions
from pdfed_sdk.ml.lora.setup import TARGETS, AdapterSetup
from pdfed_sdk.ml.quality.features import FeatureExtractor, load_extractor
from pdfed_sdk.ml.quality.frechet import Frechet
from pdfed_sdk.ml.scoring import ScoringSettings
from pdfed_sdk.ml.scoring.gate import publication_gate
from pdfed_sdk.ml.scoring.scorer import Scorer
from pdfed_sdk.ml.training import TrainConfig, train
from pdfed_sdk.node.model_card import write_card
from pdfed_sdk.types import Address

SEED = b"three artists"
NOBODY = Address("0x" + "00" * 20)
"""No wallet publishes this model."""


def splits(found: PictureSet, own: int, heldout: int) -> list[tuple[PictureSet, PictureSet]]:
    """(training pictures, held-out pictures) of each category, in a seeded order."""
    parts = []
    for label in range(len(found.classes)):
        places = (found.labels == label).nonzero().flatten()
        order = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(label))].tolist()
        parts.append((found.take(order[:own]), found.take(order[own : own + heldout])))
    return parts


def setup_of(base: Path, parts: list[tuple[PictureSet, PictureSet]], options: argparse.Namespace) -> AdapterSetup:
    """Prompts are the names of held-out pictures, as many of each category, in turn."""
    count = min(options.prompts, *(len(heldout) for _, heldout in parts))
    prompts = tuple(heldout.captions[i] for i in range(count) for _, heldout in parts)
    return AdapterSetup(
        use_base(base),
        rank=options.rank,
        targets=TARGETS,
        resolution=options.resolution,
        prompts=prompts,
        classes=len(parts),
        guidance=options.guidance,
        template="{}",
    )


def trained(
    model: AdapterModel,
    data: PictureSet,
    pictures: int,
    seed: int,
    options: argparse.Namespace,
    unseen: PictureSet | None = None,
) -> AdapterModel:
    """With ``unseen`` pictures the training ends when the loss on them rises."""
    config = TrainConfig(
        pictures=pictures, batch=options.batch, lr=options.lr, seed=seed, label_dropout=0.1, device=options.device,
        check_every=max(1, pictures // 20),
    )  # fmt: skip
    found = train(config, data, parent=model, heldout=unseen)
    if unseen is not None:
        print(f"the loss on unseen pictures was lowest after {found.facts.kept} of {pictures} pictures", flush=True)
    assert isinstance(found.model, AdapterModel)
    return found.model


def federation(start: AdapterModel, artists: list[PictureSet], options: argparse.Namespace) -> AdapterModel:
    """Rounds: each artist trains on from the mean of all, and the changes are averaged exactly."""
    shared = start
    for number in range(options.rounds):
        budget = options.pictures // options.rounds
        adapters = [trained(shared, data, budget, 10 * number + i, options) for i, data in enumerate(artists)]
        found = average(adapters, [1.0] * len(adapters))
        shared = found.model
        print(f"round {number + 1}: {100 * found.residual:.1f} % of the mean change lost to the rank", flush=True)
    return shared


def distances(
    model: AdapterModel, heldout: list[PictureSet], extractor: FeatureExtractor, options: argparse.Namespace
) -> list[float]:
    """Fréchet distance of the pictures of each category's prompts to its held-out pictures."""
    found = []
    for label, real in enumerate(heldout):
        images, _ = sample(model, options.samples, SEED, steps=options.steps, classes=[label])
        found.append(float(Frechet(extractor(real.images)).pair(extractor(images)).distance()))
    return found


def gate(model: AdapterModel, own: PictureSet, unseen: PictureSet, options: argparse.Namespace) -> str:
    """What the publication gate says: by the prompts of the setup, then by the artist's own captions."""
    half = len(unseen) // 2
    split = NodeSplit(own, unseen.take(range(half)), unseen.take(range(half, len(unseen))))
    scoring = ScoringSettings(
        samples=options.samples, size=options.resolution, channels=3, extractor="pixels",
        sampler_steps=options.steps, copy_samples=2 * options.samples,
    )  # fmt: skip
    scorer = Scorer(split, scoring)
    for name, asked in (("the task's prompts", model), ("the artist's own captions", with_captions(model, own))):
        try:
            publication_gate(scorer.evaluate(asked, SEED))
        except PublicationRefused as refusal:
            return f"refused, by {name}: {refusal.message}"
    return "open"


def grid(models: list[AdapterModel], out: Path, options: argparse.Namespace) -> None:
    """A row an adapter, two columns a category."""
    columns = 2 * len(ARTISTS)
    rows = [sample(model, columns, SEED, steps=options.steps)[0] for model in models]
    pixels = torch.stack(rows).permute(0, 3, 1, 4, 2)  # rows, height, columns, width, colours
    rows_, height, columns_, width, _ = pixels.shape
    Image.fromarray(pixels.reshape(rows_ * height, columns_ * width, 3).numpy()).save(out)


def packed(model: AdapterModel, out: Path) -> int:
    """Bytes of the signed package, which is written beside its folder."""
    folder = save_adapter(model, out / "adapter")
    identity = SigningIdentity.load_or_create(out / "identity.json", "three artists")
    write_card(folder, family=model.family, title="three artists", wallet=NOBODY, facts={})
    built = build_package(folder, out / "package.zip", identity=identity, wallet=NOBODY, training={})
    return built.size


def play(found: PictureSet, options: argparse.Namespace) -> dict[str, object]:
    """The whole example; returns what it printed."""
    parts = splits(found, options.own, options.heldout)
    artists, heldout = [own for own, _ in parts], [rest for _, rest in parts]
    start = new_adapter(setup_of(options.base, parts, options), options.seed)
    extractor = load_extractor(options.extractor, size=options.resolution, channels=3)
    singles = [trained(start, data, options.pictures, i, options) for i, data in enumerate(artists)]
    shared = federation(start, artists, options)
    table = {"base alone": distances(start, heldout, extractor, options)}
    for name, model in zip(found.classes, singles, strict=True):
        table[f"{name} alone"] = distances(model, heldout, extractor, options)
    table["federation"] = distances(shared, heldout, extractor, options)
    print(f"{'':28}" + "".join(f"{name[:18]:>20}" for name in (*found.classes, "mean")))
    for name, row in table.items():
        print(f"{name:28}" + "".join(f"{value:20.1f}" for value in [*row, sum(row) / len(row)]), flush=True)
    few = artists[0].take(range(min(6, len(artists[0]))))
    over = trained(start, few, options.over, 99, options)
    wise = trained(start, few, options.over, 99, options, heldout[0])
    verdicts = {
        "an artist who trains on six pictures": gate(over, few, heldout[0], options),
        "the same, stopped in time": gate(wise, few, heldout[0], options),
        "the federation, at the first artist": gate(shared, artists[0], heldout[0], options),
    }
    for name, verdict in verdicts.items():
        print(f"{name}: gate {verdict}")
    size = packed(shared, options.out)
    print(f"the package to publish: {size / 1e6:.2f} MB")
    grid([start, *singles, shared], options.out / "grid.png", options)
    answer: dict[str, object] = {"distances": table, "gate": verdicts, "bytes": size}
    (options.out / "run.json").write_text(json.dumps(answer, indent=1), encoding="utf-8")
    return answer


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--emoji", type=Path, required=True, help="folder of the npm package emoji-datasource-google")
    found.add_argument("--base", type=Path, required=True, help="folder of the base pipeline")
    found.add_argument("--out", type=Path, required=True, help="folder for the adapter, the grid and the numbers")
    numbers = {"own": 60, "heldout": 60, "prompts": 20, "rank": 32, "resolution": 32, "batch": 16, "pictures": 24_000}
    numbers |= {"rounds": 5, "samples": 60, "steps": 20, "over": 24_000, "seed": 0}
    for name, value in numbers.items():
        found.add_argument(f"--{name}", type=int, default=value)
    found.add_argument("--lr", type=float, default=2e-3)
    found.add_argument("--guidance", type=float, default=2.0)
    found.add_argument("--extractor", default="efficientnet-lite0")
    found.add_argument("--device", default="cpu")
    return found


def main() -> None:
    options = parser().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    set_threads(1)
    play(emoji(options.emoji, size=options.resolution, only=ARTISTS).named(ARTISTS), options)


if __name__ == "__main__":
    main()
