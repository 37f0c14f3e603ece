"""Jobs signed with a code-signing key of any CA: RSA or EC, PEM or PKCS #12, once one's account lists it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, running_cluster
from jobs import write_job

pytestmark = pytest.mark.integration

SCRIPT = "import os; open(os.environ['RJS_OUTPUT'] + '/x', 'w').close()\n"
CODE_SIGNING = "keyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n"
EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1"]) as made:
        yield made


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)


def certified(folder: Path, *algorithm: str) -> None:
    """A CA, and a code-signing certificate of it, as openssl makes them."""
    folder.mkdir()
    (folder / "extensions").write_text(CODE_SIGNING)
    new = ("req", "-newkey", *algorithm, "-nodes")
    ca = (
        "-x509",
        "-days",
        "3",
        "-subj",
        "/O=Elsewhere/CN=Elsewhere CA",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    )
    openssl(folder, *new, *ca, "-addext", "keyUsage=critical,keyCertSign")
    openssl(folder, *new, "-subj", "/O=Elsewhere/CN=Ada Elsewhere", "-keyout", "code.key", "-out", "code.csr")
    issue = ("-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-extfile", "extensions", "-out", "leaf.pem")
    openssl(folder, "x509", "-req", "-in", "code.csr", *issue)
    (folder / "code.pem").write_text((folder / "leaf.pem").read_text() + (folder / "ca.pem").read_text())
    (folder / "code.key").chmod(0o600)


@pytest.mark.parametrize("algorithm", [("rsa:2048",), EC], ids=["rsa", "ec"])
@pytest.mark.parametrize("form", ["pem", "pkcs12"])
def test_a_job_signed_elsewhere_runs(
    cluster: Cluster, tmp_path: Path, algorithm: tuple[str, ...], form: str
) -> None:
    """Refused with what to do while the account does not list the key; then it runs where the owner trusts it."""
    certified(tmp_path / "ca", *algorithm)
    key: list[str | Path] = [
        "--key",
        tmp_path / "ca" / "code.key",
        "--certificate",
        tmp_path / "ca" / "code.pem",
    ]
    if form == "pkcs12":
        made = (
            "pkcs12",
            "-export",
            "-inkey",
            "code.key",
            "-in",
            "code.pem",
            "-out",
            "code.p12",
            "-passout",
            "pass:x",
        )
        openssl(tmp_path / "ca", *made)
        (tmp_path / "passphrase").write_text("x\n")
        (tmp_path / "passphrase").chmod(0o600)
        (tmp_path / "ca" / "code.p12").chmod(0o600)
        key = ["--pkcs12", tmp_path / "ca" / "code.p12", "--passphrase-file", tmp_path / "passphrase"]
    job = write_job(tmp_path / "job", SCRIPT)
    bundle = tmp_path / "job.jar"
    cluster.ada.rjs("pack", job, "-o", bundle, *key)
    said = cluster.ada.rjs("submit", bundle, status=1).stderr
    assert "signer-not-listed" in said and "rjs cert add" in said
    for _ in range(2):
        assert "Ada Elsewhere" in cluster.ada.rjs("cert", "add", *key).stderr
    cluster.rjs("trust", "add", tmp_path / "ca" / "leaf.pem", "--cs", cluster["cs1"].folder)
    cluster.ada.answers(cluster.ada.place(bundle), tasks=1)
