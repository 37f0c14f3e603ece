"""Attacks read out of APPNOTE.TXT 6.3.10 (ZIP), section by section, beside those of ``test_bundle_zip``."""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Callable

import pytest

from rjs.bundle import zip
from rjs.bundle.forger import Forger, RawMember, RawZip, deflated, refusal_of

METHODS = [*range(1, 8), 9, *range(10, 15), 16, 18, 19, 20, 93, 94, 95, 96, 97, 98, 99]
FLAG_BITS = [bit for bit in range(16) if bit not in (3, 11)]


@pytest.mark.parametrize("method", METHODS)
def test_4_4_5_compression_methods(method: int, archive: RawZip) -> None:
    """Shrunk, reduced, imploded, Deflate64, LZMA, Zstandard, AES and the rest: only stored and deflated are read."""
    archive.member("run.py").method = method
    assert refusal_of(archive.build()) == "zip-feature"


@pytest.mark.parametrize("bit", FLAG_BITS)
def test_4_4_4_flags(bit: int, archive: RawZip) -> None:
    """Encryption, patches, masked headers and reserved bits: only a data descriptor and UTF-8 are understood."""
    archive.member("run.py").flags |= 1 << bit
    assert refusal_of(archive.build()) == "zip-feature"


@pytest.mark.parametrize("needed", [21, 25, 27, 45, 46, 50, 51, 61, 62, 63, 255, 0xFF14])
def test_4_4_3_version_needed(needed: int, archive: RawZip) -> None:
    """A version above 2.0 asks for something that is not implemented, in either header."""
    archive.member("run.py").central["needed"] = needed
    assert refusal_of(archive.build()) == "zip-feature"


def test_4_4_3_version_needed_in_the_local_header_only(archive: RawZip) -> None:
    """The local header may not ask for more than the directory."""
    archive.member("run.py").local["needed"] = 45
    assert refusal_of(archive.build()) == "zip-header"


EXTRAS = {
    "4.5.3: ZIP64": 0x0001,
    "4.6.9: Unicode path": 0x7075,
    "4.6.8: Unicode comment": 0x6375,
    "4.5.12: strong encryption": 0x0017,
    "AES": 0x9901,
    "4.5.2: PKCS#7 store": 0x0014,
    "4.5.2: patch descriptor": 0x000F,
    "Info-ZIP MVS name": 0x4704,
}


@pytest.mark.parametrize("tag", EXTRAS.values(), ids=EXTRAS.keys())
@pytest.mark.parametrize("where", ["local", "central"])
def test_4_5_extra_fields(tag: int, where: str, archive: RawZip) -> None:
    """A field that may change a name, a size or the content is refused in either header."""
    getattr(archive.member("run.py"), where)["extra"] = struct.pack("<HHQ", tag, 8, 0)
    assert refusal_of(archive.build()) == "zip-extra"


KINDS = [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFBLK, stat.S_IFCHR, stat.S_IFDIR, 0xF000]


@pytest.mark.parametrize("kind", KINDS, ids=map(hex, KINDS))
def test_4_4_15_external_attributes(kind: int, archive: RawZip) -> None:
    """A file is a file: no link, pipe, socket, device, nor a folder by another name."""
    member = archive.member("run.py")
    member.made_by, member.attributes = 3, (kind | 0o777) << 16
    assert refusal_of(archive.build()) == "zip-feature"


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o1777, 0o000, 0o777])
def test_4_4_15_mode_bits_have_no_effect(mode: int, archive: RawZip) -> None:
    """Control: set-user-id and all other mode bits are unsigned, and so nobody reads them."""
    member = archive.member("run.py")
    member.made_by, member.attributes = 3, (stat.S_IFREG | mode) << 16
    assert refusal_of(archive.build()) == "accepted"


BETWEEN = {
    "4.3.11: archive extra data": struct.pack("<4sI", b"PK\6\x08", 0),
    "4.3.13: digital signature": struct.pack("<4sH", b"PK\5\5", 0),
    "4.3.14: ZIP64 end record": struct.pack("<4sQ44x", b"PK\6\6", 44),
    "4.3.15: ZIP64 locator": struct.pack("<4sIQI", b"PK\6\7", 0, 0, 1),
}


@pytest.mark.parametrize("record", BETWEEN.values(), ids=BETWEEN.keys())
def test_records_around_the_directory(record: bytes, archive: RawZip) -> None:
    """Optional records before or behind the directory leave room for a second one."""
    archive.after_directory = record
    assert refusal_of(archive.build()) == "zip-directory"
    archive.after_directory, archive.before_directory = b"", record
    assert refusal_of(archive.build()) == "zip-layout"


@pytest.mark.parametrize("marker", [b"PK\7\x08", b"PK00"])
def test_8_5_spanning_markers(marker: bytes, archive: RawZip) -> None:
    """The marker of a split archive is a prefix like any other."""
    archive.prefix = marker
    assert refusal_of(archive.build()) == "zip-layout"


DESCRIPTORS: dict[str, tuple[Callable[[int, int, int], bytes], str]] = {
    "with its signature": (lambda *fields: struct.pack("<4sIII", b"PK\7\x08", *fields), "accepted"),
    "4.3.9.3: without signature": (lambda *fields: struct.pack("<III", *fields), "zip-header"),
    "4.3.9.2: of ZIP64": (lambda *fields: struct.pack("<4sIQQ", b"PK\7\x08", *fields), "zip-header"),
    "missing": (lambda *_: b"", "zip-header"),
}


@pytest.mark.parametrize(("make", "code"), DESCRIPTORS.values(), ids=DESCRIPTORS.keys())
def test_4_3_9_data_descriptors(make: Callable[[int, int, int], bytes], code: str, archive: RawZip) -> None:
    """Of the forms that a data descriptor may have one is accepted: its end is certain."""
    member = archive.member("run.py")
    member.deflate()
    member.flags |= zip.FLAG_DESCRIPTOR
    fields = member.fields({})
    member.descriptor = make(fields["crc"], fields["compressed"], fields["size"])
    assert refusal_of(archive.build()) == code


def test_4_3_12_an_entry_inside_another(archive: RawZip) -> None:
    """A record that points at a local header within another entry's data: the bomb whose entries overlap."""
    inner = RawZip([RawMember(b"inner", b"x")]).build()
    inner = inner[: inner.index(zip.CENTRAL_SIGNATURE)]
    archive.members.insert(0, RawMember(b"outer", inner))
    archive.members.append(RawMember(b"inner", b"x", central={"offset": 35}))
    assert refusal_of(archive.build()) == "zip-layout"


def test_4_3_12_record_that_points_behind_the_end(archive: RawZip) -> None:
    """An offset beyond the file is no place for an entry."""
    archive.member("run.py").central["offset"] = 0xFFFFFFFE
    assert refusal_of(archive.build()) == "zip-layout"


def test_4_4_7_crc_of_zero(archive: RawZip) -> None:
    """A CRC that both headers leave at zero is wrong, however right the signed digest is."""
    archive.member("run.py").crc = 0
    assert refusal_of(archive.build()) == "zip-data"


STREAMS: dict[str, Callable[[bytes], bytes]] = {
    "two streams": lambda content: deflated(content) + deflated(content),
    "zlib wrapper": zlib.compress,
    "gzip wrapper": lambda content: zlib.compress(content, wbits=31),
    "no final block": lambda content: deflated(content)[:-2],
    "reserved block type": lambda content: b"\x07" + deflated(content),
    "stored block of a wrong length": lambda content: b"\x01\x05\x00\x00\x00" + content,
    "final empty block behind the end": lambda content: deflated(content) + b"\x03\x00",
}


@pytest.mark.parametrize("make", STREAMS.values(), ids=STREAMS.keys())
def test_5_5_deflate_streams(make: Callable[[bytes], bytes], archive: RawZip) -> None:
    """A stream that is none, does not end, or ends before its last byte."""
    member = archive.member("run.py")
    member.deflate()
    member.raw = make(member.content)
    assert refusal_of(archive.build()) == "zip-data"


@pytest.mark.parametrize("level", [0, 1, 9])
def test_5_5_every_level_of_deflate(level: int, forger: Forger) -> None:
    """Control: stored, fixed and dynamic blocks are all deflate."""
    archive = forger.archive()
    member = archive.member("run.py")
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    member.method, member.raw = zip.DEFLATED, packer.compress(member.content) + packer.flush()
    assert refusal_of(archive.build()) == "accepted"
