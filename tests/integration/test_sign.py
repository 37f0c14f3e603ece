"""``rjs sign`` and Java's own tools: ``jarsigner`` accepts what it signs, and ``keytool`` makes keys for it."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jdk import PASSWORD, QUICK, run, verify_strictly

from rjs.bundle.testing import Party
from rjs.bundle.verify import open_bundle
from rjs.cli import main
from rjs.identity.keys import load_chain, save_chain, save_private
from rjs.identity.testing import Organisation

pytestmark = pytest.mark.integration


def library(folder: Path) -> Path:
    """A JAR as ``jar`` makes it: deflated, with folders, times, and attributes of the program and of a package."""
    (folder / "in/org/example").mkdir(parents=True)
    (folder / "in/org/example/data.txt").write_text("data " * 1000)
    manifest = "Implementation-Title: kept\n\nName: org/example/\nSealed: true\n"
    (folder / "attributes").write_text(manifest)
    run("jar", "-c", "-f", folder / "lib.jar", "-m", folder / "attributes", "-C", folder / "in", "org")
    return folder / "lib.jar"


def test_jarsigner_accepts_a_library_signed_by_rjs_sign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Strictly; twice as well, for the old signature goes; and the attributes are what they were."""
    ada = Organisation(datetime.now(UTC)).signing("ada")
    home = tmp_path / "home"
    home.mkdir()
    save_private(home / "signing.key", ada.key)
    save_chain(home / "signing.pem", ada.chain)
    save_chain(home / "root.pem", ada.chain[-1:])
    jar = library(tmp_path)
    for _ in range(2):
        assert main(["sign", str(jar), "--sign-with", str(home)]) == 0, capsys.readouterr().err
        report = verify_strictly(jar, Party(ada.key, ada.chain), tmp_path)
        assert report.strip().startswith("jar verified.")
    with zipfile.ZipFile(jar) as archive:
        manifest = archive.read("META-INF/MANIFEST.MF").decode()
        names = archive.namelist()
    assert "Implementation-Title: kept\r\n" in manifest
    assert "Name: org/example/\r\nSealed: true\r\n" in manifest
    assert sum(name.endswith(".SF") for name in names) == 1


def test_a_key_store_of_keytool_signs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A certificate of a CA that ``keytool`` issued, in a PKCS#12 key store, as Java's people have them."""
    store = tmp_path / "ada.p12"
    tool = ("keytool", *QUICK, "-keystore", store, "-storepass", PASSWORD, "-storetype", "PKCS12")
    key = ("-keyalg", "RSA", "-keysize", "2048")
    run(*tool, "-genkeypair", "-alias", "ca", *key, "-dname", "CN=Root", "-ext", "bc:c=ca:true,pathlen:0",
        "-ext", "ku:c=keyCertSign")  # fmt: skip
    run(*tool, "-genkeypair", "-alias", "ada", *key, "-dname", "CN=Ada")
    run(*tool, "-certreq", "-alias", "ada", "-file", tmp_path / "ada.csr")
    run(*tool, "-gencert", "-alias", "ca", "-infile", tmp_path / "ada.csr", "-outfile", tmp_path / "ada.pem", "-rfc",
        "-ext", "ku:c=digitalSignature", "-ext", "eku=codeSigning")  # fmt: skip
    run(*tool, "-importcert", "-alias", "ada", "-file", tmp_path / "ada.pem", "-noprompt")
    run(*tool, "-exportcert", "-alias", "ca", "-rfc", "-file", tmp_path / "root.pem")
    run(*tool, "-delete", "-alias", "ca")  # one key is left, as in what a CA hands out
    (tmp_path / "passphrase").write_text(PASSWORD)
    (tmp_path / "passphrase").chmod(0o600)
    jar = library(tmp_path)
    arguments = ["sign", jar, "--pkcs12", store, "--passphrase-file", tmp_path / "passphrase"]
    assert main([str(each) for each in arguments]) == 0, capsys.readouterr().err
    with jar.open("rb") as file:
        roots = load_chain(tmp_path / "root.pem")
        open_bundle(file, at=datetime.now(UTC), roots=roots).check_all()
