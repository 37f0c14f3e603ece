"""Writes the plainest ZIP: files one after the other, fixed times, no extra fields. Same input, same bytes.

It compresses nothing: a file comes stored, or deflated already and keeps that. Modes are left out: nothing signs
them, and ``jarsigner`` warns of them. The executable bit is a signed attribute.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import BinaryIO, Final

import attrs

from rjs import limits
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.zip import (
    CENTRAL,
    CENTRAL_SIGNATURE,
    DEFLATED,
    END,
    END_SIGNATURE,
    FLAG_UTF8,
    LOCAL,
    LOCAL_SIGNATURE,
    STORED,
)

_TIME: Final = 0
_DATE: Final = (1 << 5) | 1
"""1980-01-01, the first date of the format."""
_VERSION: Final = {STORED: 10, DEFLATED: 20}
"""Version needed to extract (APPNOTE 4.4.3)."""


@attrs.frozen
class StoredFile:
    """A file to write as it is: its size and CRC are known before its content is read again."""

    name: str
    size: int
    crc: int
    content: Iterable[bytes] = attrs.field(repr=False)
    method = STORED

    @property
    def packed(self) -> tuple[int, int]:
        """Size and CRC of the bytes in the archive."""
        return self.size, self.crc


@attrs.frozen
class DeflatedFile:
    """A file whose deflate stream is written as it is: ``packed`` is its size and CRC, ``content`` its bytes."""

    name: str
    size: int
    crc: int
    packed: tuple[int, int]
    content: Iterable[bytes] = attrs.field(repr=False)
    method = DEFLATED


ArchivedFile = StoredFile | DeflatedFile


def write_archive(out: BinaryIO, files: Sequence[ArchivedFile]) -> None:
    """Write ``files`` in the given order; raises ``zip-limit``, and ``sign-input`` when a content has changed."""
    overhead = LOCAL.size + CENTRAL.size + 2 * limits.MAX_NAME_BYTES
    size = sum(file.packed[0] + overhead for file in files)
    if len(files) > limits.MAX_ENTRIES or size > limits.MAX_ARCHIVE_BYTES:
        raise BundleRefusedError("zip-limit", "too many files, or too large together, for one bundle")
    directory = []
    offset = 0
    for file in files:
        name = file.name.encode()
        flags = 0 if file.name.isascii() else FLAG_UTF8
        packed_size, version = file.packed[0], _VERSION[file.method]
        common = (flags, file.method, _TIME, _DATE, file.crc, packed_size, file.size, len(name), 0)
        out.write(LOCAL.pack(LOCAL_SIGNATURE, version, *common) + name)
        _copy(out, file)
        directory.append(
            CENTRAL.pack(CENTRAL_SIGNATURE, version, 0, version, *common, 0, 0, 0, 0, offset) + name
        )
        offset += LOCAL.size + len(name) + packed_size
    records = b"".join(directory)
    out.write(records + END.pack(END_SIGNATURE, 0, 0, len(files), len(files), len(records), offset, 0))


def _copy(out: BinaryIO, file: ArchivedFile) -> None:
    size = crc = 0
    for chunk in file.content:
        size += len(chunk)
        crc = zlib.crc32(chunk, crc)
        out.write(chunk)
    if (size, crc) != file.packed:
        raise BundleRefusedError("sign-input", f"{file.name!r} changed while it was being signed; sign again")
