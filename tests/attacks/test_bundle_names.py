"""Entry names that would leave the destination, or mean different files on different systems."""

from __future__ import annotations

import pytest

from rjs import limits
from rjs.bundle.forger import Forger, RawMember, refusal_of

NAMES = {
    "parent folder": "../run.py",
    "parent folder within": "a/../../run.py",
    "parent folder at the end": "a/..",
    "absolute": "/etc/passwd",
    "empty part": "a//run.py",
    "this folder": "./run.py",
    "empty": "",
    "only a slash": "/",
    "drive": "C:/run.py",
    "drive-relative": "C:run.py",
    "alternate data stream": "run.py:hidden",
    "backslash": "..\\run.py",
    "NUL": "run.py\0.txt",
    "newline": "run\n.py",
    "escape sequence": "run\x1b[2J.py",
    "delete": "run\x7f.py",
    "C1 control": "run\x85.py",
    "right-to-left override": "run\u202eyp.exe",
    "zero width joiner": "run\u200d.py",
    "byte order mark": "\ufeffrun.py",
    "line separator": "run\u2028.py",
    "private use": "run\ue000.py",
    "not NFC": "cafe\u0301.py",
    "trailing dot": "run.py.",
    "trailing space": "run.py ",
    "folder with trailing dot": "a./run.py",
    "device": "NUL",
    "device in lower case": "con",
    "device with suffix": "aux.txt",
    "device with space before its suffix": "aux .txt",
    "device as a folder": "com1/run.py",
    "device with superscript digit": "COM¹",
    "console": "CONIN$",
    "too long": "/".join(["a" * 200] * 6),
    "part too long": "a" * (limits.MAX_NAME_PART_BYTES + 1),
    "part too long in bytes": "ä" * 128,
    "too deep": "a/" * limits.MAX_NAME_DEPTH + "b",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_refused(name: str, forger: Forger) -> None:
    """A signed file with an unsafe name is refused before anything is read."""
    forger.files[name] = b""
    assert refusal_of(forger.build()) == "name"


@pytest.mark.parametrize("name", ["../a/", "/", "a/../", "a\\b/", "aux/", "//"])
def test_folder_refused(name: str, forger: Forger) -> None:
    """Folder entries, though nobody signs them and nobody unpacks them, must be safe as well."""
    archive = forger.archive()
    archive.members.append(RawMember(name.encode(), b""))
    assert refusal_of(archive.build()) == "name"


@pytest.mark.parametrize(
    ("raw", "flags"), [(b"caf\xe9.py", 0x0800), ("café.py".encode(), 0), (b"\xed\xa0\x80.py", 0x0800)]
)
def test_encoding_refused(raw: bytes, flags: int, forger: Forger) -> None:
    """Names that are not UTF-8, or UTF-8 not marked as such, have no one reading."""
    archive = forger.archive()
    archive.members.append(RawMember(raw, b"", flags=flags))
    assert refusal_of(archive.build()) == "name"


@pytest.mark.parametrize(
    "name", ["a b/ü.py", "日本語/файл.txt", "-rf", "~", "$HOME", ".hidden", "a..b", "com10", "nulls"]
)
def test_ordinary_names_accepted(name: str, forger: Forger) -> None:
    """What is safe is accepted, however unusual."""
    forger.files[name] = b"content"
    assert refusal_of(forger.build()) == "accepted"
