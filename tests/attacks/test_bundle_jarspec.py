"""Attacks read out of the JAR File Specification, beside those of the other ``test_bundle_*`` files."""

from __future__ import annotations

import pytest

from rjs.bundle.forger import Forger, RawMember, RawZip, digest, refusal_of
from rjs.bundle.manifest import write_section

SHA1_OF_NOTHING = "2jmj7l5rSw0yVb/vlWAYkK/YBwk="


@pytest.mark.parametrize("name", ["META-INF/rjs.SF", "META-INF/RJS.sf"])
def test_signature_file_in_another_case(name: str, archive: RawZip) -> None:
    """Java takes either case; we know the file under one name."""
    archive.member("META-INF/RJS.SF").name = name.encode()
    assert refusal_of(archive.build()) == "signature-files"


def test_only_a_dsa_block(archive: RawZip) -> None:
    """DSA is not accepted, nor another block under its suffix."""
    archive.member("META-INF/RJS.EC").name = b"META-INF/RJS.DSA"
    assert refusal_of(archive.build()) == "signature-files"


def test_pgp_like_block(archive: RawZip) -> None:
    """The SIG- prefix is for other kinds of signatures, which Java leaves unsigned."""
    archive.members.append(RawMember(b"META-INF/SIG-RJS.PGP", b""))
    assert refusal_of(archive.build()) == "signature-files"


def test_two_complete_signatures() -> None:
    """A JAR signed by two people has two signers, and so no bundle id."""
    forger = Forger()
    other = Forger(stem="META-INF/OTHER").archive()
    archive = forger.archive()
    archive.members += [other.member("META-INF/OTHER.SF"), other.member("META-INF/OTHER.EC")]
    assert refusal_of(archive.build()) == "signature-files"


def test_signature_file_with_one_section_more(forger: Forger) -> None:
    """A section of a file that neither manifest nor archive has."""
    forger.change_signature_file = lambda data: (
        data + write_section({"Name": "x.py", "SHA-256-Digest": digest(b"")})
    )
    assert refusal_of(forger.build()) == "files-differ"


def test_manifest_with_one_section_more(forger: Forger) -> None:
    """A section of a file that the archive does not have, signed like the others."""
    forger.change_manifest = lambda data: (
        data + write_section({"Name": "x.py", "SHA-256-Digest": digest(b"")})
    )
    assert refusal_of(forger.build()) == "files-differ"


def test_section_without_digest(forger: Forger) -> None:
    """A file whose section says nothing of its content is unsigned, though its name is signed."""
    forger.per_file["run.py"] = {"SHA-256-Digest": "", "Content-Type": "text/plain"}
    assert refusal_of(forger.build()) == "manifest-digest"


@pytest.mark.parametrize("header", ["SHA1-Digest-Manifest", "MD5-Digest-Manifest", "SHA-512-Digest-Manifest"])
def test_second_digest_of_the_manifest(header: str, forger: Forger) -> None:
    """Of two digests Java takes the first that it can; we take a signature file that has one."""
    forger.signature_main[header] = SHA1_OF_NOTHING
    assert refusal_of(forger.build()) == "manifest-digest"


def test_digest_of_manifest_in_a_section(forger: Forger) -> None:
    """The digests of the manifest belong to the main section, not to that of a file."""
    forger.signature_main["SHA-256-Digest-Manifest"] = None
    forger.change_signature_file = lambda data: data.replace(
        b"Name: run.py\r\n", b"Name: run.py\r\nSHA-256-Digest-Manifest: " + digest(b"").encode() + b"\r\n"
    )
    assert refusal_of(forger.build()) == "manifest-digest"


def test_name_wrapped_within_a_character(forger: Forger) -> None:
    """Control: a continuation may split a character's bytes, as jarsigner writes long names."""
    forger.files["ü" * 60] = b"x"
    assert refusal_of(forger.build()) == "accepted"


@pytest.mark.parametrize(
    "name", ["META-INF/versions/9/run.py", "META-INF/services/x", "META-INF/x.sf/y", "x.SF"]
)
def test_signed_files_with_telling_names(name: str, forger: Forger) -> None:
    """Control: versions of a Multi-Release JAR, services and suffixes elsewhere are files like any, and signed."""
    forger.main["Multi-Release"] = "true"
    forger.files[name] = b"content"
    assert refusal_of(forger.build()) == "accepted"
    archive = forger.archive()
    archive.member(name).content = b"changed"
    assert refusal_of(archive.build()) == "file-changed"


def test_unsigned_version_of_a_class(forger: Forger) -> None:
    """In a Multi-Release JAR an added version replaces a class on newer Java: it is unsigned, so refused."""
    forger.main["Multi-Release"] = "true"
    archive = forger.archive()
    archive.members.append(RawMember(b"META-INF/versions/21/Main.class", b"evil"))
    assert refusal_of(archive.build()) == "files-differ"
