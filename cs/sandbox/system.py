"""What every cell sees of the machine: programs and libraries, never what an owner keeps. Looks, changes nothing."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from typing import Final

from cs.sandbox.plan import Bind

_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Where the machine has links for some of them, so has the cell."""

_SETTINGS: Final = (
    "/etc/ld.so.cache", "/etc/alternatives", "/etc/java*", "/etc/fonts", "/etc/localtime", "/etc/timezone",
    "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted",
)  # fmt: skip
"""Nothing of these tells about the owner. The certificates are those of public authorities."""

_OUR_SETTINGS: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "etc")
_PIECES: Final = ("bin", "lib", "lib64", "conf")
"""Of an installation that may be somebody's home or ~/.local: the rest of it is none of a job's business."""


def system_binds(python: str, java: str | None = None) -> tuple[Bind, ...]:
    """What a cell has of this machine, for jobs of the interpreter ``python`` and the virtual machine ``java``.

    Both are paths of programs. Where they are not below /usr they are found inside at their real path
    (``os.path.realpath``), which is the one to start. The order suits a Plan.
    """
    binds = [*_places(), *_python(os.path.realpath(python))]
    if java is not None:
        binds += _installation(os.path.realpath(java), _PIECES)
    return tuple(binds)


def _places() -> Iterator[Bind]:
    for path in _SYSTEM:
        if os.path.lexists(path):
            yield Bind(path, path)
    for pattern in _SETTINGS:
        for path in sorted(glob.glob(pattern)):
            yield Bind(path, path)
    for name in sorted(os.listdir(_OUR_SETTINGS)):
        yield Bind(os.path.join(_OUR_SETTINGS, name), f"/etc/{name}")


def _python(program: str) -> Iterator[Bind]:
    """Of ``bin`` only the interpreter: other programs beside it are the owner's choice."""
    if not _is_there_already(program):
        yield Bind(program, program)
        yield from _installation(program, ("lib", "lib64"))


def _installation(program: str, pieces: tuple[str, ...]) -> Iterator[Bind]:
    home = os.path.dirname(os.path.dirname(program))
    for piece in pieces:
        path = os.path.join(home, piece)
        if os.path.lexists(path) and not _is_there_already(path):
            yield Bind(path, path)


def _is_there_already(path: str) -> bool:
    return any(path == place or path.startswith(place + "/") for place in _SYSTEM)
