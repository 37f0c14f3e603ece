"""The command line of a job whose runtime is Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cs.prepared import Prepared
from rjs.child_python import JOB_PYTHON

_PYTHON: Final = tuple(flag for flag in JOB_PYTHON if flag != "-E")
"""Without ``-E``: an attempt's environment is complete, and has of Python's variables only our own PYTHONPATH."""

_BOOT: Final = """\
import sys
count, *rest = sys.argv[1:]
paths, sys.argv[:] = rest[:int(count)], rest[int(count):]
sys.path.extend(paths)
"""
_SCRIPT: Final = """\
import os.path, runpy
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_FUNCTION: Final = """\
import functools, importlib, os
sys.path[0] = os.getcwd()
module, _, name = sys.argv[0].partition(":")
sys.exit(functools.reduce(getattr, name.split("."), importlib.import_module(module))())
"""


def python_argv_of(prepared: Prepared) -> list[str]:
    """Run the job's entry: a file of the bundle, or an object reference ``package.module:function``. Nothing where
    its sandbox is Python already, and runs it itself (``confinement.script_of``)."""
    if prepared.walls is not None:
        return []
    entry = prepared.descriptor.entry
    if ":" in entry:  # no file of a bundle has one in its name
        return [*_boot(_FUNCTION, prepared.paths), entry, *prepared.arguments]
    return python_argv(prepared.workplace.job / entry, prepared.arguments, prepared.paths)


def python_argv(script: Path, args: Sequence[str] = (), paths: Sequence[Path] = ()) -> list[str]:
    """Run ``script`` with ``args`` in this server's interpreter.

    ``sys.path[0]`` is its folder, so that it imports its neighbours; ``paths`` come last, where installed packages
    are. A function's ``sys.path[0]`` is the job's folder, ``sys.argv[0]`` its reference, and what it returns the exit
    status, as with a console script.
    """
    start = _boot(_SCRIPT, paths) if paths else _PYTHON
    return [*start, str(script), *args]


def _boot(code: str, paths: Sequence[Path]) -> list[str]:
    return [*_PYTHON, "-c", _BOOT + code, str(len(paths)), *map(str, paths)]
