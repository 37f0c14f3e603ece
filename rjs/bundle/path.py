"""Certification paths of signers: from a leaf through the block's certificates to an accepted root.

It says whether a path is valid for a purpose at a time, never whether anybody trusts it (``policy``). It must be
read twice. Reference: RFC 5280 section 6; what ``cryptography.x509.verification`` leaves open is checked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    ClientVerifier,
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from rjs import limits
from rjs.bundle.cms import UNREADABLE, key_of
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import shown
from rjs.identity.oids import ANSWER_EKU

CODE_SIGNING = ExtendedKeyUsageOID.CODE_SIGNING
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def validate_path(
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    *,
    roots: Sequence[x509.Certificate] | None,
    at: datetime,
    purpose: x509.ObjectIdentifier,
) -> tuple[x509.Certificate, ...]:
    """Return the path, leaf first and root last, or raise BundleRefusedError.

    ``purpose`` is CODE_SIGNING or ANSWER_EKU. With ``roots`` None a self-signed certificate among ``others`` is
    the root, which proves form and dates and nothing about trust.

    1. Every certificate can be read, and no two have one name: there is at most one path to try.
    2. The leaf is an end entity, may sign, and is for ``purpose`` and not for the other one.
    3. The leaf is valid at ``at`` and its key is strong enough.
    4. A path of at least two certificates leads to a root: signatures, names, dates, CA flags, path lengths, usage.
    5. Every CA on it may certify for ``purpose``; directory-name constraints, not evaluated here, are refused.
    """
    _check_block([leaf, *others])  # 1
    _check_leaf(leaf, purpose)  # 2
    _check_dates(leaf, at)  # 3
    _check_key(leaf)
    anchors = [c for c in others if _is_self_signed(c)] if roots is None else list(roots)
    try:
        path = (
            _verifier(anchors, at, purpose).verify(leaf, [c for c in others if c not in anchors]).chain
        )  # 4, 5
    except (VerificationError, ValueError):  # ValueError: no anchors at all
        raise _explained(leaf, [*others, *anchors], at, own_root=roots is None) from None
    if len(path) < 2:
        raise BundleRefusedError(
            "path", f"{subject_of(leaf)} vouches for itself; a certificate by a CA is needed"
        )
    return tuple(path)


def subject_of(certificate: x509.Certificate) -> str:
    """Return the subject for people: RFC 4514, control and format characters removed, at most 200 characters."""
    try:
        text = certificate.subject.rfc4514_string()
    except UNREADABLE:
        return "(unreadable name)"
    return "".join(character for character in text if character.isprintable())[:200]


def _check_block(certificates: Sequence[x509.Certificate]) -> None:
    for certificate in certificates:
        _check_readable(certificate)
    if len({certificate.subject.public_bytes() for certificate in certificates}) != len(certificates):
        raise BundleRefusedError("certificate", "two certificates of the signature block have one name")


def _check_readable(certificate: x509.Certificate) -> None:
    try:
        certificate.public_key()
        for name in (certificate.subject, certificate.issuer):
            name.rfc4514_string()
        for _ in (certificate.not_valid_before_utc, certificate.not_valid_after_utc, *certificate.extensions):
            pass
        encoded = certificate.public_bytes(Encoding.DER)
        canonical = encoded[-len(certificate.signature) - 1] == 0  # unused bits of the closing BIT STRING
    except UNREADABLE:
        canonical = False
    if not canonical:
        raise BundleRefusedError(
            "certificate", "a certificate of the signature block is malformed; have it issued again"
        )


def _check_leaf(leaf: x509.Certificate, purpose: x509.ObjectIdentifier) -> None:
    usages, usage, constraints = _extensions_of(leaf)
    if {CODE_SIGNING, ANSWER_EKU}.intersection(usages) != {purpose}:
        wanted = "code signing" if purpose == CODE_SIGNING else "answers"
        raise _unfit(leaf, f"its extended key usage is not for {wanted} alone")
    if usage is None or not usage.digital_signature:
        raise _unfit(leaf, "its key usage does not allow digital signatures")
    if constraints is not None and constraints.ca:
        raise _unfit(leaf, "it is a CA's; sign with a certificate of your own")


def _extensions_of(
    certificate: x509.Certificate,
) -> tuple[list[x509.ObjectIdentifier], x509.KeyUsage | None, x509.BasicConstraints | None]:
    usages: list[x509.ObjectIdentifier] = []
    usage, constraints = None, None
    for extension in certificate.extensions:
        match extension.value:
            case x509.ExtendedKeyUsage() as value:
                usages = list(value)
            case x509.KeyUsage() as value:
                usage = value
            case x509.BasicConstraints() as value:
                constraints = value
            case _:  # critical ones that nobody knows are refused in step 4
                pass
    return usages, usage, constraints


def _check_dates(certificate: x509.Certificate, at: datetime) -> None:
    if at > certificate.not_valid_after_utc:
        raise BundleRefusedError(
            "certificate-expired",
            f"the certificate of {subject_of(certificate)} expired "
            f"at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%SZ}; renew it and sign again",
        )
    if at < certificate.not_valid_before_utc:
        raise BundleRefusedError(
            "certificate-not-yet-valid",
            f"the certificate of {subject_of(certificate)} is valid from "
            f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%SZ}; check this machine's clock",
        )


def _check_key(certificate: x509.Certificate) -> None:
    match key_of(certificate):
        case rsa.RSAPublicKey() as key:
            strong = limits.MIN_RSA_BITS <= key.key_size <= limits.MAX_RSA_BITS
        case ec.EllipticCurvePublicKey() as key:
            strong = isinstance(key.curve, _CURVES)
        case ed25519.Ed25519PublicKey():
            strong = True
        case _:
            strong = False
    if not strong:
        raise BundleRefusedError(
            "key-strength",
            f"the key of {subject_of(certificate)} is too weak or of an unaccepted kind; use P-256",
        )


def _verifier(
    anchors: Sequence[x509.Certificate], at: datetime, purpose: x509.ObjectIdentifier
) -> ClientVerifier:
    def check_usages(
        policy: Policy, certificate: x509.Certificate, usages: x509.ExtendedKeyUsage | None
    ) -> None:
        if usages is not None and purpose not in usages:
            raise ValueError("this CA may not certify for this use")

    ca_policy = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.CRITICAL, _check_is_ca)
        .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _check_may_certify)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, check_usages)
        .may_be_present(x509.NameConstraints, Criticality.AGNOSTIC, _check_name_constraints)
    )
    return (
        PolicyBuilder()
        .store(Store(list(anchors)))
        .time(at)
        .max_chain_depth(limits.MAX_PATH_CERTIFICATES - 2)
        .extension_policies(ee_policy=ExtensionPolicy.permit_all(), ca_policy=ca_policy)
        .build_client_verifier()
    )


def _check_is_ca(policy: Policy, certificate: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("an issuer is not a CA")


def _check_may_certify(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.key_cert_sign:
        raise ValueError("an issuer may not sign certificates")


def _check_name_constraints(
    policy: Policy, certificate: x509.Certificate, constraints: x509.NameConstraints | None
) -> None:
    if constraints is None:
        return
    subtrees = [*(constraints.permitted_subtrees or []), *(constraints.excluded_subtrees or [])]
    if any(isinstance(subtree, x509.DirectoryName) for subtree in subtrees):
        raise ValueError("directory-name constraints are not evaluated here")


def _explained(
    leaf: x509.Certificate, candidates: Sequence[x509.Certificate], at: datetime, *, own_root: bool
) -> BundleRefusedError:
    """Return why no path was found, naming an expired issuer. It words the refusal and decides nothing."""
    current = leaf
    for _ in range(limits.MAX_PATH_CERTIFICATES):
        issuer = next((c for c in candidates if c.subject == current.issuer and c != current), None)
        if issuer is None:
            break
        try:
            _check_dates(issuer, at)
        except BundleRefusedError as refusal:
            return refusal
        current = issuer
    wanted = "a root inside the bundle" if own_root else "a root that is trusted here"
    return BundleRefusedError(
        "path",
        f"no valid certification path leads from {shown(subject_of(leaf))} to {wanted}; "
        f"sign with a certificate of such a CA",
    )


def _is_self_signed(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def _unfit(certificate: x509.Certificate, why: str) -> BundleRefusedError:
    return BundleRefusedError(
        "certificate", f"the certificate of {subject_of(certificate)} cannot be used: {why}"
    )
