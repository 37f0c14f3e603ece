"""The command line of a job whose runtime is Python.

Nothing of the server's installation but the standard library is in the job's reach: ``-S`` leaves out the server's
packages, ``-E`` and ``-s`` the owner's variables and packages, ``-B`` writes no byte code beside the job's files.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cs.prepared import Prepared

_INTERPRETER: Final = (sys.executable, "-E", "-s", "-S", "-B")

_BOOT: Final = """\
import sys
count, entry, *rest = sys.argv[1:]
paths, sys.argv[:] = rest[:int(count)], [entry, *rest[int(count):]]
script, _, name = entry.partition(":")
if name:
    import functools, importlib
    sys.path[0] = sys.path[0] or __import__("os").getcwd()
    sys.path.extend(paths)
    sys.exit(functools.reduce(getattr, name.split("."), importlib.import_module(script))())
import os.path, runpy
sys.path[0] = os.path.dirname(script)
sys.path.extend(paths)
runpy.run_path(script, run_name="__main__")
"""


def python_argv_of(prepared: Prepared) -> list[str]:
    """Run the job's entry: a file of the bundle, or an object reference ``package.module:function``."""
    entry = prepared.descriptor.entry
    where = entry if ":" in entry else str(prepared.workplace.job / entry)
    return python_argv(where, prepared.arguments, prepared.paths)


def python_argv(entry: Path | str, args: Sequence[str] = (), paths: Sequence[Path] = ()) -> list[str]:
    """Run ``entry`` with ``args`` in this server's interpreter.

    A script's ``sys.path[0]`` is its folder, so that it imports its neighbours; that of an object reference is the
    working folder, and what the function returns becomes the exit status, as with a console script. ``paths`` come
    last on ``sys.path``, where installed packages are.
    """
    if not paths and ":" not in str(entry):
        return [*_INTERPRETER, str(entry), *args]
    return [*_INTERPRETER, "-c", _BOOT, str(len(paths)), str(entry), *map(str, paths), *args]
