"""A strict ZIP reader for received archives: one reading of the bytes, or none.

It accepts a plain archive of stored or deflated files and folders whose every byte is accounted for, and knows
nothing of signatures. It keeps the open file and never reopens it by name. Reference: APPNOTE.TXT 6.3.10, sections
4.3 and 4.4.

    archive = read_archive(file)
    for chunk in archive.chunks(archive.files["job.toml"]): ...
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import attrs

from rjs import limits
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import check_coexistence, parts_of, shown
from rjs.bundle.window import ArchiveFile

STORED: Final = 0
DEFLATED: Final = 8
FLAG_DESCRIPTOR: Final = 0x0008
FLAG_UTF8: Final = 0x0800

END: Final = struct.Struct("<4sHHHHIIH")
CENTRAL: Final = struct.Struct("<4sBBHHHHHIIIHHHHHII")
LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
DESCRIPTOR: Final = struct.Struct("<4sIII")
END_SIGNATURE: Final = b"PK\x05\x06"
CENTRAL_SIGNATURE: Final = b"PK\x01\x02"
LOCAL_SIGNATURE: Final = b"PK\x03\x04"
DESCRIPTOR_SIGNATURE: Final = b"PK\x07\x08"

_EXTRA_ALLOWED: Final = frozenset([0xCAFE, 0x5455, 0x7875, 0x5855, 0x000A])
"""Java's JAR mark, Unix times and ids, NTFS times. Not 0x7075: a second name that some readers prefer."""
_DEFLATED_NOTHING: Final = b"\x03\x00"
_VERSION_NEEDED_MAX: Final = 20
_MADE_BY_UNIX: Final = 3
_DOS_FOLDER: Final = 0x10
_DOS_VOLUME: Final = 0x08


@attrs.frozen
class Member:
    """One entry of the central directory, checked against its local header; ``data_offset`` is in the file."""

    name: str
    method: int
    crc: int
    compressed_size: int
    size: int
    data_offset: int

    @property
    def place(self) -> range:
        """Where in the file the bytes lie that stand for its content."""
        return range(self.data_offset, self.data_offset + self.compressed_size)


@attrs.frozen
class ZipArchive:
    """An archive whose structure was accepted; contents are checked as they are read."""

    file: ArchiveFile
    size: int
    files: Mapping[str, Member]

    def chunks(self, member: Member) -> Iterator[bytes]:
        """Yield the content in bounded pieces; raises ``zip-data`` unless inflate, size and CRC are exact."""
        crc = produced = 0
        pieces = self.packed_chunks(member) if member.method == STORED else self._inflated(member)
        for piece in pieces:
            crc = zlib.crc32(piece, crc)
            produced += len(piece)
            if produced > member.size:  # a bomb
                break
            yield piece
        if produced != member.size or crc != member.crc:
            raise _data_error(member, "its size or CRC is not the stated one")

    def packed_chunks(self, member: Member) -> Iterator[bytes]:
        """Yield the bytes that stand for the content in the archive, stored or deflated; they are not checked."""
        position, end = member.place.start, member.place.stop
        while position < end:
            self.file.seek(position)
            piece = self.file.read(min(limits.READ_CHUNK_BYTES, end - position))
            if not piece:
                raise _data_error(member, "the archive ends within it")
            position += len(piece)
            yield piece

    def _inflated(self, member: Member) -> Iterator[bytes]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for piece in self.packed_chunks(member):
                data = piece
                while data and not inflater.eof:
                    yield inflater.decompress(data, limits.READ_CHUNK_BYTES)
                    data = inflater.unconsumed_tail
                if data or inflater.unused_data:
                    raise _data_error(member, "bytes follow the end of its deflate stream")
            while not inflater.eof:
                rest = inflater.decompress(b"", limits.READ_CHUNK_BYTES)
                if not rest:
                    raise _data_error(member, "its deflate stream does not end")
                yield rest
        except zlib.error:
            raise _data_error(member, "it is not a deflate stream") from None


class _Central(NamedTuple):
    """The fixed part of a central directory record (APPNOTE 4.3.12), in its order."""

    signature: bytes
    version_made_by: int
    system_made_by: int
    version_needed: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    compressed_size: int
    size: int
    name_length: int
    extra_length: int
    comment_length: int
    disk: int
    internal_attributes: int
    external_attributes: int
    offset: int


@attrs.frozen
class Record:
    """A central directory record as stated, before its local header was seen."""

    name: bytes
    stated: _Central
    is_folder: bool
    descriptor_size: int


@attrs.frozen
class Directory:
    """The central directory, from ``offset`` to the end record: its records as stated, in its order."""

    offset: int
    records: Sequence[Record]


def read_archive(file: ArchiveFile) -> ZipArchive:
    """Accept the archive's structure or raise BundleRefusedError; reads headers only.

    1. The end record lies exactly at the end and describes one disk, no comment, no ZIP64.
    2. The central directory ends where the end record begins and holds exactly the stated records.
    3. Every record is a plain file or folder with a safe name; no two names collide.
    4. Local entries lie one after the other from byte 0 to the central directory and agree with it.
    5. Counts, sizes and ratios are within limits.
    """
    size = size_of(file)
    directory = read_directory(file)  # 1, 2
    records = directory.records
    names = [_checked_name(record) for record in records]  # 3
    if len(set(names)) != len(names):
        raise BundleRefusedError(
            "zip-duplicate", "the archive has two entries with one name; pack and sign it again"
        )
    check_coexistence(
        [name for name in names if not name.endswith("/")],
        [name[:-1] for name in names if name.endswith("/")],
    )
    offsets = _read_local_headers(file, directory)  # 4
    _check_sizes(records, size)  # 5
    members = [
        _member(name, record.stated, offset)
        for name, record, offset in zip(names, records, offsets, strict=True)
        if not record.is_folder
    ]
    return ZipArchive(file, size, {member.name: member for member in members})


def size_of(file: ArchiveFile) -> int:
    """The archive's size in bytes; raises ``zip-limit``."""
    size = file.seek(0, os.SEEK_END)
    if size > limits.MAX_ARCHIVE_BYTES:
        raise BundleRefusedError("zip-limit", f"the archive is larger than {limits.MAX_ARCHIVE_BYTES} bytes")
    return size


def read_directory(file: ArchiveFile) -> Directory:
    """Read what stands behind the entries, and nothing else; names and local headers are still to be judged."""
    size = size_of(file)
    count, offset = read_end(file, size)
    return Directory(offset, _records(_read_at(file, offset, size - END.size - offset), count))


def _member(name: str, stated: _Central, data_offset: int) -> Member:
    return Member(name, stated.method, stated.crc, stated.compressed_size, stated.size, data_offset)


def _read_at(file: ArchiveFile, offset: int, length: int) -> bytes:
    file.seek(offset)
    data = file.read(length)
    if len(data) != length:
        raise BundleRefusedError("zip-layout", "the archive ends too early; send it again")
    return data


def read_end(file: ArchiveFile, size: int) -> tuple[int, int]:
    """The number of records that the end record states, and where the first of them begins."""
    if size < END.size:
        raise BundleRefusedError("zip-end", "this is not a JAR: it is too short; send it again")
    signature, disk, first_disk, here, count, length, offset, comment = END.unpack(
        _read_at(file, size - END.size, END.size)
    )
    if signature != END_SIGNATURE or comment:
        raise BundleRefusedError(
            "zip-end", "this is not a JAR, or bytes follow its end; pack and sign it without archive comment"
        )
    if disk or first_disk or here != count or count == 0xFFFF or 0xFFFFFFFF in (length, offset):
        raise BundleRefusedError("zip-end", "archives over several disks and ZIP64 are not accepted")
    if count > limits.MAX_ENTRIES or length > limits.MAX_DIRECTORY_BYTES:
        raise BundleRefusedError(
            "zip-limit",
            f"the archive has more than {limits.MAX_ENTRIES} entries or its directory is too long",
        )
    if offset + length != size - END.size:
        raise BundleRefusedError(
            "zip-directory", "the central directory does not end where the end record begins"
        )
    return count, offset


def _records(directory: bytes, count: int) -> list[Record]:
    records = []
    position = 0
    for _ in range(count):
        if len(directory) - position < CENTRAL.size:
            raise BundleRefusedError("zip-directory", "the central directory has fewer records than stated")
        stated = _Central._make(CENTRAL.unpack_from(directory, position))
        name_start = position + CENTRAL.size
        name_end = name_start + stated.name_length
        position = name_end + stated.extra_length
        if stated.signature != CENTRAL_SIGNATURE or position > len(directory):
            raise BundleRefusedError(
                "zip-directory", "a record of the central directory is malformed or cut off"
            )
        name = directory[name_start:name_end]
        descriptor_size = DESCRIPTOR.size if stated.flags & FLAG_DESCRIPTOR else 0
        record = Record(name, stated, name.endswith(b"/"), descriptor_size)
        _check_features(record)
        _check_extra(directory[name_end:position])
        records.append(record)
    if position != len(directory):
        raise BundleRefusedError("zip-directory", "bytes follow the last record of the central directory")
    return records


def _check_features(record: Record) -> None:
    stated = record.stated
    if stated.comment_length or stated.disk:
        raise BundleRefusedError(
            "zip-directory", "an entry with a comment or on another disk is not accepted"
        )
    if stated.version_needed > _VERSION_NEEDED_MAX or stated.flags & ~(FLAG_DESCRIPTOR | FLAG_UTF8):
        raise BundleRefusedError("zip-feature", "encryption, ZIP64 and other late features are not accepted")
    if stated.method not in (STORED, DEFLATED):
        raise BundleRefusedError("zip-feature", "methods other than stored and deflated are not accepted")
    if stated.method == STORED and (record.descriptor_size or stated.compressed_size != stated.size):
        raise BundleRefusedError(
            "zip-feature", "a stored entry with a data descriptor or with two sizes is not accepted"
        )
    if record.is_folder and (stated.size or stated.crc or stated.compressed_size != _folder_size(stated)):
        raise BundleRefusedError("zip-feature", "a folder entry with content is not accepted")
    _check_kind(record)


def _folder_size(stated: _Central) -> int:
    """Java deflates even folders, so that nothing becomes two bytes."""
    return len(_DEFLATED_NOTHING) if stated.method == DEFLATED else 0


def _check_kind(record: Record) -> None:
    attributes = record.stated.external_attributes
    kind = stat.S_IFMT(attributes >> 16) if record.stated.system_made_by == _MADE_BY_UNIX else 0
    expected = stat.S_IFDIR if record.is_folder else stat.S_IFREG
    marked_as_folder = attributes & _DOS_FOLDER and not record.is_folder
    if kind not in (0, expected) or attributes & _DOS_VOLUME or marked_as_folder:
        raise BundleRefusedError(
            "zip-feature",
            "links, devices and other special files are not accepted; pack files and folders only",
        )


def _check_extra(extra: bytes) -> None:
    if len(extra) > limits.MAX_EXTRA_BYTES:
        raise BundleRefusedError(
            "zip-extra", f"an entry has more than {limits.MAX_EXTRA_BYTES} bytes of extra fields"
        )
    position = 0
    while position < len(extra):
        if len(extra) - position < 4:
            raise BundleRefusedError("zip-extra", "an extra field is cut off")
        tag, length = struct.unpack_from("<HH", extra, position)
        position += 4 + length
        if tag not in _EXTRA_ALLOWED or position > len(extra):
            raise BundleRefusedError(
                "zip-extra",
                f"extra field 0x{tag:04x} is malformed or not accepted; pack it with a plain tool",
            )


def _checked_name(record: Record) -> str:
    try:
        name = record.name.decode("utf-8" if record.stated.flags & FLAG_UTF8 else "ascii")
    except UnicodeDecodeError:
        raise BundleRefusedError(
            "name", f"the entry name {record.name[:60]!r} is not UTF-8 or not marked so"
        ) from None
    parts_of(name.removesuffix("/"))
    return name


def _read_local_headers(file: ArchiveFile, directory: Directory) -> list[int]:
    """Return each record's data offset, having walked the local entries without a gap."""
    records = directory.records
    offsets = [0] * len(records)
    position = 0
    for index in sorted(range(len(records)), key=lambda index: records[index].stated.offset):
        record = records[index]
        if record.stated.offset != position:
            raise BundleRefusedError(
                "zip-layout", "bytes lie before or between the entries, or entries overlap"
            )
        offsets[index] = _read_local_header(file, record)
        position = offsets[index] + record.stated.compressed_size + record.descriptor_size
        _check_around_data(file, record, offsets[index])
    if position != directory.offset:
        raise BundleRefusedError("zip-layout", "bytes lie between the last entry and the central directory")
    return offsets


def _read_local_header(file: ArchiveFile, record: Record) -> int:
    """Return the offset of the data behind the local header, which must say what the directory says."""
    start = _read_at(file, record.stated.offset, LOCAL.size + len(record.name))
    signature, needed, flags, method, _, _, crc, compressed, size, name_length, extra_length = (
        LOCAL.unpack_from(start)
    )
    stated = record.stated
    sizes_agree = (crc, compressed, size) == (stated.crc, stated.compressed_size, stated.size)
    if record.descriptor_size:
        sizes_agree |= (crc, compressed, size) == (0, 0, 0)
    same = (flags, method, name_length, start[LOCAL.size :]) == (
        *(stated.flags, stated.method, len(record.name), record.name),
    )
    if signature != LOCAL_SIGNATURE or needed > _VERSION_NEEDED_MAX or not same or not sizes_agree:
        raise _header_error(record)
    extra_offset = stated.offset + len(start)
    if extra_length:
        _check_extra(_read_at(file, extra_offset, extra_length))
    return extra_offset + int(extra_length)


def _check_around_data(file: ArchiveFile, record: Record, data_offset: int) -> None:
    """Check the data descriptor, and that a folder's data is nothing."""
    stated = record.stated
    if record.descriptor_size:
        expected = DESCRIPTOR.pack(DESCRIPTOR_SIGNATURE, stated.crc, stated.compressed_size, stated.size)
        if _read_at(file, data_offset + stated.compressed_size, DESCRIPTOR.size) != expected:
            raise _header_error(record)
    if record.is_folder and _read_at(file, data_offset, stated.compressed_size) not in (
        b"",
        _DEFLATED_NOTHING,
    ):
        raise BundleRefusedError("zip-feature", "a folder entry with content is not accepted")


def _check_sizes(records: Sequence[Record], archive_size: int) -> None:
    total = sum(record.stated.size for record in records)
    if total > limits.MAX_UNPACKED_BYTES:
        raise BundleRefusedError(
            "zip-limit", f"the files are larger than {limits.MAX_UNPACKED_BYTES} bytes together"
        )
    if total > limits.RATIO_FREE_BYTES + limits.MAX_RATIO * archive_size:
        raise BundleRefusedError(
            "zip-limit", f"the files are more than {limits.MAX_RATIO} times as large as the archive"
        )


def _header_error(record: Record) -> BundleRefusedError:
    name = shown(record.name.decode("utf-8", "replace"))
    return BundleRefusedError("zip-header", f"the headers of {name} disagree; pack and sign again")


def _data_error(member: Member, why: str) -> BundleRefusedError:
    return BundleRefusedError("zip-data", f"{shown(member.name)} cannot be read: {why}; send it again")
