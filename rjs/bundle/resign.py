"""Signs a JAR that exists already: every file stays as it is compressed, old signatures go, attributes stay.

It is strict about the archive, like every verifier, and lenient about the old manifest, which is written anew: Java
and its build tools produced every form of it. Nothing here judges a signature.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, Final

import attrs
from cryptography import x509

from rjs import limits
from rjs.bundle import cms
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import shown
from rjs.bundle.sign import MeasuredFile, sign_measured
from rjs.bundle.verify import MANIFEST_NAME, is_signature_related
from rjs.bundle.zip import DEFLATED, Member, ZipArchive, read_archive
from rjs.bundle.zip_writer import ArchivedFile, DeflatedFile, StoredFile

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_HEADER: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,59}) *: ?(.*)", re.DOTALL)
_WRITTEN_ANEW: Final = frozenset(["manifest-version", "signature-version", "name", "magic"])
_CREATED_BY: Final = "created-by"


@attrs.frozen
class OldManifest:
    """What a JAR's manifest said, digests and our own attributes aside: headers as spelled, sections by name."""

    main: Mapping[str, str]
    sections: Mapping[str, Mapping[str, str]]


def sign_existing_jar(
    source: BinaryIO,
    out: BinaryIO,
    *,
    key: cms.SigningKey,
    chain: Sequence[x509.Certificate],
    attributes: Mapping[str, str],
    stem: str = "RJS",
) -> None:
    """Write to ``out`` the files of the JAR ``source`` under a new signature with ``key``.

    The old manifest's attributes are kept, its main ones below ``attributes``; folder entries, old digests and old
    signatures are left out. Raises BundleRefusedError like ``read_archive`` and
    ``sign_jar``: what a verifier would refuse (a Class-Path, for one) is not signed.
    """
    archive = read_archive(source)
    old = _manifest_of(archive)
    members = [member for name, member in archive.files.items() if not is_signature_related(name)]
    files = [_measured(archive, member, old.sections.get(member.name, {})) for member in members]
    described = {name: kept for name, kept in old.sections.items() if kept and name not in archive.files}
    sign_measured(
        out,
        files,
        key=key,
        chain=chain,
        attributes={**old.main, **attributes},
        described=described,
        stem=stem,
    )


def read_loosely(data: bytes) -> OldManifest:
    """Read a manifest as Java would, and more patiently: any line end, any length, what is no header left out.

    Of a header or section that appears twice Java takes the last header and joins the sections; so do we.
    """
    blocks = _blocks(data.decode("utf-8", "replace"))
    main = _kept(next(blocks, []))
    sections: dict[str, dict[str, str]] = {}
    for block in blocks:
        name = next((value for header, value in block if header.lower() == "name"), None)
        if name is not None:
            sections.setdefault(name, {}).update(_kept(block))
    return OldManifest(main, sections)


def _manifest_of(archive: ZipArchive) -> OldManifest:
    member = archive.files.get(MANIFEST_NAME)
    if member is None:
        return OldManifest({}, {})
    if member.size > limits.MAX_MANIFEST_BYTES:
        raise BundleRefusedError(
            "zip-limit", f"{shown(MANIFEST_NAME)} is larger than {limits.MAX_MANIFEST_BYTES} bytes"
        )
    return read_loosely(b"".join(archive.chunks(member)))


def _blocks(text: str) -> Iterator[list[tuple[str, str]]]:
    """Yield the headers of each section; the first, even if empty, is the main one."""
    joined = re.sub(r"(?:\r\n|\r|\n) ", "", text)
    block: list[tuple[str, str]] = []
    started = False
    for line in _LINE_END.split(joined):
        if match := _HEADER.fullmatch(line):
            block.append((match[1], match[2]))
        elif not line and (block or not started):
            yield block
            block, started = [], True
    if block:
        yield block


def _kept(block: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the headers that stay: neither digests, nor ours, nor what the signature writes anew."""
    last = {header.lower(): (header, value) for header, value in block}
    return {
        "Created-By" if lower == _CREATED_BY else header: value
        for lower, (header, value) in last.items()
        if lower not in _WRITTEN_ANEW
        and "\0" not in value
        and "-digest" not in lower
        and (not lower.startswith("rjs-") or lower == "rjs-executable")
    }


def _measured(archive: ZipArchive, member: Member, attributes: Mapping[str, str]) -> MeasuredFile:
    digest = hashlib.sha256()
    for chunk in archive.chunks(member):
        digest.update(chunk)
    return MeasuredFile(_archived(archive, member), digest.digest(), attributes)


def _archived(archive: ZipArchive, member: Member) -> ArchivedFile:
    content = archive.packed_chunks(member)
    if member.method != DEFLATED:
        return StoredFile(member.name, member.size, member.crc, content)
    crc = 0
    for chunk in archive.packed_chunks(member):
        crc = zlib.crc32(chunk, crc)
    return DeflatedFile(member.name, member.size, member.crc, (member.compressed_size, crc), content)
