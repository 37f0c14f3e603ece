"""Writes gathered files as a bundle, signed or for somebody else to sign, whole or not at all."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from cryptography import x509

from rjs import limits
from rjs.bundle.attributes import EXECUTABLE_HEADER
from rjs.bundle.cms import SigningKey
from rjs.bundle.manifest import write_section
from rjs.bundle.policy import check_job_conditions
from rjs.bundle.sign import CREATED_BY, job_attributes, sign_jar
from rjs.bundle.verify import MANIFEST_NAME, open_bundle
from rjs.bundle.zip_writer import StoredFile, write_archive
from rjs.ids import BundleId, ClusterId
from rjs.packing.folder import JobFile, JobFiles, gather


def pack_job(
    path: Path,
    out: Path,
    *,
    key: SigningKey,
    chain: Sequence[x509.Certificate],
    now: datetime,
    nonce: bytes,
    valid: timedelta,
    cluster: ClusterId | None = None,
) -> BundleId:
    """Make the signed bundle ``out`` of a folder or script; ``gather`` and ``write_signed`` in one."""
    files = gather(path, without=out)
    return write_signed(files, out, key=key, chain=chain, now=now, nonce=nonce, valid=valid, cluster=cluster)


def write_signed(
    files: JobFiles,
    out: Path,
    *,
    key: SigningKey,
    chain: Sequence[x509.Certificate],
    now: datetime,
    nonce: bytes,
    valid: timedelta,
    cluster: ClusterId | None = None,
) -> BundleId:
    """Write the bundle, signed with ``key``, to ``out`` and give its id; ``out`` changes only when all is well.

    ``chain`` leads from the signer's certificate to its root, ``nonce`` is 16 random bytes. The job may start at
    once and for ``valid``, at most until the signer's certificate ends. What was written is judged by the verifier
    that everybody else uses: raises BundleRefusedError for what it would refuse (an expired certificate, for one).
    """
    until = min(now + valid, chain[0].not_valid_after_utc)
    attributes = _attributes(files, nonce, now, until, cluster)
    with _whole(out, nonce) as file:
        entries = [(each.name, each.content, each.executable) for each in files.files]
        sign_jar(file, entries, key=key, chain=chain, attributes=attributes)
        bundle = open_bundle(file, at=now)
        check_job_conditions(bundle, at=now)
    return bundle.bundle_id


def write_unsigned(
    files: JobFiles,
    out: Path,
    *,
    now: datetime,
    nonce: bytes,
    valid: timedelta,
    cluster: ClusterId | None = None,
) -> None:
    """Write the same files and attributes to ``out`` without a signature, ready for ``jarsigner``."""
    attributes = _attributes(files, nonce, now, now + valid, cluster)
    manifest = write_section({"Manifest-Version": "1.0", "Created-By": CREATED_BY, **attributes})
    for file in files.files:
        if file.executable:
            manifest += write_section({"Name": file.name, EXECUTABLE_HEADER: "true"})
    members = [JobFile(MANIFEST_NAME, manifest, len(manifest)), *files.files]
    with _whole(out, nonce) as archive:
        write_archive(archive, [_stored(member) for member in members])


def _attributes(
    files: JobFiles, nonce: bytes, now: datetime, until: datetime, cluster: ClusterId | None
) -> dict[str, str]:
    start = now - timedelta(seconds=limits.CLOCK_SKEW)  # a desktop's clock may be behind ours
    return job_attributes(files.descriptor.name, nonce, start, until, cluster)


def _stored(file: JobFile) -> StoredFile:
    size = crc = 0
    for chunk in _chunks(file):
        size += len(chunk)
        crc = zlib.crc32(chunk, crc)
    return StoredFile(file.name, size, crc, _chunks(file))


def _chunks(file: JobFile) -> Iterator[bytes]:
    if isinstance(file.content, bytes):
        yield file.content
        return
    with file.content.open("rb") as source:
        while chunk := source.read(limits.READ_CHUNK_BYTES):
            yield chunk


@contextmanager
def _whole(out: Path, nonce: bytes) -> Iterator[BinaryIO]:
    """Yield a new file beside ``out`` that takes its place when the block ends well, and else disappears."""
    part = out.with_name(f".{out.name}.{nonce.hex()[:8]}.part")
    try:
        with part.open("x+b") as file:
            yield file
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
