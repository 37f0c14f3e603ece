"""The command line of a job whose runtime is Python."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def python_argv(entry: Path, args: Sequence[str] = ()) -> list[str]:
    """Run the script ``entry`` with ``args`` in this server's interpreter.

    A Python job sees the standard library and its own files only in this release: ``-S`` leaves out the
    server's packages, ``-E`` and ``-s`` the owner's variables and packages, ``-B`` writes no byte code beside
    the job's files. ``sys.path[0]`` is the folder of ``entry``, so that it imports its neighbours.
    """
    return [sys.executable, "-E", "-s", "-S", "-B", str(entry), *args]
