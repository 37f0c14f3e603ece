"""Attacks read out of RFC 5280 (certificates and paths), beside those of ``test_bundle_certificates``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.bundle.forger import Forger, refusal_of
from rjs.bundle.forger_cms import RawBlock, tlv
from rjs.bundle.path import CODE_SIGNING
from rjs.bundle.testing import NOW, YEAR, Party, key_usage, make_party, make_signer

ROOT = make_party("Root", ca=True)
EVE_KEY = ec.generate_private_key(ec.SECP256R1())
EVE = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Eve")])


def below(issuer: Party, *replaced: tuple[x509.ExtensionType | type[x509.ExtensionType], bool]) -> Party:
    return make_party("Ada", issuer, usages=[CODE_SIGNING], replaced=replaced)


def authority(*replaced: tuple[x509.ExtensionType | type[x509.ExtensionType], bool]) -> Party:
    return make_party("CA", ROOT, ca=True, replaced=replaced)


def certified(
    *, digest: hashes.SHA224 | hashes.SHA256 | None = None, issuer: x509.Name | None = None,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> Party:  # fmt: skip
    """A signer like any other, but for the digest, the issuer's name or the key that certified it."""
    own = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(EVE)
        .issuer_name(issuer or ROOT.certificate.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - YEAR)
        .not_valid_after(NOW + YEAR)
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(key_usage(sign=True, certify=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([CODE_SIGNING]), critical=False)
    )
    certificate = builder.sign(key or ROOT.key, digest or hashes.SHA256())
    return Party(own, (certificate, *ROOT.chain))


def constraints(*names: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=names)


OID = x509.ObjectIdentifier("1.2.3.4")
SIGNERS: dict[str, tuple[Callable[[], Party], str]] = {
    "control": (lambda: below(authority()), "accepted"),
    "control: certified by hand": (certified, "accepted"),
    "4.1.1.2: certified with SHA-224": (lambda: certified(digest=hashes.SHA224()), "path"),
    "4.1.1.3: certified by another key": (
        lambda: certified(key=ec.generate_private_key(ec.SECP256R1())),
        "path",
    ),
    "4.1.2.4: issuer of another name": (lambda: certified(issuer=EVE), "path"),
    "4.2.1.1: key identifier of another authority": (
        lambda: below(
            authority(),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(EVE_KEY.public_key()), False),
        ),
        "accepted",
    ),
    "4.2.1.3: key usage without digitalSignature": (
        lambda: below(authority(), (key_usage(sign=False, certify=True), True)),
        "certificate",
    ),
    "4.2.1.3: CA without key usage": (lambda: below(authority((x509.KeyUsage, False))), "path"),
    "4.2.1.9: basic constraints that are not critical": (
        lambda: below(authority((x509.BasicConstraints(True, None), False))),
        "path",
    ),
    "4.2.1.10: excluded directory names": (
        lambda: below(authority((constraints(x509.DirectoryName(EVE)), True))),
        "path",
    ),
    "4.2.1.11: policy constraints": (
        lambda: below(authority((x509.PolicyConstraints(0, None), True))),
        "path",
    ),
    "4.2.1.14: no policy allowed": (lambda: below(authority((x509.InhibitAnyPolicy(0), True))), "path"),
    "4.2.1.12: extended key usage twice the same": (
        lambda: below(ROOT, (x509.ExtendedKeyUsage([CODE_SIGNING, CODE_SIGNING]), False)),
        "accepted",
    ),
    "4.2: a critical extension that nobody knows": (
        lambda: below(ROOT, (x509.UnrecognizedExtension(OID, b"\x05\x00"), True)),
        "path",
    ),
    "4.2: one that is not critical": (
        lambda: below(ROOT, (x509.UnrecognizedExtension(OID, b"\x05\x00"), False)),
        "accepted",
    ),
    "6.1.3: expired CA between valid ones": (
        lambda: below(make_party("CA", ROOT, ca=True, period=(NOW - YEAR, NOW - timedelta(1)))),
        "certificate-expired",
    ),
    "6.1.3: CA that is not valid yet": (
        lambda: below(make_party("CA", ROOT, ca=True, period=(NOW + timedelta(1), NOW + YEAR))),
        "certificate-not-yet-valid",
    ),
    "6.1.4: the signer certifies a signer": (lambda: make_signer("Eve", make_signer("Ada", ROOT)), "path"),
}


@pytest.mark.parametrize(("make", "code"), SIGNERS.values(), ids=SIGNERS.keys())
def test_signer(make: Callable[[], Party], code: str) -> None:
    """A path that deviates in this one point is judged so, with its own root and with that root named."""
    signer = make()
    jar = Forger(signer=signer).build()
    assert refusal_of(jar) == code
    assert refusal_of(jar, roots=[signer.root]) == code


def with_leaf(change: Callable[[bytes], bytes]) -> str:
    """The code for a bundle whose leaf certificate has these changed bytes, everything around them in order."""
    signer = make_party("Ada", ROOT, usages=[CODE_SIGNING], serial=100)
    changed = change(signer.certificate.public_bytes(Encoding.DER))
    block = RawBlock(signer, certificates=tlv(0xA0, *sorted([changed, ROOT.root.public_bytes(Encoding.DER)])))
    forger = Forger(signer=signer)
    forger.make_block = block.build
    return refusal_of(forger.build())


def test_control_of_changed_certificates() -> None:
    """The certificate as it is passes."""
    assert with_leaf(lambda der: der) == "accepted"


CHANGES: dict[str, tuple[bytes, bytes, str]] = {
    "4.1.2.1: version 1 with extensions": (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x00", "block-form"),
    "4.1.2.1: version 4": (b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", "block-form"),
    "4.1.2.2: another serial number": (b"\x02\x01\x64\x30", b"\x02\x01\x65\x30", "block-form"),
    "4.1.2.2: negative serial number": (b"\x02\x01\x64\x30", b"\x02\x01\x9c\x30", "block-form"),
    "4.1.2.5: a month 13": (b"\x17\x0d250601", b"\x17\x0d251301", "block-form"),
    "4.1.2.6: another subject": (b"\x0c\x03Ada", b"\x0c\x03Bda", "path"),
    "4.2: TRUE that is not FF": (b"\x01\x01\xff", b"\x01\x01\x01", "block-form"),
    "4.2: FALSE written out": (b"\x01\x01\xff", b"\x01\x01\x00", "block-form"),
}


@pytest.mark.parametrize(("old", "new", "code"), CHANGES.values(), ids=CHANGES.keys())
def test_changed_certificate(old: bytes, new: bytes, code: str) -> None:
    """A certificate changed after it was issued, at this one place."""

    def change(der: bytes) -> bytes:
        assert old in der
        return der.replace(old, new, 1)

    assert with_leaf(change) == code
