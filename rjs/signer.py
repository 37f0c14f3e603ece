"""Who signs: a key with its certificates up to a root, of our own making or of any other CA.

A certificate that no verifier would take is refused here, before anything is signed, with what to ask the CA for.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rjs.bundle.cms import UNREADABLE, SigningKey
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.path import CODE_SIGNING, subject_of, validate_path
from rjs.errors import RefusedError
from rjs.identity.keys import AskPassphrase
from rjs.key_files import KeyFile, read_pem, read_pkcs12
from rjs.state import signing_identity

_SPKI: Final = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
_ASK_CA: Final = (
    "ask the CA for a certificate with the key usage digitalSignature and the extended key usage codeSigning "
    "(1.3.6.1.5.5.7.3.3), which is no CA's"
)


class SignerError(RefusedError):
    """A key or certificate cannot sign; the sentence says what would."""

    def __init__(self, sentence: str) -> None:
        super().__init__("signer", sentence)


@attrs.frozen
class SigningIdentity:
    """A private key, and the chain from its certificate to the root."""

    key: SigningKey = attrs.field(repr=False)
    chain: tuple[x509.Certificate, ...]

    @property
    def subject(self) -> str:
        """Whom the certificate names, for people."""
        return subject_of(self.chain[0])


def own_signer(folder: Path, ask: AskPassphrase | None = None) -> SigningIdentity:
    """The signer in ``folder``: one with ``signing.key`` and ``signing.pem``, or a person's own folder.

    ``ask`` is asked for the passphrase of an encrypted key.
    """
    identity = signing_identity(folder, ask)
    return SigningIdentity(identity.key, identity.chain)


def pem_signer(key: Path, certificates: Path, *, ask: AskPassphrase, now: datetime) -> SigningIdentity:
    """The signer of a PEM key, and of PEM certificates in any order, its own and those of the CAs above.

    Raises SignerError; KeyFileError; RefusedError for a certificate that cannot sign at ``now``; OSError.
    """
    return _signer(read_pem(key, certificates, ask), now)


def pkcs12_signer(path: Path, *, ask: AskPassphrase, now: datetime) -> SigningIdentity:
    """The signer in a PKCS#12 file (``.p12``, ``.pfx``); raises like ``pem_signer``."""
    return _signer(read_pkcs12(path, ask), now)


def _signer(file: KeyFile, now: datetime) -> SigningIdentity:
    """Find the key's certificate and its path to the root, as every verifier will."""
    key, certificates = file.key, file.certificates
    if not isinstance(key, SigningKey):
        raise SignerError("the private key is not of P-256, P-384, RSA or Ed25519")
    own = [each for each in certificates if _public(each) == key.public_key().public_bytes(*_SPKI)]
    if not own:
        raise SignerError(
            "none of the certificates belongs to the private key; give the one that was issued for it"
        )
    others = _once(each for each in certificates if each != own[0])
    try:
        return SigningIdentity(key, validate_path(own[0], others, roots=None, at=now, purpose=CODE_SIGNING))
    except BundleRefusedError as error:
        if error.code == "certificate":
            raise SignerError(f"{error.sentence}; {_ASK_CA}") from None
        if error.code == "path":
            raise SignerError(_no_path(own[0])) from None
        raise


def _no_path(certificate: x509.Certificate) -> str:
    return (
        f"no path leads from the certificate of {subject_of(certificate)} to a root; give the certificates of "
        "all CAs above it too, the root's among them, in one file"
    )


def _public(certificate: x509.Certificate) -> bytes:
    try:
        return certificate.public_key().public_bytes(*_SPKI)
    except UNREADABLE:
        return b""


def _once(certificates: Iterable[x509.Certificate]) -> list[x509.Certificate]:
    return list(dict.fromkeys(certificates))
