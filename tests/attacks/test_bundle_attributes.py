"""Main attributes that reach outside the bundle, restrict it in ways we do not know, or are malformed."""

from __future__ import annotations

import pytest

from rjs.bundle.forger import Forger, refusal_of

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


@pytest.mark.parametrize("headers", [{"Magic": "x"}, {"RJS-Executable": "yes"}, {"RJS-Executable": "True"}])
def test_entry_attribute_refused(headers: dict[str, str], forger: Forger) -> None:
    """Magic asks for a verification that we do not know (JAR specification); our own attribute has one value."""
    forger.per_file["run.py"] = headers
    assert refusal_of(forger.build()) == "attribute"


def test_ordinary_attributes_accepted(forger: Forger) -> None:
    """Attributes that other tools write and that change nothing are accepted."""
    forger.main |= {"Main-Class": "Main", "Build-Jdk": "17", "Multi-Release": "true"}
    forger.per_file["run.py"] = {"Content-Type": "text/x-python", "Sealed": "true"}
    assert refusal_of(forger.build()) == "accepted"
