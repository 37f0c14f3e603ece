"""Sensitive values in stored configuration, sealed: who reads or copies the file, or a backup of it, learns nothing.

A sealed value is one line of text, good for TOML, JSON and a database. It belongs to one setting, so that it cannot
be moved to one that is shown. The private key that opens it must lie elsewhere than the values.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from typing import Final, NewType

import msgspec
from cryptography import x509

from rjs import limits
from rjs.bundle.seal import Randomness, open_sealed_bytes, seal
from rjs.bundle.seal_errors import SealRefusedError
from rjs.bundle.seal_keys import OpeningKey

SealedValue = NewType("SealedValue", str)

PREFIX: Final = "sealed:"


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    setting: str
    value: str


def seal_value(
    setting: str, value: str, recipients: Sequence[x509.Certificate], randomness: Randomness = os.urandom
) -> SealedValue:
    """Return ``value`` sealed as that of ``setting``: ``sealed:`` and base64. Its length stays visible.

    Raises SealRefusedError ``seal-recipient``, and ``seal-input`` for what is no Unicode text or longer than
    ``limits.MAX_SEALED_VALUE_BYTES``.
    """
    try:
        content = msgspec.json.encode(_Content(setting, value))
    except UnicodeEncodeError:
        raise SealRefusedError("seal-input", f"the value of {setting} is not Unicode text") from None
    if len(content) > limits.MAX_SEALED_VALUE_BYTES:
        raise SealRefusedError("seal-input", f"the value of {setting} is too long to be sealed")
    out = io.BytesIO()
    seal(io.BytesIO(content), len(content), out, recipients, randomness)
    return SealedValue(PREFIX + base64.b64encode(out.getvalue()).decode())


def is_sealed(text: str) -> bool:
    """Whether ``text`` says of itself that it is a sealed value."""
    return text.startswith(PREFIX)


def open_value(setting: str, sealed: SealedValue, *, key: OpeningKey, certificate: x509.Certificate) -> str:
    """Return the value of ``setting`` that was sealed for ``certificate``, whose private key ``key`` is.

    Raises SealRefusedError like ``seal.open_sealed_bytes``, and ``sealed-value``.
    """
    data = _decoded(setting, sealed)
    opened = open_sealed_bytes(data, limits.MAX_SEALED_VALUE_BYTES, key=key, certificate=certificate)
    try:
        content = msgspec.json.decode(opened, type=_Content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _refused(setting, "does not hold a sealed value") from None
    if content.setting != setting:
        raise _refused(setting, "holds a value that was sealed for another setting")
    return content.value


def _decoded(setting: str, sealed: str) -> bytes:
    if not is_sealed(sealed) or len(sealed) > limits.MAX_SEALED_VALUE_TEXT:
        raise _refused(setting, f"does not hold a sealed value, which begins with {PREFIX}")
    text = sealed.removeprefix(PREFIX)
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if not data or base64.b64encode(data).decode() != text:
        raise _refused(setting, "holds a sealed value that is no plain base64")
    return data


def _refused(setting: str, why: str) -> SealRefusedError:
    return SealRefusedError("sealed-value", f"the setting {setting} {why}; seal it again")
