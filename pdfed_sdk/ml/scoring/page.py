"""The private report of a score: one HTML file with its pictures inside, and the same pictures as PNG files.

Private: it shows the node's own training pictures. Nothing here is ever published; see `report_types.Publication`.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.data import PictureSet, check_images, reshape_images
from pdfed_sdk.ml.scoring.reports import CopyTest, Neighbour, QNReport

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #1d2430 }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
p.verdict { font-size: 1.05rem; margin: .4rem 0 } p.small { color: #5b6675; font-size: .9rem; margin: .2rem 0 .6rem }
.note { color: #8a2b0b; background: #fff4ee; padding: .5rem .8rem; border-radius: 6px }
.cards { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0 }
.card { border: 1px solid #d8dee6; border-radius: 8px; padding: .6rem .9rem; min-width: 8.5rem; flex: 1 }
.card b { display: block; font-size: 1.35rem } .card span { color: #5b6675; font-size: .85rem }
table { border-collapse: collapse; font-size: .9rem; width: 100% } tr { border-top: 1px solid #eceff3 }
td, th { padding: .25rem .8rem .25rem 0; text-align: left; font-weight: normal } th { color: #5b6675; width: 19rem }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 1rem }
img { max-width: 100% } .sharp { image-rendering: pixelated; display: block }
"""
BLUE, RUST, INK = "#2b6cb0", "#b5532b", "#1d2430"
SHOWN = 96
"""Pixels a side that a picture takes at most in a grid."""


def write_report(
    report: QNReport,
    samples: Tensor,
    train: PictureSet,
    folder: Path,
    *,
    history: Sequence[QNReport] = (),
    title: str = "Q-N score",
) -> Path:
    """Write report.html and its PNGs to ``folder``; returns the HTML file.

    ``samples`` (n, C, S, S) uint8 are the pictures that were scored, ``train`` the node's training pictures;
    ``history`` are earlier reports, oldest first, for the curves over time. Errors: DataError if the pictures are not
    those of the report.
    """
    if len(samples) != report.samples or len(train) != len(report.train_counts):
        raise DataError(
            f"samples has {len(samples)} pictures and train {len(train)}, "
            f"the report is about {report.samples} and {len(report.train_counts)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    copied = [i for i, count in enumerate(report.train_counts) if count]
    copied = sorted(copied, key=lambda i: -report.train_counts[i])[:24]
    grids = {
        "resemblances": resemblances_png(report, samples, train),
        "most_copied": captioned_png([([train.images[i]], f"{report.train_counts[i]} x", True) for i in copied], 12),
        "samples": grid_png(samples[:96]),
    }
    if not copied:
        del grids["most_copied"]
    plots = _plots(report, history)
    for name, content in {**grids, **plots}.items():
        (folder / f"{name}.png").write_bytes(content)
    path = folder / "report.html"
    path.write_text(_page(title, report, grids, plots), encoding="utf-8")
    return path


def grid_png(images: Tensor, columns: int = 16) -> bytes:
    """Pictures (n, C, S, S) uint8 side by side, two pixels apart, as PNG; larger ones than `SHOWN` are shrunk."""
    check_images(images, "images")
    count, channels, size, _ = images.shape
    if size > SHOWN:
        images, size = reshape_images(images, SHOWN, channels), SHOWN
    rows = -(-count // columns)
    canvas = torch.full((channels, rows * (size + 2), columns * (size + 2)), 255, dtype=torch.uint8)
    for index, picture in enumerate(images):
        top, left = (index // columns) * (size + 2) + 1, (index % columns) * (size + 2) + 1
        canvas[:, top : top + size, left : left + size] = picture
    return _bytes(_picture(canvas))


def resemblances_png(report: QNReport, samples: Tensor, train: PictureSet, limit: int = 48) -> bytes:
    """The samples that most resemble a training picture, each beside it with its score, best first; confirmed copies
    framed."""
    confirmed = {pair.sample: pair for pair in report.pairs}

    def shown(index: int, near: Neighbour) -> tuple[list[Tensor], str, bool]:
        pair = confirmed.get(index)
        picture = train.images[pair.train if pair else near.train]
        score = pair.score if pair else near.score
        told = f"score {score:.4f}" if score else f"distance {near.distance:.2f}"
        return [samples[index], picture], told, pair is not None

    order = sorted(
        enumerate(report.nearest), key=lambda item: (item[0] not in confirmed, -item[1].score, item[1].distance)
    )
    return captioned_png([shown(index, near) for index, near in order[:limit]], 6)


def captioned_png(cells: Sequence[tuple[Sequence[Tensor], str, bool]], columns: int, side: int = 72) -> bytes:
    """A grid of cells as PNG: pictures (C, S, S) side by side at ``side`` pixels, a caption below, and a frame where
    the last value says so."""
    from PIL import Image, ImageDraw, ImageFont

    most = max((len(pictures) for pictures, _, _ in cells), default=1)
    width, height = most * (side + 2) + 10, side + 26
    canvas = Image.new("RGB", (columns * width, max(1, -(-len(cells) // columns)) * height), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for index, (pictures, caption, framed) in enumerate(cells):
        left, top = (index % columns) * width + 3, (index // columns) * height + 3
        if framed:
            draw.rectangle((left - 2, top - 2, left + most * (side + 2), top + side + 1), outline=RUST, width=2)
        for place, picture in enumerate(pictures):
            way = Image.Resampling.NEAREST if picture.shape[-1] <= side else Image.Resampling.LANCZOS
            canvas.paste(_picture(picture).convert("RGB").resize((side, side), way), (left + place * (side + 2), top))
        draw.text((left, top + side + 3), caption, fill=RUST if framed else INK, font=font)
    return _bytes(canvas)


def _picture(pixels: Tensor) -> Any:
    from PIL import Image

    array = pixels.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array)


def _bytes(picture: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


HEADINGS = {
    "resemblances": (
        "Samples and the training pictures they resemble most",
        "Left the sample, right your picture, below the verifier's score, or the distance of the fingerprints where "
        "that already ruled a copy out. Framed: confirmed copies, each picture counted once.",
    ),
    "most_copied": ("Most copied pictures", "How many confirmed pairs each took part in, before counting once."),
    "samples": ("Samples", "The first of those that were scored."),
}


def _page(title: str, report: QNReport, grids: dict[str, bytes], plots: dict[str, bytes]) -> str:
    parts = [_head(title, report), _cards(report)]
    for name, content in grids.items():
        heading, told = HEADINGS[name]
        form = 'class="sharp" width="100%"' if name == "samples" else ""  # captions are not to be stretched
        parts.append(f'<h2>{heading}</h2><p class="small">{told}</p><img {form} alt="{name}" src="{inline(content)}">')
    shown = "".join(f'<img alt="{name}" src="{inline(content)}">' for name, content in plots.items())
    parts.append(f'<h2>Curves</h2><div class="plots">{shown}</div>{_numbers(report)}</body></html>')
    return "\n".join(parts)


def inline(png: bytes) -> str:
    """A PNG as an address inside a page."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _head(title: str, report: QNReport) -> str:
    verdict = (
        f"{report.confirmed_samples} of {report.samples} samples are copies of {len(report.pairs)} of your pictures"
    )
    if not report.pairs:
        verdict = f"none of {report.samples} samples is a confirmed copy"
    name = html.escape(title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title><style>{STYLE}</style></head>'
        f'<body><h1>{name}</h1><p class="verdict">{verdict}.</p>'
        '<p class="note">Private: this page shows your training pictures. Do not publish it.</p>'
    )


def _cards(report: QNReport) -> str:
    cards = [
        ("objective J, lower is better", f"{report.objective:.2f}"),
        ("FID over its floor", f"{report.quality_ratio:.2f}"),
        ("factor for copying", f"{report.copy_ratio:.2f}"),
        ("copies in 1,000 samples", f"{report.copies.per_thousand:.1f}"),
        ("Q-N, eq. 6", f"{report.qn:.2f}"),
    ]
    shown = "".join(f'<div class="card"><b>{value}</b><span>{name}</span></div>' for name, value in cards)
    return f'<div class="cards">{shown}</div>'


def copy_words(test: CopyTest) -> str:
    """The copy test in a line."""
    verdict = "more than false alarms explain" if test.alarm else "no more than false alarms explain"
    return (
        f"{test.found} of {test.samples} samples beyond doubt, {test.per_thousand:.1f} in 1,000 (95 % interval "
        f"{test.low:.1f} to {test.high:.1f}): {verdict} (p = {test.p_value:.2g} against {test.assumed:.2%})"
    )


def _numbers(report: QNReport) -> str:
    rate, low, high = report.false_positive_rate
    limit = "-" if report.fid_infinity is None else f"{report.fid_infinity:.3f}"
    rows = [
        ("FID, its floor, FD∞", f"{report.fid:.3f}, {report.fid_floor:.3f}, {limit}"),
        ("V_A, V_C, R_C", f"{report.v_a:.3f}, {report.v_c:.3f}, {report.r_c:.3f}"),
        ("novelty, its floor", f"{report.novelty:.2f}, {report.novelty_floor:.2f}"),
        ("copy test", copy_words(report.copies)),
        ("nearer to your pictures than unseen ones are", f"z = {report.nearness[0]:.2f}, p = {report.nearness[1]:.2g}"),
        ("near twins passed over in calibration", str(report.twins)),
        *((f"95 % interval of {name}", f"{a:.2f} to {b:.2f}") for name, (a, b) in report.intervals.items()),
        ("pairs sent to the verifier", str(report.checked_pairs)),
        ("verifier threshold", f"{report.threshold:.5f}"),
        ("false positives on held-out pictures", f"{rate:.2%} (95 % interval {low:.2%} to {high:.2%})"),
        ("extractor", f"{report.extractor_id} {report.extractor_sha256[:16]}…"),
        ("fingerprinter", f"{report.fingerprint_sha256[:16]}…"),
        ("seconds", ", ".join(f"{name} {value:.2f}" for name, value in report.timings.items())),
    ]
    table = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows)
    return f"<h2>Numbers</h2><table>{table}</table>"


def _plots(report: QNReport, history: Sequence[QNReport]) -> dict[str, bytes]:
    import matplotlib as mpl

    mpl.use("Agg")
    result = {"scores": _plot(_draw_scores, report), "distances": _plot(_draw_distances, report)}
    if report.calibration_curve:
        result["calibration"] = _plot(_draw_calibration, report)
    if history:
        result["history"] = _plot(_draw_history, [*history, report])
    return result


def _draw_scores(axis: Any, report: QNReport) -> None:
    verified = [near.score for near in report.nearest if near.score]
    axis.hist(verified, bins=40, range=(0, 1), color=RUST)
    axis.axvline(report.threshold, color=INK, linestyle="--", label=f"threshold {report.threshold:.4f}")
    title = f"Highest similarity, {len(verified)} of {report.samples} samples"
    axis.set(title=title, xlabel="verifier's score", ylabel="samples")


def _draw_distances(axis: Any, report: QNReport) -> None:
    confirmed = {pair.sample for pair in report.pairs}
    groups = [[near.distance for i, near in enumerate(report.nearest) if (i in confirmed) == kind] for kind in (0, 1)]
    axis.hist(groups, bins=40, stacked=True, color=[BLUE, RUST], label=["no copy", "confirmed"])
    axis.set(title="Distance to the picture most resembled", xlabel="distance of fingerprints", ylabel="samples")


def _draw_calibration(axis: Any, report: QNReport) -> None:
    levels, rates = zip(*report.calibration_curve, strict=True)
    axis.step(levels, rates, where="post", color=BLUE)
    axis.axvline(report.threshold, color=INK, linestyle="--", label=f"threshold {report.threshold:.4f}")
    axis.axhline(report.settings.fpr, color=RUST, linestyle=":", label=f"target {report.settings.fpr:.1%}")
    axis.set(title="Held-out real pictures confirmed", xlabel="threshold", ylabel="share", ylim=(0, None))


def _draw_history(axis: Any, line: Sequence[QNReport]) -> None:
    numbers = range(1, len(line) + 1)
    axis.plot(numbers, [r.objective for r in line], marker="o", color=INK, label="objective J")
    axis.plot(numbers, [r.quality_ratio for r in line], marker="o", color=BLUE, label="FID over its floor")
    axis.plot(numbers, [r.copy_ratio for r in line], marker="o", color=RUST, label="factor for copying")
    axis.set(title="Over time", xlabel="evaluation", ylabel="lower is better", yscale="log")
    axis.xaxis.get_major_locator().set_params(integer=True)


def _plot(draw: Callable[[Any, Any], None], what: Any) -> bytes:
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(5.6, 3.2), layout="constrained")
    draw(axis, what)
    axis.spines[["top", "right"]].set_visible(False)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=8)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=140)
    pyplot.close(figure)
    return stream.getvalue()
