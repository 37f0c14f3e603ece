"""Sealed outputs: all that a task wrote, in one file of its answer that the submitter alone can read.

``sealed.cms`` holds a ZIP with the outputs and a receipt of their digests. That receipt must say of the attempt what
the readable one says: else a compute server that cannot read another's outputs could still answer with them.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
from cryptography import x509

from rjs import limits
from rjs.answers.answer_jar import (
    RECEIPT_NAME,
    SEALED_NAME,
    OpenedAnswer,
    Receipt,
    check_outputs,
    measure_answer,
    read_receipt,
)
from rjs.bundle.cms import UNREADABLE
from rjs.bundle.cms_enveloped import TAG_BYTES, RecipientName, encode_tail, read_head
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import check_coexistence, parts_of, shown
from rjs.bundle.seal import Randomness, Sealing, opened_sealed
from rjs.bundle.seal_errors import SealRefusedError
from rjs.bundle.seal_keys import OpeningKey
from rjs.bundle.unpack import unpack_files
from rjs.bundle.zip import CENTRAL, END, LOCAL, ZipArchive, read_archive
from rjs.bundle.zip_writer import ArchivedFile, write_archive


def seal_outputs(
    out: BinaryIO,
    *,
    receipt: Receipt,
    files: Iterable[tuple[str, Path | bytes]],
    recipients: Sequence[x509.Certificate],
    randomness: Randomness = os.urandom,
) -> None:
    """Write ``sealed.cms`` to ``out``, for ``write_answer`` with the same ``receipt`` and this file alone.

    ``files`` are outputs as of a plain answer; nothing of them is written in the clear. Raises BundleRefusedError
    like ``write_answer``, and SealRefusedError like ``Sealing``.
    """
    _, measured = measure_answer(receipt, files)
    names = [file.name for file in measured[1:]]
    check_outputs(names)
    for name in names:
        parts_of(name)
    if len(set(names)) < len(names):
        raise BundleRefusedError("zip-duplicate", "two outputs have one name")
    check_coexistence(names)
    archived = [file.archived for file in sorted(measured, key=lambda file: file.name)]
    sealing = Sealing(out, _archive_size(archived), recipients, randomness)
    write_archive(cast(BinaryIO, sealing), archived)  # it only writes
    sealing.finish()


def recipients_of(stated: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    """The certificates that a descriptor states in DER; raises SealRefusedError ``seal-recipient``."""
    try:
        certificates = tuple(map(x509.load_der_x509_certificate, stated))
        for each in certificates:
            RecipientName.of(each)
    except UNREADABLE:
        raise SealRefusedError(
            "seal-recipient", "a recipient's certificate cannot be read; name another and sign again"
        ) from None
    return certificates


def check_sealed_for(answer: OpenedAnswer, recipients: Sequence[x509.Certificate]) -> None:
    """Raise SealRefusedError unless the sealed file states that it is for exactly ``recipients``, and is of its size.

    That much can be told without a key, from the head alone: whether each of them can open it, cannot.
    """
    beginning = io.BytesIO(_beginning(answer.bundle.chunks(SEALED_NAME), 2 * limits.MAX_SEAL_HEAD_BYTES))
    head = read_head(beginning, limits.MAX_SEALED_BYTES)
    if (
        beginning.tell() + head.size + len(encode_tail(bytes(TAG_BYTES)))
        != answer.bundle.entries[SEALED_NAME].size
    ):
        raise SealRefusedError("sealed-form", "the sealed file is not of the size that it states")
    stated = sorted((key.recipient.issuer, key.recipient.serial) for key in head.keys)
    if stated != sorted((name.issuer, name.serial) for name in map(RecipientName.of, recipients)):
        raise SealRefusedError(
            "sealed-recipient", "it is not sealed for exactly the recipients that the job names"
        )


def open_outputs(
    answer: OpenedAnswer, destination: Path, *, key: OpeningKey, certificate: x509.Certificate | None
) -> Receipt:
    """Unpack the sealed outputs of ``answer``, with a receipt of their digests, and return that receipt.

    The new folder ``destination`` appears only when all of this held:

    1. The sealed file is for ``certificate``, whose private key ``key`` is, or with None for that key by whatever
       certificate it was named, and is unchanged (``seal``).
    2. It holds a ZIP of one reading (``zip``), of outputs and a receipt.
    3. The digests of that receipt are those of the files.
    4. It says of the attempt what the answer's receipt says: these are the outputs of this attempt.

    Raises SealRefusedError, BundleRefusedError, FileExistsError and OSError; then nothing is left behind.
    """
    chunks = io.BufferedReader(_Chunks(answer.bundle.chunks(SEALED_NAME)), limits.READ_CHUNK_BYTES)
    with opened_sealed(chunks, destination.parent, key=key, certificate=certificate) as file:  # 1
        archive = read_archive(file)  # 2
        check_outputs(archive.files.keys() - {RECEIPT_NAME})
        digests = {name: _digest(archive, name) for name in archive.files}
        receipt = read_receipt(_whole_receipt(archive), digests)  # 3
        if msgspec.structs.replace(receipt, digests=answer.receipt.digests) != answer.receipt:  # 4
            raise SealRefusedError(
                "sealed-outputs",
                "the sealed outputs are of another attempt than the answer: its compute server took them over",
            )
        unpack_files(
            ((parts_of(name), False, archive.chunks(member)) for name, member in archive.files.items()),
            destination,
        )
    return receipt


def _archive_size(files: Sequence[ArchivedFile]) -> int:
    """The bytes that ``write_archive`` will write; sealing refuses any other number."""
    records = LOCAL.size + CENTRAL.size
    return END.size + sum(records + 2 * len(file.name.encode()) + file.packed[0] for file in files)


def _beginning(chunks: Iterator[bytes], count: int) -> bytes:
    """At least ``count`` bytes of what ``chunks`` yields, or all of it."""
    found = bytearray()
    while len(found) < count and (chunk := next(chunks, b"")):
        found += chunk
    return bytes(found)


def _whole_receipt(archive: ZipArchive) -> bytes:
    member = archive.files.get(RECEIPT_NAME)
    if member is None or member.size > limits.MAX_RECEIPT_BYTES:
        raise SealRefusedError(
            "sealed-outputs", f"{shown(RECEIPT_NAME)} is not among the sealed outputs, or too large"
        )
    return b"".join(archive.chunks(member))


def _digest(archive: ZipArchive, name: str) -> str:
    running = hashlib.sha256()
    for chunk in archive.chunks(archive.files[name]):
        running.update(chunk)
    return running.hexdigest()


class _Chunks(io.RawIOBase):
    """Reads what an iterator yields."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # BufferedReader gives this
        if not self._rest:
            self._rest = next(self._chunks, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
