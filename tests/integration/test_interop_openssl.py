"""Our signature blocks under ``openssl cms``, and OpenSSL's revocation lists under our verifier."""

from __future__ import annotations

import io
import subprocess
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jdk import make_chains, run

from rjs.bundle.crl import load_crls
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.testing import make_party, make_signer, signed_jar
from rjs.bundle.verify import open_bundle

pytestmark = pytest.mark.integration

CHAINS = {name: make for name, make in make_chains().items() if "Ed25519" not in name}
"""OpenSSL 3.0 verifies no Ed25519 in CMS that has signed attributes (it asks for a digest of its own)."""


@pytest.fixture(params=sorted(CHAINS))
def command(request: pytest.FixtureRequest, tmp_path: Path) -> list[str | Path]:
    """What verifies the block of a fresh bundle over its signature file, in ``tmp_path``, to the signer's root."""
    signer = CHAINS[request.param]()
    (tmp_path / "job.jar").write_bytes(signed_jar(signer, {"job.toml": b"name = 'job'\n"}))
    with zipfile.ZipFile(tmp_path / "job.jar") as archive:
        _, signature, block = archive.namelist()[:3]
        (tmp_path / "job.SF").write_bytes(archive.read(signature))
        (tmp_path / "block.der").write_bytes(archive.read(block))
    (tmp_path / "root.pem").write_bytes(signer.root.public_bytes(Encoding.PEM))
    files: list[str | Path] = ["-in", tmp_path / "block.der", "-content", tmp_path / "job.SF"]
    trust: list[str | Path] = [
        "-CAfile",
        tmp_path / "root.pem",
        "-no-CApath",
        "-purpose",
        "any",
    ]
    return ["openssl", "cms", "-verify", "-cades", "-inform", "DER", "-binary", *files, *trust]


def test_openssl_accepts_our_blocks(command: list[str | Path], tmp_path: Path) -> None:
    """Signature, path and signing certificate (``-cades``) hold for OpenSSL too, and the content is the .SF."""
    run(*command, "-out", tmp_path / "content")
    assert (tmp_path / "content").read_bytes() == (tmp_path / "job.SF").read_bytes()


def test_openssl_refuses_another_content(command: list[str | Path], tmp_path: Path) -> None:
    """The control: with one byte of the signature file changed, OpenSSL refuses."""
    content = (tmp_path / "job.SF").read_bytes()
    (tmp_path / "job.SF").write_bytes(content.replace(b"1.0", b"1.1", 1))
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode != 0


CA_CONFIG = """
[ca]
default_ca = d
[d]
database = index.txt
crlnumber = number
default_md = sha256
default_crl_days = 1
"""


@pytest.mark.parametrize(("revoked", "code"), [(False, None), (True, "revoked")])
def test_we_read_the_lists_of_openssl(revoked: bool, code: str | None, tmp_path: Path) -> None:
    """A list that ``openssl ca`` made accepts or refuses the signer, in PEM."""
    root = make_party("Test Root", ca=True)
    signer = make_signer("Ada", root)
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "root.key").write_bytes(root.key.private_bytes(*form))
    (tmp_path / "root.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "ca.cnf").write_text(CA_CONFIG)
    (tmp_path / "number").write_text("01\n")
    serial = f"{signer.certificate.serial_number:02X}"
    line = (
        f"R\t351231000000Z\t260101000000Z\t{serial.zfill(len(serial) + len(serial) % 2)}\tunknown\t/CN=Ada\n"
    )
    (tmp_path / "index.txt").write_text(line if revoked else "")
    files = ("-config", "ca.cnf", "-keyfile", "root.key", "-cert", "root.pem", "-out", "root.crl")
    subprocess.run(
        ["openssl", "ca", "-gencrl", *files], cwd=tmp_path, capture_output=True, check=True, timeout=60
    )
    lists = load_crls((tmp_path / "root.crl").read_bytes())
    jar = io.BytesIO(signed_jar(signer, {"a": b""}))
    if code is None:
        open_bundle(jar, at=datetime.now(UTC), roots=[root.certificate], crls=lists).check_all()
    else:
        with pytest.raises(BundleRefusedError, match=f"^{code}:"):
            open_bundle(jar, at=datetime.now(UTC), roots=[root.certificate], crls=lists)
