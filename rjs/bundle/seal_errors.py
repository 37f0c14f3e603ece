"""Why sealing or opening is refused: every code, with what it means. ``docs/sealing.md`` prints the same table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rjs.errors import RefusedError

SEAL_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "seal-recipient": "no recipient, too many, one twice, or a certificate that nothing can be sealed for",
        "seal-input": "the content to seal is not of the size that was stated, or too large",
        "sealed-form": "not the one DER form of CMS AuthEnvelopedData that is accepted",
        "sealed-algorithm": "sealed with an algorithm that is not accepted",
        "sealed-limit": "more recipients, or more content, than is read",
        "sealed-recipient": "not sealed for this certificate, or not for exactly those whom the job names",
        "sealed-key": "no private key that can be read, or not that of the certificate",
        "sealed-data": "changed or cut off after sealing, or sealed for another key under the same name",
        "sealed-outputs": "the sealed outputs are not those of the answer that they came in",
        "sealed-value": "a stored value that is not a sealed one, or was sealed for another setting",
    }
)


class SealRefusedError(RefusedError):
    """Nothing was sealed, or nothing was opened; ``code`` is a key of ``SEAL_CODES``."""

    def __init__(self, code: str, sentence: str) -> None:
        assert code in SEAL_CODES, code
        super().__init__(code, sentence)
