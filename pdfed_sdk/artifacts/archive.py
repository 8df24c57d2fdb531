"""The container of a package: a strict subset of ZIP, read and written here byte by byte.

Stored entries only, no extra fields, no comments, fixed date 1980-01-01, names sorted, nothing between or around the
entries. One reader and one meaning for every byte: ZIP readers differ in what they make of overlapping entries, lying
headers and hidden gaps, and a signature over one reading is worth nothing in another.

The manifest comes last, in an entry of its own that the C2PA library appends. That library leaves the directory of the
unsigned archive in front of it; this copy is allowed, and checked to be just that.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pdfed_sdk.errors import PackageInvalid

MANIFEST_FOLDER = "META-INF/"
MANIFEST = "META-INF/content_credential.c2pa"
MAX_ENTRIES = 64

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_MADE_BY, _NEEDED, _DATE = 0x0314, 10, 0x0021  # Unix; stored entries; 1980-01-01
_REGULAR = 0o100644 << 16
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored file: its name and where its bytes lie in the archive."""

    name: str
    start: int
    size: int
    crc: int

    def of(self, data: memoryview) -> memoryview:
        """The entry's bytes, not copied."""
        return data[self.start : self.start + self.size]


def write_archive(files: Mapping[str, Path], out: BinaryIO) -> None:
    """Write ``files`` (name in the archive → file) in order of name. Equal content gives equal bytes."""
    directory = b""
    position = 0
    for name in sorted(files):
        raw = name.encode("ascii")
        crc, size = _checksum(files[name])
        shared = (_NEEDED, 0, 0, 0, _DATE, crc, size, size, len(raw), 0)
        header = _LOCAL.pack(b"PK\x03\x04", *shared) + raw
        directory += _CENTRAL.pack(b"PK\x01\x02", _MADE_BY, *shared, 0, 0, 0, _REGULAR, position) + raw
        out.write(header)
        copied = _copy(files[name], out)
        if copied != size:
            raise PackageInvalid(f"{files[name]} changed while it was packed ({size} bytes, then {copied})")
        position += len(header) + size
    out.write(directory)
    out.write(_END.pack(b"PK\x05\x06", 0, 0, len(files), len(files), len(directory), position, 0))


def read_archive(data: memoryview) -> dict[str, Entry]:
    """Entries by name, in order. Raises PackageInvalid for anything but the subset described above."""
    start, count = _read_end(data)
    entries: dict[str, Entry] = {}
    position, cursor, names = start, 0, []
    for _ in range(count):
        fields, name, after = _read_central(data, position)
        cursor = _skip_copy(data, cursor, fields.offset, start, position) if name == MANIFEST_FOLDER else cursor
        entry = _read_local(data, cursor, name, fields)
        names.append(name)
        if not (name == MANIFEST_FOLDER and entry.size == 0):
            entries[name] = entry
        position, cursor = after, entry.start + entry.size
    if position != len(data) - _END.size or cursor != start:
        raise PackageInvalid(f"bytes that belong to no entry (at {cursor} of {len(data)})", hint=_HINT)
    regular = [name for name in names if not name.startswith(MANIFEST_FOLDER)]
    if names != sorted(set(regular)) + [name for name in (MANIFEST_FOLDER, MANIFEST) if name in names]:
        raise PackageInvalid(f"entries are not sorted, or one name stands twice: {names}", hint=_HINT)
    for entry in entries.values():
        _check_crc(data, entry)
    return entries


_HINT = "the package is damaged or was not made by this SDK: fetch it again, or ask its author"


@dataclass(frozen=True, slots=True)
class _Fields:
    shared: bytes  # what the local header repeats
    crc: int
    size: int
    offset: int


def _read_end(data: memoryview) -> tuple[int, int]:
    """Start of the directory and number of entries."""
    if len(data) < _END.size:
        raise PackageInvalid(f"{len(data)} bytes are too few for a ZIP", hint=_HINT)
    magic, disk, first, here, count, size, start, comment = _END.unpack(data[-_END.size :])
    if magic != b"PK\x05\x06" or disk or first or comment or here != count:
        raise PackageInvalid("does not end like a ZIP of one part without a comment", hint=_HINT)
    if count > MAX_ENTRIES:
        raise PackageInvalid(f"{count} entries, the limit is {MAX_ENTRIES}", hint=_HINT)
    if start + size != len(data) - _END.size:
        raise PackageInvalid(f"the directory ({size} bytes at {start}) does not reach the end", hint=_HINT)
    return start, count


def _read_central(data: memoryview, position: int) -> tuple[_Fields, str, int]:
    record = bytes(data[position : position + _CENTRAL.size])
    if len(record) < _CENTRAL.size or record[:4] != b"PK\x01\x02":
        raise PackageInvalid(f"no directory record at {position}", hint=_HINT)
    fields = _CENTRAL.unpack(record)
    flags, method, when, date, crc, packed, size, name_size, extra, comment, disk = fields[3:14]
    mode, offset = fields[15] >> 16, fields[16]
    end = position + _CENTRAL.size + name_size
    name = _name(bytes(data[position + _CENTRAL.size : end]), name_size)
    if flags or method or packed != size or extra or comment or disk or (when, date) != (0, _DATE):
        raise PackageInvalid(
            f"{name!r} is compressed, encrypted, dated or carries extra fields; entries are stored and plain",
            hint=_HINT,
        )
    kind = 0o40000 if name == MANIFEST_FOLDER else 0o100000
    if mode & 0o170000 != kind:
        raise PackageInvalid(f"{name!r} is a link or another special file (mode {mode:#o})", hint=_HINT)
    return _Fields(record[6:32], crc, size, offset), name, end


def _name(raw: bytes, size: int) -> str:
    try:
        name = raw.decode("ascii")
    except UnicodeDecodeError:
        raise PackageInvalid(f"file name {raw!r} is not ASCII", hint=_HINT) from None
    if len(raw) != size or not name or not name.isprintable():
        raise PackageInvalid(f"file name {raw!r} cannot be used", hint=_HINT)
    return name


def _read_local(data: memoryview, cursor: int, name: str, fields: _Fields) -> Entry:
    start = cursor + _LOCAL.size + len(name)
    header = bytes(data[cursor:start])
    expected = b"PK\x03\x04" + fields.shared + name.encode()
    if fields.offset != cursor or header != expected or start + fields.size > len(data):
        raise PackageInvalid(f"the header of {name!r} at {cursor} contradicts the directory", hint=_HINT)
    return Entry(name, start, fields.size, fields.crc)


def _skip_copy(data: memoryview, cursor: int, offset: int, start: int, position: int) -> int:
    """Step over the directory of the unsigned archive, if it was left in front of the manifest's entries."""
    copy = data[cursor:offset]
    if copy and copy != data[start:position]:
        raise PackageInvalid(f"{len(copy)} bytes hidden in front of the manifest", hint=_HINT)
    return max(cursor, offset)


def _check_crc(data: memoryview, entry: Entry) -> None:
    found = 0
    for block in _blocks(entry.of(data)):
        found = zlib.crc32(block, found)
    if found != entry.crc:
        raise PackageInvalid(f"{entry.name} is damaged (CRC {found:08x}, recorded {entry.crc:08x})", hint=_HINT)


def _blocks(data: memoryview) -> Iterable[memoryview]:
    return (data[at : at + _BLOCK] for at in range(0, len(data), _BLOCK))


def _checksum(path: Path) -> tuple[int, int]:
    crc = size = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc, size = zlib.crc32(block, crc), size + len(block)
    return crc, size


def _copy(path: Path, out: BinaryIO) -> int:
    copied = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            copied += out.write(block)
    return copied
