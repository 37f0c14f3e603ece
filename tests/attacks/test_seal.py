"""Sealed files that were changed, cut, swapped, or made to cost more than they should: nothing comes out of any."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from rjs import limits
from rjs.bundle import cms_enveloped
from rjs.bundle.cms_enveloped import AgreedKey, Head, TransportedKey, encode_head, encode_tail
from rjs.bundle.seal import open_sealed, open_sealed_bytes, seal
from rjs.bundle.seal_errors import SealRefusedError
from rjs.bundle.seal_keys import wrap_key
from rjs.bundle.seal_testing import RECIPIENT_KEYS, make_recipient
from rjs.bundle.testing import Party

CONTENT = b"what only Ada may read"
ADA = make_recipient("Ada")
EVE = make_recipient("Eve")
RSA = make_recipient("Ron", RECIPIENT_KEYS["RSA-2048"]())


def sealed(content: bytes = CONTENT, recipient: Party = ADA) -> bytes:
    out = io.BytesIO()
    seal(io.BytesIO(content), len(content), out, [recipient.certificate])
    return out.getvalue()


def refusal(data: bytes, reader: Party = ADA) -> str:
    with pytest.raises(SealRefusedError) as caught:
        open_sealed_bytes(data, limits.MAX_SEALED_BYTES, key=reader.key, certificate=reader.certificate)
    return caught.value.code


@attrs.frozen
class Forged:
    """A sealed file by somebody who knows the recipient's certificate and follows no rule."""

    content_key: bytes = bytes(32)
    recipients: tuple[Party, ...] = (ADA,)
    nonce: bytes = bytes(12)
    keys: tuple[AgreedKey | TransportedKey, ...] | None = None

    def build(self) -> bytes:
        keys = self.keys
        if keys is None:
            keys = tuple(wrap_key(self.content_key, [each.certificate])[0] for each in self.recipients)
        encrypted = AESGCM(self.content_key).encrypt(self.nonce, CONTENT, None)
        head = encode_head(Head(keys, self.nonce, len(CONTENT)))
        return head + encrypted[:-16] + encode_tail(encrypted[-16:])


def agreed() -> AgreedKey:
    (key,) = wrap_key(bytes(32), [ADA.certificate])
    assert isinstance(key, AgreedKey)
    return key


def test_the_forger_can_be_honest() -> None:
    """What the forger makes without breaking a rule is opened, so that each attack fails by its own fault."""
    honest = Forged().build()
    assert open_sealed_bytes(honest, 100, key=ADA.key, certificate=ADA.certificate) == CONTENT


@pytest.mark.parametrize("reader", [ADA, RSA], ids=["P-256", "RSA"])
def test_every_byte_changed(reader: Party, tmp_path: Path) -> None:
    """Whichever byte is changed, and however, no file appears and nothing is left behind."""
    data = sealed(recipient=reader)
    for position in range(len(data)):
        for mask in (0x01, 0x20, 0x80, 0xFF):
            changed = bytearray(data)
            changed[position] ^= mask
            with pytest.raises(SealRefusedError):
                open_sealed(
                    io.BytesIO(changed), tmp_path / "out", key=reader.key, certificate=reader.certificate
                )
    assert list(tmp_path.iterdir()) == []


def test_every_truncation() -> None:
    """A file that ends early yields nothing, wherever it ends."""
    data = sealed()
    assert {refusal(data[:end]) for end in range(len(data))} == {"sealed-data"}


@pytest.mark.parametrize("position", [0, 1 << 18, -1])
def test_a_large_file_changed_anywhere(position: int, tmp_path: Path) -> None:
    """What was decrypted before the change was noticed is thrown away with the rest."""
    content = os.urandom(3 * limits.READ_CHUNK_BYTES)
    data = bytearray(sealed(content))
    start = len(data) - len(content) - 18
    data[start + position % len(content)] ^= 1
    with pytest.raises(SealRefusedError, match="sealed-data"):
        open_sealed(io.BytesIO(data), tmp_path / "out", key=ADA.key, certificate=ADA.certificate)
    assert list(tmp_path.iterdir()) == []


def test_parts_swapped_between_files() -> None:
    """Neither tag, content nor head of one sealed file fits another, of the same content for the same reader."""
    first, second = Forged(os.urandom(32)).build(), Forged(os.urandom(32)).build()
    tail = 18
    body = tail + len(CONTENT)
    assert refusal(first[:-tail] + second[-tail:]) == "sealed-data"
    assert refusal(first[:-body] + second[-body:-tail] + first[-tail:]) == "sealed-data"
    assert refusal(first[:-body] + second[-body:]) == "sealed-data"


def test_bytes_after_the_end() -> None:
    """A sealed file ends where it says."""
    assert refusal(sealed() + b"\0") == "sealed-form"


def test_another_reader() -> None:
    """Who is not named cannot open; nor can a key that is not the certificate's."""
    assert refusal(sealed(), EVE) == "sealed-recipient"
    assert refusal(sealed(), Party(EVE.key, ADA.chain)) == "sealed-key"
    assert refusal(sealed(), Party(RSA.key, ADA.chain)) == "sealed-key"


@pytest.mark.parametrize("kind", RECIPIENT_KEYS)
def test_another_key_under_the_same_name(kind: str) -> None:
    """A certificate of the same issuer and serial number, but for another key, opens nothing."""
    twin = make_recipient("Ada", RECIPIENT_KEYS[kind](), serial=ADA.certificate.serial_number)
    assert refusal(sealed(), twin) == "sealed-data"


def test_one_recipient_named_twice() -> None:
    """Two keys for one reader could mean two contents: refused before either is tried."""
    assert refusal(Forged(recipients=(ADA, EVE, ADA)).build()) == "sealed-form"


def test_one_key_under_two_names() -> None:
    """Without a certificate to go by, a key that opens two of the wrapped keys opens neither."""
    renewed = make_recipient("Ada, renewed", ADA.key)
    data = Forged(recipients=(ADA, EVE, renewed)).build()
    with pytest.raises(SealRefusedError, match="sealed-form"):
        open_sealed_bytes(data, 100, key=ADA.key, certificate=None)
    assert open_sealed_bytes(data, 100, key=EVE.key, certificate=None) == CONTENT


def test_what_concerns_another_recipient() -> None:
    """Of several recipients, one whose key was changed gets nothing; the others get the content and nothing else."""
    (first, second) = wrap_key(bytes(32), [ADA.certificate, EVE.certificate])
    spoilt = Forged(keys=(first, attrs.evolve(second, wrapped=bytes(40)))).build()
    assert refusal(spoilt, EVE) == "sealed-data"
    assert open_sealed_bytes(spoilt, 100, key=ADA.key, certificate=ADA.certificate) == CONTENT


def test_no_recipient_and_too_many() -> None:
    """Nobody is named, or more than anybody needs."""
    assert refusal(Forged(recipients=()).build()) == "sealed-recipient"
    crowd = tuple(make_recipient() for _ in range(limits.MAX_RECIPIENTS))
    assert refusal(Forged(recipients=(ADA, *crowd)).build()) == "sealed-limit"


def another_curve(_: bytes) -> bytes:
    (key,) = wrap_key(bytes(32), [make_recipient("Ada", RECIPIENT_KEYS["P-384"]()).certificate])
    assert isinstance(key, AgreedKey)
    return key.point


POINTS: dict[str, Callable[[bytes], bytes]] = {
    "not on the curve": lambda point: point[:-1] + bytes([point[-1] ^ 1]),
    "of another curve": another_curve,
    "compressed": lambda point: bytes([2 + point[-1] % 2]) + point[1:33],
    "hybrid": lambda point: bytes([6 + point[-1] % 2]) + point[1:],
    "at infinity": lambda _: b"\0",
    "zero": lambda _: b"\x04" + bytes(64),
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("change", POINTS.values(), ids=POINTS.keys())
def test_a_sender_key_that_is_no_plain_point(change: Callable[[bytes], bytes]) -> None:
    """No answer depends on our private key when the sender's point is not written plainly, or not on our curve."""
    key = agreed()
    assert refusal(Forged(keys=(attrs.evolve(key, point=change(key.point)),)).build()) == "sealed-data"


WRAPPED: dict[str, bytes] = {
    "empty": b"",
    "short": bytes(24),
    "long": keywrap.aes_key_wrap(bytes(32), bytes(40)),
    "no whole blocks": bytes(41),
    "not wrapped": bytes(40),
    "wrapped with another key": keywrap.aes_key_wrap(bytes(32), bytes(32)),
}


@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED.keys())
def test_a_key_that_does_not_unwrap(wrapped: bytes) -> None:
    """Whatever is wrong with a wrapped key, the reader says the same."""
    assert refusal(Forged(keys=(attrs.evolve(agreed(), wrapped=wrapped),)).build()) == "sealed-data"
    transported = attrs.evolve(wrap_key(bytes(32), [RSA.certificate])[0], wrapped=wrapped)
    assert refusal(Forged(keys=(transported,)).build(), RSA) == "sealed-data"


def test_a_key_of_another_length() -> None:
    """AES-128 passes for nothing, though its key was encrypted for the reader."""
    weak = Forged(bytes(16), keys=wrap_key(bytes(16), [RSA.certificate])).build()
    assert refusal(weak, RSA) == "sealed-data"


def test_a_key_by_the_other_method() -> None:
    """A key transported to a curve's owner, or agreed with an owner of RSA, is none."""
    for key, reader in ((agreed(), RSA), (wrap_key(bytes(32), [RSA.certificate])[0], ADA)):
        name = wrap_key(bytes(32), [reader.certificate])[0].recipient
        assert refusal(Forged(keys=(attrs.evolve(key, recipient=name),)).build(), reader) == "sealed-data"


def test_nonces_of_another_length() -> None:
    """GCM with another nonce length has weaker bounds."""
    for length in (0, 8, 11, 13, 16):
        data = Forged(nonce=bytes(12)).build()
        head = encode_head(Head((agreed(),), bytes(length), len(CONTENT)))
        assert refusal(head + data[-len(CONTENT) - 18 :]) == "sealed-algorithm"


def changed(old: str, new: str) -> bytes:
    """An honest file with one structure replaced by another of the same length."""
    data = Forged().build()
    assert data.count(bytes.fromhex(old)) == 1
    return data.replace(bytes.fromhex(old), bytes.fromhex(new))


REPLACED = {
    "tag of 12 bytes stated": ("02011080", "02010c80", "sealed-algorithm"),
    "tag of 4 bytes stated": ("02011080", "02010480", "sealed-algorithm"),
    "AES-128-GCM": ("60864801650304012e", "608648016503040106", "sealed-algorithm"),
    "AES-256-CCM": ("60864801650304012e", "60864801650304012f", "sealed-algorithm"),
    "AES-128 wrap": ("60864801650304012d", "608648016503040105", "sealed-algorithm"),
    "derived with SHA-224": ("06062b810401 0b01", "06062b810401 0b00", "sealed-algorithm"),
    "derived with another SHA-2": ("06062b810401 0b01", "06062b810401 0b03", "sealed-data"),
    "cofactor agreement": ("06062b8104010b01", "06062b8104010e01", "sealed-algorithm"),
    "enveloped, not authenticated": ("2a864886f70d0109100117", "2a864886f70d0109100116", "sealed-form"),
    "content that is no data": ("2a864886f70d010701", "2a864886f70d010702", "sealed-form"),
    "version 1 of the whole": ("02010031", "02010131", "sealed-form"),
    "version 2 of a recipient": ("020103a0", "020102a0", "sealed-form"),
    "recipient by password": ("a181", "a381", "sealed-form"),
    "sender by a certificate": ("a051a14f", "a051304f", "sealed-form"),
    "sender's key not of a curve": ("06072a8648ce3d0201", "06072a8648ce3d0202", "sealed-form"),
    "bits of padding": ("03420004", "03420104", "sealed-form"),
    "content in pieces": ("8016", "a016", "sealed-form"),
}


@pytest.mark.parametrize(("old", "new", "code"), REPLACED.values(), ids=REPLACED.keys())
def test_another_structure(old: str, new: str, code: str) -> None:
    """One algorithm, version or type that is not ours is enough."""
    assert refusal(changed(old, new)) == code


def header(tag: int, length: int, octets: int) -> bytes:
    """The header of an element with its length in so many bytes; 0 is the short form."""
    if octets == 0:
        return bytes([tag, length])
    return bytes([tag, 0x80 | octets]) + length.to_bytes(octets, "big")


@pytest.mark.parametrize(("tag", "octets"), [(0x30, 3), (0xA0, 3), (0x80, 1), (0x80, 2), (0x30, 9)])
def test_lengths_that_are_true_and_not_minimal(
    tag: int, octets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A length in more bytes than it needs, though correct, is another spelling of the same file."""
    minimal = cms_enveloped._header
    with monkeypatch.context() as patch:
        patch.setattr(
            cms_enveloped,
            "_header",
            lambda each, length: header(each, length, octets) if each == tag else minimal(each, length),
        )
        data = Forged().build()
    assert refusal(data) == "sealed-form"


@pytest.mark.parametrize("start", ["3080", "30ff", "3088ffffffffffffffff", "3082ffff", "3000"])
def test_lengths_that_are_not_true(start: str) -> None:
    """A length is stated and is that of what is there."""
    assert refusal(bytes.fromhex(start) + Forged().build()[4:]) == "sealed-form"


@pytest.mark.parametrize("more", [-1, 1, 5])
def test_outer_lengths_that_agree_and_lie(more: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All outer lengths together promise more, or less, than follows."""
    with monkeypatch.context() as patch:
        patch.setattr(cms_enveloped, "_TAIL_BYTES", 18 + more)
        data = Forged().build()
    assert refusal(data) == "sealed-form"


@pytest.mark.parametrize("count", [0, 2])
def test_one_agreement_for_several_keys(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agreement wraps exactly one key: what we write, and what openssl writes."""
    info: Any = cms_enveloped._encoded_key(agreed())
    several = dataclasses.replace(info, keys=info.keys * count)
    with monkeypatch.context() as patch:
        patch.setattr(cms_enveloped, "_encoded_key", lambda _: several)
        data = Forged().build()
    assert refusal(data) == "sealed-form"


def test_a_head_that_never_ends() -> None:
    """Recipients or an algorithm of gigabytes are refused by their stated length, before a byte is read."""

    def within(inner: bytes) -> bytes:
        oid = bytes.fromhex("060b2a864886f70d0109100117")
        return bytes.fromhex("30847fffffff") + oid + bytes.fromhex("a0847fffffec 30847fffffe6 020100") + inner

    assert refusal(within(bytes.fromhex("31847ffff000"))) == "sealed-limit"
    assert (
        refusal(within(bytes.fromhex("3100 30847fffffd9 06092a864886f70d010701 30847ffff000")))
        == "sealed-limit"
    )


def test_content_larger_than_is_read() -> None:
    """A stated size beyond the limit is refused before the key is touched."""
    assert refusal(encode_head(Head((agreed(),), bytes(12), limits.MAX_SEALED_BYTES + 1))) == "sealed-limit"
    assert refusal(encode_head(Head((agreed(),), bytes(12), 1 << 62))) == "sealed-limit"


def test_attributes() -> None:
    """Attributes, authenticated or not, are refused: there is nothing that they could say to us."""
    plain = Forged().build()
    assert plain[1] == 0x82
    content = plain[4:] + bytes.fromhex("a200")
    assert refusal(bytes.fromhex("3082") + len(content).to_bytes(2, "big") + content) == "sealed-form"


@given(st.integers(0, 400), st.integers(0, 40), st.binary(max_size=40))
def test_anything_spliced_in(position: int, removed: int, inserted: bytes) -> None:
    """Whatever replaces whatever, it is refused in our words, or it is the file as it was."""
    data = Forged().build()
    spliced = data[:position] + inserted + data[position + removed :]
    try:
        content = open_sealed_bytes(spliced, 1000, key=ADA.key, certificate=ADA.certificate)
    except SealRefusedError:
        return
    assert content == CONTENT
    assert spliced == data


@given(st.binary(max_size=400))
def test_anything_at_all(data: bytes) -> None:
    """No bytes raise anything but our refusal."""
    assert refusal(data)


def test_a_key_that_cannot_agree() -> None:
    """A private key of a curve that we do not use is refused although it is the certificate's own."""
    odd = make_recipient("Odd", ec.generate_private_key(ec.SECP521R1()))
    assert refusal(sealed(), odd) == "sealed-recipient"
