"""What every probe does: try one thing, and tell on stdout whether it came through."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import sys
from collections.abc import Callable
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)


def tell(name: str, what: object) -> None:
    """One line, at once: what comes afterwards may end the process."""
    os.write(1, json.dumps([name, what]).encode() + b"\n")


def attempt(name: str, action: Callable[[], object]) -> None:
    """Tell ``through``, or the name of the error that it met."""
    try:
        action()
    except OSError as error:
        tell(name, errno.errorcode.get(error.errno or 0, repr(error)))
    else:
        tell(name, "through")


def call(function: str, *arguments: Any) -> int:
    """A function of the C library. Raises OSError when it returns -1."""
    result: int = getattr(libc, function)(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), function)
    return result


def arguments() -> Any:
    """What the test wants this probe to know, as JSON in the first argument."""
    return json.loads(sys.argv[1])
