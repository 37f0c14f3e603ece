"""Certificates that options name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rjs.errors import UsageError

if TYPE_CHECKING:
    from cryptography import x509


def one_certificate(path: Path) -> x509.Certificate:
    """The certificate in a PEM file. Raises UsageError where there are several: one is meant."""
    from rjs.identity.keys import load_chain

    found = load_chain(path)
    if len(found) > 1:
        raise UsageError(f"{path} holds {len(found)} certificates; give the one that you mean")
    return found[0]
