"""Certificates of other CAs: whether one leads to a CA, and whom it names. What it may do here is said elsewhere.

Such a certificate opens no door but the one where its holder asks for a token, and is never a caller's, a signer's or
an answer's of ours: its keys and extensions need not have our forms. It must be read twice. Reference: RFC 5280
section 6, by ``cryptography.x509.verification``; what that leaves open is checked here.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import re
from collections import Counter
from collections.abc import Sequence

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from cryptography.x509.verification import (
    ClientVerifier,
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from rjs.identity.errors import IdentityError
from rjs.identity.names import RjsName, Role
from rjs.identity.paths import check_periods
from rjs.identity.profiles import readable_extensions, subject_text
from rjs.limits import FOREIGN_CERTIFICATE, FOREIGN_CHAIN, MAX_RSA_BITS, MIN_RSA_BITS

ForeignPublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
ForeignPrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_TWINS = 2
"""Certificates of one CA that are shown at most: its own root, and one by another CA."""

_EMAIL = re.compile(r"[\x21-\x3f\x41-\x7e]{1,64}@[A-Za-z0-9.-]{1,253}")


class Usage(enum.StrEnum):
    """Which extended key usages of a certificate serve: for TLS clients, for e-mail too, or whatever they are."""

    CLIENT = "client"
    EMAIL = "email"
    ANY = "any"


_SERVING = {
    Usage.CLIENT: {ExtendedKeyUsageOID.CLIENT_AUTH},
    Usage.EMAIL: {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.EMAIL_PROTECTION},
}


@attrs.frozen
class ForeignIdentity:
    """A private key with its certificate by another CA and those of the CAs above it, leaf first."""

    key: ForeignPrivateKey = attrs.field(repr=False)
    chain: tuple[x509.Certificate, ...]

    @property
    def leaf(self) -> x509.Certificate:
        """The holder's own certificate."""
        return self.chain[0]


def guest_name(leaf: x509.Certificate) -> RjsName:
    """The name under which the holder of this certificate calls: by its SHA-256, whatever it says of itself."""
    return RjsName(Role.GUEST, hashlib.sha256(leaf.public_bytes(Encoding.DER)).hexdigest())


def read_foreign_chain(encoded: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    """The certificates in these DER encodings. Raises IdentityError when there are none, too many, or one is
    malformed."""
    if not 1 <= len(encoded) <= FOREIGN_CHAIN or any(len(der) > FOREIGN_CERTIFICATE for der in encoded):
        raise IdentityError(
            "unreadable", f"give 1 to {FOREIGN_CHAIN} certificates of {FOREIGN_CERTIFICATE} bytes at most"
        )
    return tuple(_read(der) for der in encoded)


def _read(der: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.subject, certificate.issuer  # parsed when first asked for: here, and nowhere later
    except (ValueError, x509.InvalidVersion, CryptographyDeprecationWarning) as error:
        raise IdentityError("unreadable", f"a certificate cannot be read: {error}") from error
    foreign_public_key(certificate)
    readable_extensions(certificate)
    return certificate


def foreign_public_key(certificate: x509.Certificate) -> ForeignPublicKey:
    """Its key, when that is RSA of 2,048 bits or more, or of P-256, P-384 or P-521. Raises IdentityError."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise IdentityError("key_type", f"the public key cannot be read: {error}") from error
    if isinstance(key, rsa.RSAPublicKey) and MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    raise IdentityError(
        "key_type",
        f"the key of {subject_text(certificate)} is neither RSA of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits nor of "
        f"P-256, P-384 or P-521",
    )


def check_ca(ca: x509.Certificate, now: dt.datetime) -> None:
    """Refuse to accept what can vouch for nobody: no CA's certificate, or not valid at ``now``."""
    foreign_public_key(ca)
    extensions = readable_extensions(ca)
    check_periods([ca], now)
    try:
        basic = extensions.get_extension_for_class(x509.BasicConstraints)
        usage = extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound as error:
        raise IdentityError("ca", f"{subject_text(ca)} is no CA's certificate: {error}") from error
    if not (basic.critical and basic.value.ca and usage.value.key_cert_sign):
        raise IdentityError("ca", f"{subject_text(ca)} is no CA's certificate: it may certify nobody")
    if any(extension.oid == ExtensionOID.NAME_CONSTRAINTS for extension in extensions):
        raise IdentityError(
            "ca",
            f"{subject_text(ca)} has name constraints, which are not evaluated here; accept a CA below it",
        )


def foreign_path(
    chain: Sequence[x509.Certificate], ca: x509.Certificate, usage: Usage, now: dt.datetime
) -> tuple[x509.Certificate, ...]:
    """The path from the first certificate of ``chain`` to ``ca``, leaf first. Raises IdentityError.

    1. The leaf is no CA's, may sign, and its usages are among those that serve.
    2. Its key and those of all CAs are of a kind and strength that count.
    3. A path of at least two certificates leads to ``ca``: signatures, names, dates, CA flags, path lengths, usages.
    4. No CA on it has name constraints, which are not evaluated here.

    Of CAs of one name no more than a few are tried: with many a stranger would have every order of them verified.
    """
    leaf, *others = chain
    (_, twins), *_ = Counter(each.subject for each in chain).most_common(1)
    if twins > _TWINS:
        raise IdentityError("chain_length", f"{twins} certificates of one name are shown; show one path")
    _check_leaf(leaf, usage)  # 1
    for certificate in (*chain, ca):  # 2
        foreign_public_key(certificate)
    check_periods([leaf, ca], now)  # 3, in words
    try:
        path = _verifier(ca, usage, now).verify(leaf, [each for each in others if each != ca]).chain  # 3, 4
    except (VerificationError, ValueError) as error:
        raise IdentityError(
            "other_root",
            f"no valid path leads from the certificate of {subject_text(leaf)} to {subject_text(ca)}: {error}",
        ) from error
    if len(path) < 2:
        raise IdentityError("other_root", f"{subject_text(leaf)} vouches for itself")
    return tuple(path)


def emails_of(leaf: x509.Certificate) -> list[str]:
    """The e-mail addresses among its alternative names, in their order; those in its subject do not count.

    Raises IdentityError for one that is not plain ASCII of the form LOCAL@DOMAIN.
    """
    try:
        names = readable_extensions(leaf).get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    found = names.get_values_for_type(x509.RFC822Name)
    for each in found:
        if not _EMAIL.fullmatch(each):
            raise IdentityError(
                "email", f"{each!r} is no e-mail address of the form LOCAL@DOMAIN in plain ASCII"
            )
    return found


def _check_leaf(leaf: x509.Certificate, usage: Usage) -> None:
    found = {extension.oid: extension.value for extension in readable_extensions(leaf)}
    basic, key_usage = found.get(ExtensionOID.BASIC_CONSTRAINTS), found.get(ExtensionOID.KEY_USAGE)
    if isinstance(basic, x509.BasicConstraints) and basic.ca:
        raise IdentityError("usage", f"{subject_text(leaf)} is a CA; present a certificate of your own")
    if isinstance(key_usage, x509.KeyUsage) and not key_usage.digital_signature:
        raise IdentityError("usage", f"the certificate of {subject_text(leaf)} is not for digital signatures")
    extended = found.get(ExtensionOID.EXTENDED_KEY_USAGE)
    if isinstance(extended, x509.ExtendedKeyUsage) and not _serves(extended, usage):
        raise IdentityError(
            "usage",
            f"the certificate of {subject_text(leaf)} is not for {usage.value} use, which is accepted here",
        )


def _serves(extended: x509.ExtendedKeyUsage, usage: Usage) -> bool:
    serving = _SERVING.get(usage)
    return serving is None or not serving.isdisjoint(extended) or _ANY in extended


_ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


def _verifier(ca: x509.Certificate, usage: Usage, now: dt.datetime) -> ClientVerifier:
    def check_basic(policy: Policy, certificate: x509.Certificate, value: x509.BasicConstraints) -> None:
        if not value.ca:
            raise ValueError("an issuer is not a CA")

    def check_usage(policy: Policy, certificate: x509.Certificate, value: x509.KeyUsage) -> None:
        if not value.key_cert_sign:
            raise ValueError("an issuer may not sign certificates")

    def check_extended(
        policy: Policy, certificate: x509.Certificate, value: x509.ExtendedKeyUsage | None
    ) -> None:
        if value is not None and not _serves(value, usage):
            raise ValueError("an issuer may not certify for this use")

    cas = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.CRITICAL, check_basic)
        .require_present(x509.KeyUsage, Criticality.AGNOSTIC, check_usage)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, check_extended)
        .require_not_present(x509.NameConstraints)
    )
    return (
        PolicyBuilder()
        .store(Store([ca]))
        .time(now)
        .max_chain_depth(FOREIGN_CHAIN)
        .extension_policies(ee_policy=ExtensionPolicy.permit_all(), ca_policy=cas)
        .build_client_verifier()
    )
