"""Making certificates: the one place that builds them, from the table in ``profiles.py``."""

from __future__ import annotations

import datetime as dt

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from rjs.identity.errors import IdentityError
from rjs.identity.keys import Chain, PrivateKey, PublicKey, our_public_key
from rjs.identity.names import check_common_name
from rjs.identity.profiles import PROFILES, Kind, Profile, profile_of, readable_extensions
from rjs.limits import CLOCK_SKEW, ENCRYPTION_LIFETIME


@attrs.frozen
class Issuer:
    """A certificate together with its private key: what can sign other certificates."""

    key: PrivateKey = attrs.field(repr=False)
    certificate: x509.Certificate

    def __attrs_post_init__(self) -> None:
        if self.key.public_key() != self.certificate.public_key():
            raise IdentityError("key_mismatch", "the private key is not the one that the certificate is for")


@attrs.frozen
class Identity:
    """A private key with the chain that says whose it is: leaf first, root last. What a TLS end or a signer is."""

    key: PrivateKey = attrs.field(repr=False)
    chain: Chain

    def __attrs_post_init__(self) -> None:
        if len(self.chain) < 2:
            raise IdentityError("chain_length", "an identity has a certificate and the root that it leads to")
        if self.key.public_key() != self.chain[0].public_key():
            raise IdentityError("key_mismatch", "the private key is not the one that the certificate is for")

    @property
    def issuer(self) -> Issuer:
        """This identity as what signs certificates; whether those count is for their reader to judge."""
        return Issuer(self.key, self.chain[0])

    @property
    def root(self) -> x509.Certificate:
        """The organisation root that this identity belongs to, the only one it believes."""
        return self.chain[-1]


@attrs.frozen
class Subject:
    """What a certificate says of its holder. ``lifetime`` in seconds, cut to the issuer's own end."""

    public_key: PublicKey
    common_name: str
    lifetime: float
    uri: str | None = None
    unit: str | None = None


def self_signed_root(
    key: PrivateKey, organisation: str, lifetime: float, now: dt.datetime
) -> x509.Certificate:
    """The certificate of a new organisation root; ``organisation`` becomes the O of all names below it."""
    subject = Subject(key.public_key(), f"{organisation} root"[:64], lifetime)
    name = _name(organisation, subject)
    return _build(PROFILES[Kind.ROOT], subject, name, name, now, now + _seconds(lifetime)).sign(
        key, hashes.SHA256()
    )


def self_signed_reader(
    key: PrivateKey, uri: str, common_name: str, organisation: str, now: dt.datetime
) -> x509.Certificate:
    """An encryption certificate that nobody vouches for but who names it as a recipient: of the kind's very form."""
    profile = PROFILES[Kind.ENCRYPTION]
    subject = Subject(key.public_key(), common_name, ENCRYPTION_LIFETIME, uri, unit="reader")
    name = _name(organisation, subject)
    builder = _build(profile, subject, name, name, now, now + _seconds(ENCRYPTION_LIFETIME))
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256())


def mint(kind: Kind, subject: Subject, issuer: Issuer, now: dt.datetime) -> x509.Certificate:
    """A certificate of ``kind``; raises IdentityError when ``issuer`` is not what issues that kind, or has ended."""
    profile = PROFILES[kind]
    issuer_kind = profile_of(issuer.certificate).kind
    if issuer_kind is not profile.issuer:
        raise IdentityError(
            "issuer", f"a {kind.value} is issued by a {profile.issuer.value}, not a {issuer_kind.value}"
        )
    if now >= issuer.certificate.not_valid_after_utc:
        raise IdentityError(
            "expired", f"the {issuer_kind.value} ended on {issuer.certificate.not_valid_after_utc}"
        )
    return sign_certificate(profile, subject, issuer, now)


def sign_certificate(
    profile: Profile, subject: Subject, issuer: Issuer, now: dt.datetime
) -> x509.Certificate:
    """Like ``mint``, without asking whether this issuer may: what counts is decided by who reads the result."""
    name = _name(organisation_of(issuer.certificate), subject)
    end = min(now + _seconds(subject.lifetime), issuer.certificate.not_valid_after_utc)
    builder = _build(profile, subject, name, issuer.certificate.subject, now, end)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(our_public_key(issuer.certificate))
    return builder.add_extension(identifier, critical=False).sign(issuer.key, hashes.SHA256())


def organisation_of(certificate: x509.Certificate) -> str:
    """The O of the subject; raises IdentityError unless there is exactly one."""
    return _sole_attribute(certificate, NameOID.ORGANIZATION_NAME)


def common_name_of(certificate: x509.Certificate) -> str:
    """The CN of the subject; raises IdentityError unless there is exactly one, that can be shown to people."""
    return check_common_name(_sole_attribute(certificate, NameOID.COMMON_NAME))


def sole_uri(holder: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """The one URI that is all of the subject alternative name; raises IdentityError for anything else there."""
    try:
        names = list(readable_extensions(holder).get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    if len(names) != 1 or not isinstance(names[0], x509.UniformResourceIdentifier):
        raise IdentityError(
            "san", f"there must be one name, a URI, in the subject alternative name, not {names}"
        )
    return names[0].value


def _sole_attribute(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    found = certificate.subject.get_attributes_for_oid(oid)
    if len(found) != 1 or not isinstance(found[0].value, str):
        raise IdentityError(
            "subject", f"the subject of a certificate must have one {oid._name}, not {len(found)}"
        )
    return found[0].value


def _name(organisation: str, subject: Subject) -> x509.Name:
    unit = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, subject.unit)] if subject.unit else []
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            *unit,
            x509.NameAttribute(NameOID.COMMON_NAME, subject.common_name),
        ]
    )


def _build(
    profile: Profile, subject: Subject, name: x509.Name, issuer: x509.Name, now: dt.datetime, end: dt.datetime
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(subject.public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _seconds(CLOCK_SKEW))
        .not_valid_after(end)
        .add_extension(profile.constraints(), critical=True)
        .add_extension(profile.key_usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject.public_key), critical=False)
    )
    if profile.extended:
        usages = sorted(profile.extended, key=lambda oid: oid.dotted_string)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if subject.uri is not None:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(subject.uri)])
        builder = builder.add_extension(names, critical=False)
    return builder


def _seconds(seconds: float) -> dt.timedelta:
    return dt.timedelta(seconds=seconds)
