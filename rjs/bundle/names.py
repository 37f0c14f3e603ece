"""The one function that turns an untrusted name into a path, and the check that a set of names can coexist.

Nothing else in RJS may split, join or normalise a name that came out of an archive.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from rjs import limits
from rjs.bundle.errors import BundleRefusedError

ANSWER_FOLDER: Final = "out"
"""Where a task's outputs go, in its folder and in its answer; a job's bundle has no file there."""

_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"]
)
_FORBIDDEN = frozenset("\\:\x7f\ufeff")
_FORBIDDEN_CATEGORIES = frozenset(["Cc", "Cf", "Cs", "Co", "Zl", "Zp"])


def parts_of(name: str) -> tuple[str, ...]:
    """Return the path parts of a file's ``name``, each safe as one component on Linux, macOS and Windows.

    Raises BundleRefusedError ``name`` for anything but a relative, normalised (NFC) path of ordinary parts.
    """
    if len(name.encode("utf-8", "surrogatepass")) > limits.MAX_NAME_BYTES:
        raise _refused(name, f"is longer than {limits.MAX_NAME_BYTES} bytes")
    if not name.isascii():
        _check_characters(name)
    elif not name.isprintable():
        raise _refused(name, "contains a control character")
    parts = tuple(name.split("/"))
    if len(parts) > limits.MAX_NAME_DEPTH:
        raise _refused(name, f"is deeper than {limits.MAX_NAME_DEPTH} folders")
    for part in parts:
        if fault := _fault_of(part):
            raise _refused(name, fault)
    return parts


def check_coexistence(files: Iterable[str], folders: Iterable[str] = ()) -> None:
    """Refuse names that a file system which folds case could not keep apart, and files used as folders.

    ``folders`` are the archive's folder entries, without the trailing slash. Raises ``zip-duplicate``.
    """
    spelling: dict[str, tuple[str, bool]] = {}
    for name, is_file in [(name, True) for name in files] + [(name, False) for name in folders]:
        _record(spelling, name, is_file)
        parent = name.rpartition("/")[0]
        while parent and spelling.get(_folded(parent)) != (parent, False):
            _record(spelling, parent, is_file=False)
            parent = parent.rpartition("/")[0]


def _record(spelling: dict[str, tuple[str, bool]], name: str, is_file: bool) -> None:
    other, other_is_file = spelling.setdefault(_folded(name), (name, is_file))
    if other != name or other_is_file != is_file:
        raise BundleRefusedError(
            "zip-duplicate",
            f"{shown(other)} and {shown(name)} cannot exist side by side; rename one and sign again",
        )


def _folded(name: str) -> str:
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKD", name).casefold())


def _check_characters(name: str) -> None:
    if any(unicodedata.category(character) in _FORBIDDEN_CATEGORIES for character in name):
        raise _refused(name, "contains a control or format character")
    if not unicodedata.is_normalized("NFC", name):
        raise _refused(name, "is not in Unicode normal form C")


@lru_cache(maxsize=1024)
def _fault_of(part: str) -> str:
    """Return what is wrong with one part of a name, or nothing. Cached for folders, which many files share."""
    if part in ("", ".", ".."):
        return "is absolute or has an empty, '.' or '..' part"
    if not _FORBIDDEN.isdisjoint(part):
        return "contains a backslash or a colon"
    if part[-1] in ". ":
        return "has a part that ends with a dot or a space"
    if len(part.encode()) > limits.MAX_NAME_PART_BYTES:
        return f"has a part longer than {limits.MAX_NAME_PART_BYTES} bytes"
    if part.partition(".")[0].rstrip(" ").lower() in _DEVICES:
        return "has a part that is a device name on Windows"
    return ""


def shown(name: str) -> str:
    """Return ``name`` quoted and escaped, so that it cannot disturb a terminal or a log; at most 120 characters."""
    text = ascii(name)
    return text if len(text) <= 120 else text[:117] + "..."


def _refused(name: str, why: str) -> BundleRefusedError:
    return BundleRefusedError("name", f"the entry name {shown(name)} {why}; rename the file and sign again")
