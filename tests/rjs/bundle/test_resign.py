"""Signing a JAR that exists: its files and attributes stay, its old signature goes, its old manifest may be poor."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.forger import FILES, Forger, RawMember, RawZip, refusal_of
from rjs.bundle.resign import OldManifest, read_loosely, sign_existing_jar
from rjs.bundle.testing import NOW, Party, make_signer
from rjs.bundle.verify import OpenedBundle, open_bundle


@pytest.fixture(scope="module")
def signer() -> Party:
    return make_signer()


def resigned(jar: bytes, signer: Party, attributes: Mapping[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    sign_existing_jar(io.BytesIO(jar), out, key=signer.key, chain=signer.chain, attributes=attributes or {})
    return out.getvalue()


def opened(jar: bytes) -> OpenedBundle:
    bundle = open_bundle(io.BytesIO(jar), at=NOW)
    bundle.check_all()
    return bundle


def unsigned(manifest: bytes, *more: RawMember) -> bytes:
    return RawZip([RawMember(b"META-INF/MANIFEST.MF", manifest), RawMember(b"a.txt", b"a"), *more]).build()


def test_an_old_signature_gives_way(signer: Party) -> None:
    """The new signer is the only one, whoever signed before, and the files are the same."""
    jar = resigned(Forger(stem="META-INF/OLD").build(), signer)
    bundle = opened(jar)
    assert bundle.signer.certificate == signer.certificate.public_bytes(Encoding.DER)
    assert {name: bundle.read(name, 1000) for name in bundle.entries} == FILES
    assert [name for name in zipfile.ZipFile(io.BytesIO(jar)).namelist() if "OLD" in name] == []


def test_compressed_files_stay_as_they_are_compressed(signer: Party) -> None:
    """The deflate stream is copied, not made anew; what was stored stays stored."""
    big = RawMember(b"big", b"x" * 100_000)
    big.deflate()
    jar = resigned(unsigned(b"", big), signer)
    assert big.raw is not None
    assert big.raw in jar
    methods = {each.filename: each.compress_type for each in zipfile.ZipFile(io.BytesIO(jar)).infolist()}
    assert (methods["big"], methods["a.txt"]) == (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)
    assert opened(jar).read("big", 100_000) == big.content


def test_attributes_stay(signer: Party) -> None:
    """Main attributes, those of files, and those of folders (Java's packages) are signed again as they were."""
    old = (
        b"Manifest-Version: 1.0\nCreated-By: 1.4 (Sun)\nMain-Class: Main\n\n"
        b"Name: a.txt\nContent-Type: text/plain\nSHA1-Digest: xxxx\n\n"
        b"Name: org/example/\nSpecification-Title: Example\n"
    )
    jar = resigned(unsigned(old), signer)
    bundle = opened(jar)
    assert dict(bundle.main_headers) == {
        "manifest-version": "1.0",
        "created-by": "1.4 (Sun)",
        "main-class": "Main",
    }
    assert list(bundle.entries) == ["a.txt"]
    written = zipfile.ZipFile(io.BytesIO(jar)).read("META-INF/MANIFEST.MF")
    assert b"Content-Type: text/plain\r\n" in written
    assert written.endswith(b"Name: org/example/\r\nSpecification-Title: Example\r\n\r\n")
    assert b"SHA1" not in written


def test_given_attributes_replace_old_ones(signer: Party) -> None:
    """A job's attributes come from its new signer; those of an old signing by RJS are gone."""
    old = Forger(main={"RJS-Name": "old", "RJS-Nonce": "0" * 32, "Main-Class": "Main"}).build()
    bundle = opened(resigned(old, signer, {"RJS-Name": "new"}))
    assert (bundle.attributes.name, bundle.attributes.nonce) == ("new", None)
    assert bundle.main_headers["main-class"] == "Main"


def test_executable_files_stay_executable(signer: Party) -> None:
    """The signed executable bit is an attribute of the file like any other."""
    old = Forger(per_file={"run.py": {"RJS-Executable": "true"}}).build()
    entries = opened(resigned(old, signer)).entries
    assert {name: entry.executable for name, entry in entries.items()} == {"job.toml": False, "run.py": True}


def test_a_jar_without_manifest_gets_one(signer: Party) -> None:
    """An archive that never was a JAR is one afterwards; folder entries are left out."""
    jar = resigned(RawZip([RawMember(b"a/b", b"b"), RawMember(b"a/", b"")]).build(), signer)
    assert list(opened(jar).entries) == ["a/b"]
    assert zipfile.ZipFile(io.BytesIO(jar)).namelist()[3:] == ["a/b"]


MANIFESTS: dict[str, tuple[bytes, OldManifest]] = {
    "empty": (b"", OldManifest({}, {})),
    "line feeds": (b"A: 1\nB: 2\n\nName: x\nC: 3\n", OldManifest({"A": "1", "B": "2"}, {"x": {"C": "3"}})),
    "carriage returns": (b"A: 1\r\rName: x\rC: 3", OldManifest({"A": "1"}, {"x": {"C": "3"}})),
    "many blank lines": (
        b"A: 1\r\n\r\n\r\n\r\nName: x\r\nC: 3\r\n\r\n\r\n",
        OldManifest({"A": "1"}, {"x": {"C": "3"}}),
    ),
    "continuations": (b"A: 1\n 2\r\n 3\n", OldManifest({"A": "123"}, {})),
    "long line": (b"A: " + b"x" * 500, OldManifest({"A": "x" * 500}, {})),
    "no space after the colon": (b"A:1\n", OldManifest({"A": "1"}, {})),
    "header twice": (b"A: 1\na: 2\n", OldManifest({"a": "2"}, {})),
    "section twice": (
        b"A: 1\n\nName: x\nB: 1\n\nName: x\nC: 2\n",
        OldManifest({"A": "1"}, {"x": {"B": "1", "C": "2"}}),
    ),
    "what is no header": (b"A: 1\nhello\n: x\n\xff: 2\n", OldManifest({"A": "1"}, {})),
    "section without name": (b"A: 1\n\nB: 2\n", OldManifest({"A": "1"}, {})),
    "not UTF-8": (b"A: \xff\n", OldManifest({"A": "\ufffd"}, {})),
    "NUL": (b"A: 1\nB: \0\n", OldManifest({"A": "1"}, {})),
    "no main section": (b"\nName: x\nB: 2\n", OldManifest({}, {"x": {"B": "2"}})),
    "digests in any language": (
        b"A: 1\n\nName: x\nSHA-256-Digest: a\nMD5-Digest-de: b\nMagic: c\nB: 2\n",
        OldManifest({"A": "1"}, {"x": {"B": "2"}}),
    ),
    "ours": (
        b"RJS-Later: 1\n\nName: x\nRJS-Later: 1\nRJS-Executable: true\n",
        OldManifest({}, {"x": {"RJS-Executable": "true"}}),
    ),
}


@pytest.mark.parametrize(("data", "expected"), MANIFESTS.values(), ids=MANIFESTS.keys())
def test_old_manifests(data: bytes, expected: OldManifest, signer: Party) -> None:
    """Whatever tool wrote it, what can be read is kept, and what is written anew is accepted."""
    assert read_loosely(data) == expected
    assert refusal_of(resigned(unsigned(data, RawMember(b"x", b"")), signer)) == "accepted"


@pytest.mark.parametrize(
    ("jar", "code"),
    [
        (unsigned(b"Class-Path: other.jar\n"), "attribute"),
        (unsigned(b"", RawMember(b"META-INF/INDEX.LIST", b"")), "attribute"),
        (unsigned(b"A: 1\n\nName: a.txt\nRJS-Executable: yes\n"), "attribute"),
        (unsigned(b"A: 1\n\nName: ../x/\nB: 2\n"), "name"),
        (unsigned(b"A: " + b"x" * (16 << 20)), "zip-limit"),
        (unsigned(b"") + b"x", "zip-end"),
    ],
    ids=[
        "Class-Path",
        "JAR index",
        "executable malformed",
        "folder outside",
        "manifest too large",
        "archive",
    ],
)
def test_what_a_verifier_would_refuse_is_not_signed(jar: bytes, code: str, signer: Party) -> None:
    """The signer learns at once what every verifier would say."""
    with pytest.raises(BundleRefusedError, match=rf"^{code}:"):
        resigned(jar, signer)
