"""Other CAs, made by OpenSSL, and another year for a web server: real processes and commands."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster

from rjs.identity.keys import load_chain

pytestmark = pytest.mark.integration

KEYS = {"rsa": ["rsa:2048"], "ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]}
CA_EXTENSIONS = ["basicConstraints=critical,CA:true", "keyUsage=critical,keyCertSign,cRLSign"]
LEAF = "keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\nsubjectAltName=email:ada@uni.example.org\n"
SECRET = "a secret of ada's"


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A web server alone."""
    made = Cluster(tmp_path_factory.mktemp("c"))
    try:
        made.found()
        yield made
    finally:
        made.stop()


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def university(folder: Path, kind: str) -> None:
    """``ca.pem``, and by it Ada's ``ada.pem``, ``ada.key`` and ``ada.p12``."""
    new = ["req", "-newkey", *KEYS[kind], "-nodes"]
    extensions = [word for each in CA_EXTENSIONS for word in ("-addext", each)]
    openssl(
        folder, *new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/O=University", *extensions
    )
    openssl(folder, *new, "-keyout", "ada.key", "-out", "ada.csr", "-subj", "/O=University/CN=Ada")
    (folder / "leaf.txt").write_text(LEAF)
    signed_by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "leaf.txt"]
    openssl(folder, "x509", "-req", "-in", "ada.csr", *signed_by, "-out", "ada.pem")
    files = ["-inkey", "ada.key", "-in", "ada.pem", "-certfile", "ca.pem", "-out", "ada.p12"]
    openssl(folder, "pkcs12", "-export", *files, "-passout", f"pass:{SECRET}")
    (folder / "ada.key").chmod(0o600)


@pytest.mark.parametrize("kind", KEYS)
def test_from_a_certificate_to_a_user(cluster: Cluster, tmp_path: Path, kind: str) -> None:
    """A stranger first, a user by PEM and PKCS#12 once the CA is accepted, a stranger again once it is withdrawn."""
    university(tmp_path, kind)
    operator, ws = cluster.folder / "ca", cluster["ws"].folder
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(SECRET)
    passphrase.chmod(0o600)
    where: list[str | Path] = ["--ws", cluster.address, "--root", cluster.root]
    pem: list[str | Path] = ["present", tmp_path / "ada.pem", "--key", tmp_path / "ada.key", *where]
    stranger = cluster.rjs(*pem, home=tmp_path / "one", status=3)
    assert "refused our certificate" in stranger.stderr

    cluster.rjs("ca", "accept", operator, tmp_path / "ca.pem", "--accounts", "email@uni.example.org")
    cluster.rjs("ws", "accept", ws, operator / "accepted-cas")
    old = (operator / "accepted-cas").read_bytes()
    assert "rjs://user/ada" in cluster.rjs(*pem, home=tmp_path / "one").stderr
    p12: list[str | Path] = ["present", tmp_path / "ada.p12", "--passphrase-file", passphrase, *where]
    cluster.rjs(*p12, home=tmp_path / "two")
    for home in ("one", "two"):
        assert json.loads(cluster.rjs("status", "--json", home=tmp_path / home).stdout) is not None
    before = load_chain(next((tmp_path / "one").glob("clusters/*/identity/token.pem")))[0]
    cluster.rjs("cert", "renew", home=tmp_path / "one")
    assert load_chain(next((tmp_path / "one").glob("clusters/*/identity/token.pem")))[0] != before

    (shown,) = json.loads(cluster.rjs("ca", "accepted", operator, "--json").stdout)["cas"]
    cluster.rjs("ca", "withdraw", operator, shown["fingerprint"][:12])
    cluster.rjs("ws", "accept", ws, operator / "accepted-cas")
    cluster.rjs("cert", "renew", home=tmp_path / "one", status=3)
    (tmp_path / "old").write_bytes(old)
    refused = cluster.rjs("ws", "accept", ws, tmp_path / "old", status=1)
    assert "identity.acceptance_rolled_back" in refused.stderr


def test_a_restore_brings_no_withdrawn_ca_back(cluster: Cluster, tmp_path: Path) -> None:
    """A backup holds what the operator stated of other CAs; restored, a web server goes by that, or by what it has of
    a later statement."""
    university(tmp_path, "ec")
    operator, ws, backup = cluster.folder / "ca", cluster["ws"], tmp_path / "backup.tar"
    cluster.rjs("ca", "accept", operator, tmp_path / "ca.pem", "--accounts", "email@uni.example.org")
    cluster.rjs("ws", "accept", ws.folder, operator / "accepted-cas")
    cluster.rjs("ws", "backup", ws.folder, backup)
    ws.stop()
    cluster.rjs("ws", "restore", ws.folder, backup)
    ws.start()
    assert ws.document()["mandates"]["accepted_cas"] == 1
    (shown,) = json.loads(cluster.rjs("ca", "accepted", operator, "--json").stdout)["cas"]
    cluster.rjs("ca", "withdraw", operator, shown["fingerprint"][:12])
    cluster.rjs("ws", "accept", ws.folder, operator / "accepted-cas")
    ws.stop()
    cluster.rjs("ws", "restore", ws.folder, backup)
    ws.start()
    assert ws.document()["mandates"]["accepted_cas"] == 0
    (authority,) = ws.folder.glob("clusters/*/identity/authority/accepted-cas")
    assert authority.read_bytes() == (operator / "accepted-cas").read_bytes()


def test_another_year(cluster: Cluster, tmp_path: Path) -> None:
    """While it runs and while it does not, in one command and by a stick: new certificates, and nothing lost."""
    operator, ws = cluster.folder / "ca", cluster["ws"]
    ada = cluster.add_user("ada")
    seen = set()

    def intermediate() -> str:
        shown = json.loads(cluster.rjs("cert", "show", "intermediate", ws.folder, "--json").stdout)
        ada.rjs("cert", "renew")
        return str(shown["key"])

    def by_stick() -> None:
        cluster.rjs("ws", "request", ws.folder, "-o", tmp_path / "request")
        cluster.rjs("ca", "issue", operator, tmp_path / "request")
        cluster.rjs("ws", "certify", ws.folder, tmp_path / "ws-certificates.pem")

    seen.add(intermediate())
    cluster.rjs("ws", "renew", ws.folder, "--ca", operator)
    seen.add(intermediate())
    by_stick()
    seen.add(intermediate())
    ws.kill()
    by_stick()
    cluster.rjs("ws", "renew", ws.folder, "--ca", operator)
    ws.start()
    seen.add(intermediate())
    assert len(seen) == 4
    assert "token intermediate" in cluster.rjs("ca", "list", operator).stdout
