"""A person's encryption key: what opens the answers that were sealed for its owner.

=========================  ==================================================================================
``encryption.key``         made here, and never replaced: what was sealed for it must stay readable
``encryption.pem``         its certificate: self-signed at first, so that it serves at once; then the operator's
``encryption-request.pem`` what the operator certifies: ``rjs ca issue CADIR encryption-request.pem``
=========================  ==================================================================================

A signed descriptor names the certificate, and nobody judges who issued it. The operator's says to colleagues whose it
is. Whatever certificate something was sealed for, the key opens it.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from rjs.files import read_small, write_atomically
from rjs.identity.certificates import organisation_of, self_signed_reader, sole_uri
from rjs.identity.errors import IdentityError
from rjs.identity.keys import (
    AskPassphrase,
    PrivateKey,
    is_encrypted,
    kept_key,
    load_chain,
    load_private,
    save_chain,
    spki_digest,
)
from rjs.identity.names import reader_account, reader_uri
from rjs.identity.passphrases import finish_change
from rjs.identity.profiles import Kind, profile_of
from rjs.identity.requests import make_request, read_request
from rjs.limits import ENCRYPTION_RENEWAL, IDENTITY_FILE

_KEY, _CERTIFICATE, _REQUEST = "encryption.key", "encryption.pem", "encryption-request.pem"
_RENEWAL = dt.timedelta(seconds=ENCRYPTION_RENEWAL)


def make_encryption_key(
    folder: Path, account: str, organisation: str, now: dt.datetime, ask: AskPassphrase | None = None
) -> Path:
    """Have an encryption key of ``account`` in ``folder``, with its request, which is returned, and a certificate.

    A key that is there stays, and so does its certificate unless that is another key's, has ended, or would soon and
    is self-signed. A new key gets the passphrase of the signing key beside it. Raises IdentityError, OSError.
    """
    finish_change(folder)
    path = folder / _KEY
    key = load_private(path, ask) if path.exists() else kept_key(path, _passphrase_beside(folder, ask))
    request = make_request(key, reader_uri(account), account).public_bytes(serialization.Encoding.PEM)
    write_atomically(folder / _REQUEST, request, 0o644)
    if not _serves(folder, key, now):
        _sign_self(folder, key, account, organisation, now)
    return folder / _REQUEST


def encryption_key(folder: Path, ask: AskPassphrase | None = None) -> PrivateKey:
    """The encryption key in ``folder``. Raises IdentityError that says how to make one where there is none."""
    finish_change(folder)
    _require(folder / _KEY)
    return load_private(folder / _KEY, ask)


def encryption_certificate(
    folder: Path, now: dt.datetime, ask: AskPassphrase | None = None
) -> x509.Certificate:
    """The certificate that a job names as its recipient's; a self-signed one that ends soon is made anew first.

    Only for that ``ask`` is asked. Raises IdentityError where there is none, or the operator's has ended.
    """
    _require(folder / _CERTIFICATE)
    certificate = _read_certificate(folder)
    if not _is_due(certificate, now):
        return certificate
    if certificate.issuer != certificate.subject:
        raise IdentityError(
            "expired",
            f"your encryption certificate was valid until {certificate.not_valid_after_utc:%Y-%m-%d}; make another "
            f"with rjs cert request --encryption, and have the operator certify it again if others seal for you",
        )
    key, account = encryption_key(folder, ask), reader_account(sole_uri(certificate))
    return _sign_self(folder, key, account, organisation_of(certificate), now)


def _sign_self(
    folder: Path, key: PrivateKey, account: str, organisation: str, now: dt.datetime
) -> x509.Certificate:
    certificate = self_signed_reader(key, reader_uri(account), account, organisation, now)
    save_chain(folder / _CERTIFICATE, [certificate])
    return certificate


def _serves(folder: Path, key: PrivateKey, now: dt.datetime) -> bool:
    """Whether the certificate in ``folder`` is for ``key`` and need not be made anew."""
    if not (folder / _CERTIFICATE).exists():
        return False
    certificate = load_chain(folder / _CERTIFICATE)[0]
    return spki_digest(certificate) == spki_digest(key) and not _is_due(certificate, now)


def _is_due(certificate: x509.Certificate, now: dt.datetime) -> bool:
    """Whether a certificate has ended, or would soon and can be made anew without anybody's help."""
    self_signed = certificate.issuer == certificate.subject
    return now > certificate.not_valid_after_utc - (_RENEWAL if self_signed else dt.timedelta(0))


def _read_certificate(folder: Path) -> x509.Certificate:
    certificate = load_chain(folder / _CERTIFICATE)[0]
    if profile_of(certificate).kind is not Kind.ENCRYPTION:
        raise IdentityError("kind", f"{folder / _CERTIFICATE} does not hold an encryption certificate")
    request = folder / _REQUEST
    if request.exists():
        asked, _ = read_request(read_small(request, IDENTITY_FILE))
        if spki_digest(asked) != spki_digest(certificate):
            raise IdentityError(
                "key_mismatch",
                f"{folder / _CERTIFICATE} is not for your key; put yours there, or make one with: "
                f"rjs cert request --encryption",
            )
    return certificate


def _passphrase_beside(folder: Path, ask: AskPassphrase | None) -> bytes | None:
    signing = folder / "signing.key"
    if not signing.exists() or not is_encrypted(signing):
        return None
    load_private(signing, ask)  # a mistyped passphrase must not protect the new key
    assert ask is not None
    return ask(signing)


def _require(path: Path) -> None:
    if not path.exists():
        raise IdentityError(
            "no_encryption_key",
            "you have no encryption key yet (it came with a later release than your folder); make one with: "
            "rjs cert request --encryption",
        )
