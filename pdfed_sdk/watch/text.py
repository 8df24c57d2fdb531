"""Text that strangers wrote (names, titles, cards): made harmless for a page, never trusted as more than letters."""

from __future__ import annotations

import unicodedata
from typing import Final

LONGEST: Final = 200
"""Characters of a name or a title that are shown."""
_REPLACED: Final = "�"


def clean(value: object, limit: int = LONGEST) -> str:
    """A stranger's text on one line: control characters, and signs that turn the direction of text or join to what
    stands beside it, are replaced; what is too long is cut. It is text still: who shows it must not read it as HTML."""
    text = str(value)[: limit + 1]
    shown = "".join(
        _REPLACED if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn") else sign for sign in text
    )
    one_line = " ".join(shown.split())
    return one_line if len(one_line) <= limit else one_line[: limit - 1] + "…"
