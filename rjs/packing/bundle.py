"""Writes gathered files as a bundle, signed or for somebody else to sign, whole or not at all."""

from __future__ import annotations

import hashlib
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
from rjs.bundle.sign import CREATED_BY, MeasuredFile, job_attributes, sign_measured
from rjs.bundle.verify import MANIFEST_NAME, open_bundle
from rjs.bundle.zip_writer import StoredFile, write_archive
from rjs.ids import BundleId, ClusterId
from rjs.packing.folder import gather
from rjs.packing.job_files import JobFile, JobFiles


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
    with written_whole(out, nonce) as file:
        measured = [_measured(each) for each in files.files]
        sign_measured(file, measured, key=key, chain=chain, attributes=attributes)
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
    with written_whole(out, nonce) as archive:
        write_archive(archive, [_measured(member).archived for member in members])


def _attributes(
    files: JobFiles, nonce: bytes, now: datetime, until: datetime, cluster: ClusterId | None
) -> dict[str, str]:
    start = now - timedelta(seconds=limits.CLOCK_SKEW)  # a desktop's clock may be behind ours
    return job_attributes(files.descriptor.name, nonce, start, until, cluster)


def _measured(file: JobFile) -> MeasuredFile:
    """Read ``file`` once; its content is read again when it is written, and must still be what was gathered."""
    digest = hashlib.sha256()
    crc = 0
    for chunk in file.chunks():
        digest.update(chunk)
        crc = zlib.crc32(chunk, crc)
    attributes = {EXECUTABLE_HEADER: "true"} if file.executable else {}
    return MeasuredFile(StoredFile(file.name, file.size, crc, file.chunks()), digest.digest(), attributes)


@contextmanager
def written_whole(out: Path, nonce: bytes) -> Iterator[BinaryIO]:
    """Yield a new file beside ``out`` that takes its place when the block ends well, and else disappears."""
    part = out.with_name(f".{out.name}.{nonce.hex()[:8]}.part")
    try:
        with part.open("x+b") as file:
            yield file
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
