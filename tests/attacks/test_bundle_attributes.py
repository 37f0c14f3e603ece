"""Main attributes that reach outside the bundle, restrict it in ways we do not know, or are malformed."""

from __future__ import annotations

import pytest

from rjs.bundle.forger import Forger, digest, refusal_of

REFUSED = [
    ("Class-Path", "lib/other.jar"),
    ("Launcher-Agent-Class", "Agent"),
    ("Premain-Class", "Agent"),
    ("Agent-Class", "Agent"),
    ("Boot-Class-Path", "rt.jar"),
    ("class-path", "lib/other.jar"),
    ("RJS-Permissions", "all"),
    ("rjs-later", "x"),
    ("RJS-Name", ""),
    ("RJS-Name", "x" * 101),
    ("RJS-Name", "job\u202egnp.exe"),
    ("RJS-Nonce", "abc"),
    ("RJS-Nonce", "A" * 32),
    ("RJS-Not-Before", "2026-06-01"),
    ("RJS-Not-Before", "2026-06-01T00:00:00+02:00"),
    ("RJS-Not-After", "2026-13-01T00:00:00Z"),
    ("RJS-Not-After", "٢٠٢٦-06-01T00:00:00Z"),
    ("RJS-Cluster", "0123"),
    ("RJS-Cluster", "0123456789ABCDEF"),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_main_attribute_refused(name: str, value: str, forger: Forger) -> None:
    """The attribute is refused although it was signed."""
    forger.main[name] = value
    assert refusal_of(forger.build()) == "attribute"


@pytest.mark.parametrize(
    "headers",
    [
        {"Magic": "x"},
        {"RJS-Executable": "yes"},
        {"RJS-Executable": "True"},
        {"RJS-Later": "x"},
        {"rjs-executable-by": "ada"},
    ],
)
def test_entry_attribute_refused(headers: dict[str, str], forger: Forger) -> None:
    """Magic asks for a verification that we do not know (JAR specification); our own attribute has one value."""
    forger.per_file["run.py"] = headers
    assert refusal_of(forger.build()) == "attribute"


def test_ordinary_attributes_accepted(forger: Forger) -> None:
    """Attributes that other tools write and that change nothing are accepted."""
    forger.main |= {"Main-Class": "Main", "Build-Jdk": "17", "Multi-Release": "true"}
    forger.per_file["run.py"] = {"Content-Type": "text/x-python", "Sealed": "true"}
    assert refusal_of(forger.build()) == "accepted"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("META-INF/INDEX.LIST", "attribute"),
        ("META-INF/Index.List", "attribute"),
        ("a/INDEX.LIST", "accepted"),
    ],
)
def test_index_of_further_jars(name: str, code: str, forger: Forger) -> None:
    """Java loads the JARs that an index names, wherever they are: a Class-Path by another door."""
    forger.files[name] = b"JarIndex-Version: 1.0\n\nhttp://example.org/other.jar\norg/example\n"
    assert refusal_of(forger.build()) == code


DESCRIBED: dict[str, tuple[str, dict[str, str], str]] = {
    "a package": ("org/example/", {"Sealed": "true", "Specification-Title": "x"}, "accepted"),
    "with the digest of nothing": ("org/example/", {"SHA-256-Digest": digest(b"")}, "accepted"),
    "with the digest of something": ("org/example/", {"SHA-256-Digest": digest(b"x")}, "files-differ"),
    "with a weak digest": (
        "org/example/",
        {"SHA-1-Digest": "2jmj7l5rSw0yVb/vlWAYkK/YBwk="},
        "manifest-digest",
    ),
    "with an attribute of ours": ("org/example/", {"RJS-Executable": "true"}, "attribute"),
    "with Magic": ("org/example/", {"Magic": "x"}, "attribute"),
    "of the signature file itself": ("META-INF/RJS.SF", {"Sealed": "true"}, "manifest-digest"),
    "outside": ("../example/", {"Sealed": "true"}, "name"),
    "absolute": ("/", {"Sealed": "true"}, "name"),
    "of a name without a file": ("org/example", {"Sealed": "true"}, "accepted"),
    "of a file that is missing": ("org/example", {"SHA-256-Digest": digest(b"x")}, "files-differ"),
    "of an empty file that is missing": ("org/example", {"SHA-256-Digest": digest(b"")}, "files-differ"),
    "of a file elsewhere": ("http://example.org/x.class", {"Sealed": "true"}, "name"),
}


@pytest.mark.parametrize(("name", "headers", "code"), DESCRIBED.values(), ids=DESCRIBED.keys())
def test_section_of_what_is_no_file(name: str, headers: dict[str, str], code: str, forger: Forger) -> None:
    """Java describes packages in sections of names that are no files: without content, without our attributes."""
    forger.described[name] = headers
    assert refusal_of(forger.build()) == code


def test_section_of_a_package_added_after_signing(forger: Forger) -> None:
    """A section that the signature file does not name was not signed, though it describes no file."""
    section = b"Name: org/example/\r\nSealed: true\r\n\r\n"
    forger.change_manifest = lambda data: data + section
    assert refusal_of(forger.build()) == "files-differ"
