"""Signature blocks in a form other than the accepted one, and algorithms that do not belong together."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from rjs import limits
from rjs.bundle import cms
from rjs.bundle.forger import Change, Forger, refusal_of
from rjs.bundle.forger_cms import tlv
from rjs.bundle.path import CODE_SIGNING
from rjs.bundle.testing import NOW, YEAR, Party, make_party, make_signer

SHA256_OID = bytes.fromhex("0609608648016503040201")
SHA1_OID = bytes.fromhex("06052b0e03021a")
DATA_OID = bytes.fromhex("06092a864886f70d010701")
ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def swapped(old: bytes, new: bytes, *, last: bool = False) -> Change:
    """Replace the first (or last) ``old``; same length, so that the DER around it stays right."""
    assert len(old) == len(new)

    def change(block: bytes) -> bytes:
        assert old in block
        position = block.rindex(old) if last else block.index(old)
        return block[:position] + new + block[position + len(old) :]

    return change


FORMS: dict[str, tuple[Change, str]] = {
    "empty": (lambda _: b"", "block-form"),
    "not DER": (lambda _: b"hello", "block-form"),
    "trailing byte": (lambda block: block + b"\0", "block-form"),
    "cut off": (lambda block: block[:-1], "block-form"),
    "indefinite length": (lambda block: b"\x30\x80" + block[4:] + b"\0\0", "block-form"),
    "non-minimal length": (lambda block: b"\x30\x83\x00" + block[2:], "block-form"),
    "not SignedData": (
        swapped(bytes.fromhex("2a864886f70d010702"), bytes.fromhex("2a864886f70d010703")),
        "block-form",
    ),
    "version 3": (swapped(b"\x02\x01\x01", b"\x02\x01\x03"), "block-form"),
    "content of another type": (swapped(DATA_OID, DATA_OID[:-1] + b"\x02"), "block-form"),
    "signer version 3": (swapped(b"\x02\x01\x01\x30", b"\x02\x01\x03\x30", last=True), "block-form"),
    "content type attribute of another type": (
        swapped(DATA_OID, DATA_OID[:-1] + b"\x02", last=True),
        "block-form",
    ),
    "digest algorithms disagree": (swapped(SHA256_OID, SHA256_OID[:-1] + b"\x02"), "block-algorithm"),
    "signature algorithm of another digest": (
        swapped(ECDSA_SHA256, ECDSA_SHA256[:-1] + b"\x03", last=True),
        "block-algorithm",
    ),
    "signature changed": (lambda block: block[:-1] + bytes([block[-1] ^ 1]), "signature"),
    "too large": (lambda block: block + bytes(limits.MAX_BLOCK_BYTES), "zip-limit"),
}


@pytest.mark.parametrize(("change", "code"), FORMS.values(), ids=FORMS.keys())
def test_form_refused(change: Change, code: str, forger: Forger) -> None:
    """A block that deviates from the one accepted form is refused, whatever a lenient parser would make of it."""
    forger.spoil_block = change
    assert refusal_of(forger.build()) == code


def test_every_changed_byte_is_refused(forger: Forger) -> None:
    """No single byte of the block can be changed without a refusal: nothing in it is decoration."""
    archive = forger.archive()
    member = archive.member("META-INF/RJS.EC")
    block = member.content
    accepted = []
    for position in range(len(block)):
        member.content = block[:position] + bytes([block[position] ^ 0x01]) + block[position + 1 :]
        if refusal_of(archive.build()) == "accepted":
            accepted.append(position)
    assert accepted == []


def signed_by_library(
    forger: Forger, content: bytes, options: list[pkcs7.PKCS7Options], digest: pkcs7.PKCS7HashTypes
) -> bytes:
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
    builder = builder.add_signer(forger.signer.certificate, forger.signer.key, digest)
    for certificate in forger.signer.chain[1:]:
        builder = builder.add_certificate(certificate)
    return builder.sign(Encoding.DER, [*options, pkcs7.PKCS7Options.Binary])


DETACHED = pkcs7.PKCS7Options.DetachedSignature
LIBRARY: dict[str, tuple[list[pkcs7.PKCS7Options], pkcs7.PKCS7HashTypes, str]] = {
    "SHA-256": ([DETACHED], hashes.SHA256(), "accepted"),
    "SHA-512": ([DETACHED, pkcs7.PKCS7Options.NoCapabilities], hashes.SHA512(), "accepted"),
    "SHA-224": ([DETACHED], hashes.SHA224(), "block-algorithm"),
    "content inside": ([], hashes.SHA256(), "block-form"),
    "no signed attributes": ([DETACHED, pkcs7.PKCS7Options.NoAttributes], hashes.SHA256(), "block-form"),
}


@pytest.mark.parametrize(("options", "digest", "code"), LIBRARY.values(), ids=LIBRARY.keys())
def test_library_made_block(
    options: list[pkcs7.PKCS7Options], digest: pkcs7.PKCS7HashTypes, code: str, forger: Forger
) -> None:
    """Blocks by another writer are judged by the same rules, and correct ones are accepted."""
    forger.make_block = lambda content: signed_by_library(forger, content, options, digest)
    assert refusal_of(forger.build()) == code


def test_two_signers_refused(forger: Forger) -> None:
    """One signature: with two, readers differ on whose it is."""
    other = make_signer("Bob")

    def block(content: bytes) -> bytes:
        builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
        for signer in (forger.signer, other):
            builder = builder.add_signer(signer.certificate, signer.key, hashes.SHA256())
        return builder.sign(Encoding.DER, [DETACHED, pkcs7.PKCS7Options.Binary])

    forger.make_block = block
    assert refusal_of(forger.build()) == "block-form"


def test_block_without_the_signers_certificate_refused(forger: Forger) -> None:
    """The signer's certificate comes with the signature; we look for it nowhere else."""
    forger.make_block = lambda content: signed_by_library(
        forger, content, [DETACHED, pkcs7.PKCS7Options.NoCerts], hashes.SHA256()
    )
    assert refusal_of(forger.build()) == "block-form"


def test_too_many_certificates_refused(forger: Forger) -> None:
    """The number of certificates bounds the work that a block can ask for."""
    ballast = tuple(make_signer(f"{number}").certificate for number in range(limits.MAX_BLOCK_CERTIFICATES))
    forger.make_block = lambda content: cms.sign_block(
        content, forger.signer.key, forger.signer.chain + ballast
    )
    assert refusal_of(forger.build()) == "block-form"


def test_signature_by_another_key_refused(forger: Forger) -> None:
    """A certificate that everyone can copy signs nothing without its key."""
    stranger = ec.generate_private_key(ec.SECP256R1())
    forger.make_block = lambda content: cms.sign_block(content, stranger, forger.signer.chain)
    assert refusal_of(forger.build()) == "signature"


def test_two_certificates_with_the_signers_name_and_number_refused(forger: Forger) -> None:
    """Issuer and serial number must name one certificate of the block."""
    leaf = forger.signer.certificate
    twin = (
        x509.CertificateBuilder()
        .subject_name(leaf.subject)
        .issuer_name(leaf.issuer)
        .serial_number(leaf.serial_number)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .not_valid_before(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2027, 1, 1, tzinfo=dt.UTC))
        .sign(forger.signer.key, hashes.SHA256())
    )
    forger.make_block = lambda content: cms.sign_block(
        content, forger.signer.key, (*forger.signer.chain, twin)
    )
    assert refusal_of(forger.build()) == "block-form"


def test_fresh_certificate_under_an_old_signature(forger: Forger) -> None:
    """Nobody can revive an expired signature with a new, self-made certificate for the signer's public key."""
    root = make_party("Root", ca=True)
    old = make_party("Ada", root, usages=[CODE_SIGNING], period=(NOW - 2 * YEAR, NOW - YEAR))
    fresh = namesakes(old)

    def recertified(block: bytes) -> bytes:
        for before, after in zip(old.chain, fresh.chain, strict=True):
            assert der(before) in block
            block = block.replace(der(before), der(after))
        return block

    forger.signer = old
    assert refusal_of(forger.build()) == "certificate-expired"
    forger.spoil_block = recertified
    assert refusal_of(forger.build()) == "signature"
    forger.signer, forger.spoil_block = fresh, lambda block: block
    assert refusal_of(forger.build()) == "accepted"


def test_second_encoding_of_a_certificate(forger: Forger) -> None:
    """A certificate whose signature claims an unused bit is the same to OpenSSL; we know one encoding of each."""
    root = make_party("Root", ca=True)
    signer = next(
        party
        for party in (make_signer(f"Ada {number}", root) for number in range(100))
        if party.certificate.signature[-1] % 2 == 0
    )
    encoded = bytearray(der(signer.certificate))
    encoded[-len(signer.certificate.signature) - 1] = 1
    forger.signer = Party(signer.key, (x509.load_der_x509_certificate(bytes(encoded)), *signer.chain[1:]))
    assert refusal_of(forger.build()) == "certificate"


def namesakes(old: Party) -> Party:
    """Certificates with the names, numbers, key and DER lengths of the old ones; ECDSA lengths vary, so try."""
    for _ in range(1000):
        root = make_party("Root", ca=True, serial=old.root.serial_number)
        serial = old.certificate.serial_number
        fresh = make_party("Ada", root, key=old.key, usages=[CODE_SIGNING], serial=serial)
        if [len(der(c)) for c in fresh.chain] == [len(der(c)) for c in old.chain]:
            return fresh
    raise AssertionError("no certificates of these lengths")


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def handmade(forger: Forger, attributes: list[bytes]) -> bytes:
    """A block with exactly these signed attributes, correctly signed."""
    leaf = forger.signer.certificate
    signed = b"".join(sorted(attributes))
    signature = forger.signer.key.sign(tlv(0x31, signed), ec.ECDSA(hashes.SHA256()))
    sid = tlv(0x30, leaf.issuer.public_bytes(), tlv(0x02, bytes([leaf.serial_number])))
    sha256 = tlv(0x30, SHA256_OID)
    info = tlv(
        0x30, tlv(2, b"\x01"), sid, sha256, tlv(0xA0, signed), tlv(0x30, ECDSA_SHA256[2:]), tlv(4, signature)
    )
    certificates = tlv(0xA0, *sorted(map(der, forger.signer.chain)))
    data = tlv(0x30, tlv(2, b"\x01"), tlv(0x31, sha256), tlv(0x30, DATA_OID), certificates, tlv(0x31, info))
    return tlv(0x30, bytes.fromhex("06092a864886f70d010702"), tlv(0xA0, data))


CONTENT_TYPE_OID = bytes.fromhex("06092a864886f70d010903")
DIGEST_OID = bytes.fromhex("06092a864886f70d010904")
PROTECTION_OID = bytes.fromhex("06092a864886f70d010934")
CERTIFICATE_OID = bytes.fromhex("060b2a864886f70d010910022f")
OTHER_OID = bytes.fromhex("06032a0304")
SHA384_OID = SHA256_OID[:-1] + b"\x02"
CONTENT_TYPE = tlv(0x30, CONTENT_TYPE_OID, tlv(0x31, DATA_OID))


def protection(digest: bytes, signature: bytes, *more: bytes) -> bytes:
    return tlv(0x30, PROTECTION_OID, tlv(0x31, tlv(0x30, tlv(0x30, digest), tlv(0xA1, signature), *more)))


ATTRIBUTES: dict[str, tuple[list[bytes], str]] = {
    "the necessary ones": ([CONTENT_TYPE], "accepted"),
    "an unknown one": ([CONTENT_TYPE, tlv(0x30, OTHER_OID, tlv(0x31, tlv(2, b"\x01")))], "accepted"),
    "no content type": ([], "block-form"),
    "content type twice": ([CONTENT_TYPE, CONTENT_TYPE], "block-form"),
    "content type with two values": (
        [tlv(0x30, CONTENT_TYPE_OID, tlv(0x31, DATA_OID, DATA_OID))],
        "block-form",
    ),
    "an attribute without value": ([CONTENT_TYPE, tlv(0x30, OTHER_OID, tlv(0x31))], "block-form"),
    "second digest": ([CONTENT_TYPE, tlv(0x30, DIGEST_OID, tlv(0x31, tlv(4, bytes(32))))], "block-form"),
    "fitting protection": ([CONTENT_TYPE, protection(SHA256_OID, ECDSA_SHA256[2:])], "accepted"),
    "protection of another digest": (
        [CONTENT_TYPE, protection(SHA384_OID, ECDSA_SHA256[2:])],
        "block-algorithm",
    ),
    "protection of another signature": (
        [CONTENT_TYPE, protection(SHA256_OID, SHA256_OID)],
        "block-algorithm",
    ),
    "protection of a MAC": (
        [CONTENT_TYPE, protection(SHA256_OID, ECDSA_SHA256[2:], tlv(0xA2, SHA256_OID))],
        "block-algorithm",
    ),
    "malformed protection": (
        [CONTENT_TYPE, tlv(0x30, PROTECTION_OID, tlv(0x31, tlv(2, b"\x01")))],
        "block-form",
    ),
    "no signing certificate in its attribute": (
        [CONTENT_TYPE, tlv(0x30, CERTIFICATE_OID, tlv(0x31, tlv(0x30, tlv(0x30))))],
        "block-form",
    ),
    "malformed signing certificate": (
        [CONTENT_TYPE, tlv(0x30, CERTIFICATE_OID, tlv(0x31, tlv(4)))],
        "block-form",
    ),
    "signing certificate by SHA-1": (
        [
            CONTENT_TYPE,
            tlv(
                0x30,
                CERTIFICATE_OID,
                tlv(0x31, tlv(0x30, tlv(0x30, tlv(0x30, tlv(0x30, SHA1_OID), tlv(4))))),
            ),
        ],
        "block-algorithm",
    ),
}


@pytest.mark.parametrize(("attributes", "code"), ATTRIBUTES.values(), ids=ATTRIBUTES.keys())
def test_signed_attributes(attributes: list[bytes], code: str, forger: Forger) -> None:
    """Each signed attribute appears once with one value, and those that we know agree with the block."""

    def block(content: bytes) -> bytes:
        digest = tlv(0x30, DIGEST_OID, tlv(0x31, tlv(4, hashlib.sha256(content).digest())))
        return handmade(forger, [*attributes, digest])

    root = make_party("Root", ca=True)
    forger.signer = make_party("Ada", root, usages=[CODE_SIGNING], serial=100)
    forger.make_block = block
    assert refusal_of(forger.build()) == code


def test_no_message_digest(forger: Forger) -> None:
    """A signature over no digest of the content signs nothing."""
    forger.signer = make_party("Ada", make_party("Root", ca=True), usages=[CODE_SIGNING], serial=100)
    forger.make_block = lambda _: handmade(forger, [CONTENT_TYPE])
    assert refusal_of(forger.build()) == "signature"


KEYS = {
    "RSA-2048": (lambda: rsa.generate_private_key(65537, 2048), "accepted"),
    "RSA-1024": (lambda: rsa.generate_private_key(65537, 1024), "key-strength"),
    "P-384": (lambda: ec.generate_private_key(ec.SECP384R1()), "accepted"),
    "P-224": (lambda: ec.generate_private_key(ec.SECP224R1()), "key-strength"),
    "secp256k1": (lambda: ec.generate_private_key(ec.SECP256K1()), "key-strength"),
    "Ed25519": (ed25519.Ed25519PrivateKey.generate, "accepted"),
}


@pytest.mark.parametrize(("make_key", "code"), KEYS.values(), ids=KEYS.keys())
def test_key_kinds(make_key: Callable[[], object], code: str) -> None:
    """Strong keys of the kinds that jarsigner uses are accepted, weak and unusual ones are not."""
    root = make_party("Root", ca=True)
    signer = make_party("Signer", root, key=make_key(), usages=[CODE_SIGNING])
    assert refusal_of(Forger(signer=signer).build()) == code
