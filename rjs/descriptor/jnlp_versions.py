"""The Java versions that a JNLP file asks for, as one specifier of ours (PEP 440). Pure.

A compute server states the version of the Java platform, a whole number, so only that is compared: ``1.8`` is 8.
"""

from __future__ import annotations

import re
from typing import Final

from rjs.needs import MAX_SPECIFIER

NEWEST: Final = 999

_RANGE: Final = re.compile(r"(?:1\.(?=[1-9]))?([1-9][0-9]{0,2})(?:\.0)*([+*]?)", re.ASCII)


class VersionError(ValueError):
    """It is no list of platform versions; the message says what to write."""


def specifier_of(versions: str) -> str:
    """The specifier of alternatives such as ``1.8+``, ``17`` or ``11 17*``, separated by spaces.

    ``17`` and ``17*`` are that version, ``17+`` that or a later one. Raises VersionError.
    """
    allowed, later = set[int](), NEWEST + 1
    for word in versions.split():
        match = _RANGE.fullmatch(word)
        if match is None:
            raise VersionError(
                f"version {word!a} is not the version of a Java platform; write 1.8, 17, 17+, or several with spaces"
            )
        first = int(match[1])
        allowed.add(first)
        if match[2] == "+":
            later = min(later, first)
    allowed.update(range(later, NEWEST + 1))
    if not allowed:
        raise VersionError('version is empty; write the version of a Java platform, such as "17+"')
    return _specifier(allowed)


def _specifier(allowed: set[int]) -> str:
    first, last = min(allowed), max(allowed)
    if first == last:
        return f"=={first}"
    parts = [f">={first}", *([f"<={last}"] if last < NEWEST else [])]
    parts += [f"!={each}" for each in range(first, last) if each not in allowed]
    specifier = ",".join(parts)
    if len(specifier) > MAX_SPECIFIER:
        raise VersionError("version has too many gaps; write a range, such as 11+")
    return specifier
