"""Private keys, their digests, and the PEM files in which keys and certificates rest.

Every key that RJS makes is a P-256 key: the only type that fits every layer (TLS, CMS, ``jarsigner``). A private
key lies in a file of its own that only its owner can read, or only with a passphrase, and is written once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rjs.files import read_small, sync_folder, write_atomically
from rjs.identity.encrypted_keys import encrypted_pem
from rjs.identity.errors import IdentityError
from rjs.ids import SpkiDigest
from rjs.limits import IDENTITY_FILE

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey
Chain = tuple[x509.Certificate, ...]
"""Certificates, leaf first, each issued by the next; the last is the organisation's root."""

AskPassphrase = Callable[[Path], bytes]
"""Gives the passphrase of a file of keys; it is asked only where the file needs one."""


def new_key() -> PrivateKey:
    """A fresh P-256 key from the system's randomness."""
    return ec.generate_private_key(ec.SECP256R1())


def our_public_key(holder: x509.Certificate | x509.CertificateSigningRequest) -> PublicKey:
    """The public key in ``holder``; raises IdentityError unless it is a P-256 key."""
    try:
        key = holder.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IdentityError("key_type", f"the public key cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError("key_type", "the key is not a P-256 key; this cluster uses no other kind")
    return key


def spki_digest(
    holder: PrivateKey | PublicKey | x509.Certificate | x509.CertificateSigningRequest,
) -> SpkiDigest:
    """SHA-256 of the DER SubjectPublicKeyInfo of a key, or of the key that a certificate or request is for."""
    public = holder if isinstance(holder, ec.EllipticCurvePublicKey) else holder.public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return SpkiDigest(hashlib.sha256(public.public_bytes(serialization.Encoding.DER, form)).hexdigest())


def key_pem(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """The file content of ``key``: PKCS#8 PEM, encrypted where there is a passphrase."""
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    if passphrase is None:
        return key.private_bytes(serialization.Encoding.PEM, form, plain)
    return encrypted_pem(key.private_bytes(serialization.Encoding.DER, form, plain), passphrase)


def save_private(path: Path, key: PrivateKey, passphrase: bytes | None = None) -> None:
    """Write ``key`` to a new file at ``path``, readable by its owner only (0600), whole or not at all.

    Durable on return. Raises FileExistsError when there is a file already: a key is never overwritten.
    """
    pem = key_pem(key, passphrase)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)  # is 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)  # unlike a rename, refuses when another process was first
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
    sync_folder(path.parent)


def kept_key(path: Path, passphrase: bytes | None = None) -> PrivateKey:
    """The key in the file at ``path``, made there first when there is none: the same key however often asked."""
    key = new_key()
    try:
        save_private(path, key, passphrase)
    except FileExistsError:
        return load_private(path, None if passphrase is None else lambda _: passphrase)
    return key


def is_encrypted(path: Path) -> bool:
    """Whether the key in the file at ``path`` needs a passphrase."""
    return _needs_passphrase(read_small(path, IDENTITY_FILE))


def load_private(path: Path, ask: AskPassphrase | None = None) -> PrivateKey:
    """The P-256 key in the file at ``path``; ``ask`` is asked for the passphrase of an encrypted one.

    Raises IdentityError when accounts other than the owner's can read a key that is not encrypted, when the
    passphrase is not the right one, or when the file holds no such key; OSError when it cannot be read.
    """
    pem = read_small(path, IDENTITY_FILE)
    encrypted = _needs_passphrase(pem)
    if not encrypted and path.stat().st_mode & 0o077:
        raise IdentityError("key_exposed", f"{path} can be read by others; close it with: chmod 600 {path}")
    if encrypted and ask is None:
        raise IdentityError("passphrase", f"{path} needs a passphrase, and here it cannot be asked for")
    try:
        key = serialization.load_pem_private_key(pem, password=ask(path) if encrypted and ask else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted:
            raise IdentityError("passphrase", f"this passphrase does not open {path}") from error
        raise IdentityError("key_file", f"{path} holds no private key that can be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError("key_type", f"{path} holds no P-256 key; this cluster uses no other kind")
    return key


def _needs_passphrase(pem: bytes) -> bool:
    return b"ENCRYPTED" in pem


def save_chain(path: Path, chain: Sequence[x509.Certificate]) -> None:
    """Replace the PEM file at ``path`` by these certificates (public, so 0644), atomically and durably."""
    pem = b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in chain)
    write_atomically(path, pem, 0o644)


def save_identity(path: Path, key: PrivateKey, chain: Sequence[x509.Certificate]) -> None:
    """Replace the PEM file at ``path`` (0600) by a key with its chain, atomically and durably: both or neither."""
    pem = key_pem(key) + b"".join(
        certificate.public_bytes(serialization.Encoding.PEM) for certificate in chain
    )
    write_atomically(path, pem)


def load_chain(path: Path) -> Chain:
    """The certificates in the PEM file at ``path``, in order. Raises IdentityError when it holds none."""
    try:
        return tuple(x509.load_pem_x509_certificates(read_small(path, IDENTITY_FILE)))
    except ValueError as error:
        raise IdentityError("certificate_file", f"{path} holds no certificate that can be read") from error
