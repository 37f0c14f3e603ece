"""Signs files as a JAR that ``jarsigner -verify -strict`` and ``verify.open_bundle`` accept.

The same input gives the same bytes, apart from a nonce among the attributes and ECDSA's random signature.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rjs import limits
from rjs.bundle import cms
from rjs.bundle.attributes import (
    EXECUTABLE_HEADER,
    check_entry_attributes,
    check_main_attributes,
    job_attributes,
    typed_attributes,
)
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.manifest import encoded_digest, parse_manifest, write_section
from rjs.bundle.names import check_coexistence, parts_of, shown
from rjs.bundle.verify import MANIFEST_NAME, is_signature_related
from rjs.bundle.zip_writer import ArchivedFile, StoredFile, write_archive

__all__ = ["MeasuredFile", "job_attributes", "measure", "sign_jar", "sign_measured"]

CREATED_BY: Final = "rjs"
Content = bytes | Path


@attrs.frozen
class MeasuredFile:
    """A file that was read once, for its size, CRC and SHA-256; its content is read again when it is written.

    ``attributes`` go into its section of the manifest.
    """

    archived: ArchivedFile
    sha256: bytes
    attributes: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def name(self) -> str:
        return self.archived.name

    def section(self) -> bytes:
        """Return the file's section of the manifest."""
        return write_section(
            {"Name": self.name, "SHA-256-Digest": encoded_digest(self.sha256), **self.attributes}
        )


def sign_jar(
    out: BinaryIO,
    entries: Iterable[tuple[str, Content, bool]],
    *,
    key: cms.SigningKey,
    chain: Sequence[x509.Certificate],
    attributes: Mapping[str, str],
    stem: str = "RJS",
) -> None:
    """Write to ``out`` a JAR of (name, content, executable) entries, signed with ``key``.

    ``chain`` goes into the block whole, leaf first, root last; ``attributes`` are main attributes of the manifest.
    A file given by path is read twice and must not change meanwhile. Raises BundleRefusedError where a verifier
    would refuse names, sizes or attributes, and ``sign-key`` or ``sign-input``.
    """
    measured = [measure(*entry) for entry in entries]
    sign_measured(out, measured, key=key, chain=chain, attributes=attributes, stem=stem)


def measure(name: str, content: Content, executable: bool = False) -> MeasuredFile:
    """Read ``content`` once."""
    digest = hashlib.sha256()
    size = crc = 0
    for chunk in _chunks(content):
        size += len(chunk)
        crc = zlib.crc32(chunk, crc)
        digest.update(chunk)
    attributes = {EXECUTABLE_HEADER: "true"} if executable else {}
    return MeasuredFile(StoredFile(name, size, crc, _chunks(content)), digest.digest(), attributes)


def sign_measured(
    out: BinaryIO,
    files: Iterable[MeasuredFile],
    *,
    key: cms.SigningKey,
    chain: Sequence[x509.Certificate],
    attributes: Mapping[str, str],
    described: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    stem: str = "RJS",
) -> None:
    """Like ``sign_jar``, for files that were measured already.

    ``described`` maps names that are no files (Java packages, such as ``org/example/``) to their attributes.
    """
    _check_signing(key, chain)
    ordered = sorted(files, key=lambda file: file.name)
    _check_names([file.name for file in ordered])
    for file in ordered:
        _check_attributes(file.name, file.attributes, is_file=True)
    for name in described:
        parts_of(name.removesuffix("/"))
        _check_attributes(name, described[name], is_file=False)
    main = _main_section(attributes)
    sections = {file.name: file.section() for file in ordered}
    sections |= {name: write_section({"Name": name, **described[name]}) for name in sorted(described)}
    manifest = main + b"".join(sections.values())
    signature_file = _signature_file(main, sections, manifest)
    if max(len(manifest), len(signature_file)) > limits.MAX_MANIFEST_BYTES:
        raise BundleRefusedError("zip-limit", "the names of the files are too long together for one manifest")
    block = cms.sign_block(signature_file, key, chain)
    write_archive(
        out,
        [
            _in_memory(MANIFEST_NAME, manifest),
            _in_memory(f"META-INF/{stem}.SF", signature_file),
            _in_memory(f"META-INF/{stem}{cms.block_suffix(key)}", block),
            *(file.archived for file in ordered),
        ],
    )


def _check_signing(key: cms.SigningKey, chain: Sequence[x509.Certificate]) -> None:
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if not chain or key.public_key().public_bytes(*form) != chain[0].public_key().public_bytes(*form):
        raise BundleRefusedError("sign-key", "the key does not belong to the first certificate of the chain")
    if chain[-1].subject != chain[-1].issuer:
        raise BundleRefusedError(
            "sign-key", "the chain does not end with its root; add the root's certificate"
        )


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        parts_of(name)
        if is_signature_related(name):
            raise BundleRefusedError(
                "signature-files", f"{shown(name)} is a place for signatures; leave it out"
            )
    if len(set(names)) != len(names):
        raise BundleRefusedError("zip-duplicate", "two entries have one name")
    check_coexistence(["META-INF/MANIFEST.MF", *names])


def _check_attributes(name: str, attributes: Mapping[str, str], *, is_file: bool) -> None:
    headers = {header.lower(): value for header, value in attributes.items()}
    check_entry_attributes(name, headers, is_file=is_file)


def _main_section(attributes: Mapping[str, str]) -> bytes:
    """Return the manifest's main section, read back so that no value can smuggle in a line."""
    headers = {"Manifest-Version": "1.0", "Created-By": CREATED_BY, **attributes}
    section = write_section(headers)
    written = parse_manifest(section, "Manifest-Version").main.headers
    if written != {name.lower(): value for name, value in headers.items()}:
        raise BundleRefusedError("attribute", "a main attribute's value contains a line break")
    check_main_attributes(written)
    typed_attributes(written)
    return section


def _in_memory(name: str, content: bytes) -> StoredFile:
    return StoredFile(name, len(content), zlib.crc32(content), [content])


def _chunks(content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(limits.READ_CHUNK_BYTES):
            yield chunk


def _signature_file(main: bytes, sections: Mapping[str, bytes], manifest: bytes) -> bytes:
    """Return the .SF: without the main attributes' digest Java would accept a changed Main-Class."""
    head = write_section(
        {
            "Signature-Version": "1.0",
            "Created-By": CREATED_BY,
            "SHA-256-Digest-Manifest": _digest(manifest),
            "SHA-256-Digest-Manifest-Main-Attributes": _digest(main),
        }
    )
    return head + b"".join(
        write_section({"Name": name, "SHA-256-Digest": _digest(section)})
        for name, section in sections.items()
    )


def _digest(data: bytes) -> str:
    return encoded_digest(hashlib.sha256(data).digest())
