"""What commands print: data go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PIPED_WIDTH = 400
"""Columns of tables that go into a pipe or a file: nothing is cut off there."""

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def emit(data: Mapping[str, Any] | list[Any], as_json: bool, show: Callable[[], None]) -> None:
    """One JSON document, or the human rendering."""
    if as_json:
        sys.stdout.write(json.dumps(data, indent=2, default=plain) + "\n")
    else:
        show()


def plain(value: Any) -> Any:
    """JSON form of what the SDK returns: bytes as 0x hex, paths and addresses as text, sets as lists."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    return str(value)


def text(value: Any) -> str:
    """A value as people read it in a table."""
    if value is None:
        return "-"
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def show_table(rows: Iterable[Sequence[Any]], columns: Sequence[str] = (), title: str = "") -> None:
    """A table on stdout, lines drawn on a terminal only; without columns a list of names and values."""
    shape = box.SIMPLE_HEAD if sys.stdout.isatty() else None
    table = Table(
        title=escape(title) or None, title_justify="left", show_header=bool(columns), box=shape, pad_edge=False
    )
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(escape(text(cell)) for cell in row))
    out.print(table)


def _said(record: logging.LogRecord) -> bool:
    """Of a warning what it says, not which line of code said it."""
    text = record.getMessage().splitlines()[0]
    record.msg, record.args = text.partition("Warning: ")[2] or text, ()
    return True


def log_to_stderr(verbose: bool = False) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addFilter(_said)
    for noisy in ("web3", "urllib3", "matplotlib", "PIL", "diffusers", "asyncio", "c2pa"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
