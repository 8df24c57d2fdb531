"""Three artists, each with pictures of a kind of their own, and one adapter that draws all three kinds from text.

    python train_base.py --emoji node_modules/emoji-datasource-google --out base
    python three_artists.py --emoji node_modules/emoji-datasource-google --base base --out run

No chain plays here: rounds of training and exact averaging, as nodes do it between votes. Captions say the kind first
("food, red apple"); prompts are those of held-out pictures. An artist trains on as many pictures alone as in the
federation. What decides is the Fréchet distance of the pictures that an adapter draws by a category's prompts to the
held-out pictures of this category, in every evaluation and for the worst category of each. It is told in three ways:

- as a share of the way from the base (0) to the artist's own pictures (1);
- as a share of the way from what the nearest of the other artists brought along (0) to the artist's own pictures (1):
  a category counts as drawn if what is drawn by its prompts is nearer to it than real pictures of any other category;
- how far the words decide: by how much what other prompts draw is farther, as a share of what tells the artists' own
  pictures apart.

The publication gate is asked about an artist who trains on six pictures for too long, about one who stops when the loss
on unseen pictures rises, and about the federation. Then each claim with "holds" or "does not hold". The grid of
pictures by prompt is written to `run/grid.png`, a row an adapter: the base, each artist alone, the federation. All
chance but the base's comes from --seed: which pictures an artist has, what is held out, training and evaluation.
"""

from __future__ import annotations

import argparse
import json
import statistics
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
from pdfed_sdk.ml.quality.frechet import Frechet, fid
from pdfed_sdk.ml.scoring import ScoringSettings
from pdfed_sdk.ml.scoring.gate import publication_gate
from pdfed_sdk.ml.scoring.scorer import Scorer
from pdfed_sdk.ml.training import TrainConfig, train
from pdfed_sdk.node.model_card import write_card
from pdfed_sdk.types import Address

SEED = b"three artists"
OVER, WISE, SHARED = "who trains on six pictures", "the same, stopped in time", "the federation, at the first artist"
NOBODY = Address("0x" + "00" * 20)
"""No wallet publishes this model."""
MOST_BYTES = 4_000_000
"""What a package may weigh."""

Table = dict[str, list[list[float]]]
"""By adapter: of each evaluation, a value for each category."""
Square = list[list[float]]
"""Fréchet distances of each category's drawn pictures (rows) to each category's held-out ones (columns)."""


def splits(found: PictureSet, own: int, heldout: int, seed: int) -> list[tuple[PictureSet, PictureSet]]:
    """(training pictures, held-out pictures) of each category, in a seeded order."""
    parts, random = [], torch.Generator().manual_seed(seed)
    for label in range(len(found.classes)):
        places = (found.labels == label).nonzero().flatten()
        order = places[torch.randperm(len(places), generator=random)].tolist()
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
    number: int,
    options: argparse.Namespace,
    unseen: PictureSet | None = None,
) -> AdapterModel:
    """Training ``number`` of this run. With ``unseen`` pictures it ends when the loss on them rises."""
    config = TrainConfig(
        pictures=pictures, batch=options.batch, lr=options.lr, label_dropout=0.1, device=options.device,
        seed=1_000 * options.seed + number, check_every=max(1, pictures // 20),
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
        adapters = [trained(shared, data, budget, 100 + 10 * number + i, options) for i, data in enumerate(artists)]
        found = average(adapters, [1.0] * len(adapters))
        shared = found.model
        print(f"round {number + 1}: {100 * found.residual:.1f} % of the mean change lost to the rank", flush=True)
    return shared


def distances(
    model: AdapterModel, heldout: list[PictureSet], extractor: FeatureExtractor, options: argparse.Namespace
) -> list[Square]:
    """Of each evaluation, whose noise is its own: the pictures of each category's prompts beside all that is held
    out."""
    references = [Frechet(extractor(real.images)) for real in heldout]
    found = []
    for number in range(options.evaluations):
        square, noise = [], f"three artists {options.seed} {number}".encode()
        for label in range(len(heldout)):
            images, _ = sample(model, options.samples, noise, steps=options.steps, classes=[label])
            features = extractor(images)
            square.append([reference.distance(features) for reference in references])
        found.append(square)
    return found


def diagonal(square: Square) -> list[float]:
    """Distances of each category's drawn pictures to its own held-out ones."""
    return [row[label] for label, row in enumerate(square)]


def contrasts(squares: list[Square], own: Square) -> list[list[float]]:
    """How far the words decide, by evaluation and category: by how much the pictures of the other categories' prompts
    are farther from its held-out pictures than those of its own prompts, as a share of the same of the artists' own
    pictures. An adapter that does not heed its prompts has 0."""

    def of(square: Square) -> list[float]:
        columns = list(zip(*square, strict=True))
        return [
            (sum(column) - column[label]) / (len(column) - 1) - column[label] for label, column in enumerate(columns)
        ]

    return [[mine / real for mine, real in zip(of(square), of(own), strict=True)] for square in squares]


def ways(table: Table, own: list[float]) -> Table:
    """Shares of the way from the base (0; the mean of its evaluations) to the artist's own pictures (1)."""
    base = [statistics.fmean(column) for column in zip(*table["base alone"], strict=True)]
    return {
        name: [[(b - d) / (b - o) for b, d, o in zip(base, row, own, strict=True)] for row in rows]
        for name, rows in table.items()
    }


def drawn(table: Table, own: Square) -> Table:
    """Shares of the way from the nearest of the other artists' own pictures (0) to the artist's own pictures (1)."""
    columns = enumerate(zip(*own, strict=True))
    others = [min(column[:label] + column[label + 1 :]) for label, column in columns]
    return {
        name: [[(o - d) / (o - mine) for o, d, mine in zip(others, row, diagonal(own), strict=True)] for row in rows]
        for name, rows in table.items()
    }


def claims(found: Table, reached: Table, told_apart: Table, verdicts: dict[str, str], size: int) -> dict[str, bool]:
    """What this example is to show. An adapter is as good as its worst category, in every evaluation. ``found``: shares
    of the way from the base; ``reached``: from other artists' pictures; ``told_apart``: how far the words decide."""
    nearest, drawing, decided = (
        {name: [min(row) for row in rows] for name, rows in one.items()} for one in (found, reached, told_apart)
    )
    return {
        "the federation draws every category": min(drawing["federation"]) > 0,
        "no artist alone draws every category": all(max(rows) <= 0 for rows in _singles(drawing)),
        "the federation is nearer to every category than the base": min(nearest["federation"]) > 0,
        "no artist alone is nearer to every category": all(max(rows) <= 0 for rows in _singles(nearest)),
        "the federation's worst category is nearer than that of every artist alone": _best(nearest),
        "words decide which category the federation draws, for each of them": min(decided["federation"]) > 0,
        "in its worst category they decide more than with any artist alone": _best(decided),
        "the gate refuses the one who trains on six pictures, and opens for the federation": (
            verdicts[OVER] != "open" and verdicts[SHARED] == "open"
        ),
        f"the package has at most {MOST_BYTES / 1e6:g} MB": size <= MOST_BYTES,
    }


def _singles(worst: dict[str, list[float]]) -> list[list[float]]:
    return [values for name, values in worst.items() if name not in ("base alone", "federation")]


def _best(worst: dict[str, list[float]]) -> bool:
    return all(mine > other for rows in _singles(worst) for mine, other in zip(worst["federation"], rows, strict=True))


def show(title: str, names: tuple[str, ...], table: Table, form: str, *, worst: bool = False) -> None:
    """A row an adapter, means over its evaluations; and, of ``worst``, the worst category of each of them."""
    print(f"\n{title:28}" + "".join(f"{name[:18]:>20}" for name in names) + worst * "   worst category, by evaluation")
    for name, rows in table.items():
        means = "".join(f"{statistics.fmean(column):20{form}}" for column in zip(*rows, strict=True))
        print(f"{name:28}{means}" + worst * ("   " + " ".join(f"{min(row):{form}}" for row in rows)), flush=True)


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
    """A row an adapter, four columns a category."""
    columns = 4 * len(ARTISTS)
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
    parts = splits(found, options.own, options.heldout, options.seed)
    artists, heldout = [own for own, _ in parts], [rest for _, rest in parts]
    start = new_adapter(setup_of(options.base, parts, options), options.seed)
    singles = [trained(start, data, options.pictures, i, options) for i, data in enumerate(artists)]
    shared = federation(start, artists, options)
    models = {"base alone": start}
    models |= {f"{name} alone": model for name, model in zip(found.classes, singles, strict=True)}
    models["federation"] = shared
    extractor = load_extractor(options.extractor, size=options.resolution, channels=3)
    squares = {name: distances(model, heldout, extractor, options) for name, model in models.items()}
    own = [[fid(extractor(data.images), extractor(rest.images)) for rest in heldout] for data in artists]
    table = {name: [diagonal(square) for square in found_] for name, found_ in squares.items()}
    shares, reached = ways(table, diagonal(own)), drawn(table, own)
    decided = {name: contrasts(found_, own) for name, found_ in squares.items()}
    show("Fréchet distance", found.classes, {**table, "the artist's own pictures": [diagonal(own)]}, ".0f")
    show("share of the way", found.classes, shares, ".2f", worst=True)
    show("drawn", found.classes, reached, ".2f", worst=True)
    show("how far words decide", found.classes, decided, ".2f", worst=True)
    few = artists[0].take(range(min(6, len(artists[0]))))
    verdicts = {
        OVER: gate(trained(start, few, options.over, 99, options), few, heldout[0], options),
        WISE: gate(trained(start, few, options.over, 99, options, heldout[0]), few, heldout[0], options),
        SHARED: gate(shared, artists[0], heldout[0], options),
    }
    for name, verdict in verdicts.items():
        print(f"{name}: gate {verdict}")
    size = packed(shared, options.out)
    print(f"the package to publish: {size / 1e6:.2f} MB\n")
    grid(list(models.values()), options.out / "grid.png", options)
    held = claims(shares, reached, decided, verdicts, size)
    for claim, holds in held.items():
        print(f"{'holds' if holds else 'does not hold'}: {claim}")
    answer: dict[str, object] = {"distances": squares, "own": own, "gate": verdicts, "bytes": size}
    sizes = {name: value for name, value in vars(options).items() if not isinstance(value, Path)}
    answer |= {"ways": shares, "drawn": reached, "decided": decided, "claims": held, "options": sizes}
    (options.out / "run.json").write_text(json.dumps(answer, indent=1), encoding="utf-8")
    return answer


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--emoji", type=Path, required=True, help="folder of the npm package emoji-datasource-google")
    found.add_argument("--base", type=Path, required=True, help="folder of the base pipeline")
    found.add_argument("--out", type=Path, required=True, help="folder for the adapter, the grid and the numbers")
    numbers = {"own": 60, "heldout": 60, "prompts": 60, "rank": 32, "resolution": 32, "batch": 16, "pictures": 12_000}
    numbers |= {"rounds": 12, "samples": 60, "evaluations": 3, "steps": 10, "over": 16_000, "seed": 0}
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
