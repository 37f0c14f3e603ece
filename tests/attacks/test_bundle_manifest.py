"""Manifests and signature files that Java and we would read differently, though their signer signed them so."""

from __future__ import annotations

import pytest

from rjs import limits
from rjs.bundle.forger import Change, Forger, digest, refusal_of

EXTRA = "X-Note: hello\r\n"


def replaced(old: bytes, new: bytes) -> Change:
    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return change


FORMS: dict[str, Change] = {
    "line feeds only": lambda data: data.replace(b"\r\n", b"\n"),
    "one bare line feed": replaced(b"\r\n", b"\n"),
    "one bare carriage return": replaced(b": ", b": \r"),
    "line of 73 bytes": replaced(b"\r\n", b"\r\nX-Long: " + b"x" * 65 + b"\r\n"),
    "NUL": replaced(b"1.0", b"1.0\r\nX-Note: a\0b"),
    "not UTF-8": replaced(b"1.0", b"1.0\r\nX-Note: \xff"),
    "duplicate header": replaced(b"1.0", b"1.0\r\nX-Note: a\r\nX-Note: b"),
    "duplicate header in other case": replaced(b"1.0", b"1.0\r\nX-Note: a\r\nx-nOTE: b"),
    "duplicate section": lambda data: (
        data + data[data.index(b"Name: ") :].partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    ),
    "two blank lines": replaced(b"\r\n\r\n", b"\r\n\r\n\r\n"),
    "no blank line at the end": lambda data: data[:-2],
    "bytes after the last section": lambda data: data + b"x",
    "continuation at the start": lambda data: b" " + data,
    "continuation at the start of a section": replaced(b"\r\n\r\nName", b"\r\n\r\n Name"),
    "no colon": replaced(b"1.0", b"1.0\r\nX-Note"),
    "no space after the colon": replaced(b"1.0", b"1.0\r\nX-Note:a"),
    "header name with a space": replaced(b"1.0", b"1.0\r\nX Note: a"),
    "header name not ASCII": replaced(b"1.0", "1.0\r\nXé: a".encode()),
    "version missing": lambda data: data.partition(b"\r\n")[2],
    "another version": replaced(b"1.0", b"2.0"),
    "version not first": replaced(b"Manifest-Version", b"X-Note: a\r\nManifest-Version"),
    "section without a name": replaced(b"\r\n\r\nName: ", b"\r\n\r\nX-Note: "),
    "name not first in its section": replaced(b"\r\n\r\nName: ", b"\r\n\r\nX-Note: a\r\nName: "),
    "too many lines": replaced(b"1.0", b"1.0\r\nX-Note: " + b"\r\n x" * limits.MAX_MANIFEST_LINES),
    "too many sections": lambda data: data + b"\r\n\r\n" * limits.MAX_MANIFEST_LINES,
    "empty": lambda _: b"",
    "only a blank line": lambda _: b"\r\n\r\n",
}


@pytest.mark.parametrize("change", FORMS.values(), ids=FORMS.keys())
def test_manifest_form_refused(change: Change, forger: Forger) -> None:
    """A manifest with more than one reading is refused although it was signed like this."""
    forger.change_manifest = change
    assert refusal_of(forger.build()) == "manifest-form"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\r\n", b"\n"),
        lambda data: data.replace(b"Signature-Version: 1.0", b"Signature-Version: 1.1"),
        lambda data: data.replace(b"Signature-Version", b"Manifest-Version"),
        lambda data: data + data[data.index(b"Name: ") :],
    ],
    ids=["line feeds only", "another version", "a manifest instead", "sections twice"],
)
def test_signature_file_form_refused(change: Change, forger: Forger) -> None:
    """A signature file with more than one reading is refused although it was signed like this."""
    forger.change_signature_file = change
    assert refusal_of(forger.build()) == "manifest-form"


def test_many_continuations(forger: Forger) -> None:
    """A header of a megabyte is read in time that grows with its length, not with its square."""
    forger.change_manifest = replaced(
        b"1.0", b"1.0\r\nX-Note: " + b"\r\n x" * (limits.MAX_MANIFEST_LINES // 2)
    )
    forger.signature_main["SHA-256-Digest-Manifest-Main-Attributes"] = None
    assert refusal_of(forger.build()) == "manifest-digest"


DIGESTS: dict[str, dict[str, str]] = {
    "none": {"SHA-256-Digest": ""},
    "SHA-1 only": {"SHA-256-Digest": "", "SHA-1-Digest": "2jmj7l5rSw0yVb/vlWAYkK/YBwk="},
    "MD5 only": {"SHA-256-Digest": "", "MD5-Digest": "1B2M2Y8AsgTpgAmY7PhCfg=="},
    "two": {
        "SHA-512-Digest": "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
    },
    "SHA-256 and SHA-1": {"SHA-1-Digest": "2jmj7l5rSw0yVb/vlWAYkK/YBwk="},
    "of the wrong length": {"SHA-256-Digest": "AAAA"},
    "not Base64": {"SHA-256-Digest": "!" * 44},
    "Base64 with spare bits": {"SHA-256-Digest": "A" * 42 + "B="},
    "in another language": {"SHA-256-Digest": "", "SHA-256-Digest-de": digest(b"")},
}


@pytest.mark.parametrize("headers", DIGESTS.values(), ids=DIGESTS.keys())
def test_digest_refused(headers: dict[str, str], forger: Forger) -> None:
    """Each entry has exactly one digest, of the SHA-2 family."""
    forger.per_file["run.py"] = headers
    assert refusal_of(forger.build()) == "manifest-digest"


@pytest.mark.parametrize("header", ["SHA-256-Digest-Manifest", "SHA-256-Digest-Manifest-Main-Attributes"])
def test_signature_file_needs_both_digests(header: str, forger: Forger) -> None:
    """Without the main attributes' digest Java would accept a changed Main-Class."""
    forger.signature_main[header] = None
    assert refusal_of(forger.build()) == "manifest-digest"


@pytest.mark.parametrize("header", ["SHA-256-Digest-Manifest", "SHA-256-Digest-Manifest-Main-Attributes"])
def test_wrong_digests_refused(header: str, forger: Forger) -> None:
    """A signature file that was signed with another manifest's digests does not fit this one."""
    forger.signature_main[header] = digest(b"another manifest")
    assert refusal_of(forger.build()) == "signature-digest"


def test_wrong_section_digest_refused(forger: Forger) -> None:
    """The digest of each section must hold, even where Java looks only at the whole manifest."""
    jar = forger.archive()
    section = b"Name: run.py\r\nSHA-256-Digest: "

    def change(data: bytes) -> bytes:
        start = data.index(section) + len(section)
        return data[:start] + digest(b"another section").encode() + data[start + 44 :]

    forger.change_signature_file = change
    assert refusal_of(jar.build()) == "accepted"
    assert refusal_of(forger.build()) == "signature-digest"
