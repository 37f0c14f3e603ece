"""Judging a chain of certificates against one organisation root.

A chain counts when

1. it has two to five certificates, leaf first, and ends in the pinned root, byte for byte, which is in it once,
2. each is for a P-256 key, is signed with ECDSA and SHA-256, has a positive serial number, and has exactly the
   extensions of one kind (``profiles.py``),
3. each is issued by a certificate of the kind that issues its kind,
4. each carries its issuer's name and signature, and
5. each is within its period at the time asked for.

``check_kinds`` does 1 to 3, which is what TLS leaves open; ``check_chain`` does all. Nothing here reads a clock.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import SignatureAlgorithmOID

from rjs.identity.errors import IdentityError
from rjs.identity.keys import Chain, our_public_key
from rjs.identity.profiles import Kind, profile_of, readable_extensions, subject_text
from rjs.limits import CERTIFICATE, CHAIN_LENGTH


def read_chain(encoded: Sequence[bytes]) -> Chain:
    """The certificates in these DER encodings; raises IdentityError when there are too many or one is malformed."""
    if len(encoded) > CHAIN_LENGTH or any(len(der) > CERTIFICATE for der in encoded):
        raise IdentityError(
            "unreadable", f"a chain has at most {CHAIN_LENGTH} certificates of {CERTIFICATE} bytes"
        )
    return tuple(_read(der) for der in encoded)


def chain_der(chain: Iterable[x509.Certificate]) -> tuple[bytes, ...]:
    """The form in which a chain travels: see ``read_chain``."""
    return tuple(each.public_bytes(Encoding.DER) for each in chain)


def _read(der: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.subject, certificate.issuer  # parsed when first asked for: here, and nowhere later
    except (ValueError, x509.InvalidVersion, CryptographyDeprecationWarning) as error:
        raise IdentityError("unreadable", f"a certificate cannot be read: {error}") from error
    our_public_key(certificate)
    readable_extensions(certificate)
    return certificate


def check_chain(chain: Chain, root: x509.Certificate, now: dt.datetime | None) -> Kind:
    """The kind of the leaf of a chain that passes steps 1 to 5; ``now=None`` leaves out step 5."""
    kind = check_kinds(chain, root)
    for certificate, issuer in pairwise([*chain, root]):  # 4
        _check_issued(certificate, issuer)
    if now is not None:
        check_periods(chain, now)  # 5
    return kind


def check_kinds(chain: Chain, root: x509.Certificate) -> Kind:
    """The kind of the leaf of a chain that passes steps 1 to 3. Raises IdentityError naming what is wrong."""
    if not 2 <= len(chain) <= CHAIN_LENGTH:  # 1
        raise IdentityError("chain_length", f"a chain has 2 to {CHAIN_LENGTH} certificates, not {len(chain)}")
    if chain[-1] != root or root in chain[:-1]:
        raise IdentityError("other_root", "the certificate does not lead to this organisation's root")
    profiles = []
    for certificate in chain:  # 2
        our_public_key(certificate)
        if certificate.serial_number <= 0:
            raise IdentityError("serial", "a certificate's serial number is not positive")
        if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
            raise IdentityError("signature_type", "a certificate is not signed with ECDSA and SHA-256")
        profiles.append(profile_of(certificate))
    for profile, issuer in pairwise([*profiles, profiles[-1]]):  # 3
        if profile.issuer is not issuer.kind:
            raise IdentityError(
                "issuer",
                f"a {profile.kind.value} counts only from a {profile.issuer.value}, not a {issuer.kind.value}",
            )
    return profiles[0].kind


def check_periods(chain: Iterable[x509.Certificate], now: dt.datetime) -> None:
    """Refuse the first certificate that is not valid at ``now``."""
    for certificate in chain:
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if now < start:
            raise IdentityError(
                "not_yet_valid",
                f"{subject_text(certificate)} is valid from {start}; {if_wrong(now)}",
            )
        if now > end:
            raise IdentityError(
                "expired", f"{subject_text(certificate)} was valid until {end}; {if_wrong(now)}"
            )


def if_wrong(now: dt.datetime) -> str:
    """What to do where a date does not fit because of the clock that says ``now``. It may be that of another machine
    than the reader's, who is told what it said."""
    return f"the clock that this was judged by said {now:%Y-%m-%d %H:%M:%S}Z: if that is wrong, set it right first"


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise IdentityError(
            "signature", f"{subject_text(certificate)} was not signed by {subject_text(issuer)}"
        ) from error
