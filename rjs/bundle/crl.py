"""Revocation lists: whether a validated path still stands, by lists that the verifier's caller brings.

No list is fetched and none is believed without its issuer's signature. Given at all, lists are required: a CA
without a fresh one refuses the path. It must be read twice. Reference: RFC 5280 sections 5 and 6.3; only complete
lists by the CA itself count, neither delta lists nor indirect or partitioned ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from rjs.bundle.cms import UNREADABLE, key_of
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.path import subject_of

_PEM: Final = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
_DIGESTS: Final = frozenset(["sha256", "sha384", "sha512"])
_PARTIAL: Final = (x509.DeltaCRLIndicator, x509.IssuingDistributionPoint)

RevocationList = x509.CertificateRevocationList


def load_crls(data: bytes) -> tuple[RevocationList, ...]:
    """Return the lists in ``data``, one in DER or any number in PEM; raises ``revocation-unknown`` for all else."""
    try:
        if encoded := _PEM.findall(data):
            return tuple(x509.load_pem_x509_crl(each) for each in encoded)
        return (x509.load_der_x509_crl(data),)
    except UNREADABLE:
        raise BundleRefusedError(
            "revocation-unknown", "a revocation list cannot be read; give PEM or DER as its CA published it"
        ) from None


def complete_serials(lists: Iterable[RevocationList], issuer: x509.Certificate) -> set[int] | None:
    """The serial numbers in the complete lists among these that ``issuer`` signed; None where there is none."""
    complete = [each for each in lists if _is_complete(each, issuer)]
    return {entry.serial_number for each in complete for entry in each} if complete else None


def check_revocation(
    path: Sequence[x509.Certificate], lists: Iterable[RevocationList], *, at: datetime
) -> None:
    """Refuse the validated ``path``, leaf first, unless its CAs' lists prove each certificate below the root good.

    1. No complete list that the issuer signed names the certificate, however old the list is.
    2. One of these lists is fresh: ``at`` lies within its thisUpdate and nextUpdate.

    Raises ``revoked`` and ``revocation-unknown``.
    """
    given = tuple(lists)
    for certificate, issuer in pairwise(path):
        complete = [each for each in given if _is_complete(each, issuer)]
        if any(_names(each, certificate) for each in complete):  # 1
            raise BundleRefusedError(
                "revoked",
                f"the certificate of {subject_of(certificate)} was revoked by {subject_of(issuer)}; "
                f"sign with another key",
            )
        if not any(_is_fresh(each, at) for each in complete):  # 2
            raise BundleRefusedError(
                "revocation-unknown",
                f"no valid revocation list of {subject_of(issuer)} is fresh at {at:%Y-%m-%d %H:%M:%SZ}; "
                f"get its current one",
            )


def _is_complete(revocations: RevocationList, issuer: x509.Certificate) -> bool:
    """Whether ``issuer`` signed this list, may sign lists, and speaks in it of all of its certificates."""
    try:
        return (
            revocations.issuer.public_bytes() == issuer.subject.public_bytes()
            and issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
            and _is_signed(revocations, issuer)
            and not any(each.critical or isinstance(each.value, _PARTIAL) for each in revocations.extensions)
            # RFC 5280 section 5.3: a critical entry extension that is not processed spoils the whole list
            and not any(each.critical for entry in revocations for each in entry.extensions)
        )
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False


def _is_signed(revocations: RevocationList, issuer: x509.Certificate) -> bool:
    key, digest = key_of(issuer), revocations.signature_hash_algorithm
    match key:
        case ed25519.Ed25519PublicKey():
            return revocations.is_signature_valid(key)
        case rsa.RSAPublicKey() | ec.EllipticCurvePublicKey():
            strong = digest is not None and digest.name in _DIGESTS
            return strong and revocations.is_signature_valid(key)
        case _:
            return False


def _names(revocations: RevocationList, certificate: x509.Certificate) -> bool:
    return revocations.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None


def _is_fresh(revocations: RevocationList, at: datetime) -> bool:
    """Whether ``at`` lies within the list's times; a list without nextUpdate never is (RFC 5280 section 5.1.2.5)."""
    end = revocations.next_update_utc
    return end is not None and revocations.last_update_utc <= at <= end
