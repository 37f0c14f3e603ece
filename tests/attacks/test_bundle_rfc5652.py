"""Attacks read out of RFC 5652 (CMS) and its companions 5754, 8419, 8933 and 4055, section by section."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.bundle.forger import Forger, refusal_of
from rjs.bundle.forger_cms import CONTENT_TYPE, DATA, ECDSA_SHA256, SHA256, RawBlock, sign_ecdsa, tlv
from rjs.bundle.path import CODE_SIGNING
from rjs.bundle.testing import Party, make_party, make_signer, revocation_list

ROOT = make_party("Root", ca=True)
ADA = make_signer("Ada", ROOT)
RSA = make_party("Bob", ROOT, usages=[CODE_SIGNING], key=rsa.generate_private_key(65537, 2048))
EDWARDS = make_party("Eve", ROOT, usages=[CODE_SIGNING], key=ed25519.Ed25519PrivateKey.generate())

ALGORITHMS = {
    "SHA-1": bytes.fromhex("06052b0e03021a"),
    "MD5": bytes.fromhex("06082a864886f70d0205"),
    "SHA-512": bytes.fromhex("0609608648016503040203"),
    "SHA3-256": bytes.fromhex("0609608648016503040208"),
    "RSASSA-PSS": bytes.fromhex("06092a864886f70d01010a"),
    "SHA-256 with RSA": bytes.fromhex("06092a864886f70d01010b"),
    "Ed25519": bytes.fromhex("06032b6570"),
}
NULL = b"\x05\x00"
ENCLOSED = bytes.fromhex("060b2a864886f70d0109100104")  # id-ct-TSTInfo
SKI = tlv(0x80, bytes(20))


def algorithm(name: str, *parameters: bytes) -> bytes:
    return tlv(0x30, ALGORITHMS[name], *parameters)


def high_s(party: Party, data: bytes) -> bytes:
    """The same ECDSA signature with n - s, which everybody can compute."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = utils.decode_dss_signature(sign_ecdsa(party, data))
    return utils.encode_dss_signature(r, order - s)


def sign_pss(party: Party, data: bytes) -> bytes:
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    signature: bytes = party.key.sign(data, pss, hashes.SHA256())
    return signature


def sign_edwards(party: Party, data: bytes) -> bytes:
    signature: bytes = party.key.sign(data)
    return signature


def certificates(*more: bytes) -> bytes:
    return tlv(0xA0, *sorted(c.public_bytes(Encoding.DER) for c in ADA.chain), *more)


BLOCKS: dict[str, tuple[Callable[[], RawBlock], str]] = {
    "control: as it should be": (lambda: RawBlock(ADA), "accepted"),
    "3: content info of digested data": (
        lambda: RawBlock(ADA, outer_type=bytes.fromhex("06092a864886f70d010705")),
        "block-form",
    ),
    "5.1: version 0": (lambda: RawBlock(ADA, version=tlv(0x02, b"\x00")), "block-form"),
    "5.1: version 4, as with attribute certificates": (
        lambda: RawBlock(ADA, version=tlv(0x02, b"\x04")),
        "block-form",
    ),
    "5.1: no digest algorithm": (lambda: RawBlock(ADA, digests=tlv(0x31)), "block-algorithm"),
    "5.1: two digest algorithms": (
        lambda: RawBlock(ADA, digests=tlv(0x31, tlv(0x30, SHA256), algorithm("SHA-512"))),
        "block-algorithm",
    ),
    "5.1: certificates out of order": (
        lambda: RawBlock(
            ADA,
            certificates=tlv(0xA0, *sorted((c.public_bytes(Encoding.DER) for c in ADA.chain), reverse=True)),
        ),
        "block-form",
    ),
    "5.1: no certificates": (lambda: RawBlock(ADA, certificates=b""), "block-form"),
    "5.1: empty certificates": (lambda: RawBlock(ADA, certificates=tlv(0xA0)), "block-form"),
    "5.1: revocation lists inside": (
        lambda: RawBlock(ADA, revocations=tlv(0xA1, revocation_list(ROOT).public_bytes(Encoding.DER))),
        "block-form",
    ),
    "5.1: no signer": (lambda: RawBlock(ADA, signers=lambda _: tlv(0x31)), "block-form"),
    "5.1: the signer twice": (
        lambda: RawBlock(ADA, signers=lambda info: tlv(0x31, info, info)),
        "block-form",
    ),
    "5.2: empty content inside": (
        lambda: RawBlock(ADA, content=tlv(0x30, DATA, tlv(0xA0, tlv(0x04)))),
        "block-form",
    ),
    "5.2: content of another type": (lambda: RawBlock(ADA, content=tlv(0x30, ENCLOSED)), "block-form"),
    "5.3: signer named by key identifier": (
        lambda: RawBlock(ADA, info_version=tlv(0x02, b"\x03"), sid=SKI),
        "block-form",
    ),
    "5.3: signer of version 3": (lambda: RawBlock(ADA, info_version=tlv(0x02, b"\x03")), "block-form"),
    "5.3: signer's digest is not the block's": (
        lambda: RawBlock(ADA, digest=algorithm("SHA-512")),
        "block-algorithm",
    ),
    "5.3: no signed attributes": (lambda: RawBlock(ADA, attributes=None), "block-form"),
    "5.3: signed attributes out of order": (lambda: RawBlock(ADA, ordered=False), "block-form"),
    "5.3: an unsigned attribute": (
        lambda: RawBlock(ADA, after=tlv(0xA1, tlv(0x30, ENCLOSED, tlv(0x31, NULL)))),
        "accepted",
    ),
    "5.3: bytes behind the unsigned attributes": (lambda: RawBlock(ADA, after=NULL), "block-form"),
    "5.4: the attributes signed as [0] instead of SET OF": (
        lambda: RawBlock(ADA, sign=lambda party, data: sign_ecdsa(party, b"\xa0" + data[1:])),
        "signature",
    ),
    "5.4: signature over the content, not the attributes": (
        lambda: RawBlock(ADA, sign=lambda party, _: sign_ecdsa(party, b"content")),
        "signature",
    ),
    "5.4: the other ECDSA signature of the same": (lambda: RawBlock(ADA, sign=high_s), "accepted"),
    "5.4: empty signature": (lambda: RawBlock(ADA, sign=lambda *_: b""), "signature"),
    "10.1.1: SHA-1": (
        lambda: RawBlock(ADA, digest=algorithm("SHA-1"), digests=tlv(0x31, algorithm("SHA-1"))),
        "block-algorithm",
    ),
    "10.1.1: MD5": (
        lambda: RawBlock(ADA, digest=algorithm("MD5"), digests=tlv(0x31, algorithm("MD5"))),
        "block-algorithm",
    ),
    "10.1.1: SHA3-256": (
        lambda: RawBlock(ADA, digest=algorithm("SHA3-256"), digests=tlv(0x31, algorithm("SHA3-256"))),
        "block-algorithm",
    ),
    "10.1.1: digest with parameters": (
        lambda: RawBlock(ADA, digest=tlv(0x30, SHA256, tlv(0x04, b"x"))),
        "block-form",
    ),
    "10.1.2: ECDSA with parameters": (
        lambda: RawBlock(ADA, algorithm=tlv(0x30, ECDSA_SHA256, tlv(0x30))),
        "block-form",
    ),
    "10.1.2: RSA by an EC key": (
        lambda: RawBlock(ADA, algorithm=algorithm("SHA-256 with RSA", NULL)),
        "block-algorithm",
    ),
    "11.1: content type attribute with bytes behind": (
        lambda: RawBlock(ADA, attributes=[CONTENT_TYPE + NULL]),
        "block-form",
    ),
    "12.1: an attribute certificate": (
        lambda: RawBlock(ADA, certificates=certificates(tlv(0xA2, tlv(0x30)))),
        "block-form",
    ),
    "RFC 4055: RSASSA-PSS without parameters": (
        lambda: RawBlock(RSA, algorithm=algorithm("RSASSA-PSS"), sign=sign_pss),
        "block-algorithm",
    ),
    "RFC 4055: RSASSA-PSS with parameters": (
        lambda: RawBlock(RSA, algorithm=algorithm("RSASSA-PSS", tlv(0x30)), sign=sign_pss),
        "block-form",
    ),
    "RFC 8419: Ed25519 with SHA-256": (
        lambda: RawBlock(EDWARDS, algorithm=algorithm("Ed25519"), sign=sign_edwards),
        "block-algorithm",
    ),
}


@pytest.mark.parametrize(("make_block", "code"), BLOCKS.values(), ids=BLOCKS.keys())
def test_block(make_block: Callable[[], RawBlock], code: str) -> None:
    """A block that deviates in this one point from what its section asks for is judged so."""
    block = make_block()
    forger = Forger(signer=block.signer)
    forger.make_block = block.build
    assert refusal_of(forger.build()) == code


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_other_curves_with_their_neighbours_digest(curve: ec.EllipticCurve) -> None:
    """RFC 5753: any SHA-2 digest goes with any of the curves."""
    signer = make_party("Ada", ROOT, usages=[CODE_SIGNING], key=ec.generate_private_key(curve))
    forger = Forger(signer=signer)
    forger.make_block = RawBlock(signer).build
    assert refusal_of(forger.build()) == "accepted"
