"""Does memorisation fall? The paper's experiment through the real protocol: cells of trainers x rule x seed.

Rules (`federation_cell.RULES`): ``fld_fid`` ranks models by FLD + FID, ``qn`` by eq. 6, ``qn_dedup`` adds the dedup
list, ``protocol`` is the normalised objective, the dedup list, the pessimistic third and the publication gate. Trainers
share a fixed number of pictures; the two validators that complete the quorum hold other pictures, of their own.
Measured are the last eight submissions, on all trainers' pictures together.

A cell's result is a file of its own, so a run that was stopped goes on. Effects are 1 - ratio of means over seeds, with
95 % intervals of a bootstrap over seeds; with fewer than three seeds a claim is undecided.

    python -m benchmarks.federation --preset smoke|small|parts|gpu|paper [--json] [--jobs 1]
        [--cells 2,4:protocol,fld_fid:0,1,2]
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.federation_cell import RULES, Size, run_cell
from benchmarks.machine import processor
from pdfed_sdk.ml import device_of, set_threads
from pdfed_sdk.ml.diffusion.model import ModelConfig

RESULTS = Path(__file__).parent / "results"
PAPER_TABLE = {
    2: "novelty product -56 % against FLD+FID (paper, Table 1)",
    4: "novelty product -32 % against FLD+FID (paper, Table 1)",
}
DECISIVE, PAPERS = ("fld_fid", "protocol"), ("fld_fid", "qn", "qn_dedup")
PARTS = {
    "gate": ("protocol_without_gate", "protocol"),
    "dedup": ("protocol_without_dedup", "protocol"),
    "third": ("protocol_without_third", "protocol"),
    "not_my_own_twice": ("protocol", "protocol_not_my_own_twice"),
}
"""Parts of the protocol rule, and what is compared to learn what each is worth: without and with it."""
APART = tuple(dict.fromkeys(itertools.chain(*PARTS.values())))
RESAMPLES = 2_000
SEEDS_NEEDED = 3
FID_COST = 0.05
"""How much worse the FID may be under the protocol rule."""


@dataclass(frozen=True)
class Preset:
    """Which cells, how large."""

    size: Size
    rules: dict[int, tuple[str, ...]]
    """By number of trainers."""
    seeds: tuple[int, ...]


SMALL = Size(
    pictures=256,
    validator=100,
    network=ModelConfig(size=8),
    genesis=3_000,
    passes=200,
    batch=32,
    lr=4e-3,
    samples=96,
    steps=10,
    trainings=9,
    seconds=1_200,
    unseen=400,
    judged=200,
    cheap=True,
)
"""Few pictures of 8 px, so that memorisation begins within minutes on a CPU."""
PRESETS = {
    "smoke": Preset(
        Size(
            pictures=200,
            validator=60,
            network=ModelConfig(),
            genesis=1_000,
            passes=30,
            batch=32,
            samples=64,
            steps=8,
            trainings=4,
            seconds=330,
            unseen=120,
        ),
        {2: DECISIVE},
        (0,),
    ),
    "small": Preset(SMALL, {2: (*PAPERS, "protocol"), 4: DECISIVE}, (0, 1, 2)),
    "parts": Preset(SMALL, {2: APART}, (0, 1, 2)),
    "gpu": Preset(Size(), dict.fromkeys((2, 4), DECISIVE), (0, 1, 2)),
    "paper": Preset(
        Size(
            data="", pictures=50_000 * 3 // 5, network=ModelConfig(size=32, channels=3, widths=(64, 128, 256), layers=2)
        ),
        dict.fromkeys((1, 2, 4, 6, 8), (*PAPERS, "protocol")),
        (0, 1, 2),
    ),
}


# --- effects ---------------------------------------------------------------------------------------------------------


def effect(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Ratio of means (treated over control) - 1 with its 95 % interval; pairs are (control, treated) by seed."""
    values = np.array(pairs, dtype=float)
    rng = np.random.default_rng(0)
    draws = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(1)
    ratios = draws[:, 1] / np.maximum(draws[:, 0], 1e-12) - 1
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(values[:, 1].mean() / max(values[:, 0].mean(), 1e-12) - 1), float(low), float(high)


def verdict(low: float, high: float, limit: float, seeds: int) -> str:
    """Whether an effect is at most ``limit``."""
    if seeds < SEEDS_NEEDED:
        return "undecided"
    return "holds" if high <= limit else "does not hold" if low > limit else "undecided"


def claim(
    cells: dict[tuple[int, str, int], dict[str, Any]], control: str, treated: str, limit: float
) -> dict[str, Any]:
    """Effect on the novelty product of one rule against another, over the numbers of trainers and seeds both have."""
    keys = sorted((n, s) for n, rule, s in cells if rule == treated and (n, control, s) in cells)
    if not any(cells[n, control, s]["mean"]["novelty"] for n, s in keys):  # nothing was memorised: nothing to compare
        return {"effect": None, "low": None, "high": None, "verdict": "undecided", "cells": len(keys)}

    def pairs(name: str) -> list[tuple[float, float]]:
        return [(cells[n, control, s]["mean"][name], cells[n, treated, s]["mean"][name]) for n, s in keys]

    found, low, high = effect(pairs("novelty"))
    quality, fid_low, fid_high = effect(pairs("fid"))
    seeds = len({s for _, s in keys})
    return {
        "effect": found,
        "low": low,
        "high": high,
        "verdict": verdict(low, high, limit, seeds),
        "fid_effect": quality,
        "fid_low": fid_low,
        "fid_high": fid_high,
        "cells": len(keys),
    }


def claims(cells: dict[tuple[int, str, int], dict[str, Any]]) -> dict[str, Any]:
    """All claims; what was not run is undecided."""
    found = {
        "protocol_rule": claim(cells, "fld_fid", "protocol", -0.8),
        "qn_dedup": claim(cells, "fld_fid", "qn_dedup", -0.32),
        "eq6_alone": claim(cells, "fld_fid", "qn", 0.0),
        "more_nodes": _more_nodes(cells),
        "parts": {name: claim(cells, *pair, 0.0) for name, pair in PARTS.items()},
    }
    rule = found["protocol_rule"]
    if rule["verdict"] == "holds" and rule["fid_effect"] > FID_COST:  # the quality it costs is part of the claim
        rule["verdict"] = "does not hold"
    return found


def _more_nodes(cells: dict[tuple[int, str, int], dict[str, Any]]) -> dict[str, Any]:
    """Effect of the larger number of trainers against the smaller, under FLD + FID."""
    counts = sorted({n for n, rule, _ in cells if rule == "fld_fid"})
    if len(counts) < 2:
        return {"effect": None, "low": None, "high": None, "verdict": "undecided", "cells": 0}
    few, many = counts[0], counts[-1]
    renamed = {(0, str(n), s): row for (n, rule, s), row in cells.items() if rule == "fld_fid"}
    return claim(renamed, str(few), str(many), 0.0)


# --- running ---------------------------------------------------------------------------------------------------------


def chosen_cells(preset: Preset, text: str) -> list[tuple[int, str, int]]:
    """The preset's cells, or those of "nodes:rules:seeds", seed by seed."""
    rules, seeds = preset.rules, preset.seeds
    if text:
        first, second, third = text.split(":")
        nodes, seeds = (tuple(map(int, part.split(","))) for part in (first, third))
        rules = dict.fromkeys(nodes, tuple(second.split(",")))
    return [(n, rule, seed) for seed in seeds for n, chosen in rules.items() for rule in chosen]


def run_all(name: str, cells: list[tuple[int, str, int]], folder: Path, options: argparse.Namespace) -> None:
    """Run the cells that have no result yet, ``jobs`` processes side by side."""
    waiting = [cell for cell in cells if not (folder / f"{cell[0]}-{cell[1]}-{cell[2]}.json").exists()]
    running: list[subprocess.Popen[bytes]] = []
    while waiting or running:
        while waiting and len(running) < options.jobs:
            n, rule, seed = waiting.pop(0)
            command = [sys.executable, "-m", "benchmarks.federation", "--preset", name, "--device", options.device]
            command += ["--results", str(folder), "--one", f"{n}:{rule}:{seed}", "--data", options.data]
            command += ["--seconds", str(options.seconds)]
            running.append(subprocess.Popen(command))
        running = [process for process in running if process.poll() is None]
        time.sleep(0.2)


def run_one(preset: Preset, cell: str, folder: Path, options: argparse.Namespace) -> None:
    """One cell, in this process, written when it is done."""
    n, rule, seed = cell.split(":")
    size = preset.size
    if options.data:
        size = replace(size, data=options.data)
    if options.seconds:
        size = replace(size, seconds=options.seconds)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pdfed-federation-") as place:
        logging.basicConfig(
            filename=folder / f"{n}-{rule}-{seed}.log", level=logging.INFO, format="%(asctime)s %(message)s"
        )
        found = run_cell(Path(place), int(n), rule, int(seed), size, options.device)
    fresh = folder / f"{n}-{rule}-{seed}.part"
    fresh.write_text(json.dumps({**found, "device": device_name(options.device)}, indent=1))
    fresh.replace(fresh.with_suffix(".json"))


def device_name(device: str) -> str:
    """What it ran on."""
    place = device_of(device)
    return torch.cuda.get_device_name(place) if place.type == "cuda" else processor()


def collected(folder: Path) -> dict[tuple[int, str, int], dict[str, Any]]:
    """Results by cell; cells without a submission count for nothing."""
    rows = [json.loads(path.read_text()) for path in sorted(folder.glob("*-*-*.json"))]
    return {(row["nodes"], row["rule"], row["seed"]): row for row in rows if row["mean"]}


def show(cells: dict[tuple[int, str, int], dict[str, Any]], found: dict[str, Any]) -> None:
    """Tables for people."""
    print(
        f"{'n':>2} {'rule':28} {'seed':>4} {'novelty·10³':>11} {'R_C':>6} {'FID':>7} "
        f"{'AuthPct':>7} {'C_T':>6} {'subm.':>5}"
    )
    for (n, rule, seed), row in sorted(cells.items()):
        mean = row["mean"]
        ct = f"{mean['ct']:6.2f}" if mean["ct"] is not None else "     -"
        values = f"{1000 * mean['novelty']:11.3f} {mean['r_c']:6.3f} {mean['fid']:7.1f} {mean['auth_pct']:7.1f} {ct}"
        print(f"{n:2} {rule:28} {seed:4} {values} {row['submissions']:5}")
    for n, text in PAPER_TABLE.items():
        print(f"paper, n = {n}: {text}")
    for name, row in found.items():
        for part, inner in row.items() if name == "parts" else [("", row)]:
            if inner["effect"] is not None:
                interval = f"{inner['effect']:+.1%} [{inner['low']:+.1%}, {inner['high']:+.1%}]"
                cost = f"{inner['fid_effect']:+.1%} [{inner['fid_low']:+.1%}, {inner['fid_high']:+.1%}]"
                print(f"{name} {part}: novelty {interval}, FID {cost}: {inner['verdict']}")


def plot(cells: dict[tuple[int, str, int], dict[str, Any]], out: Path) -> None:
    """Every cell: the novelty product and the FID by number of trainers and rule (the paper's Figure 4)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    axes = figure.subplots(1, 2)
    counts = sorted({n for n, _, _ in cells})
    rules = [rule for rule in RULES if any(rule == other for _, other, _ in cells)]
    apart = min(0.15, 0.7 / len(rules))
    for axis, name, label in zip(axes, ("novelty", "fid"), ("novelty product", "FID"), strict=True):
        for place, rule in enumerate(rules):
            rows = [(n, row["mean"][name]) for (n, other, _), row in sorted(cells.items()) if other == rule]
            at = [counts.index(n) + apart * (place - (len(rules) - 1) / 2) for n, _ in rows]
            axis.plot(at, [value for _, value in rows], "o", label=rule)
        axis.set_xticks(range(len(counts)), [f"{n} trainers" for n in counts])
        axis.set_xlim(-0.5, len(counts) - 0.5)
        axis.set_title(f"{label}; lower is better", fontsize=10)
    axes[0].set_yscale("symlog", linthresh=1e-5)
    axes[0].set_ylim(0, 3 * max(row["mean"]["novelty"] for row in cells.values()) + 1e-5)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(out, dpi=110)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="smoke")
    parser.add_argument("--json", action="store_true", help="JSON on stdout, nothing else")
    parser.add_argument("--jobs", type=int, default=1, help="cells side by side")
    parser.add_argument("--cells", default="", help="nodes:rules:seeds, each a list with commas")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--data", default="", help="pictures instead of the preset's; the preset paper needs CIFAR-10's"
    )
    parser.add_argument("--seconds", type=float, default=0, help="of each cell instead of the preset's")
    parser.add_argument("--results", type=Path, help="folder of the cells' results")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    set_threads(1)
    preset, folder = PRESETS[options.preset], options.results or RESULTS / f"federation-{options.preset}"
    if not (options.data or preset.size.data):
        parser.error(f"the preset {options.preset} needs --data PATH")
    if options.one:
        run_one(preset, options.one, folder, options)
        return
    run_all(options.preset, chosen_cells(preset, options.cells), folder, options)
    cells = collected(folder)
    found = claims(cells)
    if cells:
        plot(cells, folder / "cells.png")
    if options.json:
        table = [
            {key: row[key] for key in ("nodes", "rule", "seed", "mean", "submissions", "refused", "device")}
            for row in cells.values()
        ]
        print(json.dumps({"claims": found, "table": table, "preset": options.preset}))
        return
    show(cells, found)


if __name__ == "__main__":
    main()
