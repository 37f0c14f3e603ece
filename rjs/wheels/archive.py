"""One wheel: which of its members lie where on ``sys.path`` once it is unpacked.

A wheel is an archive from outside and is read by our strict reader only. Reference: the binary distribution format
of the Python Packaging User Guide (PEP 427).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from email.parser import HeaderParser
from typing import BinaryIO, Final

import attrs
from packaging.utils import canonicalize_name

from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import check_coexistence, parts_of, shown
from rjs.bundle.zip import Member, ZipArchive, read_archive
from rjs.errors import RefusedError
from rjs.limits import MAX_WHEEL_METADATA_BYTES
from rjs.wheels.file_names import read_wheel_name

_LIBRARIES: Final = ("purelib", "platlib")
_FORMAT: Final = "1"


@attrs.frozen
class Wheel:
    """A wheel whose structure was accepted. ``files`` are its members by their names below a folder of
    ``sys.path``; ``requires`` are the requirements that it states (PEP 508, as written).

    Left out are scripts, headers and data for other places, and ``.pth`` files: they would run code at the start
    of an interpreter, and a job's interpreter reads none.
    """

    files: Mapping[str, Member]
    requires: tuple[str, ...]
    _archive: ZipArchive = attrs.field(repr=False)

    def unpacked(self) -> Iterator[tuple[tuple[str, ...], bool, Iterator[bytes]]]:
        """What ``rjs.bundle.unpack.unpack_files`` writes. Modules are loaded, not executed: no file is executable."""
        for name, member in self.files.items():
            yield parts_of(name), False, self._archive.chunks(member)


def open_wheel(file: BinaryIO, filename: str) -> Wheel:
    """Read the structure of the wheel called ``filename``. Raises RefusedError ``bad-wheel``.

    1. Our strict reader accepts the archive. 2. It holds the metadata of the distribution that its name states, and
    no other's. 3. Its format is 1.x. 4. The names under which its files are unpacked can coexist.
    """
    try:
        archive = read_archive(file)  # 1
        info = _info_folder(archive, filename)  # 2
        version = HeaderParser().parsestr(_metadata(archive, f"{info}/WHEEL")).get("Wheel-Version", "")
        if version.partition(".")[0] != _FORMAT:  # 3
            raise _bad(filename, f"it has format {shown(version)}, which is not {_FORMAT}.x")
        files = _placed(archive, f"{info.removesuffix('.dist-info')}.data/", filename)
        check_coexistence(files)  # 4
        metadata = HeaderParser().parsestr(_metadata(archive, f"{info}/METADATA"))
    except BundleRefusedError as error:
        raise _bad(filename, error.sentence) from None
    return Wheel(files, tuple(metadata.get_all("Requires-Dist", [])), archive)


def _info_folder(archive: ZipArchive, filename: str) -> str:
    stated, version, _ = read_wheel_name(filename)
    folders = {name.partition("/")[0] for name in archive.files if ".dist-info/" in name}
    folders = {folder for folder in folders if folder.endswith(".dist-info")}
    name = next(iter(folders), "").removesuffix(".dist-info").partition("-")[0]
    if len(folders) != 1 or canonicalize_name(name) != stated:
        raise _bad(filename, f"it does not hold the metadata of {stated} {version} alone")
    return folders.pop()


def _metadata(archive: ZipArchive, name: str) -> str:
    member = archive.files.get(name)
    if member is None or member.size > MAX_WHEEL_METADATA_BYTES:
        raise BundleRefusedError(
            "file-size", f"{shown(name)} is missing, or larger than {MAX_WHEEL_METADATA_BYTES} bytes"
        )
    return b"".join(archive.chunks(member)).decode("utf-8", "replace")


def _placed(archive: ZipArchive, data: str, filename: str) -> dict[str, Member]:
    """The members by their names on ``sys.path``: those of the data folder's libraries move to the top."""
    placed: dict[str, Member] = {}
    for name, member in archive.files.items():
        place = name
        if name.startswith(data):
            scheme, _, place = name.removeprefix(data).partition("/")
            if scheme not in _LIBRARIES or not place:
                continue
        if "/" not in place and place.endswith(".pth"):
            continue
        if place in placed:
            raise _bad(filename, f"it has {shown(place)} twice")
        placed[place] = member
    return placed


def _bad(filename: str, why: str) -> RefusedError:
    return RefusedError("bad-wheel", f"the wheel {shown(filename)} cannot be used: {why}")
