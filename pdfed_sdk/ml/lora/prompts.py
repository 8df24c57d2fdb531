"""The setup of a new task's adapters: its prompts are the sponsor's own, or captions of pictures that are public."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.captions import check_caption, from_class
from pdfed_sdk.ml.data import PictureSet
from pdfed_sdk.ml.lora.base import base_named
from pdfed_sdk.ml.lora.base_files import use_base
from pdfed_sdk.ml.lora.learning import captions_of
from pdfed_sdk.ml.lora.setup import MOST_PROMPTS, AdapterSetup

A_CLASS: Final = 8
"""Captions of each class that become prompts, where there are as many."""
_MOST_BYTES: Final = 1 << 20


def read_prompts(path: Path) -> tuple[str, ...]:
    """A prompt a line, those of the classes in turn; empty lines do not count. DataError names file and line."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        lines = data.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="write one prompt a line, in UTF-8") from error
    if len(data) > _MOST_BYTES:
        raise DataError(f"{path} has more than {_MOST_BYTES} bytes", hint="write one prompt a line")
    found = [check_caption(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]
    prompts = tuple(text for text in found if text)
    if not 1 <= len(prompts) <= MOST_PROMPTS:
        raise DataError(f"{path} holds {len(prompts)} prompts, limits 1 and {MOST_PROMPTS}")
    return prompts


def prompts_from(public: PictureSet, template: str, a_class: int = A_CLASS) -> tuple[str, ...]:
    """Equally many distinct captions of each class, the classes in turn, in an order that depends on the captions
    alone. A class without captions gives its name in the template. DataError: neither is there."""
    texts = public.captions or ("",) * len(public)
    known: dict[int, set[str]] = {}
    for text, label in zip(texts, public.labels.tolist(), strict=True):
        own = text or (from_class(template, public.classes[label]) if label >= 0 else "")
        known.setdefault(label, set()).update([own] if own else [])
    labels = range(len(public.classes)) if public.classes else sorted(known)
    for label in labels:
        if not known.get(label):
            name = public.classes[label] if label >= 0 else "no class"
            raise DataError(
                f"no picture of {name!r} has a caption to make a prompt of", hint="add captions, or write prompts"
            )
    count = min(a_class, max(1, MOST_PROMPTS // len(labels)), *(len(known[label]) for label in labels))
    shuffled = [sorted(known[label], key=lambda text: hashlib.sha256(text.encode()).digest()) for label in labels]
    return tuple(texts_[number] for number in range(count) for texts_ in shuffled)


def setup_for(public: PictureSet, base: Path, prompts: tuple[str, ...] = (), **frozen: Any) -> AdapterSetup:
    """What a task over ``base`` freezes: prompts, or those of `prompts_from`, for the classes of ``public`` and at its
    size. MlError: a base that is none; DataError: grey pictures, or prompts that are longer than the base reads."""
    if public.channels != 3:
        raise DataError(f"the pictures have {public.channels} channel, adapters draw 3", hint="read them in colour")
    wanted = prompts or prompts_from(public, str(frozen.get("template", AdapterSetup.template)))
    digest = use_base(base)
    setup = AdapterSetup(digest, resolution=public.size, prompts=wanted, classes=len(public.classes), **frozen)
    check_prompts(setup)
    return setup


def check_prompts(setup: AdapterSetup) -> None:
    """Raises DataError naming a prompt that is longer than the base reads."""
    base_named(setup.base).check_texts(setup.prompts, "prompt")


def check_captions(pictures: PictureSet, setup: AdapterSetup) -> None:
    """The same of the captions under which a node looks for its own pictures."""
    base_named(setup.base).check_texts(captions_of(pictures, setup), "the caption of picture")
