"""What we seal under OpenSSL's own tool, and what it seals under ours."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from rjs.bundle.seal import open_sealed, seal
from rjs.bundle.seal_errors import SealRefusedError
from rjs.bundle.seal_keys import OpeningKey, read_opening_key
from rjs.bundle.seal_testing import RECIPIENT_KEYS, make_recipient
from rjs.bundle.testing import Party
from rjs.identity.keys import load_chain

pytestmark = pytest.mark.integration

CONTENT = os.urandom(700_001)
OAEP = ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256")
ECDH = ("-keyopt", "ecdh_kdf_md:sha256")


def openssl(*arguments: str | Path) -> None:
    done = subprocess.run(
        ["openssl", "cms", *arguments, "-binary"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def sha2(recipient: Party) -> tuple[str, ...]:
    """The options with which openssl uses SHA-256 for this recipient's key."""
    return OAEP if isinstance(recipient.key, rsa.RSAPrivateKey) else ECDH


def saved(party: Party, folder: Path) -> tuple[Path, Path]:
    """The certificate and the private key, as files that openssl reads."""
    name = party.certificate.subject.rfc4514_string()
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(party.certificate.public_bytes(Encoding.PEM))
    own: OpeningKey = party.key
    key.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key


@pytest.fixture(params=RECIPIENT_KEYS)
def recipient(request: pytest.FixtureRequest) -> Party:
    return make_recipient("Ada", RECIPIENT_KEYS[request.param]())


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    file = tmp_path / "plain"
    file.write_bytes(CONTENT)
    return file


def sealed(plain: Path, *recipients: Party) -> Path:
    out = plain.with_name("sealed.cms")
    with plain.open("rb") as source, out.open("wb") as target:
        seal(source, plain.stat().st_size, target, [each.certificate for each in recipients])
    return out


def opened(file: Path, recipient: Party) -> bytes:
    out = file.with_name("opened")
    with file.open("rb") as source:
        open_sealed(source, out, key=recipient.key, certificate=recipient.certificate)
    return out.read_bytes()


def test_openssl_opens_what_we_seal(recipient: Party, plain: Path, tmp_path: Path) -> None:
    """``openssl cms -decrypt`` yields the content, whatever the recipient's key."""
    certificate, key = saved(recipient, tmp_path)
    out = tmp_path / "out"
    files = ("-in", sealed(plain, recipient), "-inform", "DER", "-out", out)
    openssl("-decrypt", *files, "-recip", certificate, "-inkey", key)
    assert out.read_bytes() == CONTENT


def test_openssl_opens_for_each_of_several_recipients(plain: Path, tmp_path: Path) -> None:
    """Recipients of different kinds share one sealed file."""
    people = [make_recipient(f"Person {i}", make()) for i, make in enumerate(RECIPIENT_KEYS.values())]
    file = sealed(plain, *people)
    for each in people:
        certificate, key = saved(each, tmp_path)
        out = tmp_path / "out"
        openssl("-decrypt", "-in", file, "-inform", "DER", "-out", out, "-recip", certificate, "-inkey", key)
        assert out.read_bytes() == CONTENT


def test_we_open_what_openssl_seals(recipient: Party, plain: Path, tmp_path: Path) -> None:
    """AES-256-GCM of openssl opens, with SHA-256 for agreement and for OAEP."""
    certificate, _ = saved(recipient, tmp_path)
    out = tmp_path / "theirs.cms"
    files = ("-in", plain, "-out", out, "-outform", "DER")
    openssl("-encrypt", "-aes-256-gcm", *files, "-recip", certificate, *sha2(recipient))
    assert opened(out, recipient) == CONTENT


@pytest.mark.parametrize("kind", ["P-256", "P-384"])
def test_we_open_what_openssl_seals_by_default(kind: str, plain: Path, tmp_path: Path) -> None:
    """For a key on a curve, openssl needs no option but the cipher."""
    recipient = make_recipient("Ada", RECIPIENT_KEYS[kind]())
    certificate, _ = saved(recipient, tmp_path)
    out = tmp_path / "theirs.cms"
    openssl("-encrypt", "-aes-256-gcm", "-in", plain, "-out", out, "-outform", "DER", "-recip", certificate)
    assert opened(out, recipient) == CONTENT


def test_we_open_what_openssl_seals_for_several(plain: Path, tmp_path: Path) -> None:
    """Each of several recipients, of different kinds, opens one file of openssl's."""
    people = [make_recipient(f"Person {i}", make()) for i, make in enumerate(RECIPIENT_KEYS.values())]
    recipients: list[str | Path] = []
    for each in people:
        recipients += ["-recip", saved(each, tmp_path)[0], *sha2(each)]
    out = tmp_path / "theirs.cms"
    openssl("-encrypt", "-aes-256-gcm", "-in", plain, "-out", out, "-outform", "DER", *recipients)
    for each in people:
        assert opened(out, each) == CONTENT
        (tmp_path / "opened").unlink()


REFUSED: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], str]] = {
    "PKCS #1 v1.5": ("RSA-2048", ("-aes-256-gcm",), (), "sealed-form"),
    "OAEP with SHA-1": ("RSA-2048", ("-aes-256-gcm",), OAEP[:2], "sealed-form"),
    "CBC, unauthenticated": ("P-256", ("-aes-256-cbc",), (), "sealed-form"),
    "AES-128": ("P-256", ("-aes-128-gcm",), (), "sealed-algorithm"),
    "key identifier": ("P-256", ("-aes-256-gcm", "-keyid"), (), "sealed-form"),
    "indefinite lengths": ("P-256", ("-aes-256-gcm", "-stream"), (), "sealed-form"),
}


@pytest.mark.parametrize(
    ("kind", "options", "recipient_options", "code"), REFUSED.values(), ids=REFUSED.keys()
)
def test_weaker_forms_of_openssl_are_refused(
    kind: str, options: tuple[str, ...], recipient_options: tuple[str, ...], code: str, plain: Path
) -> None:
    """What openssl would write and we do not read is refused by code, with nothing left behind."""
    recipient = make_recipient("Ada", RECIPIENT_KEYS[kind]())
    folder = plain.parent
    certificate, _ = saved(recipient, folder)
    files = ("-in", plain, "-out", folder / "theirs.cms", "-outform", "DER")
    openssl("-encrypt", *options, *files, "-recip", certificate, *recipient_options)
    before = set(folder.iterdir())
    with pytest.raises(SealRefusedError) as caught:
        opened(folder / "theirs.cms", recipient)
    assert caught.value.code == code
    assert set(folder.iterdir()) == before


def test_the_documented_commands(tmp_path: Path) -> None:
    """The certificate, and what openssl does with it, as docs/sealing.md has them."""
    reference = (Path(__file__).parents[2] / "docs" / "sealing.md").read_text().replace("\\\n", "")
    make, decrypt, encrypt = (line for line in reference.splitlines() if line.startswith("openssl "))

    def run(command: str) -> None:
        done = subprocess.run(
            shlex.split(command), cwd=tmp_path, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr

    run(make)
    (tmp_path / "plain").write_bytes(CONTENT)
    run(encrypt)
    run(decrypt)
    assert (tmp_path / "outputs.zip").read_bytes() == CONTENT
    (certificate,) = load_chain(tmp_path / "reader.pem")
    key = read_opening_key((tmp_path / "reader.key").read_bytes())
    with (tmp_path / "ours.cms").open("wb") as out:
        seal(io.BytesIO(CONTENT), len(CONTENT), out, [certificate])
    for name in ("sealed.cms", "ours.cms"):
        with (tmp_path / name).open("rb") as source:
            open_sealed(source, tmp_path / f"{name}.out", key=key, certificate=certificate)
        assert (tmp_path / f"{name}.out").read_bytes() == CONTENT
