"""``pdfed train``: a model from pictures on this machine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdfed_sdk.cli.options import Json
from pdfed_sdk.cli.output import emit, err, show_table
from pdfed_sdk.errors import UsageError


def train(
    data: Annotated[str, typer.Argument(help='Pictures: a folder, any source, a prepared split, or "mnist".')],
    folder: Annotated[Path, typer.Option("--out", help="Folder of the run; the same again goes on with it.")],
    preset: Annotated[int, typer.Option(help="Pixels a side: 16, 28, 32 or 64 (default: the pictures' own).")] = 0,
    start: Annotated[
        Path | None, typer.Option("--from", help="Folder of a diffusers UNet2DModel to go on from.")
    ] = None,
    channels: Annotated[int, typer.Option(help="1 (grey) or 3 (colour); default: the pictures' own.")] = 0,
    fit: Annotated[str, typer.Option(help='Pictures that are not square: "pad" on white, or "crop".')] = "pad",
    widths: Annotated[str, typer.Option(help="Channels of each level of the network, e.g. 32,64.")] = "",
    layers: Annotated[int, typer.Option(help="Residual blocks a level.")] = 0,
    attention: Annotated[str, typer.Option(help='Levels that attend, 0 the finest, e.g. 1,2; or "none".')] = "",
    pictures: Annotated[int, typer.Option(help="Budget: pictures shown; default: well before memorisation.")] = 0,
    batch: Annotated[int, typer.Option(help="Pictures a step.")] = 0,
    accumulate: Annotated[int, typer.Option(help="Passes that a step is split into.")] = 1,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of the averaged weights; 0 for none.")] = None,
    label_dropout: Annotated[float, typer.Option(help="Share of the labels that are hidden.")] = 0.0,
    ambient: Annotated[float, typer.Option(help="Share of the schedule with clean pictures; 0: all of it.")] = 0.0,
    time_spread: Annotated[float, typer.Option(help="How far steps stray from middling noise; 0: evenly.")] = 0.0,
    heldout: Annotated[float, typer.Option(help="Share of the pictures for the validation score; 0: none.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 0,
    device: Annotated[str, typer.Option(help='"cpu", "cuda" or "auto".')] = "auto",
    bf16: Annotated[bool, typer.Option("--bf16", help="Compute in bfloat16.")] = False,
    mode: Annotated[str, typer.Option(help='How a GPU steps: "auto", "graph", "compile" or "eager".')] = "auto",
    threads: Annotated[int, typer.Option(min=1, max=1024, help="torch threads.")] = 1,
    as_json: Json = False,
) -> None:
    """Train a diffusion model on pictures, with no chain. Run again, it goes on where it stood."""
    from pdfed_sdk.ml.device import set_threads
    from pdfed_sdk.ml.runs import RunOptions, run

    set_threads(threads)
    options = RunOptions(
        data=data,
        preset=preset,
        start=str(start) if start else "",
        channels=channels,
        fit=fit,
        widths=numbers("widths", widths) if widths else None,
        layers=layers or None,
        attention=None if not attention else () if attention == "none" else numbers("attention", attention),
        pictures=pictures,
        batch=batch,
        accumulate=accumulate,
        lr=lr,
        ema=ema,
        label_dropout=label_dropout,
        ambient=ambient,
        time_spread=time_spread,
        heldout=heldout,
        seed=seed,
        device=device,
        bf16=bf16,
        mode=mode,
    )
    result = run(folder, options, err.print)
    found = {"folder": str(folder), "model": str(folder / "model"), "facts": result.facts.to_dict()}
    rows = [("model", found["model"]), *result.facts.to_dict().items()]
    emit(found, as_json, lambda: show_table(rows))


def numbers(name: str, text: str) -> tuple[int, ...]:
    """Whole numbers between commas."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f'--{name} is "{text}"', hint=f"write whole numbers with commas: --{name} 1,2")
    return tuple(int(part) for part in parts)


def add_to(app: typer.Typer) -> None:
    app.command("train")(train)
