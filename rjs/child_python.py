"""How Python is started: for a job's program, and for a server's own modules in a fresh interpreter.

Such a module (the spawner, the benchmark, the token authority) must load exactly this copy of the code, installed or
not, and nothing that the environment or the current folder suggests.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

JOB_PYTHON: Final = (sys.executable, "-E", "-s", "-S", "-B")
"""How the command line of a Python job begins.

Nothing of this installation but the standard library is in the job's reach: ``-S`` leaves out its packages, ``-E``
and ``-s`` the owner's variables and packages, ``-B`` writes no byte code beside the job's files.
"""

_ROOT = str(Path(__file__).resolve().parent.parent)
_BOOT = """\
import importlib, sys
root, module, *arguments = sys.argv[1:]
root in sys.path or sys.path.insert(0, root)
sys.exit(importlib.import_module(module).main(arguments))
"""


def module_argv(module: str, *arguments: str) -> list[str]:
    """The command line that calls ``module.main(arguments)`` isolated (``-I``) and exits with what it returns."""
    return [sys.executable, "-I", "-c", _BOOT, _ROOT, module, *arguments]
