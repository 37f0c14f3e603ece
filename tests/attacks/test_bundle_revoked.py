"""Signers whose certificates were revoked, and lists that are stale, forged, partial or by somebody else."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.bundle.crl import RevocationList, load_crls
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.forger import Forger
from rjs.bundle.testing import NOW, Party, make_party, make_signer, revocation_list
from rjs.bundle.verify import open_bundle

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
ROOT = make_party("Root", ca=True)
CA = make_party("CA", ROOT, ca=True)
SIGNER = make_signer("Ada", CA)
JAR = Forger(signer=SIGNER).build()
DIRECT = make_signer("Bob", ROOT)
DIRECT_JAR = Forger(signer=DIRECT).build()
GOOD = revocation_list(CA)
GOOD_ABOVE = revocation_list(ROOT)


def refusal(jar: bytes, lists: Sequence[RevocationList] | None, root: Party = ROOT) -> str:
    """The code of the refusal, or ``accepted``."""
    try:
        open_bundle(io.BytesIO(jar), at=NOW, roots=[root.root], crls=lists)
    except BundleRefusedError as refused:
        return refused.code
    return "accepted"


CHAINS: dict[str, tuple[list[RevocationList] | None, str]] = {
    "no list asked for": (None, "accepted"),
    "a fresh list of each CA": ([GOOD, GOOD_ABOVE], "accepted"),
    "in another order": ([GOOD_ABOVE, GOOD], "accepted"),
    "no list at all": ([], "revocation-unknown"),
    "only the signer's CA has one": ([GOOD], "revocation-unknown"),
    "only the root has one": ([GOOD_ABOVE], "revocation-unknown"),
    "signer revoked": ([revocation_list(CA, [SIGNER]), GOOD_ABOVE], "revoked"),
    "CA revoked": ([GOOD, revocation_list(ROOT, [CA])], "revoked"),
    "revoked on one of two lists": ([GOOD, revocation_list(CA, [SIGNER]), GOOD_ABOVE], "revoked"),
    "revoked on a stale list, unmentioned on a fresh one": (
        [GOOD, revocation_list(CA, [SIGNER], period=(NOW - 2 * DAY, NOW - DAY)), GOOD_ABOVE],
        "revoked",
    ),
    "somebody else is revoked": ([revocation_list(CA, [make_signer("Eve", CA)]), GOOD_ABOVE], "accepted"),
    "number revoked by another CA": (
        [revocation_list(make_party("Else", ca=True), [SIGNER]), GOOD, GOOD_ABOVE],
        "accepted",
    ),
}


@pytest.mark.parametrize(("lists", "code"), CHAINS.values(), ids=CHAINS.keys())
def test_lists_of_a_chain(lists: list[RevocationList] | None, code: str) -> None:
    """Lists that are given are required of every CA on the path, and each of them can refuse."""
    assert refusal(JAR, lists) == code


def namesake() -> Party:
    return make_party("Root", ca=True)


def forged() -> RevocationList:
    """A list of the root's whose last byte is another."""
    encoded = GOOD_ABOVE.public_bytes(Encoding.DER)
    return x509.load_der_x509_crl(encoded[:-1] + bytes([encoded[-1] ^ 1]))


LISTS: dict[str, tuple[RevocationList, str]] = {
    "until this second": (revocation_list(ROOT, period=(NOW - DAY, NOW)), "accepted"),
    "from this second": (revocation_list(ROOT, period=(NOW, NOW + DAY)), "accepted"),
    "stale": (revocation_list(ROOT, period=(NOW - DAY, NOW - SECOND)), "revocation-unknown"),
    "of the future": (revocation_list(ROOT, period=(NOW + SECOND, NOW + DAY)), "revocation-unknown"),
    "by a namesake with another key": (revocation_list(namesake()), "revocation-unknown"),
    "by the signer itself": (revocation_list(DIRECT), "revocation-unknown"),
    "changed after signing": (forged(), "revocation-unknown"),
    "delta list": (
        revocation_list(ROOT, extensions=[(x509.DeltaCRLIndicator(1), True)]),
        "revocation-unknown",
    ),
    "delta list not marked critical": (
        revocation_list(ROOT, extensions=[(x509.DeltaCRLIndicator(1), False)]),
        "revocation-unknown",
    ),
    "of CA certificates only": (
        revocation_list(
            ROOT,
            extensions=[
                (x509.IssuingDistributionPoint(None, None, False, True, None, False, False), True),
            ],
        ),
        "revocation-unknown",
    ),
    "indirect": (
        revocation_list(
            ROOT,
            extensions=[
                (x509.IssuingDistributionPoint(None, None, False, False, None, True, False), False),
            ],
        ),
        "revocation-unknown",
    ),
    "with an unknown critical extension": (
        revocation_list(
            ROOT,
            extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)],
        ),
        "revocation-unknown",
    ),
    "with an unknown critical entry extension": (
        revocation_list(ROOT, [make_signer("Eve", ROOT)], entry_critical=True),
        "revocation-unknown",
    ),
    "by a digest outside of SHA-256, SHA-384 and SHA-512": (
        revocation_list(ROOT, digest=hashes.SHA224()),
        "revocation-unknown",
    ),
}


@pytest.mark.parametrize(("revocations", "code"), LISTS.values(), ids=LISTS.keys())
def test_list(revocations: RevocationList, code: str) -> None:
    """Only a complete, fresh list that the CA itself signed counts; every other leaves the answer open, so: no."""
    assert refusal(DIRECT_JAR, [revocations]) == code


def test_issuer_that_may_not_sign_lists() -> None:
    """A CA without cRLSign in its key usage has no list that counts (RFC 5280 section 6.3.3)."""
    usage = x509.KeyUsage(False, False, False, False, False, True, False, False, False)
    root = make_party("Root", ca=True, replaced=[(usage, True)])
    jar = Forger(signer=make_signer("Ada", root)).build()
    assert refusal(jar, None, root) == "accepted"
    assert refusal(jar, [revocation_list(root)], root) == "revocation-unknown"


@pytest.mark.parametrize(
    "make_key",
    [
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: ec.generate_private_key(ec.SECP384R1()),
    ],
    ids=["RSA-2048", "P-384"],
)
def test_kinds_of_keys(make_key: object) -> None:
    """Lists by every kind of CA key that a path may have are read."""
    root = make_party("Root", ca=True, key=make_key())  # type: ignore[operator]  # test table
    signer = make_signer("Ada", root)
    jar = Forger(signer=signer).build()
    assert refusal(jar, [revocation_list(root)], root) == "accepted"
    assert refusal(jar, [revocation_list(root, [signer])], root) == "revoked"


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_files_of_lists(encoding: Encoding) -> None:
    """A file holds one list in DER, or any number in PEM with text around them."""
    data = GOOD.public_bytes(encoding)
    assert load_crls(data) == (GOOD,)
    if encoding is Encoding.PEM:
        assert load_crls(b"text\n" + data + b"\n" + GOOD_ABOVE.public_bytes(encoding)) == (GOOD, GOOD_ABOVE)


@pytest.mark.parametrize(
    "data", [b"", b"hello", GOOD.public_bytes(Encoding.DER) + b"\0", GOOD.public_bytes(Encoding.PEM)[:-60]]
)
def test_unreadable_files(data: bytes) -> None:
    """A file that is no list leaves the answer open, so: no."""
    with pytest.raises(BundleRefusedError, match=r"^revocation-unknown:"):
        load_crls(data)


def test_every_changed_byte_of_a_list() -> None:
    """Whatever byte of the only list is changed: a refusal by code, or nothing that was signed differs."""
    encoded = GOOD_ABOVE.public_bytes(Encoding.DER)
    for position in range(len(encoded)):
        changed = encoded[:position] + bytes([encoded[position] ^ 0x01]) + encoded[position + 1 :]
        try:
            lists = load_crls(changed)
        except BundleRefusedError:
            continue
        code = refusal(DIRECT_JAR, lists)
        # The unused bits of the closing BIT STRING are not signed.
        same = lists[0].tbs_certlist_bytes == GOOD_ABOVE.tbs_certlist_bytes
        assert code == "revocation-unknown" or (same and code == "accepted"), position
