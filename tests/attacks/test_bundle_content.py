"""Changes to a bundle after it was signed: the promise that only what its signer signed will run."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.forger import Forger, RawMember, RawZip, digest, refusal_of
from rjs.bundle.testing import NOW
from rjs.bundle.verify import open_bundle


def test_changed_byte(archive: RawZip) -> None:
    """A file of which one byte changed, CRC recomputed, is refused when it is read."""
    archive.member("run.py").content = b"print('jello')\n"
    assert refusal_of(archive.build()) == "file-changed"


def test_changed_byte_is_never_unpacked(archive: RawZip, tmp_path: Path) -> None:
    """Nothing of a tampered bundle stays on disk, not even the files that are as signed."""
    archive.member("run.py").content = b"print('jello')\n"
    bundle = open_bundle(io.BytesIO(archive.build()), at=NOW)
    with pytest.raises(BundleRefusedError, match="file-changed"):
        bundle.unpack(tmp_path / "job")
    assert list(tmp_path.iterdir()) == []


def test_added_file(archive: RawZip) -> None:
    """A file that nobody signed is refused although all signed ones are intact."""
    archive.members.append(RawMember(b"sitecustomize.py", b"import os"))
    assert refusal_of(archive.build()) == "files-differ"


def test_added_file_in_meta_inf(archive: RawZip) -> None:
    """META-INF/ is no place to hide an unsigned file."""
    archive.members.append(RawMember(b"META-INF/services/java.sql.Driver", b"Evil"))
    assert refusal_of(archive.build()) == "files-differ"


def test_removed_file(archive: RawZip) -> None:
    """A bundle without a file that was signed is refused."""
    archive.members.remove(archive.member("run.py"))
    assert refusal_of(archive.build()) == "files-differ"


def test_file_added_to_manifest_and_archive(forger: Forger) -> None:
    """A file that is in the manifest but was not there when the signature was made is refused."""
    forger.spoil_manifest = lambda data: (
        data + f"Name: x.py\r\nSHA-256-Digest: {digest(b'')}\r\n\r\n".encode()
    )
    archive = forger.archive()
    archive.members.append(RawMember(b"x.py", b""))
    assert refusal_of(archive.build()) == "signature-digest"


def test_signed_manifest_section_missing_in_signature_file(forger: Forger) -> None:
    """Java treats a file without its section in the .SF as unsigned; we refuse the bundle."""
    forger.change_signature_file = lambda data: data[: data.index(b"Name: run.py")]
    assert refusal_of(forger.build()) == "files-differ"


def test_changed_main_attribute(forger: Forger) -> None:
    """Main-Class, like every main attribute, is signed."""
    forger.main["Main-Class"] = "Good"
    forger.spoil_manifest = lambda data: data.replace(b"Main-Class: Good", b"Main-Class: Evil")
    assert refusal_of(forger.build()) == "signature-digest"


def test_changed_manifest_section(forger: Forger) -> None:
    """Swapping in the digest of another content breaks the manifest's signature."""
    forger.spoil_manifest = lambda data: data.replace(
        digest(forger.files["run.py"]).encode(), digest(b"evil").encode()
    )
    archive = forger.archive()
    archive.member("run.py").content = b"evil"
    assert refusal_of(archive.build()) == "signature-digest"


def test_changed_signature_file(forger: Forger) -> None:
    """The signature file itself is what the block signs."""
    forger.spoil_signature_file = lambda data: data.replace(b"Signature-Version", b"Signature-version")
    assert refusal_of(forger.build()) == "signature"


def test_signature_of_another_bundle(forger: Forger) -> None:
    """The whole signature of one bundle does not fit the manifest of another by the same signer."""
    other = Forger(signer=forger.signer, files={"run.py": b"print('other')\n"}).archive()
    archive = forger.archive()
    for name in ("META-INF/RJS.SF", "META-INF/RJS.EC"):
        archive.member(name).content = other.member(name).content
    assert refusal_of(archive.build()) == "signature-digest"
