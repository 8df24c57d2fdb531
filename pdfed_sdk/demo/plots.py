"""The pictures of a run: samples of the best model, memorised pairs, progress, lineage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from pdfed_sdk.demo.nodes import SCORING, DemoNode
from pdfed_sdk.demo.quality import SEED, model_folder
from pdfed_sdk.family import load_model
from pdfed_sdk.ml.data import NodeSplit
from pdfed_sdk.node.task_view import TaskView

Summary = Mapping[str, Any]
GRID_STEPS = 25
"""Denoising steps of the grid; scores use the task's own number."""
COLOURS = {"atelier": "#1f77b4", "clinic": "#2ca02c", "studio": "#9467bd", "copyist": "#d62728", "museum": "#7f7f7f"}


def draw_all(
    folder: Path,
    summary: Summary,
    view: TaskView,
    opinions: Mapping[int, Mapping[str, Mapping[str, Any]]],
    nodes: Sequence[DemoNode],
) -> None:
    draw_samples(folder, nodes, int(view.best))
    draw_pairs(folder, summary, opinions, nodes)
    draw_progress(folder, summary)
    draw_lineage(folder, summary)


def draw_samples(folder: Path, nodes: Sequence[DemoNode], best: int) -> None:
    """Ten of each class by the best model; three of each by genesis beside it, from the same seed."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 8.4), width_ratios=[10, 3])
    for axis, submission, each in zip(axes, (best, 0), (10, 3), strict=True):
        model = load_model(model_folder(folder, nodes, submission))
        images, labels = model.family.sample(model, 10 * each, SEED, steps=GRID_STEPS)
        order = np.argsort(labels.numpy(), kind="stable")
        tiles = images.numpy()[order, 0].reshape(10, each, *images.shape[2:])
        axis.imshow(
            np.block([[np.pad(t, 1, constant_values=90) for t in row] for row in tiles]), cmap="gray", vmin=0, vmax=255
        )
        axis.set_title(f"best model, #{best}" if submission else "genesis")
        axis.axis("off")
    _save(figure, folder / "samples.png")


def draw_pairs(
    folder: Path, summary: Summary, opinions: Mapping[int, Mapping[str, Mapping[str, Any]]], nodes: Sequence[DemoNode]
) -> None:
    """The copyist's samples beside the private pictures they copy, as each node that holds them found them."""
    submission = summary["copies"].get("id")
    shown: list[tuple[str, np.ndarray, np.ndarray, float]] = []
    for node in nodes:
        note = opinions.get(submission, {}).get(node.name) if submission else None
        if not note or not note["pairs"] or node.name == "copyist":
            continue
        model = load_model(model_folder(folder, nodes, submission))
        images, _ = model.family.sample(
            model,
            SCORING.samples,
            bytes.fromhex(note["seed"]),
            steps=SCORING.sampler_steps,
            solver=SCORING.solver,
        )
        train = NodeSplit.load(folder / "nodes" / node.name / "data").train.images
        shown += [
            (node.name, images[p["sample"], 0].numpy(), train[p["train"], 0].numpy(), p["score"])
            for p in note["pairs"][:12]
        ]
    columns = 12
    rows = max(1, -(-len(shown) // columns))
    figure, axes = plt.subplots(
        2 * rows, columns, figsize=(columns * 0.95, rows * 2.45), layout="constrained", squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for place, (name, generated, original, score) in enumerate(shown):
        row, column = divmod(place, columns)
        for offset, picture, text in ((0, generated, f"{name}\n{score:.3f}"), (1, original, "")):
            axis = axes[2 * row + offset][column]
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axis.set_title(text, fontsize=7)
    title = f"model #{submission}: generated (above) and the private training picture it copies (below), verifier score"
    figure.suptitle(title if shown else "no memorised pairs", fontsize=9)
    _save(figure, folder / "pairs.png")


def draw_progress(folder: Path, summary: Summary) -> None:
    """Level and novelty (over its floor) by submission."""
    submissions = [s for s in summary["submissions"] if s["status"] == "final"]
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(9, 6.5), sharex=True)
    steps = [s["level"] if s["gain"] else 0 for s in submissions]
    best: Any = np.maximum.accumulate([0, *steps])[1:]
    numbers = [s["id"] for s in submissions]
    upper.step(numbers, best, where="post", color="#444", linewidth=1, label="best level so far")
    for s in submissions:
        colour = COLOURS.get(s["name"], "#000")
        upper.scatter(s["id"], s["level"], color=colour, zorder=3)
        upper.annotate(
            f"#{s['id']} {s['name']}", (s["id"], s["level"]), fontsize=7, xytext=(4, 4), textcoords="offset points"
        )
        for name, part in s["by_node"].items():
            if part.get("copy_ratio") is not None:
                lower.scatter(s["id"], part["copy_ratio"], color=COLOURS.get(name, "#000"), s=22, alpha=0.8)
    upper.set_ylabel("level (grains, 1/32 octave of J)")
    upper.legend(loc="upper left", fontsize=8)
    lower.set_yscale("log")
    lower.set_ylabel("factor for copying, by voter")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    lower.set_xlabel("submission")
    upper.margins(0.12)
    lower.axhline(1, color="#999", linewidth=0.8)
    for name, colour in COLOURS.items():
        lower.scatter([], [], color=colour, s=22, label=name)
    lower.legend(fontsize=7, ncols=5, loc="center left")
    _save(figure, folder / "progress.png")


def draw_lineage(folder: Path, summary: Summary) -> None:
    """Every model at its level, with lines to its parents; thickness is the parent's share."""
    at = {0: (0.0, 0.0), **{s["id"]: (float(s["id"]), float(s["level"] or 0)) for s in summary["submissions"]}}
    figure, axis = plt.subplots(figsize=(9, 5))
    for s in summary["submissions"]:
        for parent in s["parents"]:
            (x0, y0), (x1, y1) = at[parent["id"]], at[s["id"]]
            width = 0.5 + 2 * parent["weight_bps"] / 10_000
            axis.annotate(
                "",
                (x1, y1),
                (x0, y0),
                arrowprops={"arrowstyle": "->", "color": "#888", "lw": width, "shrinkA": 10, "shrinkB": 10},
            )
    axis.scatter(0, 0, s=320, color="#ddd", edgecolor="#444", zorder=3)
    axis.annotate("genesis", (0, 0), ha="center", va="center", fontsize=7, zorder=4)
    for s in summary["submissions"]:
        x, y = at[s["id"]]
        edge = "#111" if s["id"] == summary["best"]["id"] else "#fff"
        axis.scatter(x, y, s=380, color=COLOURS.get(s["name"], "#000"), edgecolor=edge, linewidth=2, zorder=3)
        axis.annotate(f"#{s['id']}", (x, y), ha="center", va="center", fontsize=8, color="#fff", zorder=4)
    for name, colour in COLOURS.items():
        if any(s["name"] == name for s in summary["submissions"]):
            axis.scatter([], [], color=colour, label=name)
    axis.legend(fontsize=8, loc="upper left")
    axis.set_xlabel("submission")
    axis.set_ylabel("level")
    axis.margins(0.12)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    _save(figure, folder / "lineage.png")


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
