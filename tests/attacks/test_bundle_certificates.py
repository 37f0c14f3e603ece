"""Certificates that are expired, self-made, meant for something else, or issued by those who may not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from rjs.bundle.forger import Forger, refusal_of
from rjs.bundle.path import CODE_SIGNING
from rjs.bundle.testing import NOW, YEAR, Party, key_usage, make_party, make_signer
from rjs.identity.oids import ANSWER_EKU

SECOND = timedelta(seconds=1)
UNKNOWN_CRITICAL = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)


def root() -> Party:
    return make_party("Root", ca=True)


def signer_below(issuer: Party) -> Party:
    return make_party("Signer", issuer, usages=[CODE_SIGNING])


def leaf(**changes: object) -> Party:
    return make_party("Signer", root(), **{"usages": [CODE_SIGNING], **changes})  # type: ignore[arg-type]  # test table


def named(subtree: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(permitted_subtrees=[subtree], excluded_subtrees=None)


SIGNERS: dict[str, tuple[Callable[[], Party], str]] = {
    "expired": (lambda: leaf(period=(NOW - YEAR, NOW - SECOND)), "certificate-expired"),
    "last second": (lambda: leaf(period=(NOW - YEAR, NOW)), "accepted"),
    "not yet valid": (lambda: leaf(period=(NOW + SECOND, NOW + YEAR)), "certificate-not-yet-valid"),
    "no extended key usage": (lambda: leaf(usages=[]), "certificate"),
    "for TLS": (lambda: leaf(usages=[ExtendedKeyUsageOID.CLIENT_AUTH]), "certificate"),
    "for any use": (lambda: leaf(usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), "certificate"),
    "for answers": (lambda: leaf(usages=[ANSWER_EKU]), "certificate"),
    "for answers and code": (lambda: leaf(usages=[CODE_SIGNING, ANSWER_EKU]), "certificate"),
    "no key usage": (lambda: leaf(replaced=[(x509.KeyUsage, False)]), "certificate"),
    "may not sign": (lambda: leaf(replaced=[(key_usage(sign=False, certify=False), True)]), "certificate"),
    "is a CA": (lambda: leaf(ca=True, replaced=[(key_usage(sign=True, certify=True), True)]), "certificate"),
    "unknown critical extension": (lambda: leaf(replaced=[UNKNOWN_CRITICAL]), "path"),
    "self-made": (lambda: make_party("Self", usages=[CODE_SIGNING]), "path"),
    "self-made CA": (
        lambda: make_party(
            "Self", usages=[CODE_SIGNING], ca=True, replaced=[(key_usage(sign=True, certify=True), True)]
        ),
        "certificate",
    ),
    "root missing": (lambda: _without_root(signer_below(root())), "path"),
    "through an intermediate": (
        lambda: signer_below(make_party("CA", root(), ca=True, path_length=0)),
        "accepted",
    ),
    "intermediate missing": (lambda: _without(signer_below(make_party("CA", root(), ca=True)), 1), "path"),
    "issuer is no CA": (lambda: signer_below(make_party("Leaf", root(), usages=[CODE_SIGNING])), "path"),
    "issuer without basic constraints": (
        lambda: signer_below(make_party("CA", root(), ca=True, replaced=[(x509.BasicConstraints, False)])),
        "path",
    ),
    "issuer may not certify": (
        lambda: signer_below(
            make_party("CA", root(), ca=True, replaced=[(key_usage(sign=True, certify=False), True)])
        ),
        "path",
    ),
    "root may not certify": (
        lambda: signer_below(
            make_party("R", ca=True, replaced=[(key_usage(sign=True, certify=False), True)])
        ),
        "path",
    ),
    "issuer for TLS only": (
        lambda: signer_below(make_party("CA", root(), ca=True, usages=[ExtendedKeyUsageOID.CLIENT_AUTH])),
        "path",
    ),
    "issuer for answers only": (
        lambda: signer_below(make_party("CA", root(), ca=True, usages=[ANSWER_EKU])),
        "path",
    ),
    "issuer for code": (
        lambda: signer_below(make_party("CA", root(), ca=True, usages=[CODE_SIGNING])),
        "accepted",
    ),
    "path longer than the issuer allows": (
        lambda: signer_below(make_party("B", make_party("A", root(), ca=True, path_length=0), ca=True)),
        "path",
    ),
    "path longer than the root allows": (
        lambda: signer_below(make_party("A", make_party("R", ca=True, path_length=0), ca=True)),
        "path",
    ),
    "path of six": (lambda: signer_below(_tower(4)), "accepted"),
    "path of seven": (lambda: signer_below(_tower(5)), "path"),
    "issuer expired": (
        lambda: signer_below(make_party("CA", root(), ca=True, period=(NOW - YEAR, NOW - SECOND))),
        "certificate-expired",
    ),
    "root expired": (
        lambda: signer_below(make_party("R", ca=True, period=(NOW - YEAR, NOW - SECOND))),
        "certificate-expired",
    ),
    "issuer with unknown critical extension": (
        lambda: signer_below(make_party("CA", root(), ca=True, replaced=[UNKNOWN_CRITICAL])),
        "path",
    ),
    "issuer with a weak key": (
        lambda: signer_below(make_party("CA", root(), ca=True, key=rsa.generate_private_key(65537, 1024))),
        "path",
    ),
    "root with a weak key": (
        lambda: signer_below(make_party("R", ca=True, key=rsa.generate_private_key(65537, 1024))),
        "path",
    ),
    "issuer constrained to directory names": (
        lambda: signer_below(
            make_party("CA", root(), ca=True, replaced=[(named(x509.DirectoryName(x509.Name([]))), False)])
        ),
        "path",
    ),
    "two certificates of one name": (
        lambda: _joined(signer_below(root()), make_party("Root", ca=True)),
        "certificate",
    ),
    "issued by a namesake of the root": (lambda: _reissued(), "path"),
}


@pytest.mark.parametrize(("make_signer_", "code"), SIGNERS.values(), ids=SIGNERS.keys())
def test_signer(make_signer_: Callable[[], Party], code: str) -> None:
    """A signature by this signer is judged so, with the block's own root and with that root named by the caller."""
    signer = make_signer_()
    assert refusal_of(Forger(signer=signer).build()) == code


def test_unknown_signer() -> None:
    """A flawless path to a root that the caller does not name is refused."""
    known, stranger = make_signer(), make_signer("Stranger")
    jar = Forger(signer=stranger).build()
    assert refusal_of(jar, roots=[stranger.root]) == "accepted"
    assert refusal_of(jar, roots=[known.root]) == "path"
    assert refusal_of(jar, roots=[]) == "path"


def test_named_root_with_the_same_name_but_another_key() -> None:
    """A root is its key, not its name."""
    signer = signer_below(root())
    assert refusal_of(Forger(signer=signer).build(), roots=[root().certificate]) == "path"


def test_signer_named_as_root() -> None:
    """Naming the leaf itself as a root does not make a path of one."""
    signer = make_signer()
    assert refusal_of(Forger(signer=signer).build(), roots=[signer.certificate]) == "path"


def _without(party: Party, index: int) -> Party:
    return Party(party.key, party.chain[:index] + party.chain[index + 1 :])


def _without_root(party: Party) -> Party:
    return Party(party.key, party.chain[:-1])


def _tower(height: int) -> Party:
    top = root()
    for number in range(height):
        top = make_party(f"CA {number}", top, ca=True)
    return top


def _joined(party: Party, other: Party) -> Party:
    return Party(party.key, (*party.chain[:-1], *other.chain, party.root))


def _reissued() -> Party:
    signer = signer_below(root())
    return Party(signer.key, (signer.certificate, root().certificate))
