"""What an opened bundle tells and reads."""

from __future__ import annotations

import hashlib
import io
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.bundle.attributes import BundleAttributes, job_attributes
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.forger import Forger, RawMember
from rjs.bundle.manifest import Digest
from rjs.bundle.sign import sign_jar
from rjs.bundle.testing import NOW, Party, make_party, make_signer, signed_jar
from rjs.bundle.verify import Entry, OpenedBundle, open_bundle, spki_of
from rjs.bundle.zip import DESCRIPTOR, DESCRIPTOR_SIGNATURE, FLAG_DESCRIPTOR
from rjs.ids import ClusterId

FILES = {"job.toml": b"name", "run.py": b"print()", "lib/a.py": b""}


@pytest.fixture(scope="module")
def signer() -> Party:
    return make_signer()


def opened(jar: bytes) -> OpenedBundle:
    return open_bundle(io.BytesIO(jar), at=NOW)


def test_signer(signer: Party) -> None:
    """The signer is described by key, name and the validated path, leaf first and root last."""
    found = opened(signed_jar(signer, FILES)).signer
    assert found.spki == spki_of(signer.certificate)
    assert found.subject == "CN=Ada Signer"
    assert found.path == tuple(certificate.public_bytes(Encoding.DER) for certificate in signer.chain)
    assert found.certificate == found.path[0]
    assert found.not_after == signer.certificate.not_valid_after_utc


def test_subject_is_safe_to_display() -> None:
    """Control and direction-changing characters in a name never reach a terminal."""
    forged = make_signer("Ada\u202egnp\x1b[2J")
    assert opened(signed_jar(forged, FILES)).signer.subject == "CN=Adagnp[2J"


def test_bundle_id_is_manifest_and_key(signer: Party) -> None:
    """The id is the documented digest, so one content signed by two people is two bundles."""
    jar = signed_jar(signer, FILES)
    start = jar.index(b"Manifest-Version")
    manifest = jar[start : jar.index(b"PK\x03\x04", start)]
    expected = hashlib.sha256(
        b"rjs-bundle-1" + hashlib.sha256(manifest).digest() + bytes.fromhex(spki_of(signer.certificate))
    )
    assert opened(jar).bundle_id == expected.hexdigest()
    assert opened(signed_jar(make_signer("Bob"), FILES)).bundle_id != expected.hexdigest()


def test_bundle_id_is_independent_of_the_container(signer: Party) -> None:
    """Deflating, folder entries, descriptors and times change the bytes of a bundle and not its id."""
    forger = Forger(signer=signer)
    archive = forger.archive()
    before = opened(archive.build())
    archive.members.append(RawMember(b"folder/", b""))
    member = archive.member("run.py")
    member.deflate()
    member.flags |= FLAG_DESCRIPTOR
    fields = member.fields({})
    member.descriptor = DESCRIPTOR.pack(
        DESCRIPTOR_SIGNATURE, fields["crc"], fields["compressed"], fields["size"]
    )
    after = opened(archive.build())
    assert (after.bundle_id, dict(after.entries)) == (before.bundle_id, dict(before.entries))
    after.check_all()


def test_entries_and_executables(signer: Party) -> None:
    """Entries are the signed files, with sizes, digests and the signed executable bit; no signature files."""
    out = io.BytesIO()
    sign_jar(out, [("a", b"xy", True), ("b", b"", False)], key=signer.key, chain=signer.chain, attributes={})
    assert dict(opened(out.getvalue()).entries) == {
        "a": Entry("a", 2, Digest("sha256", hashlib.sha256(b"xy").digest()), True),
        "b": Entry("b", 0, Digest("sha256", hashlib.sha256(b"").digest()), False),
    }


def test_attributes_are_typed(signer: Party) -> None:
    """What `job_attributes` wrote comes back as typed values, times cut to seconds."""
    cluster = ClusterId("0123456789abcdef")
    end = NOW + timedelta(days=1, microseconds=5)
    jar = signed_jar(signer, FILES, job_attributes("Größe", b"\x01" * 16, NOW, end, cluster))
    assert opened(jar).attributes == BundleAttributes(
        "Größe", "01" * 16, NOW, NOW + timedelta(days=1), cluster
    )
    assert opened(signed_jar(signer, FILES, {})).attributes == BundleAttributes()


def test_read(signer: Party) -> None:
    """Reading returns the content, and refuses what is too large or not there."""
    bundle = opened(signed_jar(signer, FILES))
    assert bundle.read("run.py", 7) == b"print()"
    with pytest.raises(BundleRefusedError, match="file-size"):
        bundle.read("run.py", 6)
    for name in ("nothing", "META-INF/MANIFEST.MF"):
        with pytest.raises(BundleRefusedError, match="missing-file"):
            bundle.read(name, 100)


def test_named_roots_need_not_be_in_the_block() -> None:
    """A path may end at a root that only the caller holds, or at an intermediate that the caller names."""
    root = make_party("Root", ca=True)
    middle = make_party("CA", root, ca=True)
    signer = make_signer("Ada", middle)
    jar = Forger(signer=Party(signer.key, signer.chain[:-1])).build()
    for anchor, length in [(root, 3), (middle, 2)]:
        bundle = open_bundle(io.BytesIO(jar), at=NOW, roots=[anchor.certificate])
        assert len(bundle.signer.path) == length
        assert x509.load_der_x509_certificate(bundle.signer.path[-1]) == anchor.certificate


def test_closing(signer: Party) -> None:
    """A bundle owns its open file, from opening to `close`."""
    file = io.BytesIO(signed_jar(signer, FILES))
    with open_bundle(file, at=NOW):
        assert not file.closed
    assert file.closed
