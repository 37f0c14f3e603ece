"""The forger's signature blocks, for tests: CMS put together element by element, each of which may be wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import attrs
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.bundle.testing import Party


def tlv(tag: int, *parts: bytes) -> bytes:
    """One DER element of at most 64 KiB."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    if size < 0x100:
        return bytes([tag, 0x81, size]) + content
    return bytes([tag, 0x82]) + size.to_bytes(2, "big") + content


SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
DATA = bytes.fromhex("06092a864886f70d010701")
SHA256 = bytes.fromhex("0609608648016503040201")
ECDSA_SHA256 = bytes.fromhex("06082a8648ce3d040302")
CONTENT_TYPE = tlv(0x30, bytes.fromhex("06092a864886f70d010903"), tlv(0x31, DATA))


def message_digest(content: bytes) -> bytes:
    """The attribute with the SHA-256 of ``content``."""
    value = tlv(0x04, hashlib.sha256(content).digest())
    return tlv(0x30, bytes.fromhex("06092a864886f70d010904"), tlv(0x31, value))


def sign_ecdsa(party: Party, data: bytes) -> bytes:
    signature: bytes = party.key.sign(data, ec.ECDSA(hashes.SHA256()))
    return signature


@attrs.define
class RawBlock:
    """A block by an EC ``signer``, correctly signed unless ``sign`` says otherwise; every field is raw DER.

    ``attributes`` None leaves out signed attributes (the content is signed then); ``after`` is put behind the
    signature, where unsigned attributes are.
    """

    signer: Party
    outer_type: bytes = SIGNED_DATA
    version: bytes = tlv(0x02, b"\x01")
    digests: bytes = tlv(0x31, tlv(0x30, SHA256))
    content: bytes = tlv(0x30, DATA)
    certificates: bytes | None = None
    revocations: bytes = b""
    signers: Callable[[bytes], bytes] = lambda info: tlv(0x31, info)
    info_version: bytes = tlv(0x02, b"\x01")
    sid: bytes | None = None
    digest: bytes = tlv(0x30, SHA256)
    attributes: list[bytes] | None = attrs.field(factory=lambda: [CONTENT_TYPE])
    ordered: bool = True
    algorithm: bytes = tlv(0x30, ECDSA_SHA256)
    after: bytes = b""
    sign: Callable[[Party, bytes], bytes] = sign_ecdsa

    def build(self, content: bytes) -> bytes:
        """Return the block over ``content``, whose digest becomes the last attribute before they are sorted."""
        data = tlv(
            0x30, self.version, self.digests, self.content,
            tlv(0xA0, *self._certificates()) if self.certificates is None else self.certificates,
            self.revocations, self.signers(self._info(content)),
        )  # fmt: skip
        return tlv(0x30, self.outer_type, tlv(0xA0, data))

    def _info(self, content: bytes) -> bytes:
        signed, attributes = content, b""
        if self.attributes is not None:
            stated = [*self.attributes, message_digest(content)]
            joined = b"".join(sorted(stated) if self.ordered else sorted(stated, reverse=True))
            signed, attributes = tlv(0x31, joined), tlv(0xA0, joined)
        signature = tlv(0x04, self.sign(self.signer, signed))
        sid = self._issuer_and_serial() if self.sid is None else self.sid
        return tlv(
            0x30, self.info_version, sid, self.digest, attributes, self.algorithm, signature, self.after
        )

    def _certificates(self) -> list[bytes]:
        return sorted(certificate.public_bytes(Encoding.DER) for certificate in self.signer.chain)

    def _issuer_and_serial(self) -> bytes:
        leaf = self.signer.certificate
        size = leaf.serial_number.bit_length() // 8 + 1
        return tlv(0x30, leaf.issuer.public_bytes(), tlv(0x02, leaf.serial_number.to_bytes(size, "big")))
