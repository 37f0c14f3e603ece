"""Archives that different readers would read differently, or that exhaust a reader."""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Callable

import pytest

from rjs import limits
from rjs.bundle import zip
from rjs.bundle.forger import FILES, Forger, RawMember, RawZip, deflated, refusal_of

Change = Callable[[RawZip], None]
ATTACKS: dict[str, tuple[Change, str]] = {}


def attack(code: str) -> Callable[[Change], Change]:
    def register(change: Change) -> Change:
        ATTACKS[change.__name__] = (change, code)
        return change

    return register


@attack("zip-layout")
def bytes_before_the_first_entry(archive: RawZip) -> None:
    archive.prefix = b"#!/bin/sh\n"


@attack("zip-end")
def bytes_after_the_end(archive: RawZip) -> None:
    archive.suffix = b"x"


@attack("zip-end")
def archive_comment(archive: RawZip) -> None:
    archive.end["comment"] = b"hello"


@attack("zip-directory")
def second_end_record_in_the_comment(archive: RawZip) -> None:
    archive.end["comment"] = struct.pack("<4sHHHHIIH", zip.END_SIGNATURE, 0, 0, 0, 0, 0, 0, 0)


@attack("zip-end")
def several_disks(archive: RawZip) -> None:
    archive.end["disk"] = 1


@attack("zip-end")
def fewer_entries_on_this_disk(archive: RawZip) -> None:
    archive.end["here"] = 1


@attack("zip-end")
def zip64_count(archive: RawZip) -> None:
    archive.end |= {"count": 0xFFFF, "here": 0xFFFF}


@attack("zip-end")
def zip64_offset(archive: RawZip) -> None:
    archive.end["offset"] = 0xFFFFFFFF


@attack("zip-directory")
def more_entries_stated_than_present(archive: RawZip) -> None:
    archive.end |= {"count": 6, "here": 6}


@attack("zip-directory")
def fewer_entries_stated_than_present(archive: RawZip) -> None:
    archive.end |= {"count": 4, "here": 4}


@attack("zip-directory")
def bytes_between_directory_and_end(archive: RawZip) -> None:
    archive.after_directory = b"x"


@attack("zip-directory")
def directory_offset_elsewhere(archive: RawZip) -> None:
    archive.end["offset"] = 0


@attack("zip-directory")
def entry_comment(archive: RawZip) -> None:
    archive.member("run.py").comment = b"x"


@attack("zip-directory")
def entry_on_another_disk(archive: RawZip) -> None:
    archive.member("run.py").central["disk"] = 1


@attack("zip-directory")
def wrong_record_signature(archive: RawZip) -> None:
    archive.member("run.py").central["signature"] = b"PK\x01\x03"


@attack("zip-directory")
def last_record_cut_off(archive: RawZip) -> None:
    archive.members[-1].comment = b"x" * 8
    archive.end["length"] = len(archive.build()) - zip.END.size - _directory_offset(archive) - 8
    archive.end["offset"] = _directory_offset(archive) + 8


@attack("zip-layout")
def gap_between_entries(archive: RawZip) -> None:
    archive.member("run.py").before = b"gap"


@attack("zip-layout")
def hidden_entry_between_entries(archive: RawZip) -> None:
    hidden = RawZip([RawMember(b"hidden.py", b"import os")])
    archive.member("run.py").before = hidden.build()[: _directory_offset(hidden)]


@attack("zip-layout")
def hidden_entry_before_the_directory(archive: RawZip) -> None:
    hidden = RawZip([RawMember(b"run.py", b"import os")])
    archive.before_directory = hidden.build()[: _directory_offset(hidden)]


@attack("zip-layout")
def two_records_over_one_local_entry(archive: RawZip) -> None:
    archive.member("run.py").central["offset"] = 0


@attack("zip-layout")
def entry_that_reaches_into_the_directory(archive: RawZip) -> None:
    member = archive.members[-1]
    size = len(member.content) + 10
    member.local |= {"compressed": size, "size": size}
    member.central |= {"compressed": size, "size": size}


@attack("zip-header")
def local_header_with_another_name(archive: RawZip) -> None:
    archive.member("run.py").local["name"] = b"ran.py"


@attack("zip-header")
def local_header_with_another_method(archive: RawZip) -> None:
    archive.member("run.py").local["method"] = zip.DEFLATED


@attack("zip-header")
def local_header_with_other_flags(archive: RawZip) -> None:
    archive.member("run.py").local["flags"] = 0


@attack("zip-header")
def local_header_with_another_size(archive: RawZip) -> None:
    archive.member("run.py").local["size"] = 1


@attack("zip-header")
def local_header_with_another_compressed_size(archive: RawZip) -> None:
    archive.member("run.py").local["compressed"] = 1


@attack("zip-header")
def local_header_with_another_crc(archive: RawZip) -> None:
    archive.member("run.py").local["crc"] = 1


@attack("zip-header")
def local_header_without_sizes_and_without_descriptor(archive: RawZip) -> None:
    archive.member("run.py").local |= {"crc": 0, "compressed": 0, "size": 0}


@attack("zip-header")
def wrong_local_signature(archive: RawZip) -> None:
    archive.member("run.py").local["signature"] = b"PK\x03\x05"


@attack("zip-header")
def descriptor_that_disagrees(archive: RawZip) -> None:
    member = archive.member("run.py")
    member.deflate()
    member.flags |= zip.FLAG_DESCRIPTOR
    member.descriptor = zip.DESCRIPTOR.pack(zip.DESCRIPTOR_SIGNATURE, 1, 2, 3)


@attack("zip-feature")
def stored_entry_with_descriptor(archive: RawZip) -> None:
    member = archive.member("run.py")
    member.flags |= zip.FLAG_DESCRIPTOR
    size = len(member.content)
    member.descriptor = zip.DESCRIPTOR.pack(zip.DESCRIPTOR_SIGNATURE, zlib.crc32(member.content), size, size)


@attack("zip-feature")
def encrypted_entry(archive: RawZip) -> None:
    archive.member("run.py").flags |= 1


@attack("zip-feature")
def bzip2_entry(archive: RawZip) -> None:
    archive.member("run.py").method = 12


@attack("zip-feature")
def entry_that_needs_zip64(archive: RawZip) -> None:
    archive.member("run.py").needed = 45


@attack("zip-feature")
def stored_entry_with_two_sizes(archive: RawZip) -> None:
    archive.member("run.py").size = 1


@attack("zip-feature")
def symbolic_link(archive: RawZip) -> None:
    member = archive.member("run.py")
    member.made_by, member.attributes = 3, (stat.S_IFLNK | 0o777) << 16


@attack("zip-feature")
def device(archive: RawZip) -> None:
    member = archive.member("run.py")
    member.made_by, member.attributes = 3, (stat.S_IFCHR | 0o666) << 16


@attack("zip-feature")
def file_marked_as_folder(archive: RawZip) -> None:
    archive.member("run.py").attributes = 0x10


@attack("zip-feature")
def volume_label(archive: RawZip) -> None:
    archive.member("run.py").attributes = 0x08


@attack("zip-feature")
def folder_with_content(archive: RawZip) -> None:
    archive.members.append(RawMember(b"folder/", b"content"))


@attack("zip-feature")
def deflated_folder_with_content(archive: RawZip) -> None:
    archive.members.append(RawMember(b"folder/", b"", method=zip.DEFLATED, raw=b"\x01\x00"))


@attack("zip-extra")
def unicode_path_extra_field(archive: RawZip) -> None:
    archive.member("run.py").extra = struct.pack("<HHBI", 0x7075, 11, 1, zlib.crc32(b"run.py")) + b"ran.py"


@attack("zip-extra")
def zip64_extra_field(archive: RawZip) -> None:
    archive.member("run.py").extra = struct.pack("<HHQQ", 0x0001, 16, 1, 1)


@attack("zip-extra")
def extra_field_only_in_the_local_header(archive: RawZip) -> None:
    archive.member("run.py").local["extra"] = struct.pack("<HH", 0x6666, 0)


@attack("zip-extra")
def extra_field_cut_off(archive: RawZip) -> None:
    archive.member("run.py").extra = struct.pack("<HH", 0xCAFE, 9) + b"x"


@attack("zip-extra")
def extra_field_of_three_bytes(archive: RawZip) -> None:
    archive.member("run.py").extra = b"abc"


@attack("zip-duplicate")
def two_entries_with_one_name(archive: RawZip) -> None:
    archive.members.append(RawMember(b"run.py", b"import os"))


@attack("zip-duplicate")
def second_manifest(archive: RawZip) -> None:
    archive.members.append(RawMember(b"META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\n\r\n"))


@attack("zip-duplicate")
def names_that_differ_in_case(archive: RawZip) -> None:
    archive.members.append(RawMember(b"RUN.py", b"import os"))


@attack("zip-duplicate")
def file_used_as_a_folder(archive: RawZip) -> None:
    archive.members.append(RawMember(b"run.py/x", b""))


@attack("zip-duplicate")
def folder_entry_with_the_name_of_a_file(archive: RawZip) -> None:
    archive.members.append(RawMember(b"run.py/", b""))


@attack("zip-duplicate")
def folders_that_differ_in_case(archive: RawZip) -> None:
    archive.members.append(RawMember(b"meta-inf/x", b""))


@attack("zip-duplicate")
def names_that_one_file_system_normalises_alike(archive: RawZip) -> None:
    archive.members += [RawMember("ﬁle".encode(), b""), RawMember(b"file", b"")]


@attack("zip-data")
def wrong_crc(archive: RawZip) -> None:
    archive.member("run.py").crc = 1


@attack("zip-data")
def bytes_after_the_deflate_stream(archive: RawZip) -> None:
    _repack(archive, lambda stream: stream + b"hidden")


@attack("zip-data")
def deflate_stream_that_does_not_end(archive: RawZip) -> None:
    _repack(archive, lambda stream: stream[:-1])


@attack("zip-data")
def no_deflate_stream(archive: RawZip) -> None:
    _repack(archive, lambda _: b"\xff" * 20)


@attack("zip-data")
def empty_deflate_stream(archive: RawZip) -> None:
    _repack(archive, lambda _: b"")


@attack("zip-data")
def inflates_to_more_than_stated(archive: RawZip) -> None:
    _repack(archive, lambda _: deflated(FILES["run.py"] * 1000))


@attack("zip-data")
def inflates_to_less_than_stated(archive: RawZip) -> None:
    _repack(archive, lambda _: deflated(b""))


@attack("zip-limit")
def files_much_larger_than_the_archive(archive: RawZip) -> None:
    member = archive.member("run.py")
    member.deflate()
    member.size = limits.RATIO_FREE_BYTES * 2


@attack("zip-limit")
def files_larger_than_allowed_together(archive: RawZip) -> None:
    for member in archive.members:
        member.deflate()
        member.size = limits.GIB


@attack("zip-limit")
def more_entries_than_allowed(archive: RawZip) -> None:
    archive.end |= {"count": limits.MAX_ENTRIES + 1, "here": limits.MAX_ENTRIES + 1}


@pytest.mark.parametrize("name", ATTACKS)
def test_refused(name: str, archive: RawZip) -> None:
    """A correctly signed archive with this one change is refused with the documented code."""
    change, code = ATTACKS[name]
    assert refusal_of(archive.build()) == "accepted"
    change(archive)
    assert refusal_of(archive.build()) == code


@pytest.mark.parametrize("length", [0, 1, 21, 22, 100])
def test_too_short(length: int) -> None:
    """Whatever is too short to be a JAR is refused."""
    assert refusal_of(bytes(length)) == "zip-end"


def test_every_truncation_is_refused(forger: Forger) -> None:
    """No prefix of an accepted bundle is accepted."""
    jar = forger.build()
    assert all(refusal_of(jar[:length]) != "accepted" for length in range(0, len(jar), 7))


def _directory_offset(archive: RawZip) -> int:
    jar = archive.build()
    offset: int = zip.END.unpack(jar[-zip.END.size :])[6]
    return offset


def _repack(archive: RawZip, change: Callable[[bytes], bytes]) -> None:
    member = archive.member("run.py")
    member.deflate()
    member.raw = change(deflated(member.content))
