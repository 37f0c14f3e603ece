"""Bundles that are written: whole, signed, dated, and accepted by the one verifier and by jarsigner."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
from pathlib import Path

import pytest

from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.verify import open_bundle
from rjs.identity.testing import Organisation
from rjs.ids import ClusterId
from rjs.packing import gather, pack_job, write_unsigned

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    return Organisation(NOW)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "run.py"
    path.write_text("print('hello')\n")
    return path


def test_a_packed_job_is_what_was_asked_for(tmp_path: Path, script: Path, organisation: Organisation) -> None:
    """Name, nonce, period and cluster are signed; the returned id is the one that every reader finds."""
    signer = organisation.signing()
    cluster = ClusterId("0123456789abcdef")
    out = tmp_path / "run.jar"
    bundle_id = pack_job(
        script, out, key=signer.key, chain=signer.chain, now=NOW, nonce=bytes(range(16)), valid=3 * DAY,
        cluster=cluster,
    )  # fmt: skip
    with out.open("rb") as file:
        bundle = open_bundle(file, at=NOW, roots=[organisation.root])
        bundle.check_all()
    assert bundle.bundle_id == bundle_id
    stated = bundle.attributes
    assert (stated.name, stated.nonce, stated.cluster) == ("run", bytes(range(16)).hex(), cluster)
    assert stated.not_after == NOW + 3 * DAY
    assert stated.not_before is not None
    assert stated.not_before < NOW, "a machine whose clock is a little behind runs it too"


def test_another_nonce_is_another_job(tmp_path: Path, script: Path, organisation: Organisation) -> None:
    """The same script signed again is a new bundle: it can run again."""
    signer = organisation.signing()
    ids = {
        pack_job(
            script, tmp_path / "a.jar", key=signer.key, chain=signer.chain, now=NOW, nonce=nonce, valid=DAY
        )
        for nonce in (bytes(16), bytes(15) + b"\1")
    }
    assert len(ids) == 2


def test_a_job_never_outlives_its_signer(tmp_path: Path, script: Path, organisation: Organisation) -> None:
    """A longer period is cut to the certificate's end."""
    signer = organisation.signing()
    out = tmp_path / "a.jar"
    century = 36_500 * DAY
    pack_job(script, out, key=signer.key, chain=signer.chain, now=NOW, nonce=bytes(16), valid=century)
    with out.open("rb") as file:
        assert open_bundle(file, at=NOW).attributes.not_after == signer.chain[0].not_valid_after_utc


def test_what_would_be_refused_is_not_written(
    tmp_path: Path, script: Path, organisation: Organisation
) -> None:
    """With an expired certificate the old bundle stays as it was, and nothing half-written is left."""
    signer = organisation.signing()
    out = tmp_path / "a.jar"
    out.write_bytes(b"old")
    late = signer.chain[0].not_valid_after_utc + DAY
    with pytest.raises(BundleRefusedError) as refused:
        pack_job(script, out, key=signer.key, chain=signer.chain, now=late, nonce=bytes(16), valid=DAY)
    assert refused.value.code == "certificate-expired"
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jar", "run.py"]


def tool(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, f"{name} is missing: `make test` installs default-jdk-headless"
    return found


@pytest.mark.integration
def test_jarsigner_can_sign_what_was_left_unsigned(tmp_path: Path, script: Path) -> None:
    """An unsigned bundle, signed by jarsigner under its own CA, is accepted, attributes and executable bits kept."""
    folder = tmp_path / "job"
    folder.mkdir()
    shutil.copy(script, folder)
    (folder / "run.py").chmod(0o755)
    (folder / "job.toml").write_text('name = "by jarsigner"\nruntime = "python"\nentry = "run.py"\n')
    jar = tmp_path / "job.jar"
    now = dt.datetime.now(dt.UTC)
    write_unsigned(gather(folder), jar, now=now, nonce=bytes(16), valid=DAY)

    store = ["-keystore", str(tmp_path / "keys"), "-storepass", "secret", "-storetype", "PKCS12"]
    keytool, jarsigner = tool("keytool"), tool("jarsigner")
    ec = ["-keyalg", "EC", "-groupname", "secp256r1"]

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    run(keytool, *store, "-genkeypair", "-alias", "ca", *ec, "-dname", "CN=CA",
        "-ext", "bc:c=ca:true", "-ext", "ku:c=keyCertSign")  # fmt: skip
    run(keytool, *store, "-genkeypair", "-alias", "me", *ec, "-dname", "CN=Me", "-signer", "ca",
        "-ext", "ku:c=digitalSignature", "-ext", "eku=codeSigning")  # fmt: skip
    run(jarsigner, *store, str(jar), "me")

    with jar.open("rb") as file:
        bundle = open_bundle(file, at=dt.datetime.now(dt.UTC))
        bundle.check_all()
    assert bundle.attributes.name == "by jarsigner"
    assert bundle.signer.subject == "CN=Me"
    assert bundle.entries["run.py"].executable
    assert not bundle.entries["job.toml"].executable
