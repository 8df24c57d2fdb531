"""Score a model or a heap of pictures on a node's data, outside any task: what ``pdfed score run`` does."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pdfed_sdk.artifacts.package import open_package
from pdfed_sdk.errors import DataError, MlError, PackageInvalid, UsageError
from pdfed_sdk.family import Model, families, load_model
from pdfed_sdk.ml.data import NodeSplit, PictureSet
from pdfed_sdk.ml.scoring.cautions import cautions
from pdfed_sdk.ml.scoring.improvements import YARDSTICK
from pdfed_sdk.ml.scoring.page import write_report
from pdfed_sdk.ml.scoring.scorer import QNReport, Scorer, ScoringSettings, improvement
from pdfed_sdk.ml.sources import AS_IT_IS, Reading, load_pictures
from pdfed_sdk.node.picture_parts import load_split
from pdfed_sdk.node.task_card import TaskCard

HISTORY = "history.jsonl"
"""Earlier reports of a report folder, one a line. Private, as the page is."""


@dataclass(frozen=True)
class Judgement:
    """A private report with the pictures it is about; ``improvement`` over the reference, None without one."""

    report: QNReport
    pictures: Tensor
    improvement: int | None
    cautions: tuple[str, ...] = ()
    """Why figures mean little, where the sets are too small for them."""


@dataclass(frozen=True)
class Case:
    """What is judged, on which pictures, with which settings."""

    subject: Model | PictureSet
    split: NodeSplit
    settings: ScoringSettings
    reference: Model | PictureSet | None


def prepare(
    subject: Path,
    data: str,
    *,
    card: Path | None = None,
    samples: int | None = None,
    extractor: str | None = None,
    reference: Path | None = None,
    reading: Reading = AS_IT_IS,
) -> Case:
    """Read everything. Settings are those of the card; without one the defaults, in the shape of the node's prepared
    split or else of the subject. Errors: UsageError, DataError, MlError, PackageInvalid."""
    frozen = TaskCard.read(card).scoring if card else None
    if frozen and (samples or extractor):
        raise UsageError(f"{card} freezes samples and extractor", hint="leave out --samples and --extractor")
    shape = (frozen.size, frozen.channels) if frozen else prepared_shape(Path(data))
    judged = open_subject(subject, shape)
    settings = frozen or free_settings(judged, shape, samples, extractor)
    other = open_subject(reference, (settings.size, settings.channels)) if reference else None
    return Case(judged, data_of(data, settings, reading), settings, other)


def open_subject(path: Path, shape: tuple[int, int] | None = None) -> Model | PictureSet:
    """What lies at ``path``: a model package, a pipeline folder, an .npz archive, or a folder of pictures, which are
    brought to ``shape`` (size, channels)."""
    if not path.exists():
        raise UsageError(f"{path} does not exist", hint="name a model package or folder, or generated pictures")
    if path.is_dir() and any((path / name).is_file() for family in families() for name in family.rules.configs):
        return load_model(path)
    if path.is_file() and path.suffix == ".zip":
        with tempfile.TemporaryDirectory(prefix="pdfed-") as place:
            try:
                open_package(path, Path(place) / "model")
            except PackageInvalid as error:
                raise PackageInvalid(f"{path}: {error.message}", hint=error.hint) from error
            return load_model(Path(place) / "model")
    size, channels = shape if shape and path.is_dir() else (None, None)
    return load_pictures(path, size=size, channels=channels)


def prepared_shape(data: Path) -> tuple[int, int] | None:
    """Size and channels of a prepared split; None for any other data."""
    if not (data / "split.json").exists():
        return None
    train = NodeSplit.load(data).train
    return train.size, train.channels


def free_settings(
    subject: Model | PictureSet, shape: tuple[int, int] | None, samples: int | None, extractor: str | None
) -> ScoringSettings:
    """The defaults where no card freezes them: in the shape of the data or else of the subject, all of its pictures."""
    own = subject if isinstance(subject, PictureSet) else subject.config
    size, channels = shape or (own.size, own.channels)
    count = samples or (len(subject) if isinstance(subject, PictureSet) else ScoringSettings.samples)
    try:
        chosen = extractor or ScoringSettings.extractor
        return ScoringSettings(size=size, channels=channels, samples=count, extractor=chosen)
    except MlError as error:
        raise UsageError(f"these settings cannot be used: {error.message}", hint="see docs/scoring.md") from error


def generated(subject: Model | PictureSet, scorer: Scorer, seed: bytes) -> tuple[Tensor, Tensor]:
    """The pictures to score and their labels: sampled from a model, or the first ``samples`` of a heap."""
    if not isinstance(subject, PictureSet):
        return scorer.sample(subject, seed)
    settings = scorer.settings
    if len(subject) < settings.samples:
        raise DataError(
            f"there are {len(subject)} generated pictures, {settings.samples} are scored",
            hint="generate more, or give --samples",
        )
    return subject.images[: settings.samples], subject.labels[: settings.samples]


def judge(case: Case, seed: bytes, *, cache: Path | None = None, device: str = "cpu") -> Judgement:
    """Score the subject, and the reference with the same seed, on ``device``. Errors: DataError, MlError."""
    scorer = Scorer(case.split, case.settings, cache=cache, device=device)
    pictures, labels = generated(case.subject, scorer, seed)
    report = scorer.score(pictures, labels)
    gain = None
    if case.reference is not None:
        gain = improvement(scorer.score(*generated(case.reference, scorer, seed)), report)
    return Judgement(report, pictures, gain, tuple(cautions(case.split, case.settings, pictures)))


def keep_report(judgement: Judgement, train: PictureSet, folder: Path, title: str) -> Path:
    """Write the page to ``folder`` beside report.json, and remember the report for the curves over time of the next
    one that is made from the same data with the same settings."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # training pictures: nobody else's business
    earlier = [one for one in history(folder / HISTORY) if comparable(one, judgement.report)]
    page = write_report(judgement.report, judgement.pictures, train, folder, history=earlier, title=title)
    text = json.dumps(judgement.report.to_dict())
    (folder / "report.json").write_text(text, encoding="utf-8")
    with (folder / HISTORY).open("a", encoding="utf-8") as file:
        file.write(text + "\n")
    return page


def history(path: Path) -> Sequence[QNReport]:
    """Earlier reports, oldest first; lines that are no report are left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(QNReport.from_dict(json.loads(line)))
        except (ValueError, MlError):
            continue
    return found


def comparable(first: QNReport, second: QNReport) -> bool:
    """Whether two reports come from the same pictures, settings and weights."""
    return all(getattr(first, name) == getattr(second, name) for name in YARDSTICK)


def seed_of(text: str) -> bytes:
    """32 bytes from any text; 64 hexadecimal digits are taken as they are."""
    digits = text.removeprefix("0x")
    try:
        found = bytes.fromhex(digits)
    except ValueError:
        found = b""
    return found if len(found) == 32 else hashlib.sha256(text.encode()).digest()


def data_of(path: str, settings: ScoringSettings, reading: Reading = AS_IT_IS) -> NodeSplit:
    """A node's data by path, or "mnist". All pictures of a folder are searched: none of them must leak; a prepared
    split is taken as it is."""
    place = Path(path)
    if path != "mnist" and not place.exists():
        raise UsageError(
            f"--data {path} does not exist", hint='name a prepared split, a folder of pictures, or "mnist"'
        )
    if (place / "split.json").exists():
        return load_split(place, settings, reading)
    return NodeSplit.whole(load_pictures(place, size=settings.size, channels=settings.channels, reading=reading))
