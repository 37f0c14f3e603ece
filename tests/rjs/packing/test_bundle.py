"""Bundles that are written: whole, signed, dated, and accepted by the one verifier and by jarsigner."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.verify import open_bundle
from rjs.identity.testing import Organisation
from rjs.ids import ClusterId
from rjs.packing import gather, pack_job, write_signed, write_unsigned
from rjs.packing.tree import ChangedFileError

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


def job_folder(folder: Path, order: int, times: int, private: bool) -> Path:
    """The same job each time: files made in another order, at other times, readable by others or not."""
    files = {
        "job.toml": b'name = "same"\nruntime = "python"\nentry = "run.py"\n',
        "run.py": b"import lib.a\n",
        "lib/a.py": b"",
        "lib.txt": b"sorts between lib/ and lib",
        "deep/er/data.gz": gzip.compress(b"compressed already" * 100, mtime=0),
        "tool": b"#!/bin/sh\n",
    }
    for name, content in list(files.items())[::order]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod((0o700 if private else 0o755) if name == "tool" else (0o600 if private else 0o664))
        os.utime(path, (times, times))
    return folder


def test_the_same_job_gives_the_same_bytes(tmp_path: Path, organisation: Organisation) -> None:
    """Two copies that differ in times, order, and who may read them: only the nonce and ECDSA's signature differ."""
    first = job_folder(tmp_path / "first", 1, 10**9, private=True)
    second = job_folder(tmp_path / "second", -1, 12 * 10**8, private=False)
    signer = organisation.signing()
    unsigned, signed = [], []
    for number, folder in enumerate([first, second, first]):
        files = gather(folder)
        out = tmp_path / f"{number}.jar"
        write_unsigned(files, out, now=NOW, nonce=bytes(16), valid=DAY)
        unsigned.append(out.read_bytes())
        write_signed(files, out, key=signer.key, chain=signer.chain, now=NOW, nonce=bytes(16), valid=DAY)
        with zipfile.ZipFile(out) as jar:
            signed.append([(each, jar.read(each)) for each in jar.namelist() if not each.endswith(".EC")])
    assert unsigned[0] == unsigned[1] == unsigned[2]
    assert signed[0] == signed[1] == signed[2]


def test_one_more_executable_file_is_another_job(tmp_path: Path) -> None:
    """The owner's executable bit is signed, so it is no matter of taste like the rest of a mode."""
    folder = job_folder(tmp_path / "job", 1, 10**9, private=True)
    outs = [tmp_path / "plain.jar", tmp_path / "executable.jar"]
    write_unsigned(gather(folder), outs[0], now=NOW, nonce=bytes(16), valid=DAY)
    (folder / "run.py").chmod(0o700)
    write_unsigned(gather(folder), outs[1], now=NOW, nonce=bytes(16), valid=DAY)
    assert outs[0].read_bytes() != outs[1].read_bytes()


def test_compressed_data_stays_as_it_is(tmp_path: Path) -> None:
    """Every file is stored: its own bytes stand in the bundle."""
    folder = job_folder(tmp_path / "job", 1, 10**9, private=True)
    out = tmp_path / "job.jar"
    write_unsigned(gather(folder), out, now=NOW, nonce=bytes(16), valid=DAY)
    assert (folder / "deep/er/data.gz").read_bytes() in out.read_bytes()


@pytest.mark.parametrize("signed", [True, False])
def test_a_file_that_changes_between_gathering_and_writing_is_refused(
    tmp_path: Path, organisation: Organisation, signed: bool
) -> None:
    """What was judged is what is packed, or nothing is made."""
    folder = job_folder(tmp_path / "job", 1, 10**9, private=True)
    files = gather(folder)
    (folder / "run.py").write_bytes(b"import lib.b\n")
    out = tmp_path / "job.jar"
    signer = organisation.signing()
    with pytest.raises(ChangedFileError, match=r"run\.py changed"):
        if signed:
            write_signed(files, out, key=signer.key, chain=signer.chain, now=NOW, nonce=bytes(16), valid=DAY)
        else:
            write_unsigned(files, out, now=NOW, nonce=bytes(16), valid=DAY)
    assert [path.name for path in tmp_path.iterdir()] == ["job"]


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
