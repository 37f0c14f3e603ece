"""CMS SignedData, the signature block of a JAR: the one form that we accept, and the same form written.

This is the only module that may use ``cryptography.hazmat.asn1``, which its authors mark unstable, and it must
be read twice. The parser refuses trailing bytes, BER, non-minimal lengths and unsorted SET OF. Certificates are
read here and judged in ``path``.

References: RFC 5652 (CMS), 5754 (SHA-2), 5753 (ECDSA), 8419 (Ed25519), 6211 (algorithm protection),
5035 (signing certificate).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import ObjectIdentifier

from rjs import limits
from rjs.bundle.errors import BundleRefusedError

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_SIGNED_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.2")
_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.1")
_CONTENT_TYPE: Final = ObjectIdentifier("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST: Final = ObjectIdentifier("1.2.840.113549.1.9.4")
_SIGNING_CERTIFICATE: Final = ObjectIdentifier("1.2.840.113549.1.9.16.2.47")
_ALGORITHM_PROTECTION: Final = ObjectIdentifier("1.2.840.113549.1.9.52")
_RSA_ENCRYPTION: Final = ObjectIdentifier("1.2.840.113549.1.1.1")
_ED25519: Final = ObjectIdentifier("1.3.101.112")
_SHA256: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_SHA512: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.3")

_DIGESTS: Final[Mapping[ObjectIdentifier, hashes.HashAlgorithm]] = {
    _SHA256: hashes.SHA256(),
    ObjectIdentifier("2.16.840.1.101.3.4.2.2"): hashes.SHA384(),
    _SHA512: hashes.SHA512(),
}
_RSA_SIGNATURES: Final[Mapping[ObjectIdentifier, str]] = {
    ObjectIdentifier("1.2.840.113549.1.1.11"): "sha256",
    ObjectIdentifier("1.2.840.113549.1.1.12"): "sha384",
    ObjectIdentifier("1.2.840.113549.1.1.13"): "sha512",
}
_ECDSA_SIGNATURES: Final[Mapping[ObjectIdentifier, str]] = {
    ObjectIdentifier("1.2.840.10045.4.3.2"): "sha256",
    ObjectIdentifier("1.2.840.10045.4.3.3"): "sha384",
    ObjectIdentifier("1.2.840.10045.4.3.4"): "sha512",
}
_ECDSA_SHA256: Final = ObjectIdentifier("1.2.840.10045.4.3.2")


UNREADABLE: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    CryptographyDeprecationWarning,  # where warnings are errors: a serial number that is not positive
)
"""What ``cryptography`` raises for a malformed structure or certificate, found by changing every byte of a block."""


@asn1.sequence
class _Algorithm:
    algorithm: ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _Attribute:
    type: ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class _IssuerAndSerial:
    issuer: asn1.TLV
    serial: int


@asn1.sequence
class _SignerInfo:
    version: int
    sid: _IssuerAndSerial
    digest_algorithm: _Algorithm
    signed_attributes: Annotated[asn1.SetOf[_Attribute] | None, asn1.Implicit(0)]
    signature_algorithm: _Algorithm
    signature: bytes
    unsigned_attributes: Annotated[asn1.SetOf[_Attribute] | None, asn1.Implicit(1)]


@asn1.sequence
class _EncapsulatedContent:
    type: ObjectIdentifier
    content: Annotated[bytes | None, asn1.Explicit(0)]


@asn1.sequence
class _SignedData:
    version: int
    digest_algorithms: asn1.SetOf[_Algorithm]
    content: _EncapsulatedContent
    certificates: Annotated[asn1.SetOf[x509.Certificate], asn1.Implicit(0)]
    signer_infos: asn1.SetOf[_SignerInfo]


@asn1.sequence
class _ContentInfo:
    type: ObjectIdentifier
    content: Annotated[_SignedData, asn1.Explicit(0)]


@asn1.sequence
class _AlgorithmProtection:
    digest_algorithm: _Algorithm
    signature_algorithm: Annotated[_Algorithm | None, asn1.Implicit(1)]
    mac_algorithm: Annotated[_Algorithm | None, asn1.Implicit(2)]


@asn1.sequence
class _IssuerSerial:
    issuer: list[asn1.TLV]
    serial: int


@asn1.sequence
class _CertificateId:
    hash_algorithm: _Algorithm | None
    certificate_hash: bytes
    issuer_serial: _IssuerSerial | None


@asn1.sequence
class _SigningCertificate:
    certificates: list[_CertificateId]
    policies: list[asn1.TLV] | None


@attrs.frozen
class SignatureBlock:
    """A block whose signature over the content was checked with ``signer``'s key; no certificate was judged."""

    signer: x509.Certificate
    others: tuple[x509.Certificate, ...]


def verify_block(block: bytes, content: bytes) -> SignatureBlock:
    """Return who signed ``content``, or raise BundleRefusedError.

    1. DER, ContentInfo of SignedData version 1, detached, one SignerInfo version 1.
    2. Exactly one certificate of the block is the signer's.
    3. One digest algorithm, SHA-2, named alike everywhere; the signature algorithm fits it and the key.
    4. Signed attributes are present, each type once with one value: content type ``data`` and this content's digest;
       algorithm protection and signing certificate, when present, agree.
    5. The signature over the signed attributes verifies.
    """
    data, info = _parse(block)  # 1
    signer, others = _split_certificates(data.certificates.as_list(), info.sid)  # 2
    digest = _digest_algorithm(data, info)
    key = key_of(signer)
    _check_signature_algorithm(info, key, digest)  # 3
    attributes = _check_attributes(info, signer, content, digest)  # 4
    try:
        _check_signature(key, info.signature, attributes, digest)  # 5
    except InvalidSignature:
        raise BundleRefusedError(
            "signature",
            "the signature does not match: the bundle was changed after signing; get it again from its signer",
        ) from None
    return SignatureBlock(signer, others)


def sign_block(content: bytes, key: SigningKey, chain: Sequence[x509.Certificate]) -> bytes:
    """Return the detached block over ``content`` by the key of ``chain[0]``, all of ``chain`` inside.

    The digest is SHA-256, with Ed25519 SHA-512 (RFC 8419).
    """
    digest_oid = _SHA512 if isinstance(key, ed25519.Ed25519PrivateKey) else _SHA256
    digest = _DIGESTS[digest_oid]
    # RFC 5754 section 2: SHA-2 without parameters; section 3.2: RSA with NULL.
    digest_algorithm = _Algorithm(algorithm=digest_oid, parameters=None)
    attributes = asn1.SetOf(
        [
            _attribute(_CONTENT_TYPE, asn1.encode_der(_DATA)),
            _attribute(_MESSAGE_DIGEST, asn1.encode_der(hashlib.new(digest.name, content).digest())),
            _attribute(_SIGNING_CERTIFICATE, asn1.encode_der(_signing_certificate(chain[0]))),
        ]
    )
    info = _SignerInfo(
        version=1,
        sid=_IssuerAndSerial(issuer=_tlv(chain[0].issuer.public_bytes()), serial=chain[0].serial_number),
        digest_algorithm=digest_algorithm,
        signed_attributes=attributes,
        signature_algorithm=_signature_algorithm(key),
        signature=_signed(key, asn1.encode_der(attributes)),
        unsigned_attributes=None,
    )
    data = _SignedData(
        version=1,
        digest_algorithms=asn1.SetOf([digest_algorithm]),
        content=_EncapsulatedContent(type=_DATA, content=None),
        certificates=asn1.SetOf(list(chain)),
        signer_infos=asn1.SetOf([info]),
    )
    return asn1.encode_der(_ContentInfo(type=_SIGNED_DATA, content=data))


def block_suffix(key: SigningKey | CertificatePublicKeyTypes) -> str:
    """Return the file suffix that the JAR specification asks for with this key: ``.RSA`` or ``.EC``."""
    return ".RSA" if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey) else ".EC"


def key_of(certificate: x509.Certificate) -> CertificatePublicKeyTypes:
    """Return the certificate's key; raises BundleRefusedError ``certificate`` when it cannot be read."""
    try:
        return certificate.public_key()
    except UNREADABLE:
        raise BundleRefusedError(
            "certificate", "the key of a certificate cannot be read; use P-256"
        ) from None


def _parse(block: bytes) -> tuple[_SignedData, _SignerInfo]:
    try:
        info = asn1.decode_der(_ContentInfo, block)
    except UNREADABLE:
        raise _form("it is not DER of SignedData with plain algorithms") from None
    data = info.content
    if (info.type, data.version, data.content.type) != (_SIGNED_DATA, 1, _DATA):
        raise _form("it is not SignedData version 1 over data")
    if data.content.content is not None:
        raise _form("it carries its own content; only detached signatures are accepted")
    signers = data.signer_infos.as_list()
    if len(signers) != 1 or signers[0].version != 1:
        raise _form("it does not have exactly one signer, named by issuer and serial number")
    return data, signers[0]


def _split_certificates(
    certificates: list[x509.Certificate], sid: _IssuerAndSerial
) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
    if len(certificates) > limits.MAX_BLOCK_CERTIFICATES:
        raise _form(f"it has more than {limits.MAX_BLOCK_CERTIFICATES} certificates")
    issuer = asn1.encode_der(sid.issuer)
    try:
        signers = [
            certificate
            for certificate in certificates
            if certificate.serial_number == sid.serial and certificate.issuer.public_bytes() == issuer
        ]
    except UNREADABLE:
        raise BundleRefusedError(
            "certificate", "a certificate of the signature block cannot be read"
        ) from None
    if len(signers) != 1:
        raise _form("it does not hold the signer's certificate exactly once")
    return signers[0], tuple(certificate for certificate in certificates if certificate is not signers[0])


def _digest_algorithm(data: _SignedData, info: _SignerInfo) -> hashes.HashAlgorithm:
    stated = [algorithm.algorithm for algorithm in data.digest_algorithms.as_list()]
    oid = info.digest_algorithm.algorithm
    if stated != [oid] or oid not in _DIGESTS:
        raise _algorithm("the digest is not one SHA-256, SHA-384 or SHA-512")
    return _DIGESTS[oid]


def _check_signature_algorithm(
    info: _SignerInfo, key: CertificatePublicKeyTypes, digest: hashes.HashAlgorithm
) -> None:
    oid = info.signature_algorithm.algorithm
    match key:
        case rsa.RSAPublicKey():
            fits = oid == _RSA_ENCRYPTION or _RSA_SIGNATURES.get(oid) == digest.name
        case ec.EllipticCurvePublicKey():
            fits = _ECDSA_SIGNATURES.get(oid) == digest.name
        case ed25519.Ed25519PublicKey():
            fits = oid == _ED25519 and digest.name == "sha512"
        case _:
            fits = False
    if not fits:
        raise _algorithm("the signature algorithm does not fit the signer's key and digest")


def _check_attributes(
    info: _SignerInfo, signer: x509.Certificate, content: bytes, digest: hashes.HashAlgorithm
) -> bytes:
    """Check the signed attributes and return the bytes that were signed (RFC 5652 section 5.4: as a SET OF)."""
    if info.signed_attributes is None:
        raise _form("it has no signed attributes; sign it again with a current jarsigner or with rjs")
    values: dict[ObjectIdentifier, bytes] = {}
    for attribute in info.signed_attributes.as_list():
        value = attribute.values.as_list()
        if attribute.type in values or len(value) != 1:
            raise _form("a signed attribute appears twice or does not have one value")
        values[attribute.type] = asn1.encode_der(value[0])
    if values.get(_CONTENT_TYPE) != asn1.encode_der(_DATA):
        raise _form("its content type attribute is not 'data'")
    if values.get(_MESSAGE_DIGEST) != asn1.encode_der(hashlib.new(digest.name, content).digest()):
        raise BundleRefusedError(
            "signature", "the signature file was changed after signing; get the bundle again from its signer"
        )
    if _ALGORITHM_PROTECTION in values:
        _check_protection(values[_ALGORITHM_PROTECTION], info)
    if _SIGNING_CERTIFICATE in values:
        _check_signing_certificate(values[_SIGNING_CERTIFICATE], signer)
    return asn1.encode_der(info.signed_attributes)


def _check_protection(value: bytes, info: _SignerInfo) -> None:
    try:
        protection = asn1.decode_der(_AlgorithmProtection, value)
    except UNREADABLE:
        raise _form("its algorithm protection attribute is malformed") from None
    stated = (protection.digest_algorithm.algorithm, protection.signature_algorithm, protection.mac_algorithm)
    match stated:
        case (digest, _Algorithm() as signature, None):
            agrees = (digest, signature.algorithm) == (
                info.digest_algorithm.algorithm,
                info.signature_algorithm.algorithm,
            )
        case _:
            agrees = False
    if not agrees:
        raise _algorithm("the protected algorithms are not those that were used")


def _check_signing_certificate(value: bytes, signer: x509.Certificate) -> None:
    """Without this attribute anyone could put a fresh certificate for the same key under an old signature."""
    try:
        stated = asn1.decode_der(_SigningCertificate, value).certificates[0]
    except (*UNREADABLE, IndexError):
        raise _form("its signing certificate attribute is malformed") from None
    oid = _SHA256 if stated.hash_algorithm is None else stated.hash_algorithm.algorithm
    if oid not in _DIGESTS:
        raise _algorithm("the signing certificate's digest is not SHA-256, SHA-384 or SHA-512")
    if stated.certificate_hash != signer.fingerprint(_DIGESTS[oid]):
        raise BundleRefusedError("signature", "the signature was made under another certificate; sign again")


def _check_signature(
    key: CertificatePublicKeyTypes, signature: bytes, signed: bytes, digest: hashes.HashAlgorithm
) -> None:
    match key:
        case rsa.RSAPublicKey():
            if not limits.MIN_RSA_BITS <= key.key_size <= limits.MAX_RSA_BITS:
                raise BundleRefusedError(
                    "key-strength", f"an RSA key of {key.key_size} bits is not accepted; use P-256"
                )
            key.verify(signature, signed, padding.PKCS1v15(), digest)
        case ec.EllipticCurvePublicKey():
            key.verify(signature, signed, ec.ECDSA(digest))
        case ed25519.Ed25519PublicKey():
            key.verify(signature, signed)
        case _:  # step 3 let nothing else pass
            raise _algorithm("the key is of another kind")


def _signature_algorithm(key: SigningKey) -> _Algorithm:
    match key:
        case rsa.RSAPrivateKey():
            return _Algorithm(algorithm=_RSA_ENCRYPTION, parameters=asn1.Null())
        case ec.EllipticCurvePrivateKey():
            return _Algorithm(algorithm=_ECDSA_SHA256, parameters=None)
        case ed25519.Ed25519PrivateKey():
            return _Algorithm(algorithm=_ED25519, parameters=None)


def _signed(key: SigningKey, data: bytes) -> bytes:
    match key:
        case rsa.RSAPrivateKey():
            return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        case ec.EllipticCurvePrivateKey():
            return key.sign(data, ec.ECDSA(hashes.SHA256()))
        case ed25519.Ed25519PrivateKey():
            return key.sign(data)


def _signing_certificate(certificate: x509.Certificate) -> _SigningCertificate:
    # RFC 5035 section 3: SHA-256 is the default algorithm and therefore left out.
    identifier = _CertificateId(
        hash_algorithm=None, certificate_hash=certificate.fingerprint(hashes.SHA256()), issuer_serial=None
    )
    return _SigningCertificate(certificates=[identifier], policies=None)


def _attribute(oid: ObjectIdentifier, value: bytes) -> _Attribute:
    return _Attribute(type=oid, values=asn1.SetOf([_tlv(value)]))


def _tlv(der: bytes) -> asn1.TLV:
    return asn1.decode_der(asn1.TLV, der)


def _form(why: str) -> BundleRefusedError:
    return BundleRefusedError("block-form", f"the signature block is not accepted: {why}")


def _algorithm(why: str) -> BundleRefusedError:
    return BundleRefusedError(
        "block-algorithm", f"the signature block is not accepted: {why}; sign with P-256 and SHA-256"
    )
