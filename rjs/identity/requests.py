"""Certificate requests (PKCS#10): the proof that somebody holds the private key of a name that they ask for."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from rjs.identity.certificates import sole_uri
from rjs.identity.errors import IdentityError
from rjs.identity.keys import PrivateKey, PublicKey, our_public_key
from rjs.limits import CERTIFICATE


def make_request(key: PrivateKey, uri: str, common_name: str) -> x509.CertificateSigningRequest:
    """A request by the holder of ``key`` for a certificate with this SAN URI."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .sign(key, hashes.SHA256())
    )


def request_der(request: x509.CertificateSigningRequest) -> bytes:
    """The form in which a request travels."""
    return request.public_bytes(serialization.Encoding.DER)


def requested_key(encoded: bytes, uri: str) -> PublicKey:
    """The key of a request for a certificate of exactly ``uri``. Raises IdentityError, as ``read_request``."""
    key, asked = read_request(encoded)
    if asked != uri:
        raise IdentityError("other_name", f"the request is for a certificate of {asked!r}, not of {uri}")
    return key


def read_request(encoded: bytes) -> tuple[PublicKey, str]:
    """The P-256 key and the SAN URI of a request in DER or PEM, once its own signature holds."""
    if len(encoded) > CERTIFICATE:
        raise IdentityError("request", f"a certificate request has at most {CERTIFICATE} bytes")
    load = x509.load_pem_x509_csr if encoded.startswith(b"-----BEGIN") else x509.load_der_x509_csr
    try:
        request = load(encoded)
        genuine = request.is_signature_valid
    except Exception as error:  # ValueError, UnsupportedAlgorithm and others, by what is malformed
        raise IdentityError("request", f"the certificate request cannot be read: {error}") from error
    if not genuine:
        raise IdentityError("request", "the certificate request was not signed with the key that it names")
    return our_public_key(request), sole_uri(request)
