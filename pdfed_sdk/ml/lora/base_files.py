"""A base pipeline as files: the Stable Diffusion layout, its digest, and where a base of a digest lies. Needs no torch.

A base is no package: every node brings it along, and the digest in the task's card says which one. What counts are the
files that loading reads; duplicates in other formats, checkers and cards beside them do not.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pdfed_sdk.errors import MlError

INDEX: Final = "model_index.json"
PARTS: Final = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
}
"""Networks of the layout and their classes."""
WEIGHTS: Final = {
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
}
TOKENIZERS: Final = ("tokenizer/tokenizer.json", "tokenizer/vocab.json")
"""A tokenizer is one of these; with the second go its merges."""
OPTIONAL: Final = (
    "tokenizer/tokenizer.json",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json",
    "tokenizer/special_tokens_map.json",
)
VARIABLE: Final = "PDFED_BASES"
"""Folders of bases that a node has, separated as PATH is."""
_MOST_JSON = 1 << 20
_KNOWN: list[Path] = []


def base_files(folder: Path) -> dict[str, Path]:
    """The files that loading reads, by name. MlError: not a base of this layout, with what is missing in words."""
    index = _json(folder / INDEX)
    _refuse_others(index, folder)
    needed = [INDEX, "scheduler/scheduler_config.json", *(f"{part}/config.json" for part in PARTS), *WEIGHTS.values()]
    for name in needed:
        if not (folder / name).is_file():
            raise MlError(
                f"the base {folder} lacks {name}",
                hint="weights are read as safetensors only: save_pretrained(…, safe_serialization=True) writes them",
            )
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise MlError(f"the base {folder} lacks its tokenizer", hint=f"one of {' or '.join(TOKENIZERS)}")
    for part, kind in PARTS.items():
        config = _json(folder / part / "config.json")
        found = config.get("_class_name") or (config.get("architectures") or [None])[0]
        if found != kind:
            raise MlError(f"{part} of the base {folder} is a {found!r}, this family takes {kind}")
    return {name: folder / name for name in sorted({*needed, *OPTIONAL}) if (folder / name).is_file()}


def _refuse_others(index: dict[str, Any], folder: Path) -> None:
    if "text_encoder_2" in index:
        raise MlError(
            f"the base {folder} has two text encoders (SDXL): its pooled embeddings and size conditions are not built",
            hint="take a base of Stable Diffusion 1.x or 2.x",
        )
    if "transformer" in index:
        raise MlError(
            f"the base {folder} has a transformer in place of a UNet (DiT, SD 3, Flux): flow matching and its modules "
            "are not built",
            hint="take a base of Stable Diffusion 1.x or 2.x",
        )
    if missing := [part for part in (*PARTS, "tokenizer", "scheduler") if part not in index]:
        raise MlError(f"{INDEX} of {folder} names no {missing[0]}", hint="a base has the Stable Diffusion layout")


def _json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_JSON + 1)
        values = json.loads(data) if len(data) <= _MOST_JSON else None
    except (OSError, ValueError, RecursionError) as error:
        raise MlError(f"{path} cannot be read: {error}", hint="name the folder of a base pipeline") from error
    if not isinstance(values, dict):
        raise MlError(f"{path} is not a JSON object of at most {_MOST_JSON} bytes")
    return values


def base_digest(folder: Path) -> str:
    """sha-256, in hex, over the lines "<sha-256> <name>" of `base_files` in order of name, as sha256sum writes them."""
    files = base_files(folder)
    stats = tuple((name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in files.items())
    return _digest(folder.resolve(), stats)


@lru_cache(maxsize=16)
def _digest(folder: Path, stats: tuple[tuple[str, int, int], ...]) -> str:
    lines = []
    for name, _, _ in stats:
        with (folder / name).open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def use_base(folder: Path) -> str:
    """Let this process find the base in ``folder``; returns its digest. Raises MlError."""
    digest = base_digest(folder)
    if folder.resolve() not in _KNOWN:
        _KNOWN.append(folder.resolve())
    return digest


def find_base(digest: str) -> Path:
    """The folder of the base with ``digest``, among those of `use_base` and of the variable PDFED_BASES. MlError if
    there is none; other bytes than the card's are no base of it."""
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    seen = []
    for folder in [*_KNOWN, *named]:
        found = base_digest(folder) if folder.is_dir() else "no folder"
        if found == digest:
            return folder
        seen.append(f"{folder}: {found[:16]}")
    raise BaseMissing(
        f"no base with the digest {digest} is here ({'; '.join(seen) or 'none is named'})",
        hint=f"fetch the base of the task and name its folder in {VARIABLE} or in [node] base",
    )


class BaseMissing(MlError):
    """This machine lacks the base that a task needs: no fault of the model that asks for it."""
