"""The private report of a score: one HTML file with its pictures inside, and the same pictures as PNG files.

Private: it shows the node's own training pictures. Nothing here is ever published; see `report_types.Publication`.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.report_types import QNReport

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1d2430 }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.1rem; margin-top: 2rem }
.note { color: #8a2b0b; background: #fff4ee; padding: .5rem .8rem; border-radius: 6px }
.cards { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0 }
.card { border: 1px solid #d8dee6; border-radius: 8px; padding: .6rem .9rem; min-width: 8.5rem }
.card b { display: block; font-size: 1.35rem } .card span { color: #5b6675; font-size: .85rem }
table { border-collapse: collapse; font-size: .9rem } td, th { padding: .2rem .8rem .2rem 0; text-align: left }
.pairs { display: flex; flex-wrap: wrap; gap: .8rem } figure { margin: 0; text-align: center; font-size: .8rem }
.pairs img, .grid { image-rendering: pixelated; border: 1px solid #d8dee6 } .pairs img { width: 72px; height: 72px }
.plots { display: flex; flex-wrap: wrap; gap: 1rem } .plots img { max-width: 30rem; width: 100% }
"""


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
    pictures = {"samples.png": grid_png(samples[:80]), **_plots(report, history)}
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
    parts = [_head(title, report), _numbers(report), _pairs(report, samples, train), _most_copied(report, train)]
    parts.append(
        f'<h2>Samples</h2><img class="grid" width="640" alt="samples" src="{_inline(pictures["samples.png"])}">'
    )
    shown = [f'<img alt="{name[:-4]}" src="{_inline(content)}">' for name, content in pictures.items()][1:]
    parts.append(f'<h2>Curves</h2><div class="plots">{"".join(shown)}</div></body></html>')
    path = folder / "report.html"
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def grid_png(images: Tensor, columns: int = 16) -> bytes:
    """Pictures (n, C, S, S) uint8 side by side, two pixels apart, as PNG."""
    count, channels, size, _ = images.shape
    rows = -(-count // columns)
    canvas = torch.full((channels, rows * (size + 2), columns * (size + 2)), 255, dtype=torch.uint8)
    for index, picture in enumerate(images):
        top, left = (index // columns) * (size + 2) + 1, (index % columns) * (size + 2) + 1
        canvas[:, top : top + size, left : left + size] = picture
    return _png(canvas)


def _png(picture: Tensor) -> bytes:
    from PIL import Image

    pixels = picture.permute(1, 2, 0).contiguous().numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(stream, "PNG")
    return stream.getvalue()


def _inline(png: bytes) -> str:
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
        f"<body><h1>{name}</h1><p>{verdict}.</p>"
        '<p class="note">Private: this page shows your training pictures. Do not publish it.</p>'
    )


def _numbers(report: QNReport) -> str:
    rate, low, high = report.false_positive_rate
    cards = [
        ("objective J", f"{report.objective:.2f}"),
        ("FID over its floor", f"{report.quality_ratio:.2f}"),
        ("novelty over its floor", f"{report.novelty_ratio:.2f}"),
        ("copied share R_C", f"{report.r_c:.1%}"),
        ("Q-N, eq. 6", f"{report.qn:.2f}"),
    ]
    limit = "-" if report.fid_infinity is None else f"{report.fid_infinity:.3f}"
    rows = [
        ("FID, its floor, FD∞", f"{report.fid:.3f}, {report.fid_floor:.3f}, {limit}"),
        ("V_A, V_C", f"{report.v_a:.3f}, {report.v_c:.3f}"),
        ("novelty, its floor", f"{report.novelty:.2f}, {report.novelty_floor:.2f}"),
        ("pairs sent to the verifier", str(report.checked_pairs)),
        ("verifier threshold", f"{report.threshold:.5f}"),
        ("false positives on held-out pictures", f"{rate:.2%} (95 % interval {low:.2%} to {high:.2%})"),
        ("extractor", f"{report.extractor_id} {report.extractor_sha256[:16]}…"),
        ("fingerprinter", f"{report.fingerprint_sha256[:16]}…"),
    ]
    rows += [(f"95 % interval of {name}", f"{a:.2f} to {b:.2f}") for name, (a, b) in report.intervals.items()]
    shown = "".join(f'<div class="card"><b>{value}</b><span>{name}</span></div>' for name, value in cards)
    table = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows)
    return f'<div class="cards">{shown}</div><table>{table}</table>'


def _pairs(report: QNReport, samples: Tensor, train: PictureSet, limit: int = 60) -> str:
    if not report.pairs:
        return ""
    figures = []
    for pair in report.pairs[:limit]:
        left, right = _inline(_png(samples[pair.sample])), _inline(_png(train.images[pair.train]))
        caption = f"sample {pair.sample} ~ picture {pair.train}<br>{pair.score:.4f}"
        figures.append(
            f'<figure><img alt="sample" src="{left}"> <img alt="original" src="{right}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    more = f" ({limit} of {len(report.pairs)} shown)" if len(report.pairs) > limit else ""
    return f'<h2>Copies: sample and your picture{more}</h2><div class="pairs">{"".join(figures)}</div>'


def _most_copied(report: QNReport, train: PictureSet, limit: int = 24) -> str:
    order = sorted(range(len(train)), key=lambda i: (-report.train_counts[i], i))[:limit]
    figures = [
        f'<figure><img alt="picture {i}" src="{_inline(_png(train.images[i]))}">'
        f"<figcaption>{report.train_counts[i]} times</figcaption></figure>"
        for i in order
        if report.train_counts[i]
    ]
    return f'<h2>Most copied pictures</h2><div class="pairs">{"".join(figures)}</div>' if figures else ""


def _plots(report: QNReport, history: Sequence[QNReport]) -> dict[str, bytes]:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    result = {}
    scores = [pair.score for pair in report.pairs]
    figure, axis = pyplot.subplots(figsize=(5, 3), layout="constrained")
    axis.hist(scores, bins=20, range=(min([*scores, report.threshold, 0.8]), 1), color="#b5532b")
    axis.axvline(report.threshold, color="#1d2430", linestyle="--", label="threshold")
    axis.set(title="Scores of the confirmed pairs", xlabel="similarity", ylabel="pairs")
    axis.legend()
    result["scores.png"] = _figure(figure)
    figure, axis = pyplot.subplots(figsize=(5, 3), layout="constrained")
    levels, rates = zip(*report.calibration_curve, strict=True) if report.calibration_curve else ((), ())
    axis.plot(levels, rates, marker="o", color="#2b6cb0")
    axis.axvline(report.threshold, color="#1d2430", linestyle="--", label="threshold")
    axis.axhline(report.settings.fpr, color="#b5532b", linestyle=":", label="target")
    axis.set(title="Held-out real pictures confirmed", xlabel="threshold", ylabel="share")
    axis.legend()
    result["calibration.png"] = _figure(figure)
    if history:
        line: list[Any] = [*history, report]
        figure, axis = pyplot.subplots(figsize=(5, 3), layout="constrained")
        axis.plot([r.quality_ratio for r in line], marker="o", color="#2b6cb0", label="FID over its floor")
        axis.plot([r.novelty_ratio for r in line], marker="o", color="#b5532b", label="novelty over its floor")
        axis.set(title="Over time", xlabel="evaluation", yscale="log")
        axis.legend()
        result["history.png"] = _figure(figure)
    return result


def _figure(figure: Any) -> bytes:
    from matplotlib import pyplot

    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    pyplot.close(figure)
    return stream.getvalue()
