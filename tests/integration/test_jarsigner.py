"""Our bundles under Java's own tools, and theirs under our verifier."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jdk import PASSWORD, make_chains, run, sign_with_jarsigner, verify_strictly

from rjs.bundle.sign import sign_jar
from rjs.bundle.testing import Party, make_party, make_signer, signed_jar
from rjs.bundle.verify import open_bundle

pytestmark = pytest.mark.integration

FILES = {
    "job.toml": b"name = 'job'\n",
    "run.py": b"print('hello')\n" * 100,
    "data/empty": b"",
    "daten/" + "ü" * 60 + "/größe.txt": b"x",
}
CHAINS = make_chains()


@pytest.fixture(scope="module")
def root() -> Party:
    return make_party("Test Root", ca=True)


@pytest.mark.parametrize("make_signer_", CHAINS.values(), ids=CHAINS.keys())
def test_jarsigner_accepts_what_we_sign(make_signer_: Callable[[], Party], tmp_path: Path) -> None:
    """``jarsigner -verify -strict`` exits 0 and has nothing to say but that there is no timestamp."""
    signer = make_signer_()
    jar = tmp_path / "job.jar"
    jar.write_bytes(signed_jar(signer, FILES))
    report = verify_strictly(jar, signer, tmp_path)
    assert report.strip().startswith("jar verified.")
    assert [line for line in report.splitlines() if line.startswith("This jar contains")] == [
        line for line in report.splitlines() if "do not include a timestamp" in line
    ]


def test_java_reads_the_names_and_contents_that_we_wrote(root: Party, tmp_path: Path) -> None:
    """Executables, long names and names beyond ASCII arrive in Java as they are."""
    jar = tmp_path / "job.jar"
    signer = make_signer("Ada", root)
    entries = [(name, content, True) for name, content in FILES.items()]
    with jar.open("wb") as out:
        sign_jar(out, entries, key=signer.key, chain=signer.chain, attributes={})
    assert verify_strictly(jar, signer, tmp_path).strip().startswith("jar verified.")
    with zipfile.ZipFile(jar) as archive:
        assert {name: archive.read(name) for name in FILES} == FILES


@pytest.mark.parametrize("make_signer_", CHAINS.values(), ids=CHAINS.keys())
def test_we_accept_what_jarsigner_signs(make_signer_: Callable[[], Party], tmp_path: Path) -> None:
    """A JAR that jarsigner signed opens with the same files, for every kind of key, stored and deflated."""
    signer = make_signer_()
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        jar = tmp_path / f"foreign{method}.jar"
        with zipfile.ZipFile(jar, "w", method) as archive:
            archive.mkdir("data")
            for name, content in FILES.items():
                archive.writestr(name, content)
        sign_with_jarsigner(jar, signer, tmp_path)
        assert_opens(jar, signer)


@pytest.mark.parametrize(
    "options", [("-digestalg", "SHA-512"), ("-sigfile", "MY-OWN_1"), ("-sigalg", "SHA512withECDSA")]
)
def test_we_accept_jarsigners_options(options: tuple[str, str], root: Party, tmp_path: Path) -> None:
    """Other digests of the SHA-2 family and other signature file names are accepted."""
    jar = tmp_path / "foreign.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    sign_with_jarsigner(jar, make_signer("Ada", root), tmp_path, *options)
    assert_opens(jar, root)


def test_we_accept_what_java_made_from_the_start(tmp_path: Path) -> None:
    """Keys by keytool, archive by jar, signature by jarsigner: accepted with the block's own root."""
    tree = tmp_path / "tree"
    for name, content in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    jar, store = tmp_path / "java.jar", tmp_path / "keys.p12"
    run("jar", "--create", "--file", jar, "-C", tree, ".")
    keytool = ("keytool", "-keystore", str(store), "-storepass", PASSWORD)
    generate = (*keytool, "-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "30")
    run(*generate, "-alias", "ca", "-dname", "CN=Java Root", "-ext", "bc:c", "-ext", "ku:c=keyCertSign")
    usages = ("-ext", "ku:c=digitalSignature", "-ext", "eku=codeSigning")
    run(*generate, "-alias", "ada", "-dname", "CN=Ada", "-signer", "ca", *usages)
    run("jarsigner", "-keystore", store, "-storepass", PASSWORD, jar, "ada")
    with jar.open("rb") as file, open_bundle(file, at=datetime.now(UTC)) as bundle:
        bundle.check_all()
        assert set(bundle.entries) == set(FILES)
        assert bundle.signer.subject == "CN=Ada"


def assert_opens(jar: Path, root: Party) -> None:
    """The bundle is accepted and holds FILES, read by us."""
    with open_bundle(io.BytesIO(jar.read_bytes()), at=datetime.now(UTC), roots=[root.root]) as bundle:
        assert {name: bundle.read(name, 10_000) for name in bundle.entries} == FILES
        assert bundle.attributes.nonce is None
