"""The operating systems and architectures of a JNLP file, as platforms of ours. Pure.

JNLP compares with what Java says of the machine (``os.name``, ``os.arch``): a list of words, of which one must be
the beginning of it. So ``Win`` and ``Mac`` are names too. Systems that no compute server has are known by name, so
that a slip of the pen is no resource for nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from rjs.needs import Platform

OS_NAMES: Final[Mapping[str, str]] = {"linux": "linux", "mac os x": "macos", "windows": "windows"}
"""What ``os.name`` is, or begins with, on each of our operating systems."""
ARCH_NAMES: Final[Mapping[str, str]] = {
    "amd64": "x86_64", "x86_64": "x86_64", "x64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64",
}  # fmt: skip
OTHER_SYSTEMS: Final = ("sunos", "solaris", "aix", "hp-ux", "freebsd", "openbsd", "netbsd")
OTHER_ARCHITECTURES: Final = (
    "x86", "i386", "i486", "i586", "i686", "arm", "ppc", "ppc64", "ppc64le", "powerpc", "sparc", "sparcv9",
    "riscv64", "s390x", "ia64",
)  # fmt: skip
"""32-bit Intel too: a library for it does not load into a 64-bit Java."""

_ESCAPED: Final = re.compile(r"mac(\\? )os(\\? )x", re.IGNORECASE)
_WORD: Final = re.compile(r"(?:[^\s\\]|\\.)+")


class UnknownNameError(ValueError):
    """No operating system or architecture has the name; the message says which ones there are."""


def platforms_of(os_names: str, architectures: str) -> tuple[Platform, ...]:
    """Every platform that a resource with these attributes is for; none where it is for other machines only.

    An empty attribute means any. Raises UnknownNameError.
    """
    systems = (
        sorted({each for word in _words(os_names) for each in _systems(word)}) if os_names.strip() else [""]
    )
    words = _words(architectures)
    processors = sorted({each for word in words for each in _processors(word)}) if words else [""]
    return tuple(Platform(system, processor) for system in systems for processor in processors)


def _words(value: str) -> list[str]:
    """The words of a list; a space in a word has a backslash before it, which ``Mac OS X`` may do without."""
    escaped = _ESCAPED.sub(lambda match: match[0].replace("\\", "").replace(" ", "\\ "), value)
    return [word.replace("\\ ", " ").casefold() for word in _WORD.findall(escaped)]


def _systems(word: str) -> Iterator[str]:
    found = [system for name, system in OS_NAMES.items() if name.startswith(word)]
    if not found and not word.startswith(OTHER_SYSTEMS):
        raise UnknownNameError(f"os {word!a} is none of Linux, Mac OS X and Windows (of any version)")
    yield from found


def _processors(word: str) -> Iterator[str]:
    if word in ARCH_NAMES:
        yield ARCH_NAMES[word]
    elif word not in OTHER_ARCHITECTURES:
        raise UnknownNameError(f"arch {word!a} is none of {', '.join(ARCH_NAMES)}")
