"""Captions of pictures and prompts: what may stand in one, and how a class name becomes one. Needs no torch."""

from __future__ import annotations

import unicodedata

from pdfed_sdk.errors import DataError

MOST_LETTERS = 2_000
"""Longest caption. A text encoder reads 77 tokens of it at most; a file that holds more was not meant as a caption."""


def check_caption(text: object, subject: str) -> str:
    """``text`` in composed letters, without outer space. DataError names ``subject`` if it is no caption: not text,
    longer than MOST_LETTERS, or with control characters or halves of surrogate pairs."""
    if not isinstance(text, str):
        raise DataError(f"{subject} is {type(text).__name__}, expected text", hint='write "text": "what is shown"')
    if len(text) > MOST_LETTERS:
        raise DataError(
            f"{subject} has {len(text)} letters, the limit is {MOST_LETTERS}", hint="say in a sentence what is shown"
        )
    for place, letter in enumerate(text):
        if unicodedata.category(letter) in ("Cc", "Cs"):
            raise DataError(
                f"{subject} holds the control character {letter!r} at place {place}", hint="write it on one line"
            )
    return unicodedata.normalize("NFC", text).strip()


def check_template(template: str) -> str:
    """A sentence with one place ``{}`` for the name of a class. Raises DataError."""
    if check_caption(template, "template").count("{}") != 1:
        raise DataError(f"template is {template!r}, expected one {{}} for the class name", hint='"a picture of {}"')
    return template


def from_class(template: str, name: str) -> str:
    """The caption of a picture of class ``name``."""
    return template.replace("{}", name)
