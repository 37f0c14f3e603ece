"""A small certification authority and a signing desk for tests: real keys, real certificates, real JARs.

Times are fixed around ``NOW``, so that nothing here expires while a test suite ages.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from rjs.bundle.cms import SigningKey
from rjs.bundle.path import CODE_SIGNING
from rjs.bundle.sign import job_attributes, sign_jar

NOW: Final = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
YEAR: Final = timedelta(days=365)
_SERIALS = iter(range(1, 1 << 62))


@attrs.frozen
class Party:
    """Somebody with a key and a certificate; ``chain`` is leaf first, root last."""

    key: Any = attrs.field(repr=False)
    chain: tuple[x509.Certificate, ...]

    @property
    def certificate(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def root(self) -> x509.Certificate:
        return self.chain[-1]


def make_party(
    name: str,
    issuer: Party | None = None,
    *,
    key: Any = None,
    ca: bool = False,
    path_length: int | None = None,
    usages: Sequence[x509.ObjectIdentifier] = (),
    serial: int | None = None,
    period: tuple[datetime, datetime] = (NOW - YEAR, NOW + 10 * YEAR),
    replaced: Sequence[tuple[x509.ExtensionType | type[x509.ExtensionType], bool]] = (),
) -> Party:
    """Issue a certificate to ``name`` (a key is made if none is given); without ``issuer`` it signs itself.

    ``replaced`` adds extensions (value, critical), overrides those of the same kind, or removes one given as a type.
    """
    own = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(own.public_key())
        .serial_number(serial or next(_SERIALS))
        .not_valid_before(period[0])
        .not_valid_after(period[1])
    )
    for value, critical in _extensions(ca, path_length, usages, replaced):
        builder = builder.add_extension(value, critical)
    signing_key = issuer.key if issuer else own
    digest = None if isinstance(signing_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Party(own, (builder.sign(signing_key, digest), *(issuer.chain if issuer else ())))


def make_signer(name: str = "Ada Signer", root: Party | None = None) -> Party:
    """Return somebody whose code-signing certificate a root issued (a new root if none is given)."""
    return make_party(name, root or make_party("Test Root", ca=True), usages=[CODE_SIGNING])


def signed_jar(
    signer: Party, files: Mapping[str, bytes], attributes: Mapping[str, str] | None = None
) -> bytes:
    """Return a JAR of ``files`` with the attributes of a job that is valid for a day around ``NOW``."""
    out = io.BytesIO()
    day = timedelta(days=1)
    stated = job_attributes("test", bytes(16), NOW - day, NOW + day) if attributes is None else attributes
    entries = [(name, content, False) for name, content in files.items()]
    sign_jar(out, entries, key=signing_key_of(signer), chain=signer.chain, attributes=stated)
    return out.getvalue()


def signing_key_of(party: Party) -> SigningKey:
    key: SigningKey = party.key
    return key


def revocation_list(
    issuer: Party,
    revoked: Sequence[Party] = (),
    *,
    period: tuple[datetime, datetime] = (NOW - timedelta(days=1), NOW + timedelta(days=1)),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    entry_critical: bool = False,
    digest: hashes.SHA224 | hashes.SHA256 = hashes.SHA256(),  # noqa: B008  # a value without state
) -> x509.CertificateRevocationList:
    """Return ``issuer``'s list, which names ``revoked`` and is fresh within ``period``."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(period[0])
        .next_update(period[1])
    )
    for party in revoked:
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(party.certificate.serial_number)
            .revocation_date(NOW - timedelta(days=1))
            .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=entry_critical)
        )
        builder = builder.add_revoked_certificate(entry.build())
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return builder.sign(issuer.key, None if isinstance(issuer.key, ed25519.Ed25519PrivateKey) else digest)


def key_usage(*, sign: bool, certify: bool) -> x509.KeyUsage:
    """Return a key usage with digitalSignature and/or keyCertSign."""
    return x509.KeyUsage(sign, False, False, False, False, certify, certify, False, False)


def _extensions(
    ca: bool,
    path_length: int | None,
    usages: Sequence[x509.ObjectIdentifier],
    replaced: Sequence[tuple[x509.ExtensionType | type[x509.ExtensionType], bool]],
) -> list[tuple[x509.ExtensionType, bool]]:
    found: dict[x509.ObjectIdentifier, tuple[x509.ExtensionType, bool]] = {}
    usual: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca, path_length), True),
        (key_usage(sign=not ca, certify=ca), True),
    ]
    if usages:
        usual.append((x509.ExtendedKeyUsage(usages), False))
    for value, critical in [*usual, *replaced]:
        if isinstance(value, type):
            found.pop(value.oid, None)
        else:
            found[value.oid] = (value, critical)
    return list(found.values())
