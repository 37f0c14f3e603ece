"""Seals a stream for the holders of certificates, and opens it again: all of it, unchanged, or nothing at all.

The form is CMS AuthEnvelopedData with AES-256-GCM, which ``openssl cms -decrypt`` opens as well; ``docs/sealing.md``
describes it. Memory stays flat whatever the size. It says nothing about who sealed: a signature around it does.
It must be read twice.

    seal(source, size, out, [certificate])
    open_sealed(source, path, key=key, certificate=certificate)
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from rjs import limits
from rjs.bundle.cms_enveloped import (
    KEY_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    Head,
    encode_head,
    encode_tail,
    read_head,
    read_tail,
)
from rjs.bundle.seal_errors import SealRefusedError
from rjs.bundle.seal_keys import OpeningKey, unwrap_key, wrap_key

Randomness = Callable[[int], bytes]


class Writable(Protocol):
    """What takes bytes."""

    def write(self, data: bytes, /) -> object: ...


class Sealing:
    """A sealed file under way to ``out``: takes ``size`` bytes by ``write``, and is complete after ``finish``.

    ``randomness`` gives the content key and the nonce; it must be fit for keys. Raises SealRefusedError
    ``seal-recipient`` and ``seal-input``; then what ``out`` has got is to be thrown away.
    """

    def __init__(
        self,
        out: Writable,
        size: int,
        recipients: Sequence[x509.Certificate],
        randomness: Randomness = os.urandom,
    ) -> None:
        if not 0 <= size <= limits.MAX_SEALED_BYTES:
            raise SealRefusedError("seal-input", f"more than {limits.MAX_SEALED_BYTES} bytes are not sealed")
        content_key, nonce = randomness(KEY_BYTES), randomness(NONCE_BYTES)
        keys = wrap_key(content_key, recipients)
        self._encryptor = Cipher(AES(content_key), GCM(nonce)).encryptor()
        self._out = out
        self._left = size
        out.write(encode_head(Head(keys, nonce, size)))

    def write(self, data: bytes) -> int:
        """Seal ``data``, which follows what was written before."""
        self._left -= len(data)
        if self._left < 0:
            raise _size_refused()
        self._out.write(self._encryptor.update(data))
        return len(data)

    def finish(self) -> None:
        """Write what proves that nothing was changed; exactly ``size`` bytes must have been written."""
        if self._left:
            raise _size_refused()
        self._encryptor.finalize()
        self._out.write(encode_tail(self._encryptor.tag))


def seal(
    source: BinaryIO,
    size: int,
    out: BinaryIO,
    recipients: Sequence[x509.Certificate],
    randomness: Randomness = os.urandom,
) -> None:
    """Seal the ``size`` bytes that are left in ``source``; parameters and errors as of ``Sealing``."""
    sealing = Sealing(out, size, recipients, randomness)
    while chunk := source.read(limits.READ_CHUNK_BYTES):
        sealing.write(chunk)
    sealing.finish()


def open_sealed(
    source: BinaryIO, out: Path, *, key: OpeningKey, certificate: x509.Certificate | None
) -> None:
    """Write the content to the new file ``out`` (0600), which appears only when all of it was proven unchanged.

    ``source`` is read to its end, once; for ``certificate`` see ``unwrap_key``. Raises SealRefusedError, whatever the
    bytes; FileExistsError; OSError.
    """
    with opened_sealed(source, out.parent, key=key, certificate=certificate) as file:
        out.hardlink_to(file.name)  # unlike a rename, refuses to replace


@contextmanager
def opened_sealed(
    source: BinaryIO, folder: Path, *, key: OpeningKey, certificate: x509.Certificate | None
) -> Iterator[BinaryIO]:
    """Lend the proven content as an open private file in ``folder``, which is gone afterwards.

    Raises like ``open_sealed``. A process killed in here leaves at most one ``.sealed.*.part``, unproven.
    """
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".sealed.", suffix=".part") as file:  # is 0600
        _decrypt(source, file, key, certificate, limits.MAX_SEALED_BYTES)
        file.seek(0)
        yield cast(BinaryIO, file)


def open_sealed_bytes(
    data: bytes, limit: int, *, key: OpeningKey, certificate: x509.Certificate | None
) -> bytes:
    """Return the content, at most ``limit`` bytes of it, of the sealed ``data``; raises SealRefusedError."""
    out = io.BytesIO()
    _decrypt(io.BytesIO(data), out, key, certificate, limit)
    return out.getvalue()


def _decrypt(
    source: BinaryIO, out: Writable, key: OpeningKey, certificate: x509.Certificate | None, limit: int
) -> None:
    """Write the content to ``out``. Nothing of it is proven, or may be used, before this returns."""
    head = read_head(source, limit)
    content_key = unwrap_key(head.keys, key, certificate)
    decryptor = Cipher(AES(content_key), GCM(head.nonce, min_tag_length=TAG_BYTES)).decryptor()
    left = head.size
    while left:
        chunk = source.read(min(left, limits.READ_CHUNK_BYTES))
        if not chunk:
            raise SealRefusedError("sealed-data", "the sealed file ends too early; get it again")
        left -= len(chunk)
        out.write(decryptor.update(chunk))
    try:
        decryptor.finalize_with_tag(read_tail(source))
    except InvalidTag:
        raise SealRefusedError("sealed-data", "it was changed after sealing; get it again") from None


def _size_refused() -> SealRefusedError:
    return SealRefusedError("seal-input", "the content is not of the size that was stated; seal it again")
