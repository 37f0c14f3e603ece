"""Sealing and opening: what comes out is what went in, for everybody it was sealed for and for nobody else."""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from rjs import limits
from rjs.bundle.seal import Sealing, open_sealed, open_sealed_bytes, seal
from rjs.bundle.seal_errors import SEAL_CODES, SealRefusedError
from rjs.bundle.seal_keys import read_opening_key
from rjs.bundle.seal_testing import RECIPIENT_KEYS, make_recipient
from rjs.bundle.testing import Party, make_party

ROOT = Path(__file__).parents[3]
ADA = make_recipient()


def sealed(content: bytes, *recipients: Party) -> bytes:
    out = io.BytesIO()
    seal(io.BytesIO(content), len(content), out, [each.certificate for each in recipients])
    return out.getvalue()


def opened(data: bytes, recipient: Party) -> bytes:
    return open_sealed_bytes(data, 1 << 20, key=recipient.key, certificate=recipient.certificate)


def code_of(caught: pytest.ExceptionInfo[SealRefusedError]) -> str:
    return caught.value.code


@pytest.mark.parametrize("kind", RECIPIENT_KEYS)
@pytest.mark.parametrize("size", [0, 1, 127, 128, 65_535, 65_536, 300_000])
def test_what_was_sealed_is_opened(kind: str, size: int) -> None:
    """Content of any size comes back as it was, whatever the recipient's key."""
    recipient, content = make_recipient(key=RECIPIENT_KEYS[kind]()), os.urandom(size)
    assert opened(sealed(content, recipient), recipient) == content


@given(st.binary(max_size=600), st.lists(st.integers(1, 200), max_size=8))
def test_the_pieces_do_not_matter(content: bytes, cuts: list[int]) -> None:
    """However the content is cut up on its way in, it is the same content."""
    out = io.BytesIO()
    sealing = Sealing(out, len(content), [ADA.certificate])
    rest = content
    for cut in cuts:
        sealing.write(rest[:cut])
        rest = rest[cut:]
    sealing.write(rest)
    sealing.finish()
    assert opened(out.getvalue(), ADA) == content


def test_everybody_named_can_open() -> None:
    """One sealed file serves recipients with different kinds of keys, and no stranger."""
    people = [make_recipient(name, make()) for name, make in RECIPIENT_KEYS.items()]
    data = sealed(b"for us", *people)
    assert [opened(data, each) for each in people] == [b"for us"] * 3
    with pytest.raises(SealRefusedError, match="sealed-recipient"):
        opened(data, make_recipient("Eve"))


def test_a_key_opens_whatever_certificate_was_named() -> None:
    """Of every kind, and among others: who renewed a certificate and kept the key reads what came for the old one."""
    people = [make_recipient(name, make()) for name, make in RECIPIENT_KEYS.items()]
    data = sealed(b"for us", *people)
    for each in people:
        assert open_sealed_bytes(data, 100, key=each.key, certificate=None) == b"for us"
        renewed = make_recipient("renewed", each.key)
        with pytest.raises(SealRefusedError, match="sealed-recipient"):
            opened(data, renewed)
    for make in RECIPIENT_KEYS.values():
        with pytest.raises(SealRefusedError, match="sealed-recipient"):
            open_sealed_bytes(data, 100, key=make(), certificate=None)


def test_the_content_is_not_in_the_sealed_file() -> None:
    """A reader without the key finds nothing of the content, and two sealings have nothing in common."""
    content = b"0123456789abcdef" * 64
    first, second = sealed(content, ADA), sealed(content, ADA)
    assert content[:16] not in first
    assert first[-len(content) :] != second[-len(content) :]


def test_key_and_nonce_come_from_the_randomness_given() -> None:
    """With the same content key and nonce the encrypted bytes are the same; both are asked for in full length."""
    asked: list[int] = []

    def counted(count: int) -> bytes:
        asked.append(count)
        return bytes(range(count))

    ends = []
    for _ in range(2):
        out = io.BytesIO()
        seal(io.BytesIO(b"content"), 7, out, [ADA.certificate], counted)
        ends.append(out.getvalue()[-25:])
    assert ends[0] == ends[1]
    assert asked == [32, 12] * 2


@pytest.mark.parametrize("stated", [6, 8, -1, limits.MAX_SEALED_BYTES + 1])
def test_another_size_than_stated_is_refused(stated: int) -> None:
    """A sealed file is complete only when exactly the stated number of bytes went in."""
    with pytest.raises(SealRefusedError) as caught:
        seal(io.BytesIO(b"content"), stated, io.BytesIO(), [ADA.certificate])
    assert code_of(caught) == "seal-input"


def unfit() -> dict[str, list[x509.Certificate]]:
    agreement = x509.KeyUsage(False, False, False, False, True, False, False, False, False)
    keys = {
        "P-521": ec.generate_private_key(ec.SECP521R1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate(),
        "RSA-1024": rsa.generate_private_key(65537, 1024),
    }
    people = {name: [make_recipient(key=key).certificate] for name, key in keys.items()}
    rsa_key = RECIPIENT_KEYS["RSA-2048"]()
    return {
        **people,
        "RSA for agreement": [make_party("Ada", key=rsa_key, replaced=[(agreement, True)]).certificate],
        "signing only": [make_party("Ada").certificate],
        "no usage stated": [make_party("Ada", replaced=[(x509.KeyUsage, True)]).certificate],
        "nobody": [],
        "one twice": [ADA.certificate] * 2,
        "one key twice": [ADA.certificate, make_recipient(key=ADA.key).certificate],
        "one name twice": [make_recipient(serial=7).certificate, make_recipient(serial=7).certificate],
        "nine": [make_recipient().certificate for _ in range(9)],
    }


@pytest.mark.parametrize(("recipients"), unfit().values(), ids=unfit().keys())
def test_unfit_recipients_are_refused(recipients: list[x509.Certificate]) -> None:
    """Nothing is sealed for a certificate whose use, kind of key or name leaves a doubt; nothing is written."""
    out = io.BytesIO()
    with pytest.raises(SealRefusedError) as caught:
        seal(io.BytesIO(b"content"), 7, out, recipients)
    assert code_of(caught) == "seal-recipient"
    assert out.getvalue() == b""


def test_a_file_is_opened_to_a_new_private_file(tmp_path: Path) -> None:
    """The content appears as one file that only its owner can read, and replaces nothing."""
    data, out = sealed(b"content", ADA), tmp_path / "out"
    open_sealed(io.BytesIO(data), out, key=ADA.key, certificate=ADA.certificate)
    assert out.read_bytes() == b"content"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    out.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        open_sealed(io.BytesIO(data), out, key=ADA.key, certificate=ADA.certificate)
    assert out.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [out]


def test_what_does_not_fit_is_refused_before_it_is_decrypted() -> None:
    """The reader's limit counts, whatever the file says."""
    data = sealed(b"content", ADA)
    assert open_sealed_bytes(data, 7, key=ADA.key, certificate=ADA.certificate) == b"content"
    with pytest.raises(SealRefusedError, match="sealed-limit"):
        open_sealed_bytes(data, 6, key=ADA.key, certificate=ADA.certificate)


@pytest.mark.parametrize("pem", [b"", b"hello", ADA.certificate.public_bytes], ids=["empty", "text", "other"])
def test_what_is_no_key_is_refused(pem: object) -> None:
    """Only an unencrypted private key of a kind that can open is read."""
    from cryptography.hazmat.primitives import serialization as form

    if not isinstance(pem, bytes):
        key = ed25519.Ed25519PrivateKey.generate()
        pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    with pytest.raises(SealRefusedError, match="sealed-key"):
        read_opening_key(pem)


FLAT = """
import sys
from pathlib import Path
from rjs.bundle.seal import open_sealed, seal
from rjs.bundle.seal_testing import make_recipient

folder, size = Path(sys.argv[1]), int(sys.argv[2])
ada = make_recipient()
(folder / "plain").touch()
with (folder / "plain").open("r+b") as plain, (folder / "sealed").open("wb") as out:
    plain.truncate(size)
    seal(plain, size, out, [ada.certificate])
with (folder / "sealed").open("rb") as source:
    open_sealed(source, folder / "opened", key=ada.key, certificate=ada.certificate)
assert (folder / "opened").stat().st_size == size
# ru_maxrss would count what the process was before it became this program.
print(next(line.split()[1] for line in Path("/proc/self/status").open() if line.startswith("VmHWM:")))
"""


def peak_memory(folder: Path, size: int) -> int:
    """The most memory, in MiB, that a process of its own held while it sealed and opened ``size`` bytes."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", FLAT, str(folder), str(size)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    for file in folder.iterdir():
        file.unlink()
    assert done.returncode == 0, done.stderr
    return int(done.stdout) // 1024


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Sealing and opening 256 MB takes less than 64 MiB, interpreter included, and little more than 1 MB takes."""
    large = peak_memory(tmp_path / "large", 256 << 20)
    assert large < 64
    assert large - peak_memory(tmp_path / "small", 1 << 20) < 8


def test_the_table_in_the_reference_is_the_table_in_the_code() -> None:
    """Codes and meanings agree word for word, in the same order."""
    reference = (ROOT / "docs" / "sealing.md").read_text()
    assert re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \|$", reference, re.MULTILINE) == list(SEAL_CODES.items())


@pytest.mark.parametrize("code", SEAL_CODES)
def test_every_code_is_raised_and_tested(code: str) -> None:
    """No code is dead, and none is without a test that sees it."""
    raising = [*(ROOT / "rjs" / "bundle").glob("*seal*.py"), ROOT / "rjs" / "bundle" / "cms_enveloped.py"]
    raising = [path for path in raising if path.name != "seal_errors.py"]
    raising += [ROOT / "rjs" / "answers" / "sealed_outputs.py", ROOT / "rjs" / "sealed_values.py"]
    for paths in (raising, list((ROOT / "tests").rglob("test_seal*.py"))):
        assert any(re.search(rf'"{code}"', path.read_text()) for path in paths)
