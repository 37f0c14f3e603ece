"""Our bundles under Java's own tools, and theirs under our verifier."""

from __future__ import annotations

import io
import subprocess
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from rjs.bundle.path import CODE_SIGNING
from rjs.bundle.sign import sign_jar
from rjs.bundle.testing import Party, make_party, make_signer, signed_jar
from rjs.bundle.verify import open_bundle

pytestmark = pytest.mark.integration

PASSWORD = "changeit"
FILES = {
    "job.toml": b"name = 'job'\n",
    "run.py": b"print('hello')\n" * 100,
    "data/empty": b"",
    "daten/" + "ü" * 60 + "/größe.txt": b"x",
}
KEYS: dict[str, Callable[[], object]] = {
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-3072": lambda: rsa.generate_private_key(65537, 3072),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def verify_strictly(jar: Path, root: Party, folder: Path) -> str:
    store = folder / "trust.p12"
    trusted = pkcs12.PKCS12Certificate(root.root, b"root")
    store.write_bytes(pkcs12.serialize_java_truststore([trusted], BestAvailableEncryption(PASSWORD.encode())))
    return run("jarsigner", "-verify", "-strict", "-keystore", store, "-storepass", PASSWORD, jar)


def sign_with_jarsigner(jar: Path, signer: Party, folder: Path, *options: str) -> None:
    store = folder / "signer.p12"
    chain = list(signer.chain[1:])
    encryption = BestAvailableEncryption(PASSWORD.encode())
    store.write_bytes(
        pkcs12.serialize_key_and_certificates(b"ada", signer.key, signer.certificate, chain, encryption)
    )
    run("jarsigner", "-keystore", store, "-storepass", PASSWORD, *options, jar, "ada")


@pytest.fixture(scope="module")
def root() -> Party:
    return make_party("Test Root", ca=True)


@pytest.mark.parametrize("make_key", KEYS.values(), ids=KEYS.keys())
def test_jarsigner_accepts_what_we_sign(make_key: Callable[[], object], root: Party, tmp_path: Path) -> None:
    """``jarsigner -verify -strict`` exits 0 and has nothing to say but that there is no timestamp."""
    signer = make_party("Ada", root, key=make_key(), usages=[CODE_SIGNING])
    jar = tmp_path / "job.jar"
    jar.write_bytes(signed_jar(signer, FILES))
    report = verify_strictly(jar, root, tmp_path)
    assert report.strip().startswith("jar verified.")
    assert [line for line in report.splitlines() if line.startswith("This jar contains")] == [
        line for line in report.splitlines() if "do not include a timestamp" in line
    ]


def test_jarsigner_accepts_a_path_through_an_intermediate(root: Party, tmp_path: Path) -> None:
    """The block carries the whole path, so that Java finds its way to the root."""
    signer = make_signer("Ada", make_party("CA", root, ca=True, path_length=0))
    jar = tmp_path / "job.jar"
    jar.write_bytes(signed_jar(signer, FILES))
    assert verify_strictly(jar, root, tmp_path).strip().startswith("jar verified.")


def test_java_reads_the_names_and_contents_that_we_wrote(root: Party, tmp_path: Path) -> None:
    """Executables, long names and names beyond ASCII arrive in Java as they are."""
    jar = tmp_path / "job.jar"
    signer = make_signer("Ada", root)
    entries = [(name, content, True) for name, content in FILES.items()]
    with jar.open("wb") as out:
        sign_jar(out, entries, key=signer.key, chain=signer.chain, attributes={})
    assert verify_strictly(jar, root, tmp_path).strip().startswith("jar verified.")
    with zipfile.ZipFile(jar) as archive:
        assert {name: archive.read(name) for name in FILES} == FILES


@pytest.mark.parametrize("make_key", KEYS.values(), ids=KEYS.keys())
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_we_accept_what_jarsigner_signs(
    make_key: Callable[[], object], method: int, root: Party, tmp_path: Path
) -> None:
    """A JAR that jarsigner signed opens with the same files, for every kind of key and both ways of storing."""
    signer = make_party("Ada", root, key=make_key(), usages=[CODE_SIGNING])
    jar = tmp_path / "foreign.jar"
    with zipfile.ZipFile(jar, "w", method) as archive:
        archive.mkdir("data")
        for name, content in FILES.items():
            archive.writestr(name, content)
    sign_with_jarsigner(jar, signer, tmp_path)
    assert_opens(jar, root)


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
