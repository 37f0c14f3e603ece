"""Certificates that options name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rjs.errors import RjsError, UsageError

if TYPE_CHECKING:
    from cryptography import x509


def one_certificate(path: Path) -> x509.Certificate:
    """The certificate in a PEM file. Raises UsageError where there are several: one is meant."""
    from rjs.identity.keys import load_chain

    found = load_chain(path)
    if len(found) > 1:
        raise _several(path, len(found))
    return found[0]


def holders_certificate(path: Path) -> x509.Certificate:
    """The first certificate in a PEM file, which those of CAs above it may follow. Raises UsageError for others."""
    from rjs.identity.keys import load_chain

    found = load_chain(path)
    if not all(is_ca(each, path) for each in found[1:]):
        raise _several(path, len(found))
    return found[0]


def is_ca(certificate: x509.Certificate, path: Path) -> bool:
    """Whether a certificate, out of the file at ``path``, is a CA's; raises RjsError for an unreadable one."""
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
    except ValueError as error:
        raise RjsError(f"{path} holds a certificate that cannot be read: {error}") from error


def _several(path: Path, count: int) -> UsageError:
    return UsageError(f"{path} holds {count} certificates; give the one that you mean")
