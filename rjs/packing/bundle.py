"""Writes gathered files as a bundle, signed or for somebody else to sign, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import stat
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
from rjs.files import UnsafeFileError, sync_folder
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
    """Yield a new file that takes the place of ``out`` when the block ends well, durably, and else disappears.

    A link is followed: what it leads to is replaced. Who may read a file that is there may read the new one, and
    nobody else. Raises UnsafeFileError where ``out`` is a pipe or a device.
    """
    target = out.resolve()
    mode = _mode_of(target)
    part = target.with_name(f".{target.name}.{nonce.hex()[:8]}.part")
    try:
        descriptor = os.open(
            part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else mode
        )
        with os.fdopen(descriptor, "w+b") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(target.parent)


def _mode_of(path: Path) -> int | None:
    """The mode of the plain file that is there, None when nothing is."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise UnsafeFileError("file.kind", f"{path} is no plain file; name another one to write to")
    return found.st_mode & 0o777
