"""Names of classes, as people write them and as they are compared. Needs no torch: a task's card is read without."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence

from pdfed_sdk.errors import DataError

MOST_CLASSES, MOST_LETTERS = 10_000, 200


def plain_name(name: str) -> str:
    """A class name as it is compared: composed letters (file systems keep them either way), no case, no outer space."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names of a task's classes, in the order of their labels. DataError: not names, too many, or one twice."""
    if isinstance(names, str) or not all(isinstance(n, str) and 0 < len(n.strip()) <= MOST_LETTERS for n in names):
        raise DataError(f"classes are {names!r:.80}, expected names of 1 to {MOST_LETTERS} letters")
    if len(names) > MOST_CLASSES or len({plain_name(name) for name in names}) != len(names):
        raise DataError(f"classes hold a name twice, or more than {MOST_CLASSES}: {', '.join(names):.80}")
    return tuple(names)


def meant(name: str, names: Sequence[str]) -> str:
    """The beginning of a hint: the nearest of ``names``, or nothing."""
    near = difflib.get_close_matches(plain_name(name), [plain_name(one) for one in names], n=1)
    return f'did you mean "{near[0]}"? Else ' if near else ""
