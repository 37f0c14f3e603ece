"""CAs of others, in memory: for tests of what comes of their certificates. Real ones are made with ``openssl``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rjs.identity.accepted_cas import AcceptedCa, By, Listing
from rjs.identity.foreign import ForeignIdentity, ForeignPrivateKey
from rjs.identity.keys import new_key

_LEAF = {"digital_signature": True, "key_cert_sign": False, "crl_sign": False}
_CA = {"digital_signature": False, "key_cert_sign": True, "crl_sign": True}
_NO = {
    "content_commitment": False, "key_encipherment": False, "data_encipherment": False, "key_agreement": False,
    "encipher_only": False, "decipher_only": False,
}  # fmt: skip


class ForeignCa:
    """A CA that knows nothing of us, valid for ten days around ``now``; ``below`` makes one under it."""

    def __init__(self, now: dt.datetime, name: str = "University CA", above: ForeignCa | None = None) -> None:
        self.now = now
        self.key = new_key()
        self.above = above
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer, issuer = (self.key, self.name) if above is None else (above.key, above.name)
        builder = self._builder(self.name, issuer, self.key, 10, x509.KeyUsage(**_CA, **_NO))
        basic = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = builder.add_extension(basic, critical=True).sign(signer, hashes.SHA256())

    def below(self, name: str = "Issuing CA") -> ForeignCa:
        """A CA that this one certified."""
        return ForeignCa(self.now, name, self)

    def issue(
        self,
        subject: str | x509.Name = "CN=Ada Lovelace,O=University",
        *,
        emails: Sequence[str] = (),
        rsa_bits: int = 0,
        days: float = 5,
        usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
        names: Sequence[x509.GeneralName] = (),
    ) -> ForeignIdentity:
        """Somebody's key and certificate with those of the CAs above but the top one."""
        key: ForeignPrivateKey = new_key()
        if rsa_bits:
            key = rsa.generate_private_key(65537, rsa_bits)
        whom = subject if isinstance(subject, x509.Name) else x509.Name.from_rfc4514_string(subject)
        builder = self._builder(whom, self.name, key, days, x509.KeyUsage(**_LEAF, **_NO))
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        found = [*map(x509.RFC822Name._init_without_validation, emails), *names]  # a CA may write anything
        if found:
            builder = builder.add_extension(x509.SubjectAlternativeName(found), critical=False)
        leaf = builder.sign(self.key, hashes.SHA256())
        chain, ca = [leaf], self
        while ca.above is not None:
            chain.append(ca.certificate)
            ca = ca.above
        return ForeignIdentity(key, tuple(chain))

    def accepted(self, *accounts: tuple[str, By, str], domain: str = "") -> AcceptedCa:
        """What an operator says of it: this table, or this rule."""
        der = self.certificate.public_bytes(Encoding.DER)
        return AcceptedCa(certificate=der, accounts=tuple(Listing(*each) for each in accounts), domain=domain)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ForeignPrivateKey, days: float, usage: x509.KeyUsage
    ) -> x509.CertificateBuilder:
        public = key.public_key()
        assert isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - dt.timedelta(days=10))
            .not_valid_after(self.now + dt.timedelta(days=days))
            .add_extension(usage, critical=True)
        )
