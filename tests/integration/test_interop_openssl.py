"""Our signature blocks under ``openssl cms``."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from jdk import make_chains, run

from rjs.bundle.testing import signed_jar

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
