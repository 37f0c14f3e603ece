"""CMS AuthEnvelopedData, the one form in which something is sealed: its DER, read and written around a stream.

The second room behind the door of ``cms``: it may use ``cryptography.hazmat.asn1`` for the small structures. The
frame around the content is read and written here, for that module knows no streams. It must be read twice. No
key is touched here; that is ``seal_keys``.

References: RFC 5083 (AuthEnvelopedData), 5084 (AES-GCM), 5652 (recipients), 5753 (ECDH), 4055 (RSA-OAEP).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, BinaryIO, Final

import attrs
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ObjectIdentifier

from rjs import limits
from rjs.bundle.cms import UNREADABLE
from rjs.bundle.seal_errors import SealRefusedError

KEY_BYTES: Final = 32
"""The content key and the key that wraps it: AES-256."""
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16

_AUTH_ENVELOPED_DATA: Final = asn1.encode_der(ObjectIdentifier("1.2.840.113549.1.9.16.1.23"))
_DATA: Final = asn1.encode_der(ObjectIdentifier("1.2.840.113549.1.7.1"))
_VERSION: Final = asn1.encode_der(0)
_AES256_GCM: Final = ObjectIdentifier("2.16.840.1.101.3.4.1.46")
_AES256_WRAP: Final = ObjectIdentifier("2.16.840.1.101.3.4.1.45")
_EC_PUBLIC_KEY: Final = ObjectIdentifier("1.2.840.10045.2.1")
_RSA_OAEP: Final = ObjectIdentifier("1.2.840.113549.1.1.7")
_MGF1: Final = ObjectIdentifier("1.2.840.113549.1.1.8")

_SEQUENCE, _SET, _OCTETS = 0x30, 0x31, 0x04
_EXPLICIT_CONTENT, _CIPHERTEXT = 0xA0, 0x80
_TAIL_BYTES: Final = 2 + TAG_BYTES

_DIGESTS: Final[Mapping[ObjectIdentifier, hashes.HashAlgorithm]] = {
    ObjectIdentifier("2.16.840.1.101.3.4.2.1"): hashes.SHA256(),
    ObjectIdentifier("2.16.840.1.101.3.4.2.2"): hashes.SHA384(),
    ObjectIdentifier("2.16.840.1.101.3.4.2.3"): hashes.SHA512(),
}
_AGREEMENTS: Final[Mapping[ObjectIdentifier, hashes.HashAlgorithm]] = {
    ObjectIdentifier("1.3.132.1.11.1"): hashes.SHA256(),
    ObjectIdentifier("1.3.132.1.11.2"): hashes.SHA384(),
    ObjectIdentifier("1.3.132.1.11.3"): hashes.SHA512(),
    # What openssl writes unless told otherwise. Read only: deriving a key needs no resistance to collisions.
    ObjectIdentifier("1.3.133.16.840.63.0.2"): hashes.SHA1(),  # noqa: S303
}


@asn1.sequence
class _Algorithm:
    algorithm: ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class _IssuerAndSerial:
    issuer: asn1.TLV
    serial: int


@asn1.sequence
class _GcmParameters:
    nonce: bytes
    tag_bytes: Annotated[int, asn1.Default(12)]


@asn1.sequence
class _ContentAlgorithm:
    algorithm: ObjectIdentifier
    parameters: _GcmParameters


@asn1.sequence
class _Mask:
    algorithm: ObjectIdentifier
    digest: _Algorithm


@asn1.sequence
class _OaepParameters:
    digest: Annotated[_Algorithm, asn1.Explicit(0)]
    mask: Annotated[_Mask, asn1.Explicit(1)]


@asn1.sequence
class _OaepAlgorithm:
    algorithm: ObjectIdentifier
    parameters: _OaepParameters


@asn1.sequence
class _KeyTransport:
    version: int
    recipient: _IssuerAndSerial
    algorithm: _OaepAlgorithm
    wrapped: bytes


@asn1.sequence
class _OriginatorKey:
    algorithm: _Algorithm
    point: asn1.BitString


@asn1.sequence
class _Originator:
    key: Annotated[_OriginatorKey, asn1.Implicit(1)]


@asn1.sequence
class _AgreementAlgorithm:
    algorithm: ObjectIdentifier
    wrap: _Algorithm


@asn1.sequence
class _WrappedKey:
    recipient: _IssuerAndSerial
    wrapped: bytes


@asn1.sequence
class _KeyAgreement:
    version: int
    originator: Annotated[_Originator, asn1.Implicit(0)]
    algorithm: _AgreementAlgorithm
    keys: list[_WrappedKey]


@asn1.sequence
class _Recipients:  # in a sequence, because the module gives tags to the members of one only
    infos: asn1.SetOf[_KeyTransport | Annotated[_KeyAgreement, asn1.Implicit(1)]]


@asn1.sequence
class _SharedInfo:
    key_info: _Algorithm
    key_bits: Annotated[bytes, asn1.Explicit(2)]


SHARED_INFO: Final = asn1.encode_der(
    _SharedInfo(
        key_info=_Algorithm(algorithm=_AES256_WRAP, parameters=None),
        key_bits=(8 * KEY_BYTES).to_bytes(4, "big"),
    )
)
"""What binds a derived key to its use (ECC-CMS-SharedInfo, RFC 5753 section 7.2)."""


@attrs.frozen
class RecipientName:
    """Issuer (DER) and serial number: what names a certificate in CMS."""

    issuer: bytes
    serial: int

    @classmethod
    def of(cls, certificate: x509.Certificate) -> RecipientName:
        """The name of ``certificate``; raises one of ``cms.UNREADABLE`` when its issuer cannot be read."""
        return cls(certificate.issuer.public_bytes(), certificate.serial_number)


@attrs.frozen
class AgreedKey:
    """The content key, wrapped under a key agreed with ``point``, an uncompressed one of the recipient's curve."""

    recipient: RecipientName
    point: bytes
    digest: hashes.HashAlgorithm
    wrapped: bytes = attrs.field(repr=False)


@attrs.frozen
class TransportedKey:
    """The content key, encrypted by RSA-OAEP with ``digest`` for label and mask alike."""

    recipient: RecipientName
    digest: hashes.HashAlgorithm
    wrapped: bytes = attrs.field(repr=False)


WrappedKey = AgreedKey | TransportedKey


@attrs.frozen
class Head:
    """All that stands before the encrypted content, whose size in bytes is ``size``."""

    keys: tuple[WrappedKey, ...]
    nonce: bytes
    size: int


def encode_head(head: Head) -> bytes:
    """Return the DER up to the first encrypted byte; ``head.size`` bytes and ``encode_tail`` complete it."""
    recipients = asn1.encode_der(_Recipients(infos=asn1.SetOf([_encoded_key(key) for key in head.keys])))
    algorithm = asn1.encode_der(
        _ContentAlgorithm(
            algorithm=_AES256_GCM, parameters=_GcmParameters(nonce=head.nonce, tag_bytes=TAG_BYTES)
        )
    )
    content = _DATA + algorithm + _header(_CIPHERTEXT, head.size)
    fields = _VERSION + _content_of(recipients) + _header(_SEQUENCE, len(content) + head.size) + content
    rest = head.size + _TAIL_BYTES
    enveloped = _header(_SEQUENCE, len(fields) + rest) + fields
    explicit = _header(_EXPLICIT_CONTENT, len(enveloped) + rest) + enveloped
    return _header(_SEQUENCE, len(_AUTH_ENVELOPED_DATA + explicit) + rest) + _AUTH_ENVELOPED_DATA + explicit


def encode_tail(tag: bytes) -> bytes:
    """Return the DER after the encrypted content."""
    return _header(_OCTETS, len(tag)) + tag


def read_head(source: BinaryIO, limit: int) -> Head:
    """Read up to the first encrypted byte; raises SealRefusedError, whatever the bytes.

    1. DER with stated, minimal lengths, of which each is exactly filled by what it holds: no attributes.
    2. AuthEnvelopedData version 0 over data, with AES-256-GCM, a nonce of 12 bytes and a tag of 16.
    3. Every recipient is named by issuer and serial number and has its key by ECDH or by RSA-OAEP.
    4. At most ``limit`` bytes of content, and ``limits.MAX_RECIPIENTS`` recipients.
    """
    reader = _Reader(source)
    end = reader.enter(_SEQUENCE)  # 1
    reader.expect(_AUTH_ENVELOPED_DATA, "it is not AuthEnvelopedData; seal it with AES-256-GCM")  # 2
    if {reader.enter(_EXPLICIT_CONTENT), reader.enter(_SEQUENCE)} != {end}:
        raise _form("its lengths disagree")
    reader.expect(_VERSION, "it is not of version 0 without originator's certificates")
    keys = _decoded_keys(reader.element(_SET))  # 3
    content_end = reader.enter(_SEQUENCE)
    reader.expect(_DATA, "its content is not 'data'")
    nonce = _decoded_nonce(reader.element(_SEQUENCE))
    if reader.enter(_CIPHERTEXT) != content_end or content_end + _TAIL_BYTES != end:
        raise _form("its lengths disagree, or it has attributes")
    size = content_end - reader.position
    if size > limit:  # 4
        raise SealRefusedError("sealed-limit", f"the sealed content is larger than {limit} bytes")
    return Head(keys, nonce, size)


def read_tail(source: BinaryIO) -> bytes:
    """Read the tag and the end; raises SealRefusedError unless both stand here."""
    reader = _Reader(source)
    reader.expect(_header(_OCTETS, TAG_BYTES), "it has no tag of 16 bytes")
    tag = reader.take(TAG_BYTES)
    if source.read(1):
        raise _form("bytes follow its end")
    return tag


def _encoded_key(key: WrappedKey) -> _KeyTransport | _KeyAgreement:
    recipient = _IssuerAndSerial(
        issuer=asn1.decode_der(asn1.TLV, key.recipient.issuer), serial=key.recipient.serial
    )
    if isinstance(key, TransportedKey):
        digest = _Algorithm(algorithm=_oid_of(_DIGESTS, key.digest), parameters=None)
        parameters = _OaepParameters(digest=digest, mask=_Mask(algorithm=_MGF1, digest=digest))
        oaep = _OaepAlgorithm(algorithm=_RSA_OAEP, parameters=parameters)
        return _KeyTransport(version=0, recipient=recipient, algorithm=oaep, wrapped=key.wrapped)
    originator = _OriginatorKey(
        algorithm=_Algorithm(algorithm=_EC_PUBLIC_KEY, parameters=None),
        point=asn1.BitString(data=key.point, padding_bits=0),
    )
    agreement = _AgreementAlgorithm(
        algorithm=_oid_of(_AGREEMENTS, key.digest),
        wrap=_Algorithm(algorithm=_AES256_WRAP, parameters=None),
    )
    return _KeyAgreement(
        version=3,
        originator=_Originator(key=originator),
        algorithm=agreement,
        keys=[_WrappedKey(recipient=recipient, wrapped=key.wrapped)],
    )


def _decoded_keys(infos: bytes) -> tuple[WrappedKey, ...]:
    try:
        recipients = asn1.decode_der(_Recipients, _header(_SEQUENCE, len(infos)) + infos).infos.as_list()
    except UNREADABLE:
        raise _form("its recipients are not named by issuer and serial number, with ECDH or OAEP") from None
    if len(recipients) > limits.MAX_RECIPIENTS:
        raise SealRefusedError("sealed-limit", f"it has more than {limits.MAX_RECIPIENTS} recipients")
    return tuple(_decoded_key(recipient) for recipient in recipients)


def _decoded_key(info: _KeyTransport | _KeyAgreement) -> WrappedKey:
    if isinstance(info, _KeyTransport):
        if info.version != 0:
            raise _form("a recipient's version is wrong")
        return TransportedKey(_name_of(info.recipient), _oaep_digest(info.algorithm), info.wrapped)
    if info.version != 3 or len(info.keys) != 1:
        raise _form("a recipient's version is wrong, or it does not have exactly one key")
    (key,) = info.keys
    originator = info.originator.key
    digest = _AGREEMENTS.get(info.algorithm.algorithm)
    wrap = info.algorithm.wrap
    if digest is None or (wrap.algorithm, wrap.parameters) != (_AES256_WRAP, None):
        raise _algorithm("the key is not agreed by ECDH with SHA-2 and wrapped with AES-256")
    if originator.algorithm.algorithm != _EC_PUBLIC_KEY or originator.point.padding_bits():
        raise _form("a sender's key is not a point of an elliptic curve")
    return AgreedKey(_name_of(key.recipient), originator.point.as_bytes(), digest, key.wrapped)


def _oaep_digest(stated: _OaepAlgorithm) -> hashes.HashAlgorithm:
    oid, mask = stated.parameters.digest.algorithm, stated.parameters.mask
    digest = _DIGESTS.get(oid)
    if (
        digest is None
        or stated.algorithm != _RSA_OAEP
        or (mask.algorithm, mask.digest.algorithm) != (_MGF1, oid)
    ):
        raise _algorithm("the key is not encrypted by RSA-OAEP with one SHA-2 digest throughout")
    return digest


def _decoded_nonce(algorithm: bytes) -> bytes:
    try:
        stated = asn1.decode_der(_ContentAlgorithm, algorithm)
    except UNREADABLE:
        raise _algorithm("the content is not encrypted with AES-256-GCM") from None
    parameters = stated.parameters
    if (stated.algorithm, len(parameters.nonce), parameters.tag_bytes) != (
        _AES256_GCM,
        NONCE_BYTES,
        TAG_BYTES,
    ):
        raise _algorithm("the content is not encrypted with AES-256-GCM, nonce of 12 bytes, tag of 16")
    return parameters.nonce


def _name_of(recipient: _IssuerAndSerial) -> RecipientName:
    return RecipientName(asn1.encode_der(recipient.issuer), recipient.serial)


def _oid_of(
    table: Mapping[ObjectIdentifier, hashes.HashAlgorithm], digest: hashes.HashAlgorithm
) -> ObjectIdentifier:
    return next(oid for oid, each in table.items() if each.name == digest.name)


class _Reader:
    """Reads DER off a stream: every length is definite and minimal."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.position = 0

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        taken = b""
        while len(taken) < count:
            piece = self._source.read(count - len(taken))
            if not piece:
                raise SealRefusedError("sealed-data", "the sealed file ends too early; get it again")
            taken += piece
        self.position += count
        return taken

    def expect(self, der: bytes, otherwise: str) -> None:
        """Read exactly ``der``."""
        if self.take(len(der)) != der:
            raise _form(otherwise)

    def enter(self, tag: int) -> int:
        """Read the header of an element with ``tag``; returns the position where its content ends."""
        return self._length(tag) + self.position

    def element(self, tag: int) -> bytes:
        """Read a small element with ``tag`` whole, header included."""
        length = self._length(tag)
        if length > limits.MAX_SEAL_HEAD_BYTES:
            raise SealRefusedError("sealed-limit", "the head of the sealed file is too large")
        return _header(tag, length) + self.take(length)

    def _length(self, tag: int) -> int:
        found, first = self.take(2)
        if found != tag:
            raise _form(f"an element has tag {found:#04x} where {tag:#04x} must be")
        if first < 0x80:
            return first
        if not 1 <= first - 0x80 <= 8:
            raise _form("a length is not stated; seal it without streaming")
        octets = self.take(first - 0x80)
        length = int.from_bytes(octets, "big")
        if octets[0] == 0 or length < 0x80:
            raise _form("a length is not minimal")
        return length


def _header(tag: int, length: int) -> bytes:
    if length < 0x80:
        return bytes([tag, length])
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets


def _content_of(der: bytes) -> bytes:
    """The element without its header."""
    first = der[1]
    return der[2:] if first < 0x80 else der[2 + first - 0x80 :]


def _form(why: str) -> SealRefusedError:
    return SealRefusedError("sealed-form", f"the sealed file is not accepted: {why}")


def _algorithm(why: str) -> SealRefusedError:
    return SealRefusedError("sealed-algorithm", f"the sealed file is not accepted: {why}; seal it again")
