"""Real JARs, from Debian's packages: signed by us, judged by ``jarsigner``, opened and unpacked; and the reverse.

``java-packages.txt`` lists the packages; ``make tools`` installs them.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jdk import sign_with_jarsigner, verify_strictly

from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.resign import read_loosely, sign_existing_jar
from rjs.bundle.testing import Party, make_party, make_signer
from rjs.bundle.verify import MANIFEST_NAME, is_signature_related, open_bundle

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PACKAGES = (Path(__file__).parent / "java-packages.txt").read_text().split()
ENOUGH = 50
OUTSIDE = {"ant", "junit4", "libcommons-compress-java", "libcommons-jexl2-java", "libcommons-logging-java",
           "libobjenesis-java", "libxml-commons-resolver1.1-java"}  # fmt: skip
"""Packages whose JAR has a Class-Path or a JAR index: they reach outside the JAR, and we do not sign that."""


@pytest.fixture(scope="module")
def signer() -> Party:
    return make_signer("Ada", make_party("CA", make_party("Root", ca=True), ca=True))


def jar_of(package: str) -> Path:
    """The package's largest JAR."""
    listed = subprocess.run(
        ["dpkg-query", "-L", package], capture_output=True, text=True, timeout=60, check=True
    )
    jars = {Path(line).resolve() for line in listed.stdout.splitlines() if line.endswith(".jar")}
    return max(jars, key=lambda path: (path.stat().st_size, path.name))


def contents(jar: Path) -> dict[str, bytes]:
    """What Python reads in the JAR, signature files and manifest aside."""
    with zipfile.ZipFile(jar) as archive:
        return {
            entry.filename: archive.read(entry)
            for entry in archive.infolist()
            if not entry.is_dir() and not is_signature_related(entry.filename)
        }


def sign(package: str, signer: Party, folder: Path) -> str:
    """Sign the package's JAR as ``folder/package.jar``; the code of the refusal, or ``signed``."""
    out = io.BytesIO()
    try:
        with jar_of(package).open("rb") as source:
            sign_existing_jar(source, out, key=signer.key, chain=signer.chain, attributes={})
    except BundleRefusedError as refused:
        return refused.code
    (folder / f"{package}.jar").write_bytes(out.getvalue())
    return "signed"


def test_round_trip(signer: Party, tmp_path: Path) -> None:
    """Each is signed, accepted by jarsigner and by us, and unpacks to what it held; others are refused by name."""
    codes = {package: sign(package, signer, tmp_path) for package in PACKAGES}
    signed = [package for package, code in codes.items() if code == "signed"]
    assert {package: code for package, code in codes.items() if code != "signed"} == dict.fromkeys(
        OUTSIDE, "attribute"
    )
    assert len(signed) >= ENOUGH
    verify_strictly(tmp_path / f"{signed[0]}.jar", signer, tmp_path)  # makes the one trust store
    with ThreadPoolExecutor(2) as pool:
        reports = pool.map(lambda each: verify_strictly(tmp_path / f"{each}.jar", signer, tmp_path), signed)
        assert all(report.strip().startswith("jar verified.") for report in reports)
    for package in signed:
        with (
            (tmp_path / f"{package}.jar").open("rb") as file,
            open_bundle(file, at=datetime.now(UTC), roots=[signer.root]) as bundle,
        ):
            bundle.check_all()
            bundle.unpack(tmp_path / package)
        unpacked = {
            str(path.relative_to(tmp_path / package)): path.read_bytes()
            for path in (tmp_path / package).rglob("*")
            if path.is_file()
        }
        assert unpacked == contents(jar_of(package)), package


def test_old_attributes_are_kept(signer: Party, tmp_path: Path) -> None:
    """What a manifest said of its JAR, its files and its packages it says again: read by Python, not by us."""
    seen = 0
    for package in ("libxml-commons-external-java", "libjdom1-java", "libguava-java"):
        assert sign(package, signer, tmp_path) == "signed"
        with zipfile.ZipFile(jar_of(package)) as old, zipfile.ZipFile(tmp_path / f"{package}.jar") as new:
            before, after = (read_loosely(archive.read(MANIFEST_NAME)) for archive in (old, new))
            assert after.main == {"Created-By": "rjs", **before.main}
            described = {name: said for name, said in after.sections.items() if said}
            assert described == {name: said for name, said in before.sections.items() if said}
            seen += len(described)
    assert seen > 0


@pytest.mark.parametrize(
    "package", ["libxml-commons-external-java", "libjdom2-java", "libcommons-cli-java", "junit"]
)
def test_we_accept_real_jars_that_jarsigner_signed(package: str, signer: Party, tmp_path: Path) -> None:
    """Signed by jarsigner, a real JAR with its package sections and folder entries opens with the same files."""
    jar = tmp_path / "foreign.jar"
    shutil.copy(jar_of(package), jar)
    sign_with_jarsigner(jar, signer, tmp_path)
    with jar.open("rb") as file, open_bundle(file, at=datetime.now(UTC), roots=[signer.root]) as bundle:
        found = {name: bundle.read(name, 10_000_000) for name in bundle.entries}
    assert found == contents(jar_of(package))
