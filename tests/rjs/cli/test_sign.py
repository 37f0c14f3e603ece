"""Who signs: one's own key or any CA's, for ``rjs sign``, ``pack`` and ``submit``; and what ``rjs sign`` keeps."""

from __future__ import annotations

import json
import os
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from rjs.bundle.path import CODE_SIGNING
from rjs.bundle.testing import Party, make_party
from rjs.identity.keys import save_chain

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs

NOW = datetime.now(UTC)
PERIOD = (NOW - timedelta(days=1), NOW + timedelta(days=400))
MANIFEST = b"Manifest-Version: 1.0\r\nMain-Class: a.Main\r\nImplementation-Title: kept\r\n\r\n"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A JAR as a build tool makes it."""
    path = tmp_path / "library.jar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/MANIFEST.MF", MANIFEST)
        archive.writestr("a/Main.class", b"\xca\xfe\xba\xbe" * 100)
    return path


@pytest.fixture(scope="module")
def ada() -> Party:
    """Somebody with the certificate of a foreign CA and its intermediate, and an RSA key."""
    root = make_party("Foreign Root", ca=True, period=PERIOD)
    issuer = make_party("Foreign CA", root, ca=True, path_length=0, period=PERIOD)
    key = rsa.generate_private_key(65537, 2048)
    return make_party("Ada", issuer, key=key, usages=[CODE_SIGNING], period=PERIOD)


def pem_files(party: Party, folder: Path, passphrase: bytes | None = None) -> list[object]:
    """The options that name this party's key and certificates, which stand in no order."""
    encryption: KeySerializationEncryption = (
        BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    )
    key = folder / "ada.key"
    key.write_bytes(party.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    key.chmod(0o600)
    save_chain(folder / "chain.pem", party.chain[::-1])
    return ["--key", key, "--certificate", folder / "chain.pem"]


def secret_file(folder: Path, text: str) -> Path:
    path = folder / "passphrase"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_signed_library_keeps_what_its_manifest_says(
    rjs: Rjs, library: Path, home: Path, tmp_path: Path
) -> None:
    """Files and attributes stay, the id goes to stdout, and our own verifier accepts it; the source is left alone."""
    before, out = library.read_bytes(), tmp_path / "signed.jar"
    said = rjs("--home", home, "sign", library, "-o", out)
    assert said.status == 0, said.err
    assert library.read_bytes() == before
    assert (
        said.out.strip() == json.loads(rjs("verify", out, "--trust", home / "root.pem", "--json").out)["id"]
    )
    with zipfile.ZipFile(out) as archive:
        manifest = archive.read("META-INF/MANIFEST.MF").decode()
        assert archive.read("a/Main.class") == b"\xca\xfe\xba\xbe" * 100
    assert "Main-Class: a.Main\r\n" in manifest
    assert "Implementation-Title: kept\r\n" in manifest
    assert "RJS-" not in manifest


def test_without_out_the_jar_itself_is_signed(rjs: Rjs, library: Path, home: Path) -> None:
    """As ``jarsigner`` does it; and what cannot be signed stays as it was."""
    assert rjs("--home", home, "sign", library).status == 0
    assert rjs("verify", library, "--trust", home / "root.pem").status == 0
    with zipfile.ZipFile(library, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\nClass-Path: other.jar\r\n\r\n")
    before = library.read_bytes()
    refused = rjs("--home", home, "sign", library)
    assert (refused.status, library.read_bytes()) == (1, before)
    assert "class-path" in refused.err
    assert [each.name for each in library.parent.iterdir() if each.name.endswith(".part")] == []


def test_signing_in_place_opens_nothing_to_others(
    rjs: Rjs, library: Path, home: Path, tmp_path: Path
) -> None:
    """What is there keeps its mode, whatever the umask, and a link stays one: what it leads to is signed."""
    link = tmp_path / "link.jar"
    link.symlink_to(library.name)
    for mode in (0o600, 0o664):
        library.chmod(mode)
        assert rjs("--home", home, "sign", link).status == 0
        assert link.is_symlink() and library.stat().st_mode & 0o777 == mode
        assert rjs("verify", library, "--trust", home / "root.pem").status == 0
    os.mkfifo(tmp_path / "pipe")
    refused = rjs("--home", home, "sign", library, "-o", tmp_path / "pipe")
    assert refused.status == 1 and "is no plain file" in refused.err


def test_a_job_states_its_name_and_period(rjs: Rjs, library: Path, home: Path, tmp_path: Path) -> None:
    """``--job`` takes the name from the descriptor, a fresh nonce each time, and the days that were said."""
    with zipfile.ZipFile(library, "a") as archive:
        archive.writestr("job.toml", 'name = "of the descriptor"\nruntime = "java"\nentry = "a.Main"\n')
    ids = {
        rjs("--home", home, "sign", library, "--job", "--valid", 3, "-o", tmp_path / "job.jar").out
        for _ in range(2)
    }
    assert len(ids) == 2
    stated = json.loads(rjs("inspect", tmp_path / "job.jar", "--json").out)["bundle"]
    assert stated["name"] == "of the descriptor"
    start, end = (datetime.fromisoformat(stated[field]) for field in ("not_before", "not_after"))
    assert timedelta(days=3) <= end - start < timedelta(days=3, hours=1)


def test_what_holds_no_job_is_not_signed_as_one(rjs: Rjs, home: Path, tmp_path: Path) -> None:
    """Its submitter hears why now, not from the web server; and a period without a job is wrong usage."""
    with zipfile.ZipFile(tmp_path / "data.jar", "w") as archive:
        archive.writestr("a.txt", b"")
    said = rjs("--home", home, "sign", tmp_path / "data.jar", "--job")
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("refused: descriptor: ")
    assert rjs("--home", home, "sign", tmp_path / "data.jar", "--valid", 3).status == 2


def test_classes_that_are_no_job_yet_are_told_how_to_become_one(rjs: Rjs, home: Path, tmp_path: Path) -> None:
    """A JAR of classes names the Java way to say what runs; signed as a library it is shown, and no job is in it."""
    jar = tmp_path / "asm.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("org/asm/Writer.class", b"\xca\xfe\xba\xbe")
    said = rjs("--home", home, "sign", jar, "--job")
    assert said.status == 1
    assert "jar --update --file JAR --main-class CLASS" in said.err
    assert "python" not in said.err
    assert rjs("--home", home, "sign", jar).status == 0
    shown = rjs("inspect", jar)
    assert shown.status == 0, shown.err
    for part in ("signed JAR", "there is none in it", "CN=ada", "org/asm/Writer.class"):
        assert part in shown.out, part


@pytest.mark.parametrize("passphrase", [None, b"open sesame"])
def test_a_foreign_cas_key_signs(
    rjs: Rjs, library: Path, ada: Party, tmp_path: Path, passphrase: bytes | None
) -> None:
    """PEM files in any order will do, encrypted or not; the root in them is what others trust."""
    options = pem_files(ada, tmp_path, passphrase)
    if passphrase:
        options += ["--passphrase-file", secret_file(tmp_path, f"{passphrase.decode()}\n")]
    said = rjs("sign", library, *options)
    assert said.status == 0, said.err
    assert "CN=Ada" in said.err
    save_chain(tmp_path / "root.pem", [ada.root])
    assert rjs("verify", library, "--trust", tmp_path / "root.pem").status == 0


@pytest.mark.parametrize("passphrase", [b"", b"open sesame"])
def test_a_pkcs12_file_packs(rjs: Rjs, job: Path, ada: Party, tmp_path: Path, passphrase: bytes) -> None:
    """``rjs pack`` takes the same options as ``rjs sign``; an empty passphrase is one."""
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    store = tmp_path / "ada.p12"
    store.write_bytes(
        pkcs12.serialize_key_and_certificates(b"x", ada.key, ada.certificate, list(ada.chain[1:]), encryption)
    )
    secret = secret_file(tmp_path, passphrase.decode())
    said = rjs("pack", job, "-o", tmp_path / "x.jar", "--pkcs12", store, "--passphrase-file", secret)
    assert said.status == 0, said.err
    shown = json.loads(rjs("inspect", tmp_path / "x.jar", "--json").out)
    assert shown["signer"]["subject"] == "CN=Ada"
    assert shown["signer"]["certified_by"] == ["CN=Foreign CA", "CN=Foreign Root"]


def test_a_certificate_for_something_else_says_what_to_ask_the_ca_for(
    rjs: Rjs, library: Path, tmp_path: Path
) -> None:
    """One for e-mail, as many people have, is refused before anything is signed."""
    root = make_party("Root", ca=True, period=PERIOD)
    mail = make_party("Ada", root, usages=[ExtendedKeyUsageOID.EMAIL_PROTECTION], period=PERIOD)
    before = library.read_bytes()
    said = rjs("sign", library, *pem_files(mail, tmp_path))
    assert (said.status, library.read_bytes()) == (1, before)
    assert "not for code signing" in said.err
    assert "ask the CA" in said.err
    assert "codeSigning (1.3.6.1.5.5.7.3.3)" in said.err


def test_what_is_wrong_with_a_signer_is_named(rjs: Rjs, library: Path, ada: Party, tmp_path: Path) -> None:
    """A lost intermediate, a stranger's certificate, an open key, a wrong or missing passphrase: each is said."""
    options = pem_files(ada, tmp_path)
    save_chain(tmp_path / "chain.pem", [ada.certificate, ada.root])
    assert "certificates of all CAs above it" in rjs("sign", library, *options).err
    stranger = make_party("Eve", make_party("Root", ca=True), key=ed25519.Ed25519PrivateKey.generate())
    save_chain(tmp_path / "chain.pem", stranger.chain)
    assert "none of the certificates belongs" in rjs("sign", library, *options).err
    (tmp_path / "ada.key").chmod(0o644)
    assert "chmod 600" in rjs("sign", library, *options).err
    options = pem_files(ada, tmp_path, b"right")
    wrong = rjs("sign", library, *options, "--passphrase-file", secret_file(tmp_path, "wrong"))
    assert "no private key that the passphrase opens" in wrong.err
    (tmp_path / "passphrase").chmod(0o644)
    assert "chmod 600" in rjs("sign", library, *options, "--passphrase-file", tmp_path / "passphrase").err
    unasked = rjs("sign", library, *options)
    assert (unasked.status, "--passphrase-file" in unasked.err) == (2, True)


@pytest.mark.parametrize(
    "options",
    [
        ["--key", "k"],
        ["--certificate", "k"],
        ["--key", "k", "--certificate", "k", "--pkcs12", "k"],
        ["--sign-with", ".", "--pkcs12", "k"],
    ],
)
def test_signers_that_contradict_each_other_are_wrong_usage(
    rjs: Rjs, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """One signer is named, whole."""
    (tmp_path / "k").touch()
    monkeypatch.chdir(tmp_path)
    assert rjs("sign", library, *options).status == 2
