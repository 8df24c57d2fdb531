"""Weights as bytes: the bounds of a safetensors file and the finiteness of what it holds, without building a model.

Format: an 8-byte little-endian length, that many bytes of JSON {name: {dtype, shape, data_offsets}}, then the tensors,
which must fill the rest without gap or overlap. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pdfed_sdk.errors import PackageInvalid

MAX_HEADER = 1 << 20
MAX_TENSORS = 4096
MAX_DIMENSIONS = 8

_EXPONENT = {"F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80), "F32": ("<u4", 0x7F800000), "F64": ("<u8", 0x7FF << 52)}
_BLOCK = 1 << 20
_HINT = "publish the weights with safetensors (save_pretrained does), in float16, bfloat16, float32 or float64"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: element type, shape, and where its bytes lie behind the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


def read_tensors(data: memoryview, subject: str) -> list[TensorInfo]:
    """Check a whole safetensors file: header within bounds, tensors exactly filling the rest, every value finite.

    Raises PackageInvalid naming ``subject`` and the tensor.
    """
    start, header = _read_header(data, subject)
    body = data[start:]
    tensors = sorted((_tensor(name, item, subject) for name, item in header.items()), key=lambda t: (t.start, t.end))
    cursor = 0
    for tensor in tensors:
        width = np.dtype(_EXPONENT[tensor.dtype][0]).itemsize
        if tensor.start != cursor or tensor.end - tensor.start != tensor.elements * width:
            raise PackageInvalid(
                f"{subject}: tensor {tensor.name!r} {tensor.dtype}{list(tensor.shape)} does not fill bytes "
                f"{tensor.start} to {tensor.end} of the data",
                hint=_HINT,
            )
        cursor = tensor.end
    if cursor != len(body):
        raise PackageInvalid(f"{subject}: tensors end at {cursor}, the data at {len(body)}", hint=_HINT)
    for tensor in tensors:
        _check_finite(body[tensor.start : tensor.end], tensor, subject)
    return tensors


def _read_header(data: memoryview, subject: str) -> tuple[int, dict[str, Any]]:
    size = int.from_bytes(data[:8], "little") if len(data) >= 8 else -1
    if not 2 <= size <= min(MAX_HEADER, len(data) - 8):
        raise PackageInvalid(
            f"{subject} is not safetensors: header of {size} bytes in a file of {len(data)} (limit {MAX_HEADER})",
            hint=_HINT,
        )
    try:
        header = json.loads(bytes(data[8 : 8 + size]), object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise PackageInvalid(f"{subject}: the safetensors header is not JSON ({error})", hint=_HINT) from None
    if not isinstance(header, dict):
        raise PackageInvalid(f"{subject}: the safetensors header is not an object", hint=_HINT)
    header.pop("__metadata__", None)
    if not 1 <= len(header) <= MAX_TENSORS:
        raise PackageInvalid(f"{subject} holds {len(header)} tensors, allowed are 1 to {MAX_TENSORS}", hint=_HINT)
    return 8 + size, header


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _tensor(name: str, item: Any, subject: str) -> TensorInfo:
    try:
        dtype, shape, (start, end) = item["dtype"], tuple(item["shape"]), item["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise PackageInvalid(f"{subject}: tensor {name!r} is not described by dtype, shape, data_offsets") from None
    numbers = (*shape, start, end)
    if len(shape) > MAX_DIMENSIONS or any(type(n) is not int or not 0 <= n < 1 << 48 for n in numbers):
        raise PackageInvalid(f"{subject}: tensor {name!r} has an impossible shape or place {numbers}", hint=_HINT)
    if not isinstance(dtype, str) or dtype not in _EXPONENT:
        raise PackageInvalid(f"{subject}: tensor {name!r} has type {dtype!r}, not {', '.join(_EXPONENT)}", hint=_HINT)
    return TensorInfo(name, dtype, shape, start, end)


def _check_finite(data: memoryview, tensor: TensorInfo, subject: str) -> None:
    """IEEE 754: a value is NaN or infinite exactly if all bits of its exponent are set."""
    kind, mask = _EXPONENT[tensor.dtype]
    values = np.frombuffer(data, dtype=kind)
    for at in range(0, len(values), _BLOCK):
        bad = np.flatnonzero((values[at : at + _BLOCK] & mask) == mask)
        if len(bad):
            raise PackageInvalid(
                f"{subject}: tensor {tensor.name!r} holds NaN or infinity at element {at + int(bad[0])}",
                hint="the training diverged or the file is damaged; do not use this model",
            )
