"""Writes the plainest ZIP: stored files one after the other, fixed times, no extra fields. Same input, same bytes.

Modes are left out: nothing signs them, and ``jarsigner`` warns of them. The executable bit is a signed attribute.
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
_VERSION: Final = 10


@attrs.frozen
class StoredFile:
    """A file to write: its size and CRC are known before its content is read again."""

    name: str
    size: int
    crc: int
    content: Iterable[bytes] = attrs.field(repr=False)


def write_archive(out: BinaryIO, files: Sequence[StoredFile]) -> None:
    """Write ``files`` in the given order; raises ``zip-limit``, and ``sign-input`` when a content has changed."""
    overhead = LOCAL.size + CENTRAL.size + 2 * limits.MAX_NAME_BYTES
    size = sum(file.size + overhead for file in files)
    if len(files) > limits.MAX_ENTRIES or size > limits.MAX_ARCHIVE_BYTES:
        raise BundleRefusedError("zip-limit", "too many files, or too large together, for one bundle")
    directory = []
    offset = 0
    for file in files:
        name = file.name.encode()
        flags = 0 if file.name.isascii() else FLAG_UTF8
        common = (flags, STORED, _TIME, _DATE, file.crc, file.size, file.size, len(name), 0)
        out.write(LOCAL.pack(LOCAL_SIGNATURE, _VERSION, *common) + name)
        _copy(out, file)
        directory.append(
            CENTRAL.pack(CENTRAL_SIGNATURE, _VERSION, 0, _VERSION, *common, 0, 0, 0, 0, offset) + name
        )
        offset += LOCAL.size + len(name) + file.size
    records = b"".join(directory)
    out.write(records + END.pack(END_SIGNATURE, 0, 0, len(files), len(files), len(records), offset, 0))


def _copy(out: BinaryIO, file: StoredFile) -> None:
    size = crc = 0
    for chunk in file.content:
        size += len(chunk)
        crc = zlib.crc32(chunk, crc)
        out.write(chunk)
    if (size, crc) != (file.size, file.crc):
        raise BundleRefusedError("sign-input", f"{file.name!r} changed while it was being signed; sign again")
