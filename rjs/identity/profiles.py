"""Every kind of certificate that a cluster knows, as one table.

A certificate *is* of a kind when its extensions say exactly that, no more and no less, and it *counts* only when a
certificate of the table's issuing kind issued it (``paths.py``). So what each authority cannot mint is visible
here: no row below TOKEN_INTERMEDIATE signs answers, and none below ENROLMENT_CA is a caller with a role.
"""

from __future__ import annotations

import enum
import functools

import attrs
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from rjs.identity.errors import IdentityError
from rjs.identity.oids import ACCEPTANCE_EKU, ANSWER_EKU, ENROLMENT_EKU, READER_EKU, RECORD_EKU

_CLIENT, _SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


class Kind(enum.Enum):
    """What a certificate is for, in words for people."""

    ROOT = "organisation root"
    ENROLMENT_CA = "enrolment CA"
    TOKEN_INTERMEDIATE = "token intermediate"  # noqa: S105  # a kind of certificate, no password
    TOKEN = "token certificate"  # noqa: S105
    JOB_TOKEN = "job token"  # noqa: S105
    INVITATION = "invitation"
    CS_INVITATION = "compute server's invitation"
    ANSWER = "answer certificate"
    SIGNING = "signing certificate"
    ENCRYPTION = "encryption certificate"
    RECORD = "record certificate"
    ACCEPTANCE = "acceptance certificate"


@attrs.frozen
class Profile:
    """The exact extensions of one kind. ``path_length`` counts CAs below a CA; ``is_ca`` tells the leaf."""

    kind: Kind
    issuer: Kind
    key_usage: x509.KeyUsage
    extended: frozenset[x509.ObjectIdentifier] = frozenset()
    is_ca: bool = False
    path_length: int | None = None
    has_uri: bool = True

    def constraints(self) -> x509.BasicConstraints:
        """The basic constraints extension of this kind."""
        return x509.BasicConstraints(ca=self.is_ca, path_length=self.path_length)


def _usage(*, sign: bool, certify: bool, revoke: bool = False, agree: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=agree,
        key_cert_sign=certify,
        crl_sign=revoke,
        encipher_only=False,
        decipher_only=False,
    )


_LEAF = _usage(sign=True, certify=False)
_CA = _usage(sign=False, certify=True, revoke=True)
_INTERMEDIATE = _usage(sign=False, certify=True)
_READER = _usage(sign=False, certify=False, agree=True)
_ONE_TIME = _usage(sign=True, certify=True)  # answers for the TLS handshake and certifies one answer key

PROFILES = {
    profile.kind: profile
    for profile in (
        Profile(Kind.ROOT, Kind.ROOT, _CA, is_ca=True, has_uri=False),
        Profile(
            Kind.ENROLMENT_CA,
            Kind.ROOT,
            _INTERMEDIATE,
            frozenset({ENROLMENT_EKU, ANSWER_EKU, _CLIENT}),
            is_ca=True,
            path_length=1,
            has_uri=False,
        ),
        Profile(
            Kind.TOKEN_INTERMEDIATE,
            Kind.ROOT,
            _INTERMEDIATE,
            frozenset({_SERVER, _CLIENT}),
            is_ca=True,
            path_length=0,
            has_uri=False,
        ),
        Profile(Kind.TOKEN, Kind.TOKEN_INTERMEDIATE, _LEAF, frozenset({_SERVER, _CLIENT})),
        Profile(Kind.JOB_TOKEN, Kind.TOKEN_INTERMEDIATE, _LEAF, frozenset({_CLIENT})),
        Profile(
            Kind.INVITATION, Kind.ENROLMENT_CA, _ONE_TIME, frozenset({_CLIENT}), is_ca=True, path_length=0
        ),
        Profile(
            Kind.CS_INVITATION,
            Kind.ENROLMENT_CA,
            _ONE_TIME,
            frozenset({_CLIENT, ANSWER_EKU}),
            is_ca=True,
            path_length=0,
        ),
        Profile(Kind.ANSWER, Kind.CS_INVITATION, _LEAF, frozenset({ANSWER_EKU})),
        Profile(Kind.SIGNING, Kind.ROOT, _LEAF, frozenset({ExtendedKeyUsageOID.CODE_SIGNING})),
        Profile(Kind.ENCRYPTION, Kind.ROOT, _READER, frozenset({READER_EKU})),
        Profile(Kind.RECORD, Kind.ROOT, _LEAF, frozenset({RECORD_EKU}), has_uri=False),
        Profile(Kind.ACCEPTANCE, Kind.ROOT, _LEAF, frozenset({ACCEPTANCE_EKU}), has_uri=False),
    )
}


# Issuers are judged at every handshake. Whoever fills this with certificates of one's own costs us time and no more.
@functools.lru_cache(maxsize=256)
def profile_of(certificate: x509.Certificate) -> Profile:
    """The kind that ``certificate`` has exactly; raises IdentityError when it has none of ours."""
    extensions = list(readable_extensions(certificate))
    for profile in PROFILES.values():
        if _fits(profile, extensions):
            return profile
    raise IdentityError(
        "kind",
        f"the certificate of {subject_text(certificate)} is of no kind that a cluster issues: "
        f"its extensions are not exactly those of any",
    )


def _fits(profile: Profile, extensions: list[x509.Extension[x509.ExtensionType]]) -> bool:
    found = {extension.oid: extension for extension in extensions}
    usages = found.get(ExtensionOID.EXTENDED_KEY_USAGE)
    extended = list(usages.value) if usages and isinstance(usages.value, x509.ExtendedKeyUsage) else []
    return (
        {oid: extension.critical for oid, extension in found.items()} == _criticality(profile)
        and found[ExtensionOID.BASIC_CONSTRAINTS].value == profile.constraints()
        and found[ExtensionOID.KEY_USAGE].value == profile.key_usage
        and len(extended) == len(profile.extended)
        and frozenset(extended) == profile.extended
    )


def _criticality(profile: Profile) -> dict[x509.ObjectIdentifier, bool]:
    """Which extensions a certificate of this kind has, all of them, and whether each is critical."""
    expected = {
        ExtensionOID.BASIC_CONSTRAINTS: True,
        ExtensionOID.KEY_USAGE: True,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: False,
    }
    if profile.kind is not Kind.ROOT:
        expected[ExtensionOID.AUTHORITY_KEY_IDENTIFIER] = False
    if profile.extended:
        expected[ExtensionOID.EXTENDED_KEY_USAGE] = False
    if profile.has_uri:
        expected[ExtensionOID.SUBJECT_ALTERNATIVE_NAME] = False
    return expected


def readable_extensions(certificate: x509.Certificate | x509.CertificateSigningRequest) -> x509.Extensions:
    """The extensions of a certificate or request; raises IdentityError when they cannot be parsed."""
    try:
        return certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise IdentityError("unreadable", f"the extensions cannot be read: {error}") from error


def subject_text(certificate: x509.Certificate) -> str:
    """The subject as RFC 4514 text, for messages only: names are compared as URIs, never as joined text."""
    try:
        return repr(certificate.subject.rfc4514_string())
    except ValueError:
        return "somebody without a readable name"
