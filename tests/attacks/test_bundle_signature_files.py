"""Unsigned JARs, and META-INF/ folders with more than one signature."""

from __future__ import annotations

import pytest

from rjs.bundle.forger import Forger, RawMember, RawZip, refusal_of


@pytest.mark.parametrize(
    "name",
    [
        "META-INF/OTHER.SF",
        "META-INF/OTHER.EC",
        "META-INF/RJS.RSA",
        "META-INF/RJS.DSA",
        "META-INF/SIG-OTHER",
        "META-INF/SIG-OTHER.X",
        "META-INF/other.sf",
        "META-INF/sig-other",
    ],
)
def test_second_signature_refused(name: str, archive: RawZip) -> None:
    """Java leaves every such file unsigned, so anything could be added or hidden there."""
    archive.members.append(RawMember(name.encode(), b""))
    assert refusal_of(archive.build()) == "signature-files"


@pytest.mark.parametrize("name", ["META-INF/RJS.SF", "META-INF/RJS.EC"])
def test_half_a_signature_refused(name: str, archive: RawZip) -> None:
    """A signature file without its block, or a block without its signature file, signs nothing."""
    archive.members.remove(archive.member(name))
    assert refusal_of(archive.build()) == "signature-files"


def test_unsigned_refused(archive: RawZip) -> None:
    """With the signature deleted `java -jar` would still run the code; we do not."""
    for name in ("META-INF/RJS.SF", "META-INF/RJS.EC"):
        archive.members.remove(archive.member(name))
    assert refusal_of(archive.build()) == "unsigned"


def test_no_manifest_refused(archive: RawZip) -> None:
    """A signature without a manifest signs nothing."""
    archive.members.remove(archive.member("META-INF/MANIFEST.MF"))
    assert refusal_of(archive.build()) == "unsigned"


def test_empty_archive_refused() -> None:
    """An archive of nothing is well formed, and unsigned."""
    assert refusal_of(RawZip([]).build()) == "unsigned"


@pytest.mark.parametrize("name", ["meta-inf/MANIFEST.MF", "META-INF/Manifest.mf"])
def test_manifest_at_another_path_refused(name: str, archive: RawZip) -> None:
    """Java finds the manifest under any spelling; we know one."""
    archive.member("META-INF/MANIFEST.MF").name = name.encode()
    assert refusal_of(archive.build()) in {"unsigned", "zip-duplicate"}


def test_block_of_another_stem_refused(archive: RawZip) -> None:
    """A block belongs to the signature file with its stem."""
    archive.member("META-INF/RJS.EC").name = b"META-INF/ABC.EC"
    assert refusal_of(archive.build()) == "signature-files"


def test_block_suffix_must_fit_the_key(forger: Forger) -> None:
    """An EC signature in a .RSA file is refused: readers choose the algorithm by the suffix."""
    forger.suffix = ".RSA"
    assert refusal_of(forger.build()) == "block-algorithm"


def test_signature_deeper_than_meta_inf_is_an_ordinary_file(forger: Forger) -> None:
    """Below META-INF/ such a name has no meaning to Java, so it is signed like any file."""
    forger.files["META-INF/versions/X.SF"] = b"content"
    assert refusal_of(forger.build()) == "accepted"
