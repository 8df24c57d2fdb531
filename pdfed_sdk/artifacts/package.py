"""The package of a model: the folder of its family in one ZIP, checked before a byte of it is used.

Which files there are and what their configurations may say is the family's (``PackageRules``). Signing and lineage are
provenance.py's; the container's bytes are archive.py's. Everything about a stranger's package is refused unless it is
expected: names, sizes, classes, shapes, values.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdfed_sdk.artifacts.archive import MANIFEST, Entry, read_archive, write_archive
from pdfed_sdk.artifacts.cid import Cid, cid_of
from pdfed_sdk.artifacts.store import storage_errors, sync_folder, temporary_file
from pdfed_sdk.artifacts.tensors import TensorInfo, read_tensors
from pdfed_sdk.errors import PackageInvalid, StoreError
from pdfed_sdk.family import CARD, LICENSE, ModelFamily, PackageRules, family_in, family_of
from pdfed_sdk.types import ModelDigests

_MAX_INT = 1_000_000
_HINT = "a package is made by build_package from the folder of a saved model, plus README.md"


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds in bytes. A package is stored uncompressed, so its own size bounds what unpacking writes."""

    package: int = 2 << 30
    manifest: int = 16 << 20
    text: int = 1 << 20
    config: int = 64 << 10


@dataclass(frozen=True, slots=True)
class PackageContents:
    """What a checked package holds. ``family`` is the name of its model family; ``manifest`` is the embedded C2PA
    manifest, empty if the package is unsigned."""

    family: str
    size: int
    files: dict[str, int]
    weights_digest: bytes
    manifest: bytes
    tensors: tuple[TensorInfo, ...]
    base: str = ""
    """Digest, in hex, of what the model is applied to and does not contain; empty for a model that stands alone."""

    @property
    def parameters(self) -> int:
        return sum(tensor.elements for tensor in self.tensors)

    def digests(self, cid: Cid) -> ModelDigests:
        """What the chain records, given the CID of the whole package."""
        manifest = hashlib.sha256(self.manifest).digest()
        return ModelDigests(cid.digest, cid.codec, self.weights_digest, manifest)


def pack_folder(folder: Path, out: Path, limits: Limits = Limits()) -> PackageContents:
    """Write the unsigned package of a pipeline folder, all or nothing; equal folders give equal bytes.

    Raises PackageInvalid if the folder breaks a rule of the format, StoreError if ``out`` cannot be written.
    """
    files = _folder_files(folder)
    with storage_errors("packing the model", out), temporary_file(out.parent) as partial:
        with partial.open("wb") as file:
            write_archive(files, file)
        contents = read_package(partial, limits)
        partial.replace(out)
        sync_folder(out.parent)
    return contents


def read_package(source: Path | bytes, limits: Limits = Limits()) -> PackageContents:
    """Check a package from the first byte to the last, without writing anything. Raises PackageInvalid."""
    with opened(source, limits) as data:
        family, entries = _checked_entries(data, limits)
        return _contents(data, family, entries)


def open_package(source: Path | bytes, into: Path, limits: Limits = Limits()) -> PackageContents:
    """Check a package and unpack it to the new folder ``into``, all or nothing.

    Raises PackageInvalid, and StoreError for what is not the package's fault (no space, not writable, ``into`` exists
    and is not empty).
    """
    with opened(source, limits) as data, storage_errors("unpacking the model", into):
        family, entries = _checked_entries(data, limits)
        contents = _contents(data, family, entries)
        if into.exists() and any(into.iterdir()):
            raise StoreError(f"{into} is not empty", hint="unpack each model into a folder of its own")
        into.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".part-", dir=into.parent))
        try:
            for entry in entries.values():
                target = partial / entry.name
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(entry.of(data))
            partial.chmod(0o755)
            partial.replace(into)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return contents


def weights_digest(path: Path) -> bytes:
    """sha-256 of the safetensors weights of an unpacked folder, or of the weights file itself."""
    with (path / family_in(path).rules.weights if path.is_dir() else path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def digests_of(package: Path) -> ModelDigests:
    """What the chain records of a signed package. Raises PackageInvalid if it breaks a rule or has no manifest."""
    contents = read_package(package)
    if not contents.manifest:
        raise PackageInvalid(f"{package} carries no manifest ({MANIFEST})", hint="sign it: build_package does")
    return contents.digests(cid_of(package))


@contextmanager
def opened(source: Path | bytes, limits: Limits) -> Iterator[memoryview]:
    """The package's bytes, mapped rather than read."""
    if isinstance(source, bytes):
        _check_size("package", len(source), limits.package)
        yield memoryview(source)
        return
    with storage_errors("reading the package", source), source.open("rb") as file:
        size = file.seek(0, 2)
        _check_size(str(source), size, limits.package)
        if size == 0:
            raise PackageInvalid(f"{source} is empty", hint="fetch the package again")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        data = memoryview(mapped)
        try:
            yield data
        finally:
            # An error on its way up keeps slices alive in its frames; the mapping then ends with them.
            try:
                data.release()
                mapped.close()
            except BufferError:
                pass


# --- rules -----------------------------------------------------------------------------------------------------------


def _folder_files(folder: Path) -> dict[str, Path]:
    """Files of a pipeline folder by name in the archive; META-INF of an unpacked parent is left out."""
    if not folder.is_dir():
        raise PackageInvalid(f"{folder} is not a folder", hint=_HINT)
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise PackageInvalid(f"{path} is a link; a package holds plain files", hint=_HINT)
        if path.is_file() and name != MANIFEST:
            files[name] = path
    _check_names(set(files), family_of(set(files)).rules)
    return files


def _check_names(names: set[str], rules: PackageRules) -> None:
    if extra := sorted(names - rules.allowed - {MANIFEST}):
        raise PackageInvalid(
            f"{extra[0]!r} has no place in a package (allowed: {', '.join(sorted(rules.allowed))})",
            hint="weights are safetensors only, pickles are never opened; remove the file",
        )
    if missing := sorted(rules.required - names):
        raise PackageInvalid(f"{missing[0]!r} is missing from the package", hint=_HINT)


def _check_size(subject: str, size: int, limit: int) -> None:
    if size > limit:
        raise PackageInvalid(f"{subject} has {size} bytes, the limit is {limit}", hint=_HINT)


def _checked_entries(data: memoryview, limits: Limits) -> tuple[ModelFamily, dict[str, Entry]]:
    entries = read_archive(data)
    family = family_of(set(entries))
    _check_names(set(entries), family.rules)
    bounds = {CARD: limits.text, LICENSE: limits.text, MANIFEST: limits.manifest, family.rules.weights: limits.package}
    for name, entry in entries.items():
        _check_size(name, entry.size, bounds.get(name, limits.config))
    return family, entries


def _contents(data: memoryview, family: ModelFamily, entries: dict[str, Entry]) -> PackageContents:
    rules = family.rules
    weights = entries[rules.weights].of(data)
    tensors = tuple(read_tensors(weights, rules.weights))
    configs = {name: _json(data, entries[name]) for name in rules.configs}
    rules.check(configs, {tensor.name: tensor.shape for tensor in tensors})
    return PackageContents(
        family=family.name,
        size=len(data),
        files={name: entry.size for name, entry in entries.items()},
        weights_digest=hashlib.sha256(weights).digest(),
        manifest=bytes(entries[MANIFEST].of(data)) if MANIFEST in entries else b"",
        tensors=tensors,
        base=rules.base(configs) if rules.base else "",
    )


def _json(data: memoryview, entry: Entry) -> dict[str, Any]:
    """A configuration: one object of numbers, words and flat lists of them; numbers finite and of sane size."""
    try:
        value = json.loads(bytes(entry.of(data)), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise PackageInvalid(f"{entry.name} is not JSON ({error})", hint=_HINT) from None
    if not isinstance(value, dict):
        raise PackageInvalid(f"{entry.name} is not a JSON object", hint=_HINT)
    for key, item in value.items():
        for part in item if isinstance(item, list) else [item]:
            if isinstance(part, dict | list) or (isinstance(part, int | float) and abs(part) > _MAX_INT):
                raise PackageInvalid(
                    f"{entry.name}: {key!r} is nested, or above {_MAX_INT}: {str(part)[:60]}", hint=_HINT
                )
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number")
