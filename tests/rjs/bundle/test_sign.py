"""Signing: the same input gives the same bundle, and what a verifier would refuse is not signed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from rjs.bundle.attributes import job_attributes
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.path import CODE_SIGNING
from rjs.bundle.sign import sign_jar
from rjs.bundle.testing import NOW, Party, make_party, make_signer, signed_jar
from rjs.bundle.verify import open_bundle
from rjs.bundle.zip_writer import StoredFile, write_archive


@pytest.fixture(scope="module")
def signer() -> Party:
    return make_signer()


def signed(
    signer: Party, entries: Sequence[tuple[str, bytes | Path, bool]], chain: Sequence[x509.Certificate] = ()
) -> bytes:
    out = io.BytesIO()
    sign_jar(out, entries, key=signer.key, chain=chain or signer.chain, attributes={})
    return out.getvalue()


def test_deterministic() -> None:
    """With a deterministic signature algorithm the same files give the same bytes, whatever their order."""
    root = make_party("Root", ca=True)
    signer = make_party("Ada", root, key=ed25519.Ed25519PrivateKey.generate(), usages=[CODE_SIGNING])
    files: list[tuple[str, bytes | Path, bool]] = [("b", b"2", False), ("a/x", b"1", True)]
    assert signed(signer, files) == signed(signer, files[::-1])


def test_the_nonce_makes_another_bundle(signer: Party) -> None:
    """Signing again with a fresh nonce is a new job."""
    ids = {
        open_bundle(
            io.BytesIO(signed_jar(signer, {"a": b""}, job_attributes("n", nonce, NOW, NOW))), at=NOW
        ).bundle_id
        for nonce in (bytes(16), b"\x01" * 16)
    }
    assert len(ids) == 2


def test_files_by_path_are_streamed(signer: Party, tmp_path: Path) -> None:
    """A file given by path ends up in the bundle like one given by content."""
    content = bytes(range(256)) * 4096
    (tmp_path / "big").write_bytes(content)
    jar = signed(signer, [("big", tmp_path / "big", False)])
    assert open_bundle(io.BytesIO(jar), at=NOW).read("big", len(content)) == content


def test_a_changing_file_is_noticed() -> None:
    """A file whose content is not what was measured and signed does not end up in a bundle."""
    with pytest.raises(BundleRefusedError, match="sign-input"):
        write_archive(io.BytesIO(), [StoredFile("a", 1, 0, [b"x"])])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../a", "name"),
        ("META-INF/MANIFEST.MF", "signature-files"),
        ("META-INF/X.SF", "signature-files"),
        ("meta-inf/sig-x", "signature-files"),
        ("meta-inf/x", "zip-duplicate"),
        ("ok", "zip-duplicate"),
        ("OK", "zip-duplicate"),
        ("ok/x", "zip-duplicate"),
    ],
)
def test_unverifiable_names_are_not_signed(name: str, code: str, signer: Party) -> None:
    """The signer learns at once what every verifier would say."""
    with pytest.raises(BundleRefusedError, match=rf"^{code}:"):
        signed(signer, [("ok", b"", False), (name, b"", False)])


def test_key_and_chain_must_fit(signer: Party) -> None:
    """A chain of another key, or one without its root, is refused before anything is written."""
    stranger = Party(ec.generate_private_key(ec.SECP256R1()), signer.chain)
    for party, chain in [(stranger, signer.chain), (signer, signer.chain[:-1])]:
        with pytest.raises(BundleRefusedError, match="sign-key"):
            signed(party, [("a", b"", False)], chain)


@pytest.mark.parametrize(
    "attributes",
    [{"X-Note": "a\r\nMain-Class: Evil"}, {"X-Note": "a\r\n b"}, {"Class-Path": "x"}, {"RJS-Nonce": "short"}],
)
def test_attributes_that_are_not_signed(attributes: dict[str, str], signer: Party) -> None:
    """A value cannot smuggle in another header, and what a verifier would refuse is not signed."""
    with pytest.raises(BundleRefusedError, match=r"^attribute:"):
        sign_jar(io.BytesIO(), [], key=signer.key, chain=signer.chain, attributes=attributes)


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb"])
def test_job_names_that_no_verifier_accepts(name: str) -> None:
    """`job_attributes` refuses what `open_bundle` would."""
    with pytest.raises(BundleRefusedError, match="attribute"):
        job_attributes(name, bytes(16), NOW, NOW)
