"""Signs files as a JAR that ``jarsigner -verify -strict`` and ``verify.open_bundle`` accept.

The same input gives the same bytes, apart from a nonce among the attributes and ECDSA's random signature.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rjs import limits
from rjs.bundle import cms
from rjs.bundle.attributes import check_main_attributes, job_attributes
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.manifest import encoded_digest, write_section
from rjs.bundle.names import check_coexistence, parts_of, shown
from rjs.bundle.verify import EXECUTABLE_HEADER, MANIFEST_NAME, is_signature_related
from rjs.bundle.zip_writer import StoredFile, write_archive

__all__ = ["job_attributes", "sign_jar"]

CREATED_BY: Final = "rjs"
_Content = bytes | Path


def sign_jar(
    out: BinaryIO,
    entries: Iterable[tuple[str, _Content, bool]],
    *,
    key: cms.SigningKey,
    chain: Sequence[x509.Certificate],
    attributes: Mapping[str, str],
    stem: str = "RJS",
) -> None:
    """Write to ``out`` a JAR of (name, content, executable) entries, signed with ``key``.

    ``chain`` goes into the block whole, leaf first, root last; ``attributes`` are main attributes of the manifest.
    A file given by path is read twice and must not change meanwhile. Raises BundleRefusedError where a verifier
    would refuse names or attributes, and ``sign-key`` or ``sign-input``.
    """
    _check_signing(key, chain)
    check_main_attributes({name.lower(): value for name, value in attributes.items()})
    measured = sorted((_measured(*entry) for entry in entries), key=lambda pair: pair[0].name)
    _check_names([file.name for file, _ in measured])
    main = write_section({"Manifest-Version": "1.0", "Created-By": CREATED_BY, **attributes})
    sections = {file.name: section for file, section in measured}
    manifest = main + b"".join(sections.values())
    signature_file = _signature_file(main, sections, manifest)
    block = cms.sign_block(signature_file, key, chain)
    write_archive(
        out,
        [
            _in_memory(MANIFEST_NAME, manifest),
            _in_memory(f"META-INF/{stem}.SF", signature_file),
            _in_memory(f"META-INF/{stem}{cms.block_suffix(key)}", block),
            *(file for file, _ in measured),
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


def _measured(name: str, content: _Content, executable: bool) -> tuple[StoredFile, bytes]:
    """Read the content once; return the file to write and its manifest section."""
    digest = hashlib.sha256()
    size = crc = 0
    for chunk in _chunks(content):
        size += len(chunk)
        crc = zlib.crc32(chunk, crc)
        digest.update(chunk)
    headers = {"Name": name, "SHA-256-Digest": encoded_digest(digest.digest())}
    if executable:
        headers[EXECUTABLE_HEADER] = "true"
    return StoredFile(name, size, crc, _chunks(content)), write_section(headers)


def _in_memory(name: str, content: bytes) -> StoredFile:
    return StoredFile(name, len(content), zlib.crc32(content), [content])


def _chunks(content: _Content) -> Iterator[bytes]:
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
