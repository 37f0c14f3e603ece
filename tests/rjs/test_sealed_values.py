"""Secrets in stored configuration: the file shows nothing, the key's holder reads all."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjs import limits
from rjs.bundle.seal import seal
from rjs.bundle.seal_errors import SealRefusedError
from rjs.bundle.seal_testing import RECIPIENT_KEYS, make_recipient
from rjs.bundle.testing import Party
from rjs.config import read_config, write_config
from rjs.sealed_values import SealedValue, is_sealed, open_value, seal_value

OPERATOR = make_recipient("Operator")


class Settings(msgspec.Struct, frozen=True):
    """Settings of a server that sends mail."""

    mail_user: str = "rjs"
    mail_password: str = ""


def opened(setting: str, sealed: str, holder: Party = OPERATOR) -> str:
    return open_value(setting, SealedValue(sealed), key=holder.key, certificate=holder.certificate)


def refusal(setting: str, sealed: str, holder: Party = OPERATOR) -> str:
    with pytest.raises(SealRefusedError) as caught:
        opened(setting, sealed, holder)
    return caught.value.code


@pytest.mark.parametrize("kind", RECIPIENT_KEYS)
def test_a_secret_in_a_stored_configuration(kind: str, tmp_path: Path) -> None:
    """Written, read and opened again, a secret is itself; the file holds it in no spelling."""
    holder = make_recipient("Operator", RECIPIENT_KEYS[kind]())
    secret = "correct horse battery staple"
    sealed = seal_value("mail_password", secret, [holder.certificate])
    path = write_config(Settings, tmp_path, {"mail_password": sealed})
    stored = path.read_bytes()
    for spelling in (secret.encode(), base64.b64encode(secret.encode())[:-4], secret.encode().hex().encode()):
        assert spelling not in stored
    assert secret.encode() not in base64.b64decode(sealed.removeprefix("sealed:"))
    read = read_config(Settings, tmp_path)
    assert is_sealed(read.mail_password)
    assert not is_sealed(read.mail_user)
    assert opened("mail_password", read.mail_password, holder) == secret


@given(st.text(max_size=200))
def test_any_text_can_be_sealed(value: str) -> None:
    """Whatever its characters, a value comes back; sealed, it is one line of plain characters."""
    sealed = seal_value("x", value, [OPERATOR.certificate])
    assert sealed.isascii()
    assert sealed.isprintable()
    assert opened("x", sealed) == value


def test_a_value_moved_to_another_setting() -> None:
    """A sealed password cannot be made the text of a setting that is shown."""
    sealed = seal_value("mail_password", "secret", [OPERATOR.certificate])
    assert refusal("mail_user", sealed) == "sealed-value"


def test_a_value_of_another_key() -> None:
    """Who holds another key reads nothing."""
    sealed = seal_value("x", "secret", [OPERATOR.certificate])
    assert refusal("x", sealed, make_recipient("Eve")) == "sealed-recipient"


def test_a_value_that_was_changed() -> None:
    """A changed character, wherever, yields nothing."""
    sealed = seal_value("x", "secret", [OPERATOR.certificate])
    for position in range(len(sealed)):
        changed = "A" if sealed[position] != "A" else "B"
        assert refusal("x", sealed[:position] + changed + sealed[position + 1 :])


def test_base64_has_one_spelling() -> None:
    """Bits that base64 leaves unused are zero: one sealed value is one text."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    texts = [seal_value("x", "y" * length, [OPERATOR.certificate]) for length in range(3)]
    padded = [text for text in texts if text.endswith("=")]
    assert len(padded) == 2
    for text in padded:
        body = text.rstrip("=")
        other = body[:-1] + alphabet[alphabet.index(body[-1]) + 1] + text[len(body) :]
        assert refusal("x", other) == "sealed-value"


def sealed_bytes(content: bytes) -> str:
    out = io.BytesIO()
    seal(io.BytesIO(content), len(content), out, [OPERATOR.certificate])
    return "sealed:" + base64.b64encode(out.getvalue()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "sealed:",
        "sealed:***",
        "sealed:" + "A" * limits.MAX_SEALED_VALUE_TEXT,
        sealed_bytes(b""),
        sealed_bytes(b"secret"),
        sealed_bytes(b"\xff"),
        sealed_bytes(b"[" * 5000),
        sealed_bytes(json.dumps({"setting": "x", "value": 1}).encode()),
        sealed_bytes(json.dumps({"setting": "x", "value": "y", "more": "z"}).encode()),
    ],
)
def test_what_is_no_sealed_value(text: str) -> None:
    """Only a value that was sealed as one is opened, and the refusal does not repeat what stands there."""
    with pytest.raises(SealRefusedError) as caught:
        opened("x", text)
    assert caught.value.code == "sealed-value"
    assert "secret" not in str(caught.value)


def test_the_longest_value() -> None:
    """The longest value for the most recipients can be read; a longer one, or what is no text, is refused."""
    key = RECIPIENT_KEYS["RSA-2048"]
    people = [make_recipient(f"Person {i}", key()) for i in range(limits.MAX_RECIPIENTS)]
    certificates = [each.certificate for each in people]
    longest = "x" * (limits.MAX_SEALED_VALUE_BYTES - len('{"setting":"x","value":""}'))
    assert opened("x", seal_value("x", longest, certificates), people[-1]) == longest
    for value in (longest + "x", "\udc80"):
        with pytest.raises(SealRefusedError, match="seal-input"):
            seal_value("x", value, certificates)
