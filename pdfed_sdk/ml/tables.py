"""Data sets of Hugging Face as files: Arrow folders that ``save_to_disk`` wrote, and Parquet files as the hub has them.

Read with pyarrow, in batches, and decoded by `folders`: nothing is copied to a cache, no code of a data set runs.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from pdfed_sdk.errors import DataError
from pdfed_sdk.ml.folders import Labelled, Skipped, check_fit, decode, gathered, reason_of

BATCH = 64
LABELS = ("label", "labels", "fine_label", "class")


def table_files(path: Path) -> list[Path]:
    """The Arrow or Parquet files of a data set; none where ``path`` is no such folder."""
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return sorted(path.rglob("data-*.arrow"))
    return sorted(path.rglob("*.parquet"))


def load_tables(path: Path, *, size: int, channels: int = 3, fit: str = "pad") -> Labelled:
    """All rows of all splits that hold a picture: the column of type Image, and the class column where there is one
    ("label" before others). Rows without bytes of their own are skipped and listed. Errors: DataError."""
    check_fit(fit)
    images, labels, skipped = list[Tensor](), list[str | None](), list[Skipped]()
    for file in table_files(path):
        for number, (content, kind) in enumerate(_rows(file)):
            try:
                if content is None:
                    raise DataError("holds no bytes, only the name of a file elsewhere")
                images.append(decode(io.BytesIO(content), size, channels, fit))
                labels.append(kind)
            except Exception as error:  # Pillow raises many kinds
                skipped.append(Skipped(f"{file.relative_to(path)} row {number}", reason_of(error, path)))
    return gathered(path, images, labels, skipped)


def _rows(file: Path) -> Iterator[tuple[bytes | None, str | None]]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise DataError(
            f"{file.name} needs the package pyarrow", hint="pip install 'pdfed-sdk[datasets]', or export picture files"
        ) from error
    try:
        if file.suffix == ".parquet":
            table = parquet.ParquetFile(file)
            yield from _picked(table.schema_arrow, table.iter_batches(batch_size=BATCH), file)
            return
        with arrow.memory_map(str(file)) as mapped, arrow.ipc.open_stream(mapped) as stream:
            yield from _picked(stream.schema, stream, file)
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{file} cannot be read: {error}", hint="save the data set again") from error


def _picked(schema: Any, batches: Any, file: Path) -> Iterator[tuple[bytes | None, str | None]]:
    """(bytes of the picture, name of its class) of each row."""
    features = _features(schema)
    images = [n for n in schema.names if features.get(n, {}).get("_type") == "Image"] or [
        name for name in ("image", "img", "picture") if name in schema.names
    ]
    if not images:
        raise DataError(f"{file} has no column of pictures among {', '.join(schema.names)}", hint='name it "image"')
    kinds = [name for name in LABELS if name in schema.names]
    kinds += [n for n in schema.names if features.get(n, {}).get("_type") == "ClassLabel" and n not in kinds]
    names = features.get(kinds[0], {}).get("names") if kinds else None
    columns = [images[0], *kinds[:1]]
    for batch in batches:
        for row in batch.select(columns).to_pylist():
            cell, label = row[images[0]], row[kinds[0]] if kinds else None
            content = cell.get("bytes") if isinstance(cell, dict) else cell
            yield content if isinstance(content, bytes) else None, _name(label, names)


def _features(schema: Any) -> dict[str, Any]:
    """What the data set's library noted of its columns."""
    try:
        return dict(json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"])
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}


def _name(label: object, names: object) -> str | None:
    """The class behind a label: a number counts in ``names`` where there are any; below 0 there is none."""
    if label is None or (isinstance(label, int) and label < 0):
        return None
    if isinstance(label, int) and isinstance(names, list) and label < len(names):
        return str(names[label])
    return str(label)
